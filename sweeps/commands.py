"""What `python -m sweeps plan|status|report` do: they read a study and change nothing in it."""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna.storages import BaseStorage
from optuna.study import Study
from rich.console import Console
from rich.table import Table

import sweeps.report as reports
from pipeline.errors import PipelineError
from sweeps import drivers, reload, slots, space, storage, study, trial
from sweeps.contracts import Summary
from sweeps.plan import Plan
from sweeps.sweep import places_of
from sweeps.view import span

MOST_ROWS = 15  # of trials on the screen


def plan(overrides: Sequence[str]) -> None:
    """The space, the number of trials, what is done already, and how long it may take."""
    with reload.planned(overrides) as (asked, config):
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
    opened = reload.opened(url)
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
    from sweeps import publish, tracking

    with reload.begun(store, url, name) as (asked, opened, config), tracking.told(config):
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
    reload.check_unchanged(found, asked)
    return sum(record.state in ("complete", "pruned", "failed") for record in reports.summarize(found).trials)


def _seconds_of_a_trial(asked: Plan, config: DictConfig, places: Sequence[slots.Slot]) -> tuple[float, str]:
    """From this study's trials, else from runs of the same model and data in the store, else from a probe."""
    url = asked.settings.storage
    if _done(asked):
        records = reports.summarize(study.existing(storage.storage(url), asked.name)).trials
        seconds = [record.seconds for record in records if record.seconds and record.state == "complete"]
        if seconds:
            measured = f"the median of {len(seconds)} of its trials" if len(seconds) > 1 else "as its one trial so far"
            return statistics.median(seconds), measured
    from sweeps import tracking

    measured = tracking.seconds_of_runs(config, asked)
    if measured:
        earlier = f"the median of {len(measured)} earlier runs" if len(measured) > 1 else "as an earlier run"
        return statistics.median(measured), f"{earlier} of this model on these data"
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
