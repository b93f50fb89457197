"""The best configuration of a study, and the command that trains it."""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from optuna.study import Study

from sweeps import study
from sweeps.compose import NOT_TRAINED, trained
from sweeps.loop import Plan
from sweeps.space import as_typed, overrides

SWEEPS_OWN = ("sweep", "executor", "sampler", "pruner")  # groups and keys that a single run has no use for


@dataclass(frozen=True)
class Best:
    """config is YAML; overrides make exactly that of a single run."""

    config: str
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        return " ".join(["python -m pipeline.train", *map(quote, self.overrides)])


def of(plan: Plan, opened: Study, number: int) -> Best:
    """Of a trial."""
    lines = overrides(plan.space, study.trials(opened)[number].params)
    wanted = plan.compose(lines)
    plain = [line for line in lines if not _is_sweeps_own(line)]
    rest = [f"{key}={as_typed(value)}" for key, value in _differences(plan.compose_run(plain), wanted)]
    shown = OmegaConf.masked_copy(wanted, [key for key in wanted if key not in NOT_TRAINED])
    return Best(OmegaConf.to_yaml(shown, resolve=True), (*plain, *rest))


def _is_sweeps_own(line: str) -> bool:
    (override,) = OverridesParser.create().parse_overrides([line])
    return override.key_or_group.partition(".")[0].partition("/")[0] in SWEEPS_OWN


def _differences(plain: DictConfig, wanted: DictConfig) -> list[tuple[str, Any]]:
    """What the sweep's own file sets beside what it sweeps, as keys and values."""
    return list(_leaves_that_differ(trained(plain), trained(wanted), ""))


def _leaves_that_differ(then: Any, now: Any, prefix: str) -> Any:
    for key, value in now.items():
        name = f"{prefix}{key}"
        before = then.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _leaves_that_differ(before, value, f"{name}.")
        elif value != before:
            yield name, value
