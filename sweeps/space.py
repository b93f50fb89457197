"""What is swept: Hydra's override grammar -> Optuna's distributions, checked before anything is launched.

A parameter is `key: expression`, as on the command line. Where a value brings parameters of its own, a mapping stands
in place of the expression: `optimizer: {adam: {optimizer.learning_rate: ...}, sgd: {...}}`. A key with a leading
underscore names a choice that is no override by itself.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, Transformer
from hydra.errors import HydraException
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.errors import PipelineError
from sweeps.contracts import Parameter


@dataclass(frozen=True)
class Swept:
    """One parameter. `name` is Optuna's: the key, and in brackets the choices under which it is active."""

    key: str
    name: str
    distribution: BaseDistribution
    branches: Mapping[Any, "Space"] = field(default_factory=dict)

    def override(self, value: Any) -> list[str]:
        """As Hydra's command line takes it."""
        return [] if self.key.startswith("_") else [f"{self.key}={as_typed(value)}"]


@dataclass(frozen=True)
class Space:
    """In the order they were given: parameters, and overrides that are the same for every trial which gets here."""

    items: tuple[Swept | str, ...] = ()

    @property
    def parameters(self) -> tuple[Swept, ...]:
        return tuple(item for item in self.items if isinstance(item, Swept))


def as_typed(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)


def read(params: Mapping[str, Any], arguments: Sequence[str]) -> Space:
    """A sweep file's params, and the command line, which wins over them.

    Raises PipelineError for what cannot be swept.
    """
    given = {override.get_key_element(): override for override in _parse(arguments)}
    bare = {key.lstrip("+~"): key for key in given}
    items: list[Swept | str] = []
    for key, value in params.items():
        if key.lstrip("+~") not in bare:
            items += _branch({key: value}, (), bare.keys()).items
        elif isinstance(value, Mapping) and (named := _named(given[bare[key.lstrip("+~")]])) <= value.keys():
            # some of the options: they bring what stands under them
            del given[bare[key.lstrip("+~")]]
            chosen = {option: below for option, below in value.items() if option in named}
            others = bare.keys() - {key}
            items += _branch({key: chosen}, (), others).items if len(chosen) > 1 else _only(key, chosen, others)
    return Space((*items, *(_item(key, override, ()) for key, override in given.items())))


def _named(override: Override) -> set[str]:
    """The options that a command line names for a choice."""
    if override.is_delete() or override.is_interval_sweep():
        return {""}
    if override.is_sweep_override():
        return {as_typed(_as_choice(value)) for value in override.sweep_iterator(transformer=Transformer.encode)}
    return {override.get_value_element_as_str()}


def _only(key: str, chosen: Mapping[str, Any], taken: Collection[str]) -> tuple[Swept | str, ...]:
    ((option, below),) = chosen.items()
    return (f"{key}={option}", *_branch(below or {}, (str(option),), taken).items)


def _branch(params: Mapping[str, Any], under: tuple[str, ...], taken: Collection[str]) -> Space:
    """taken are the keys that the command line decides, wherever they stand."""
    items: list[Swept | str] = []
    for key, value in params.items():
        if under and str(key).lstrip("+~") in taken:
            continue
        if isinstance(value, Mapping):
            items.append(_conditional(str(key), value, under, taken))
        else:
            (override,) = _parse([f"{key}={_listed(value) if _is_list(value) else as_typed(value)}"])
            items.append(_item(str(key), override, under))
    return Space(tuple(items))


def _item(key: str, override: Override, under: tuple[str, ...]) -> Swept | str:
    return (
        Swept(key, _name(key, under), distribution(override)) if override.is_sweep_override() else override.input_line
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _listed(value: Sequence[Any]) -> str:
    """A YAML list as a choice; Hydra's choice() takes one value, but no null, and a,b takes null, but not one value."""
    texts = ",".join(map(as_typed, value))
    return texts if len(value) > 1 else f"choice({texts})"


def _conditional(key: str, options: Mapping[str, Any], under: tuple[str, ...], taken: Collection[str]) -> Swept:
    choices = [_as_choice(option) for option in options]
    if not choices:
        raise PipelineError(f"{key}: a choice needs options: {{option: {{key: expression}}}}")
    branches = {
        choice: _branch(params or {}, (*under, str(option)), taken)
        for choice, (option, params) in zip(choices, options.items(), strict=True)
    }
    return Swept(key, _name(key, under), CategoricalDistribution(choices), branches)


def _name(key: str, under: tuple[str, ...]) -> str:
    return f"{key}[{','.join(under)}]" if under else key


def _parse(lines: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(lines))


def _as_choice(value: Any) -> Any:
    """What Optuna stores: a plain value as it is, anything else as the text that Hydra reads."""
    if isinstance(value, QuotedString):
        return value.with_quotes()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return Override._get_value_element_as_str(value)


def distribution(override: Override) -> BaseDistribution:
    """Of a swept override. `range` excludes its stop, as everywhere in Hydra. Raises PipelineError for an empty one."""
    value, line = override.value(), override.input_line
    if override.is_interval_sweep():
        low, high, log = value.start, value.end, "log" in value.tags
        if log and low <= 0:
            raise PipelineError(f"{line}: a log scale needs a low end above 0")
        if low >= high:
            raise PipelineError(f"{line}: the low end must be below the high end")
        kind = IntDistribution if isinstance(low, int) else FloatDistribution
        return kind(low, high, log=log)
    if override.is_range_sweep() and not value.shuffle and "log" not in value.tags:
        return _stepped(value, line)
    try:
        choices = list(dict.fromkeys(map(_as_choice, override.sweep_iterator(transformer=Transformer.encode))))
    except HydraException as error:
        raise PipelineError(f"{line}: {error}") from error
    if not choices:
        raise PipelineError(f"{line}: has no value to try")
    return CategoricalDistribution(choices)


def _stepped(value: Any, line: str) -> BaseDistribution:
    start, stop, step = (Decimal(str(part)) for part in (value.start, value.stop, value.step))
    count = math.ceil((stop - start) / step) if step else 0
    if count <= 0:
        raise PipelineError(f"{line}: has no value to try")
    low, high = sorted((start, start + (count - 1) * step))
    if all(isinstance(part, int) for part in (value.start, value.stop, value.step)):
        return IntDistribution(int(low), int(high), step=abs(int(step)))
    return FloatDistribution(float(low), float(high), step=float(abs(step)))


def suggest(trial: Trial, space: Space) -> None:
    """Let the sampler choose every active parameter."""
    for swept in space.parameters:
        value = _suggest(trial, swept.name, swept.distribution)
        if swept.branches:
            suggest(trial, swept.branches[value])


def _suggest(trial: Trial, name: str, given: BaseDistribution) -> Any:
    if isinstance(given, CategoricalDistribution):
        return trial.suggest_categorical(name, given.choices)
    if isinstance(given, IntDistribution):
        return trial.suggest_int(name, given.low, given.high, step=given.step, log=given.log)
    return trial.suggest_float(name, given.low, given.high, step=given.step, log=given.log)


def overrides(space: Space, params: Mapping[str, Any]) -> list[str]:
    """The overrides that make a trial of its parameters, in the order of the space; then those it doesn't know."""
    lines, names = _overrides(space, params)
    return [*lines, *(f"{name}={as_typed(value)}" for name, value in params.items() if name not in names)]


def _overrides(space: Space, params: Mapping[str, Any]) -> tuple[list[str], set[str]]:
    lines, names = [], set()
    for item in space.items:
        if isinstance(item, str):
            lines.append(item)
            continue
        value = params[item.name]
        names.add(item.name)
        lines += item.override(value)
        if item.branches:
            more, known = _overrides(item.branches[value], params)
            lines += more
            names |= known
    return lines, names


def walk(space: Space) -> Iterator[Swept]:
    """Every parameter, a choice before what stands under it."""
    for swept in space.parameters:
        yield swept
        for branch in swept.branches.values():
            yield from walk(branch)


def is_finite(space: Space) -> bool:
    return all(_is_discrete(swept.distribution) for swept in walk(space))


def _is_discrete(given: BaseDistribution) -> bool:
    return not (isinstance(given, FloatDistribution) and given.step is None) and not getattr(given, "log", False)


def values(swept: Swept) -> list[Any]:
    """All values of a discrete parameter. Raises PipelineError for a continuous one."""
    given = swept.distribution
    if isinstance(given, CategoricalDistribution):
        return list(given.choices)
    if not _is_discrete(given):
        raise PipelineError(
            f"{swept.key}: a grid needs values, not an interval; give a list or range(low, high, step), or sampler=tpe"
        )
    low, high, step = (Decimal(str(part)) for part in (given.low, given.high, given.step))
    return [type(given.low)(low + number * step) for number in range(int((high - low) / step) + 1)]


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every point of a finite space, the last parameter changing fastest."""
    axes = []
    for swept in space.parameters:
        axes.append(
            [
                {swept.name: value} | below
                for value in values(swept)
                for below in (grid(swept.branches[value]) if swept.branches else ({},))
            ]
        )
    for point in product(*axes):
        yield {name: value for part in point for name, value in part.items()}


def size(space: Space) -> int:
    """The number of points of a finite space."""
    return math.prod(map(_count, space.parameters))


def _count(swept: Swept) -> int:
    given = swept.distribution
    if isinstance(given, CategoricalDistribution):
        return sum(size(swept.branches[value]) if swept.branches else 1 for value in given.choices)
    return round((given.high - given.low) / given.step) + 1


def named(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """A point by its keys -> by Optuna's names; what no active branch knows keeps its key."""
    left, found = dict(point), {}
    for swept in space.parameters:
        for key in (swept.name, swept.key):
            if key in left:
                found[swept.name] = left.pop(key)
        if found.get(swept.name) in swept.branches:
            below = named(swept.branches[found[swept.name]], left)
            known = {each.name for each in walk(swept.branches[found[swept.name]])}
            found |= {name: value for name, value in below.items() if name in known}
            left = {name: value for name, value in below.items() if name not in known}
    return found | left


def samples(space: Space) -> Iterator[dict[str, Any]]:
    """A few points that together have every value of every choice, and both ends of every interval."""
    first = {name: value for swept in space.parameters for name, value in _first(swept).items()}
    yield first
    for swept in space.parameters:
        for value in _corners(swept.distribution):
            others = {name: other for name, other in first.items() if name not in _first(swept)}
            below = samples(swept.branches[value]) if swept.branches else ({},)
            yield from (others | {swept.name: value} | each for each in below)


def _first(swept: Swept) -> dict[str, Any]:
    value = _corners(swept.distribution)[0]
    return {swept.name: value} | (next(samples(swept.branches[value])) if swept.branches else {})


def _corners(given: BaseDistribution) -> Sequence[Any]:
    return given.choices if isinstance(given, CategoricalDistribution) else (given.low, given.high)


def describe(space: Space) -> dict[str, Any]:
    """For a person and for comparison with an older study: names and what they may be."""
    return {swept.name: _describe(swept.distribution) for swept in walk(space)}


def _describe(given: BaseDistribution) -> str:
    if isinstance(given, CategoricalDistribution):
        return ", ".join(map(as_typed, given.choices))
    step = f" by {given.step!r}" if given.step not in (None, 1) else ""
    return f"{given.low!r} to {given.high!r}{step}{', log' if given.log else ''}"


def parameters(space: Space) -> tuple[Parameter, ...]:
    """As the figures need them."""
    return tuple(
        Parameter(
            swept.name.lstrip("+_"),
            log=getattr(swept.distribution, "log", False),
            choices=getattr(swept.distribution, "choices", None),
        )
        for swept in walk(space)
    )


def logarithmic(space: Space) -> list[str]:
    """The keys that are swept on a logarithmic scale."""
    found = [swept.key.lstrip("+") for swept in walk(space) if getattr(swept.distribution, "log", False)]
    return list(dict.fromkeys(found))
