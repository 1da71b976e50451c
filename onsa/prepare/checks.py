"""What is refused before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from onsa.choosing.choices import rates
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.requests import lengths, requests_of
from onsa.errors import InputError
from onsa.models.base_model import Checked
from onsa.models.loading import read_config
from onsa.recipe.schema import Recipe
from onsa.settings import Budgeted
from onsa.tasks import Task
from onsa.training.adapters import AdapterSettings
from onsa.training.deciding import decide_by

Ways = Mapping[str, BaseModel]
"""The settings of a recipe's method and of its baselines, by their labels."""


def require_text(*folders: Path) -> None:
    """Names of folders may hold bytes that are no text, which safetensors cannot open."""
    for folder in folders:
        try:
            str(folder.resolve()).encode()
        except UnicodeEncodeError:
            raise InputError(
                "the path holds bytes that are no text", where=folder, way_out="rename the folder"
            ) from None


def check_adapters(ways: Ways, recipe: Recipe, model_folder: Path, encoder: Encoder) -> int:
    """The most virtual tokens that one of the recipe's adapters puts before a row.

    Raises:
        InputError: an adapter does not fit the model, the training or the machine.
    """
    config = read_config(model_folder, recipe.trust_remote_code)
    adapters = [each for each in ways.values() if isinstance(each, AdapterSettings)]
    for settings in adapters:
        settings.require(config, recipe.training, encoder)
    return max((settings.virtual_tokens for settings in adapters), default=0)


def check_rows(
    tasks: list[Task], encoder: Encoder, positions: int | None = None, virtual_tokens: int = 0
) -> None:
    """Encode every row once: a row with nothing to train or to score on is an error here.

    So is one that is longer than the model's `positions`, alone or with the reply to be generated:
    some models break off there, hours later, others go on without a word and get worse.
    `virtual_tokens` come before each row.
    """
    room = Room(positions, virtual_tokens)
    for task in tasks:
        rows = [row for row in (*task.train, *task.evaluation) if not requests_of(row)]
        try:
            room.require_answers(task.evaluation, encoder)
            encoded = encoder.encode_all(rows)
        except InputError as fault:
            place = f"task {task.name}, {fault.where}"
            raise InputError(fault.what, where=place, way_out=fault.way_out) from None
        for row, found in zip(rows, encoded, strict=True):
            room.require(len(found.ids), f"task {task.name}, {row.source}", room.way_out)
        for row in task.evaluation if task.max_new_tokens else ():
            room.require(
                len(encoder.encode_prompt(row)) + task.max_new_tokens,
                f"task {task.name}, {row.source}",
                "lower max_new_tokens, or take the row out",
            )


class Room(NamedTuple):
    """A model's positions, if it says how many, and the virtual tokens that take some of them."""

    positions: int | None
    virtual_tokens: int

    @property
    def way_out(self) -> str:
        """What makes a row fit that is cut at max_length."""
        left = (self.positions or 0) - self.virtual_tokens
        return f"write 'max_length: {left}'" if left >= 8 else "lower num_virtual_tokens"

    def require_answers(self, examples: Sequence[Example], encoder: Encoder) -> None:
        """What an evaluation harness asks is cut on the left; what the model says must fit."""
        limit = None if self.positions is None else self.positions - self.virtual_tokens
        for row in examples:
            lengths(row, encoder.tokenizer, limit)

    def require(self, tokens: int, place: str, way_out: str) -> None:
        if self.positions is None or tokens + self.virtual_tokens <= self.positions:
            return
        after = f" after {self.virtual_tokens} virtual ones" if self.virtual_tokens else ""
        raise InputError(
            f"{tokens} tokens{after}, and the model has {self.positions} positions",
            where=place,
            way_out=way_out,
        )


def check_choices(ways: Ways, model: Checked) -> None:
    """Refuse a way of tuning that would train what the model does not have, now and not when it is
    its turn."""
    for label, settings in ways.items():
        if isinstance(settings, Budgeted):
            try:
                settings.require_places(model.model)
            except InputError as fault:
                where = ", ".join(filter(None, [label, fault.where]))
                raise InputError(fault.what, where=where, way_out=fault.way_out) from None


def check_rates(recipe: Recipe, model: Checked) -> None:
    """Refuse a learning rate of its own for parameters that the model does not have."""
    own = [recipe.with_training(baseline.training).training for baseline in recipe.baselines]
    for training in (recipe.training, *own):
        rates(model.shapes, training)


def check_effects(recipe: Recipe, tasks: list[Task], given: Collection[str] | None = None) -> None:
    """Refuse training keys that are of replies where all that trains is heads.

    `given` are the recipe's own keys, where others come from an earlier one.
    """
    heads = [task.head for task in tasks]
    smooth = {None, "single_label_classification"}
    useless = {
        "packing": all(heads),
        "label_smoothing_factor": not any((head and head.problem) in smooth for head in heads),
    }
    for key, is_useless in useless.items():
        is_given = recipe.training.differs(key) if given is None else key in given
        if is_useless and is_given:
            raise InputError(
                f"{key} has no effect on the heads of these tasks", where=key, way_out="take it out"
            )


def check_metric(recipe: Recipe, tasks: list[Task]) -> None:
    """Refuse to look for the best state by what does not tell it."""
    rows = recipe.stage_rows
    scored = [dataclasses.replace(task, evaluation=task.evaluation[:rows]) for task in tasks]
    for changes in ({}, *(baseline.training for baseline in recipe.baselines)):
        training = recipe.with_training(changes).training
        if training.eval_steps:
            decide_by(training.metric_for_best_model, scored)
