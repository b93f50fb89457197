"""The numbers behind "better", against values known by hand or from the literature."""

import numpy as np
import pytest

from pipeline.comparison.significance import difference, holm


def answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """(1, images) of the right answers of two models."""
    first = np.repeat([True, True, False, False], [both, only_first, only_second, neither])
    second = np.repeat([True, False, True, False], [both, only_first, only_second, neither])
    return first[np.newaxis], second[np.newaxis]


def test_two_runs_are_compared_by_mcnemars_exact_test() -> None:
    found = difference(*answers(80, 2, 10, 5))
    assert found.value == pytest.approx(8 / 97)
    assert (found.gained, found.lost) == (10, 2)
    assert found.p == pytest.approx(2 * (1 + 12 + 66) / 2**12)  # at most 2 heads in 12 throws, on either side


def test_the_interval_is_that_of_agresti_and_min() -> None:
    """On Agresti's example, approval of a prime minister in two surveys: (-0.06, -0.02)."""
    found = difference(*answers(794, 150, 86, 570))
    assert (found.low, found.high) == pytest.approx((-0.05868, -0.02122), abs=1e-4)
    assert found.p < 0.0001


def test_runs_that_never_differ_are_not_shown_to() -> None:
    found = difference(*answers(90, 0, 0, 10))
    assert (found.value, found.p) == (0, 1)
    assert found.low == pytest.approx(-found.high)
    assert 0 < found.high < 0.03


def test_copies_of_one_run_are_no_more_than_that_run() -> None:
    """Replicates that agree everywhere add nothing: the images are as many as they were."""
    first, second = answers(794, 150, 86, 570)
    alone, copied = difference(first, second), difference(first.repeat(3, axis=0), second.repeat(3, axis=0))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    assert copied.p == pytest.approx(alone.p, rel=0.5)  # not exact, but a t


@pytest.mark.parametrize("spread", [0.0, 0.3], ids=["alike", "unlike"])
def test_equal_configurations_rarely_look_different(spread: float) -> None:
    """However unlike the seeds: by the variance over images alone, half of the tests of unlike ones would be wrong."""
    generator = np.random.default_rng(0)

    def runs(easy: np.ndarray) -> np.ndarray:
        seeds = generator.normal(0, spread, (5, 1))
        return generator.random((5, len(easy))) < 1 / (1 + np.exp(-easy - seeds))

    images = generator.normal(3, 2, (300, 2000))
    assert np.mean([difference(runs(easy), runs(easy)).p < 0.05 for easy in images]) < 0.1


def test_replicates_show_what_single_runs_leave_open() -> None:
    generator = np.random.default_rng(0)
    first, second = (generator.random((5, 2000)) < share for share in (0.90, 0.92))
    assert difference(first[:1], second[:1]).p > 0.05
    assert difference(first, second).p < 0.001
    assert difference(first[:1], second).p > difference(first, second).p  # one seed of it says less than five


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
