"""Scores of replies, intervals and paired tests, against hand-worked numbers and brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.metrics.guess import likely_kind
from onsa.metrics.intervals import mean_interval, t_point
from onsa.metrics.paired import compare_paired, mcnemar, permutation
from onsa.metrics.text import final_number, same_text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("48/2 = <<48/2=24>>24\n#### 72", "72"),
        ("#### 1,234,567.50", "1234567.5"),
        ("#### -7", "-7"),
        ("#### $-7", "-7"),
        ("#### -$7", "-7"),
        ("#### −7", "-7"),
        ("#### 72\nQuestion: 5 apples? #### 5", "72"),
        ("#### none, so 3", "3"),
        ("It costs $ 1,200.", "1200"),
        ("first 3, then 4.", "4"),
        ("from 10-20", "20"),
        ("9 - 4", "4"),
        ("(9)-4", "4"),
        ("x = -4", "-4"),
        ("- 4 apples", "4"),
        (".5", "0.5"),
        ("1,23", "23"),
        ("答えは１８です", "18"),
        ("9" * 60, "9" * 60),
        ("-" + "9" * 60, "-" + "9" * 60),
        ("#### ", None),
        ("none", None),
        ("", None),
    ],
)
def test_final_number(text: str, number: str | None) -> None:
    assert final_number(text) == (None if number is None else Decimal(number))


@given(st.text())
def test_final_number_of_anything(text: str) -> None:
    final_number(text)
    final_number(f"#### {text}1")


@given(st.integers(-(10**30), 10**30))
def test_final_number_finds_any_whole_number(number: int) -> None:
    assert final_number(f"so it is {number:,}.") == number
    assert final_number(f"7 #### {number}") == number


def test_same_text() -> None:
    assert same_text(" ａ  b\n", "a b")
    assert not same_text("A", "a")
    assert same_text("STRASSE", "straße", ignore_case=True)
    assert not same_text("ab", "a b")


# --- intervals ---------------------------------------------------------------------------------


def wilson_by_root(hits: int, n: int) -> tuple[float, float]:
    """The definition: all p whose score test does not reject the mean."""
    mean = hits / n
    accepted = [p for p in np.linspace(0, 1, 200_001)
                if abs(mean - p) <= 1.959964 * math.sqrt(p * (1 - p) / n) + 1e-12]  # fmt: skip
    return accepted[0], accepted[-1]


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 10), (7, 10), (10, 10), (50, 200)])
def test_shares_get_wilsons_interval(hits: int, n: int) -> None:
    found = mean_interval([1.0] * hits + [0.0] * (n - hits))
    assert found.mean == hits / n
    assert found.n == n
    assert (found.low, found.high) == pytest.approx(wilson_by_root(hits, n), abs=1e-5)


def test_wilson_by_hand() -> None:
    # Newcombe 1998 (doi:10.1002/sim.4780060803), table I: 81 of 263.
    found = mean_interval([1] * 81 + [0] * 182)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(
    ("degrees", "point"),
    # From printed tables of Student's t, two-sided 95 %.
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (10, 2.2281),
     (29, 2.0452), (30, 2.0423), (60, 2.0003), (120, 1.9799), (1000, 1.9623), (10_000, 1.9602),
     (1_000_000, 1.95997)],
)  # fmt: skip
def test_points_of_students_t(degrees: int, point: float) -> None:
    assert t_point(degrees) == pytest.approx(point, abs=1.5e-4)


def test_other_scores_get_students_interval() -> None:
    # By hand: mean 2.5, deviation sqrt(5/3), t(3) = 3.182446, half = 3.182446 * 1.290994 / 2.
    found = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert (found.low, found.high) == pytest.approx((0.445739, 4.554261), abs=1e-4)


def test_students_interval_covers() -> None:
    chance = np.random.default_rng(0)
    samples = chance.normal(3.0, 2.0, size=(2000, 8))
    found = [mean_interval(list(sample)) for sample in samples]
    covered = sum((i.low or 0) <= 3.0 <= (i.high or 0) for i in found)
    assert covered / len(found) == pytest.approx(0.95, abs=0.015)


def test_intervals_of_few_scores() -> None:
    share = mean_interval([0.0] * 47 + [0.33])
    assert share.low < 0 == share.within(0.0, 1.0).low
    assert share.within(0.0, 1.0).high == share.high
    found = mean_interval([0.37])
    assert (found.mean, found.low, found.high) == (0.37, None, None)
    same = mean_interval([0.5, 0.5])
    assert (same.low, same.high) == (0.5, 0.5)
    with pytest.raises(InputError, match="went astray"):
        mean_interval([1.0, math.nan])


# --- paired ------------------------------------------------------------------------------------


def mcnemar_by_force(gained: int, lost: int) -> float:
    uneven = abs(gained - lost)
    tosses = list(itertools.product((-1, 1), repeat=gained + lost))
    return sum(abs(sum(toss)) >= uneven for toss in tosses) / len(tosses)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 0), (0, 6), (4, 4), (9, 2)])
def test_mcnemar_by_brute_force(gained: int, lost: int) -> None:
    assert mcnemar(gained, lost) == pytest.approx(mcnemar_by_force(gained, lost))


def test_mcnemar_by_hand() -> None:
    assert mcnemar(6, 0) == 2 / 64
    assert mcnemar(8, 2) == 2 * (1 + 10 + 45) / 1024
    assert mcnemar(3000, 3000) == 1.0
    assert 0 <= mcnemar(4000, 3000) < 1e-20


def permutation_by_force(changes: Sequence[float]) -> float:
    seen = abs(sum(changes)) - 1e-12
    flips = list(itertools.product((-1, 1), repeat=len(changes)))
    return sum(abs(sum(f * c for f, c in zip(flip, changes, strict=True))) >= seen
               for flip in flips) / len(flips)  # fmt: skip


@given(st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=8))
def test_permutation_by_brute_force(tenths: list[int]) -> None:
    changes = [tenth / 10 for tenth in tenths]
    assert permutation(changes, 0) == pytest.approx(permutation_by_force(changes))


def test_sampled_permutation_is_near_the_exact_one() -> None:
    # All changes of one size: the permutation test is McNemar's, whose p value is known exactly.
    found = permutation([0.3] * 30 + [-0.3] * 15, 0)
    assert found == pytest.approx(mcnemar(30, 15), abs=0.006)
    assert found == permutation([0.3] * 30 + [-0.3] * 15, 0)
    assert permutation([0.2] * 60, 0) == 1 / 10_001


def test_compare_paired() -> None:
    found = compare_paired([0, 0, 1, 1, 0], [1, 1, 1, 0, 1])
    assert (found.gained, found.lost, found.mean_change) == (3, 1, 0.4)
    assert found.p_value == 0.625
    found = compare_paired([0.5, 0.5, 1.0], [0.7, 0.5, 0.9])
    assert (found.gained, found.lost) == (1, 1)
    assert found.p_value == 1.0
    assert compare_paired([0.5] * 3, [0.5] * 3).p_value == 1.0
    assert compare_paired([-2.0] * 6, [-1.5] * 6).p_value == 2 / 64
    with pytest.raises(InputError):
        compare_paired([0.0], [math.inf])


# --- a guess at the kind -----------------------------------------------------------------------


def example(*texts: str, **extra: list[str]) -> Example:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return Example(tuple(messages), dict(extra))


def test_likely_kind() -> None:
    assert likely_kind([example("q", "A", choices=["A", "B"])]).kind == "choose"
    assert likely_kind([example("q", "return 1", tests=["assert f()"])]).kind == "code"
    assert likely_kind([example("q", "so 3\n#### 3")] * 3).kind == "number"
    assert likely_kind([example("q", "1,200"), example("q", "-3.5")]).kind == "number"
    assert likely_kind([example("q", "uncle"), example("q", "aunt")]).kind == "generate"
    assert likely_kind([example("q", "a long answer in 3 parts " * 9)]).kind == "loss"
    assert likely_kind([example("q", "hi", "q", "yes")]).kind == "loss"


def test_likely_kind_of_labels() -> None:
    def kind(labels: list[object], texts: int = 1) -> tuple[str, str]:
        rows = [example("q", str(each), texts=["q"] * texts, label=each) for each in labels]
        return likely_kind(rows)[:2]

    assert kind(["good", "bad"] * 5) == ("classify", "each text has one of 2 labels")
    assert kind(["0", "1", "2"] * 5, texts=2) == ("pair", "each pair of texts has one of 3 labels")
    assert kind([1.5, 2.0, 3.25]) == ("regress", "each text has a number")
    assert kind(["0.5", "4.25"], texts=2) == ("regress", "each pair of texts has a number")
    assert kind([["a", "b"], []]) == ("classify", "a text may have several labels")
    assert likely_kind([example("q", "a", texts=["q"], label=["a"])]).many
    assert kind([1.0, 0.0, 1.0])[0] == "classify"
    # Every row another one: texts in a column that is called label.
    assert kind([f"reply {number}" for number in range(30)])[0] == "generate"
    assert likely_kind([example("q", "yes", rejected="no")]).kind == "rank"
