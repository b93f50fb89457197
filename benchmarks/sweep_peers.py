"""Sixteen trials of the dropout CNN, fully tracked, beside what other programs take for the same work.

Command: python benchmarks/sweep_peers.py                                    (about 40 minutes on two quiet cores)
         python benchmarks/sweep_peers.py plain_keras ours --seeds 1 --again
Contestants run one after another, in a round for each sampler seed, on the same images. All train the same points, but
KerasTuner, which draws its own. Each peer has an environment of its own, made the first time, kept in --cache. What is
measured is kept in sweep_peers.json: the same command goes on where it ended. Writes docs/BENCHMARKS.md.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contestants import CONTESTANTS, measure
from document import machine, spread, table, write_section
from environments import python

from pipeline.environment import installed

RESULTS = Path(__file__).with_suffix(".json")
CACHE = Path.home() / ".cache" / "sweepline" / "peers"
BASELINE = "plain_keras"
SHARED = ("keras", "tensorflow", "mlflow", "optuna")


def main(names: Sequence[str], trials: int, epochs: int, seeds: int, again: bool, file: Path, cache: Path) -> None:
    software = ", ".join(f"{package} {installed(package)}" for package in SHARED)
    setting = {"trials": trials, "epochs": epochs, "machine": f"{machine()}, {software}"}
    results = [each for each in _kept(file, setting) if not (again and each["contestant"] in names)]
    done = {(each["seed"], each["contestant"]) for each in results}
    left = [(seed, name) for seed in range(seeds) for name in names if (seed, name) not in done]
    interpreters = {}
    for name in dict.fromkeys(name for _, name in left):
        packages = CONTESTANTS[name].packages
        interpreters[name] = python(cache / name, packages) if packages else sys.executable
        measure(name, interpreters[name], 0, trials=1, epochs=1)  # what is broken is known now, and files are in memory
    for seed, name in left:
        result = measure(name, interpreters[name], seed, trials, epochs)
        print(f"{name}, seed {seed}: {result}", flush=True)
        results.append({"contestant": name, "seed": seed, **result})
        file.write_text(json.dumps({**setting, "results": results}, indent=1) + "\n")
    section = _section(results, setting)
    write_section("sweep_peers", section) if file == RESULTS else print(section)


def _kept(file: Path, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of before. Exits where they are of another setting: they don't go into one table."""
    if not file.exists():
        return []
    kept = json.loads(file.read_text())
    if other := ", ".join(f"{key} {kept[key]}" for key in setting if kept[key] != setting[key]):
        sys.exit(f"error: {file}: has results of {other}; name another file with --json, or remove it")
    return kept["results"]


def _section(results: Sequence[Mapping[str, Any]], setting: Mapping[str, Any]) -> str:
    found = {name: [each for each in results if each["contestant"] == name] for name in CONTESTANTS}
    rows = [_row(name, found, setting["trials"]) for name in CONTESTANTS if found[name]]
    header = (
        "who",
        "logged to MLflow",
        "wall, s",
        "times as fast",
        "trials an hour",
        "epochs",
        "best accuracy",
        "seeds",
    )
    return f"""## A sweep, beside its peers

`python benchmarks/sweep_peers.py`: {setting["trials"]} trials of the dropout CNN (learning rate, batch size, dropout),
{setting["epochs"]} epochs each, 4,000 training and 1,000 validation images of `mnist5k`. The whole command is timed,
imports included; mean and standard deviation over the sampler's seeds. *Times as fast*: seconds of the first line over
these, seed by seed. *Best accuracy*: on the validation images, of a trial that wasn't pruned. All train the same
points, but KerasTuner, which draws its own.

{table(header, rows)}

{setting["machine"]}.
"""


def _row(name: str, found: Mapping[str, Sequence[Mapping[str, Any]]], trials: int) -> list[object]:
    own = found[name]
    baseline = {each["seed"]: each["seconds"] for each in found[BASELINE]}
    ratios = [baseline[each["seed"]] / each["seconds"] for each in own if each["seed"] in baseline]
    return [
        CONTESTANTS[name].title,
        CONTESTANTS[name].logged,
        spread([each["seconds"] for each in own], 1),
        spread(ratios) if ratios else "",
        f"{3600 * trials / statistics.fmean(each['seconds'] for each in own):,.0f}",
        f"{statistics.fmean(each['epochs'] for each in own):.0f}",
        spread([each["best"] for each in own], 4),
        len(own),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", default=list(CONTESTANTS), metavar="contestant", help=", ".join(CONTESTANTS)
    )
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3, help="of the sampler, counted from 0 (default: 3)")
    parser.add_argument("--again", action="store_true", help="forget what is kept of these contestants")
    parser.add_argument(
        "--json", type=Path, default=RESULTS, dest="file", help="where results are kept; another: no page"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"of the peers' environments (default: {CACHE})")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(CONTESTANTS):
        parser.error(f"{', '.join(unknown)}: must be of {', '.join(CONTESTANTS)}")
    main(**vars(asked))
