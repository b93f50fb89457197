"""Where the time of a training step goes, by kind of operation: TensorFlow's profiler on one thread.

Command: python benchmarks/step_profile.py [--steps 100] [--batch 64] [overrides]      (about a minute)
Plain:   the configured network, `model.compile` and `model.fit`. Ours: the same network as `pipeline.train` trains it.
Writes:  milliseconds of a step, into docs/BENCHMARKS.md.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import document
import numpy as np
from hydra import compose, initialize_config_dir

from pipeline import datasets, device
from pipeline.config import CONF
from pipeline.models import network
from pipeline.training import kept
from pipeline.training import network as training

KINDS = {  # by words in the operation's type, the first that fits
    "convolutions": ("Conv2D",),
    "pooling": ("MaxPool",),
    "matrix products": ("MatMul",),
    "random numbers": ("Random", "Stateless"),
    "the optimizer's updates": ("Resource", "AssignVariable", "AssignAdd", "AssignSub"),
    "activations, dropout's masks, loss, metrics and the rest": ("",),
}
MODELS = ("cnn_dropout", "barcode_cnn")
ONE_AFTER_THE_OTHER = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")  # so that times add up


def profiled(fit: Callable[[], None], steps: int) -> tuple[dict[str, float], float]:
    """(milliseconds of a step by kind, of a step in all): all from a second fit, the first of which traces."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    fit()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            began = time.perf_counter()
            fit()
            whole = time.perf_counter() - began
        [file] = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    spent: Counter[str] = Counter()
    for plane in space.planes:
        names = {number: event.name for number, event in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events if line.name.startswith("tf_Compute") else ():
                operation = names[event.metadata_id].rpartition(":")[2]
                if operation != "Process":  # around all the others
                    spent[kind(operation)] += event.duration_ps
    return {name: spent[name] / 1e9 / steps for name in KINDS}, 1000 * whole / steps


def kind(operation: str) -> str:
    return next(name for name, words in KINDS.items() if any(word in operation for word in words))


def contestants(model: str, batch: int, steps: int, overrides: list[str]) -> list[Callable[[], None]]:
    """[plain, ours]: each trains so many steps."""
    augmented = ["augmentation=shift_rotate"] if model == "barcode_cnn" else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [f"model={model}", f"batch_size={batch}", *augmented, *overrides])
    dataset = datasets.load(cfg.dataset)
    device.prepare("cpu", "float32", cfg.seed)
    plain = network.build(cfg, dataset)
    loss = "sparse_categorical_crossentropy"
    plain.compile(training.optimizer(cfg, 10_000)[0], loss, metrics=["accuracy"], jit_compile=False)
    _, ours = kept.prepared(network.build(cfg, dataset), *training.optimizer(cfg, 10_000))
    some = np.arange(steps * batch) % len(dataset.train)
    images, labels = dataset.train.images[some], dataset.train.labels[some]
    return [lambda model=model: model.fit(images, labels, batch, verbose=0) for model in (plain, ours)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("overrides", nargs="*", help="for all: optimizer=nesterov")
    asked = parser.parse_intermixed_args()
    os.environ.update(ONE_AFTER_THE_OTHER)
    columns = [
        profiled(fit, asked.steps)
        for model in MODELS
        for fit in contestants(model, asked.batch, asked.steps, asked.overrides)
    ]
    rows = [(name, *(f"{spent[name]:.2f}" for spent, _ in columns)) for name in KINDS]
    rows.append(("between the operations", *(f"{whole - sum(spent.values()):.2f}" for spent, whole in columns)))
    rows.append(("**a step**", *(f"**{whole:.2f}**" for _, whole in columns)))
    header = ("milliseconds", *(f"{model}, {who}" for model in MODELS for who in ("plain", "ours")))
    parts = (
        "## Where a step's time goes",
        f"{document.command()}: steps of {asked.batch} images in float32 on one thread, by TensorFlow's profiler,\n"
        "which itself takes some time. Between the operations: scheduling, waits for the input pipeline, Python.",
        document.table(header, rows),
        document.machine(),
    )
    document.write_section("step_profile", "\n\n".join(parts))


if __name__ == "__main__":
    main()
