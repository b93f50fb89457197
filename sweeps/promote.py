"""What `python -m sweeps promote` does: trains a sweep's best configuration, tests it once, registers its model."""

import hashlib
import math
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.study import Study

from pipeline.errors import PipelineError
from sweeps import best, reload, report
from sweeps.plan import Plan


def promote(store: Path, url: str, name: str, seeds: int, train_val: bool, model: str | None, again: bool) -> None:
    """Train the best configuration, look at the test split, register the first model with the alias `champion`."""
    from sweeps import tracking

    with reload.begun(store, url, name) as (asked, opened, config), tracking.told(config):
        client, _ = tracking.opened(config)
        if client is None:
            raise PipelineError("promote: needs tracking=mlflow, whose registry keeps the model")
        before = [] if again else tracking.promoted(client, name)
        _refuse_a_second_look(client, name, before)
        words, first = _best(asked, opened)
        words += ["evaluate=test", *(["train_on=train_val"] if train_val else [])]
        runs = [_champion(client, name, [*words, f"seed={seed}"], seed, before) for seed in range(first, first + seeds)]
        registered = model or asked.base.dataset.name
        version = tracking.register(client, config, runs[0], registered)
    accuracies = [run.data.metrics["test_accuracy"] for run in runs]
    spread = f" ± {statistics.stdev(accuracies):.4f}" if seeds > 1 else ""
    print(f"test accuracy: {statistics.fmean(accuracies):.4f}{spread} ({seeds} seed{'s' * (seeds > 1)})")
    print(f"registered:    models:/{registered}@champion (version {version}, run {runs[0].info.run_id})")


def _best(asked: Plan, opened: Study) -> tuple[list[str], int]:
    """What trains the best configuration, and its first seed. Says which it is."""
    summary = report.summarize(opened)
    places = report.standings(summary)
    if not places:
        raise PipelineError(f"sweep {asked.name}: has no complete trial yet")
    if OmegaConf.select(asked.base, "dataset.split.test") == 0:
        raise PipelineError(f"sweep {asked.name}: its data has no test split to look at (dataset.split.test=0)")
    trial = places[0].records[0]
    words = best.of(asked, opened, trial.number).overrides
    print(f"best: {report.sentence(summary, places[0])}", flush=True)
    first = trial.params.get("seed", asked.base.seed)
    return [word for word in words if not word.startswith(("seed=", "evaluate="))], first


def _refuse_a_second_look(client: Any, name: str, before: Sequence[Any]) -> None:
    """Runs that promoted this sweep, none of which was registered, are of a `promote` that was interrupted."""
    from sweeps import tracking

    for run in before:
        if tracking.is_registered(client, run):
            accuracy = run.data.metrics.get("test_accuracy", math.nan)  # an old one may have none
            raise PipelineError(
                f"sweep {name}: was promoted before, by run {run.info.run_id} with test_accuracy "
                f"{accuracy:.4f}; --again looks at the test split once more"
            )


def _champion(client: Any, name: str, words: list[str], seed: int, before: Sequence[Any]) -> Any:
    """The run that these words train, or trained before `promote` was interrupted."""
    from sweeps import tracking

    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
    if trained_before := [run for run in before if run.data.tags.get("promoted_as") == digest]:
        return trained_before[0]
    tags = [f"+tracking.tags.promotes={best.typed(name)}", f"+tracking.tags.promoted_as='{digest}'"]
    _train([*words, *tags, f"tracking.run_name={best.typed(f'{name} champion seed {seed}')}"])
    return tracking.promoted(client, name)[0]


def _train(words: Sequence[str]) -> None:
    print(f"python -m pipeline.train {shlex.join(words)}", flush=True)
    environment = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}  # ours, for one line
    done = subprocess.run([sys.executable, "-m", "pipeline.train", *words], env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
