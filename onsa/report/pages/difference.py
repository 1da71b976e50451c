"""What changed between two runs, on a page and on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from onsa.report import words
from onsa.report.comparison import PHRASES, compare_pair
from onsa.report.pages.frame import Sections, render_page
from onsa.report.pages.sections import flips
from onsa.report.pages.sections.results import score_card
from onsa.report.scores import Facts, metrics_of
from onsa.report.verdict import Verdict
from onsa.report.words import plural, short_name_of

LONGEST_VALUE = 300  # letters of a setting
LONGEST_LINE = 72  # of a prompt or reply on a terminal
SHOWN = 3  # examples of a task on a terminal
COST_WORDS: dict[str, tuple[str, Callable[[object], str]]] = {
    "trained_tokens": ("trained tokens", words.scaled),
    "seconds": ("time", words.duration),
    "training_seconds": ("time in training", words.duration),
    "training_flops": ("training FLOPs", words.scaled),
    "peak_memory_bytes": ("peak memory", words.memory),
    "stored_bytes": ("on disk", words.memory),
    "energy_kwh": ("energy", words.energy),
}


def render_difference(facts: Facts) -> str:
    """The page, from the JSON value that `onsa diff --json` prints."""
    facts = words.printable(facts)
    said = Verdict(facts["headline"], tuple(facts["sentences"]), (), ())
    return render_page(facts, SECTIONS, said)


def settings(facts: Facts) -> list[Facts] | None:
    return _rows(facts["settings"]) or None


def versions(facts: Facts) -> list[Facts] | None:
    return _rows(facts["versions"]) or None


def _rows(changes: list[Facts]) -> list[Facts]:
    return [
        {
            "key": each["key"],
            "texts": [
                None if each["only"] == "after" else _text(each["before"]),
                None if each["only"] == "before" else _text(each["after"]),
            ],
        }
        for each in changes
    ]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def data(facts: Facts) -> list[Facts] | None:
    return [_task_view(each, facts) for each in facts["data"]] or None


def _task_view(task: Facts, facts: Facts) -> Facts:
    if task.get("only"):
        before, after = (run["name"] for run in facts["runs"])
        return {**task, "only_name": before if task["only"] == "before" else after}
    return {
        **task,
        "train_text": _moved(task["train"], task["train_rows"]),
        "evaluation_text": _moved(task["evaluation"], task["eval_rows"]),
    }


def _moved(moved: Facts | None, counts: list[Any]) -> str:
    if moved is None and not any(counts):
        return words.MISSING
    if moved is None and 0 in counts:
        return f"{words.count(max(counts))}; the other run trains nothing"
    if moved is None:
        return f"{words.count(counts[0])} and {words.count(counts[1])} (rows not known)"
    if not moved["added"] and not moved["removed"]:
        return f"the same {words.count(moved['kept'])}"
    return (
        f"{words.count(moved['kept'])} in both, {words.count(moved['removed'])} removed, "
        f"{words.count(moved['added'])} added"
    )


def scores(facts: Facts) -> list[Facts] | None:
    views = []
    for pair in facts["pairs"]:
        card = None
        if pair["results"]:
            card = score_card(pair["results"], metrics_of(pair), pair["flips"])
        views.append({**pair, "title": _title(pair["labels"]), "card": card})
    return views or None


def _title(labels: list[str]) -> str:
    before, after = map(short_name_of, labels)
    return words.capital(before) if before == after else f"{words.capital(before)} and {after}"


def flipped(facts: Facts) -> Facts | None:
    pairs = [pair for pair in facts["pairs"] if pair["results"]]
    tasks = {task["name"]: task for pair in pairs for task in pair["tasks"]}
    results = [result for pair in pairs for result in pair["results"]]
    held = [each for pair in pairs for each in pair["flips"]]
    return flips.flips({"tasks": list(tasks.values()), "results": results, "flips": held})


def costs(facts: Facts) -> list[Facts] | None:
    return [
        {"title": _title(each["labels"]), "rows": [_cost(row) for row in each["rows"]]}
        for each in facts["costs"]
    ] or None


def _cost(row: Facts) -> Facts:
    name, text = COST_WORDS[row["key"]]
    return {"key": name, "texts": [text(row["before"]), text(row["after"])]}


SECTIONS: Sections = (
    ("diff_settings", "Settings that differ", settings),
    ("diff_data", "Data", data),
    ("diff_scores", "Scores on the same rows", scores),
    ("flips", "Examples that flipped", flipped),
    ("diff_costs", "Cost", costs),
    ("diff_versions", "Versions, machine and model that differ", versions),
)


def difference_lines(facts: Facts) -> list[str]:
    """The same on a terminal."""
    before, after = (run["name"] for run in facts["runs"])
    lines = [f"{before}  →  {after}", facts["headline"], *facts["sentences"]]
    lines += _block("settings", [_line(each) for each in _rows(facts["settings"])])
    lines += _block("data", [_data_line(each) for each in data(facts) or []])
    for pair in facts["pairs"]:
        lines += _block(f"scores: {_title(pair['labels'])}", _score_lines(pair))
    for each in costs(facts) or []:
        lines += _block(f"cost: {each['title']}", [_line(row) for row in each["rows"]])
    return lines + _block("versions", [_line(each) for each in _rows(facts["versions"])])


def _block(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines or ["nothing differs"])]


def _line(row: Facts) -> str:
    before, after = ("–" if text is None else text for text in row["texts"])
    return f"{row['key']}: {_short(before)}  →  {_short(after)}"


def _data_line(task: Facts) -> str:
    if task.get("only"):
        return f"{task['task']}: only in {task['only_name']}"
    return f"{task['task']}: train {task['train_text']}; evaluation {task['evaluation_text']}"


def _score_lines(pair: Facts) -> list[str]:
    lines = [f"{task}: not compared: {why}" for task, why in pair["not_compared"].items()]
    if not pair["results"]:
        return lines or ["no task in common"]
    found = compare_pair(pair)
    for flip in pair["flips"]:
        judged = found.on(flip["task"])
        assert judged is not None
        old, new = judged.metric.text(judged.before.mean), judged.metric.text(judged.after.mean)
        lines.append(
            f"{flip['task']}: {old}  →  {new} ({judged.change}, {PHRASES[judged.judgement]}, "
            f"{judged.evidence.removeprefix('paired test, ')}) on "
            f"{plural(judged.after.n or 0, 'row')}: {flip['gained']} gained, {flip['lost']} lost"
        )
        lines += [f"  {_example(each)}" for each in flip["examples"][:SHOWN]]
    return lines


def _example(example: Facts) -> str:
    texts = (example[key] for key in ("prompt", "reference", "before", "after"))
    prompt, reference, before, after = (_short(text) for text in texts)
    return f"{example['change']}: {prompt} | {reference} | {before}  →  {after}"


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…"
