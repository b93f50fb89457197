"""How soon a trial trains: from the end of the one before it in the same worker to its own first step, all tracked.

Command: python benchmarks/trial_start.py [--rounds 10]     (about 2 minutes on two cores)
Kept:    the worker's compiled network takes the trial's numbers: learning rate, dropout, penalty, batch size, seed.
New:     the network is built and traced anew, as in a worker that keeps nothing.
Forked:  from the fork of a slot's process, as after 20 trials or a death.
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
from omegaconf import DictConfig, OmegaConf, open_dict

from sweeps import trial
from sweeps.forkserver import ForkServer
from sweeps.process import SlotProcess

CONF = Path(__file__).parents[1] / "conf"


def configuration(number: int, store: str, *more: str) -> DictConfig:
    """A trial's: no two alike."""
    numbers = [
        f"seed={number}",
        f"optimizer.learning_rate={0.001 + number / 10_000}",
        f"dropout.rate={0.2 + number / 100}",
    ]
    words = ["model=cnn_dropout", "epochs=1", "evaluate=val", "figures=none", "regularizer=l2", *numbers]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [*words, f"batch_size={(32, 64, 128)[number % 3]}", f"tracking.store={store}", *more]
        return compose("config", overrides=overrides, return_hydra_config=True)


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
            run(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]))
    finally:
        network._Watch = before
    return done[0]


def of_job(cfg: DictConfig) -> float:
    """As a trial's task: it began when its tags say."""
    return first_step(cfg, float(cfg.tracking.tags.began))


def forked(server: ForkServer, cfg: DictConfig) -> float:
    """The same in a slot's process, which is forked for it."""
    slot = SlotProcess(server, f"{Path(__file__).resolve()}:of_job", 1, None, lambda *_: False)
    with open_dict(cfg):
        cfg.tracking.tags.began = time.time()
    result = slot.train(0, trial.as_job(cfg, 0, 1, ""))
    if result.values is None:
        sys.exit(result.message)
    return result.values[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # the store of a single trial: the new process
    asked = parser.parse_args()
    if asked.alone:
        print(first_step(configuration(0, asked.alone), float(sys.stdin.read())))
        return
    from pipeline.training import kept

    seconds: dict[str, list[float]] = {"kept": [], "new": [], "forked": [], "process": []}
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/mlruns"
        imports = OmegaConf.to_container(configuration(0, store, "executor=local").executor.imports, resolve=True)
        server = ForkServer({}, imports, Path(folder) / "log")
        forked(server, configuration(0, store))
        first_step(configuration(0, store), time.time())
        for number in range(1, asked.rounds + 1):
            seconds["kept"].append(first_step(configuration(number, store), time.time()))
            kept._kept.clear()
            seconds["new"].append(first_step(configuration(number, store), time.time()))
            seconds["forked"].append(forked(server, configuration(number, store)))
            words = [sys.executable, __file__, "--alone", store]
            done = subprocess.run(words, input=str(time.time()), capture_output=True, text=True, check=True)
            seconds["process"].append(float(done.stdout))
    names = {
        "kept": "the next trial in a worker, its network kept",
        "new": "the same, network built and traced anew",
        "forked": "in another process of the slot, forked with its imports",
        "process": "in a new process",
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
