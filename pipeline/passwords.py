"""Passwords stay out of addresses, which stand in process lists, logs, error texts and stored configurations."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import PipelineError, one_line_errors, without_secrets


def refuse(key: str, address: str | None) -> None:
    """Raises PipelineError, without the secret, for an address that has one in it."""
    whole = (address or "").replace(" ", "")
    if (shown := without_secrets(whole)) != whole:
        raise PipelineError(
            f"{key}={shown}: must have no password in it; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, take it, or a file that MLFLOW_TRACKING_TOKEN_FILE names"
        )


class Guard(Callback):
    """Hydra calls it before it writes a run's configuration down; a sweep's is checked before that is written."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with one_line_errors():  # of what a callback raises, Hydra would make a warning
            refuse("tracking.uri", OmegaConf.select(config, "tracking.uri"))
