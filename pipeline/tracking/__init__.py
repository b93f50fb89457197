"""Where a run is recorded: MLflow, or nowhere. The only room that imports mlflow."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from omegaconf import DictConfig

from pipeline.contracts import Dataset, Tracker


def start(cfg: DictConfig, dataset: Dataset) -> AbstractContextManager[Tracker]:
    """A tracker for the length of a run; MLflow is imported only where cfg.tracking asks for it."""
    if cfg.tracking.name == "none":
        return _nowhere()
    from pipeline.tracking.mlflow_run import start

    return start(cfg, dataset)


@contextmanager
def _nowhere() -> Iterator[Tracker]:
    yield Nowhere()


class Nowhere(Tracker):
    """tracking=none: nothing is kept, so figures and images are not even drawn. The bodies are the protocol's own."""

    run_id = None
    opened_by = None
    origin = None
