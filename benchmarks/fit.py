"""Images a second of training, beside plain Keras: the same models, data, batches; epochs alternate, in one process.

Command: python benchmarks/fit.py [rounds] [overrides]      (default: 5, each of 15,000 digits; about 8 minutes)
Plain:   the configured network, `model.compile` and `model.fit` with validation, nothing logged.
Ours:    what `pipeline.train` does in an epoch: the same network made lean, curves and kernel images logged to MLflow.
Prints:  images a second of both, median of the rounds, and the ratio of each round: mean, lowest and highest.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hydra import compose, initialize_config_dir

from pipeline import datasets, device, tracking
from pipeline.models import network
from pipeline.run import epoch_logger
from pipeline.training import network as training

CASES = [
    *((model, batch, "float32") for model in ("cnn_dropout", "cnn", "barcode_cnn") for batch in (64, 256)),
    ("cnn_dropout", 64, "mixed_bfloat16"),
    *((model, 128, "float32") for model in ("mlp", "softmax", "small_and_strong")),
]
LOSS = "sparse_categorical_crossentropy"
AUGMENTED = {"barcode_cnn": ["augmentation=shift_rotate"], "small_and_strong": ["augmentation=handwriting"]}


def contestants(model: str, batch: int, precision: str, store: str, overrides: list[str]) -> list[Callable[[], float]]:
    """[plain, ours]: each trains an epoch and gives its images a second."""
    words = [f"model={model}", f"batch_size={batch}", "repeat=5", "epochs=1", f"tracking.store={store}"]
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


def main(rounds: int = 5, *overrides: str) -> None:
    print(f"{'model':18} {'batch':>5}  {'precision':15} {'plain':>8} {'ours':>8}   ours / plain", flush=True)
    for model, batch, precision in CASES:
        with tempfile.TemporaryDirectory() as folder:
            both = contestants(model, batch, precision, f"{folder}/mlruns", list(overrides))
            for fit in both:
                fit()  # tracing
            speeds = [[fit() for fit in both] for _ in range(int(rounds))]
        plain, ours = (statistics.median(each) for each in zip(*speeds, strict=True))
        ratios = [fast / slow for slow, fast in speeds]
        print(
            f"{model:18} {batch:5}  {precision:15} {plain:8,.0f} {ours:8,.0f}   "
            f"{statistics.mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
