"""`python -m pipeline.train sweep=...`: every ready sweep is whole, and what cannot be is refused in one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from conftest import command, composing, imported_by
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from pipeline.errors import MENDABLE, PipelineError, explain
from sweeps import best, storage, study
from sweeps.plan import Plan, make_plan
from sweeps.space import named, overrides, samples, suggest
from sweeps.sweep import open_study

ROOT = Path(__file__).parents[2]
TWO = "objective=[best_val_accuracy,weights]"
READY = sorted(path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml"))
KERAS = ("cnn", "mlp", "softmax_regression")  # cnn_dropout goes to all corners


def planned(*words: str) -> Plan:
    """The plan of a command line, as `python -m sweeps plan` makes it."""
    with composing() as hydra:
        config = hydra.compose_config("config", list(words), run_mode=RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        given = {key: value for key, value in config.hydra.sweeper.items() if not key.startswith("_")}
        return make_plan(config, hydra.config_loader, given, list(config.hydra.overrides.task))


def test_status_imports_what_reads_a_study_and_nothing_that_draws_or_trains(tmp_path: Path) -> None:
    study.open_study(storage.storage(f"sqlite:///{tmp_path}/mlruns/studies.db"), "one", ("maximize",), {}, {}, {})
    imported = imported_by("sweeps", "status", cwd=tmp_path)
    assert {"optuna", "rich.table"} <= imported
    assert not imported & {"tensorflow", "keras", "mlflow", "sklearn", "matplotlib", "PIL", "jinja2", "pandas"}


@pytest.mark.parametrize("name", READY)
def test_every_ready_sweep_composes_at_all_its_corners(name: str) -> None:
    plan = planned("model=cnn_dropout", f"sweep={name}")  # refuses what pipeline.config.check refuses at any corner
    assert plan.name.startswith(name)
    assert plan.settings.n_trials >= 1
    for point in samples(plan.space):
        assert plan.compose(overrides(plan.space, point))


@pytest.mark.parametrize(("given", "trained"), [((), []), (("figures=[curves]",), ["figures=[curves]"])])
def test_trials_may_go_without_figures_and_the_best_trained_again_has_them(given: tuple, trained: list) -> None:
    plan, study = planned("model=cnn_dropout", "sweep=quick", *given), optuna.create_study()
    suggest(study.ask(), plan.space)
    found = best.of(plan, study, 0).overrides
    assert [word for word in found if word.startswith("figures")] == trained
    assert "epochs=8" in found


def test_data_with_another_content_are_another_sweeps(write_npz: Callable[..., Path], tmp_path: Path) -> None:
    words = ("dataset=npz", f"dataset.path={write_npz()}", "model=sgd_classifier", "sweep=custom", "seed=0,1")
    store = storage.storage(f"sqlite:///{tmp_path}/studies.db")
    for _ in range(2):
        open_study(planned(*words), store)
    write_npz(y_train=np.zeros(60, int))
    with pytest.raises(PipelineError, match=r"began: content of \S*data.npz was [0-9a-f]{12}, is [0-9a-f]{12}\. Put"):
        open_study(planned(*words), store)


def test_of_a_folder_with_pictures_names_and_sizes_are_looked_at(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"picture")
    words = ("dataset=image_folder", f"dataset.path={tmp_path}", "model=sgd_classifier", "sweep=custom", "seed=0,1")
    found = [planned(*words).content, planned(*words).content]
    (tmp_path / "two" / "b.png").write_bytes(b"another")
    found.append(planned(*words).content)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("model", KERAS)
@pytest.mark.parametrize("name", ["batch_size", "learning_rate", "regularizer", "optimizer", "augmentation", "seeds"])
def test_they_work_with_other_keras_models(name: str, model: str) -> None:
    assert planned(f"model={model}", f"sweep={name}").space.parameters


def test_everything_works_without_dropout_where_a_model_has_no_place_for_it() -> None:
    assert planned("model=softmax_regression", "sweep=everything", "dropout.rate=0")
    with pytest.raises(PipelineError, match="dropout.rate=0.6: must be left out with model=softmax_regression"):
        planned("model=softmax_regression", "sweep=everything")


@pytest.mark.parametrize("model", ["cnn", "cnn_dropout"])
def test_architectures_differ_in_depth(model: str) -> None:
    plan = planned(f"model={model}", "sweep=architecture")
    depths = set()
    for point in samples(plan.space):
        layers = plan.compose(overrides(plan.space, point)).model.layers
        depths.add(sum(layers.get(name) is not None for name in ("conv1", "conv2", "conv3")))
    assert depths == {1, 2, 3}


@pytest.mark.parametrize("sampler", sorted(path.stem for path in (ROOT / "conf" / "sampler").glob("*.yaml")))
def test_every_sampler_can_be_chosen(sampler: str) -> None:
    swept = "dropout" if sampler == "grid" else "learning_rate"
    assert planned("model=cnn", f"sweep={swept}", f"sampler={sampler}").is_grid == (sampler == "grid")


@pytest.mark.parametrize("pruner", sorted(path.stem for path in (ROOT / "conf" / "pruner").glob("*.yaml")))
def test_every_pruner_can_be_chosen(pruner: str) -> None:
    assert planned("model=cnn", "sweep=learning_rate", f"pruner={pruner}")


def test_a_threshold_may_stand_above_a_loss() -> None:
    bounds = ("hydra.sweeper.pruner.lower=null", "+hydra.sweeper.pruner.upper=2.5")
    plan = planned("model=cnn", "sweep=learning_rate", "objective=val_loss", "pruner=threshold", *bounds)
    assert plan.settings.directions == ("minimize",)


def test_keys_and_groups_are_swept_from_the_command_line_alike() -> None:
    plan = planned(
        "sweep=custom", "optimizer.learning_rate=tag(log, interval(1e-4, 1e-1))", "batch_size=32,64", "model=cnn,mlp"
    )
    assert [swept.key for swept in plan.space.parameters] == ["optimizer.learning_rate", "batch_size", "model"]
    assert (plan.settings.n_trials, plan.is_grid) == (20, False)


def test_the_name_tells_studies_of_different_models_and_data_apart() -> None:
    names = {
        planned(f"model={model}", f"dataset={data}", "sweep=seeds").name
        for model in ("cnn", "mlp")
        for data in ("mnist5k", "digits")
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "sweep=custom optimizer.lerning_rate=0.1,0.2",
            "optimizer.lerning_rate: no such key; did you mean",
        ),
        ("sweep=custom model=cnn,cnnn", "model=cnnn: no such option; did you mean cnn?"),
        ("sweep=custom batch_size=0,32", "batch_size=0: must be a whole number of at least 1"),
        ("sweep=custom optimizer.learning_rate=interval(1,0.1)", "the low end must be below the high end"),
        ("sweep=custom optimizer.learning_rate=tag(log,interval(0,1))", "a log scale needs a low end above 0"),
        ("sweep=seeds sweep.n_trials=0", "n_trials=0: must be a whole number of at least 1"),
        ("sweep=seeds sampler=tpee", "sampler=tpee: no such option; did you mean tpe?"),
        ("sweep=seeds hydra.sweeper.sampler._target_=optuna.samplers.Nope", "sampler=Nope: "),
        ("sweep=learning_rate sampler=grid", "optimizer.learning_rate: a grid needs values, not an interval"),
        (
            f"sweep=learning_rate pruner=median {TWO} sweep.direction=[maximize,minimize]",
            "pruner=MedianPruner: must be none with 2 objectives",
        ),
        (
            f"sweep=learning_rate {TWO} sweep.direction=maximize",
            "must be as many as sweep.direction, which has 1",
        ),
        ("sweep=learning_rate objective=test_accuracy", "objective=test_accuracy: must be one of"),
        ("sweep=learning_rate sweep.direction=up", "direction=up: must be maximize or minimize"),
        ("sweep=learning_rate sweep.max_hours=-1", "max_hours=-1: must be a number above 0"),
        ("sweep=learning_rate sweep.nope=1", "sweep.nope: no such key"),
        ("sweep=learning_rate sweep.enqueue=5", "enqueue=5: must be a list of points"),
        ("sweep=learning_rate sweep.enqueue=[{lr:1}]", "enqueue: lr is not swept; there are optimizer.learning_rate"),
        ("sweep=learning_rate sweep.enqueue=[{optimizer.learning_rate:7}]", "must be one of 0.0001 to 0.1, log"),
        ("sweep=batch_size seed=0,1 sweep.enqueue=[{seed:1}]", "must give every parameter of the grid"),
        ("sweep=learning_rate sweep.seed=abc", "sampler.seed=abc: must be a whole number, or null"),
        ("sweep=learning_rate executor.timeout=soon", "executor.timeout=soon: must be seconds, or null"),
        ("sweep=learning_rate executor.trials_per_worker=0", "executor.trials_per_worker=0: must be a whole number"),
        ("sweep=seeds train_on=train_val", "train_on=train_val: must be train in a sweep"),
        (f"sweep=learning_rate {TWO} sampler=cmaes", "sampler=CmaEsSampler: must be another one with 2 objectives"),
        (f"sweep=learning_rate {TWO} sweep.diverged=worst", "diverged=worst: must be fail with 2 objectives"),
        (
            "sweep=learning_rate pruner=median sweep.pruning_metric=val_loss",
            "pruning_metric=val_loss: must be one that",
        ),
        ("sweep=learning_rate pruner=threshold objective=val_loss", "pruner.lower=0.3: would end the best trials"),
        ("sweep=seeds executor.per_gpu=1,2", "executor.per_gpu: takes one value"),
        ("sweep=seeds sweep.n_trials=2,4", "sweep.n_trials: takes one value"),
        ("sweep=batch_size sweep.enqueue=[{batch_size:[16,32]}]", "must be a list of points"),
        ("sweep=nope", "sweep=nope: no such option; there are"),
        ("sweep=seeds sweep.name=a/b", "sweep.name=a/b: must be"),
        ("sweep=seeds sweep.shared=true", "sweep.shared=true: needs a study in PostgreSQL"),
        ("sweep=seeds sweep.shared=yes", "shared=yes: must be true or false"),
        (
            "sweep=learning_rate sampler=cmaes sweep.shared=true sweep.storage=postgresql://db/x",
            "CmaEsSampler: must be random, tpe, qmc, nsgaii or a",
        ),
        (
            "sweep=seeds sweep.storage='postgresql://me:pw@db/x'",
            "sweep.storage=postgresql://me:***@db/x: must not hold",
        ),
        ("sweep=seeds sweep.storage='postgresql://db/x?password=pw'", "postgresql://db/x?password=***: must not hold"),
    ],
)
def test_bad_input_is_one_line(words: str, line: str) -> None:
    with pytest.raises(Exception) as refused:
        planned(*words.split(" "))
    assert isinstance(refused.value, MENDABLE), "told in one line"
    assert line in explain(refused.value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("sweep=learning_rate sweep.warm_start=nope", "nope: no such sweep; there are"),
        ("sweep=learning_rate executor.slots=0", "executor.slots=0: must be a whole number of at least 1"),
        ("executor=local", "executor=local: must come with a sweep"),
        ("sweep=batch_size batch_size=32,64 epoch=3", "epoch: no such key; did you mean epochs?"),
        ("batch_size=32,64", "batch_size=32,64: several values are a sweep; add sweep=custom"),
    ],
)
def test_nothing_is_trained_where_something_cannot_be(words: str, line: str, tmp_path: Path) -> None:
    done = command(*words.split(" "), cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert line in done.stderr
    assert not list(tmp_path.glob("mlruns/sweeps/*/0"))
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_a_name_may_be_a_number() -> None:
    assert planned("sweep=seeds", "sweep.name=2024").name == "2024"


def test_direction_and_pruning_metric_follow_from_the_objective() -> None:
    settings = planned("sweep=quick", "objective=val_loss").settings
    assert (settings.directions, settings.pruning_metric) == (("minimize",), "val_loss")
    settings = planned("sweep=quick").settings
    assert (settings.directions, settings.pruning_metric) == (("maximize",), "val_accuracy")
    assert planned("sweep=architecture", TWO, "sampler=nsgaii").settings.directions == ("maximize", "minimize")


def test_what_the_command_line_fixes_is_not_swept_below_a_choice_either() -> None:
    plan = planned("sweep=optimizer", "optimizer=adam", "optimizer.learning_rate=0.01")
    assert [swept.key for swept in plan.space.parameters] == ["optimizer.beta_1"]


def test_points_of_a_conditional_space_are_enqueued_by_their_keys() -> None:
    plan = planned("sweep=optimizer", "sweep.enqueue=[{optimizer:sgd,optimizer.learning_rate:0.1}]")
    assert named(plan.space, plan.settings.enqueue[0]) == {"optimizer": "sgd", "optimizer.learning_rate[sgd]": 0.1}


def test_a_grid_that_the_budget_does_not_cover_is_sampled_instead() -> None:
    assert planned("sweep=custom", "batch_size=16,32,64", "seed=0,1").is_grid
    assert not planned("sweep=custom", "batch_size=16,32,64", "seed=0,1", "sweep.n_trials=4").is_grid
    assert not planned("sweep=custom", "batch_size=int(interval(1,2000))").is_grid


def test_all_trials_of_a_swept_model_lie_in_the_sweeps_folder() -> None:
    plan = planned("sweep=custom", "model=softmax_regression,mlp", "dataset=digits")
    folders = {str(plan.compose(overrides(plan.space, point)).hydra.sweep.dir) for point in samples(plan.space)}
    assert folders == {f"mlruns/sweeps/{plan.name}"}
