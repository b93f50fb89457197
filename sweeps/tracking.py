"""A study in MLflow: a parent run with figures, leaderboard, best configuration. Only this file here imports mlflow."""

import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from optuna.study import Study
from optuna.trial import TrialState

from pipeline.errors import PipelineError, first_line
from sweeps import report
from sweeps.drivers import Hold
from sweeps.loop import Loop
from sweeps.plan import Plan
from sweeps.study import trials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from pipeline.tracking.entries import Log

FIRST = 20.0  # seconds before the parent run has figures: a sweep of half a minute draws them once, at its end
SHARE = 0.05  # of the driver's time that may go into bringing it up to date
UNFIT = re.compile(r"[^\w ./:-]")  # for a parameter's name in MLflow: brackets, commas
STATES = ("complete", "pruned", "failed")


class Nowhere:
    """tracking=none, or another application's configuration."""

    run_id = None
    interrupted = False

    def update(self, loop: Loop) -> None: ...


class ParentRun:
    """One run for a study: found again when it is resumed. Its metrics have names of their own, by number of trials."""

    def __init__(self, client: "MlflowClient", log: "Log", plan: Plan, study: Study) -> None:
        self.client, self.log, self.plan, self.study = client, log, plan, study
        self.run_id, self.interrupted = log.run_id, False
        self.seen, self.next_time = -1, time.monotonic() + FIRST
        self.children: dict[int, str] = {}

    def update(self, loop: Loop) -> None:
        """Where trials have finished since the last time, if that isn't too soon, and has arrived."""
        if len(loop.ended) == self.seen or time.monotonic() < self.next_time or not loop.ended or self.log.busy:
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
        from pipeline.tracking.entries import put_file, put_metrics
        from sweeps import publish  # matplotlib, now that there is something to draw

        with suppress(PipelineError):  # no reason to wait for a server: those that it told of before must do
            answers(self.client)
            self.children = child_runs(self.client, self.plan.name)
        summary = report.summarize(self.study, self.children)
        counts = {f"trials_{state}": sum(each.state == state for each in summary.trials) for state in STATES}
        places = report.standings(summary)
        best = {"best_of_sweep": round(places[0].mean, 6)} if places else {}
        put_metrics(self.log, counts | best, step=sum(counts.values()))
        with tempfile.TemporaryDirectory() as name:
            publish.write(Path(name), summary, self.study, self.plan)
            if places:
                command = (Path(name) / "best_command.txt").read_text()
                said = f"**{report.sentence(summary, places[0])}**\n\n```\n{command}```"
                self.log.put({"tags": {"mlflow.note.content": said}})
            for file in sorted(Path(name).iterdir()):
                put_file(self.log, file.name, file.read_bytes())


@contextmanager
def parent(config: DictConfig, plan: Plan, study: Study, hold: Hold) -> Iterator[ParentRun | Nowhere]:
    """The parent run for as long as the sweep is driven; children that a dead driver left RUNNING are closed first.

    Raises PipelineError where a server doesn't answer at the start. Later it may be away: trials train on.
    """
    client, experiment_id = opened(config)
    if client is None:
        yield Nowhere()
        return
    from pipeline.tracking.entries import put_end
    from pipeline.tracking.outbox import IN_A_HURRY, patience

    send_left(config, IN_A_HURRY)
    with told(config):
        close_left_running(client, study)
        run_id = hold.alone(partial(_found_or_created, client, experiment_id, plan))
        client.update_run(run_id, status="RUNNING")
        client.set_tag(run_id, "objective", _objective(plan))
    with _log(config, client, experiment_id, run_id) as log:
        run = ParentRun(client, log, plan, study)
        status, state = "FAILED", "failed"
        try:
            _prepare_views(client, client.get_run(run_id))
            yield run
            status, state = ("KILLED", "killed") if run.interrupted else ("FINISHED", "complete")
        except SystemExit:
            status, state = "KILLED", "killed"
            raise
        finally:
            send_left(config, patience(config.tracking) if status == "FINISHED" else IN_A_HURRY)
            with suppress(Exception):  # a server that is away hears of them from their outboxes; so may the study be
                answers(client)
                close_left_running(client, study)
            run.try_to_write()
            log.put({"tags": {"state": state}})
            put_end(log, status)


@contextmanager
def _log(config: DictConfig, client: "MlflowClient", experiment_id: str, run_id: str) -> "Iterator[Log]":
    """Of a run that is there."""
    from pipeline.tracking import outbox
    from pipeline.tracking.entries import Direct
    from pipeline.tracking.server import is_server

    settings = config.tracking
    if is_server(settings.uri):
        run = {"uri": settings.uri, "experiment": config.dataset.name, "run_id": run_id}
        with outbox.opened(Path(settings.store), run, required=False, patience=outbox.patience(settings)) as log:
            yield log
        return
    with tempfile.TemporaryDirectory() as files:
        yield Direct(client, run_id, experiment_id, Path(files), _around(config))


def answers(client: "MlflowClient") -> None:
    """Raises PipelineError where the client's server doesn't, soon."""
    from pipeline.tracking import server

    if server.is_server(client.tracking_uri):
        server.check(client.tracking_uri, timeout=2)


def send_left(config: DictConfig, patience: float) -> None:
    """What trials on this host could not send."""
    from pipeline.tracking.outbox import deliver_left

    for _, error in deliver_left(Path(config.tracking.store), patience, socket.gethostname()):
        if error is not None:
            print(error, flush=True)


def opened(config: DictConfig) -> "tuple[MlflowClient | None, str | None]":
    """(client, id of the dataset's experiment) of the store that a configuration names; None where it names none."""
    settings = config.get("tracking") or {}
    if settings.get("name") != "mlflow":
        return None, None
    from pipeline.tracking.store import open_store

    with told(config):
        return open_store(settings.store, settings.uri, config.dataset.name)


def told(config: DictConfig) -> AbstractContextManager[None]:
    """Raises PipelineError for what the store that a configuration names, if it names one, refuses or fails at."""
    settings = config.get("tracking") or {}
    if settings.get("name") != "mlflow":
        return nullcontext()
    from pipeline.tracking import server

    return server.told(f"tracking in {settings.uri or settings.store}")


def _around(config: DictConfig) -> Path | None:
    from pipeline.tracking.store import existing_folder

    return None if config.tracking.uri else existing_folder(config.tracking.store).parent


def renew(client: "MlflowClient", config: DictConfig, plan: Plan, study: Study) -> None:
    """Bring a study's parent run up to date, where it has one."""
    from pipeline.tracking.entries import Direct

    for found in _runs(client, f"tags.kind = 'sweep' and tags.sweep = '{plan.name}'"):
        with tempfile.TemporaryDirectory() as files:
            log = Direct(client, found.info.run_id, found.info.experiment_id, Path(files), _around(config))
            ParentRun(client, log, plan, study).write()


def promoted(client: "MlflowClient", name: str) -> list[Any]:
    """The finished runs that promoted a study's best configuration, the latest first."""
    return _runs(client, f"tags.promotes = '{name}' and attributes.status = 'FINISHED'")


def is_registered(client: "MlflowClient", run: Any) -> bool:
    return bool(client.search_model_versions(f"run_id = '{run.info.run_id}'"))


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
    query += " and tags.state = 'complete'"  # a pruned one is FINISHED as well
    found = client.search_runs([experiment_id], f"{query} and attributes.status = 'FINISHED'", max_results=50)
    return [(run.info.end_time - run.info.start_time) / 1000 for run in found]


def _found_or_created(client: "MlflowClient", experiment_id: str, plan: Plan) -> str:
    """The id of a study's parent run, which says what is swept."""
    from mlflow.entities import Param

    from pipeline.tracking.params import headline
    from sweeps.space import describe

    run = _parent_run(client, plan.name) or _created(client, experiment_id, plan)
    if not run.data.params:
        swept = describe(plan.space)
        base = {key: value for key, value in headline(plan.base).items() if key not in swept}
        spaces = {f"swept/{UNFIT.sub(' ', name).strip(' _')}": text for name, text in swept.items()}
        client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in (base | spaces).items()])
    return run.info.run_id


def _parent_run(client: "MlflowClient", name: str) -> "Run | None":
    return next(iter(_runs(client, f"tags.kind = 'sweep' and tags.sweep = '{name}'")), None)


def _created(client: "MlflowClient", experiment_id: str, plan: Plan) -> "Run":
    """Where the answer was lost, the run may be there all the same: a second one would stay beside it."""
    from mlflow.exceptions import MlflowException

    from pipeline.tracking import git, server

    tags = {"kind": "sweep", "sweep": plan.name, "mlflow.source.name": "pipeline.train", "mlflow.source.type": "LOCAL"}
    commit = git.commit()
    tags |= {"git_commit": commit} if commit else {}
    try:
        with server.once():
            return client.create_run(experiment_id, run_name=plan.name, tags=tags)
    except MlflowException as error:
        if server.passes(error) and (run := _parent_run(client, plan.name)):
            return run
        raise


def _objective(plan: Plan) -> str:
    """`maximize best_val_accuracy`, of several one after the other."""
    aims = zip(plan.settings.directions, plan.about["objectives"], strict=True)
    return ", ".join(f"{direction} {name}" for direction, name in aims)


def _prepare_views(client: "MlflowClient", parent: "Run") -> None:
    from pipeline.tracking import views

    views.prepare(client, client.get_experiment(parent.info.experiment_id), views.of_sweep(parent))


def close_left_running(client: "MlflowClient", study: Study) -> None:
    """Trials of a sweep that no driver has in its hands now: their processes are gone."""
    query = f"tags.kind = 'run' and tags.sweep = '{study.study_name}' and attributes.status = 'RUNNING'"
    before, running, after = _in_hand(study), _runs(client, query), _in_hand(study)  # other drivers claim and finish
    for run in running:
        if run.data.tags.get("trial") not in before | after:
            client.set_terminated(run.info.run_id, "KILLED")
            client.set_tag(run.info.run_id, "state", "killed")


def _in_hand(study: Study) -> set[str]:
    return {str(trial.number) for trial in trials(study, TrialState.RUNNING)}


def child_runs(client: "MlflowClient", name: str) -> dict[int, str]:
    """Trial's number -> id of its latest run: an older study of this name may have been deleted."""
    latest_first = _runs(client, f"tags.kind = 'run' and tags.sweep = '{name}'")
    return {int(run.data.tags["trial"]): run.info.run_id for run in reversed(latest_first) if "trial" in run.data.tags}


def _runs(client: "MlflowClient", query: str) -> list[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs, token = [], None
    while True:
        page = client.search_runs(experiments, query, max_results=500, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
