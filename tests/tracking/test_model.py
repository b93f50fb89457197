"""A stored model: what serves it, and what loading it refuses to run."""

import json
import os
import pickle
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import forked
import keras
import mlflow.pyfunc
import numpy as np
import pytest
import skops.io
import yaml
from conftest import FinishedRun, configuration
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_ui import free_port

from pipeline import datasets
from pipeline.errors import PipelineError
from pipeline.explain import explain
from pipeline.models import estimator
from pipeline.tracking.model import load, save
from pipeline.tracking.stored import open_run

EXAMPLE = "serving_input_example.json"


def predictions(address: str, request: bytes) -> np.ndarray:
    asked = Request(f"{address}/invocations", request, {"Content-Type": "application/json"})
    with urlopen(asked, timeout=30) as answer:
        return np.array(json.load(answer)["predictions"])


@pytest.fixture
def served(finished_run: FinishedRun, tmp_path: Path) -> Iterator[str]:
    """The address of MLflow's own server for the run's model, started as README says."""
    uri, port = f"runs:/{finished_run.done.stdout.split()[-1]}/model", str(free_port())
    words = ("mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", port)
    settings = {
        "MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # where uvicorn is
    }
    log = tmp_path / "server.log"
    server = forked.Process(*words, cwd=finished_run.folder, log=log, **settings)
    try:
        wait(server, f"http://127.0.0.1:{port}/ping", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)  # its worker too
        server.wait()


def wait(server: forked.Process, ping: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(ping, timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"the server does not answer: {log.read_text()[-2000:]}")


def test_the_server_gives_ten_probabilities_for_the_example_which_is_a_real_digit(
    served: str, finished_run: FinishedRun
) -> None:
    with open_run(finished_run.done.stdout.split()[-1], str(finished_run.folder / "mlruns")) as stored:
        folder = Path(stored.client.download_artifacts(stored.run_id, "model")).resolve()
        model, data = stored.model(), datasets.load(stored.config.dataset)
    request = (folder / EXAMPLE).read_bytes()
    [image] = json.loads(request)["inputs"]
    np.testing.assert_array_equal(image, data.val.images[0])
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    assert metadata == {"class_names": list("0123456789"), "example_label": str(data.val.labels[0])}
    answer = predictions(served, request)
    assert answer.shape == (1, 10)
    np.testing.assert_allclose(answer, model.predict(data.val.images[:1], verbose=0), atol=1e-6)


@pytest.mark.parametrize("name", ["knn", "sgd_classifier"])
def test_an_estimator_is_served_the_same_images_and_answers_as_well_as_it_can(name: str, tmp_path: Path) -> None:
    cfg = configuration(f"model={name}", "dataset=digits")
    data = datasets.load(cfg.dataset)
    model = estimator.build(cfg, data).fit(estimator.rows(data.train.images), data.train.labels)
    save(model, "estimator", data, "0" * 32, tmp_path / "model")
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    answer = served.predict(data.test.images)
    expected = estimator.predict(model, data.test.images)
    if name == "knn":
        np.testing.assert_allclose(answer, expected)
    else:  # has no probabilities of its own
        np.testing.assert_array_equal(answer, expected.argmax(axis=1))
    assert isinstance(load("estimator", tmp_path / "model"), type(model))


@pytest.mark.parametrize(
    "classifier",
    [
        HistGradientBoostingClassifier(max_iter=2),
        KNeighborsClassifier(algorithm="kd_tree"),
        MLPClassifier(max_iter=2, solver="sgd"),
        StackingClassifier([("one", LogisticRegression())], LogisticRegression(), cv="prefit"),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_other_classifiers_are_built_of_is_known(
    classifier: object, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = datasets.load(configuration("dataset=digits").dataset)
    images, labels = estimator.rows(data.train.images)[:100], data.train.labels[:100]
    if isinstance(classifier, StackingClassifier):
        classifier.estimators[0][1].fit(images, labels)
    save(make_pipeline(classifier).fit(images, labels), "estimator", data, "0" * 32, tmp_path / "model")
    assert load("estimator", tmp_path / "model").predict(images).shape == (100,)
    assert capsys.readouterr().out == ""


def test_a_network_with_code_in_it_is_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    shutil.copytree(finished_run.folder / "mlruns", tmp_path / "mlruns")
    [file] = (tmp_path / "mlruns").rglob("model.keras")
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Lambda(lambda pixels: pixels)]).save(file)
    run_id = finished_run.done.stdout.split()[-1]
    with pytest.raises(
        PipelineError, match=r"model\.keras: is not loaded: Requested the deserialization of a `Lambda`"
    ):
        explain(run_id, ["figures=barcodes"], str(tmp_path / "mlruns"), None, str(tmp_path / "figures"))
    assert not (tmp_path / "figures").exists()
    file.unlink()
    with pytest.raises(PipelineError, match=r"model\.keras: no such file"):
        explain(run_id, ["figures=barcodes"], str(tmp_path / "mlruns"), None, str(tmp_path / "figures"))


def test_an_estimator_whose_folder_vouches_for_its_own_code_is_refused(tmp_path: Path) -> None:
    """MLflow would call what MLmodel lists as trusted, and unpickle where MLmodel asks for that."""
    folder = tmp_path / "model"
    folder.mkdir()
    trusted = {"serialization_format": "skops", "skops_trusted_types": ["posix.system"], "pickled_model": "model.skops"}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": trusted}}))
    skops.io.dump(make_pipeline(FunctionTransformer(os.system)), folder / "model.skops")
    with pytest.raises(PipelineError, match=r"model\.skops: is not loaded: Untrusted types .*posix\.system"):
        load("estimator", folder)
    (folder / "MLmodel").write_text(
        yaml.safe_dump({"flavors": {"sklearn": trusted | {"serialization_format": "pickle"}}})
    )
    (folder / "model.skops").write_bytes(pickle.dumps(LogisticRegression()))
    with pytest.raises(PipelineError, match=r"model\.skops: is not loaded: File is not a zip file"):
        load("estimator", folder)
