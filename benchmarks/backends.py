"""TensorFlow and JAX under the same command, XLA on and off, and how many trials an hour slots on one device make.

Command: python benchmarks/backends.py dataset=mnist dataset.path=mnist.npz [--times 3] [--slots 1 2 4 8]
Writes the section `backends` of docs/BENCHMARKS.md, with the device's name. A backend that isn't installed is left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec

from document import command, machine, spread, table, write_section

MODELS = ("cnn_dropout", "cnn")
EPOCHS = 3  # the first of which compiles: the median one counts
SETTINGS = {"TensorFlow": ("tensorflow", False), "TensorFlow, XLA": ("tensorflow", True), "JAX (XLA)": ("jax", True)}
TRAIN = """
import json, sys
from hydra import compose, initialize_config_dir
from pipeline import device
from pipeline.config import CONF
from pipeline.run import run

xla, words = json.loads(sys.argv[1])
device.jit_compile = lambda: xla
with initialize_config_dir(str(CONF), version_base="1.3"):
    cfg = compose("config", words)
totals = run(cfg).totals
found = {"speed": totals["images_per_second"], "accuracy": totals["best_val_accuracy"], "gpus": device.gpus_in_use()}
print("\\n" + json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*", help="of every run: dataset.path=mnist.npz batch_size=256")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 2, 4, 8])
    given = parser.parse_intermixed_args()
    settings = [name for name, (backend, _) in SETTINGS.items() if find_spec(backend) is not None]
    runs: dict[tuple[str, str], list[dict]] = {(model, name): [] for model in MODELS for name in settings}
    for _ in range(given.times):
        for model, name in runs:
            runs[model, name].append(train(*SETTINGS[name], [f"model={model}", *given.overrides]))
    gpus = next(iter(runs.values()))[0]["gpus"]
    hours = {count: [trials_an_hour(count, gpus, given.overrides) for _ in range(given.times)] for count in given.slots}
    write_section("backends", section(given, runs, gpus, hours))


def section(given: argparse.Namespace, runs: dict, gpus: Sequence[str], hours: dict[int, list[float]]) -> str:
    speeds = [
        (f"`{model}`", name, spread([each["speed"] for each in found], 0), spread([e["accuracy"] for e in found], 4))
        for (model, name), found in runs.items()
    ]
    place = ", ".join(gpus) or "the CPU; on a GPU this is unmeasured"
    return f"""## Backends and devices

{command()}, on {place}.

{table(("model", "Keras on", "images/s", f"validation accuracy, {EPOCHS} epochs"), speeds)}

Trials of `cnn_dropout`, {EPOCHS} epochs each, that so many slots {"on one GPU" if gpus else "on this CPU"} train:

{table(("slots", "trials an hour"), [(count, spread(found, 0)) for count, found in hours.items()])}

Mean and standard deviation of {given.times} runs. {machine()}."""


def train(backend: str, xla: bool, words: Sequence[str]) -> dict:
    """One run in a process of its own: images a second of its median epoch, and how good it became."""
    given = json.dumps([xla, [f"epochs={EPOCHS}", "figures=none", "tracking=none", "evaluate=val", *words]])
    settings = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", TRAIN, given], env=settings, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{backend}: the run failed")
    return json.loads(done.stdout.splitlines()[-1])


def trials_an_hour(slots: int, gpus: Sequence[str], overrides: Sequence[str]) -> float:
    """Of a sweep with four trials a slot, imports of its processes included; on one GPU alone."""
    trials = 4 * slots
    words = ["sweep=custom", "model=cnn_dropout", f"seed=range(0,{trials})", f"sweep.n_trials={trials}"]
    words += ["executor=local", f"executor.per_gpu={slots}" if gpus else f"executor.slots={slots}"]
    words += ["executor.gpus=[0]"] if gpus else []
    words += [f"epochs={EPOCHS}", "figures=none", "tracking=none", *overrides]
    with tempfile.TemporaryDirectory() as store:
        began = time.perf_counter()
        sweep = [sys.executable, "-m", "pipeline.train", *words, f"tracking.store={store}/mlruns"]
        subprocess.run(sweep, check=True, stdout=subprocess.DEVNULL)
        return 3600 * trials / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
