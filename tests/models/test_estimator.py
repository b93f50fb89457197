"""scikit-learn estimators behind the contract."""

import numpy as np
import pytest
from conftest import configuration
from sklearn.preprocessing import StandardScaler

from pipeline import datasets
from pipeline.errors import PipelineError
from pipeline.models import estimator
from pipeline.training.estimator import prepare


def test_it_sees_the_datasets_own_scaling() -> None:
    cfg = configuration("model=sgd_classifier", "dataset=digits", "dataset.standardize=pixel_mean")
    data = datasets.load(cfg.dataset)
    scaled = estimator.build(cfg, data)[0].transform(estimator.rows(data.train.images))
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


def test_a_value_it_refuses_is_refused_before_a_run_begins() -> None:
    cfg = configuration("model=sgd_classifier", "dataset=digits", "model.estimator.loss=hinges")
    data = datasets.load(cfg.dataset)
    with pytest.raises(PipelineError, match=r"model=sgd_classifier: The 'loss' parameter of SGDClassifier must be"):
        prepare(estimator.build(cfg, data), data, cfg)
