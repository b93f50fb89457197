"""Saved views of MLflow's UI: which columns and charts stand there at once, made of the files in saved_views/.

MLflow keeps a view as a tag of its experiment. The format is nowhere documented; it is that of 3.17.
"""

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf

from pipeline.errors import first_line
from pipeline.tracking.params import HEADLINE, column

FOLDER = Path(__file__).parent / "saved_views"
TAG = "mlflow.sharedViewState."
OURS = "sweepline"  # begins our keys; and holds our version in a view, which MLflow drops when a person changes it
MACHINE_LEARNING = "workflowType=machine_learning"  # else the UI opens on a page about GenAI
AXES = {"batch_size": "batch_size", "optimizer.learning_rate": "learning_rate"}  # studied alone: key -> view
# what every chart needs that no file should have to say
CHARTS = {
    "LINE": {"xAxisKey": "step", "yAxisKey": "metric", "scaleType": "linear", "xAxisScaleType": "linear"}
    | {"range": {}, "yAxisExpressions": [], "lineSmoothness": 0},
    "IMAGE": {"step": 0, "showRunParams": False},
    "PARALLEL": {"showAllRuns": True},
    "SCATTER": {},
}
METRICS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "best_val_accuracy", "best_epoch")
METRICS += ("test_accuracy", "test_loss", "test_calibration_error")
METRICS += ("weights", "train_images", "train_seconds", "images_per_second")
IMAGES = ("confusion_matrix", "kernels/conv1", "kernels/conv2", "kernels/conv3", "kernels/conv4")

_templates = Environment(
    loader=FileSystemLoader(FOLDER),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class View:
    """One saved view: a file in saved_views/ and what is put into it."""

    key: str
    template: str
    values: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Of all that makes the view, without making it."""
        made_of = Path(__file__).read_bytes() + (FOLDER / self.template).read_bytes()
        return hashlib.sha256(made_of + json.dumps(self.values).encode()).hexdigest()[:12]

    @cached_property
    def told(self) -> dict[str, Any]:
        text = _templates.get_template(self.template).render(**self.values)
        return OmegaConf.to_container(OmegaConf.create(text))

    @property
    def name(self) -> str:
        return self.told["name"]

    @property
    def path(self) -> str:
        """Behind an experiment's address."""
        return f"runs?{MACHINE_LEARNING}&viewStateShareKey={self.key}&compareRunsMode={self.told['mode']}"


def of_experiment() -> list[View]:
    """What every experiment has, the one to open first."""
    return [_view(name) for name in ("leaderboard", "curves_and_kernels")]


def of_sweep(parent: Run) -> list[View]:
    """What a study has, by what its parent run says of it, the one to open first."""
    tags, parameters = parent.data.tags, _swept(parent)
    aims = [aim.split(maxsplit=1) for aim in tags.get("objective", "maximize best_val_accuracy").split(", ")]
    values = {
        "sweep": tags["sweep"],
        "objectives": [name for _, name in aims],
        "minimize": aims[0][0] == "minimize",
        "swept": [each.column for each in parameters],
        "always": [each.column for each in parameters if each.always],
    }
    names = [AXES[each.key] for each in parameters if len(parameters) == 1 and each.key in AXES]
    return [_view(name, parent.info.run_id, **values) for name in (*names, "sweep")]


@dataclass(frozen=True)
class Swept:
    """A key that a study varies, and the parameter that its trials log for it; always: do all of them?"""

    key: str
    column: str
    always: bool


def _swept(parent: Run) -> list[Swept]:
    """From the parent's parameters: `swept/optimizer.learning_rate nesterov` = `0.003 to 0.1, log` and the like."""
    found = {}
    for name, values in sorted(parent.data.params.items()):
        room, _, words = name.partition("/")
        key, *under = words.split() if room == "swept" else [""]
        logged = column(key, log=values.endswith(", log"))
        if "." in key or key in HEADLINE:  # what else there is, trials don't log
            found[logged] = Swept(key, logged, always=not under or logged.removeprefix("log10 ") in HEADLINE)
    replicated = len(found) > 1  # the seed is no parameter then, but what error bars are made of
    return [each for each in found.values() if not (replicated and each.key == "seed")]


def prepare(client: MlflowClient, experiment: Experiment, views: Iterable[View]) -> None:
    """Write those that an experiment doesn't have as they are now; what a person changed stays as it is.

    Whatever a store has against it is said and no more: a run is worth more than a view.
    """
    now = int(time.time() * 1000)
    try:
        for view in views:
            before = _read(experiment.tags.get(TAG + view.key))
            if before is None or before.get(OURS) not in (None, view.version):
                written = _written(view, before.get("createdAt", now) if before else now, now)
                client.set_experiment_tag(experiment.experiment_id, TAG + view.key, written)
    except MlflowException as error:
        print(f"the saved views of {experiment.name} could not be written: {first_line(error)}", flush=True)


def are_read() -> bool:
    """Does the installed MLflow's UI know saved views of this kind?"""
    scripts = Path(mlflow.__file__).parent.glob("server/js/build/static/js/*.js")
    return any(TAG.encode() in script.read_bytes() for script in sorted(scripts, reverse=True))  # main.*.js, mostly


def _read(tag: str | None) -> dict[str, Any] | None:
    """What stands in the tag of a view; None where there is none, or nothing that anybody could read."""
    try:
        found = json.loads(tag or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _written(view: View, created: int, updated: int) -> str:
    state = base64.b64encode(zlib.compress(json.dumps(_state(view.told)).encode(), 9)).decode()
    about = {"name": view.name, "createdAt": created, "updatedAt": updated, OURS: view.version}
    return json.dumps(about | {"state": f"deflate;{state}"})


def _view(name: str, run_id: str = "", **values: Any) -> View:
    return View("-".join(filter(None, (OURS, name, run_id))), f"{name}.yaml", values)


def _state(told: Mapping[str, Any]) -> dict[str, Any]:
    """In MLflow's words: what is left out there has the UI's own default."""
    columns = {_column(name): max(8 * len(name.partition(".")[2]) + 40, 110) for name in told["columns"]}  # in pixels
    state: dict[str, Any] = {
        "searchFilter": told["filter"],
        "orderByKey": _column(told["order_by"]),
        "orderByAsc": told["ascending"],
        "selectedColumns": list(columns),
        "columnOrder": list(columns),  # which a race in MLflow 3.17 loses now and then; it is the alphabet's then
        "columnWidths": columns,
        "runsHiddenMode": told["shown"],
    }
    if by := told.get("group_by"):
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": by}]}
    if sections := told.get("sections"):
        state |= {"compareRunCharts": list(_charts(sections)), "isAccordionReordered": True}
        state["compareRunSections"] = [
            {"uuid": name, "name": name, "display": True, "isReordered": True}
            | {key: section[key] for key in ("columns", "cardHeight")}
            for name, section in sections.items()
        ]
    return state


def _charts(sections: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, section in sections.items():
        for number, chart in enumerate(section["charts"]):
            where = {"uuid": f"{name} {number}", "metricSectionId": name}
            first = {"metricKey": chart["selectedMetricKeys"][0]} if chart["type"] == "LINE" else {}
            yield where | CHARTS[chart["type"]] | first | chart
    # MLflow adds a chart for whatever no chart is of, or was
    hidden = [{"type": "BAR", "metricKey": metric} for metric in METRICS]
    if "kernels" not in sections:
        hidden += [{"type": "IMAGE", "imageKeys": [key]} for key in IMAGES]
    for card in hidden:
        yield card | {"uuid": f"no {card}", "metricSectionId": name, "deleted": True}


def _column(name: str) -> str:
    kind, _, name = name.partition(".")
    return f"{kind}.`{name}`"
