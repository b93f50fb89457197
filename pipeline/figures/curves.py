"""Learning curves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from pipeline.contracts import History
from pipeline.figures.style import FAINT, INK, TRAINING, VALIDATION, blank


def learning_curves(history: History, trained_on_validation: bool = False) -> Figure:
    """Accuracy and loss by epoch, training and validation, the best epoch marked."""
    best = history.best_epoch
    figure = blank(
        10,
        4.2,
        "Learning curves",
        f"best validation accuracy {history.best_val_accuracy:.4f} at epoch {best} of {len(history.epochs)}. "
        "Training values are means over the epoch, while the weights change; validation is measured at its end"
        + (", and was trained on too: it says nothing of unseen images." if trained_on_validation else "."),
    )
    accuracy, loss = figure.subplots(1, 2)
    _panel(accuracy, history, "accuracy")
    _panel(loss, history, "loss")
    _scale_accuracy(accuracy, history)
    _scale_loss(loss, history)
    accuracy.legend(loc="lower right", frameon=False, fontsize=9)
    return figure


def stopping(history: History) -> Figure:
    """Where validation stops improving: loss and accuracy with the best so far, what came after the best shaded."""
    figure = blank(10, 4.4, "Where validation stops improving", _verdict(history))
    loss, accuracy = figure.subplots(1, 2)
    _until_best(loss, history, "loss", np.minimum, "lowest")
    _until_best(accuracy, history, "accuracy", np.maximum, "highest")
    _scale_loss(loss, history)
    _scale_accuracy(accuracy, history)
    shown = {
        label: handle
        for axes in (loss, accuracy)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    style = {"loc": "outside lower center", "ncols": 4, "frameon": False, "fontsize": 9}
    figure.legend(shown.values(), shown.keys(), **style)
    return figure


def _until_best(axes: Axes, history: History, quantity: str, better: np.ufunc, word: str) -> None:
    """One panel; better is np.minimum or np.maximum."""
    values = np.array([metrics[f"val_{quantity}"] for metrics in history.epochs])
    training = [metrics[f"train_{quantity}"] for metrics in history.epochs]
    so_far = better.accumulate(values)
    best, last = 1 + int((values == so_far[-1]).argmax()), len(values)
    epochs = range(1, last + 1)
    marker = "o" if last < 3 else None
    axes.plot(epochs, training, color=TRAINING, linewidth=1.3, alpha=0.35, label="training", marker=marker)
    axes.plot(epochs, values, color=VALIDATION, linewidth=1.8, label="validation", marker=marker)
    axes.plot(epochs, so_far, color=INK, linewidth=1.1, linestyle="--", label="best validation so far")
    axes.plot(best, values[best - 1], "o", color=VALIDATION, markersize=7, zorder=4, clip_on=False)
    title = f"{word} at epoch {best}: {values[best - 1]:.4f}"
    if best < last:
        axes.axvspan(best, last + 0.5, color="#eef0f3", zorder=0, label="after the best")
        title += f", then {last - best} without a better one"
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    _frame(axes, last, quantity)


def _verdict(history: History) -> str:
    """What the curves say about the number of epochs."""
    losses, accuracies = ([metrics[f"val_{name}"] for metrics in history.epochs] for name in ("loss", "accuracy"))
    last, lowest, highest = len(losses), 1 + int(np.argmin(losses)), history.best_epoch
    if last == 1:
        return "one epoch: it takes more to see where validation stops improving."
    if lowest == highest == last:
        return f"loss and accuracy were best at epoch {last}, the last one: still improving, more epochs may help."
    loss = f"loss is lowest at epoch {lowest} of {last}, {_higher(losses[-1], losses[lowest - 1])} at the end"
    if lowest == last:
        loss = f"loss is lowest at epoch {last}, the last one"
    if highest == last:
        return f"{loss}; accuracy is highest at the last epoch: still improving, more epochs may help."
    patience = _least_patience(accuracies)
    end = f" and stops after epoch {highest + patience}" if highest + patience < last else ""
    return f"{loss}; accuracy last improved at epoch {highest}: early_stopping.patience={patience} gets there{end}."


def _higher(value: float, lowest: float) -> str:
    if lowest <= 0:
        return "higher"
    rise = value / lowest - 1
    if rise >= 1:
        return f"{1 + rise:.1f} times as high"
    return f"{100 * rise:.0f} % higher" if rise >= 0.01 else "< 1 % higher"


def _least_patience(accuracies: list[float]) -> int:
    """The longest wait for a better accuracy, which early stopping watches: with less, the best would be missed."""
    so_far = np.maximum.accumulate(accuracies)
    improved = [0, *(1 + np.flatnonzero(np.diff(so_far) > 0))]
    return max(1, int(np.diff(improved).max(initial=1)))


def _panel(axes: Axes, history: History, quantity: str) -> None:
    epochs = range(1, len(history.epochs) + 1)
    marker = "o" if len(epochs) < 3 else None
    for split, label, color in (("train", "training", TRAINING), ("val", "validation", VALIDATION)):
        values = [metrics[f"{split}_{quantity}"] for metrics in history.epochs]
        axes.plot(epochs, values, color=color, linewidth=1.8, label=label, marker=marker)
        if split == "val":
            axes.plot(history.best_epoch, values[history.best_epoch - 1], "o", color=color, markersize=6)
    axes.axvline(history.best_epoch, color=FAINT, linewidth=0.9, linestyle=":", zorder=0)
    _frame(axes, len(epochs), quantity)


def _frame(axes: Axes, epochs: int, quantity: str) -> None:
    axes.set_xlim(0.5, epochs + 0.5)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel(quantity, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _scale_accuracy(axes: Axes, history: History) -> None:
    settled = history.epochs[len(history.epochs) // 10 :]  # the first steps would squeeze all that follows
    lowest = min(metrics[f"{split}_accuracy"] for metrics in settled for split in ("train", "val"))
    room = max(1 - lowest, 0.01)
    axes.set_ylim(max(0.0, lowest - 0.1 * room), 1 + 0.03 * room)


def _scale_loss(axes: Axes, history: History) -> None:
    if all(metrics[f"{split}_loss"] > 0 for metrics in history.epochs for split in ("train", "val")):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=[1, 2, 5]))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
