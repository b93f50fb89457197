"""A trained model as a folder in MLflow's format, which its server serves. Reading one back runs no code of its own."""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from pipeline.contracts import Dataset
from pipeline.environment import installed
from pipeline.errors import PipelineError, first_line

SAVED_WITH = {"network": ("keras", "numpy"), "estimator": ("scikit-learn", "skops", "numpy")}
FILES = {"network": "data/model.keras", "estimator": "model.skops"}

# What scikit-learn's classifiers are built of, beyond what skops trusts by itself. None of it is code, though a forged
# tree can crash the process. MLflow would ask the model's own folder what to trust, and whether to unpickle it.
KNOWN_TYPES = [
    "numpy.reshape",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
]


def save(model: Any, family: str, dataset: Dataset, run_id: str, folder: Path) -> None:
    """With a real image as its example. Signature and requirements are given: MLflow takes seconds to infer them."""
    folder.mkdir()
    settings = {
        "path": str(folder),
        "mlflow_model": Model(artifact_path="model", run_id=run_id),
        "input_example": dataset.val.images[:1],
        "metadata": {
            "class_names": [str(name) for name in dataset.class_names],
            "example_label": str(dataset.class_names[dataset.val.labels[0]]),
        },
        "pip_requirements": _requirements(*SAVED_WITH[family]),
    }
    (_save_network if family == "network" else _save_estimator)(model, dataset, settings)
    serving = folder / "serving_input_example.json"
    serving.write_text(json.dumps(json.loads(serving.read_text())))  # MLflow gives every pixel a line


def _requirements(*packages: str) -> list[str]:
    return [f"{name}=={found}" for name in packages if (found := installed(name))]


def _save_network(model: Any, dataset: Dataset, settings: dict[str, Any]) -> None:
    import keras
    import mlflow.keras

    settings["pip_requirements"] += _requirements(keras.backend.backend())  # a package of the same name
    mlflow.keras.save_model(model, signature=_signature(dataset, "float32"), **settings)


def _save_estimator(model: Any, dataset: Dataset, settings: dict[str, Any]) -> None:
    """Served, it answers with probabilities, or with labels where it has none of its own."""
    import mlflow.sklearn
    import skops.io

    probable = hasattr(model, "predict_proba")
    # we have just made it ourselves: whatever types it is built of are ours to trust
    types = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    if unknown := sorted(set(types) - set(KNOWN_TYPES)):
        print(f"model: is stored, but will not be loaded here again; it holds {', '.join(unknown)}", flush=True)
    mlflow.sklearn.save_model(
        model,
        serialization_format="skops",
        skops_trusted_types=types,
        pyfunc_predict_fn="predict_proba" if probable else "predict",
        signature=_signature(dataset, "float64" if probable else None),
        **settings,
    )


def load(family: str, folder: Path) -> Any:
    """The Keras model or scikit-learn pipeline, to predict with.

    Raises PipelineError where it is not there, is damaged, or holds what could run code of its own.
    """
    file = folder / FILES[family]
    if not file.is_file():
        raise PipelineError(f"{file}: no such file; nothing else in the run is loaded as its model")
    try:
        return _network(file) if family == "network" else _estimator(file)
    except (AttributeError, BadZipFile, ImportError, KeyError, TypeError, ValueError) as error:
        raise PipelineError(f"{file}: is not loaded: {first_line(error)}") from error


def _network(file: Path) -> Any:
    import keras

    return keras.saving.load_model(file, compile=False, safe_mode=True)


def _estimator(file: Path) -> Any:
    import skops.io

    return skops.io.load(file, trusted=KNOWN_TYPES)


def _signature(dataset: Dataset, probabilities: str | None) -> ModelSignature:
    """Raw images -> probabilities of this dtype, or the labels of an estimator that has none."""
    images = dataset.train.images
    takes = TensorSpec(images.dtype, (-1, *images.shape[1:]))
    if probabilities:
        gives = TensorSpec(np.dtype(probabilities), (-1, len(dataset.class_names)))
    else:
        gives = TensorSpec(np.dtype("int64"), (-1,))
    return ModelSignature(inputs=Schema([takes]), outputs=Schema([gives]))
