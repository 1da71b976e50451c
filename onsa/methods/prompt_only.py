"""No training: the base model, asked in a better way; the honest baseline of every comparison.

Examples in the prompt: Brown et al. 2020, arXiv:2005.14165; nearest ones: Liu et al. 2022,
arXiv:2101.06804.
"""

from __future__ import annotations

from typing import Any, ClassVar

from onsa.data.prompting import prompted
from onsa.errors import InputError
from onsa.methods import method
from onsa.models.base_model import position_count
from onsa.prepare.checks import check_rows
from onsa.recipe.prompt import Prompt
from onsa.recipe.training import BEST_STATE_KEYS
from onsa.run import Run
from onsa.weights import Weights


class PromptOnly(Prompt):
    """Nothing but a prompt."""

    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS


def no_epochs(settings: Any, num_train_epochs: float) -> float:
    return 0.0


@method("prompt_only", settings=PromptOnly, paper="arXiv:2005.14165", epochs=no_epochs)
def prompt_only(run: Run, settings: PromptOnly) -> Weights:
    """Train nothing: a role, an instruction, examples before each question, or none of them."""
    for task in run.tasks:
        if task.head is not None:
            raise InputError(
                "what is said by a new head cannot be prompted for",
                where=f"task {task.name}",
                way_out="write 'by: likelihood' in the task, or leave prompt_only out",
            )
    tasks = [prompted(task, **settings.model_dump(), seed=run.recipe.seed) for task in run.tasks]
    check_rows(tasks, run.encoder, position_count(run.companions, run.recipe.trust_remote_code))
    first = {task.name: list(task.evaluation[0].prompt) for task in tasks}
    run.find(prompts={**run.findings.get("prompts", {}), run.path: first})
    run.stage("prompted", run.base, tasks)
    return run.base
