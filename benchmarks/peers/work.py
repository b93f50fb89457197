"""What every peer does, as plain Keras has it: the dropout CNN on given images, at a point of the search space.

A peer is started in a folder with `task.json`: {images, epochs, seed, points}. It leaves TRIALS there: the
point of each trial, and its validation accuracy after each epoch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

TRIALS = "trials.jsonl"
LEARNING_RATE, BATCH_SIZES, DROPOUT = (1e-4, 1e-2), (32, 64, 128, 256), (0.0, 0.6)


def read(folder: Path = Path()) -> dict[str, Any]:
    return json.loads((folder / "task.json").read_text())


def keep(point: Mapping[str, float], curve: Iterable[float]) -> None:
    with Path(TRIALS).open("a") as file:
        file.write(json.dumps({"point": dict(point), "val_accuracy": [float(value) for value in curve]}) + "\n")


def network(learning_rate: float, dropout: float) -> Any:
    from keras import Input, Sequential, layers, optimizers

    model = Sequential(
        [
            Input((28, 28, 1)),
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(dropout)),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(dropout)),
            *(layers.Flatten(), layers.Dense(150, activation="relu"), layers.Dropout(dropout)),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def data(path: str) -> dict[str, Any]:
    """fit's arguments for the images: pixels from 0 to 1, and labels."""
    import numpy as np

    with np.load(path) as arrays:
        x, x_val = (arrays[name].astype("float32") / 255 for name in ("x_train", "x_val"))
        return {"x": x, "y": arrays["y_train"], "validation_data": (x_val, arrays["y_val"])}


def fit(
    task: Mapping[str, Any], images: Mapping[str, Any], point: Mapping[str, float], callbacks: Sequence[Any] = ()
) -> list[float]:
    """A trial: the validation accuracy after each epoch."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model, batch_size = network(point["learning_rate"], point["dropout"]), point["batch_size"]
    model.fit(**images, batch_size=batch_size, epochs=task["epochs"], callbacks=list(callbacks), verbose=0)
    return model.history.history["val_accuracy"]
