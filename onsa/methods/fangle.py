"""The layers that one full fine-tune turned most, or least, trained from the base again.

Ye et al. 2023, Partial Fine-Tuning: A Successor to Full Fine-Tuning for Vision Transformers,
arXiv:2312.15681: the fine-tuned angle (FAngle). Its rule of selection is a setting here.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from onsa.choosing.angles import measure_angles
from onsa.data.split import sample_rows
from onsa.errors import InputError
from onsa.masks import ParameterMask
from onsa.methods import method
from onsa.models.places import place_of
from onsa.run import Run
from onsa.settings import Budgeted, Share
from onsa.training.train import run_training, train_mixed
from onsa.weights import Weights

Role = Literal["attention", "mlp"]
Layer = tuple[str, str]  # block, role


class Fangle(Budgeted):
    direction: Literal["largest", "smallest"] = Field(
        "largest", description="which angles are trained"
    )
    share: Share = Field(0.5, description="of the layers; a layer is a block's attention, or mlp")
    roles: list[Role] = Field(["attention", "mlp"], min_length=1, description="what may be chosen")
    per_role: bool = Field(True, description="the share of attention and of mlp, each for itself")
    probe_share: float = Field(
        1.0, gt=0, le=1, description="share of each task's rows that the full fine-tune sees"
    )

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Fangle:
        if len(set(self.roles)) == 1 and self.differs("per_role"):
            raise InputError(
                "per_role has no effect with a single role", way_out="take per_role out"
            )
        return self


def epochs(settings: Fangle, num_train_epochs: float) -> float:
    """Passes over the data, the probe's with them."""
    return num_train_epochs * (1 + settings.probe_share)


@method("fangle", settings=Fangle, paper="arXiv:2312.15681", epochs=epochs)
def fangle(run: Run, settings: Fangle) -> Weights:
    """Train the layers with the largest or smallest angle in a full fine-tune, from the base."""
    probe_budget, budget = _budgets(settings)
    # Named and made as the method full's: a run that has the one need not train the other.
    probe = run_training(
        run,
        "full",
        start=run.base,
        tasks=[sample_rows(task, settings.probe_share, run.recipe.seed) for task in run.tasks],
        token_budget=probe_budget,
    )
    run.stage("full fine-tune", probe["weights"])
    angles = run.step("angles", measure_angles, base=run.base, tuned=probe["weights"])
    chosen = choose_layers(_layers(angles, settings), settings)
    _tell(run, angles, chosen, settings)
    hold = ~ParameterMask.of_names(run.base.float_shapes, _tensors(run.base, chosen))
    rule = "layers not chosen by their angle"
    return train_mixed(run, "fangle", "chosen layers", budget, hold=hold, hold_rule=rule)


def _budgets(settings: Fangle) -> tuple[int | None, int | None]:
    """Trained tokens of the probe and of the training after it."""
    if settings.trained_tokens is None:
        return None, None
    whole = settings.trained_tokens
    probe = max(1, round(whole * settings.probe_share / (1 + settings.probe_share)))
    return probe, max(1, whole - probe)


def _layers(angles: Mapping[str, Any], settings: Fangle) -> dict[Layer, float]:
    """The layers that may be chosen, with their angles.

    Raises:
        InputError: the model has none of the given roles within its blocks.
    """
    layers = {
        (entry["block"], entry["role"]): entry["angle"]
        for entry in angles["layers"]
        if entry["role"] in settings.roles and entry["block"].isdigit()
    }
    if not layers:
        raise InputError(
            f"the model has no {' or '.join(settings.roles)} by its tensors' names",
            way_out="choose what to train by the method partial's patterns",
        )
    return layers


def choose_layers(layers: Mapping[Layer, float], settings: Fangle) -> list[Layer]:
    """The share of the layers with the largest or smallest angles, at least one of each kind."""
    kinds: list[str | None] = [None]
    if settings.per_role:
        kinds = [*sorted({role for _, role in layers})]
    chosen: list[Layer] = []
    for kind in kinds:
        among = [layer for layer in layers if kind in (None, layer[1])]
        sign = -1 if settings.direction == "largest" else 1
        # Of equal angles the lower block first, attention before mlp.
        among.sort(key=lambda layer: (sign * layers[layer], int(layer[0]), layer[1]))
        chosen += among[: max(1, round(settings.share * len(among)))]
    return sorted(chosen, key=lambda layer: (int(layer[0]), layer[1]))


def _tensors(base: Weights, layers: Sequence[Layer]) -> list[str]:
    places = {name: place_of(name) for name in base.float_shapes}
    return [name for name, place in places.items() if (place.block, place.role) in layers]


def _tell(run: Run, angles: Mapping[str, Any], chosen: Sequence[Layer], settings: Fangle) -> None:
    """The angles, and what was chosen by them, for the report."""
    found_here = {**angles, "chosen": [list(layer) for layer in chosen]}
    run.find(angles={**run.findings.get("angles", {}), run.path: found_here})
    for role in settings.roles:
        blocks = [block for block, kind in chosen if kind == role]
        found = [e["angle"] for e in angles["layers"] if e["role"] == role]
        run.warn(
            f"{role}: {settings.direction} angles in blocks {', '.join(blocks) or 'none'}; all "
            f"lie from {min(found):.2e} to {max(found):.2e} rad, median "
            f"{statistics.median(found):.2e}"
        )
