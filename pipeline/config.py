"""Checks of values and across groups, before anything heavy is imported: every bad value is one clear line."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from operator import eq
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from pipeline import passwords
from pipeline.errors import CONF, PipelineError


class Rule(NamedTuple):
    """What the value under a key must be."""

    key: str
    holds: Callable[[Any], bool]
    right: str


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(value: Any) -> bool:
    """A count of images, or a share below 1."""
    return _is_count(value) or (isinstance(value, float) and 0 < value < 1)


def _is_not_negative(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_name(value: Any) -> bool:
    """Keras's rule for names, without slashes."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.-]*", value) is not None


def _is_setting(value: Any) -> bool:
    return isinstance(value, bool) or _is_number(value)


def _is_sizes(value: Any, count: int) -> bool:
    return isinstance(value, ListConfig) and len(value) == count and all(map(_is_count, value))


def _is_layer(value: Any) -> bool:
    return isinstance(value, DictConfig) and isinstance(value.get("_target_"), str)


def _is_objective(value: Any) -> bool:
    names = value if isinstance(value, ListConfig) else [value]
    return bool(names) and all(name in OBJECTIVES for name in names)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, DictConfig)


def _is_seed(value: Any) -> bool:
    return _is_count(value, 0) and value < 2**32


def _is_uri(value: Any) -> bool:
    return value is None or "://" in str(value)


GROUPS = ("dataset", "model", "dropout", "regularizer", "optimizer", "schedule", "augmentation", "tracking")
COUNT = "a whole number of at least 1"
NOT_NEGATIVE = "a number of at least 0"
SEED = "a whole number of at least 0, below 2**32"
INSIDE = "a mapping; values go to the keys in it: "

NAME = "a name of letters, digits, _ . and - alone"

OBJECTIVES = (
    *(f"{split}_{quantity}" for split in ("train", "val") for quantity in ("loss", "accuracy")),
    *("best_val_accuracy", "best_epoch", "weights", "train_seconds", "images_per_second"),
)

ALWAYS = (
    Rule("early_stopping", _is_mapping, f"{INSIDE}early_stopping.patience=..."),
    Rule("dataset.split", _is_mapping, f"{INSIDE}dataset.split.val=..., dataset.split.test=..."),
    *(
        Rule(f"tracking.{key}", lambda v: v is None or _is_mapping(v), f"{INSIDE}+tracking.{key}.mine=...")
        for key in ("tags", "params")
    ),
    Rule("model.name", _is_name, NAME),
    Rule("optimizer.name", _is_name, NAME),
    Rule("seed", _is_seed, SEED),
    Rule("device", lambda v: bool(re.fullmatch(r"auto|cpu|gpu:\d+", str(v))), "auto, cpu or gpu:0, gpu:1, ..."),
    Rule(
        "precision",
        lambda v: v in ("float32", "mixed_bfloat16", "mixed_float16"),
        "float32, mixed_bfloat16 or mixed_float16",
    ),
    Rule("best_weights", lambda v: isinstance(v, bool), "true or false"),
    Rule("early_stopping.patience", lambda v: v is None or _is_count(v), f"{COUNT}, or null"),
    Rule("early_stopping.min_delta", _is_not_negative, NOT_NEGATIVE),
    Rule("dropout.rate", lambda v: _is_number(v) and 0 <= v < 1, "a number of at least 0 and below 1"),
    Rule("regularizer.l1", _is_not_negative, NOT_NEGATIVE),
    Rule("regularizer.l2", _is_not_negative, NOT_NEGATIVE),
    Rule("optimizer.learning_rate", lambda v: v is None or (_is_number(v) and v > 0), "a number above 0"),
    Rule(
        "optimizer.momentum",
        lambda v: v is None or (_is_number(v) and 0 <= v < 1),
        "a number of at least 0 and below 1",
    ),
    Rule("schedule.warmup", lambda v: v is None or (_is_number(v) and 0 <= v < 1), "at least 0 and below 1"),
    Rule("schedule.initial_fraction", lambda v: v is None or _is_not_negative(v), NOT_NEGATIVE),
    Rule("schedule.final_fraction", lambda v: v is None or _is_not_negative(v), NOT_NEGATIVE),
    Rule(
        "objective",
        _is_objective,
        f"one of {', '.join(OBJECTIVES)}, or a list of them; the test split is not for choosing",
    ),
    Rule("evaluate", lambda v: v in ("test", "val"), "test or val"),
    Rule("train_on", lambda v: v in ("train", "train_val"), "train or train_val"),
    Rule("observers", lambda v: isinstance(v, ListConfig), "a list of _target_ nodes"),
    Rule("tracking.store", lambda v: isinstance(v, str) and v != "", "a folder"),
    Rule(
        "tracking.id_file",
        lambda v: v is None or (isinstance(v, str) and v != "" and not Path(v).is_dir()),
        "null or a file, not a folder",
    ),
    Rule("dataset.name", lambda v: isinstance(v, str) and v != "", "a name for the experiment in MLflow"),
    Rule("dataset.class_names", lambda v: v is None or isinstance(v, ListConfig), "null or a list: [cat,dog]"),
    Rule("dataset.shape", lambda v: v is None or _is_sizes(v, 3), "null or [height,width,channels]"),
    Rule("dataset.size", lambda v: v is None or _is_sizes(v, 2), "null or [height,width]"),
    Rule("dataset.limit", lambda v: v is None or _is_count(v), f"{COUNT}, or null"),
    Rule("dataset.split.val", _is_size, "a number of images, or a share above 0 and below 1"),
    Rule(
        "dataset.split.test",
        lambda v: v is None or _is_count(v, 0) or _is_size(v),
        "a number of images, a share above 0 and below 1, 0 for none, or null for the source's own test split",
    ),
    Rule("dataset.split.stratify", lambda v: isinstance(v, bool), "true or false"),
    Rule("dataset.split.seed", lambda v: v is None or _is_seed(v), f"{SEED}, or null"),
    Rule(
        "dataset.scaling",
        lambda v: v in ("auto", "none") or (_is_number(v) and v > 0),
        "auto, none or a number above 0 to divide the pixels by",
    ),
    Rule("dataset.standardize", lambda v: v in ("none", "pixel_mean", "global"), "none, pixel_mean or global"),
    Rule("tracking.patience", lambda v: v is None or _is_not_negative(v), NOT_NEGATIVE),
    Rule("tracking.unsent", lambda v: v in (None, "error", "keep"), "error or keep"),
    Rule("tracking.uri", _is_uri, "null, or an address such as http://host:5000 or sqlite:///file.db"),
)

# The values of conf/figures/, by their last name.
FIGURES = {
    **dict.fromkeys(("per_class", "count", "bins"), (_is_count, COUNT)),
    **dict.fromkeys(("image", "number", "seed"), (lambda v: _is_count(v, 0), "a whole number of at least 0")),
    **dict.fromkeys(("layers", "classes"), (lambda v: v is None or isinstance(v, ListConfig), "null or a list: [a,b]")),
}

# What a family of models needs, and what it has no use for: refused, never ignored.
FAMILIES = {
    "network": (
        Rule("batch_size", _is_count, COUNT),
        Rule("epochs", _is_count, COUNT),
        Rule("repeat", _is_count, COUNT),
        Rule("model.layers", _is_mapping, "a mapping of names to layers"),
        Rule("augmentation.layers", _is_mapping, "a mapping of names to layers"),
        Rule("model.output", _is_layer, "a layer: a mapping with a _target_"),
        Rule("optimizer.name", lambda v: v != "none", "one that trains a network: adam, adamw, nesterov, rmsprop, sgd"),
        Rule("model.fit_limit", partial(eq, None), "left out: a network takes all images; or give dataset.limit=..."),
    ),
    "estimator": (
        Rule("model.fit_limit", lambda v: v is None or _is_count(v), f"{COUNT}, or null"),
        *(
            Rule(key, partial(eq, unused), f"left out: {reason}")
            for key, unused, reason in (
                ("batch_size", None, "a scikit-learn estimator takes all images at once"),
                ("epochs", None, "a scikit-learn estimator decides when it is done (model.estimator.max_iter)"),
                ("repeat", 1, "a scikit-learn estimator has no epochs"),
                ("optimizer.name", "none", "a scikit-learn estimator has its own"),
                ("schedule.name", "constant", "a scikit-learn estimator has its own"),
                ("regularizer.l1", 0, "a scikit-learn estimator has its own (model.estimator.alpha, penalty)"),
                ("regularizer.l2", 0, "a scikit-learn estimator has its own (model.estimator.alpha, penalty)"),
                ("dropout.rate", 0, "a scikit-learn estimator has no units to drop"),
                ("augmentation.name", "none", "a scikit-learn estimator sees each image once"),
                ("model.layers", None, "a scikit-learn estimator has none"),
                ("precision", "float32", "a scikit-learn estimator computes in float32 or float64"),
                ("device", "auto", "a scikit-learn estimator runs on the CPU"),
                ("early_stopping.patience", None, "a scikit-learn estimator has no epochs"),
                ("early_stopping.min_delta", 0, "a scikit-learn estimator has no epochs"),
                ("best_weights", False, "a scikit-learn estimator has no epochs"),
            )
        ),
    ),
}


PATHS = ("path", "test_path")  # of a dataset's files: what lies there counts, not where
LOCAL = ("pipeline.datasets.files.", "pipeline.datasets.image_folder.")  # sources that have nothing without a path
NOT_TRAINED = ("hydra", "sweep", "executor", "tracking", "observers", "figures")  # what a result does not depend on


def trained(cfg: DictConfig) -> dict[str, Any]:
    """The resolved part of a configuration that decides the result."""
    keys = [key for key in cfg if key not in NOT_TRAINED and not OmegaConf.is_missing(cfg, key)]
    nodes = {key: cfg[key] for key in keys}
    return {
        key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        for key, node in nodes.items()
    }


def recipe(cfg: DictConfig) -> dict[str, Any]:
    """What decides the result, wherever the data lay and whatever it was computed on."""
    plain = trained(cfg)
    for key in PATHS:
        plain["dataset"].pop(key, None)
        plain["dataset"]["source"].pop(key, None)
    plain.pop("device", None)
    return plain


def check_choices(choices: DictConfig) -> None:
    """Raises PipelineError for a list of options in one group, which Hydra would merge into one."""
    for group in GROUPS:
        if group not in choices:
            raise PipelineError(f"{group}=[...]: takes one option; to train several, -m {group}=one,another")


def check(cfg: DictConfig) -> None:
    """Raises PipelineError for the first value that cannot be right."""
    for key in _missing(OmegaConf.to_container(cfg, resolve=False)):
        raise PipelineError(f"{key}: a value is needed; give {key}=...")
    passwords.refuse("tracking.uri", OmegaConf.select(cfg, "tracking.uri"))
    if cfg.model.family not in FAMILIES:
        raise PipelineError(f"model.family={cfg.model.family}: must be one of {', '.join(FAMILIES)}")
    _hold(cfg, chain(ALWAYS, _files(cfg), _settings(cfg), FAMILIES[cfg.model.family], _layers(cfg)))
    check_figures(cfg)
    for key in PATHS:
        path = cfg.dataset.get(key)
        if path is not None and not Path(path).expanduser().exists():
            raise PipelineError(f"dataset.{key}={path}: no such file or folder")

    _check_across(cfg)


def check_figures(cfg: DictConfig) -> None:
    """Raises PipelineError for a value of a figure that can't be."""
    _hold(cfg, _figures(cfg))


def _figures(cfg: DictConfig) -> Iterator[Rule]:
    for name, node in cfg.figures.items():
        if _is_mapping(node):
            yield from (Rule(f"figures.{name}.{key}", *FIGURES[key]) for key in node if key in FIGURES)
        else:
            file = CONF / "figures" / f"{name}.yaml"
            keys = OmegaConf.load(file)[name].keys() - {"_target_"} if file.exists() else ()
            named = ", ".join(f"figures.{name}.{key}=..." for key in sorted(keys))
            yield Rule(f"figures.{name}", _is_mapping, f"{INSIDE}{named}" if named else "left out: it has no settings")


def _hold(cfg: DictConfig, rules: Iterable[Rule]) -> None:
    for key, holds, right in rules:
        value = OmegaConf.select(cfg, key)
        if not holds(value):
            raise PipelineError(f"{key}={_as_typed(value)}: must be {right}")


def check_single(cfg: DictConfig) -> None:
    """Raises PipelineError for what only a sweep has a use for."""
    if "executor" in cfg:
        raise PipelineError(f"executor={cfg.executor.name}: must come with a sweep; add sweep=..., or leave it out")


def _settings(cfg: DictConfig) -> Iterator[Rule]:
    """Keras looks at an optimizer's numbers when training has begun, or never."""
    for group in ("optimizer", "schedule"):
        for key in cfg[group]:
            if key not in ("_target_", "name"):
                yield Rule(f"{group}.{key}", _is_setting, "a number, true or false")


def _files(cfg: DictConfig) -> Iterator[Rule]:
    """Null is a download's own place, or no second file."""
    local = str(OmegaConf.select(cfg, "dataset.source._target_")).startswith(LOCAL)
    for key in filter(cfg.dataset.__contains__, PATHS):
        if cfg.dataset[key] is not None or (key == "path" and local):
            right = "a file or folder; where its name is a number, ./2024"
            yield Rule(f"dataset.{key}", lambda v: isinstance(v, str) and v != "", right)


def _layers(cfg: DictConfig) -> Iterator[Rule]:
    taken = dict.fromkeys(("pixels", "scaling", "output"), "every model")
    for group in ("augmentation", "model"):
        layers = cfg[group].get("layers") or {}
        for name in layers:
            key = f"{group}.layers.{name}"
            yield Rule(key, lambda v: v is None or _is_layer(v), "a layer, which is a mapping with a _target_, or null")
            if name in taken:
                yield Rule(key, lambda v: v is None, f"called something else: {taken[name]} has a layer of this name")
        taken |= {name: f"{group}={cfg[group].name}" for name, layer in layers.items() if layer is not None}


def _check_across(cfg: DictConfig) -> None:
    """What is right by itself and wrong with something else."""
    layers = OmegaConf.to_container(cfg.model, resolve=False).get("layers", {})
    if cfg.dropout.rate and "${dropout.rate}" not in str(layers):
        raise PipelineError(
            f"dropout.rate={cfg.dropout.rate}: must be left out with model={cfg.model.name}, no layer of which uses it"
        )
    if cfg.train_on == "train_val" and (cfg.early_stopping.patience is not None or cfg.best_weights):
        raise PipelineError(
            "train_on=train_val: must come without early_stopping and best_weights, which need unseen images"
        )
    if cfg.dataset.split.test == 0 and cfg.evaluate == "test":
        raise PipelineError("evaluate=test: must be val with dataset.split.test=0, which leaves no test split")
    if cfg.early_stopping.min_delta and cfg.early_stopping.patience is None:
        raise PipelineError(
            f"early_stopping.min_delta={cfg.early_stopping.min_delta}: must come with early_stopping.patience"
        )
    if cfg.schedule.name == "exponential" and not cfg.schedule.final_fraction:
        raise PipelineError("schedule.final_fraction=0: must be above 0 with schedule=exponential, such as 0.01")
    if cfg.dataset.get("test_path") is not None and cfg.dataset.split.test is not None:
        raise PipelineError(
            f"dataset.split.test={cfg.dataset.split.test}: must be null with dataset.test_path, which is the test split"
        )


def _as_typed(value: Any) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _missing(node: Any, prefix: str = "") -> Iterator[str]:
    """The dotted keys of values that were left for the person to give."""
    if node == "???":
        yield prefix
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _missing(value, f"{prefix}.{key}" if prefix else str(key))
