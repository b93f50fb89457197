"""A study in MLflow: a parent run with figures, leaderboard, best configuration. Only this file here imports mlflow."""

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from optuna.study import Study

from pipeline.errors import first_line
from sweeps import publish, report
from sweeps.loop import Loop, Plan

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FIRST = 20.0  # seconds before the parent run has figures: a sweep of half a minute draws them once, at its end
SHARE = 0.05  # of the driver's time that may go into bringing it up to date
UNFIT = re.compile(r"[^\w ./:-]")  # for a parameter's name in MLflow: brackets, commas
STATES = ("complete", "pruned", "failed")


class Nowhere:
    """tracking=none, or another application's configuration."""

    run_id = None

    def update(self, loop: Loop) -> None: ...


class ParentRun:
    """One run for a study: found again when it is resumed. Its metrics have names of their own, by number of trials."""

    def __init__(self, client: "MlflowClient", run_id: str, around: Path | None, plan: Plan, study: Study) -> None:
        self.client, self.run_id, self.around, self.plan, self.study = client, run_id, around, plan, study
        self.seen, self.next_time = -1, time.monotonic() + FIRST

    def update(self, loop: Loop) -> None:
        """Where trials have finished since the last time, and if that isn't too soon."""
        if len(loop.ended) == self.seen or time.monotonic() < self.next_time or not loop.ended:
            return
        self.seen, began = len(loop.ended), time.monotonic()
        self.try_to_write()
        self.next_time = time.monotonic() + (time.monotonic() - began) / SHARE

    def try_to_write(self) -> None:
        """Hours of training are worth more than a figure."""
        try:
            self.write()
        except Exception as error:
            print(f"the sweep's run in MLflow could not be brought up to date: {first_line(error)}", flush=True)

    def write(self) -> None:
        """Everything, as the study is now."""
        summary = report.summarize(self.study, child_runs(self.client, self.plan.name))
        counts = {f"trials_{state}": sum(each.state == state for each in summary.trials) for state in STATES}
        for key, value in counts.items():
            self.client.log_metric(self.run_id, key, value, step=sum(counts.values()))
        places = report.standings(summary)
        if places:
            self.client.log_metric(self.run_id, "best_of_sweep", round(places[0].mean, 6), step=sum(counts.values()))
        with tempfile.TemporaryDirectory() as name:
            publish.write(Path(name), summary, self.study, self.plan)
            command = Path(name) / "best_command.txt"
            if places:
                said = f"**{report.sentence(summary, places[0])}**\n\n```\n{command.read_text()}```"
                self.client.set_tag(self.run_id, "mlflow.note.content", said)
            # the store's paths are relative to the folder around it
            with chdir(self.around) if self.around else nullcontext():
                self.client.log_artifacts(self.run_id, name)


@contextmanager
def parent(config: DictConfig, plan: Plan, study: Study) -> Iterator[ParentRun | Nowhere]:
    """The parent run for as long as the sweep is driven; children that a dead driver left RUNNING are closed first."""
    client, experiment_id = opened(config)
    if client is None:
        yield Nowhere()
        return
    close_left_running(client, plan.name)
    found = _runs(client, f"tags.kind = 'sweep' and tags.sweep = '{plan.name}'")
    run_id = found[0].info.run_id if found else _create(client, experiment_id, config, plan)
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, "objective", _objective(plan))
    run = ParentRun(client, run_id, _around(config), plan, study)
    status, state = "FAILED", "failed"
    try:
        _prepare_views(client, client.get_run(run_id))
        yield run
        status, state = "FINISHED", "complete"
    except SystemExit:
        status, state = "KILLED", "killed"
        raise
    finally:
        close_left_running(client, plan.name)
        run.try_to_write()
        client.set_terminated(run_id, status)
        client.set_tag(run_id, "state", state)


def opened(config: DictConfig) -> "tuple[MlflowClient | None, str | None]":
    """(client, id of the dataset's experiment) of the store that a configuration names; None where it names none."""
    settings = config.get("tracking") or {}
    if settings.get("name") != "mlflow":
        return None, None
    from pipeline.tracking.store import open_store

    return open_store(settings.store, settings.uri, config.dataset.name)


def _around(config: DictConfig) -> Path | None:
    from pipeline.tracking.store import existing_folder

    return None if config.tracking.uri else existing_folder(config.tracking.store).parent


def renew(client: "MlflowClient", config: DictConfig, plan: Plan, study: Study) -> None:
    """Bring a study's parent run up to date, where it has one."""
    for found in _runs(client, f"tags.kind = 'sweep' and tags.sweep = '{plan.name}'"):
        ParentRun(client, found.info.run_id, _around(config), plan, study).write()


def promoted(client: "MlflowClient", name: str) -> list[Any]:
    """The finished runs that promoted a study's best configuration, the latest first."""
    return _runs(client, f"tags.promotes = '{name}' and attributes.status = 'FINISHED'")


def register(client: "MlflowClient", config: DictConfig, run: Any, name: str) -> str:
    """A run's model as the newest version of a registered one, with the alias champion. Returns the version."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # it exists already
        client.create_registered_model(name)
    with chdir(around) if (around := _around(config)) else nullcontext():
        version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id).version
    client.set_registered_model_alias(name, "champion", version)
    return version


def seconds_of_runs(config: DictConfig, plan: Plan) -> list[float]:
    """How long finished runs of the same model, data and epochs took, from their start to their end."""
    settings = config.get("tracking") or {}
    if settings.get("name") != "mlflow" or not (settings.uri or (Path(settings.store) / "mlflow.db").exists()):
        return []
    client, experiment_id = opened(config)
    base = plan.base
    query = f"tags.kind = 'run' and params.model = '{base.model.name}' and params.epochs = '{base.epochs}'"
    found = client.search_runs([experiment_id], f"{query} and attributes.status = 'FINISHED'", max_results=50)
    return [(run.info.end_time - run.info.start_time) / 1000 for run in found]


def _create(client: "MlflowClient", experiment_id: str, config: DictConfig, plan: Plan) -> str:
    from mlflow.entities import Param

    from pipeline.tracking import git
    from pipeline.tracking.params import headline
    from sweeps.space import describe

    tags = {"kind": "sweep", "sweep": plan.name, "mlflow.source.name": "pipeline.train", "mlflow.source.type": "LOCAL"}
    commit = git.commit()
    tags |= {"git_commit": commit} if commit else {}
    run_id = client.create_run(experiment_id, run_name=plan.name, tags=tags).info.run_id
    swept = describe(plan.space)
    base = {key: value for key, value in headline(plan.base).items() if key not in swept}
    spaces = {f"swept/{UNFIT.sub(' ', name).strip(' _')}": text for name, text in swept.items()}
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in (base | spaces).items()])
    return run_id


def _objective(plan: Plan) -> str:
    """`maximize best_val_accuracy`, of several one after the other."""
    aims = zip(plan.settings.directions, plan.about["objectives"], strict=True)
    return ", ".join(f"{direction} {name}" for direction, name in aims)


def _prepare_views(client: "MlflowClient", parent: "Run") -> None:
    from pipeline.tracking import views

    views.prepare(client, client.get_experiment(parent.info.experiment_id), views.of_sweep(parent))


def close_left_running(client: "MlflowClient", name: str) -> None:
    """Trials of a sweep that nobody drives now, whose processes are gone."""
    for run in _runs(client, f"tags.kind = 'run' and tags.sweep = '{name}' and attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id, "KILLED")
        client.set_tag(run.info.run_id, "state", "killed")


def child_runs(client: "MlflowClient", name: str) -> dict[int, str]:
    """Trial's number -> id of its run."""
    found = _runs(client, f"tags.kind = 'run' and tags.sweep = '{name}'")
    return {int(run.data.tags["trial"]): run.info.run_id for run in found if "trial" in run.data.tags}


def _runs(client: "MlflowClient", query: str) -> list[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs, token = [], None
    while True:
        page = client.search_runs(experiments, query, max_results=500, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
