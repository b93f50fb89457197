"""The Hydra plugin `hydra/sweeper=optuna`: a thin shell around sweeps.sweep.

It stands at the address of the official plugin and takes its keys, so that files written for that one run unchanged.
Hydra executes this module at every start: nothing is imported here that takes time.
"""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Optuna over Hydra: trials start as slots fall free, and a study resumes where it was left."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Returns the finished jobs of this command, in lists of n_jobs, where they ran in this process."""
        from sweeps.sweep import sweep

        return sweep(self.config, self.hydra_context, self.task_function, self.settings, arguments)


SWEEPER = {
    "_target_": f"{OptunaSweeper.__module__}.OptunaSweeper",
    "_recursive_": False,
    "defaults": [{"sampler": "auto"}],
    # the official plugin's keys
    "direction": None,  # null: by the names in `objective`, where the application has that; else minimize
    "storage": None,  # in memory: no resuming
    "study_name": None,
    "n_trials": 20,  # in all, over every start of the command
    "n_jobs": 1,
    "max_failure_rate": 0.0,
    "params": None,
    "custom_search_space": None,
    # what that one has not
    "pruner": None,
    "pruning_metric": None,  # which of an epoch's metrics the pruner sees
    "executor": None,  # null: in this process, through hydra/launcher
    "retries": 2,
    "diverged": "fail",
    "target": None,
    "max_hours": None,
    "enqueue": None,
    "warm_start": None,
    "shared": False,  # several hosts run the same command on one study
    "check": None,  # a function of a trial's configuration that raises where it cannot be right
}
SAMPLERS = {
    "auto": None,  # a grid where the space is finite, else TPE
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "grid": "GridSampler",
}

ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=SWEEPER, provider="optuna_sweeper")
for option, sampler in SAMPLERS.items():
    node = {"_target_": sampler and f"optuna.samplers.{sampler}", "seed": None}
    ConfigStore.instance().store(group="hydra/sweeper/sampler", name=option, node=node, provider="optuna_sweeper")
