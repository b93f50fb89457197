"""How costs grow: of a trial with the number of trials, of an epoch with images and with weights.

Command: python benchmarks/growth.py dataset.path=mnist.npz        # without it, MNIST is downloaded
Cost:    about an hour on two cores; --times 1 --trials 500 --images 5000 10000 a few minutes
Writes the section `growth` of docs/BENCHMARKS.md, and its plots beside that.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import optuna
from document import PAGE, command, machine, spread, table, write_section
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from pipeline.config import CONF
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, blank
from sweeps import storage

APP = """
import hydra

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def nothing(cfg) -> float:
    return (cfg.x - 0.3) ** 2 + cfg.y

if __name__ == "__main__":
    nothing()
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/sweeper: optuna
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
x: 0
y: 0
hydra:
  sweep: {dir: out}
  sweeper:
    storage: sqlite:///studies.db
    study_name: nothing
    params: {x: "interval(0,1)", y: "interval(0,1)"}
    executor: {name: local, slots: 2, trials_per_worker: 100000}
"""
SAMPLERS = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
WIDTHS = (0.25, 0.5, 1, 2, 4)  # of cnn_dropout's layers
EPOCHS = 3  # the first of which builds and traces as well: the median one counts
Curve = Mapping[int, list[float]]  # number of trials, images or weights -> costs, one of each repetition


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*", help="of the runs: dataset.path=mnist.npz")
    parser.add_argument("--trials", type=int, default=5_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--images", type=int, nargs="+", default=[5_000, 10_000, 20_000, 40_000, 60_000])
    given = parser.parse_intermixed_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    trials = {
        f"{sampler}, {name}": repeated(given.times, lambda how=how, sampler=sampler: how(sampler, given.trials))
        for sampler in SAMPLERS
        for name, how in (("whole driver", by_sweep), ("Optuna alone", by_optuna))
    }
    images = repeated(given.times, lambda: by_images(given.images, given.overrides))
    weights = repeated(given.times, lambda: by_weights(min(given.images), given.overrides))
    pictures = {
        "trials": draw("A trial's cost beside its training", "trials in the study", "milliseconds a trial", trials),
        "images": draw("An epoch by images", "training images", "seconds", {"cnn_dropout": images}),
        "weights": draw("An epoch by weights", "weights", "seconds", {f"{min(given.images):,} images": weights}),
    }
    for name, figure in pictures.items():
        figure.savefig(PAGE.parent / "figures" / f"growth_{name}.png")
    write_section("growth", section(trials, images, weights, given.times))


def section(trials: Mapping[str, Curve], images: Curve, weights: Curve, times: int) -> str:
    counts = sorted(next(iter(trials.values())))
    rows = [
        (name, *(spread(curve[count], 1) for count in counts), f"{exponent(curve):.2f}")
        for name, curve in trials.items()
    ]
    return f"""## Growth

{command()}

A trial that does nothing, in a sweep of two parameters with two warm workers and a study in SQLite: milliseconds from
one trial's end to the next, over the last half of so many. "Optuna alone" is the least that a driver can ask: ask,
two suggestions, one attribute, tell. The exponent is that of a trial's cost (0: it stays the same), from 100 trials on.

{table(("milliseconds a trial, at", *(f"{count:,}" for count in counts), "exponent"), rows)}

![A trial's cost by the number of trials](figures/growth_trials.png)

One epoch of `cnn_dropout` at batch 64, the median of {EPOCHS}, by training images and, with all layers {WIDTHS[0]} to
{WIDTHS[-1]} times as wide, by weights:

{table(("images", "seconds"), [(f"{count:,}", spread(cost)) for count, cost in images.items()])}

{table(("weights", "seconds"), [(f"{count:,}", spread(cost)) for count, cost in weights.items()])}

| ![An epoch by images](figures/growth_images.png) | ![An epoch by weights](figures/growth_weights.png) |
| --- | --- |
| exponent {exponent(images):.2f} | exponent {exponent(weights):.2f} |

{"Measured once" if times == 1 else f"Mean and standard deviation of {times} repetitions"}. {machine()}."""


def repeated(times: int, measure: Callable[[], Mapping[int, float]]) -> Curve:
    found = [measure() for _ in range(times)]
    return {count: [each[count] for each in found] for count in found[0]}


def by_sweep(sampler: str, trials: int) -> dict[int, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        (folder / "config.yaml").write_text(CONFIG)
        words = [f"hydra.sweeper.n_trials={trials}", f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=0"]
        subprocess.run([sys.executable, "app.py", "-m", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return costs(optuna.load_study(study_name="nothing", storage=f"sqlite:///{folder}/studies.db"))


def by_optuna(sampler: str, trials: int) -> dict[int, float]:
    with tempfile.TemporaryDirectory() as name:
        opened = optuna.create_study(
            storage=storage.storage(f"sqlite:///{name}/studies.db"), sampler=SAMPLERS[sampler](seed=0)
        )
        for _ in range(trials):
            trial = opened.ask()
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
            trial.set_user_attr("configuration", "0" * 16)
            opened.tell(trial, (x - 0.3) ** 2 + y)
        return costs(opened)


def costs(opened: optuna.Study) -> dict[int, float]:
    """Number of trials -> milliseconds from one's end to the next, over the last half of them."""
    ends = sorted(trial.datetime_complete for trial in opened.trials)
    counts = [count for count in (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000) if count <= len(ends)]
    spans = {count: ends[count // 2 - 1 : count] for count in counts}
    return {count: 1000 * (part[-1] - part[0]).total_seconds() / (len(part) - 1) for count, part in spans.items()}


def by_images(counts: Sequence[int], overrides: Sequence[str]) -> dict[int, float]:
    return {count: epoch(count, overrides)[1] for count in counts}


def by_weights(images: int, overrides: Sequence[str]) -> dict[int, float]:
    layers = {"conv1.filters": 32, "conv2.filters": 64, "dense1.units": 150}
    widths = [[f"model.layers.{key}={round(size * width)}" for key, size in layers.items()] for width in WIDTHS]
    return dict(epoch(images, [*overrides, *width]) for width in widths)


def epoch(images: int, overrides: Sequence[str]) -> tuple[int, float]:
    """(weights, seconds of an epoch without validation)."""
    words = ["model=cnn_dropout", "dataset=mnist", "dataset.split.val=1000", "dataset.split.test=0", "evaluate=val"]
    words += [f"dataset.limit={images + 1000}", f"epochs={EPOCHS}", "figures=none", "tracking=none", *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", words)
    from pipeline.run import run

    totals = run(cfg).totals
    return totals["weights"], totals["train_images"] / totals["images_per_second"]


def exponent(curve: Curve, least: int = 100) -> float:
    """e in cost ~ count**e, by least squares of the logarithms, from `least` on where there is more than one."""
    counts = [count for count in curve if count >= least]
    if len(counts) < 2:
        return math.nan
    return float(np.polyfit(np.log(counts), np.log([statistics.fmean(curve[count]) for count in counts]), 1)[0])


def draw(title: str, x: str, y: str, curves: Mapping[str, Curve]) -> Figure:
    """Both axes logarithmic, so that an exponent is a slope."""
    figure = blank(6.4, 4, title)
    axes = figure.subplots()
    styles = [(color, line) for color in (TRAINING, VALIDATION) for line in ("-", ":")]
    for (name, curve), (color, line) in zip(curves.items(), styles, strict=False):
        means = [statistics.fmean(values) for values in curve.values()]
        bars = [statistics.stdev(values) if len(values) > 1 else 0 for values in curve.values()]
        label = f"{name}: exponent {exponent(curve):.2f}"
        axes.errorbar(list(curve), means, bars, color=color, linestyle=line, marker="o", ms=4, capsize=3, label=label)
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    counts = sorted({count for curve in curves.values() for count in curve})
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))  # more labels would touch
    for side in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        side(StrMethodFormatter("{x:,g}"))
    axes.grid(color=FAINT, alpha=0.25, which="both", linewidth=0.5)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
