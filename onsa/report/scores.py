"""Scores as the report reads them: which way is better, and what the JSON value holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onsa.report.words import MISSING, NARROW_SPACE, decimal, number, percent, signed

Facts = dict[str, Any]

# Metrics that are not shares of something, though they may lie between 0 and 1.
PLAIN_NUMBERS = (
    "loss",
    "perplexity",
    "error",
    "mae",
    "mse",
    "pearson",
    "spearman",
    "matthews",
    "r2",
    "r²",
    "rating",
    "kappa",
)
OUT_OF_100 = ("BLEU", "chrF", "chrF++")  # as their library prints them


@dataclass(frozen=True)
class Score:
    """A mean over `n` examples with its 95 % interval; any of them may be unknown but the mean."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    loss: float | None = None

    @classmethod
    def read(cls, entry: Any) -> Score | None:
        mean = number((entry or {}).get("mean"))
        if mean is None:
            return None
        low, high, n = (number(entry.get(key)) for key in ("low", "high", "n"))
        count = None if n is None else int(n)
        return cls(mean, low, high, count, number(entry.get("loss")))

    @property
    def interval(self) -> tuple[float, float] | None:
        if self.low is None or self.high is None:
            return None
        return min(self.low, self.high), max(self.low, self.high)

    @property
    def reach(self) -> tuple[float, float]:
        """What a chart must have room for: the interval and the mean."""
        low, high = self.interval or (self.mean, self.mean)
        return min(low, self.mean), max(high, self.mean)


@dataclass(frozen=True)
class Metric:
    """How a task is scored: shown as per cent or as a number, and which way is better."""

    name: str = "score"
    higher_is_better: bool = True
    is_share: bool = True

    def text(self, value: float | None) -> str:
        if value is None:
            return MISSING
        return percent(value) if self.is_share else decimal(value, self.places(value))

    def interval_text(self, score: Score) -> str:
        if score.interval is None:
            return ""
        low, high = (self.text(end).removesuffix(f"{NARROW_SPACE}%") for end in score.interval)
        return f"{low} to {high}"

    def full_text(self, score: Score) -> str:
        """`41.5 %, 95 % interval 38.2 to 44.9, n = 400`: for tooltips and screen readers."""
        parts = [self.text(score.mean)]
        if score.interval is not None:
            parts.append(f"95 % interval {self.interval_text(score)}")
        if score.n is not None:
            parts.append(f"n = {score.n:,}")
        return ", ".join(parts)

    def change_text(self, before: float, after: float) -> str:
        """The change as it is counted, so a falling loss is negative: `+29.5 points`."""
        if self.is_share:
            return f"{signed(100 * (after - before), 1)}{NARROW_SPACE}points"
        return signed(after - before, self.places(after - before))

    def gain(self, before: float, after: float) -> float:
        """The change, positive where it is for the better."""
        return after - before if self.higher_is_better else before - after

    @property
    def direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"

    @staticmethod
    def places(value: float) -> int:
        return 3 if abs(value) < 10 else 1


def every_score(facts: Facts) -> Iterator[tuple[str, Score]]:
    """Each (task, score) anywhere in the report."""
    holders = list(facts.get("results") or [])
    for addition in facts.get("additions") or []:
        holders += addition.get("results") or []
    for path in facts.get("paths") or []:
        holders += path.get("stages") or []
    for holder in holders:
        for task, entry in (holder.get("scores") or {}).items():
            if (score := Score.read(entry)) is not None:
                yield task, score


def metrics_of(facts: Facts) -> dict[str, Metric]:
    """Each task's metric, in the order of the tasks; tasks that only the scores name come last."""
    told = {str(task.get("name")): task for task in facts.get("tasks") or []}
    scores: dict[str, list[Score]] = {name: [] for name in told}
    for task, score in every_score(facts):
        scores.setdefault(task, []).append(score)
    return {name: metric_of(told.get(name, {}), found) for name, found in scores.items()}


def metric_of(task: Facts, scores: list[Score]) -> Metric:
    name = str(task.get("metric") or "score")
    words = name.lower()
    is_number = any(word in words for word in PLAIN_NUMBERS) or name in OUT_OF_100
    told = task.get("higher_is_better")
    lower = any(word in words for word in ("loss", "perplexity", "error", "mae", "mse"))
    higher_is_better = not lower if told is None else bool(told)
    shares = task.get("is_share", True) and all(0 <= score.mean <= 1 for score in scores)
    return Metric(name, higher_is_better, shares and higher_is_better and not is_number)


def role_of(result: Facts) -> str:
    """The role told; but specialists are one model for each task: a mark to reach, no rival."""
    role = str(result.get("role") or "reference")
    is_rival = result.get("label") not in ("single", "specialists")
    return role if is_rival or role != "baseline" else "reference"


def with_role(results: list[Facts], role: str) -> list[Facts]:
    return [result for result in results if role_of(result) == role]


def tuned_result(results: list[Facts]) -> Facts | None:
    """The result that the report is about: the one of role `result`, else the last one tuned."""
    tuned = with_role(results, "result") or with_role(results, "baseline")[-1:]
    return next(iter(tuned), None)


def compared_results(results: list[Facts]) -> list[Facts]:
    """What the tuned result is held against: the base, then baselines, plain mixing first."""
    tuned = tuned_result(results)
    baselines = [result for result in with_role(results, "baseline") if result is not tuned]
    baselines.sort(key=lambda result: result.get("label") not in ("full", "mixing"))
    return with_role(results, "base")[:1] + baselines


def baselines_of(results: list[Facts]) -> list[Facts]:
    return [result for result in compared_results(results) if role_of(result) == "baseline"]


def score_in(result: Facts, task: str) -> Score | None:
    return Score.read((result.get("scores") or {}).get(task))


def is_branch(stage: Facts) -> bool:
    """Probes and specialists start from the base and lead nowhere: no stage of the way itself."""
    return str(stage.get("label")).startswith(("probe ", "only "))
