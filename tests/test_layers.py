"""Which room may import which, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))

SWEEPS = sorted((ROOT / "sweeps").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def modules(room: str) -> list[Path]:
    return sorted((ROOT / "pipeline" / room).glob("*.py"))


def from_package(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imported(path))


@pytest.mark.parametrize("path", modules("figures"), ids=lambda path: path.stem)
def test_figures_import_only_contracts(path: Path) -> None:
    own = {name for name in imported(path) if name.startswith("pipeline")}
    assert all(name.startswith(("pipeline.contracts", "pipeline.figures")) for name in own)
    assert not any(from_package(path, name) for name in ("keras", "tensorflow", "mlflow", "matplotlib.pyplot"))


@pytest.mark.parametrize("room", ["datasets", "models", "figures", "tracking"])
def test_these_rooms_do_not_import_each_other(room: str) -> None:
    others = {"datasets", "models", "figures", "tracking"} - {room}
    for path in modules(room):
        assert not any(from_package(path, f"pipeline.{other}") for other in others), path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_pipeline_would_not_notice_the_removal_of_sweeps(path: Path) -> None:
    assert not from_package(path, "sweeps")
    assert not from_package(path, "optuna")


def test_only_tracking_imports_mlflow() -> None:
    importers = {path for path in MODULES if from_package(path, "mlflow")}
    assert importers
    assert importers <= set(modules("tracking"))


def test_in_sweeps_too_mlflow_has_one_place() -> None:
    assert [path.name for path in SWEEPS if from_package(path, "mlflow")] == ["tracking.py"]


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps" / "figures").glob("*.py")), ids=lambda path: path.stem)
def test_a_studys_figures_import_only_contracts_and_style(path: Path) -> None:
    own = {name for name in imported(path) if name.startswith(("pipeline", "sweeps"))}
    assert all(name.startswith(("pipeline.figures.style", "sweeps.contracts", "sweeps.figures")) for name in own)
    assert not any(from_package(path, name) for name in ("optuna", "keras", "mlflow", "matplotlib.pyplot"))


@pytest.mark.parametrize("name", ["trial", "worker", "process", "cluster_worker"])
def test_a_worker_knows_nothing_of_the_study(name: str) -> None:
    path = ROOT / "sweeps" / f"{name}.py"
    assert not any(from_package(path, package) for package in ("optuna", "mlflow", "sqlalchemy"))


def test_without_dask_all_but_one_executor_can_be_had() -> None:
    assert {path.name for path in SWEEPS if from_package(path, "distributed")} == {"cluster.py", "cluster_worker.py"}
    importers = {path.name for path in SWEEPS if {"sweeps.cluster", "sweeps.cluster_worker"} & set(imported(path))}
    assert importers == {"cluster.py", "sweep.py"}


def test_the_plugin_that_hydra_executes_at_every_start_imports_hydra_alone() -> None:
    tree = ast.parse((ROOT / "sweeps/hydra_plugins/hydra_optuna_sweeper/optuna_sweeper.py").read_text())
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {node.module.partition(".")[0] for node in at_once} == {"typing", "hydra", "omegaconf"}


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_backend_stands_in_one_module(backend: str) -> None:
    assert [path.name for path in MODULES if from_package(path, backend)] == ["device.py"]
