"""Two of the references in plain Keras, without this project: are its numbers those of the recipe?

Command:  python benchmarks/plain_keras.py cnn mnist.npz 0 1 2          # or intro_cnn; the file, the seeds
Cost:     about a minute a seed on two CPU cores
Result:   test accuracy after each epoch, as the notebooks printed it, then the last one's mean and standard deviation
"""

import statistics
import sys

import keras
import numpy as np
from keras import layers

CNN = (
    *(layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(2)),
    *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)),
    *(layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")),
)
INTRO_CNN = (
    *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25)),
    *(layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")),
)
RECIPES = {"cnn": (CNN, 60_000, 10), "intro_cnn": (INTRO_CNN, 20_000, 6)}  # layers, training images, epochs

name, path, *seeds = sys.argv[1:]
stack, images, epochs = RECIPES[name]
with np.load(path) as data:
    x, x_test = (data[key][..., None].astype("float32") / 255 for key in ("x_train", "x_test"))
    y, y_test = data["y_train"], data["y_test"]

last = []
for seed in map(int, seeds):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((28, 28, 1)), *(layer.from_config(layer.get_config()) for layer in stack)])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    history = model.fit(
        x[:images], y[:images], batch_size=128, epochs=epochs, validation_data=(x_test, y_test), verbose=0
    )
    accuracies = history.history["val_accuracy"]
    last.append(accuracies[-1])
    print(f"seed {seed}: {' '.join(f'{value:.4f}' for value in accuracies)}", flush=True)
spread = f" ± {statistics.stdev(last):.4f}" if len(last) > 1 else ""
print(f"{name}: {statistics.mean(last):.4f}{spread} ({len(last)} runs)")
