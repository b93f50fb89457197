"""How much memory a run takes at its peak, and a process that trains one trial of a sweep after another.

Command: python benchmarks/memory.py dataset=mnist dataset.path=mnist.npz [--times 3]     (a quarter of an hour)
Writes the section `memory` of docs/BENCHMARKS.md: the largest resident set (VmHWM) that the kernel saw, in GB.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from document import command, machine, spread, table, write_section

RUN, SLOT = 1.6, 1.2  # GB that they may take
CASES = {
    "model=cnn_dropout": RUN,
    "model=cnn_dropout batch_size=512 figures=all": RUN,
    "model=barcode_cnn repeat=3 figures=all": RUN,
    "model=cnn_dropout sweep=custom batch_size=64,128,256 executor=local executor.slots=1": SLOT,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*", help="of every run: dataset=mnist dataset.path=mnist.npz")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_intermixed_args()
    words = ["epochs=1", *given.overrides]
    peaks: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(given.times):
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                store = f"tracking.store={folder}/mlruns"
                peaks[case].append(peak("-m", "pipeline.train", *case.split(), *words, store))
    imports = [peak("-c", f"import {package}") for package in ("hydra", "keras", "mlflow")]
    shown = " ".join(word for word in words if not word.startswith("dataset.path="))
    rows = [(f"`{case}`", most, spread(peaks[case]), f"{max(peaks[case]):.2f}") for case, most in CASES.items()]
    write_section(
        "memory",
        f"""## Memory

{command()}

{table((f"`python -m pipeline.train {shown}` and", "at most, GB", "peak, GB", "largest"), rows)}

The last one is of a sweep: the slot's process, which trains the trials and is forked from one that has the imports.
Resident memory at its peak, with the pages that processes share; imports alone take {imports[0]:.2f} GB (Hydra),
{imports[1]:.2f} (Keras and backend) and {imports[2]:.2f} (MLflow). Mean and standard deviation; number of runs:
{given.times}. {machine()}.""",
    )


def peak(*words: str) -> float:
    """GB, of the largest among the process and those that it started and waited for."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)}: failed; run it by itself to see why")
    return used.ru_maxrss / 1e6 * 1.024  # the kernel counts in KiB


if __name__ == "__main__":
    main()
