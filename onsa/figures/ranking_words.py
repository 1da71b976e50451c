"""Which way to take, why, and how sure that is, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onsa.report.words import (
    NARROW_SPACE,
    capital,
    decimal,
    duration,
    listed,
    memory,
    percent,
    plural,
    points,
    probability,
    scaled,
    short_name_of,
)

LESS = 0.9  # of a cost, to be called cheaper
OFF_BUDGET = 0.1
Row = Mapping[str, Any]

SPENT_BY = {"tokens": "trained_tokens", "flops": "training_flops", "minutes": "seconds"}


def sentences(ranking: Mapping[str, Any], budget: str) -> dict[str, Any]:
    """`headline` and `sentences` from the rows, the best and how far ways can be told apart."""
    rows = {row["label"]: row for row in ranking["rows"] if not row["why"]}
    if not ranking["best"]:
        return {"headline": "No method could be carried out.", "sentences": failures(ranking)}
    best = rows[ranking["best"]]
    others = [row for row in rows.values() if row is not best and row["models"] == 1]
    close = [row for row in others if not row["against_best"]["is_clear"]]
    said = [
        *order(others, close),
        *cheaper(best, close),
        *worst_task(best, others),
        *forgetting(best),
        *specialists([row for row in rows.values() if row["models"] > 1 and row is not best]),
        *how_sure(best, ranking["smallest_difference"], others),
        *off_budget(list(rows.values()), SPENT_BY[budget]),
        *failures(ranking),
    ]
    return {"headline": headline(best, close, others), "sentences": said}


def headline(best: Row, close: Sequence[Row], others: Sequence[Row]) -> str:
    """What to take, and whether that is clear."""
    name = short_name_of(best["label"])
    average = best["average"]
    score = percent(average["mean"])
    if average["low"] is not None:
        low, high = (decimal(100 * average[end], 1) for end in ("low", "high"))
        score = f"{score} on average (95{NARROW_SPACE}% interval {low} to {high})"
    if best["label"] == "base":
        return f"Train nothing: the base model has {score}, and no way of tuning has more."
    if not others:
        return f"{capital(name)} has {score}; nothing else was carried out."
    if not close:
        return f"Take {name}: {score}, clearly more than every other."
    some = f"{len(close)} of {len(others)} others are not"
    if len(close) == len(others):
        some = "no other is"
    return f"Take {name}: {score}, the most; but {some} clearly behind."


def order(others: Sequence[Row], close: Sequence[Row]) -> list[str]:
    """Who is not clearly behind, and who is."""
    said = []
    if close:
        said.append(f"Not clearly behind: {listed(map(_difference, _by_mean(close)))}.")
    behind = [row for row in others if row not in close]
    if behind:
        said.append(f"Clearly behind: {listed(map(_difference, _by_mean(behind)))}.")
    return said


def _by_mean(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: -row["average"]["mean"])


def _difference(row: Row) -> str:
    return f"{short_name_of(row['label'])} ({_told(row['against_best'])})"


def _told(difference: Mapping[str, Any]) -> str:
    return f"{points(difference['change'])}, {probability(difference['p_value'])}"


def cheaper(best: Row, close: Sequence[Row]) -> list[str]:
    """The cheapest of those that are not clearly behind, and what it saves."""
    wanted = [row for row in close if row["cost"]["training_flops"] is not None]
    row = min(wanted, key=lambda row: row["cost"]["training_flops"], default=None)
    if row is None:
        return []
    saved = [
        f"{percent(row['cost'][key] / best['cost'][key], 0)} of its {word}"
        for key, word in (("training_flops", "training FLOPs"), ("seconds", "time"))
        if best["cost"][key] and row["cost"][key] < LESS * best["cost"][key]
    ]
    if row["cost"]["stored_bytes"] < LESS * best["cost"]["stored_bytes"]:
        sizes = (memory(each["cost"]["stored_bytes"]) for each in (row, best))
        saved.append("{} on disk instead of {}".format(*sizes))
    name = capital(short_name_of(row["label"]))
    return [f"Where cost counts: {name}, with {listed(saved)}."] if saved else []


def worst_task(best: Row, others: Sequence[Row]) -> list[str]:
    """The weakest task of the best, and who is better at its own weakest."""
    worst = best["worst"]
    own = f"{worst['task']} ({percent(worst['mean'])})"
    higher = max(others, key=lambda row: row["worst"]["mean"], default=None)
    if higher is not None and higher["worst"]["mean"] > worst["mean"]:
        found = higher["worst"]
        name = short_name_of(higher["label"])
        theirs = f"{found['task']} ({percent(found['mean'])})"
        return [f"Its weakest task is {own}; the weakest of {name} is {theirs}."]
    return [f"Its weakest task is {own}."]


def forgetting(best: Row) -> list[str]:
    """What the best lost of what it was not trained on."""
    clear = {task: told for task, told in best["forgotten"].items() if told["is_clear"]}
    if not best["forgotten"]:
        return []
    told = [f"{task} ({points(each['change'])})" for task, each in clear.items()]
    changed = listed(told) if told else "no clear change"
    return [f"On tasks that were not trained, against the base: {changed}."]


def specialists(rows: Sequence[Row]) -> list[str]:
    """How far the best one model is from one for each task."""
    return [
        f"For comparison, {short_name_of(row['label'])}, {row['models']} models, one for each "
        f"task, have {percent(row['average']['mean'])} ({_told(row['against_best'])})."
        for row in rows
    ]


def how_sure(best: Row, smallest: float | None, others: Sequence[Row]) -> list[str]:
    """What the intervals cover, and what could be told apart."""
    seeds = len(best["seeds"])
    rows, groups = (sum(each[key] for each in best["scores"].values()) for key in ("n", "groups"))
    drawn = f"{rows:,} examples each"
    if groups < rows:
        drawn = f"{rows:,} examples each, drawn in {groups:,} groups"
    said = [f"{plural(seeds, 'seed')}, {drawn}"]
    if seeds == 1:
        said.append("with one seed the chance in training is not covered")
    if smallest and others:
        apart = f"{100 * smallest:.1f} points apart"
        said.append(f"less than about {apart}, two cannot be told apart")
    return [f"{'; '.join(said)}."]


def off_budget(rows: Sequence[Row], key: str) -> list[str]:
    """Ways that spent clearly more or less than the middle one."""
    spent = {row["label"]: row["cost"][key] for row in rows if row["cost"]["trained_tokens"]}
    if len(spent) < 2:
        return []
    middle = sorted(spent.values())[len(spent) // 2]
    unit = {"trained_tokens": "trained tokens", "training_flops": "FLOPs", "seconds": "time"}[key]
    off = [
        f"{short_name_of(label)} {duration(each) if key == 'seconds' else scaled(each)}"
        for label, each in spent.items()
        if abs(each / middle - 1) > OFF_BUDGET
    ]
    usual = duration(middle) if key == "seconds" else scaled(middle)
    return [f"Not at the same {unit} (about {usual}): {listed(off)}."] if off else []


def failures(ranking: Mapping[str, Any]) -> list[str]:
    return [
        f"{capital(short_name_of(row['label']))} failed: {row['why']}."
        for row in ranking["rows"]
        if row["why"]
    ]
