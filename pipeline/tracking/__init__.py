"""Where a run is recorded: MLflow, or nowhere. The only room that imports mlflow."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from pipeline.contracts import Dataset, Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def start(cfg: DictConfig, dataset: Dataset) -> AbstractContextManager[Tracker]:
    """A tracker for the length of a run; MLflow is imported only where cfg.tracking asks for it."""
    if cfg.tracking.name == "none":
        return _nowhere()
    from pipeline.tracking.mlflow_run import start

    return start(cfg, dataset)


@contextmanager
def _nowhere() -> Iterator[Tracker]:
    yield Nowhere()


class Nowhere:
    """tracking=none: nothing is kept, so figures and images are not even drawn."""

    run_id = None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def log_images(self, images: Iterable[tuple[str, np.ndarray]], step: int) -> None: ...

    def log_figures(self, figures: Iterable[tuple[str, "Figure"]]) -> None: ...

    def log_json(self, content: Mapping[str, Any], name: str) -> None: ...

    def log_model(self, model: Any) -> None: ...

    def set_state(self, state: str) -> None: ...
