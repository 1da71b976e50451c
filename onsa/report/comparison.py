"""Two models held against each other, task by task, and how sure the difference is.

A difference is clear when the paired test over the same examples says so (p below 0.05 after
Holm's correction over the tasks compared), or, where no paired test was made, when the two 95 %
intervals do not touch. Anything else is «no clear difference», whatever the means look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from onsa.report.scores import (
    Facts,
    Metric,
    Score,
    compared_results,
    metrics_of,
    score_in,
    tuned_result,
)
from onsa.report.words import number, probability

SIGNIFICANCE = 0.05

Judgement = Literal["better", "worse", "unclear", "unknown"]
PHRASES: dict[Judgement, str] = {
    "better": "clearly better",
    "worse": "clearly worse",
    "unclear": "no clear difference",
    "unknown": "not judged (no intervals)",
}


@dataclass(frozen=True)
class Difference:
    """One task, before and after, judged."""

    task: str
    metric: Metric
    before: Score
    after: Score
    judgement: Judgement
    evidence: str

    @property
    def change(self) -> str:
        return self.metric.change_text(self.before.mean, self.after.mean)

    @property
    def told(self) -> str:
        """The change with its task, for a sentence: `sums (+8.2 points)`, `chat (loss −0.510)`."""
        unit = "" if self.metric.is_share else f"{self.metric.name} "
        return f"{self.task} ({unit}{self.change})"

    @property
    def phrase(self) -> str:
        return PHRASES[self.judgement]


@dataclass(frozen=True)
class Comparison:
    """The tuned model against one other, task by task."""

    label: str
    differences: tuple[Difference, ...]

    def count(self, judgement: Judgement) -> int:
        return sum(difference.judgement == judgement for difference in self.differences)

    def on(self, task: str) -> Difference | None:
        return next((found for found in self.differences if found.task == task), None)

    def only(self, tasks: Sequence[str]) -> Comparison:
        kept = tuple(found for found in self.differences if found.task in tasks)
        return replace(self, differences=kept)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being k at once (Holm 1979): the smallest × k, the next × (k − 1)."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(ranked):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = largest
    return corrected


def compare(
    before: Facts, after: Facts, metrics: dict[str, Metric], flips: list[Facts]
) -> Comparison:
    """`after` against `before` on every task that both were scored on."""
    labels = str(before.get("label")), str(after.get("label"))
    pairs = {task: (score_in(before, task), score_in(after, task)) for task in metrics}
    shared = {task: (old, new) for task, (old, new) in pairs.items() if old and new}
    found = {task: paired_p_value(flips, *labels, task) for task in shared}
    tested = {task: p_value for task, p_value in found.items() if p_value is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return Comparison(
        labels[0],
        tuple(
            judge(task, metrics[task], old, new, corrected.get(task))
            for task, (old, new) in shared.items()
        ),
    )


def judge(
    task: str, metric: Metric, before: Score, after: Score, p_value: float | None
) -> Difference:
    """By the paired test where there is one, else by the intervals."""
    if p_value is not None:
        judgement = by_test(p_value, metric.gain(before.mean, after.mean))
        evidence = f"paired test, corrected {probability(p_value)}"
    else:
        judgement = by_intervals(before, after, metric)
        evidence = "95 % intervals" if judgement != "unknown" else ""
    return Difference(task, metric, before, after, judgement, evidence)


def paired_p_value(flips: list[Facts], before: str, after: str, task: str) -> float | None:
    """The p-value of the paired test between the two, in whichever direction it was recorded."""
    for flip in flips:
        ends = {str(flip.get("from")), str(flip.get("to"))}
        if flip.get("task") == task and ends == {before, after}:
            return number(flip.get("p_value"))
    return None


def by_test(p_value: float, gain: float) -> Judgement:
    if p_value >= SIGNIFICANCE or gain == 0:
        return "unclear"
    return "better" if gain > 0 else "worse"


def by_intervals(before: Score, after: Score, metric: Metric) -> Judgement:
    old, new = before.interval, after.interval
    if old is None or new is None:
        return "unknown"
    if old[0] <= new[1] and new[0] <= old[1]:
        return "unclear"
    return "better" if metric.gain(before.mean, after.mean) > 0 else "worse"


def compare_all(
    results: list[Facts], metrics: dict[str, Metric], flips: list[Facts]
) -> tuple[Comparison, ...]:
    """The tuned result against the base and each baseline that shares a task with it."""
    tuned = tuned_result(results)
    if tuned is None:
        return ()
    found = [compare(other, tuned, metrics, flips) for other in compared_results(results)]
    return tuple(comparison for comparison in found if comparison.differences)


def compare_pair(pair: Facts) -> Comparison:
    """The two ends of a pair, judged; by the paired test, Holm-corrected over the tasks."""
    before, after = pair["results"]
    return compare(before, after, metrics_of(pair), pair["flips"])
