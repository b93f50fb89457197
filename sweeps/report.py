"""What a study has found: plain values for figures and tables, sentences."""

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sweeps import study
from sweeps.contracts import Parameter, Record, Summary, is_seed, replicates
from sweeps.plan import Plan
from sweeps.space import as_typed

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def summarize(opened: Study, run_ids: Mapping[int, str] | None = None) -> Summary:
    """The study as plain values, without trials that came again as another one and those of an older study."""
    known, about = study.trials(opened), opened.user_attrs.get(study.ABOUT, {})
    again = study.repeated(known)
    return Summary(
        name=opened.study_name,
        objectives=tuple(about.get("objectives", ["objective"])),
        directions=tuple(each.name.lower() for each in opened.directions),
        curve_metric=about.get("curve_metric") or "val_accuracy",
        parameters=tuple(
            Parameter(each["name"], each["log"], None if each["choices"] is None else tuple(each["choices"]))
            for each in about.get("parameters", [])
        ),
        trials=tuple(
            _record(trial, (run_ids or {}).get(trial.number))
            for trial in known
            if trial.number not in again and study.FROM not in trial.user_attrs
        ),
        n_trials=about.get("n_trials", 0),
    )


def _record(trial: FrozenTrial, run_id: str | None) -> Record:
    attributes = trial.user_attrs
    failed = trial.state.is_finished() and study.CAUSE in attributes  # though sweep.diverged=worst tells Optuna a value
    cause = f"{attributes[study.CAUSE]}: {attributes[study.MESSAGE]}" if study.CAUSE in attributes else None
    ended = trial.datetime_complete and trial.datetime_start
    return Record(
        number=trial.number,
        state="failed" if failed else STATES[trial.state],
        params={name.lstrip("+_"): value for name, value in study.point(trial).items()},
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE and not failed else None,
        curve=dict(trial.intermediate_values) or None,
        seconds=(trial.datetime_complete - trial.datetime_start).total_seconds() if ended else None,
        cause=cause,
        reuses=attributes.get(study.REUSES),
        run_id=run_id,
    )


@dataclass(frozen=True)
class Standing:
    """A configuration's place: all its replicates, which differ in seeds alone, count together."""

    params: Mapping[str, Any]
    records: tuple[Record, ...]  # the complete ones
    mean: float
    std: float | None  # None for a single seed
    lost: int  # replicates that were pruned or failed: a mean over the others flatters


def standings(summary: Summary, objective: int = 0) -> list[Standing]:
    """Configurations with complete trials, best first, those that lost none before the others; of equals the first."""
    numbers = {record.number for record in summary.trials}
    groups = replicates(record for record in summary.trials if record.reuses not in numbers)
    places = [_standing(group, objective) for group in groups if any(record.values is not None for record in group)]
    sign = -1 if summary.directions[objective] == "maximize" else 1
    return sorted(places, key=lambda each: (each.lost > 0, sign * each.mean))


def _standing(group: Sequence[Record], objective: int) -> Standing:
    complete = tuple(record for record in group if record.values is not None)
    values = [record.values[objective] for record in complete]
    params = {name: value for name, value in complete[0].params.items() if not is_seed(name)}
    spread = statistics.stdev(values) if len(values) > 1 else None
    lost = sum(record.state in ("pruned", "failed") for record in group)
    return Standing(params, complete, statistics.fmean(values), spread, lost)


def sentence(summary: Summary, place: Standing, objective: int = 0) -> str:
    """A configuration and what it reached."""
    spread = "" if place.std is None else f" ± {number(place.std)}"
    found = f"{summary.objectives[objective]} {number(place.mean)}{spread}{seeds(place)}"
    return f"{found}  {said(place.params)}".rstrip()


def seeds(place: Standing) -> str:
    """How many a mean is over, in brackets; nothing for one of one."""
    return f" ({count(place)} seeds)" if place.lost or len(place.records) > 1 else ""


def count(place: Standing) -> str:
    """Of its replicates, those that are complete: `3`, or `1 of 3`."""
    complete = len(place.records)
    return f"{complete} of {complete + place.lost}" if place.lost else str(complete)


def number(value: float) -> str:
    """An objective's value."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"


def said(params: Mapping[str, Any]) -> str:
    """Parameters for a line: each name as short as tells it from the others."""
    plain = {name: name.partition("[")[0].lstrip("+_") for name in params}  # the option is among them
    return " ".join(f"{_suffix(name, plain.values())}={short(params[full])}" for full, name in plain.items())


def _suffix(name: str, names: Iterable[str]) -> str:
    parts = name.split(".")
    for count in range(1, len(parts)):
        tail = ".".join(parts[-count:])
        if sum(other == tail or other.endswith(f".{tail}") for other in names) == 1:
            return tail
    return name


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_typed(value)


def ending(summary: Summary, reason: str | None) -> str:
    """The counts, why it ended early, and the best; for two objectives the front."""
    counts = {state: sum(record.state == state for record in summary.trials) for state in STATES.values()}
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"sweep {summary.name}: {said} of {summary.n_trials} trials{f'; ended: {reason}' if reason else ''}"]
    lines += [f"trial {r.number} failed, {r.cause}" for r in summary.trials if r.state == "failed"][:5]
    places = standings(summary)
    if places and len(summary.directions) == 1:
        lines += [
            f"{'best:' if not rank else '':<6}{sentence(summary, place)}" for rank, place in enumerate(places[:3])
        ]
    elif places:
        lines += [f"best: {sentence(summary, standings(summary, n)[0], n)}" for n in range(len(summary.objectives))]
    return "\n".join(lines)


def ordered(summary: Summary) -> list[Record]:
    """The best trial first; then those without a result, by number."""
    sign = -1 if summary.directions[0] == "maximize" else 1
    return sorted(
        summary.trials,
        key=lambda record: (record.values is None, sign * record.values[0] if record.values else record.number),
    )


def leaderboard(summary: Summary) -> str:
    """CSV: a line for each trial."""
    names = [parameter.name for parameter in summary.parameters]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "state", *summary.objectives, "epochs", "seconds", *names, "note", "run_id"])
    for record in ordered(summary):
        values = record.values or [""] * len(summary.objectives)
        seconds = "" if record.seconds is None else f"{record.seconds:.1f}"
        note = record.cause or ("" if record.reuses is None else f"same as trial {record.reuses}")
        params = [as_typed(record.params[name]) if name in record.params else "" for name in names]
        epochs = max(record.curve, default="") if record.curve else ""
        table.writerow([record.number, record.state, *values, epochs, seconds, *params, note, record.run_id or ""])
    return text.getvalue()


def where(plan: Plan) -> str:
    """The options by which `python -m sweeps` finds a study that is not in the usual place."""
    store = (plan.base.get("tracking") or {}).get("store", "mlruns")
    options = "" if store == "mlruns" else f" --store {quote(str(store))}"
    usual = plan.settings.storage == f"sqlite:///{store}/studies.db"
    return options if usual else f"{options} --storage {quote(plan.storage)}"
