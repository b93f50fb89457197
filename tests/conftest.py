"""Fixtures: a command line in an empty folder, composed configurations, a small real dataset, one finished run."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"
TINY = ("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100", "epochs=2")


def command(*arguments: str, cwd: Path, module: str = "pipeline.train") -> subprocess.CompletedProcess:
    """`python -m pipeline.train ...` as a person runs it, in the folder cwd."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=cwd, capture_output=True, text=True, timeout=180
    )


def configuration(*overrides: str) -> DictConfig:
    """What the command line would compose."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


@dataclass(frozen=True)
class FinishedRun:
    """A training run through the command line: its folder and what it printed."""

    folder: Path
    done: subprocess.CompletedProcess


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """cnn_dropout on 300 real digits for two epochs, in a folder of its own."""
    folder = tmp_path_factory.mktemp("finished_run")
    done = command("model=cnn_dropout", *TINY, "optimizer.beta_1=0.8", cwd=folder)
    assert done.returncode == 0, done.stderr
    return FinishedRun(folder, done)


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    """Writes the arrays of a small valid npz, with those given in place of its own (None leaves one out)."""

    def write(**replaced: np.ndarray | None) -> Path:
        generator = np.random.default_rng(0)
        arrays = {
            "x_train": generator.integers(0, 256, (60, 8, 8), dtype=np.uint8),
            "y_train": np.arange(60) % 3,
            "x_test": generator.integers(0, 256, (15, 8, 8), dtype=np.uint8),
            "y_test": np.arange(15) % 3,
        }
        arrays = {name: array for name, array in (arrays | replaced).items() if array is not None}
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write
