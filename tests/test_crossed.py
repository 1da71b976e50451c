"""Intervals over examples and seeds: against simulation, scipy-known values and simpler cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onsa.errors import InputError
from onsa.metrics.crossed import average_interval, crossed_interval, crossed_mean
from onsa.metrics.intervals import mean_interval, t_point, t_tail, wilson


@pytest.mark.parametrize(
    ("t", "degrees", "expected"),  # of printed tables of Student's t
    [(12.706, 1, 0.05), (4.303, 2, 0.05), (2.228, 10, 0.05), (3.169, 10, 0.01), (1.984, 100, 0.05)],
)
def test_the_tail_of_student_s_t(t: float, degrees: float, expected: float) -> None:
    assert t_tail(t, degrees) == pytest.approx(expected, rel=2e-3)
    assert t_tail(t_point(degrees), degrees) == pytest.approx(0.05, rel=1e-4)
    assert t_tail(0.0, degrees) == 1.0


def test_one_seed_is_the_plain_t_interval() -> None:
    scores = [0.1, 0.5, 0.7, 0.2, 0.9]
    plain = mean_interval(scores)
    estimate = crossed_mean([np.array([scores])])
    assert plain.high is not None
    assert estimate.mean + estimate.half_width == pytest.approx(plain.high)
    assert crossed_interval(np.array([scores])) == plain


def test_a_table_worked_by_hand() -> None:
    """Two seeds, three examples."""
    table = np.array([[1.0, 2.0, 4.0], [2.0, 4.0, 4.0]])
    estimate = crossed_mean([table])
    # Means by example 1.5, 3, 4 (variance 19/12), by seed 7/3 and 10/3 (variance 1/2);
    # rest: each row's deviations, sum of squares 1.
    of_examples, of_seeds, rest = 19 / 12 / 3, 0.5 / 2, 1 / 2 / 6
    variance = of_examples + of_seeds - rest
    assert estimate.mean == pytest.approx(17 / 6)
    assert estimate.standard_error == pytest.approx(math.sqrt(variance))
    spread = of_examples**2 / 2 + of_seeds**2 / 1 + rest**2 / 2
    assert estimate.degrees == pytest.approx(variance**2 / spread)


def test_the_interval_holds_what_it_says() -> None:
    """Of 400 simulated comparisons with both effects, about 95 % hold the true mean."""
    chance = np.random.default_rng(0)
    held = false_alarms = 0
    for _ in range(400):
        tables = []
        seeds = chance.normal(0, 0.05, size=(4, 1))
        for _ in range(3):
            examples = chance.normal(0, 0.3, size=(1, 30))
            tables.append(0.5 + seeds + examples + chance.normal(0, 0.3, size=(4, 30)))
        estimate = crossed_mean(tables)
        held += abs(estimate.mean - 0.5) <= estimate.half_width
        differences = [chance.normal(0, 0.4, size=(4, 30)) for _ in range(3)]
        false_alarms += crossed_mean(differences).p_value < 0.05
    assert 0.92 <= held / 400 <= 1.0
    assert false_alarms / 400 <= 0.07


def test_more_of_either_alone_does_not_make_it_sure() -> None:
    """A thousand examples do not help against seeds that differ."""
    seeds = np.array([[0.3], [0.5], [0.7]])
    few, many = (np.repeat(seeds, n, axis=1) for n in (10, 1000))
    assert crossed_mean([few]).standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert crossed_mean([many]).standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert crossed_mean([many]).half_width == pytest.approx(4.303 * 0.2 / math.sqrt(3), rel=1e-3)


def test_all_right_is_not_sure_to_be_right() -> None:
    interval = crossed_interval(np.ones((3, 20)))
    assert interval == mean_interval([1.0] * 20)
    assert interval.low is not None
    assert interval.low < 0.9


def test_no_difference_at_all_is_none() -> None:
    assert crossed_mean([np.zeros((2, 5))]).p_value == 1.0
    # All five alike: no spread, so by the sign test.
    assert crossed_mean([np.full((2, 5), 0.1)]).p_value == 2 * 0.5**5
    alone = crossed_mean([np.array([[0.4]])])
    assert alone.p_value == 1.0
    assert alone.half_width == math.inf


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="not a finite number"):
        crossed_mean([np.array([[0.1, math.nan]])])


def test_groups_of_one_give_the_same_bits() -> None:
    """With and without names, and as the formula for examples says."""
    chance = np.random.default_rng(3)
    for seeds in (1, 2, 5):
        tables = [chance.normal(size=(seeds, n)) for n in (7, 30)]
        names = [[f"row {n}" for n in range(table.shape[1])] for table in tables]
        plain = crossed_mean(tables)
        assert crossed_mean(tables, names) == plain
        for table, groups in zip(tables, names, strict=True):
            assert crossed_interval(table, groups) == crossed_interval(table)
        assert average_interval(tables, names) == average_interval(tables)
        expected = _by_examples(tables) if seeds > 1 else (plain.standard_error, plain.degrees)
        assert (plain.standard_error, plain.degrees) == expected


def _by_examples(tables: list[np.ndarray]) -> tuple[float, float]:
    """Standard error and degrees of freedom of crossed examples and seeds, no groups."""
    parts, rests = [], []
    for table in tables:
        seeds, n = table.shape
        by_example, by_seed = table.mean(axis=0), table.mean(axis=1)
        rest = table - by_example[None, :] - by_seed[:, None] + table.mean()
        squares = float(((by_example - by_example.mean()) ** 2).sum())
        parts.append((n / (n - 1) * squares / n**2 / 4, n - 1))
        degrees = (n - 1) * (seeds - 1)
        rests.append((float((rest**2).sum()) / 4 / degrees / table.size, degrees))
    seeds = len(tables[0])
    by_seed = np.mean([table.mean(axis=1) for table in tables], axis=0)
    of_seeds = float(by_seed.var(ddof=1)) / seeds
    of_examples = math.fsum(variance for variance, _ in parts)
    variance = of_examples + of_seeds - math.fsum(variance for variance, _ in rests)
    variance = max(variance, of_examples, of_seeds)
    all_parts = [*parts, (of_seeds, seeds - 1), *rests]
    spread = math.fsum(variance**2 / degrees for variance, degrees in all_parts)
    return math.sqrt(variance), max(1.0, variance**2 / spread)


@pytest.mark.parametrize(("seeds", "sizes"), [(1, [8] * 25), (4, [8] * 25), (3, [2, 20] * 15)])
def test_pain_P8_examples_of_one_passage_make_the_interval_wide_enough(
    seeds: int, sizes: list[int]
) -> None:
    """Of 400 simulated comparisons, with most of the spread between passages, about 95 % hold the
    true difference. Example by example only 50 to 75 % do. Red where groups are not drawn whole."""
    chance = np.random.default_rng(0)
    groups = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    numbers = np.array([int(each) for each in groups])
    held = {"groups": 0, "examples": 0}
    for _ in range(400):
        of_seeds = chance.normal(0, 0.03, size=(seeds, 1))
        of_groups = chance.normal(0, 0.3, size=(1, len(sizes)))
        of_both = chance.normal(0, 0.2, size=(seeds, len(sizes)))  # what a seed makes of a passage
        table = 0.1 + of_seeds + (of_groups + of_both)[:, numbers]
        table = table + chance.normal(0, 0.1, size=table.shape)
        for name, given in (("groups", [groups]), ("examples", [])):
            estimate = crossed_mean([table], given)
            held[name] += abs(estimate.mean - 0.1) <= estimate.half_width
    assert 0.925 <= held["groups"] / 400 <= 0.985
    assert held["examples"] / 400 <= 0.75


def test_the_sign_test_counts_groups() -> None:
    """All six changed alike, in two passages; what rounding leaves is no spread."""
    groups = ["a"] * 3 + ["b"] * 3
    assert crossed_mean([np.full((2, 6), 0.1)], [groups]).p_value == 0.5
    alone = crossed_mean([np.full((2, 6), 0.1)], [["a"] * 6])
    assert (alone.p_value, alone.half_width) == (1.0, math.inf)


def test_all_right_is_as_sure_as_there_are_groups() -> None:
    groups = [str(row // 5) for row in range(20)]
    interval = average_interval([np.ones((1, 20))] * 2, [groups] * 2)
    assert (interval.low, interval.high) == wilson(8, 8)
    assert crossed_interval(np.ones((3, 20)), groups).low == wilson(4, 4)[0]


def test_all_right_on_one_task_and_all_wrong_on_another() -> None:
    """The mean is over tasks, however many rows each has, and its interval has a width."""
    interval = average_interval([np.ones((1, 10)), np.zeros((1, 90))])
    assert interval.mean == 0.5
    assert interval.low == pytest.approx(0.5 - (1 - wilson(10, 10)[0]) / 2)
    assert interval.high == pytest.approx(0.5 + wilson(0, 90)[1] / 2)
