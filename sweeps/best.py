"""The best configuration of a study, and the command that trains it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf
from optuna.study import Study

from pipeline.config import NOT_TRAINED, trained
from sweeps import study
from sweeps.plan import SWEEPS_OWN, Plan
from sweeps.space import as_typed, overrides


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
    # what the sweep's own file sets beside what it sweeps: options of groups first, then values
    groups = _groups_that_differ(plan.compose_run(plain), wanted)
    rest = list(_values_that_differ(trained(plan.compose_run([*groups, *plain])), trained(wanted), ""))
    shown = OmegaConf.masked_copy(wanted, [key for key in wanted if key not in NOT_TRAINED])
    return Best(OmegaConf.to_yaml(shown, resolve=True), (*groups, *plain, *rest))


def _is_sweeps_own(line: str) -> bool:
    (override,) = OverridesParser.create().parse_overrides([line])
    return override.key_or_group.partition(".")[0].partition("/")[0] in SWEEPS_OWN


def _groups_that_differ(plain: DictConfig, wanted: DictConfig) -> list[str]:
    then, now = plain.hydra.runtime.choices, wanted.hydra.runtime.choices
    unneeded = (*SWEEPS_OWN, *NOT_TRAINED)  # figures among them: trials may go without, whoever trains the best may not
    return [
        f"{group}={option}"
        for group, option in now.items()
        if not group.startswith("hydra/") and group not in unneeded and group in then and then[group] != option
    ]


def _values_that_differ(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """As overrides: key=value, ++key=value for one that is new, ~key for one that is gone."""
    for key, value in now.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and isinstance(then.get(key), Mapping):
            yield from _values_that_differ(then[key], value, f"{name}.")
        elif key not in then or value != then[key]:
            yield f"{'' if key in then else '++'}{name}={typed(value)}"
    yield from (f"~{prefix}{key}" for key in then if key not in now)


def typed(value: Any) -> str:
    """In Hydra's grammar."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{typed(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(typed, value)) + "]"
    if isinstance(value, str) and not re.fullmatch(r"[\w./-]+", value):
        return QuotedString(value, Quote.single).with_quotes()
    return as_typed(value)
