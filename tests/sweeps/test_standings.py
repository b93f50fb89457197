"""Which configuration of a study is best, and over how many trainings that is said."""

from sweeps.contracts import Record, Summary
from sweeps.report import ending, standings


def study(*records: Record) -> Summary:
    return Summary("s", ("val_accuracy",), ("maximize",), "val_accuracy", (), records, len(records))


def trial(number: int, rate: float, seed: int, value: float | None, **more: object) -> Record:
    state = "pruned" if value is None else "complete"
    params = {"dropout.rate": rate, "seed": seed}
    return Record(number, state, params, None if value is None else (value,), **more)


def test_seeds_that_survived_pruning_do_not_win_by_that() -> None:
    summary = study(
        *(trial(number, 0.1, number, value) for number, value in enumerate((0.97, None, None))),
        *(trial(3 + number, 0.2, number, value) for number, value in enumerate((0.95, 0.96))),
    )
    whole, survived = standings(summary)
    assert (whole.params, survived.params) == ({"dropout.rate": 0.2}, {"dropout.rate": 0.1})
    assert (whole.lost, survived.lost) == (0, 2)
    assert "best: val_accuracy 0.9550 ± 0.0071 (2 seeds)  rate=0.2" in ending(summary, None)
    assert "      val_accuracy 0.9700 (1 of 3 seeds)  rate=0.1" in ending(summary, None)


def test_a_result_that_is_used_twice_is_one_training() -> None:
    of_an_older_study = [trial(number, 0.1, 0, 0.97, reuses=100) for number in range(3)]
    [place] = standings(study(*of_an_older_study))
    assert (len(place.records), place.std) == (1, None)


def test_another_split_of_the_data_is_a_replicate_too() -> None:
    records = [
        Record(number, "complete", {"dataset.split.seed": number % 2, "batch_size": size}, (value,))
        for number, (size, value) in enumerate([(32, 0.90), (32, 0.99), (64, 0.96), (64, 0.96)])
    ]
    assert [place.params for place in standings(study(*records))] == [{"batch_size": 64}, {"batch_size": 32}]
