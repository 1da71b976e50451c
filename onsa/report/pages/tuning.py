"""The page of `onsa tune` and `onsa add`."""

from __future__ import annotations

from onsa.report import words
from onsa.report.pages.frame import Sections, render_page
from onsa.report.pages.sections import (
    cores,
    flips,
    measures,
    provenance,
    results,
    stages,
    training,
)
from onsa.report.scores import Facts
from onsa.report.verdict import verdict

SECTIONS: Sections = (
    ("scores", "All scores", results.scores),
    ("measures", "Figures over all rows", measures.measures),
    ("normalised", "Average normalised score", measures.normalised),
    ("stages", "The seesaw, stage by stage", stages.stages),
    ("retention", "What each task kept", stages.retention),
    ("untrained", "Tasks that were not trained", results.untrained),
    ("flips", "Examples that flipped", flips.flips),
    ("additions", "Tasks added later", results.additions),
    ("overlap", "Overlap of the cores", cores.overlap),
    ("transfer", "What one task does for another", cores.transfer),
    ("groups", "Groups and their order", cores.groups),
    ("cores", "Where the cores lie", cores.cores),
    ("angles", "Fine-tuned angles", training.angles),
    ("curves", "Loss while training", training.curves),
    ("best_state", "Scores while training", training.best_state),
    ("fusion", "Fusion", training.fusion),
    ("held", "What was held, and the proof", training.held),
    ("cost", "Cost", results.cost),
    ("tasks", "Tasks and their data", provenance.tasks),
    ("prompts", "How it was asked", provenance.prompts),
    ("provenance", "Where it comes from", provenance.provenance),
)


def render(facts: Facts) -> str:
    """The page, from the JSON value of `report.json`; sections without facts are left out."""
    facts = words.printable(facts)
    return render_page(facts, SECTIONS, verdict(facts), results.first_card(facts))
