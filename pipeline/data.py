"""A dataset, fetched, checked and described without training: `python -m pipeline.data dataset=mnist`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from pipeline.config import CONF, check
from pipeline.errors import one_line_errors


def main() -> None:
    """Print what there is as JSON, or write it into a file."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.data", description="Fetch, check and describe a dataset, without training."
    )
    parser.add_argument("overrides", nargs="*", help="dataset=mnist, dataset.path=..., as for pipeline.train")
    parser.add_argument("--output", help="a JSON file; without it, the screen")
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        text = json.dumps(describe(chosen.overrides), indent=2)
        if chosen.output is None:
            print(text)
            return
        Path(chosen.output).parent.mkdir(parents=True, exist_ok=True)
        Path(chosen.output).write_text(f"{text}\n")
        print(chosen.output)


def describe(overrides: Sequence[str]) -> dict[str, Any]:
    """Name, hash, shape and the images of each class. Raises PipelineError where the data is not what it should be."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides))
    check(cfg)
    from pipeline import datasets

    dataset = datasets.load(cfg.dataset)
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "image_shape": list(dataset.image_shape),
        "images": {split: len(part) for split, part in splits.items()},
        "images_of_class": {
            name: {split: int((part.labels == label).sum()) for split, part in splits.items()}
            for label, name in enumerate(dataset.class_names)
        },
    }


if __name__ == "__main__":
    main()
