"""Images a second of training, beside plain Keras: the same models, data, batches; epochs alternate, in one process.

Command: python benchmarks/fit.py [--rounds 15] [overrides]      (epochs of 6,000 digits; about 8 minutes on two cores)
Plain:   the configured network, `model.compile` and `model.fit` with validation, nothing logged.
Ours:    what `pipeline.train` does in an epoch: the same network made lean, curves and kernel images logged to MLflow.
Writes:  images a second of both, the median of their ratios, and between which the middle half of these lies.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import document
from hydra import compose, initialize_config_dir

from pipeline import datasets, device, tracking
from pipeline.models import network
from pipeline.run import epoch_logger
from pipeline.training import network as training

CASES = [
    *((model, batch, "float32") for model in ("cnn_dropout", "cnn", "barcode_cnn") for batch in (64, 256)),
    ("cnn_dropout", 64, "mixed_bfloat16"),
    *((model, 128, "float32") for model in ("mlp", "softmax_regression", "small_and_strong")),
]
INTRODUCTION = """## Training, beside plain Keras

{command}: an epoch of each in turn. Plain Keras is in float32 and logs nothing; ours logs curves and
kernel images to MLflow. Both validate after the epoch. Medians; in brackets the middle half of the ratios."""
LOSS = "sparse_categorical_crossentropy"
AUGMENTED = {"barcode_cnn": ["augmentation=shift_rotate"], "small_and_strong": ["augmentation=handwriting"]}


def contestants(model: str, batch: int, precision: str, store: str, overrides: list[str]) -> list[Callable[[], float]]:
    """[plain, ours]: each trains an epoch and gives its images a second."""
    words = [f"model={model}", f"batch_size={batch}", "repeat=2", "epochs=1", f"tracking.store={store}"]
    with initialize_config_dir(str(Path(__file__).parents[1] / "conf"), version_base="1.3"):
        cfg = compose("config", overrides=[*words, *AUGMENTED.get(model, []), *overrides])
    dataset = datasets.load(cfg.dataset)
    images, labels = (part.repeat(cfg.repeat, axis=0) for part in (dataset.train.images, dataset.train.labels))

    device.prepare("cpu", "float32", cfg.seed)
    plain = network.build(cfg, dataset)
    plain.compile(training.optimizer(cfg, 10_000)[0], LOSS, metrics=["accuracy"], jit_compile=False)
    validation = (dataset.val.images, dataset.val.labels)

    device.prepare("cpu", precision, cfg.seed)
    ours = network.build(cfg, dataset)
    ours, prepared = training.prepare(ours, dataset, cfg)

    def fit_plain() -> float:
        began = time.perf_counter()
        plain.fit(images, labels, batch, validation_data=validation, validation_batch_size=512, verbose=0)
        return len(images) / (time.perf_counter() - began)

    def fit_ours() -> float:
        with contextlib.redirect_stdout(io.StringIO()), tracking.start(cfg, dataset) as tracker:
            began = time.perf_counter()
            training.fit(prepared, dataset, cfg, [epoch_logger(tracker, ours)])
            return len(images) / (time.perf_counter() - began)

    return [fit_plain, fit_ours]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("overrides", nargs="*", help="for all: dataset=mnist dataset.path=mnist.npz repeat=1")
    asked = parser.parse_args()
    rows = []
    for model, batch, precision in CASES:
        with tempfile.TemporaryDirectory() as folder:
            both = contestants(model, batch, precision, f"{folder}/mlruns", asked.overrides)
            for fit in both:
                fit()  # tracing
            speeds = [[fit() for fit in both] for _ in range(asked.rounds)]
        plain, ours = (statistics.median(each) for each in zip(*speeds, strict=True))
        low, middle, high = statistics.quantiles([fast / slow for slow, fast in speeds])
        said = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append((model, batch, precision, f"{plain:,.0f}", f"{ours:,.0f}", said))
        print(*rows[-1], flush=True)
    header = ("model", "batch", "ours in", "plain Keras, images/s", "ours, images/s", "ours / plain")
    parts = INTRODUCTION.format(command=document.command()), document.table(header, rows), document.machine()
    document.write_section("fit", "\n\n".join(parts))


if __name__ == "__main__":
    main()
