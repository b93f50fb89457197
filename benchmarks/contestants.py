"""Who takes part in sweep_peers.py, and one sweep by each: a command in an empty folder, timed from start to end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra import compose, initialize_config_dir
from peers import work

from pipeline import datasets
from pipeline.config import CONF

PEERS = Path(__file__).parent / "peers"
DATA = ("dataset=mnist5k", "dataset.split.val=1000", "dataset.split.test=0", "evaluate=val")
BFLOAT16 = "precision=mixed_bfloat16"
TENSORBOARD = "tensorboard==2.20.0"  # autolog and KerasTuner write its files too
NAMES = {"optimizer.learning_rate": "learning_rate", "dropout.rate": "dropout"}  # ours -> theirs

Trials = list[tuple[Mapping[str, float], Sequence[float]]]  # (point, validation accuracy after each epoch)


@dataclass(frozen=True)
class Contestant:
    """A script in PEERS with the packages that it needs; without one, this project with these words."""

    title: str
    logged: str
    script: str | None = None
    packages: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    draws: bool = False  # points of its own


CONTESTANTS = {
    "plain_keras": Contestant(
        "Keras in a loop, `mlflow.tensorflow.autolog()`", "all", "plain_keras.py", (TENSORBOARD,)
    ),
    "hydra_optuna": Contestant(
        "hydra-optuna-sweeper 1.4.0rc3, autolog without models",
        "without models",
        "hydra_optuna.py",
        ("hydra-core==1.4.0rc3", "hydra-optuna-sweeper==1.4.0rc3", TENSORBOARD),
    ),
    "keras_tuner": Contestant(
        "KerasTuner 1.4.8, random search",
        "nothing",
        "keras_tuner_random.py",
        ("keras-tuner==1.4.8", TENSORBOARD),
        draws=True,
    ),
    "ray_asha": Contestant(
        "Ray Tune 2.60.0, a worker on each core, ASHA", "nothing", "ray_asha.py", ("ray[tune]==2.60.0",)
    ),
    "ours_float32": Contestant("Sweepline", "all", words=("pruner=none",)),
    "ours": Contestant("Sweepline, bfloat16", "all", words=("pruner=none", BFLOAT16)),
    "ours_pruned": Contestant("Sweepline, bfloat16, pruning", "all", words=(BFLOAT16,)),
}


def measure(name: str, interpreter: Path | str, seed: int, trials: int, epochs: int) -> dict[str, Any]:
    """A sweep by a contestant: seconds, epochs trained in all, best validation accuracy of a trial that wasn't pruned.

    Raises CalledProcessError where it fails, ValueError where it has trained something else than it was given.
    """
    contestant, points = CONTESTANTS[name], _points(trials, seed)
    with tempfile.TemporaryDirectory() as folder:
        here, environment = Path(folder), dict(os.environ)
        if contestant.script:
            _save_images(here / "images.npz")
            task = {"images": str(here / "images.npz"), "epochs": epochs, "seed": seed, "points": points}
            (here / "task.json").write_text(json.dumps(task))
            words = [interpreter, PEERS / contestant.script, *contestant.words]
            environment.pop("PYTHONPATH", None)  # it has an environment of its own
        else:
            words = [interpreter, "-m", "pipeline.train", "model=cnn_dropout", *DATA, "sweep=quick", "sweep.name=ours"]
            words += ["sampler=random", f"sweep.seed={seed}", f"sweep.n_trials={trials}", f"epochs={epochs}"]
            words += contestant.words
        began = time.perf_counter()
        _run(words, here, environment)
        seconds = time.perf_counter() - began
        found = _theirs(here) if contestant.script else _ours(here)
    if len(found) != trials or not (contestant.draws or _same(points, [point for point, _ in found])):
        raise ValueError(f"{name}: asked for {points}, has trained {found}")
    best = max(max(curve) for _, curve in found if len(curve) == epochs)
    return {"seconds": round(seconds, 2), "epochs": sum(len(curve) for _, curve in found), "best": round(best, 4)}


def _points(trials: int, seed: int) -> list[dict[str, float]]:
    """What Optuna's random sampler draws, in hydra-optuna-sweeper and here too."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    asked = [study.ask() for _ in range(trials)]
    return [
        {
            "learning_rate": trial.suggest_float("learning_rate", *work.LEARNING_RATE, log=True),
            "batch_size": trial.suggest_categorical("batch_size", work.BATCH_SIZES),
            "dropout": trial.suggest_float("dropout", *work.DROPOUT),
        }
        for trial in asked
    ]


def _save_images(path: Path) -> None:
    """Those that our command trains on, as plain arrays."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        data = datasets.load(compose("config", list(DATA)).dataset)
    arrays = {"x_train": data.train.images, "y_train": data.train.labels}
    np.savez(path, **arrays, x_val=data.val.images, y_val=data.val.labels)


def _run(words: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
    log = folder / "log.txt"
    with log.open("w") as file:
        done = subprocess.run(words, cwd=folder, stdout=file, stderr=file, check=False, env=environment)
    if done.returncode:
        print(log.read_text()[-3000:], file=sys.stderr)
        done.check_returncode()


def _theirs(folder: Path) -> Trials:
    file = folder / work.TRIALS
    lines = map(json.loads, file.read_text().splitlines() if file.exists() else ())
    return [(line["point"], line["val_accuracy"]) for line in lines]


def _ours(folder: Path) -> Trials:
    study = optuna.load_study(study_name="ours", storage=f"sqlite:///{folder}/mlruns/studies.db")
    return [
        ({NAMES.get(key, key): value for key, value in trial.params.items()}, list(trial.intermediate_values.values()))
        for trial in study.trials
    ]


def _same(given: Sequence[Mapping[str, float]], found: Sequence[Mapping[str, float]]) -> bool:
    """But for their order, in which a parallel sweep ends."""
    rows = [sorted(tuple(point[key] for key in sorted(given[0])) for point in points) for points in (given, found)]
    return np.allclose(*rows)
