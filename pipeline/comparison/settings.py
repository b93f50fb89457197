"""What differs between configurations, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.comparison.runs import Configuration

ABSENT = object()  # in a setting's values: this configuration has no such key


@dataclass(frozen=True)
class Setting:
    """A key of the configuration whose value is not the same everywhere, and keys that always have the same values."""

    keys: tuple[str, ...]
    values: tuple[Any, ...]  # of each configuration
    implied: bool = False  # by another name in its group: the layers of another model, another optimizer's arguments


def settings(found: Sequence[Configuration], with_seed: bool) -> Iterator[Setting]:
    """What differs between configurations; with_seed where they are single runs that differ in that too."""
    alike: dict[tuple, list[Setting]] = {}
    for key, values in _differing([each.runs[0].recipe for each in found], ""):
        # what is given once and used in several places, as dropout.rate is, is one setting
        place = (key.rpartition(".")[2], tuple(map(repr, values)))
        alike.setdefault(place, []).append(Setting((key,), tuple(values)))
    for same in alike.values():
        keys = sorted((each.keys[0] for each in same), key=len)
        yield Setting(tuple(keys), same[0].values, _implied(keys[0], same[0].values, found))
    others = {
        "seed": tuple(each.runs[0].seed for each in found) if with_seed else (),
        "data": tuple(each.data[:8] for each in found),
        "code": tuple(", ".join(sorted({run.code for run in each.runs})) for each in found),
    }
    yield from (Setting((key,), values) for key, values in others.items() if len(set(values)) > 1)


def _implied(key: str, values: Sequence[Any], found: Sequence[Configuration]) -> bool:
    group, _, rest = key.partition(".")
    nodes = [each.runs[0].recipe.get(group) for each in found]
    names = {node.get("name") for node in nodes if isinstance(node, Mapping)}
    return len(names) > 1 and rest != "name" and ("." in rest or any(_is_part(value) for value in values))


def _is_part(value: Any) -> bool:
    return value is ABSENT or isinstance(value, Mapping)


def _differing(nodes: Sequence[Any], prefix: str) -> Iterator[tuple[str, list[Any]]]:
    """Dotted keys and their values where these are not the same; a mapping that some lack stays whole."""
    if not all(isinstance(node, Mapping) for node in nodes):
        if any(node != nodes[0] for node in nodes):
            yield prefix, list(nodes)
        return
    keys = list(dict.fromkeys(key for node in nodes for key in node))
    named = "name" in keys and len({node.get("name") for node in nodes}) > 1  # the name says the _target_ too
    for key in keys:
        if not (named and key == "_target_"):
            yield from _differing([node.get(key, ABSENT) for node in nodes], f"{prefix}.{key}" if prefix else key)
