"""What tracking adds to a run: metrics, images by epoch, figures, the model; beside plain Keras with MLflow's autolog.

Command: python benchmarks/tracking.py [--rounds 5] [overrides]           (20 epochs on mnist5k; about 8 minutes)
         python benchmarks/tracking.py --rounds 2 --ours dataset=mnist dataset.path=mnist.npz     (a quarter of an hour)
Ours:    `pipeline.run` from the data to the logged model, with tracking=none figures=none and tracked: by a clock that
         runs while the tracker does.
autolog: the same network on the same images, `model.fit` in a process of its own, without and with autolog: by the
         difference between the two, which on a noisy machine is the worse measure.
All take turns, in processes that have imported everything and have trained for an epoch. Writes docs/BENCHMARKS.md.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from contestants import PEERS, TENSORBOARD
from document import machine, spread, table, write_section
from environments import python
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from sweep_peers import CACHE

from pipeline import datasets
from pipeline.config import CONF

OURS = {
    "ours": ("tracking=none", "figures=none"),
    "ours, tracked, `figures=none`": ("figures=none",),
    "ours, tracked, `figures=standard`": ("figures=standard",),
}
PLAIN = {"plain Keras": "bare", "plain Keras, `autolog`": "autolog"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("overrides", nargs="*", help="of every run: dataset=mnist dataset.path=mnist.npz epochs=5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help="without plain Keras")
    given = parser.parse_intermixed_args()
    rounds: list[dict[str, tuple[float, float | None]]] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        cfgs = configurations(given.overrides, folder)
        contestants: dict[str, Callable[[], tuple[float, float | None]]] = {}
        for name, cfg in cfgs.items():
            contestants[name] = lambda cfg=cfg: fit_ours(cfg)
            fit_ours(OmegaConf.merge(cfg, {"epochs": 1}))  # imports, tracing, the store
        if not given.ours:
            fit_plain = stack.enter_context(plain_keras(cfgs["ours"], Path(folder)))
            for name, word in PLAIN.items():
                contestants[name] = lambda word=word: (fit_plain(word), None)
                fit_plain(word)
        for _ in range(given.rounds):
            rounds.append({name: train() for name, train in contestants.items()})
            print("  ".join(f"{name} {seconds:.2f} s" for name, (seconds, _) in rounds[-1].items()), flush=True)
    cfg = cfgs["ours"]
    header = ("", "seconds of the run", "of which tracking", "%")
    words = " ".join(["--rounds", str(given.rounds), *["--ours"] * given.ours, *map(without_folder, given.overrides)])
    write_section(
        f"tracking {cfg.dataset.name}",
        f"""## What tracking adds: {cfg.epochs} epochs of {cfg.model.name} on {cfg.dataset.name}

`python benchmarks/tracking.py {words}`

{table(header, [row(name, rounds) for name in contestants])}

A run from its data to its logged model; of plain Keras `model.fit` with what autolog logs. *Of which tracking*: ours,
the seconds that pass in the tracker, where the figures are drawn, too; autolog's, those beyond the same round's without
it. Imports and a new store come once a process and are not counted. Mean and standard deviation of
{given.rounds} rounds in turn. {machine()}.""",
    )


def row(name: str, rounds: list[dict[str, tuple[float, float | None]]]) -> tuple[str, ...]:
    seconds = [each[name][0] for each in rounds]
    if name in ("ours", "plain Keras"):
        return name, spread(seconds), "", ""
    added = [each[name][1] for each in rounds]
    if None in added:
        added = [each[name][0] - each["plain Keras"][0] for each in rounds]
    without = [all_in - tracking for all_in, tracking in zip(seconds, added, strict=True)]
    return name, spread(seconds), spread(added), f"{100 * statistics.fmean(added) / statistics.fmean(without):.1f}"


def without_folder(word: str) -> str:
    key, found, value = word.partition("=")
    return f"{key}={Path(value).name}" if found and key == "dataset.path" else word


def configurations(overrides: list[str], folder: str) -> dict[str, DictConfig]:
    words = ["model=cnn_dropout", "epochs=20", f"tracking.store={folder}/mlruns", *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return {name: compose("config", [*words, *own]) for name, own in OURS.items()}


def fit_ours(cfg: DictConfig) -> tuple[float, float]:
    """Seconds of the run, and of its tracking."""
    from pipeline.run import run

    with contextlib.redirect_stdout(io.StringIO()), watched() as clock:
        began = time.perf_counter()
        run(cfg)
        return time.perf_counter() - began, clock.seconds


class Clock:
    """Runs while it is entered, however often."""

    def __init__(self) -> None:
        self.seconds, self.depth = 0.0, 0

    def __enter__(self) -> None:
        self.depth += 1
        if self.depth == 1:
            self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.began


@contextlib.contextmanager
def watched() -> Iterator[Clock]:
    """A clock that runs while a run is opened, logged to and closed. What is logged is made there: figures are lazy."""
    from pipeline import tracking
    from pipeline.tracking.mlflow import MlflowTracker

    clock, start = Clock(), tracking.start

    @contextlib.contextmanager
    def opened(*given: object) -> Iterator[object]:
        with contextlib.ExitStack() as stack:
            with clock:
                tracker = stack.enter_context(start(*given))
            yield tracker
            with clock:
                stack.close()

    def timed(method: Callable) -> Callable:
        def call(*given: object, **named: object) -> object:
            with clock:
                return method(*given, **named)

        return call

    with contextlib.ExitStack() as patches:
        patches.enter_context(patch.object(tracking, "start", opened))
        for name, method in vars(MlflowTracker).items():
            if name.startswith("log_") or name == "set_state":
                patches.enter_context(patch.object(MlflowTracker, name, timed(method)))
        yield clock


@contextlib.contextmanager
def plain_keras(cfg: DictConfig, folder: Path) -> Iterator[Callable[[str], float]]:
    """In an environment of its own, for TensorBoard. Takes `bare` or `autolog`, trains, and gives the seconds."""
    data = datasets.load(cfg.dataset)
    arrays = {"x_train": data.train.images, "y_train": data.train.labels}
    np.savez(folder / "images.npz", **arrays, x_val=data.val.images, y_val=data.val.labels)
    words = [python(CACHE / "plain_keras", (TENSORBOARD,)), PEERS / "autolog.py"]
    words += [folder / "images.npz", str(cfg.epochs), str(cfg.batch_size)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):

        def fit(word: str) -> float:
            print(word, file=process.stdin, flush=True)
            for line in process.stdout:
                if line.startswith("seconds "):
                    return float(line.split()[1])
            raise RuntimeError((folder / "log.txt").read_text()[-2000:])

        yield fit


if __name__ == "__main__":
    main()
