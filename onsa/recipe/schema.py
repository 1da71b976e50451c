"""A run, its tasks and its baselines, each frozen and validated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from onsa.errors import InputError, did_you_mean
from onsa.recipe.prompt import USUAL_PROMPTS, Prompt
from onsa.recipe.training import OVER_ALL, Training, parts_of_metric
from onsa.settings import Settings, validated

NAME = re.compile(r"\w[\w.-]{0,59}")


class TaskRecipe(Settings):
    """One task: its name, the kind that scores it, its weight, and the keys of that kind."""

    name: str
    kind: str = "generate"
    weight: float = Field(
        1.0, gt=0, le=1000, description="how often its rows are drawn in mixed training"
    )
    train_on: Literal["every_reply", "last_reply"] = Field(
        "every_reply", description="what of a conversation is trained"
    )
    options: dict[str, Any] = Field({})

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("must be letters, digits, '-', '_' or '.' (at most 60, no '/')")
        return name


class Baseline(Settings):
    """What the result is compared with: another method, for the same trained tokens."""

    method: str
    label: str
    settings: dict[str, Any] = Field({})
    training: dict[str, Any] = Field({}, description="training keys put over the recipe's")


class Temperature(Settings):
    """Tasks drawn in proportion to n^(1/T), n being a task's rows (arXiv:1910.10683)."""

    temperature: float = Field(ge=1, le=1000, description="1: by size; the higher, the more equal")
    limit: int | None = Field(
        None, ge=1, description="rows; a larger task counts as if it had so many"
    )


TaskBalance = Literal["size", "equal"] | Temperature


class Recipe(Settings):
    """A whole run."""

    model: str
    output: str
    tasks: Annotated[tuple[TaskRecipe, ...], Field(min_length=1)]
    method: str = "cpi_ft"
    settings: dict[str, Any] = Field({})
    training: Training = Training()
    task_balance: TaskBalance = Field(
        "size", description="tasks in an epoch: size, equal, or {temperature: T, limit: rows}"
    )
    baselines: tuple[Baseline, ...] = ()
    untrained_tasks: tuple[TaskRecipe, ...] = Field(
        (), description="scored, never trained: what the model could do before, and may forget"
    )
    prompts: bool | tuple[Prompt, ...] = Field(
        False, description="ways of asking the base; the best one on training rows is scored too"
    )
    prompt_rows: int = Field(
        32, ge=1, le=10_000, description="training rows of each task that the prompt is chosen on"
    )
    probe: bool = Field(
        False, description="score what a language model can do in general before and after"
    )
    seed: int = Field(0, ge=0, lt=2**32)
    stage_rows: int = Field(
        32, ge=1, description="evaluation rows scored after each stage; the ends get all rows"
    )
    overlap_share: float = Field(
        0.0, ge=0, le=1, description="share of evaluation rows that may also be training rows"
    )
    output_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chat_template: str | None = Field(
        None, description="a jinja file, or 'plain'; else the tokenizer's own"
    )
    trust_remote_code: bool = False
    energy: bool = Field(False, description="measure it, with codecarbon (extra 'energy')")

    @field_validator("output")
    @classmethod
    def _a_place(cls, output: str) -> str:
        if not output.strip() or output.startswith("~"):
            raise InputError(
                f"{output!r} is no place for a run", way_out="write 'output: runs/name'"
            )
        return output

    @field_validator("task_balance", mode="before")
    @classmethod
    def _known_balance(cls, value: Any) -> Any:
        if isinstance(value, Temperature) or value in ("size", "equal"):
            return value
        if isinstance(value, dict):
            return validated(Temperature, value, "")
        raise InputError(
            f"{value!r} is no balance of tasks", way_out="write size, equal or {temperature: 2}"
        )

    @model_validator(mode="after")
    def _balance_between_tasks(self) -> Recipe:
        if self.differs("task_balance") and len(self.tasks) == 1:
            raise InputError("task_balance has no effect on one task", way_out="take it out")
        return self

    @model_validator(mode="after")
    def _one_name_each(self) -> Recipe:
        seen: set[str] = set()
        for task in (*self.tasks, *self.untrained_tasks):
            # casefold: 'Maths' and 'maths' would share a folder on some file systems.
            if task.name.casefold() in seen:
                raise InputError(
                    f"two tasks are named {task.name!r}", way_out="give each its own name"
                )
            seen.add(task.name.casefold())
        return self

    @model_validator(mode="after")
    def _known_metric(self) -> Recipe:
        tasks = [task.name for task in self.tasks]
        for changes in ({}, *(baseline.training for baseline in self.baselines)):
            given = self.with_training(changes).training.metric_for_best_model
            if given not in OVER_ALL and parts_of_metric(given, tasks) is None:
                raise InputError(
                    f"metric_for_best_model {given!r} is no task of the recipe",
                    way_out=did_you_mean(given.rpartition(".")[0] or given, (*OVER_ALL, *tasks)),
                )
        return self

    @model_validator(mode="after")
    def _prompts_have_rows(self) -> Recipe:
        if self.differs("prompt_rows") and not self.prompts:
            raise InputError(
                "prompt_rows has no effect without prompts", way_out="write 'prompts: true'"
            )
        return self

    @property
    def prompts_to_try(self) -> tuple[Prompt, ...]:
        """The ways of asking that are tried; as it is asked is always one of them."""
        if isinstance(self.prompts, bool):
            return USUAL_PROMPTS if self.prompts else ()
        return tuple(dict.fromkeys((Prompt(), *self.prompts))) if self.prompts else ()

    @field_validator("untrained_tasks")
    @classmethod
    def _no_weight(cls, tasks: tuple[TaskRecipe, ...]) -> tuple[TaskRecipe, ...]:
        for task in tasks:
            if task.differs("weight"):
                raise InputError(
                    f"a weight has no effect on {task.name!r}, which is not trained",
                    way_out="take it out, or move the task to 'tasks'",
                )
        return tasks

    def with_training(self, changes: Mapping[str, Any]) -> Recipe:
        """The same with some training keys put over its own."""
        training = self.training.model_copy(update=dict(changes))
        return self.model_copy(update={"training": training})
