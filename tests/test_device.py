"""Another backend of Keras: the same commands, without TensorFlow."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import TINY

WITHOUT_TENSORFLOW = """
import runpy, sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def without_tensorflow(*words: str, cwd: Path, backend: str) -> subprocess.CompletedProcess:
    (cwd / "run.py").write_text(WITHOUT_TENSORFLOW)
    settings = {**os.environ, "KERAS_BACKEND": backend}
    return subprocess.run(
        [sys.executable, "run.py", *words], cwd=cwd, env=settings, capture_output=True, text=True, timeout=300
    )


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed: pip install -e '.[jax]'")
def test_jax_trains_tracks_and_explains_without_tensorflow(tmp_path: Path) -> None:
    words = ("model=cnn", "device=cpu", *TINY, "batch_size=100", "figures=none")
    done = without_tensorflow("pipeline.train", *words, cwd=tmp_path, backend="jax")
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    (left,) = tmp_path.glob(f"mlruns/artifacts/*/{run_id}/artifacts")
    said = json.loads((left / "environment.json").read_text())
    assert (said["device"], said["variables"]["KERAS_BACKEND"]) == ("CPU", "jax")
    assert {"keras", "jax"} <= {line.partition("==")[0] for line in (left / "model/requirements.txt").open()}
    done = without_tensorflow("pipeline.explain", run_id, "figures=feature_maps", cwd=tmp_path, backend="jax")
    assert done.returncode == 0, done.stderr
    assert (left / "feature_maps_conv2.png").exists()


def test_a_backend_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = without_tensorflow("pipeline.train", *TINY, "tracking=none", cwd=tmp_path, backend="tensorflow")
    assert done.returncode == 1
    assert done.stderr.startswith("error: KERAS_BACKEND=tensorflow: ")
    assert done.stderr.count("\n") == 1
