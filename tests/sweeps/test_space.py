"""Hydra's grammar -> Optuna's distributions; conditional spaces; what cannot be swept."""

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.errors import PipelineError
from sweeps.space import describe, grid, is_finite, overrides, read, samples, size, suggest

CONDITIONAL = {
    "optimizer": {
        "adam": {"optimizer.learning_rate": "tag(log, interval(1e-4, 1e-1))"},
        "sgd": {"optimizer.learning_rate": "tag(log, interval(1e-2, 1))", "optimizer.momentum": "range(0, 1, 0.5)"},
    },
    "_depth": {1: {"model.layers.conv2": "null"}, 2: {}},
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=1,2,3", CategoricalDistribution([1, 2, 3])),
        ("a=choice(x,y)", CategoricalDistribution(["x", "y"])),
        ("a=true,null", CategoricalDistribution([True, "null"])),
        ("a=range(1,4)", IntDistribution(1, 3)),
        ("a=range(0,10,4)", IntDistribution(0, 8, step=4)),
        ("a=range(0,0.8,0.1)", FloatDistribution(0, 0.7, step=0.1)),
        ("a=range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("a=interval(0,1)", FloatDistribution(0, 1)),
        ("a=int(interval(1,5))", IntDistribution(1, 5)),
        ("a=tag(log,interval(1e-4,1))", FloatDistribution(1e-4, 1, log=True)),
        ("a=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("a=[1,2],[3,4]", CategoricalDistribution(["[1,2]", "[3,4]"])),
    ],
)
def test_each_kind_of_sweep_becomes_a_distribution(line: str, expected: Any) -> None:
    (swept,) = read({}, [line]).parameters
    assert swept.distribution == expected
    key, _, expression = line.partition("=")
    assert read({key: expression}, []).parameters[0].distribution == expected, "a file says it in the same words"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a=interval(2,1)", "a=interval(2,1): the low end must be below the high end"),
        ("a=interval(1,1)", "the low end must be below the high end"),
        ("a=tag(log,interval(0,1))", "a log scale needs a low end above 0"),
        ("a=tag(log,int(interval(0,9)))", "a log scale needs a low end above 0"),
        ("a=range(3,3)", "a=range(3,3): has no value to try"),
    ],
)
def test_what_cannot_be_swept_is_refused_with_its_words(line: str, message: str) -> None:
    with pytest.raises(PipelineError) as refused:
        read({}, [line])
    assert message in str(refused.value)


def test_the_command_line_wins_over_the_file_and_keeps_its_order() -> None:
    space = read({"a": "1,2", "b": "3,4"}, ["c=9", "a=5", "d=6,7"])
    assert [swept.key for swept in space.parameters] == ["b", "d"]
    assert overrides(space, {"b": 3, "d": 7}) == ["b=3", "c=9", "a=5", "d=7"]


def test_conditional_parameters_have_names_of_their_own_and_are_active_under_their_option_alone() -> None:
    space = read(CONDITIONAL, [])
    assert list(describe(space)) == [
        "optimizer",
        "optimizer.learning_rate[adam]",
        "optimizer.learning_rate[sgd]",
        "optimizer.momentum[sgd]",
        "_depth",
    ]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    seen = set()
    for _ in range(20):
        trial = study.ask()
        suggest(trial, space)
        lines = overrides(space, trial.params)
        seen.add(lines[0])
        keys = [line.partition("=")[0] for line in lines]
        assert ("optimizer.momentum" in keys) == ("optimizer=sgd" in lines)
        assert ("model.layers.conv2=null" in lines) == (trial.params["_depth"] == 1)
        assert not any("_depth" in line or "[" in line for line in lines)
    assert seen == {"optimizer=adam", "optimizer=sgd"}


def test_one_option_of_a_choice_on_the_command_line_brings_what_stands_under_it() -> None:
    space = read(CONDITIONAL, ["optimizer=sgd"])
    assert [swept.key for swept in space.parameters] == ["optimizer.learning_rate", "optimizer.momentum", "_depth"]
    assert space.items[0] == "optimizer=sgd"
    assert [swept.key for swept in read(CONDITIONAL, ["optimizer=rmsprop"]).parameters] == ["_depth"], "not one of them"


def test_a_grid_visits_every_point_once_the_last_parameter_fastest() -> None:
    space = read({"a": {"x": {"b": "range(0,3)"}, "y": {}}, "seed": "0,1"}, [])
    points = list(grid(space))
    assert is_finite(space)
    assert size(space) == len(points) == 8
    assert [overrides(space, point) for point in points[:3]] == [
        ["a=x", "b=0", "seed=0"],
        ["a=x", "b=0", "seed=1"],
        ["a=x", "b=1", "seed=0"],
    ]
    assert overrides(space, points[-1]) == ["a=y", "seed=1"]


def test_a_grid_over_an_interval_is_refused() -> None:
    space = read({"a": "interval(0,1)"}, [])
    assert not is_finite(space)
    with pytest.raises(PipelineError, match="a: a grid needs values, not an interval"):
        list(grid(space))


def test_an_empty_space_is_a_grid_of_one_point() -> None:
    assert list(grid(read({}, ["a=1"]))) == [{}]


def test_the_samples_have_every_choice_and_both_ends() -> None:
    lines = {line for point in samples(read(CONDITIONAL, [])) for line in overrides(read(CONDITIONAL, []), point)}
    assert {"optimizer=adam", "optimizer=sgd", "model.layers.conv2=null"} <= lines
    assert {"optimizer.learning_rate=0.0001", "optimizer.learning_rate=0.1"} <= lines
    assert {"optimizer.momentum=0.0", "optimizer.momentum=0.5"} <= lines
