"""What `python -m sweeps` does: everything here reads a study; only `promote` trains."""

import hashlib
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage
from optuna.study import Study
from rich.console import Console
from rich.table import Table

import sweeps.report as reports
from pipeline.config import CONF, trained
from pipeline.errors import PipelineError
from sweeps import best, drivers, slots, space, storage, study, trial
from sweeps.contracts import Summary
from sweeps.plan import Plan, make_plan
from sweeps.sweep import places_of
from sweeps.view import span

STUDIES = "studies.db"
MOST_ROWS = 15  # of trials on the screen


def plan(overrides: Sequence[str]) -> None:
    """The space, the number of trials, what is done already, and how long it may take."""
    with _composed(overrides) as (config, loader):
        asked = _plan(config, loader)
        places = places_of(asked)
        done = _done(asked)
        left = max(asked.settings.n_trials - done, 0)
        kind = "grid" if asked.is_grid else (asked.settings.sampler.get("_target_") or "TPESampler").rpartition(".")[2]
        print(f"{asked.name}: {asked.settings.n_trials} trials, {kind}; {done} done, {left} to go")
        table = Table(box=None, show_header=False, padding=(0, 2))
        for name, values in space.describe(asked.space).items():
            table.add_row(f"  {name}", values)
        _console().print(table)
        print(f"{len(places)} at a time: {', '.join(place.name for place in places)}", flush=True)
        if left:
            seconds, source = _seconds_of_a_trial(asked, config, places)
            rounds = max(1, left / len(places))
            print(f"a trial takes about {span(seconds)} ({source}); all of them {span(seconds * rounds)}")


def status(url: str, name: str | None) -> None:
    """A line for each sweep, or one sweep's best, running and failed trials."""
    opened = _opened(url)
    if name is not None:
        _show(opened, url, study.existing(opened, name))
        return
    table = Table("sweep", "trials", "complete", "pruned", "failed", "best", "", box=None, header_style="dim")
    for each in sorted(opened.get_all_studies(), key=lambda found: found.study_name):
        summary = reports.summarize(study.existing(opened, each.study_name))
        counts = [sum(record.state == state for record in summary.trials) for state in ("complete", "pruned", "failed")]
        places = reports.standings(summary)
        found = reports.sentence(summary, places[0]) if places else ""
        table.add_row(
            each.study_name,
            f"{sum(counts)}/{summary.n_trials}",
            *map(str, counts),
            found,
            _driver(opened, url, each.study_name) or "",
        )
    _console().print(table if table.rows else f"{url}: no sweep yet; python -m pipeline.train sweep=...")


def report(store: Path, url: str, name: str) -> None:
    """Figures, leaderboard and best configuration as they are now: below the sweep's folder, and in MLflow."""
    with _existing(store, url, name) as (asked, opened, config):
        from sweeps import publish, tracking

        folder = store / "sweeps" / name / "report"
        folder.mkdir(parents=True, exist_ok=True)
        client, _ = tracking.opened(config)
        run_ids = tracking.child_runs(client, name) if client else {}
        summary = reports.summarize(opened, run_ids)
        files = publish.write(folder, summary, opened, asked)
        if client:
            tracking.renew(client, config, asked, opened)
        _show(opened._storage, url, opened)
        print(f"written: {folder}/{{{','.join(files)}}}")


def promote(store: Path, url: str, name: str, seeds: int, train_val: bool, model: str | None, again: bool) -> None:
    """Train the best configuration, look at the test split, register the first model with the alias `champion`."""
    with _existing(store, url, name) as (asked, opened, config):
        from sweeps import tracking

        client, _ = tracking.opened(config)
        if client is None:
            raise PipelineError("promote: needs tracking=mlflow, whose registry keeps the model")
        places = reports.standings(reports.summarize(opened))
        if not places:
            raise PipelineError(f"sweep {name}: has no complete trial yet")
        if OmegaConf.select(asked.base, "dataset.split.test") == 0:
            raise PipelineError(f"sweep {name}: its data has no test split to look at (dataset.split.test=0)")
        before = [] if again else tracking.promoted(client, name)
        for run in before:
            if tracking.is_registered(client, run):
                accuracy = run.data.metrics.get("test_accuracy", math.nan)  # an old one may have none
                raise PipelineError(
                    f"sweep {name}: was promoted before, by run {run.info.run_id} with test_accuracy "
                    f"{accuracy:.4f}; --again looks at the test split once more"
                )
        found = best.of(asked, opened, places[0].records[0].number)
        print(f"best: {reports.sentence(reports.summarize(opened), places[0])}", flush=True)
        first = places[0].records[0].params.get("seed", config.seed)
        words = [line for line in found.overrides if not line.startswith(("seed=", "evaluate="))]
        words += ["evaluate=test", *(["train_on=train_val"] if train_val else [])]
        runs = [_champion(client, name, [*words, f"seed={seed}"], seed, before) for seed in range(first, first + seeds)]
        registered = model or asked.base.dataset.name
        version = tracking.register(client, config, runs[0], registered)
        accuracies = [run.data.metrics["test_accuracy"] for run in runs]
        spread = f" ± {statistics.stdev(accuracies):.4f}" if seeds > 1 else ""
        print(f"test accuracy: {statistics.fmean(accuracies):.4f}{spread} ({seeds} seed{'s' * (seeds > 1)})")
        print(f"registered:    models:/{registered}@champion (version {version}, run {runs[0].info.run_id})")


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


@contextmanager
def _composed(overrides: Sequence[str]) -> Iterator[tuple[DictConfig, ConfigLoader]]:
    """What `python -m pipeline.train` would compose from these words for a sweep."""
    with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        config = hydra.compose_config("config", list(overrides), run_mode=RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        yield config, hydra.config_loader


@contextmanager
def _existing(store: Path, url: str, name: str) -> Iterator[tuple[Plan, Study, DictConfig]]:
    """A study with the plan that it was begun with."""
    opened = study.existing(_opened(url), name)
    about = opened.user_attrs.get(study.ABOUT)
    if about is None:
        raise PipelineError(f"study {name}: was made by another program")
    words = [*about["overrides"], f"hydra.sweeper.study_name='{name}'"]
    if storage.sqlite_file(url) is None:
        words.append(f"hydra.sweeper.storage='{url}'")
    if store != Path("mlruns"):  # wherever it was when the sweep began
        words = [word for word in words if not word.startswith("tracking.store=")]
        words.append(f"tracking.store={best.typed(str(store))}")
    with _composed(words) as (config, loader):
        asked = _plan(config, loader)
        _check_unchanged(opened, asked)
        yield asked, opened, config


def _check_unchanged(opened: Study, asked: Plan) -> None:
    study.check_unchanged(opened, asked.settings.directions, space.describe(asked.space), trained(asked.base))


def _plan(config: DictConfig, loader: ConfigLoader) -> Plan:
    given = {key: value for key, value in config.hydra.sweeper.items() if not key.startswith("_")}
    return make_plan(config, loader, given, list(config.hydra.overrides.task))


def url(store: Path) -> str:
    """Of a store's own studies. Raises PipelineError where there are none."""
    file = store / STUDIES
    if not file.exists():
        raise PipelineError(
            f"{store}: has no sweeps ({file} is missing); --store names another store, --storage a database"
        )
    return f"sqlite:///{file}"


def _done(asked: Plan) -> int:
    """How many trials an existing study has behind it; nothing is created."""
    url = asked.settings.storage
    file = storage.sqlite_file(url) if url else None
    if url is None or (file is not None and not file.exists()):
        return 0
    opened = storage.storage(url)
    if asked.name not in {each.study_name for each in opened.get_all_studies()}:
        return 0
    found = study.existing(opened, asked.name)
    _check_unchanged(found, asked)
    return sum(record.state in ("complete", "pruned", "failed") for record in reports.summarize(found).trials)


def _seconds_of_a_trial(asked: Plan, config: DictConfig, places: Sequence[slots.Slot]) -> tuple[float, str]:
    """From this study's trials, else from runs of the same model and data in the store, else from a probe."""
    url = asked.settings.storage
    if _done(asked):
        records = reports.summarize(study.existing(storage.storage(url), asked.name)).trials
        seconds = [record.seconds for record in records if record.seconds and record.state == "complete"]
        if seconds:
            return statistics.median(seconds), f"the median of {len(seconds)} of its trials"
    from sweeps import tracking

    measured = tracking.seconds_of_runs(config, asked)
    if measured:
        return statistics.median(measured), f"the median of {len(measured)} earlier runs of this model on these data"
    return _probe(asked, places[0]), "from a probe of 2 s on this machine; figures and tracking come on top"


def _probe(asked: Plan, place: slots.Slot) -> float:
    cfg = asked.compose(space.overrides(asked.space, next(space.samples(asked.space))))
    with tempfile.TemporaryDirectory() as folder:
        cfg.hydra.sweep.dir = folder
        job = trial.as_job(trial.as_trial(cfg, 0, study=asked.name, parent_run=None), 0, 1, "")
        executor = slots.LocalExecutor([place], "sweeps.probe:probe", Path("/dev/null"), 1, None, lambda *_: False)
        result = executor.submit(0, job).result()
        executor.shutdown()
    if result.values is None:
        raise PipelineError(f"the probe failed: {result.message}")
    return result.values[0] * (cfg.epochs or 1)


def _opened(url: str) -> BaseStorage:
    """url as it was given: its password is an interpolation. Raises PipelineError where its file is not there."""
    file = storage.sqlite_file(url)
    if file is not None and not file.exists():
        raise PipelineError(f"{file}: no such file; --storage names a database that a sweep has written")
    return storage.storage(storage.resolved(url))


def _driver(store: BaseStorage, url: str, name: str) -> str | None:
    who = drivers.driver(store, url, name)
    return f"running, driven by {who}" if who else None


def _show(store: BaseStorage, url: str, opened: Study) -> None:
    summary = reports.summarize(opened)
    print(reports.ending(summary, None))
    if who := _driver(store, url, summary.name):
        print(who)
    console = _console()
    table = Table("trial", "state", *summary.objectives, "seconds", "parameters", box=None, header_style="dim")
    rows = _rows(summary)
    for row in rows[:MOST_ROWS]:
        table.add_row(*row)
    console.print(table)
    if len(rows) > MOST_ROWS:
        print(f"and {len(rows) - MOST_ROWS} more, all of them in the leaderboard of `python -m sweeps report`")


def _console() -> Console:
    """As wide as the terminal; in a file, wide enough that nothing is cut."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=200)


def _rows(summary: Summary) -> list[list[Any]]:
    """What is in training first, then the best."""
    rows = []
    for record in sorted(reports.ordered(summary), key=lambda record: record.state != "running"):
        values = [reports.number(value) for value in record.values] if record.values else [""] * len(summary.objectives)
        seconds = "" if record.seconds is None else f"{record.seconds:.0f}"
        rows.append([str(record.number), record.state, *values, seconds, reports.said(record.params)])
    return rows
