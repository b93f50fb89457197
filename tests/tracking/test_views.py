"""Saved views as MLflow keeps them: written once, brought up to date, never over a person's own."""

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from conftest import configuration
from mlflow import MlflowClient
from mlflow.entities import Experiment, Param, Run

from pipeline.tracking import views
from pipeline.tracking.params import HEADLINE, headline
from pipeline.tracking.store import open_store

LEADERBOARD = f"{views.TAG}sweepline-leaderboard"


Opened = tuple[MlflowClient, Experiment]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("views") / "mlruns")


@pytest.fixture
def experiment(store: str, request: pytest.FixtureRequest) -> Opened:
    """A new one of the store."""
    client, experiment_id = open_store(store, None, request.node.name)
    return client, client.get_experiment(experiment_id)


def state(tag: str) -> dict[str, Any]:
    """What MLflow's UI reads out of a tag."""
    kind, _, text = json.loads(tag)["state"].partition(";")
    assert kind == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(text)))


def parent(
    client: MlflowClient, experiment_id: str, objective: str = "maximize best_val_accuracy", **swept: str
) -> Run:
    tags = {"kind": "sweep", "sweep": "mine", "objective": objective}
    run_id = client.create_run(experiment_id, tags=tags).info.run_id
    client.log_batch(run_id, params=[Param(f"swept/{name}", values) for name, values in swept.items()])
    return client.get_run(run_id)


def test_an_experiment_is_opened_with_its_views(experiment: Opened) -> None:
    tags = experiment[1].tags
    names = {json.loads(value)["name"] for key, value in tags.items() if key.startswith(views.TAG)}
    assert names == {"Leaderboard", "Curves & kernels"}
    assert state(tags[LEADERBOARD])["orderByKey"] == "metrics.`best_val_accuracy`"
    assert views.are_read()


def test_an_older_views_tag_is_brought_up_to_date_and_no_other_is_touched(experiment: Opened, store: str) -> None:
    client, before = experiment
    old = json.loads(before.tags[LEADERBOARD]) | {"sweepline": "an older version", "createdAt": 5, "state": "old"}
    client.set_experiment_tag(before.experiment_id, LEADERBOARD, json.dumps(old))
    client.set_experiment_tag(before.experiment_id, f"{views.TAG}mine", "a person's own")
    open_store(store, None, before.name)
    after = client.get_experiment(before.experiment_id).tags
    assert state(after[LEADERBOARD]) == state(before.tags[LEADERBOARD])
    assert json.loads(after[LEADERBOARD])["createdAt"] == 5
    others = {key: value for key, value in after.items() if key != LEADERBOARD}
    assert others == {key: value for key, value in before.tags.items() if key != LEADERBOARD} | {
        f"{views.TAG}mine": "a person's own"
    }


def test_what_a_person_made_of_a_view_stays(experiment: Opened, store: str) -> None:
    client, before = experiment
    theirs = {"name": "Leaderboard", "createdAt": 1, "updatedAt": 2, "state": "{}"}  # as MLflow's UI writes it
    client.set_experiment_tag(before.experiment_id, LEADERBOARD, json.dumps(theirs))
    open_store(store, None, before.name)
    assert json.loads(client.get_experiment(before.experiment_id).tags[LEADERBOARD]) == theirs


def test_a_sweep_shows_what_its_trials_log(experiment: Opened) -> None:
    client, found = experiment
    swept = {
        "batch_size": "32, 64",
        "optimizer": "adam, nesterov",
        "optimizer.learning_rate adam": "0.001 to 0.1, log",
        "optimizer.learning_rate nesterov": "0.01 to 0.1, log",
        "optimizer.momentum nesterov": "0.7 to 0.98",
        "size": "small, large",  # a choice that is no override: no trial logs it
        "seed": "0, 1, 2",
    }
    [view] = views.of_sweep(parent(client, found.experiment_id, "minimize val_loss, maximize weights", **swept))
    charts = view.told["sections"]["Objective by parameter"]["charts"]
    assert charts[0]["selectedParams"] == ["batch_size", "optimizer", "log10 lr"], "all trials have these"
    assert charts[0]["selectedMetrics"] == ["val_loss", "weights"]
    axes = [chart["xaxis"]["key"] for chart in charts[1:] if chart["yaxis"]["key"] == "val_loss"]
    assert axes == ["batch_size", "optimizer", "log10 lr", "optimizer.momentum"]
    assert view.told["ascending"] is True


@pytest.mark.parametrize(
    ("swept", "names"),
    [
        ({"batch_size": "32, 64", "seed": "0, 1"}, ["Batch size mine", "Sweep mine"]),
        ({"optimizer.learning_rate": "0.001 to 0.1, log"}, ["Learning rate mine", "Sweep mine"]),
        ({"optimizer.learning_rate": "0.01, 0.1", "batch_size": "32, 64"}, ["Sweep mine"]),
        ({"seed": "0, 1, 2"}, ["Sweep mine"]),
        ({}, ["Sweep mine"]),  # one point
        ({"size": "small, large"}, ["Sweep mine"]),
    ],
)
def test_an_axis_studied_alone_has_its_view(swept: dict[str, str], names: list[str], experiment: Opened) -> None:
    client, found = experiment
    run = parent(client, found.experiment_id, **swept)
    assert [view.name for view in views.of_sweep(run)] == names
    views.prepare(client, found, views.of_sweep(run))
    tags = client.get_experiment(found.experiment_id).tags
    assert sum(run.info.run_id in key for key in tags) == len(names)


def test_a_store_that_refuses_a_view_costs_a_line_and_no_run(experiment: Opened, capsys: pytest.CaptureFixture) -> None:
    client, found = experiment
    views.prepare(client, found, [replace(views.of_experiment()[0], key="a?b")])
    assert capsys.readouterr().out.startswith(f"the saved views of {found.name} could not be written: ")


def test_every_column_of_the_headline_is_logged() -> None:
    assert set(HEADLINE) <= set(headline(configuration("model=cnn")))


def test_every_key_of_the_command_line_is_logged_and_no_group() -> None:
    words = (
        "model=cnn",
        "repeat=2",
        "best_weights=true",
        "evaluate=val",
        "model.layers.conv1.filters=8",
        "figures=none",
    )
    given = headline(configuration(*words), words).items() - headline(configuration(*words)).items()
    assert dict(given) == {"repeat": 2, "best_weights": True, "evaluate": "val", "model.layers.conv1.filters": 8}
