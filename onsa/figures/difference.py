"""What changed between two runs: settings, data, versions, scores on the rows of both, costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from onsa.figures.flipping import flip_of
from onsa.figures.record import COSTS, Record
from onsa.metrics.intervals import clustered_interval
from onsa.report.comparison import compare_pair
from onsa.report.scores import Facts, score_in
from onsa.report.verdict import describe
from onsa.report.words import listed, plural

MISSING = None
Paired = tuple[Facts, Facts, Facts]  # a flip, and the scores before and after


def difference(first: Record, second: Record) -> Facts:
    """All that differs, as one JSON value; `first` is before and `second` after."""
    pairs = [_pair(first, second, *labels) for labels in _labels(first, second)]
    facts = {
        "title": f"{first.name} and {second.name}",
        "runs": [_about(each) for each in (first, second)],
        "settings": _known_to_both(first, second, _changes(first.settings, second.settings)),
        "data": _data(first, second),
        "versions": _known_to_both(first, second, _changes(first.places, second.places)),
        "pairs": pairs,
        "costs": [each for labels in _labels(first, second)
                  if (each := _costs(first, second, *labels))["rows"]],
    }  # fmt: skip
    said = [_said(each) for each in pairs if each["results"]]
    return {**facts, "headline": _headline(facts, said), "sentences": said[1:]}


def _labels(first: Record, second: Record) -> list[tuple[str, str]]:
    """What is held against what: what the runs are about, then all that has one label in both."""
    both = [(label, label) for label in first.results if label in second.results]
    main = [(first.main, second.main)]
    known = [each for each in main if each[0] in first.results and each[1] in second.results]
    return known + [each for each in both if each not in known]


def _about(record: Record) -> Facts:
    return {
        "name": record.name,
        "kind": record.kind,
        "title": record.facts.get("title"),
        "created": record.facts.get("created"),
        "command": record.facts.get("command"),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[Facts]:
    """Keys whose values differ, and those that only one has."""
    return [
        {
            "key": key,
            "before": before.get(key),
            "after": after.get(key),
            "only": ""
            if key in before and key in after
            else "before"
            if key in before
            else "after",
        }
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key) or (key in before) != (key in after)
    ]


def _known_to_both(first: Record, second: Record, changes: list[Facts]) -> list[Facts]:
    """Without what only one of them has because the other one is no training."""
    if first.kind == second.kind or "eval" not in (first.kind, second.kind):
        return changes
    return [each for each in changes if not each["only"]]


def _data(first: Record, second: Record) -> list[Facts]:
    return [
        _task_data(first, second, name) for name in dict.fromkeys((*first.tasks, *second.tasks))
    ]


def _task_data(first: Record, second: Record, name: str) -> Facts:
    told = [record.tasks.get(name) for record in (first, second)]
    if None in told:
        return {"task": name, "only": "after" if told[0] is None else "before"}
    kept = [record.task_rows(name) for record in (first, second)]
    # Evaluations know of no training rows.
    trains = "eval" not in (first.kind, second.kind)
    before, after = (each.get("train") if each and trains else None for each in kept)
    old, new = (_digests(each) for each in kept)
    moved = {
        "train": _moved(before, after),
        "evaluation": _moved(old, new),
    }
    same = not any(each and (each["added"] or each["removed"]) for each in moved.values())
    digests = {str((each or {}).get("digest")) for each in told}
    return {
        "task": name,
        "same": len(digests) == 1 or (same and None not in moved.values()),
        **{
            key: [(each or {}).get(key) for each in told]
            for key in ("kind", "metric", "train_rows", "eval_rows", "source", "digest")
        },
        **moved,
    }


def _digests(kept: Facts | None) -> list[str] | None:
    return [str(row["digest"]) for row in kept["evaluation"]] if kept else None


def _moved(before: Sequence[str] | None, after: Sequence[str] | None) -> Facts | None:
    if before is None or after is None:
        return None
    old, new = set(before), set(after)
    return {"added": len(new - old), "removed": len(old - new), "kept": len(old & new)}


def _pair(first: Record, second: Record, before: str, after: str) -> Facts:
    """Two results on the rows that both runs have; where none are common, why."""
    names = [f"{first.name}: {before}", f"{second.name}: {after}"]
    flips, scores, reasons = [], {}, {}
    for task in first.tasks.keys() & second.tasks.keys():
        found = _paired(first, second, before, after, task)
        if isinstance(found, str):
            reasons[task] = found
            continue
        flips.append({"from": names[0], "to": names[1], "task": task, **found[0]})
        scores[task] = found[1:]
    order = [task for task in first.tasks if task in scores]
    results = [
        {"label": name, "role": role, "scores": {task: scores[task][end] for task in order}}
        for end, (name, role) in enumerate(zip(names, ("base", "result"), strict=True))
    ]
    return {
        "tasks": [first.tasks[task] for task in order],
        "labels": [before, after],
        "results": results if order else [],
        "flips": sorted(flips, key=lambda each: order.index(each["task"])),
        "not_compared": {task: reasons[task] for task in first.tasks if task in reasons},
    }


def _paired(first: Record, second: Record, before: str, after: str, task: str) -> Paired | str:
    """The rows of a task that both runs scored, or why there are none."""
    known = [(record, record.task_rows(task)) for record in (first, second)]
    if unkept := [record.name for record, rows in known if rows is None]:
        return f"{listed(unkept)} did not keep its rows"
    old, new = (rows for _, rows in known if rows is not None)
    if (old["metric"], old["mode"]) != (new["metric"], new["mode"]):
        return f"scored otherwise: {old['metric']}, and {new['metric']}"
    said = [first.scores(before, task), second.scores(after, task)]
    if not all(said):
        return "not scored by both"
    places = [{row["digest"]: n for n, row in enumerate(rows["evaluation"])} for rows in (old, new)]
    common = [digest for digest in places[0] if digest in places[1]]
    if not common:
        return "no evaluation row is in both"
    seeds = sorted(said[0].keys() & said[1].keys())
    ends = [
        _on(found, [place[digest] for digest in common], seeds)
        for found, place in zip(said, places, strict=True)
    ]
    rows = [old["evaluation"][places[0][digest]] for digest in common]
    groups = [str(row.get("group") or "") for row in rows]
    scores = [_score(each["scores"], groups, old["mode"] != "loss") for each in ends]
    return flip_of(rows, ends[0], ends[1], old), scores[0], scores[1]


def _on(found: dict[str, Facts], places: Sequence[int], seeds: Sequence[str]) -> Facts:
    """Scores on these rows, their mean over the seeds of both (or all), and a seed's replies."""
    used = [found[seed] for seed in seeds or sorted(found)]
    return {
        "scores": [math.fsum(each["scores"][at] for each in used) / len(used) for at in places],
        "replies": [used[0]["replies"][at] for at in places],
    }


def _score(scores: Sequence[float], groups: Sequence[str], is_share: bool) -> Facts:
    interval = clustered_interval(scores, groups)
    interval = interval.within(0.0, 1.0) if is_share else interval
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}


def _costs(first: Record, second: Record, before: str, after: str) -> Facts:
    old, new = first.costs[before], second.costs[after]
    both = [key for key in COSTS if old.get(key) is not None and new.get(key) is not None]
    trains = any(each.get("trained_tokens") for each in (old, new))
    return {
        "labels": [before, after],
        "rows": [{"key": key, "before": old[key], "after": new[key]} for key in both if trains],
    }


def _said(pair: Facts) -> str:
    return f"{pair['results'][1]['label']} against {pair['results'][0]['label']}: {_words(pair)}."


def _words(pair: Facts) -> str:
    """The judged differences; or that not a single row was answered otherwise."""
    if not any(each["gained"] or each["lost"] for each in pair["flips"]):
        rows = sum(score.n or 0 for task in pair["tasks"]
                   if (score := score_in(pair["results"][0], str(task.get("name")))))  # fmt: skip
        return f"the same score on each of {plural(rows, 'row')}"
    return describe(compare_pair(pair))


def _headline(facts: Facts, said: Sequence[str]) -> str:
    if said:
        return said[0]
    reasons = {why for pair in facts["pairs"] for why in pair["not_compared"].values()}
    if not reasons:
        return "The runs have no task in common, so no scores are compared."
    return f"Scores are not compared: {listed(sorted(reasons))}."
