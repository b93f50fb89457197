"""Splits, limits, scaling and the hash."""

from pathlib import Path

import numpy as np
import pytest
from conftest import configuration
from sklearn.model_selection import train_test_split

from pipeline import datasets
from pipeline.contracts import Dataset
from pipeline.datasets.scaling import scale_and_offset
from pipeline.errors import PipelineError


def load(*overrides: str) -> Dataset:
    return datasets.load(configuration("dataset=digits", *overrides).dataset)


def test_the_same_seed_gives_the_same_split_and_hash() -> None:
    assert load().sha256 == load().sha256
    assert load().sha256 != load("dataset.split.seed=1").sha256
    assert load().sha256 != load("dataset.split.val=299").sha256
    assert load().sha256 == load("dataset.name=mine", "dataset.standardize=global").sha256


def test_the_test_split_is_scikit_learns_own_cut() -> None:
    """The protocol of reference 004: train_test_split, stratified, by its seed."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    _, expected = train_test_split(bunch.target, test_size=0.2, stratify=bunch.target, random_state=42)
    data = load("dataset.split.seed=42", "dataset.split.test=0.2")
    assert data.test.labels.tolist() == expected.tolist()


def test_without_a_seed_the_order_is_the_sources_and_validation_is_last() -> None:
    from sklearn.datasets import load_digits

    labels = load_digits().target.tolist()
    data = load("dataset.split.seed=null", "dataset.split.val=100", "dataset.split.test=200", "dataset.limit=1000")
    assert data.train.labels.tolist() == labels[:700]
    assert data.val.labels.tolist() == labels[700:800]
    assert data.test.labels.tolist() == labels[800:1000]


def test_a_limit_is_drawn_by_class() -> None:
    data = load("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100")
    counts = np.bincount(np.concatenate([data.train.labels, data.val.labels, data.test.labels]))
    assert counts.sum() == 500
    assert counts.max() - counts.min() <= 5


def test_a_limit_may_leave_out_fewer_images_than_there_are_classes() -> None:
    data = load("dataset.limit=1795")
    assert len(data.train) + len(data.val) + len(data.test) == 1795
    assert load("dataset.limit=1795").sha256 == data.sha256


@pytest.mark.parametrize("header", ["label,0,1,2,3", ",0,1,2,3"])
def test_numbers_for_the_pixels_names_are_a_header(header: str, tmp_path: Path) -> None:
    rows = [f"{n % 2},{n},0,128,255" for n in range(20)]
    (tmp_path / "data.csv").write_text("\n".join([header, *rows]))
    data = datasets.load(configuration("dataset=csv", f"dataset.path={tmp_path / 'data.csv'}").dataset)
    assert len(data.train) + len(data.val) + len(data.test) == 20


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("dataset.limit=1798",), "dataset.limit=1798: digits has 1797 images"),
        (("dataset.split.val=1497",), "dataset.split.val: 1497 of 1497 images; must leave at least one"),
        (
            ("dataset.split.test=5",),
            r"dataset.split.test: cannot put each of 10 classes .* dataset.split.stratify=false",
        ),
    ],
)
def test_sizes_that_do_not_work_are_refused(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(PipelineError, match=line):
        load(*overrides)


def test_scaling() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3), dtype=np.uint8)
    assert scale_and_offset(images, "auto", "none") == (1 / 255, 0.0)
    assert scale_and_offset(images.astype(np.float32), "auto", "none") == (1.0, 0.0)
    assert scale_and_offset(images, "none", "none") == (1.0, 0.0)
    assert scale_and_offset(images, 16, "none") == (1 / 16, 0.0)
    scale, offset = scale_and_offset(images, "auto", "pixel_mean")
    np.testing.assert_allclose((images * scale + offset).mean(axis=0), 0, atol=1e-6)
    scale, offset = scale_and_offset(images, "auto", "global")
    standardized = images * scale + offset
    np.testing.assert_allclose(standardized.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standardized.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_a_channel_without_spread_stays_finite() -> None:
    scale, offset = scale_and_offset(np.full((5, 2, 2, 1), 7, np.uint8), "auto", "global")
    assert (scale, offset) == (1.0, -7.0)


def test_a_test_split_of_zero_leaves_every_image_to_training_and_validation() -> None:
    data = load("dataset.split.test=0", "dataset.split.val=0.2", "dataset.split.seed=2", "dataset.split.stratify=false")
    assert (len(data.train), len(data.val), len(data.test)) == (1437, 360, 0)
    labels = np.concatenate([load().train.labels, load().val.labels, load().test.labels])
    assert np.bincount(np.concatenate([data.train.labels, data.val.labels])).tolist() == np.bincount(labels).tolist()
