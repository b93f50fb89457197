"""What tracking adds to a run: metrics, images by epoch, figures, the model; beside plain Keras with MLflow's autolog.

Command: python benchmarks/tracking.py [--rounds 5] [overrides]           (20 epochs on mnist5k; about 8 minutes)
         python benchmarks/tracking.py --rounds 3 dataset=mnist dataset.path=mnist.npz epochs=5
Ours:    `pipeline.run` from the data to the logged model, with tracking=none figures=none and tracked.
autolog: the same network on the same images, `model.fit` in a process of its own, without and with autolog.
All take turns, in processes that have imported everything and have trained once. Writes docs/BENCHMARKS.md.
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

import numpy as np
from contestants import PEERS, TENSORBOARD
from document import machine, spread, table, write_section
from environments import python
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from sweep_peers import CACHE

from pipeline import datasets
from pipeline.config import CONF

OURS = {
    "ours": ("tracking=none", "figures=none"),
    "ours, tracked, `figures=none`": ("figures=none",),
    "ours, tracked, `figures=standard`": ("figures=standard",),
}
PLAIN = {"plain Keras": "bare", "plain Keras, `autolog`": "autolog"}
BASES = {**dict.fromkeys(OURS, "ours"), **dict.fromkeys(PLAIN, "plain Keras")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("overrides", nargs="*", help="of every run: dataset=mnist dataset.path=mnist.npz epochs=5")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        cfgs = configurations(given.overrides, folder)
        with plain_keras(cfgs["ours"], Path(folder)) as fit_plain:
            contestants = {name: lambda cfg=cfg: fit_ours(cfg) for name, cfg in cfgs.items()}
            contestants |= {name: lambda word=word: fit_plain(word) for name, word in PLAIN.items()}
            for train in contestants.values():
                train()  # imports, tracing, the store
            rounds = []
            for _ in range(given.rounds):
                rounds.append({name: train() for name, train in contestants.items()})
                print("  ".join(f"{name} {seconds:.2f} s" for name, seconds in rounds[-1].items()), flush=True)
    cfg = cfgs["ours"]
    header = ("", "seconds of the run", "of which tracking", "%")
    words = " ".join(["--rounds", str(given.rounds), *map(without_folder, given.overrides)])
    write_section(
        f"tracking {cfg.dataset.name}",
        f"""## What tracking adds: {cfg.epochs} epochs of {cfg.model.name} on {cfg.dataset.name}

`python benchmarks/tracking.py {words}`

{table(header, [row(name, rounds) for name in contestants])}

A run from its data to its logged model; of plain Keras `model.fit` with what autolog logs. *Of which tracking*: seconds
beyond those of the untracked run of the same round. Imports and a new store come once a process and are not counted.
Mean and standard deviation of {given.rounds} rounds in turn. {machine()}.""",
    )


def row(name: str, rounds: list[dict[str, float]]) -> tuple[str, ...]:
    seconds, base = [each[name] for each in rounds], [each[BASES[name]] for each in rounds]
    added = [all_in - bare for all_in, bare in zip(seconds, base, strict=True)]
    if name == BASES[name]:
        return name, spread(seconds), "", ""
    return name, spread(seconds), spread(added), f"{100 * statistics.fmean(added) / statistics.fmean(base):.1f}"


def without_folder(word: str) -> str:
    key, found, value = word.partition("=")
    return f"{key}={Path(value).name}" if found and key == "dataset.path" else word


def configurations(overrides: list[str], folder: str) -> dict[str, DictConfig]:
    words = ["model=cnn_dropout", "epochs=20", f"tracking.store={folder}/mlruns", *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return {name: compose("config", [*words, *own]) for name, own in OURS.items()}


def fit_ours(cfg: DictConfig) -> float:
    from pipeline.run import run

    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run(cfg)
    return time.perf_counter() - began


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
