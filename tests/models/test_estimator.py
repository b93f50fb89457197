"""scikit-learn estimators behind the contract."""

import numpy as np
import pytest
import skops.io
from conftest import configuration
from joblib import parallel_config
from sklearn.preprocessing import StandardScaler

from pipeline import datasets, interpret
from pipeline.errors import PipelineError
from pipeline.models import estimator
from pipeline.training.estimator import fit, prepare


def test_it_sees_the_datasets_own_scaling() -> None:
    cfg = configuration("model=sgd_classifier", "dataset=digits", "dataset.standardize=pixel_mean")
    data = datasets.load(cfg.dataset)
    scaled = estimator.build(cfg, data)[:-1].transform(estimator.rows(data.train.images))
    expected = StandardScaler(with_std=False).fit_transform(estimator.rows(data.train.images) / 16)
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
def test_probabilities_for_every_class_whose_highest_is_the_prediction(loss: str, classes: int) -> None:
    cfg = configuration("model=sgd_classifier", "dataset=digits", f"model.estimator.loss={loss}")
    data = datasets.load(cfg.dataset)
    few = data.train.labels < classes
    images, labels = data.train.images[few], data.train.labels[few]
    model = estimator.build(cfg, data).fit(estimator.rows(images), labels)
    probabilities = estimator.predict(model, images)
    assert probabilities.shape == (len(labels), classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), model.predict(estimator.rows(images)))
    assert estimator.count_weights(model) == (10 * 65 if classes == 10 else 65)


def test_a_setting_it_does_not_have_is_refused() -> None:
    cfg = configuration("model=sgd_classifier", "dataset=digits", "+model.estimator.neighbours=3")
    with pytest.raises(PipelineError, match=r"model.estimator: .*neighbours"):
        estimator.build(cfg, datasets.load(cfg.dataset))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_its_lists_are_lists_which_can_be_stored() -> None:
    layers = "{_target_: sklearn.neural_network.MLPClassifier, hidden_layer_sizes: [20, 10], max_iter: 2}"
    cfg = configuration("model=sgd_classifier", "dataset=digits", "~model.estimator", f"+model.estimator={layers}")
    data = datasets.load(cfg.dataset)
    model = estimator.build(cfg, data).fit(estimator.rows(data.val.images), data.val.labels)
    assert model[-1].hidden_layer_sizes == [20, 10]
    assert skops.io.dumps(model)


def test_a_value_it_refuses_is_refused_before_a_run_begins() -> None:
    cfg = configuration("model=sgd_classifier", "dataset=digits", "model.estimator.loss=hinges")
    data = datasets.load(cfg.dataset)
    with pytest.raises(PipelineError, match=r"model=sgd_classifier: The 'loss' parameter of SGDClassifier must be"):
        prepare(estimator.build(cfg, data), data, cfg)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("linear_svc model.estimator.estimator.C=-1", "The 'C' parameter of LinearSVC must be"),  # raised in a worker
        ("knn model.estimator.n_neighbors=2000", "Expected n_neighbors <= n_samples_fit"),  # when it predicts
    ],
)
def test_a_value_that_it_refuses_later_is_one_line_too(setting: str, line: str) -> None:
    cfg = configuration("dataset=digits", *f"model={setting}".split())
    data = datasets.load(cfg.dataset)
    with pytest.raises(PipelineError, match=f"^model={cfg.model.name}: {line}"):
        fit(estimator.build(cfg, data), data, cfg, [])


@pytest.mark.parametrize("name", ["linear_svc", "random_forest", "svc_rbf", "knn"])
def test_predicting_in_blocks_on_all_cores_is_predicting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator, "AT_ONCE", 64)
    cfg = configuration(f"model={name}", "dataset=digits", "model.fit_limit=null")
    data = datasets.load(cfg.dataset)
    model = estimator.build(cfg, data)
    with parallel_config("threading"):  # as it is fitted in a run
        model.fit(estimator.rows(data.train.images), data.train.labels)
    probabilities = estimator.predict(model, data.test.images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    agreeing = probabilities.argmax(axis=1) == model.predict(estimator.rows(data.test.images))
    assert agreeing.mean() > 0.99  # pairwise votes break their ties by margin
    assert (probabilities.argmax(axis=1) == data.test.labels).mean() > 0.9


def test_a_limit_fits_to_a_part_with_every_class_in_it_and_says_so(capsys: pytest.CaptureFixture) -> None:
    cfg = configuration("model=knn", "dataset=digits", "model.fit_limit=200")
    data = datasets.load(cfg.dataset)
    model = estimator.build(cfg, data)
    fit(model, data, cfg, [])
    assert model[-1].n_samples_fit_ == 200
    assert len(model[-1].classes_) == 10
    assert "fitting knn to 200 images" in capsys.readouterr().out


def test_a_limit_that_leaves_out_a_class_is_refused_before_a_run_begins() -> None:
    cfg = configuration("model=knn", "dataset=digits", "model.fit_limit=5")
    data = datasets.load(cfg.dataset)
    with pytest.raises(PipelineError, match="model.fit_limit=5: "):
        prepare(estimator.build(cfg, data), data, cfg)


def test_one_linear_machine_for_each_class_is_counted_and_shown_as_one() -> None:
    cfg = configuration("model=linear_svc", "dataset=digits")
    data = datasets.load(cfg.dataset)
    model = estimator.build(cfg, data)
    fit(model, data, cfg, [])
    assert estimator.count_weights(model) == 10 * 65
    assert interpret.weight_maps(model, data.image_shape)["coefficients"].shape == (10, 8, 8, 1)
