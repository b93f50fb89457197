"""ask -> submit -> wait for the first to complete -> tell, until the budget is used up or there is reason to end."""

import concurrent.futures
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from omegaconf import DictConfig
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.errors import PipelineError
from sweeps import sampling
from sweeps import study as studies
from sweeps.drivers import DRIVER, Hold
from sweeps.ending import STOPPED, Ending
from sweeps.known import LASTING, counts_as_failure, failure, known
from sweeps.plan import Plan
from sweeps.space import overrides, suggest
from sweeps.storage import one_line
from sweeps.trial import Result

ENOUGH_TO_JUDGE = 5  # finished trials, before their failures say that a sweep is hopeless
GLANCE = 0.25  # seconds between looks at the clock and at the view
LOOK = 1.0  # seconds between looks at a study in which other drivers have what is left


@dataclass
class Active:
    """A trial that is being trained."""

    trial: Trial
    params: Mapping[str, Any]
    overrides: list[str]
    cfg: DictConfig
    digest: str
    slots: int  # how many trials may run beside each other, itself included
    began: float = field(default_factory=time.monotonic)
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """What is remembered of a trial; with its configuration, thousands of them would take a gigabyte."""

    number: int
    params: Mapping[str, Any]
    epoch: int
    result: Result


class Loop:
    """One driver's work on a study."""

    def __init__(
        self,
        plan: Plan,
        study: Study,
        hold: Hold,
        reclaim: Callable[[Collection[int]], list[FrozenTrial]],
    ) -> None:
        self.plan, self.study, self.hold, self.reclaim = plan, study, hold, reclaim
        self.lock = threading.Lock()  # reports come from the slots' threads
        self.active: dict[int, Active] = {}
        self.held: list[Active] = []  # equal to one in training: wait for its result
        self.slots = 0
        self.fitting = math.inf  # into memory, as far as is known
        self.ending = Ending(self.lock, plan.settings.max_hours)
        self.looked = 0.0  # when there was nothing to do but by other drivers
        self.ended: list[Ended] = []  # in this command, in their order
        self._learn(studies.trials(study))

    def _learn(self, trials: Sequence[FrozenTrial]) -> None:
        """What the study says: at the start, and where others write to it before each claim."""
        self.known = known(trials, self.plan, self._in_hand())
        for trial in trials:
            if trial.state == TrialState.COMPLETE and studies.FROM not in trial.user_attrs:
                self._compare_with_target(trial.number, trial.values)

    @property
    def to_do(self) -> int:
        """How many trials this driver may have before it, as far as is known."""
        return max(0, self.known.left) + self.known.waiting

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C has left trials for the next start."""
        return self.ending.reason == STOPPED and self.to_do > 0

    def _in_hand(self) -> set[int]:
        return {*self.active, *(active.trial.number for active in self.held)}

    def run(
        self,
        executor: concurrent.futures.Executor,
        submit: Callable[[Active], "concurrent.futures.Future[Result]"],
        slots: Callable[[], int],
        changed: Callable[["Loop"], Any],
    ) -> None:
        """Until done; slots says how many trials may be in training, now. changed hears when there is news to see.

        Raises PipelineError where too many trials fail, SystemExit where a signal says to stop now.
        """
        futures: dict[concurrent.futures.Future[Result], Active] = {}
        with self.ending.signals():
            try:
                while True:
                    self.slots = min(slots(), self.fitting)
                    while len(futures) < self.slots and (active := self._next()) is not None:
                        self.ending.submitting = True
                        futures[submit(active)] = active
                        self.ending.submitting = False
                    if not futures and not self._waits_for_others():
                        break
                    changed(self)  # now that every slot is at work
                    if not futures:
                        time.sleep(GLANCE)
                    done, _ = concurrent.futures.wait(futures, GLANCE, concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        self._finish(futures.pop(future), future.result())
                    self.ending.look()
                self.ending.look()
                self._let_go(self.held, self.ending.reason)
                changed(self)
            except BaseException:
                try:
                    executor.shutdown(cancel_futures=True)
                finally:
                    self._save(futures)
                raise
        executor.shutdown()

    def _save(self, futures: Mapping["concurrent.futures.Future[Result]", Active]) -> None:
        """Stopping: what has finished in the meantime is told, the rest comes again at the next start."""
        finished = {future: future.result() for future in futures if future.done() and not future.exception()}
        with self.lock, one_line():
            for future, active in futures.items():
                if future in finished and finished[future].state != "failed":
                    studies.tell(self.study, active.trial.number, finished[future])
                elif active.trial.number in self.active:
                    self._put_back(active, "the sweep was stopped", fault=False)
        self._let_go([*self.held, *self._running_here(futures)], "the sweep was stopped")

    def _let_go(self, those: Sequence[Active], message: str) -> None:
        with self.lock, one_line():
            for active in those:
                self._put_back(active, message, fault=False)

    def _waits_for_others(self) -> bool:
        """Whether other drivers train: should one of them die, its trials are there to be had."""
        return not self.ending.is_near and bool(self.known.elsewhere or self.held)

    def _running_here(self, futures: Mapping["concurrent.futures.Future[Result]", Active]) -> list[Active]:
        """A trial that was being submitted: an executor in this process trains there."""
        submitted = {active.trial.number for active in futures.values()}
        return [active for number, active in self.active.items() if number not in submitted]

    # --- the next trial

    def _next(self) -> Active | None:
        """A trial to train; those whose result is known already are told at once."""
        while True:
            active = self._pop_held() or self._ask()
            if active is None:
                return None
            if active.digest in self.known.trained:
                with suppress(UpdateFinishedTrialError):  # another driver has taken it over
                    self._reuse(active)
            elif active.digest in self.known.hopeless:
                with suppress(UpdateFinishedTrialError):
                    self._fail(active, self.known.hopeless[active.digest])
            elif self.ending.reason is not None:
                self._let_go([active], self.ending.reason)
            elif self._has_twin(active):
                self.held.append(active)
            else:
                self.active[active.trial.number] = active
                return active

    def _has_twin(self, active: Active) -> bool:
        """Whether an equal one is in training: of those at other drivers, one that was claimed earlier."""
        return any(active.digest == other.digest for other in self.active.values()) or any(
            active.digest == digest and number < active.trial.number for number, digest in self.known.elsewhere.items()
        )

    def _pop_held(self) -> Active | None:
        """One whose twin is no longer in training."""
        if self.held and self.hold.shared:
            with self.lock, one_line():
                self._learn(studies.trials(self.study))
        for active in self.held:
            if not self._has_twin(active):
                self.held.remove(active)
                return active
        return None

    def _ask(self) -> Active | None:
        if self.ending.is_near or len(self.held) > self.slots:
            return None
        if time.monotonic() < self.looked + LOOK:
            return None
        with self.lock, one_line():
            active = self.hold.alone(self._claim)
        if active is None and self.hold.shared:
            self.looked = time.monotonic()
        return active

    def _claim(self) -> Active | None:
        """The next trial of the study; None where the budget is used up. May be cut off anywhere, and begun again."""
        if self.hold.name is not None:
            self._learn(self.reclaim(self._in_hand()))
        if self.known.waiting:
            self.known.waiting -= 1
        elif self.known.left <= 0 or self.ending.reason is not None:
            return None
        else:
            if self.known.points is not None:
                point = next(self.known.points, None)
                if point is None:
                    return None
                self.study.enqueue_trial(point)
            self.known.left -= 1
        if self.hold.shared and not self.plan.is_grid:  # no two drivers draw the same
            self.study.sampler = self._sampler()
        trial = self.study.ask()
        if self.hold.name is not None:
            trial.set_user_attr(DRIVER, self.hold.name)
        suggest(trial, self.plan.space)
        self.plan.extend(trial)
        params = trial.params
        lines = overrides(self.plan.space, params)
        try:
            cfg = self.plan.compose(lines)
        except Exception:  # a custom_search_space may ask for what there isn't
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        digest = self.plan.digest(cfg)
        trial.set_user_attr(studies.CONFIGURATION, digest)
        return Active(trial, params, lines, cfg, digest, self.slots)

    def _sampler(self) -> BaseSampler:
        """With a seed of the next trial's own."""
        settings = self.plan.settings
        return sampling.sampler(settings.sampler, self.plan.space, settings.n_trials, len(studies.trials(self.study)))

    # --- what came of it

    def report(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """From a slot's thread: remember an epoch; whether the pruner says stop."""
        active = self.active[number]
        active.epoch, active.metrics = epoch, metrics
        metric = self.plan.settings.pruning_metric
        if metric not in metrics and self.plan.settings.pruner.get("_target_"):
            there = ", ".join(metrics)
            raise PipelineError(f"pruning_metric={metric}: is none of an epoch's metrics, which are {there}")
        if metric not in metrics or len(self.plan.settings.directions) > 1:
            return False
        try:
            with self.lock, one_line():
                active.trial.report(float(metrics[metric]), epoch)
                stop = active.trial.should_prune()
        except UpdateFinishedTrialError:
            return True  # another driver has taken it over
        if self.ending.submitting:  # executor=serial: a signal may have come while the study was written
            self.ending.look()
        return stop

    def _finish(self, active: Active, result: Result) -> None:
        del self.active[active.trial.number]
        if result.cause == "interrupted":
            with self.lock, one_line():
                self._put_back(active, result.message, fault=False)
            return
        if result.state == "failed":
            with suppress(UpdateFinishedTrialError):
                self._fail(active, result)
            return
        with self.lock, one_line():
            if not studies.tell(self.study, active.trial.number, result):
                return
        self.known.trained[active.digest] = active.trial.number
        self._remember(active, result)
        self._compare_with_target(active.trial.number, result.values)

    def _remember(self, active: Active, result: Result) -> None:
        self.known.finished += 1
        self.ended.append(Ended(active.trial.number, active.params, active.epoch, result))

    def _compare_with_target(self, number: int, values: Sequence[float] | None) -> None:
        target, sign = self.plan.settings.target, 1 if self.plan.settings.directions[0] == "maximize" else -1
        if target is not None and values and sign * values[0] >= sign * target:
            self.ending.because(f"trial {number} reached the target of {target:g}")

    def _reuse(self, active: Active) -> None:
        """Tell what an equal configuration gave."""
        number = self.known.trained[active.digest]
        with self.lock, one_line():
            twin = self.study.get_trials(deepcopy=False)[number]
            active.trial.set_user_attr(studies.REUSES, number)
            if len(self.plan.settings.directions) == 1:
                for epoch, value in twin.intermediate_values.items():
                    active.trial.report(value, epoch)
            values = twin.values if twin.state == TrialState.COMPLETE else None
            self.study.tell(active.trial.number, values, twin.state)
        state = "complete" if values else "pruned"
        self._remember(active, Result(state, tuple(values or ()) or None, message=f"same as trial {number}"))

    def _fail(self, active: Active, result: Result) -> None:
        """A killed process and, once, a lack of memory are no verdict on the trial; the rest is."""
        settings, attempt = self.plan.settings, self._attempt(active)
        with self.lock, one_line():
            if result.cause == "killed" and attempt < settings.retries:
                self._put_back(active, result.message, fault=True)
                return
            if result.cause == "out of memory" and active.slots > 1 and attempt < 1:
                self.slots = self.fitting = min(self.slots, active.slots // 2)
                self._put_back(active, f"{result.message}; {self.slots} slots from here on", fault=True)
                return
            active.trial.set_user_attr(studies.CAUSE, result.cause)
            active.trial.set_user_attr(studies.MESSAGE, result.message)
            worst = self._worst() if result.cause == "diverged" and settings.diverged == "worst" else None
            if worst is not None:
                self.study.tell(active.trial.number, worst)
            else:
                self.study.tell(active.trial.number, state=TrialState.FAIL)
        self._remember(active, result)
        if result.cause in LASTING:
            self.known.hopeless.setdefault(active.digest, failure(active.trial))
        if not counts_as_failure(result.cause, self.plan):
            return
        self.known.failed += 1
        failed, finished = self.known.failed, self.known.finished
        if failed > settings.max_failure_rate * finished and (
            finished >= ENOUGH_TO_JUDGE or settings.max_failure_rate == 0 or (self.known.left <= 0 and not self.active)
        ):
            raise PipelineError(
                f"sweep {self.plan.name}: ended, {failed} of {finished} trials failed "
                f"(max_failure_rate={settings.max_failure_rate:g}); trial {active.trial.number}: {result.message}"
            )

    def _attempt(self, active: Active) -> int:
        return active.trial.user_attrs.get(studies.ATTEMPT, 0)

    def _put_back(self, active: Active, message: str, *, fault: bool) -> None:
        self.hold.alone(partial(studies.put_back, self.study, active.trial.number, message, fault=fault))
        self.known.waiting += 1

    def _worst(self) -> float | None:
        values = [trial.value for trial in studies.trials(self.study, TrialState.COMPLETE)]
        return (min if self.plan.settings.directions[0] == "maximize" else max)(values, default=None)
