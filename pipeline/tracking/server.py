"""An MLflow server: does it answer, where does it keep files, and what is an error that passes?"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import PipelineError, chain, first_line

SECRETS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
PASSING = (408, 429, 500, 502, 503, 504)  # HTTP's codes for another try
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"  # of MLflow's client


class AwayError(PipelineError):
    """Nobody answers."""


def is_server(uri: str | None) -> bool:
    return uri is not None and uri.startswith("http")


def check(uri: str, timeout: float = 10) -> None:
    """Raises AwayError where nobody answers: MLflow itself would try for minutes before it says so."""
    _read_secrets()
    try:
        # MLflow's own request knows what its settings say of certificates
        answer = http_request(
            get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=timeout, raise_on_status=False
        )
    except MlflowException as error:
        raise AwayError(f"tracking.uri={uri}: no MLflow server answers ({origin(error)})") from None
    if answer.status_code in PASSING:
        raise AwayError(f"tracking.uri={uri}: no MLflow server answers ({answer.status_code} {answer.reason})")


def check_artifacts(uri: str, experiment: Experiment) -> None:
    """Raises PipelineError for a server that leaves files to its clients, in a folder that this machine has not."""
    place = urlsplit(experiment.artifact_location)
    if place.scheme in ("", "file"):
        folder = Path(url2pathname(place.path))
        if not (folder.is_absolute() and (folder.is_dir() or folder.parent.is_dir())):
            raise PipelineError(
                f"tracking.uri={uri}: keeps the files of {experiment.name} in {experiment.artifact_location}, which is "
                "no folder of this machine; let the server take them: mlflow server --artifacts-destination ..."
            )


def passes(error: Exception) -> bool:
    """May it be another answer a moment later?"""
    if isinstance(error, requests.RequestException):
        return error.response is None or error.response.status_code in PASSING
    if isinstance(error, MlflowException):
        return error.get_http_status_code() in PASSING
    return isinstance(error, AwayError)


def origin(error: Exception) -> str:
    """What it began with: below MLflow's words and those of two HTTP libraries."""
    return first_line(list(chain(error))[-1])


def reason(error: Exception) -> str:
    """What is wrong, for a person."""
    code = error.get_http_status_code() if isinstance(error, MlflowException) else None
    if code == 401:
        return f"the server wants to know who asks; {', '.join(SECRETS[:2])} or {SECRETS[2]} tell it"
    return first_line(getattr(error, "orig", None) or error)


@contextmanager
def once() -> Iterator[None]:
    """A request in the block is sent once: MLflow's client would create a second run where the answer is lost."""
    before = os.environ.get(RETRIES)
    os.environ[RETRIES] = "0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(RETRIES, None)
        else:
            os.environ[RETRIES] = before


@contextmanager
def told(place: str) -> Iterator[None]:
    """Raises PipelineError for what a store, a server's or its own, refuses or fails at."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise PipelineError(f"{place}: {reason(error)}") from error


def _read_secrets() -> None:
    """From the files that containers are given them in: MLFLOW_TRACKING_TOKEN_FILE=/run/secrets/mlflow."""
    for name in SECRETS:
        file = os.environ.get(f"{name}_FILE")
        if file and name not in os.environ:
            os.environ[name] = Path(file).read_text().strip()
