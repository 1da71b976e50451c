"""What is asked for when tasks are added: a recipe's keys over those of the finished run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from onsa.cores import saliency
from onsa.errors import InputError
from onsa.recipe.reading import build_recipe
from onsa.recipe.schema import Recipe
from onsa.recipe.training import BEST_STATE_KEYS, EITHER_OR
from onsa.settings import Settings, Share, known_in
from onsa.state import State

# Keys of a recipe that the earlier run has settled, or that have no effect here.
NOT_HERE = (
    "method", "baselines", "model", "output", "stage_rows", "task_balance", "untrained_tasks",
    "prompts", "prompt_rows", "probe",
)  # fmt: skip
KEPT = {"model", "seed", "chat_template", "overlap_share", "output_dtype", "trust_remote_code"}
SaliencyRule = Annotated[str, known_in(saliency.saliency)]


class Addition(Settings):
    """The keys of a recipe for `onsa add`, beside `tasks` and the training keys."""

    no_effect: ClassVar[frozenset[str]] = BEST_STATE_KEYS

    core_share: Share | None = Field(
        None, description="hold so large a core of all that was learned, not the run's own cores"
    )
    saliency: SaliencyRule = Field("update", description="what makes an entry part of a core")
    hold: Literal["cores", "random", "none"] = Field(
        "cores", description="what is still: the cores, as many random entries, nothing"
    )
    replay: float = Field(0.0, ge=0, lt=1, description="share of earlier tasks' rows mixed in")
    compare: bool = Field(True, description="also train plainly: nothing held, nothing replayed")

    @model_validator(mode="after")
    def _nothing_is_missing(self) -> Addition:
        if self.saliency == "adam":
            raise InputError(
                "the saliency rule 'adam' needs a second moment, which no addition keeps",
                way_out="choose 'update'",
            )
        return self


def recipe_of_addition(raw: Mapping[str, Any], state: State, folder: Path, where: object) -> Recipe:
    """The new recipe over what the run was made with."""
    _, first = state.recipes[0]
    kept = first.model_dump(include=KEPT) | first.training.model_dump(exclude=set(BEST_STATE_KEYS))
    for pair in EITHER_OR:
        if any(key in raw for key in pair):  # what is given now decides, not what was given then
            kept = {key: value for key, value in kept.items() if key not in pair}
    if "lr_scheduler_type" in raw:
        kept.pop("warmup_ratio")
    recipe = build_addition({**kept, **raw}, raw, folder, where)
    known = {task.name.casefold() for task in state.tasks}
    for task in recipe.tasks:
        if task.name.casefold() in known:
            raise InputError(
                f"the run has a task {task.name!r} already",
                where=where,
                way_out="give the new task another name",
            )
    return recipe


def build_addition(
    keys: Mapping[str, Any], raw: Mapping[str, Any], folder: Path, where: object
) -> Recipe:
    for key in NOT_HERE:
        if key in raw:
            raise InputError(
                f"the key {key!r} has no effect when tasks are added",
                where=where,
                way_out="take it out: what the run was made with counts",
            )
    return build_recipe({**keys, "method": "add", "output": str(folder)}, {"add": Addition}, where)
