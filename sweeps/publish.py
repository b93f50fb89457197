"""What a study leaves for people: figures, leaderboard, the best configuration and its command, and a page with all."""

import statistics
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

import optuna
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from pipeline import pages
from pipeline.errors import first_line
from sweeps import best, figures, report, study
from sweeps.contracts import Record, Summary, is_seed
from sweeps.plan import Plan
from sweeps.report import Standing
from sweeps.space import describe
from sweeps.view import span

PAGE = "report.html"
CAPTIONS = Path(__file__).parent / "pages" / "figures.yaml"
MOST_PLACES = 20  # on the leaderboard; all trials are below it
SHORT = 8  # characters of a run's id, by which it is found
ENOUGH_FOR_IMPORTANCES = 8  # complete trials


def write(folder: Path, summary: Summary, opened: Study, plan: Plan) -> list[str]:
    """As files. Returns their names."""
    for name, figure in drawn(summary, opened):
        figure.savefig(folder / f"{name}.png")
    (folder / "leaderboard.csv").write_text(report.leaderboard(summary))
    places = report.standings(summary)
    found = best.of(plan, opened, places[0].records[0].number) if places else None
    if found is not None:
        (folder / "best_config.yaml").write_text(found.config)
        (folder / "best_command.txt").write_text(f"{found.command}\n")
    try:
        (folder / PAGE).write_text(_page(folder, summary, plan, places, found), encoding="utf-8")
    except Exception as error:  # not worth the rest
        print(f"{PAGE}: could not be written, {type(error).__name__}: {first_line(error)}", flush=True)
    return sorted(path.name for path in folder.iterdir())


def drawn(summary: Summary, opened: Study) -> Iterator[tuple[str, Figure]]:
    """(name, figure) of what says something about this study, each drawn when it is asked for."""
    swept = [parameter.name for parameter in summary.parameters if not is_seed(parameter.name)]
    if len(summary.directions) > 1:
        yield "pareto", figures.pareto(summary)
    yield "history", figures.history(summary)
    if len(swept) == 1 and opened.user_attrs.get(study.ABOUT, {}).get("is_grid"):
        yield "grid_curve", figures.grid_curve(summary, swept[0])
    else:
        yield "slices", figures.slices(summary)
    if len(swept) > 1:
        yield "parallel_coordinates", figures.parallel_coordinates(summary)
        if scores := importances(opened):
            yield "importances", figures.importances(summary, scores)
    if any(record.curve for record in summary.trials):
        yield "all_curves", figures.all_curves(summary, swept[0] if len(swept) == 1 else None)
    if any(record.state == "pruned" for record in summary.trials):
        yield "rungs", figures.rungs(summary)


def importances(opened: Study) -> dict[str, float]:
    """PED-ANOVA (Watanabe et al. 2023) of the first objective, for parameters that all trials have."""
    complete = study.trials(opened, TrialState.COMPLETE)
    if len(complete) < ENOUGH_FOR_IMPORTANCES:
        return {}
    sign = -1 if opened.directions[0] == StudyDirection.MAXIMIZE else 1
    target = None if len(opened.directions) == 1 else lambda trial: sign * trial.values[0]
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the sign, which is right
            scores = optuna.importance.get_param_importances(opened, evaluator=evaluator, target=target)
    except (ValueError, RuntimeError):  # all trials equally good, or nothing that all of them have
        return {}
    return {name.lstrip("+_"): score for name, score in scores.items()}


def _page(folder: Path, summary: Summary, plan: Plan, places: Sequence[Standing], found: best.Best | None) -> str:
    """HTML, with the figures in the folder."""
    return pages.render(
        "study.html",
        package="sweeps",
        summary=summary,
        answer=answer(summary, places),
        tiles=_tiles(summary, places),
        leaders=[_leader(rank, place) for rank, place in enumerate(places[:MOST_PLACES], start=1)],
        trials=[_trial(record, len(summary.objectives)) for record in report.ordered(summary)],
        best=found,
        base=plan.base,
        space=describe(plan.space),
        promote=_promote(plan),
        figures=pages.captioned(((path.name, path.read_bytes()) for path in folder.glob("*.png")), CAPTIONS),
    )


def answer(summary: Summary, places: Sequence[Standing]) -> list[str]:
    """What the study says in a sentence; with several objectives, in one for each."""
    if not places:
        return ["No trial is complete yet."]
    if len(summary.objectives) > 1:
        return [_best_by(objective, summary) for objective in range(len(summary.objectives))]
    first, *others = places
    others = [place for place in others if bool(place.lost) == bool(first.lost)]  # means over survivors flatter
    if not others:
        return [f"{report.sentence(summary, first)}."]
    gap = abs(first.mean - others[0].mean)
    spread = max(first.std or 0.0, others[0].std or 0.0)
    tie = "; but runs that differ in their seed alone differ by more" if gap < spread else ""
    following = f", {report.said(others[0].params)}" if len(others[0].params) == 1 else ""
    ahead = f"{report.number(gap)} ahead of the next{following}{tie}"
    survived = report.seeds(first) if first.lost else ""
    return [f"The best is {report.said(first.params)}: {summary.objectives[0]} {_spread(first)}{survived}, {ahead}."]


def _best_by(objective: int, summary: Summary) -> str:
    first = report.standings(summary, objective)[0]
    word = "Highest" if summary.directions[objective] == "maximize" else "Lowest"
    return f"{word} {summary.objectives[objective]}: {_spread(first, objective)} with {report.said(first.params)}."


def _promote(plan: Plan) -> str | None:
    """The command; None for a study that is not kept, whose runs are not in MLflow, or whose data has no test split."""
    tracked = OmegaConf.select(plan.base, "tracking.name") == "mlflow"
    if plan.settings.storage is None or not tracked or OmegaConf.select(plan.base, "dataset.split.test") == 0:
        return None
    return f"python -m sweeps promote {quote(plan.name)}{report.where(plan)}"


def _spread(place: Standing, objective: int = 0) -> str:
    values = [record.values[objective] for record in place.records]
    spread = f" ± {report.number(statistics.stdev(values))}" if len(values) > 1 else ""
    return report.number(statistics.fmean(values)) + spread


def _tiles(summary: Summary, places: Sequence[Standing]) -> list[tuple[str, str]]:
    """(value, what it is)."""
    states = [record.state for record in summary.trials]
    tiles = [(f"{states.count('complete')} of {summary.n_trials}", "trials complete")]
    tiles += [(str(states.count(state)), state) for state in ("pruned", "failed", "running") if state in states]
    tiles += [(_spread(places[0]), f"{summary.objectives[0]} of the best")] if places else []
    return [*tiles, (span(sum(record.seconds or 0.0 for record in summary.trials)), "of training, in all trials")]


def _leader(rank: int, place: Standing) -> list[str]:
    objectives = range(len(place.records[0].values))
    reached = [_spread(place, objective) for objective in objectives]
    return [str(rank), *reached, report.count(place), report.said(place.params)]


def _trial(record: Record, objectives: int) -> list[str]:
    reached = [report.number(value) for value in record.values] if record.values else [""] * objectives
    epochs = str(max(record.curve)) if record.curve else ""
    seconds = "" if record.seconds is None else f"{record.seconds:.0f}"
    note = record.cause or ("" if record.reuses is None else f"same as trial {record.reuses}")
    said = f"{report.said(record.params)}{f' ({note})' if note else ''}"
    return [str(record.number), record.state, *reached, epochs, seconds, said, (record.run_id or "")[:SHORT]]
