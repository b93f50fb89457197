"""Which slots a machine has, and what each one's environment says before TensorFlow is imported."""

import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Toy

from pipeline.errors import PipelineError
from sweeps.slots import LocalExecutor, Machine, Slot, slots, visible_gpus

LAPTOP = Machine(gpus=(), cores=8, memory=16)
SERVER = Machine(gpus=("0", "1"), cores=16, memory=128)


@pytest.mark.parametrize(
    ("machine", "executor", "count"),
    [
        (LAPTOP, {}, 8),
        (Machine((), 8, 4), {}, 2),
        (Machine((), 1, 1), {}, 1),
        (LAPTOP, {"slots": 3}, 3),
        (SERVER, {}, 2),
        (SERVER, {"per_gpu": 4}, 8),
        (SERVER, {"slots": 3}, 3),
    ],
)
def test_slots_are_as_many_as_fit(machine: Machine, executor: dict[str, Any], count: int) -> None:
    assert len(slots(executor, 1, machine)) == count


def test_n_jobs_says_how_many_where_the_executor_does_not() -> None:
    assert len(slots({"slots": "auto"}, 3, LAPTOP)) == 3
    assert len(slots({"slots": 2}, 3, LAPTOP)) == 2


def test_cores_are_shared_out_and_no_cpu_slot_sees_a_gpu() -> None:
    for slot in slots({"slots": 2}, 1, LAPTOP):
        assert slot.environment["TF_NUM_INTRAOP_THREADS"] == slot.environment["OMP_NUM_THREADS"] == "4"
        assert slot.environment["CUDA_VISIBLE_DEVICES"] == "-1"


def test_each_slot_sees_one_gpu_and_takes_its_share_of_memory() -> None:
    environments = [slot.environment for slot in slots({"per_gpu": 2}, 1, SERVER)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in environments] == ["0", "1", "0", "1"]
    assert {each["TF_FORCE_GPU_ALLOW_GROWTH"] for each in environments} == {"true"}
    assert {each["XLA_PYTHON_CLIENT_MEM_FRACTION"] for each in environments} == {"0.45"}
    assert {each["TF_NUM_INTRAOP_THREADS"] for each in environments} == {"4"}


def test_gpus_are_those_stated_else_those_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert visible_gpus({"gpus": [0, 1]}) == ["0", "1"]
    assert visible_gpus({"gpus": []}) == []
    assert visible_gpus({"gpus": "auto"}) == ["2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus({}) == []


@pytest.mark.parametrize("executor", [{"slots": 0}, {"slots": "many"}, {"per_gpu": 0}])
def test_impossible_counts_are_refused(executor: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match="must be a whole number of at least 1"):
        slots(executor, 1, SERVER)


def test_a_trial_lives_in_its_slots_environment(toy: Toy) -> None:
    """On a stated list of two GPUs, through real worker processes."""
    source = (toy.folder / "app.py").read_text().replace("import os\n", "import os\nSEEN = dict(os.environ)\n")
    source = source.replace('"seed": cfg.seed', '"seed": SEEN["CUDA_VISIBLE_DEVICES"]')
    (toy.folder / "app.py").write_text(source)
    toy.sweep("x=0.1,0.2,0.3,0.4", "seconds=0.3", "@executor.slots=auto", "+hydra.sweeper.executor.gpus=[5,7]")
    assert {event["seed"] for event in toy.events("start")} == {"5", "7"}


def needed(toy: Toy, then: str = "") -> Path:
    """A module that trials need; gives the file into which each process that loads it writes its number."""
    module = f"import os, time\nwith open('loaded', 'a') as file: print(os.getpid(), file=file)\n{then}"
    (toy.folder / "needed.py").write_text(module)
    return toy.folder / "loaded"


def is_living(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_a_process_is_ready_before_its_trial_and_gone_after_the_sweep(
    toy: Toy, end: type[BaseException] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it ends, in the middle of an import too."""
    loaded = needed(toy, "time.sleep(60)" if end else "")
    monkeypatch.chdir(toy.folder)
    monkeypatch.syspath_prepend(toy.folder)
    places = [Slot("one", {}), Slot("two", {})]
    began = time.monotonic()
    try:
        with LocalExecutor(places, "app:main", toy.folder / "log", 1, None, lambda *_: False, ["needed"], ready=1):
            while not loaded.exists() or not loaded.read_text().endswith("\n"):
                time.sleep(0.02)
            process = int(loaded.read_text())  # of one alone
            assert is_living(process)
            if end:
                raise end
    except KeyboardInterrupt:
        pass
    assert not is_living(process)
    assert time.monotonic() - began < 15


def test_modules_are_loaded_once_for_all_processes(toy: Toy) -> None:
    loaded = needed(toy)
    toy.sweep("x=range(0,4)", "@executor.trials_per_worker=1", "+hydra.sweeper.executor.imports=[needed]")
    assert len({event["process"] for event in toy.events("start")}) == 4
    assert len(loaded.read_text().split()) == 1


def test_no_process_starts_where_nothing_is_left_to_do(toy: Toy) -> None:
    loaded = needed(toy)
    words = ("x=0.1,0.2", "seconds=0.1", "+hydra.sweeper.executor.imports=[needed]")
    toy.sweep(*words)
    before = loaded.read_text()
    toy.sweep(*words)
    assert loaded.read_text() == before


def test_processes_draw_numbers_of_their_own(toy: Toy) -> None:
    """NumPy's, too, where an application has not set a seed."""
    source = (toy.folder / "app.py").read_text()
    source = source.replace('"seed": cfg.seed', '"seed": [np.random.randint(10**6), random.randrange(10**6)]')
    (toy.folder / "app.py").write_text(source.replace("import hydra\n", "import hydra\nimport numpy as np\n"))
    toy.sweep("x=range(0,4)", "@executor.trials_per_worker=1", "+hydra.sweeper.executor.imports=[numpy]")
    drawn = [event["seed"] for event in toy.events("start")]
    assert [len(set(of_one)) for of_one in zip(*drawn, strict=True)] == [4, 4]


def test_a_module_that_is_not_there_is_named(toy: Toy) -> None:
    done = toy.sweep("x=0.1", "+hydra.sweeper.executor.imports=[no_such]")
    assert "the worker could not start: ModuleNotFoundError: No module named 'no_such'" in done.stdout


@pytest.mark.parametrize("gpus", [1, 0, "0,1"])
def test_gpus_are_a_list(gpus: object) -> None:
    with pytest.raises(PipelineError, match=rf"^executor\.gpus={gpus}: must be auto, or a list"):
        visible_gpus({"gpus": gpus})
