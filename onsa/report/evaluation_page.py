"""The figures and the page of `onsa eval`: models as they are, on the same rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onsa.report import words
from onsa.report.comparison import Comparison, compare_all
from onsa.report.facts import task_facts
from onsa.report.flipping import flip
from onsa.report.page import Sections, render_page
from onsa.report.results import average, normalised, scores_of
from onsa.report.scores import Facts, Score, metrics_of, score_in, tuned_result
from onsa.report.sections import flips, measures, provenance, results
from onsa.report.verdict import Verdict, describe
from onsa.report.words import listed, name_of

if TYPE_CHECKING:
    from onsa.tasks import Task

Found = Mapping[str, Mapping[str, Any]]  # by task: scores and replies


def evaluated(
    tasks: Sequence[Task],
    untrained: Sequence[Task],
    found: Mapping[str, Found],
    incomparable: Collection[str],
) -> dict[str, Any]:
    """The sections of `eval.json` that are about scores; `found` is by label, the last model is
    held against the others. `incomparable` tasks are scored, and not compared."""
    alike = all(task.name in each for task in tasks for each in found.values())
    trained = _compared(tasks, found, incomparable)
    return {
        "tasks": [task_facts(task) for task in tasks],
        **trained,
        "normalised": normalised(tasks, found) if alike and tasks and not incomparable else None,
        "untrained": {
            "tasks": [task_facts(task) for task in untrained],
            **_compared(untrained, found, incomparable),
        },
    }


def _compared(
    tasks: Sequence[Task], found: Mapping[str, Found], incomparable: Collection[str]
) -> dict[str, Any]:
    alike = all(task.name in each for task in tasks for each in found.values())
    *others, last = found
    entries = []
    for label, each in found.items():
        own = [task for task in tasks if task.name in each]
        mean = average(own, each) if alike and own else None
        entry = {"label": label, "role": _role(label, list(found)), **scores_of(own, each)}
        entries.append({**entry, "average": mean})
    return {
        "results": [entry for entry in entries if entry["scores"]],
        "flips": [
            flip(task, label, last, found[label][task.name], found[last][task.name])
            for label in others
            for task in tasks
            if task.name in found[label] and task.name in found[last]
            and task.name not in incomparable
        ],
    }  # fmt: skip


def _role(label: str, labels: Sequence[str]) -> str:
    if label == labels[-1]:
        return "result"
    return "base" if label == labels[0] else "baseline"


def comparisons(facts: Facts) -> tuple[Comparison, ...]:
    """The last model against each of the others, on the tasks that are compared."""
    given, held = list(facts.get("results") or []), list(facts.get("flips") or [])
    compared = {str(each.get("task")) for each in held}
    pairs = compare_all(given, metrics_of(facts), held)
    kept = [each.only([d.task for d in each.differences if d.task in compared]) for each in pairs]
    return tuple(each for each in kept if each.differences)


def verdict(facts: Facts) -> Verdict:
    """Each model's scores in a line, or how the last one differs from the others."""
    found = comparisons(facts)
    said = [f"Against {name_of(each.label)}: {describe(each)}." for each in found]
    section = facts.get("untrained") or {}
    others = comparisons({**section, "tasks": section.get("tasks")})
    said += [f"Not trained, against {name_of(e.label)}: {describe(e)}." for e in others]
    return Verdict(_headline(facts), tuple(said), (), found)


def _headline(facts: Facts) -> str:
    given = list(facts.get("results") or [])
    metrics = metrics_of(facts)
    last = tuned_result(given) or {}
    scored = [
        f"{task} {metric.text(score.mean)}"
        for task, metric in metrics.items()
        if (score := score_in(last, task)) is not None
    ]
    return f"{last.get('label') or 'No task'}: {listed(scored) or 'not scored'}."


def models(facts: Facts) -> list[Facts] | None:
    """What was scored: the models, where they lie, what they weigh."""
    return facts.get("models") or None


SECTIONS: Sections = (
    ("models", "Models", models),
    ("scores", "All scores", results.scores),
    ("measures", "Figures over all rows", measures.measures),
    ("normalised", "Average normalised score", measures.normalised),
    ("flips", "Examples that flipped", flips.flips),
    ("untrained", "Tasks that were not trained", results.untrained),
    ("tasks", "Tasks and their data", provenance.tasks),
    ("provenance", "Where it comes from", provenance.provenance),
)


def render_evaluation(facts: Facts) -> str:
    """The page, from the JSON value of `eval.json`."""
    facts = words.printable(facts)
    given = facts.get("results") or []
    card = results.score_card(given, metrics_of(facts), facts.get("flips") or []) if given else None
    return render_page(facts, SECTIONS, verdict(facts), card)


def evaluation_lines(facts: Facts) -> list[str]:
    """The same on a terminal: a line for each task and model, then the comparisons."""
    lines = []
    for part in (facts, facts.get("untrained") or {}):
        metrics = metrics_of(part)
        for task, metric in metrics.items():
            lines.append(f"{task} ({metric.name}, {metric.direction})")
            for result in part.get("results") or []:
                lines += _line(str(result.get("label")), score_in(result, task), metric)
    said = verdict(facts)
    notes = [f"note: {note}" for note in facts.get("notes") or []]
    return [*lines, *([""] if said.sentences else []), *said.sentences, *notes]


def _line(label: str, score: Score | None, metric: Any) -> list[str]:
    return [f"    {label}: {metric.full_text(score)}"] if score is not None else []
