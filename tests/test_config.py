"""Every option composes; the command line wins; every bad value is one line, with nothing heavy imported."""

from pathlib import Path

import pytest
from conftest import CONF, command, configuration, imported_by
from omegaconf import OmegaConf

from pipeline.config import check
from pipeline.errors import PipelineError

OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("model", "optimizer", "sweep", "sampler", "pruner", "figures")  # tested elsewhere
)
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
OPTIMIZERS = sorted({path.stem for path in (CONF / "optimizer").glob("*.yaml")} - {"none"})


@pytest.mark.parametrize(
    "option", [*OPTIONS, *(f"model={name}" for name in MODELS), *(f"optimizer={name}" for name in OPTIMIZERS)]
)
def test_every_option_of_every_group_composes_and_passes_the_checks(option: str, tmp_path: Path) -> None:
    path = (
        [f"dataset.path={tmp_path}"]
        if option in {f"dataset={own}" for own in ("npz", "csv", "idx", "image_folder", "kaggle")}
        else []
    )
    cfg = configuration(option, *path)
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    check(cfg)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_says_what_it_is(path: Path) -> None:
    assert path.read_text().startswith("# ")


def test_groups_are_independent_and_compose_as_they_read() -> None:
    cfg = configuration(
        *"model=cnn dropout=half regularizer=l2 regularizer.l2=1e-4 optimizer=sgd optimizer.learning_rate=0.05 "
        "optimizer.momentum=0.9 optimizer.nesterov=true schedule=one_cycle batch_size=128".split()
    )
    check(cfg)
    assert (cfg.model.name, cfg.dropout.rate, cfg.regularizer.l2, cfg.schedule.name) == ("cnn", 0.5, 1e-4, "one_cycle")
    assert (cfg.optimizer.learning_rate, cfg.optimizer.momentum, cfg.optimizer.nesterov) == (0.05, 0.9, True)
    assert cfg.model.layers.dropout1.rate == 0.5


def test_a_model_suggests_and_the_command_line_wins() -> None:
    assert configuration("model=cnn_dropout").dropout.rate == 0.5
    assert configuration("model=cnn_dropout", "dropout=none").dropout.rate == 0
    assert configuration("model=cnn_dropout", "dropout.rate=0.3").model.layers.dropout3.rate == 0.3
    assert configuration("model=cnn").dropout.rate == 0


REFUSED = [
    ("model=cnnn", "model=cnnn: no such option; did you mean cnn?"),
    ("optmizer=sgd", "optmizer: no such key; did you mean optimizer?"),
    ("optimizer.lerning_rate=1", "optimizer.lerning_rate: no such key; did you mean learning_rate?"),
    ("dropout=0.3", "dropout=0.3: a group takes the name of one of its options; a number goes to a key in it"),
    ("regularizer=0.1", "regularizer=0.1: a group takes the name of one of its options"),
    ("--colour", "--colour: no such flag"),
    ("--config-name nosuch", "nosuch"),
    ("model=[cnn,mlp]", "model=[...]: takes one option; to train several, -m model=one,another"),
    ("seed=${nope}", "nope"),
    ("model=softmax_regression dropout=half", "dropout.rate=0.5: must be left out with model=softmax_regression"),
    ("early_stopping.min_delta=0.1", "early_stopping.min_delta=0.1: must come with early_stopping.patience"),
    ("schedule=exponential schedule.final_fraction=0", "schedule.final_fraction=0: must be above 0"),
    ("optimizer.epsilon=null", "optimizer.epsilon=null: must be a number"),
    ("model.layers=null", "model.layers=null: must be a mapping"),
    ("model.output=null", "model.output=null: must be a layer"),
    ("model.layers.dense1=5", "model.layers.dense1=5: must be a layer"),
    ("+model.layers.output=null +model.layers.scaling={_target_:a}", "must be called something else"),
    ("observers=5", "observers=5: must be a list"),
    ("tracking.store=", "tracking.store=: must be a folder"),
    ("dataset.class_names=cat", "dataset.class_names=cat: must be null or a list"),
    ("dataset=image_folder dataset.path=. dataset.size=8", "dataset.size=8: must be null or [height,width]"),
    (
        "dataset=csv dataset.path=. dataset.test_path=.",
        "dataset.split.test=0.2: must be null with dataset.test_path",
    ),
    ("epochs", "epochs: cannot be read; write key=value"),
    ("epochs=0", "epochs=0: must be a whole number of at least 1"),
    ("epochs=many", "epochs=many: must be a whole number"),
    ("batch_size=0", "batch_size=0: must be a whole number of at least 1"),
    ("dropout.rate=1", "dropout.rate=1: must be a number of at least 0 and below 1"),
    ("dropout.rate=-0.1", "dropout.rate=-0.1: must be a number of at least 0 and below 1"),
    ("optimizer.learning_rate=nan", "optimizer.learning_rate=nan: must be a number above 0"),
    ("optimizer.beta_1=high", "optimizer.beta_1=high: must be a number, true or false"),
    ("schedule=one_cycle schedule.warmup=1", "schedule.warmup=1: must be at least 0 and below 1"),
    ("model.name=a/b", "model.name=a/b: must be a name of letters, digits"),
    ("precision=float8", "precision=float8: must be float32, mixed_bfloat16 or mixed_float16"),
    ("device=gpu", "device=gpu: must be auto, cpu or gpu:0"),
    ("dataset=npz", "dataset.path: a value is needed; give dataset.path=..."),
    ("dataset=npz dataset.path=nowhere.npz", "dataset.path=nowhere.npz: no such file or folder"),
    ("dataset.split.val=0", "dataset.split.val=0: must be a number of images, or a share"),
    ("tracking.uri=localhost", "tracking.uri=localhost: must be null, or an address such as http://host:5000"),
    ("model=sgd_classifier optimizer=adam", "optimizer.name=adam: must be left out: a scikit-learn estimator"),
    ("model=sgd_classifier batch_size=32", "batch_size=32: must be left out: a scikit-learn estimator"),
    ("model=sgd_classifier dropout=half", "dropout.rate=0.5: must be left out: a scikit-learn estimator"),
    ("optimizer=none", "optimizer.name=none: must be one that trains a network"),
    ("dataset.split.test=0", "evaluate=test: must be val with dataset.split.test=0"),
    ("repeat=0", "repeat=0: must be a whole number of at least 1"),
    ("model=knn +model.layers=5", "model.layers=5: must be left out: a scikit-learn estimator has none"),
    ("model=knn model.fit_limit=0", "model.fit_limit=0: must be a whole number of at least 1, or null"),
    ("figures=curvs", "figures=curvs: no such option; did you mean curves?"),
    ("figures=[curves,barcode]", "figures=barcode: no such option; did you mean barcodes?"),
    (
        "figures.mistakes=20",
        "figures.mistakes=20: must be a mapping; values go to the keys in it: figures.mistakes.count=",
    ),
    (
        "figures.kernels=conv1",
        "figures.kernels=conv1: must be a mapping; values go to the keys in it: figures.kernels.layers=",
    ),
    ("figures.curves=null", "figures.curves=null: must be left out: it has no settings"),
    ("schedule=null", "schedule=null: no such option; there are constant, cosine, exponential, one_cycle"),
    ("early_stopping=5", "early_stopping=5: must be a mapping; values go to the keys in it: early_stopping.patience="),
    ("dataset.split=0.2", "dataset.split=0.2: must be a mapping; values go to the keys in it: dataset.split.val="),
    (
        "dataset.split.seed=5000000000",
        "dataset.split.seed=5000000000: must be a whole number of at least 0, below 2**32",
    ),
    ("tracking.tags=abc", "tracking.tags=abc: must be a mapping; values go to the keys in it: +tracking.tags.mine="),
    ("tracking.params=abc", "tracking.params=abc: must be a mapping"),
    ("tracking.id_file=.", "tracking.id_file=.: must be null or a file, not a folder"),
    ("+model.fit_limit=100", "model.fit_limit=100: must be left out: a network takes all images"),
    ("model.layers=5", "model.layers=5: must be a mapping"),
    (
        "+model.layers.zoom={_target_:a} augmentation=handwriting",
        "something else: augmentation=handwriting has a layer",
    ),
    (
        "dataset=image_folder dataset.path=2024",
        "dataset.path=2024: must be a file or folder; where its name is a number",
    ),
    ("dataset=image_folder dataset.path=null", "dataset.path=null: must be a file or folder"),
    ("dataset.class_names=[お,'b',c]", 'two pairs of quotes: \'dataset.class_names=["お","b","c"]\''),
    ("dataset.path=a(1).csv", "write key=value, with a text in two pairs of quotes: 'dataset.path=\"a(1).csv\"'"),
]


@pytest.mark.parametrize(("arguments", "line"), REFUSED)
def test_bad_input_is_one_line(arguments: str, line: str, tmp_path: Path) -> None:
    done = command(*arguments.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert line in done.stderr
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_a_traceback_is_there_for_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert "Traceback" in command("epochs=0", cwd=tmp_path, fresh=True).stderr


@pytest.mark.parametrize("flag", [("--cfg", "job"), ("--help",), ("epochs=0",)])
def test_composing_and_saying_no_import_nothing_heavy(flag: tuple[str, ...], tmp_path: Path) -> None:
    imported = imported_by("pipeline.train", *flag, cwd=tmp_path)
    assert "hydra" in imported
    assert not imported & {"tensorflow", "keras", "mlflow", "numpy", "sklearn", "matplotlib", "rich.progress", "optuna"}


def test_help_says_what_hydras_own_would(tmp_path: Path) -> None:
    ours, hydras = (
        command("model=mlp", "--help", *flag, cwd=tmp_path).stdout.splitlines() for flag in ((), ("--resolve",))
    )
    assert len(ours) == len(hydras) > 100
    assert all("${" in line for line, resolved in zip(ours, hydras, strict=True) if line != resolved)


def test_a_value_of_the_wrong_type_is_refused_by_name() -> None:
    with pytest.raises(PipelineError, match=r"seed=true: must be a whole number"):
        check(configuration("seed=true"))
