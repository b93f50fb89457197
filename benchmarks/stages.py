"""Where the seconds of a whole command go, from the start of its process to its end.

Command: python benchmarks/stages.py experiment=fast99 dataset.path=mnist.npz [--times 5]     (2 minutes)
Runs `python -m pipeline.train` with these words beside a thread that looks every few milliseconds what runs: the
innermost function of STAGES. Writes a section of docs/BENCHMARKS.md.
"""

import argparse
import atexit
import json
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

EACH = 0.002  # seconds between looks
STAGES = {  # by file and function
    "imports": ("<frozen importlib._bootstrap>:_find_and_load",),
    "data": ("datasets/__init__.py:load",),
    "the network, built": ("models/network.py:build", "training/network.py:prepare", "device.py:prepare"),
    "figures and report": ("gallery.py:draw", "report.py:tell", "kernels.py:kernel_mosaic"),
    "training": ("training/network.py:fit",),
    "evaluation": ("models/network.py:predict",),
    "MLflow, the model": ("tracking/model.py:save",),
    "MLflow, the run": ("tracking/mlflow.py:start", "tracking/mlflow.py:MlflowTracker", "contextlib.py:__exit__"),
}
AROUND = "the interpreter's start and end, all the rest"


def main() -> None:
    from document import command, machine, spread, table, write_section

    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("overrides", nargs="+", help="what pipeline.train is given")
    given = parser.parse_intermixed_args()
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        words = [*given.overrides, f"tracking.store={folder}/mlruns"]
        for _ in range(given.times + 1):
            began = time.perf_counter()
            subprocess.run([sys.executable, __file__, f"{folder}/seconds.json", *words], check=True, stdout=sys.stderr)
            whole = time.perf_counter() - began
            seconds = json.loads(Path(f"{folder}/seconds.json").read_text())
            found.append(seconds | {AROUND: whole - sum(seconds.values()), "in all": whole})
    rows = [
        (stage, spread(values), f"{100 * sum(values) / sum(run['in all'] for run in found[1:]):.0f}")
        for stage in [*STAGES, AROUND, "in all"]
        if any(values := [run.get(stage, 0.0) for run in found[1:]])  # the first one makes the store
    ]
    shown = " ".join(word for word in given.overrides if not word.startswith("dataset.path="))
    write_section(
        f"stages {shown}",
        f"""## Where a command's time goes: `python -m pipeline.train {shown}`

{command()}

{table(("stage", "seconds", "%"), rows)}

By a thread that looks every few milliseconds which of these functions runs. What is imported late counts as imports;
figures count as figures, though the tracker draws them. Mean and standard deviation of {given.times} runs in a store
that is there. {machine()}.""",
    )


def clocked(file: str) -> None:
    """pipeline.train in this process; the seconds of each stage into the file at its end."""
    seconds: Counter[str] = Counter()
    over, thread = threading.Event(), threading.main_thread().ident

    def look() -> None:
        since = time.perf_counter()
        while not over.wait(EACH):
            now = time.perf_counter()
            seconds[stage(sys._current_frames().get(thread))] += now - since
            since = now

    atexit.register(lambda: Path(file).write_text(json.dumps({name: seconds[name] for name in STAGES})))
    atexit.register(over.set)
    threading.Thread(target=look, daemon=True).start()
    runpy.run_module("pipeline.train", run_name="__main__", alter_sys=True)


def stage(frame: FrameType | None) -> str:
    """Of the innermost function that belongs to one."""
    while frame is not None:
        place = f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"
        for name, functions in STAGES.items():
            if any(each in place for each in functions):
                return name
        frame = frame.f_back
    return AROUND


if __name__ == "__main__":
    if sys.argv[1].endswith(".json"):
        sys.path.pop(0)
        clocked(sys.argv.pop(1))
    else:
        main()
