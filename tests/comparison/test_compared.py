"""What is compared with what, on runs made by hand."""

from typing import Any

import numpy as np

from pipeline.comparison import text
from pipeline.comparison.compared import compare
from pipeline.comparison.runs import Run
from pipeline.comparison.settings import ABSENT

LABELS = np.arange(400) % 2


def run(name: str, seed: int = 0, mistakes: int = 40, **given: Any) -> Run:
    """A run on 400 images of two classes, whose first ones it mistakes; given: other values of its fields."""
    predicted = np.where(np.arange(400) < mistakes, 1 - LABELS, LABELS)
    settings = {"model": {"name": "cnn", "layers": {}}, "train_on": "train"}
    fields = {
        "run_id": f"{name}{seed}".ljust(32, "0"),
        "name": f"{name} seed {seed}",
        "state": "complete",
        "seed": seed,
        "recipe": settings | given.pop("recipe", {}),
        "data": "d" * 64,
        "code": "abc1234",
        "metrics": {"val_accuracy": 1 - mistakes / 400},
        "epochs": (),
        "class_names": ("0", "1"),
        "labels": {"val": LABELS, "test": LABELS},
        "predicted": {"val": predicted, "test": predicted},
        "kernels": {},
    }
    return Run(**(fields | given))


def test_runs_that_differ_in_their_seed_are_one_configuration() -> None:
    found = compare([run("a"), run("b", recipe={"epochs": 9}), run("a", 1), run("b", 1, recipe={"epochs": 9})], False)
    assert [(each.label, each.name, text.seeds(each)) for each in found.configurations] == [
        ("A", "a", "0, 1"),
        ("B", "b", "0, 1"),
    ]
    assert [(each.keys, each.values) for each in found.settings] == [(("epochs",), (ABSENT, 9))]


def test_a_seed_counts_once_and_runs_that_finished_go_before() -> None:
    failed = run("a", 1, state="failed", labels={}, predicted={})
    found = compare([failed, run("a", 0), run("a", 1), run("a", 1), run("b", recipe={"epochs": 9})], False)
    assert [each.state for each in found.reference.counted] == ["complete", "complete"]
    assert any(note.startswith("A leaves out a1000000, a1000000") for note in found.notes)


def test_replicates_alone_are_compared_run_by_run() -> None:
    found = compare([run("a", 0), run("a", 1)], False)
    assert [(each.keys, each.values) for each in found.settings] == [(("seed",), (0, 1))]
    assert found.differences["B"].p == 1


def test_what_is_given_once_is_said_once() -> None:
    """dropout.rate goes into every dropout layer; config.yaml has the value in all these places."""
    rates = [{"dropout": {"rate": r}, "model": {"name": "cnn", "layers": {"drop1": {"rate": r}}}} for r in (0.25, 0.5)]
    found = compare([run("a", recipe=rates[0]), run("b", recipe=rates[1])], False)
    assert [each.keys for each in found.settings] == [("dropout.rate", "model.layers.drop1.rate")]


def test_what_follows_from_another_name_stands_apart() -> None:
    conv, dense = ({"_target_": f"keras.layers.{kind}", "units": 3} for kind in ("Conv2D", "Dense"))
    other = {"model": {"name": "mlp", "layers": {"dense1": dense}}, "dropout": {"rate": 0.5}}
    first = {"model": {"name": "cnn", "layers": {"conv1": conv}}, "dropout": {"rate": 0.25}}
    found = compare([run("a", recipe=first), run("b", recipe=other)], False)
    assert [row.title for row in text.settings(found)] == ["model.name", "dropout.rate"]
    assert [(row.title, row.cells) for row in text.settings(found, implied=True)] == [
        ("model.layers.conv1", ["Conv2D units=3", "–"]),
        ("model.layers.dense1", ["–", "Dense units=3"]),
    ]


def test_validation_is_where_choices_are_made_unless_it_was_trained_on() -> None:
    seen = {"train_on": "train_val"}
    assert compare([run("a"), run("b", recipe={"epochs": 9})], False).split == "val"
    found = compare([run("a", recipe=seen), run("b", recipe={"epochs": 9})], False)
    assert found.split == "test"
    assert "trained on the validation images" in found.notes[0].lower()


def test_other_data_and_runs_without_predictions_are_not_tested() -> None:
    elsewhere = run("b", recipe={"epochs": 9}, data="e" * 64)
    pruned = run("c", recipe={"epochs": 3}, state="pruned", labels={}, predicted={})
    found = compare([run("a"), elsewhere, pruned], False)
    assert not found.differences
    assert "c seed 0 (c0000000, pruned)" in found.notes[0]
    assert found.notes[1].endswith("other data than A, so without a difference from it: B.")
    rows = {row.title: row for row in text.results(found)}
    assert rows["last validation accuracy"].changes == ["", "", "+0.00"]


def test_the_best_comes_first_where_nobody_named_a_first_and_all_pairs_count() -> None:
    runs = [
        run(name, mistakes=mistakes, recipe={"epochs": mistakes})
        for name, mistakes in (("a", 60), ("b", 20), ("c", 25))
    ]
    named, best = compare(runs, against_best=False), compare(runs, against_best=True)
    assert [each.name for each in named.configurations] == ["a", "b", "c"]
    assert (named.tests, named.by_verdict()) == (2, {"better": ["B", "C"], "worse": [], "open": []})
    assert [each.name for each in best.configurations] == ["b", "c", "a"]
    assert (best.tests, best.by_verdict()) == (3, {"better": [], "worse": ["C"], "open": ["B"]})
    assert list(text.sentences(best))[1].startswith("C is worse than A: -10.00 (-12.93 to -6.97) ")
