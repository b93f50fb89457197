"""The whole story of a sweep: the space, the study, the slots, the loop, and what is left behind."""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from pipeline.config import trained
from pipeline.errors import PipelineError
from sweeps import best, drivers, report, sampling, slots, space, storage, study, tracking, trial
from sweeps.compose import digest
from sweeps.loop import Active, Loop
from sweeps.plan import Plan, make_plan
from sweeps.process import Report
from sweeps.view import view


def sweep(
    config: DictConfig,
    context: HydraContext,
    task: TaskFunction,
    given: Mapping[str, Any],
    arguments: Sequence[str],
) -> list[list[JobReturn]]:
    """Run, or resume, the sweep that a MULTIRUN configuration describes.

    Raises PipelineError for what cannot be right, before the first trial, and SystemExit where Ctrl-C has left trials.
    Returns the jobs that ran in this process, in lists of n_jobs.
    """
    plan = make_plan(config, context.config_loader, given, arguments)
    started = None if _is_serial(plan) else _in_processes(plan, task, Path(config.hydra.sweep.dir))
    folder = Path(config.hydra.sweep.dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    url, shared = plan.settings.storage, plan.settings.shared
    store = storage.storage(url)
    storage.keep_from_workers(store, plan.storage, plan.base)
    with drivers.only_driver(store, url, folder, plan.name, shared=shared) as hold:
        OmegaConf.save(config, folder / "multirun.yaml")
        opened = hold.alone(partial(open_study, plan, store))
        reclaim = partial(study.reclaim, opened, hold, partial(_kept, plan))
        hold.alone(reclaim)
        driver = Loop(plan, opened, hold, reclaim)
        with (
            started(driver) if started else nullcontext() as executor,  # its processes get ready while MLflow is opened
            tracking.parent(config, plan, opened, hold) as parent,
            view(plan, opened) as shown,
        ):
            logarithmic = space.logarithmic(plan.space)
            as_trial = partial(trial.as_trial, study=plan.name, parent_run=parent.run_id, logarithmic=logarithmic)
            if executor is None:
                executor = InProcess(config, context, task, as_trial, len(plan.settings.directions), driver.report)
                submit = executor.submit
            else:
                submit = partial(_submit_as_data, executor, as_trial, len(plan.settings.directions))
            driver.run(executor, submit, lambda: executor.slots, lambda loop: (shown(loop), parent.update(loop)))
            parent.interrupted = driver.interrupted
        conclude(plan, opened, folder, driver)
    if driver.interrupted:
        raise SystemExit(128 + signal.SIGINT)  # for a shell, which would go on with what comes after the sweep
    returns, jobs = getattr(executor, "returns", []), plan.settings.n_jobs
    return [returns[start : start + jobs] for start in range(0, len(returns), jobs)]


def _is_serial(plan: Plan) -> bool:
    return plan.settings.executor.get("name", "serial") == "serial"


def _in_processes(plan: Plan, task: TaskFunction, folder: Path) -> Callable[[Loop], Executor]:
    """Starts what trains each trial in a process of its own, and reports its epochs to a driver.

    Raises PipelineError, before there is a study, for what cannot be.
    """
    asked, n_jobs = plan.settings.executor, plan.settings.n_jobs
    if asked["name"] == "dask":
        cluster = _cluster()
        client = cluster.connect(asked, n_jobs)
        of_dask = partial(cluster.DaskExecutor, client, asked, n_jobs, reference(task), str(folder))
        return lambda driver: of_dask(driver.report)
    trials, timeout, imports = asked.get("trials_per_worker", 1), asked.get("timeout"), asked.get("imports") or ()
    log = (folder / "workers.log").resolve()
    local = partial(slots.LocalExecutor, places_of(plan), reference(task), log, trials, timeout)
    return lambda driver: local(driver.report, imports, ready=driver.to_do)


def _cluster() -> ModuleType:
    """Raises PipelineError where Dask is not installed."""
    try:
        from sweeps import cluster
    except ModuleNotFoundError as error:
        raise PipelineError(f"executor=dask: {error.name} is not installed; pip install -e '.[cluster]'") from error
    return cluster


def _submit_as_data(
    executor: Executor, as_trial: Callable[..., DictConfig], objectives: int, active: Active
) -> "Future[trial.Result]":
    number = active.trial.number
    return executor.submit(number, trial.as_job(as_trial(active.cfg, number), number, objectives, active.digest))


def conclude(plan: Plan, opened: Study, folder: Path, driver: Loop) -> None:
    """The last lines, and the file in which the official plugin leaves the best."""
    summary = report.summarize(opened)
    places = report.standings(summary)
    if len(plan.settings.directions) > 1:
        solutions = [each for each in opened.best_trials if study.REUSES not in each.user_attrs]
        front = [{"params": each.params, "values": each.values} for each in solutions]
        found: dict[str, Any] = {"name": "optuna", "solutions": front}
    else:
        best_trial = study.trials(opened)[report.ordered(summary)[0].number] if places else None
        found = {"name": "optuna"}
        found |= {"best_params": best_trial.params, "best_value": best_trial.value} if best_trial else {}
    OmegaConf.save(OmegaConf.create(found), folder / "optimization_results.yaml")
    print(report.ending(summary, driver.ending.reason))
    if driver.interrupted and plan.settings.storage is not None:
        print("go on with it:   the same command")
    if "objective" not in plan.base:  # another application: its commands are its own
        return
    if places:
        print(f"train it again:  {best.of(plan, opened, places[0].records[0].number).command}")
    if plan.settings.storage is not None:
        print(f"look at it:      python -m sweeps report {quote(plan.name)}{report.where(plan)}", flush=True)


def open_study(plan: Plan, store: BaseStorage) -> Study:
    """The study, new or as it was left, with its sampler and pruner."""
    asked = plan.settings
    if asked.warm_start == plan.name:
        raise PipelineError(f"warm_start={plan.name}: must be another sweep than the one that is to know its trials")
    older = study.existing(store, asked.warm_start) if asked.warm_start else None  # refused before there is a study
    swept = space.describe(plan.space)
    opened = study.open_study(store, plan.name, asked.directions, swept, trained(plan.base), plan.content)
    with storage.one_line():
        opened.set_user_attr(study.ABOUT, plan.about)
        seen = len(study.trials(opened))
        sampler = sampling.sampler(asked.sampler, plan.space, asked.n_trials, seen)
        opened.pruner = sampling.pruner(asked.pruner)
        if sampler is not None:
            opened.sampler = sampler
        if older is not None:
            study.take_over(opened, older, plan.space)
        study.enqueue(opened, asked.enqueue, plan.space)
    return opened


def _kept(plan: Plan, left: FrozenTrial) -> trial.Result | None:
    """The result that a trial left in its folder, where it got so far."""
    try:
        cfg = plan.compose(space.overrides(plan.space, left.params))
    except KeyError:  # killed before it had all its parameters
        return None
    return trial.kept(trial.folder(cfg, left.number), digest(cfg))


def places_of(plan: Plan) -> list[slots.Slot]:
    """The slots there are now. Raises PipelineError where there are none."""
    executor, n_jobs = plan.settings.executor, plan.settings.n_jobs
    if _is_serial(plan):
        return [slots.Slot("this process", {})]
    if executor["name"] == "dask":
        return _cluster().places_now(executor, n_jobs)
    return slots.slots(executor, n_jobs, slots.this_machine(executor))


def reference(task: TaskFunction) -> str:
    """By which another process finds the task: module:name, or file.py:name for a script."""
    module, name = sys.modules[task.__module__], task.__qualname__
    if "<locals>" in name:
        raise PipelineError(f"executor: {name} can only be run in this process; take executor=serial")
    if module.__name__ != "__main__":
        return f"{module.__name__}:{name}"
    return f"{module.__spec__.name if module.__spec__ else Path(module.__file__).resolve()}:{name}"


class InProcess(Executor):
    """executor=serial: each trial through Hydra's own launcher, in this process as long as that is the basic one."""

    def __init__(
        self,
        config: DictConfig,
        context: HydraContext,
        task: TaskFunction,
        as_trial: Callable[..., DictConfig],
        objectives: int,
        report: Report,
    ) -> None:
        self.task, self.as_trial, self.objectives, self.report = task, as_trial, objectives, report
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=context, task_function=self._train
        )
        self.returns: list[JobReturn] = []
        self.slots = 1

    def submit(self, active: Active) -> "Future[trial.Result]":
        self.number, self.digest = active.trial.number, active.digest
        self.returns += self.launcher.launch([active.overrides], initial_job_idx=self.number)
        future: Future[trial.Result] = Future()
        future.set_result(self.result)
        return future

    def _train(self, cfg: DictConfig) -> Any:
        returned = []

        def task(cfg: DictConfig) -> Any:
            returned.append(self.task(cfg))
            return returned[0]

        self.result = trial.run(
            task, self.as_trial(cfg, self.number), partial(self.report, self.number), self.objectives
        )
        trial.keep(self.result, Path(HydraConfig.get().runtime.output_dir), self.digest)
        return returned[0] if returned else None
