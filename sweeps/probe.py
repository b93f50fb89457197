"""How long an epoch takes, from two seconds of training: a task for a worker."""

import math
import time

from omegaconf import DictConfig

from pipeline import datasets, device, models, training

SECONDS = 2.0


def probe(cfg: DictConfig) -> float:
    """Seconds of an epoch's training steps; of the whole fit for a scikit-learn estimator. Nothing is logged."""
    dataset = datasets.load(cfg.dataset)
    if cfg.model.family == "network":
        device.prepare(cfg.device, cfg.precision, cfg.seed)
    model = models.family(cfg.model.family).build(cfg, dataset)
    trainer = training.family(cfg.model.family)
    _, prepared = trainer.prepare(model, dataset, cfg)
    if cfg.model.family != "network":
        return trainer.fit(prepared, dataset, cfg, []).seconds
    images, labels = dataset.train.images[: cfg.batch_size], dataset.train.labels[: cfg.batch_size]
    prepared.train_on_batch(images, labels)  # building and tracing
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        prepared.train_on_batch(images, labels)
        steps += 1
    return (time.perf_counter() - began) / steps * math.ceil(len(dataset.train) / cfg.batch_size)
