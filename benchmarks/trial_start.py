"""How soon a trial trains: from the end of the one before it in the same worker to its own first step, all tracked.

Command: python benchmarks/trial_start.py [--rounds 10]     (about 2 minutes on two cores)
Kept:    the worker's compiled network takes the trial's numbers: learning rate, dropout, penalty, batch size, seed.
New:     the network is built and traced anew, as in a worker that keeps nothing.
Process: from the start of a new process, with its imports.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import document
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"


def configuration(number: int, store: str) -> DictConfig:
    """A trial's: no two alike."""
    numbers = [
        f"seed={number}",
        f"optimizer.learning_rate={0.001 + number / 10_000}",
        f"dropout.rate={0.2 + number / 100}",
    ]
    words = ["model=cnn_dropout", "epochs=1", "evaluate=val", "figures=none", "regularizer=l2", *numbers]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [*words, f"batch_size={(32, 64, 128)[number % 3]}", f"tracking.store={store}"]
        return compose("config", overrides=overrides)


def first_step(cfg: DictConfig, began: float) -> float:
    """Seconds from began until the first step of a run of cfg is done."""
    from pipeline.run import run
    from pipeline.training import kept, network

    kept.STEPS_AT_ONCE = 1
    done: list[float] = []

    class Watch(network._Watch):
        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            done.append(time.time() - began)
            super().on_train_batch_end(batch, logs)

    network._Watch, before = Watch, network._Watch
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run(cfg)
    finally:
        network._Watch = before
    return done[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # the store of a single trial: the new process
    asked = parser.parse_args()
    if asked.alone:
        print(first_step(configuration(0, asked.alone), float(sys.stdin.read())))
        return
    from pipeline.training import kept

    seconds: dict[str, list[float]] = {"kept": [], "new": [], "process": []}
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/mlruns"
        first_step(configuration(0, store), time.time())
        for number in range(1, asked.rounds + 1):
            seconds["kept"].append(first_step(configuration(number, store), time.time()))
            kept._kept.clear()
            seconds["new"].append(first_step(configuration(number, store), time.time()))
            words = [sys.executable, __file__, "--alone", store]
            done = subprocess.run(words, input=str(time.time()), capture_output=True, text=True, check=True)
            seconds["process"].append(float(done.stdout))
    names = {
        "kept": "the next trial in a worker, its network kept",
        "new": "the same, network built and traced anew",
        "process": "a new process",
    }
    rows = [(name, document.spread(seconds[key]), f"{max(seconds[key]):.2f}") for key, name in names.items()]
    parts = (
        "## Start of a trial",
        f"{document.command()}: seconds until `cnn_dropout` has done its first step; all is logged but figures.",
        document.table(("", "seconds", "longest"), rows),
        document.machine(),
    )
    document.write_section("trial_start", "\n\n".join(parts))


if __name__ == "__main__":
    main()
