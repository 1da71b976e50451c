"""The page of `onsa eval`: models as they are, on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onsa.report import words
from onsa.report.comparison import Comparison, compare_all
from onsa.report.pages.frame import Sections, render_page
from onsa.report.pages.sections import flips, measures, provenance, results
from onsa.report.scores import Facts, Score, metrics_of, score_in, tuned_result
from onsa.report.verdict import Verdict, describe
from onsa.report.words import listed, name_of

if TYPE_CHECKING:
    pass


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
