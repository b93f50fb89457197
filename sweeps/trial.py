"""One trial, wherever it runs: a training run that reports its epochs, and what came of it as plain data."""

import json
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from pipeline.errors import DivergedError, PipelineError, chain, first_line
from pipeline.tracking.params import column

Report = Callable[[int, Mapping[str, float]], bool]  # (epoch, its metrics) -> stop?

OBSERVER = {"_target_": "sweeps.trial.observer"}
RESULT = "result.json"


@dataclass(frozen=True)
class Result:
    """state: complete | pruned | failed; cause: diverged | out of memory | error | killed | timeout | invalid value."""

    state: str
    values: tuple[float, ...] | None = None
    cause: str | None = None
    message: str | None = None
    seconds: float | None = None


def as_result(found: Mapping[str, Any]) -> Result:
    """From JSON, where a tuple is a list."""
    return Result(**found | {"values": None if found["values"] is None else tuple(found["values"])})


class _Reporting:
    """The observer of the trial that this process runs: pipeline.contracts.Observer."""

    def __init__(self, report: Report) -> None:
        self.report, self.stopped = report, False

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        self.stopped = self.report(epoch, metrics)
        return self.stopped


_current: _Reporting | None = None


def observer() -> Callable[[int, Mapping[str, float]], bool | None]:
    """What a trial's configuration names under `observers`; outside of a sweep it watches nothing."""
    return _current if _current is not None else lambda epoch, metrics: None


def as_trial(
    cfg: DictConfig, number: int, *, study: str, parent_run: str | None, logarithmic: Sequence[str] = ()
) -> DictConfig:
    """Make a single run's configuration that of a trial: it reports, bears its study's tags, leaves the test split.

    Of keys that are swept on a logarithmic scale it logs the logarithm too, since MLflow's charts have linear axes.

    Keys that the application doesn't have are left out.
    """
    with open_dict(cfg):
        if "hydra" in cfg:
            cfg.hydra.sweeper = None  # refers to what goes now
            words = OmegaConf.to_container(cfg.hydra.overrides.hydra, resolve=False)
            cfg.hydra.overrides.hydra = [word for word in words if "hydra.sweeper" not in word]
        for key in ("sweep", "executor"):
            cfg.pop(key, None)
        if "evaluate" in cfg:
            cfg.evaluate = "val"
        if "observers" in cfg:
            cfg.observers = [*(cfg.observers or []), OBSERVER]
        if "tags" in (cfg.get("tracking") or {}):
            tags = {**cfg.tracking.tags, "sweep": study, "trial": str(number)}
            cfg.tracking.tags = tags | ({"mlflow.parentRunId": parent_run} if parent_run else {})
            cfg.tracking.run_name = f"{study} {number}"
        if "unsent" in (cfg.get("tracking") or {}):
            cfg.tracking.unsent = "keep"  # the result counts, whatever an MLflow server is doing
        if "id_file" in (cfg.get("tracking") or {}):
            cfg.tracking.id_file = None  # one file, many trials
        if "params" in (cfg.get("tracking") or {}):
            found = {key: OmegaConf.select(cfg, key) for key in logarithmic}
            logarithms = {column(key, log=True): round(math.log10(value), 4) for key, value in found.items() if value}
            cfg.tracking.params = {**cfg.tracking.params, **logarithms}
    return cfg


def as_job(cfg: DictConfig, number: int, objectives: int, digest: str) -> dict[str, Any]:
    """A trial as data: what a worker is sent."""
    config = OmegaConf.to_container(cfg, resolve=False, enum_to_str=True)
    return {"config": config, "number": number, "objectives": objectives, "digest": digest}


def folder(cfg: DictConfig, number: int) -> Path:
    """The absolute path of the folder that Hydra gives the job of this number."""
    with open_dict(cfg.hydra):
        cfg.hydra.job.num = number
        cfg.hydra.job.id = f"{cfg.hydra.job.name}_{number}"
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(cfg)  # sweep.subdir may ask for hydra:job.num
        return (Path(cfg.hydra.sweep.dir) / str(cfg.hydra.sweep.subdir)).resolve()
    finally:
        HydraConfig.instance().cfg = before
        OmegaConf.set_readonly(cfg.hydra, False)


def run(task: TaskFunction, cfg: DictConfig, report: Report, objectives: int) -> Result:
    """Train; never raises for what goes wrong in the training, only for a signal that ends the process."""
    global _current
    _current = watching = _Reporting(report)
    began = time.perf_counter()
    try:
        returned = task(cfg)
        if watching.stopped:
            return Result("pruned", seconds=time.perf_counter() - began)
        return _judge(returned, objectives, time.perf_counter() - began)
    except SystemExit as stop:
        if isinstance(stop.code, int) and stop.code > 128:
            raise  # a signal
        # an application's way to end with one line; what it was raised from says more
        said = stop.code if isinstance(stop.code, str) else f"exited with status {stop.code or 0}"
        return _failed(stop.__context__ or RuntimeError(said), time.perf_counter() - began)
    except Exception as error:
        if not isinstance(error, PipelineError):
            traceback.print_exc()  # the table has room for one line of it
        return _failed(error, time.perf_counter() - began)
    finally:
        _current = None


def _judge(returned: Any, objectives: int, seconds: float) -> Result:
    if objectives == 1 and not isinstance(returned, list | tuple):
        returned = [returned]
    try:
        values = tuple(float(value) for value in returned)
    except (TypeError, ValueError):
        wanted = "a number" if objectives == 1 else f"{objectives} numbers"
        said = returned[0] if objectives == 1 and len(returned) == 1 else returned
        return Result("failed", None, "invalid value", f"returned {said!r}; must be {wanted}", seconds)
    if len(values) != objectives:
        message = f"returned {len(values)} values; the study has {objectives} objectives"
        return Result("failed", None, "invalid value", message, seconds)
    if not all(map(math.isfinite, values)):
        said = ", ".join(map(str, values))
        return Result("failed", None, "diverged", f"the objective is {said}", seconds)
    return Result("complete", values, seconds=seconds)


def _failed(error: BaseException, seconds: float) -> Result:
    causes = list(chain(error))
    if any(isinstance(each, DivergedError) for each in causes):
        cause = "diverged"
    elif any(_is_out_of_memory(each) for each in causes):
        cause = "out of memory"
    else:
        cause = "error"
    kind = "" if isinstance(error, PipelineError) else f"{type(error).__name__}: "
    return Result("failed", None, cause, f"{kind}{first_line(error)}", seconds)


def _is_out_of_memory(error: BaseException) -> bool:
    """Python's, TensorFlow's and JAX's ways to say it."""
    return isinstance(error, MemoryError) or any(
        word in f"{type(error).__name__} {error}"
        for word in ("ResourceExhausted", "RESOURCE_EXHAUSTED", "out of memory")
    )


def keep(result: Result, folder: Path, digest: str) -> None:
    """Into the trial's folder, whole or not at all: what is finished survives the driver's death."""
    unfinished = folder / f"{RESULT}.unfinished"
    with suppress(OSError):  # a full disk costs this copy, not the trial
        with unfinished.open("w") as file:
            json.dump(asdict(result) | {"configuration": digest}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(folder / RESULT)


def kept(folder: Path, digest: str) -> Result | None:
    """The result of a trial of this configuration that finished, though nobody was there to hear of it."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads((folder / RESULT).read_text())
        if found.pop("configuration") != digest:
            return None
        return as_result(found)
    return None
