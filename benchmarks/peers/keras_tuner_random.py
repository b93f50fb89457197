"""KerasTuner's random search, in one process. It draws its own points. Nothing is logged to MLflow."""

from typing import Any

import keras_tuner
import work


class DropoutCnn(keras_tuner.HyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        hp.Choice("batch_size", list(work.BATCH_SIZES))
        return work.network(
            hp.Float("learning_rate", *work.LEARNING_RATE, sampling="log"), hp.Float("dropout", *work.DROPOUT)
        )

    def fit(self, hp: keras_tuner.HyperParameters, model: Any, *args: Any, **settings: Any) -> Any:
        history = model.fit(*args, batch_size=hp.get("batch_size"), **settings)
        work.keep(hp.values, history.history["val_accuracy"])
        return history


task = work.read()
tuner = keras_tuner.RandomSearch(
    DropoutCnn(), "val_accuracy", max_trials=len(task["points"]), seed=task["seed"], directory="keras_tuner"
)
tuner.search(**work.data(task["images"]), epochs=task["epochs"], verbose=0)
