"""Without sweeping: the plan that words ask for, and a study that is there with the plan that it began with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from optuna.storages import BaseStorage
from optuna.study import Study

from pipeline.config import CONF, trained
from pipeline.errors import PipelineError
from sweeps import best, space, storage, study
from sweeps.plan import Plan, make_plan


@contextmanager
def planned(overrides: Sequence[str]) -> Iterator[tuple[Plan, DictConfig]]:
    """What `python -m pipeline.train` would plan from these words, with the configuration of its sweep."""
    with initialize_config_dir(str(CONF), job_name="train", version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        config = hydra.compose_config("config", list(overrides), run_mode=RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        given = {key: value for key, value in config.hydra.sweeper.items() if not key.startswith("_")}
        yield make_plan(config, hydra.config_loader, given, list(config.hydra.overrides.task)), config


@contextmanager
def begun(store: Path, url: str, name: str) -> Iterator[tuple[Plan, Study, DictConfig]]:
    """A study with the plan that it was begun with. Raises PipelineError where there is none, or files have changed."""
    found = study.existing(opened(url), name)
    about = found.user_attrs.get(study.ABOUT)
    if about is None:
        raise PipelineError(f"study {name}: was made by another program")
    words = [*about["overrides"], f"hydra.sweeper.study_name='{name}'"]
    if storage.sqlite_file(url) is None:
        words.append(f"hydra.sweeper.storage='{url}'")
    if store != Path("mlruns"):  # wherever it was when the sweep began
        words = [word for word in words if not word.startswith("tracking.store=")]
        words.append(f"tracking.store={best.typed(str(store))}")
    with planned(words) as (plan, config):
        check_unchanged(found, plan)
        yield plan, found, config


def check_unchanged(found: Study, plan: Plan) -> None:
    """Raises PipelineError where the plan is another than the study's."""
    swept = space.describe(plan.space)
    study.check_unchanged(found, plan.settings.directions, swept, trained(plan.base), plan.content)


def url_of(store: Path) -> str:
    """Of a store's own studies. Raises PipelineError where there are none."""
    file = store / "studies.db"
    if not file.exists():
        raise PipelineError(
            f"{store}: has no sweeps ({file} is missing); --store names another store, --storage a database"
        )
    return f"sqlite:///{file}"


def opened(url: str) -> BaseStorage:
    """url as it was given: its password is an interpolation. Raises PipelineError where its file is not there."""
    file = storage.sqlite_file(url)
    if file is not None and not file.exists():
        raise PipelineError(f"{file}: no such file; --storage names a database that a sweep has written")
    return storage.storage(storage.resolved(url))
