"""The figures of a study: what they show, read back from their artists, for common and for odd studies."""

import math
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from sweeps.contracts import Parameter, Record, Summary
from sweeps.figures import (
    all_curves,
    best_so_far,
    grid_curve,
    history,
    importances,
    parallel_coordinates,
    pareto,
    pareto_front,
    rungs,
    slices,
)
from sweeps.figures.drawing import BEST
from sweeps.figures.parallel import UNUSED

EMPTY = "There is no finished trial yet."


def study(trials: list[Record], parameters: tuple[Parameter, ...] = (), **changes: Any) -> Summary:
    fields = {
        "name": "a-study",
        "objectives": ("val_accuracy",),
        "directions": ("maximize",),
        "curve_metric": "val_accuracy",
        "parameters": parameters,
        "trials": tuple(trials),
        "n_trials": max(len(trials), 1),
    }
    return Summary(**(fields | changes))


def done(number: int, value: float | tuple[float, ...], **fields: Any) -> Record:
    values = value if isinstance(value, tuple) else (value,)
    return Record(number, "complete", fields.pop("params", {}), values, **fields)


def rates(count: int = 12) -> Summary:
    trials = [
        done(n, 0.9 + 0.09 * math.sin(n), params={"optimizer.lr": 10 ** (-4 + n / 4), "model.dropout": n / 30})
        for n in range(count)
    ]
    return study(trials, (Parameter("optimizer.lr", log=True), Parameter("model.dropout")))


def grid(seeds: tuple[int, ...] = (1, 2, 3)) -> Summary:
    sizes = (16, 32, 64, 128)
    trials = [
        done(
            number,
            0.98 + size / 1e5 - 0.0001 * seed**2,
            params={"data.batch_size": size, "seed": seed},
            curve={epoch: 0.98 - 1 / size / epoch - seed / 1000 for epoch in range(1, 11)},
        )
        for number, (size, seed) in enumerate((size, seed) for size in sizes for seed in seeds)
    ]
    return study(trials, (Parameter("data.batch_size", choices=sizes), Parameter("seed", choices=seeds)))


def conditional(count: int = 20) -> Summary:
    long = "optimizer.learning_rate[rmsprop_with_momentum]"
    trials = []
    for n in range(count):
        optimizer = ("sgd", "rmsprop_with_momentum")[n % 2]
        params = {
            "optimizer": optimizer,
            "model.activation": (None, "relu", True)[n % 3],
            "model.layers.conv1.k": 3 + n,
        }
        params |= {"optimizer.learning_rate[sgd]": 0.1 / (n + 1)} if n % 2 == 0 else {long: 0.001 * (n + 1)}
        epochs = (1, 3, 9)[n % 3]
        curve = {epoch: 2 / epoch + n / 100 for epoch in range(1, epochs + 1)}
        values = (curve[9],) if epochs == 9 else None
        trials.append(Record(n, "complete" if values else "pruned", params, values, curve))
    trials.append(Record(count, "failed", {"optimizer": "sgd"}, cause="out of memory"))
    parameters = (
        Parameter("optimizer", choices=("sgd", "rmsprop_with_momentum")),
        Parameter("optimizer.learning_rate[sgd]", log=True),
        Parameter(long, log=True),
        Parameter("model.activation", choices=(None, "relu", True)),
        Parameter("model.layers.conv1.k"),
    )
    names = {"objectives": ("val_loss",), "directions": ("minimize",), "curve_metric": "val_loss"}
    return study(trials, parameters, **names)


def two(directions: tuple[str, str] = ("maximize", "minimize")) -> Summary:
    pairs = [(0.97, 1e3), (0.96, 2e3), (0.98, 1e4), (0.99, 1e5), (0.99, 2e5), (0.985, 1e5)]
    trials = [done(n, pair, params={"model.units": 4 * (n + 1)}) for n, pair in enumerate(pairs)]
    parameters = (Parameter("model.units"),)
    return study(trials, parameters, objectives=("val_accuracy", "weights"), directions=directions)


def odd() -> dict[str, Summary]:
    """Studies that nobody plans, and that come all the same."""
    long = "model.encoder.layers.convolution_one.number_of_filters"
    other = long.replace("encoder", "decoder")
    strange = ["a_very_long_name_of_an_augmentation_policy", None, True, 3, 0.5, "$x$", (32, 64)]
    return {
        "empty": study([]),
        "waiting": study([Record(0, "waiting", {}), Record(1, "running", {"x": 1}, curve={1: 0.5})]),
        "failed": study([Record(n, "failed", {}) for n in range(3)], (Parameter("x"),)),
        "one": study([done(0, 0.5, params={"x": 0.1, "seed": 1}, curve={1: 0.5})], (Parameter("x", log=True),)),
        "no parameter": study([done(0, 0.5), done(1, 0.6)]),
        "equal": study([done(n, 0.5, params={"x": 1}, curve={1: 0.5, 2: 0.5}) for n in range(5)], (Parameter("x"),)),
        "huge": study(
            [done(n, 10.0 ** (3 * n - 9), params={"x": 10.0 ** (n - 4)}, curve={1: 1e9, 2: 1e-9}) for n in range(8)],
            (Parameter("x", log=True),),
            directions=("minimize",),
        ),
        "diverged": study(
            [done(n, -1e9 if n == 3 else 0.9 + n / 1000, params={"x": n * 1e6}, curve={1: -1e9}) for n in range(9)],
            (Parameter("x"),),
        ),
        "strange": study(
            [done(n, n / 50, params={long: strange[n % 7], other: n}, curve={1: n / 50, 2: n / 40}) for n in range(21)],
            (Parameter(long, choices=tuple(strange)), Parameter(other)),
            name="a name of a study that is far longer than anybody would want to read it, $really$",
            objectives=("validation/mean_accuracy_over_all_classes_and_folds",),
        ),
        "many": study(
            [
                done(n, math.sin(n), params={f"group.option_{k}": math.cos(n * k) for k in range(1, 10)})
                for n in range(10)
            ],
            tuple(Parameter(f"group.option_{k}") for k in range(1, 10)),
        ),
        "categories": study(
            [done(n, n / 50, params={"x": f"choice_{n}"}, curve={1: 0.1, 2: n / 50}) for n in range(40)],
            (Parameter("x", choices=tuple(f"choice_{n}" for n in range(40))),),
        ),
        "grid": grid(),
        "conditional": conditional(),
        "two": two(),
    }


def first_parameter(summary: Summary) -> str:
    return summary.parameters[0].name if summary.parameters else "x"


FIGURES: dict[str, Callable[[Summary], Figure]] = {
    "history": history,
    "slices": slices,
    "parallel": parallel_coordinates,
    "importances": lambda summary: importances(
        summary, {one.name: 1 / (2 + n) for n, one in enumerate(summary.parameters)}
    ),
    "rungs": rungs,
    "pareto": pareto,
    "grid": lambda summary: grid_curve(summary, first_parameter(summary)),
    "curves": lambda summary: all_curves(summary, first_parameter(summary)),
    "all": lambda summary: all_curves(summary, None),
}


def written(figure: Figure) -> list[str]:
    """Everything that is written on a figure; drawing it also proves that it can be drawn."""
    FigureCanvasAgg(figure).draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def line(axes: Axes, label: str) -> tuple[list[float], list[float]]:
    [found] = [line for line in axes.lines if line.get_label() == label]
    return list(found.get_xdata()), list(found.get_ydata())


def dots(axes: Axes) -> set[tuple[float, float]]:
    """Where there are points, triangles at the edge among them."""
    return {(round(float(x), 9), round(float(y), 9)) for c in axes.collections for x, y in c.get_offsets()}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("name", odd())
def test_nothing_overlaps_or_is_cut_off(name: str, kind: str) -> None:
    assert_tidy(FIGURES[kind](odd()[name]))


def assert_tidy(figure: Figure) -> None:
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and _shown(text)]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    whole = figure.bbox
    for text, box in boxes:
        assert box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1, f"{text} is cut off at a side"
        assert box.y0 >= whole.y0 - 1 and box.y1 <= whole.y1 + 1, f"{text} is cut off above or below"
    for (text, box), (other, second) in combinations(boxes, 2):
        if "\n" in text.rstrip() or not text.strip():
            continue
        width = min(box.x1, second.x1) - max(box.x0, second.x0)
        height = min(box.y1, second.y1) - max(box.y0, second.y0)
        turned = min(box.height, second.height) > 25  # the boxes of turned labels overlap, their letters do not
        assert turned or width <= 1 or height <= 3 or _heading(figure, text, other), f"{text!r} and {other!r} overlap"


def _shown(text: Text) -> bool:
    """matplotlib keeps the tick labels of axes that are switched off."""
    axes = text.axes
    return axes is None or (axes.get_visible() and (axes.axison or text in axes.texts))


def _heading(figure: Figure, *texts: str) -> bool:
    """The title keeps a row free for the subtitle, which lies in its box."""
    return figure.get_suptitle() in texts


@pytest.mark.parametrize("kind", ["history", "slices", "parallel", "grid"])
@pytest.mark.parametrize("name", ["empty", "waiting", "failed"])
def test_a_study_without_a_finished_trial_says_so(name: str, kind: str) -> None:
    assert EMPTY in written(FIGURES[kind](odd()[name]))


def test_figures_say_what_they_lack() -> None:
    assert any("one objective" in text for text in written(pareto(rates())))
    assert any("No trial has finished an epoch" in text for text in written(rungs(rates())))
    assert any("No trial has finished an epoch" in text for text in written(all_curves(rates(), None)))
    assert EMPTY in written(importances(odd()["empty"], {}))
    assert EMPTY in written(pareto(study([], objectives=("a", "b"), directions=("minimize",) * 2)))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_so_far_never_gets_worse(direction: str) -> None:
    values = [0.5, 0.7, 0.6, 0.4, 0.9]
    figure = history(study([done(n, v) for n, v in enumerate(values)], directions=(direction,)))
    [axes] = figure.axes
    xs, ys = line(axes, "best so far")
    expected = [0.5, 0.7, 0.7, 0.7, 0.9] if direction == "maximize" else [0.5, 0.5, 0.5, 0.4, 0.4]
    assert (xs, ys) == ([0, 1, 2, 3, 4, 4], [*expected, expected[-1]])
    assert dots(axes) >= {(n, v) for n, v in enumerate(values)}
    best = "best 0.9 in trial 4" if direction == "maximize" else "best 0.4 in trial 3"
    assert any(best in text for text in written(figure))
    assert best_so_far([], True) == []


def test_history_shows_pruned_failed_and_running_trials() -> None:
    trials = [
        done(0, 0.5),
        Record(1, "pruned", {}, curve={1: 0.3, 2: 0.45}),
        Record(2, "pruned", {}),  # nothing was reported
        Record(3, "failed", {}),
        done(4, 0.6),
        Record(5, "running", {}, curve={1: 0.2}),
    ]
    figure = history(study(trials))
    [axes] = figure.axes
    [crosses] = [c for c in axes.collections if c.get_label() == "pruned, its last value"]
    assert crosses.get_offsets().tolist() == [[1, 0.45]]
    assert line(axes, "failed")[0] == [3]
    assert line(axes, "best so far")[0] == [0, 4, 5], "to the last trial"
    assert any("2 complete, 2 pruned, 1 failed, 1 running of 6 trials" in text for text in written(figure))


def test_pruned_trials_are_not_compared_with_another_objective() -> None:
    trials = [done(0, (0.9, 100.0)), done(1, (0.8, 50.0)), Record(2, "pruned", {}, curve={1: 0.5})]
    summary = study(trials, objectives=("val_accuracy", "weights"), directions=("maximize", "minimize"))
    labels = [[c.get_label() for c in history(summary, objective).axes[0].collections] for objective in (0, 1)]
    assert ["pruned, its last value" in one for one in labels] == [True, False]


def test_far_worse_trials_do_not_squeeze_the_others() -> None:
    summary = odd()["diverged"]
    figure = history(summary)
    low, high = figure.axes[0].get_ylim()
    assert 0.89 < low < 0.9 < 0.908 < high < 0.92
    assert (3, round(low, 9)) in dots(figure.axes[0]), "a triangle at the edge"
    assert any("1 beyond the axis" in text for text in written(figure))


def test_a_loss_of_many_orders_is_read_on_a_log_axis() -> None:
    assert history(odd()["huge"]).axes[0].get_yscale() == "log"
    assert history(rates()).axes[0].get_yscale() == "linear"


def test_slices_have_a_panel_for_each_parameter() -> None:
    summary = rates()
    rate, dropout, bar = slices(summary).axes
    assert (rate.get_xscale(), dropout.get_xscale()) == ("log", "linear")
    assert (rate.get_xlabel(), dropout.get_xlabel()) == ("optimizer.lr", "model.dropout")
    assert bar.get_ylabel() == "trial"
    for axes, parameter in ((rate, "optimizer.lr"), (dropout, "model.dropout")):
        expected = {(round(t.params[parameter], 9), round(t.values[0], 9)) for t in summary.trials}
        assert dots(axes) == expected


def test_slices_show_conditional_parameters_where_they_are_used_and_categories_as_strips() -> None:
    summary = conditional()
    finished = [trial for trial in summary.trials if trial.state == "complete"]
    panels = slices(summary).axes
    for axes, parameter in zip(panels, summary.parameters, strict=False):
        users = [trial for trial in finished if parameter.name in trial.params]
        assert {y for _, y in dots(axes)} == {round(trial.values[0], 9) for trial in users}
    strips = panels[0]
    assert strips.get_xticklabels()[0].get_text() == "sgd"
    sgd = [trial.values[0] for trial in finished if trial.params["optimizer"] == "sgd"]
    medians = [line.get_ydata()[0] for line in strips.lines if len(line.get_xdata()) == 2]
    assert medians[0] == pytest.approx(statistics.median(sgd))
    assert dots(strips) == dots(slices(summary).axes[0]), "the same jitter each time"
    assert all(abs(x - round(x)) < 0.3 for x, _ in dots(strips))


def test_at_most_four_panels_stand_side_by_side() -> None:
    panels = [axes for axes in slices(odd()["many"]).axes if axes.get_visible() and axes.get_ylabel() != "trial"]
    assert len(panels) == 9
    assert panels[0].get_subplotspec().get_gridspec().get_geometry() == (3, 4)


def test_parallel_coordinates_lead_each_trial_to_its_objective() -> None:
    summary = rates()
    [axes] = parallel_coordinates(summary).axes
    trials = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(trials) == len(summary.trials)
    ends = [line.get_ydata()[-1] for line in trials]
    assert ends == sorted(ends), "the best is drawn last"
    [best] = [line for line in trials if line.get_color() == BEST]
    assert best.get_ydata()[-1] == max(ends)
    assert best is trials[-1]
    # log: the exponents are evenly spread
    heights = sorted(line.get_ydata()[0] for line in trials)
    np.testing.assert_allclose(np.diff(heights), np.diff(heights)[0], rtol=1e-6)


def test_parallel_coordinates_of_a_loss_have_the_lowest_on_top() -> None:
    summary = study(
        [done(n, value, params={"x": n}) for n, value in enumerate([0.3, 0.1, 0.2])],
        (Parameter("x"),),
        directions=("minimize",),
    )
    [axes] = parallel_coordinates(summary).axes
    ends = [line.get_ydata()[-1] for line in axes.lines if line.get_color() != "#22262b" and len(line.get_xdata()) == 2]
    assert ends == sorted(ends)
    ticks = {float(t.get_text()): t.xy[1] for t in axes.texts if hasattr(t, "xy") and t.xy[0] == 1}
    assert ticks[0.1] > ticks[0.2] > ticks[0.3]


def test_a_trial_without_a_parameter_passes_below_its_axis() -> None:
    summary = conditional()
    [axes] = parallel_coordinates(summary).axes
    lines = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) == len(summary.parameters) + 1]
    assert len(lines) == sum(trial.state == "complete" for trial in summary.trials)
    assert all((heights[1] == UNUSED) != (heights[2] == UNUSED) for heights in lines)
    assert all(0 <= heights[0] <= 1 for heights in lines)
    assert [text.get_text() for text in axes.texts].count("not used") == 1


def test_importances_are_sorted_bars() -> None:
    summary = conditional()
    names = [parameter.name for parameter in summary.parameters]
    figure = importances(summary, {names[0]: 0.2, names[1]: 0.7, names[4]: 0.1})
    [axes] = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7], "the last bar is on top"
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == ["conv1.k", "optimizer", "optimizer.learning_rate[sgd]"]
    assert {"0.70", "0.20", "0.10"} <= set(written(figure))


def test_rungs_count_who_still_trains() -> None:
    lengths = [1, 3, 3, 9, 9]
    trials = [
        Record(n, "complete" if e == 9 else "pruned", {}, curve={k: 0.1 * n + k / 100 for k in range(1, e + 1)})
        for n, e in enumerate(lengths)
    ]
    trials.append(Record(5, "running", {}, curve={1: 0.5}))
    figure = rungs(study(trials))
    upper, lower = figure.axes
    xs, ys = upper.lines[0].get_xdata(), upper.lines[0].get_ydata()
    assert list(xs) == list(range(10))
    assert list(ys) == [5, 5, 4, 4, 2, 2, 2, 2, 2, 2], "a running trial has not dropped out"
    assert upper.lines[0].get_drawstyle() == "steps-pre"
    assert len(lower.lines) == 6
    assert {x for x, _ in dots(lower)} == {1, 3}
    assert any("2 reached epoch 9" in text and f"{25 / 45:.0%}" in text for text in written(figure))


@pytest.mark.parametrize(
    ("maximize", "front"),
    [
        ((True, False), [True, False, True, True, False, False]),
        ((True, True), [False, False, False, False, True, False]),
        ((False, False), [True, True, False, False, False, False]),
        ((False, True), [False, True, True, False, True, True]),
    ],
)
def test_the_front_holds_what_nobody_beats(maximize: tuple[bool, bool], front: list[bool]) -> None:
    summary = two(tuple("maximize" if one else "minimize" for one in maximize))
    pairs = np.array([trial.values for trial in summary.trials])
    assert pareto_front(pairs, maximize).tolist() == front
    [axes] = pareto(summary).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("weights", "val_accuracy")
    assert axes.get_xscale() == "log"
    [drawn] = [c for c in axes.collections if c.get_label() == "Pareto front"]
    assert set(map(tuple, drawn.get_offsets())) == {(w, a) for (a, w), on in zip(pairs, front, strict=True) if on}
    numbers = {text.get_text() for text in axes.texts}
    assert numbers == {str(n) for n, on in enumerate(front) if on}
    step = axes.lines[0]
    assert list(step.get_xdata()) == sorted(step.get_xdata())
    assert step.get_drawstyle() == ("steps-pre" if maximize[1] else "steps-post")


def test_a_grid_shows_means_with_standard_deviations() -> None:
    summary = grid()
    figure = grid_curve(summary, "data.batch_size")
    [axes] = figure.axes
    [bars] = axes.containers
    data, _, [spread] = bars.lines
    results = {
        size: [t.values[0] for t in summary.trials if t.params["data.batch_size"] == size] for size in (16, 32, 64, 128)
    }
    assert list(data.get_xdata()) == [0, 1, 2, 3], "side by side"
    np.testing.assert_allclose(
        np.asarray(data.get_ydata(), float), [statistics.mean(values) for values in results.values()]
    )
    lengths = [segment[1, 1] - segment[0, 1] for segment in spread.get_segments()]
    np.testing.assert_allclose(lengths, [2 * statistics.stdev(values) for values in results.values()])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["16", "32", "64", "128"]
    assert dots(axes) >= {(n, round(value, 9)) for n, values in enumerate(results.values()) for value in values}
    assert line(axes, "best mean")[0] == [3]
    mean, std = statistics.mean(results[128]), statistics.stdev(results[128])
    assert any(f"{mean:.4g} ± {std:.2g} (3 runs) at 128" in text for text in written(figure))


def test_the_bars_of_a_grid_are_seen_whole_though_they_reach_beyond_the_runs() -> None:
    [axes] = grid_curve(grid(seeds=(1, 4)), "data.batch_size").figure.axes
    [bars] = axes.containers
    ends = np.concatenate(bars.lines[2][0].get_segments())[:, 1]
    low, high = axes.get_ylim()
    assert low < ends.min() < ends.max() < high


def test_the_best_mean_of_a_loss_is_the_lowest() -> None:
    trials = [done(n, value, params={"x": x}) for n, (x, value) in enumerate([(1, 0.5), (2, 0.2), (5, 0.4)])]
    figure = grid_curve(study(trials, (Parameter("x", choices=(1, 2, 5)),), directions=("minimize",)), "x")
    assert line(figure.axes[0], "best")[1] == [0.2]
    assert any("best 0.2 at 2" in text for text in written(figure))


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((30, 10, 3.5), ["30", "10", "3.5"]),
        (("sgd", "adam"), ["sgd", "adam"]),
        ((True, None), ["true", "null"]),
        (((8, 16), (32,)), ["(8, 16)", "(32,)"]),
    ],
)
def test_the_values_of_a_grid_are_in_the_order_of_its_choices(values: tuple[Any, ...], ticks: list[str]) -> None:
    trials = [done(n, n / 10, params={"x": value}) for n, value in enumerate(values)]
    [axes] = grid_curve(study(trials, (Parameter("x", choices=values),)), "x").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks


def test_a_reused_result_is_no_replicate() -> None:
    trials = [
        done(0, 0.5, params={"x": 1, "seed": 1}),
        done(1, 0.7, params={"x": 1, "seed": 2}),
        done(2, 0.7, params={"x": 1, "seed": 2}, reuses=1),
        done(3, 0.3, params={"x": 2, "seed": 1}),
        done(4, 0.4, params={"x": 2, "seed": 2}, reuses=99),  # the original is not in this study
    ]
    [axes] = grid_curve(study(trials, (Parameter("x"), Parameter("seed"))), "x").axes
    [bars] = axes.containers
    assert list(bars.lines[0].get_ydata()) == pytest.approx([0.6, 0.35])


def test_replicates_share_a_color_and_have_a_mean() -> None:
    summary = grid()
    axes = all_curves(summary, "data.batch_size").axes[0]
    assert len(axes.lines) == 4 * (3 + 1)
    thick = [line for line in axes.lines if line.get_linewidth() > 2]
    assert len({to_hex(line.get_color()) for line in axes.lines}) == len(thick) == 4
    np.testing.assert_allclose(thick[0].get_ydata(), [0.98 - 1 / 16 / epoch - 0.002 for epoch in range(1, 11)])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["16", "32", "64", "128"]


def test_many_values_get_a_color_bar_in_the_scale_of_the_parameter() -> None:
    trials = [
        done(n, 0.9, params={"lr": 10 ** (-4 + n / 4), "x": n / 7}, curve={1: 0.5, 2: 0.6 + n / 100}) for n in range(12)
    ]
    summary = study(trials, (Parameter("lr", log=True), Parameter("x")))
    for name, expected in (("lr", ["0.0001", "0.001", "0.01"]), ("x", ["0.0", "0.5", "1.0", "1.5"])):
        axes, bar = all_curves(summary, name).axes
        assert axes.get_legend() is None
        assert bar.get_ylabel() == name
        texts = [text.get_text() for text in bar.get_yticklabels()]
        assert texts == expected
        assert len({to_hex(line.get_color()) for line in axes.lines}) == 12


def test_curves_without_the_parameter_are_gray() -> None:
    axes = all_curves(conditional(4), "optimizer.learning_rate[sgd]").axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "not used"


def test_the_first_epochs_do_not_squeeze_the_curves() -> None:
    curve = {epoch: 0.1 if epoch <= 2 else 0.98 + epoch / 10000 for epoch in range(1, 21)}
    [axes] = all_curves(study([done(0, 0.98, curve=curve)]), None).axes
    low, high = axes.get_ylim()
    assert 0.97 < low < 0.9803 < 0.982 < high < 0.99


def test_many_parameters_share_sixteen_inches() -> None:
    names = [f"model.layers.convolution_{k}.filters" for k in range(20)]
    summary = study([done(n, n, params=dict.fromkeys(names, n)) for n in range(3)], tuple(map(Parameter, names)))
    figure = parallel_coordinates(summary)
    assert figure.get_figwidth() == 16
    assert_tidy(figure)


def test_similar_names_stay_apart() -> None:
    panels = slices(odd()["strange"]).axes[:2]
    names = [axes.get_xlabel() for axes in panels]
    assert len(set(names)) == 2


def test_sweep_figures_leave_pyplot_optuna_and_tensorflow_alone() -> None:
    code = (
        "import sys, sweeps.figures; "
        "assert not {'matplotlib.pyplot', 'optuna', 'mlflow', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
