"""How soon the commands answer that train nothing.

Command: python benchmarks/latency.py [times]     (default: 10; half a minute)
Writes the section `latency` of docs/BENCHMARKS.md: seconds of the whole process, mean and standard deviation.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from document import command, machine, spread, table, write_section

TRIALS = 40  # of the sweep that `status` reads
COMMANDS = {  # words -> seconds that it may take
    "pipeline.train --help": 1.0,
    "pipeline.train model=cnn_dropout --cfg job": 1.0,
    "pipeline.train model=cnn_dropout batch_size=0": 1.0,
    "sweeps status": 2.0,
}
HEAVY = {"tensorflow", "keras", "mlflow", "matplotlib", "sklearn", "optuna"}


def main(times: int) -> None:
    seconds: dict[str, list[float]] = {words: [] for words in COMMANDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sweep(folder)
        imported = {words: imports(words, folder) for words in COMMANDS}  # warms the file system's cache as well
        for _ in range(times):
            for words in COMMANDS:
                seconds[words].append(run(words, folder))
    rows = [
        (f"`python -m {words}`", most, spread(seconds[words]), f"{max(seconds[words]):.2f}", imported[words])
        for words, most in COMMANDS.items()
    ]
    write_section(
        "latency",
        f"""## Latency

{command()}

{table(("command", "at most, s", f"seconds, {times} runs", "slowest", "imports, of what is heavy"), rows)}

The whole process, from its start to its end. Looked for among the imports: {", ".join(sorted(HEAVY))}. `status` reads a
sweep of {TRIALS} trials. Median of Python's own start (`python -c pass`): {bare_start(times):.2f} s. {machine()}.""",
    )


def make_sweep(folder: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (folder / "mlruns").mkdir()
    study = optuna.create_study(storage=f"sqlite:///{folder}/mlruns/studies.db", study_name="lr", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("optimizer.learning_rate", 1e-4, 1e-1, log=True), TRIALS)


def run(words: str, folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", *words.split()], cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - began


def imports(words: str, folder: Path) -> str:
    traced = [sys.executable, "-X", "importtime", "-m", *words.split()]
    said = subprocess.run(traced, cwd=folder, capture_output=True, text=True, check=False).stderr
    found = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    return ", ".join(sorted(HEAVY & found)) or "none"


def bare_start(times: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        return time.perf_counter() - began

    return statistics.median(once() for _ in range(times))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
