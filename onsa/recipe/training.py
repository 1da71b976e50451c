"""The training keys, under the names that transformers gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from onsa.errors import InputError
from onsa.settings import Settings


class Training(Settings):
    """The training keys of transformers, under their own names."""

    learning_rate: float = Field(1e-4, gt=0)
    num_train_epochs: float = Field(2.0, gt=0, le=10_000)
    max_steps: int = Field(
        -1, ge=-1, le=10**8, description="optimizer steps per training; -1: by epochs"
    )
    per_device_train_batch_size: int = Field(8, ge=1)
    per_device_eval_batch_size: int = Field(32, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    lr_scheduler_type: Literal[
        "linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"
    ] = "linear"
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="learning rate of a block, as a share of the next one's above"
    )
    learning_rates: dict[str, float] = Field(
        {}, description="own rates of the parameters whose names fit a pattern"
    )
    weight_decay: float = Field(0.0, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_epsilon: float = Field(1e-8, gt=0)
    max_grad_norm: float = Field(1.0, ge=0, description="0: no clipping")
    label_smoothing_factor: float = Field(
        0.0, ge=0, lt=1, description="share of each target spread evenly over all tokens"
    )
    neftune_noise_alpha: float | None = Field(
        None, gt=0, description="noise on the embeddings while training, 5 to 15 (NEFTune)"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="of the model's own dropouts, in place of its config's"
    )
    max_length: int = Field(1024, ge=8, description="tokens of an example; longer ones are cut")
    truncation: Literal["right", "left"] = Field(
        "right", description="the end at which longer examples are cut"
    )
    packing: bool = Field(
        False, description="fill each row of a batch up to max_length with several examples"
    )
    gradient_checkpointing: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the arithmetic; the weights themselves stay float32"
    )
    save_minutes: float = Field(10.0, ge=0, description="between checkpoints inside one training")
    save_steps: int | None = Field(None, ge=1, description="checkpoint every so many steps instead")
    eval_steps: float | None = Field(
        None, gt=0, description="score every so many steps, or share of all, and keep the best"
    )
    metric_for_best_model: str = Field(
        "average",
        description="what the best is by: average, worst_task, a task's name, or TASK.MEASURE",
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="stop after so many scorings without a better one"
    )
    early_stopping_threshold: float = Field(
        0.0, ge=0, description="a score is better from so much more on, for the patience"
    )

    @property
    def to_the_end(self) -> Training:
        """The same without scores on the way."""
        return self.model_copy(update={key: _default(key) for key in BEST_STATE_KEYS})

    @field_validator("eval_steps")
    @classmethod
    def _whole_or_a_share(cls, steps: float | None) -> float | None:
        if steps is not None and steps >= 1 and steps != int(steps):
            raise ValueError("must be a whole number of steps, or a share of them below 1")
        return steps

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Training:
        if self.max_steps == 0:
            raise InputError("max_steps 0 trains nothing", way_out="give a number above 0, or -1")
        for key, decider in EITHER_OR:
            if self.differs(key) and self.differs(decider):
                raise InputError(f"{key} has no effect with {decider}", way_out="keep one of them")
        for key, decider in ONLY_WITH:
            if self.differs(key) and not self.differs(decider):
                raise InputError(
                    f"{key} has no effect without {decider}", way_out=f"write '{decider}: ...' too"
                )
        if self.lr_scheduler_type == "constant" and self.differs("warmup_ratio"):
            raise InputError(
                "warmup_ratio has no effect with lr_scheduler_type constant",
                way_out="take it out, or write constant_with_warmup",
            )
        return self


def parts_of_metric(metric: str, tasks: Iterable[str]) -> tuple[str, str] | None:
    """The task that `metric` names and the measure of it, empty for its score; None where it names
    no task. Names of tasks may have dots: the longest counts."""
    for task in sorted(tasks, key=len, reverse=True):
        measure = metric.removeprefix(f"{task}.")
        if metric == task or (measure and measure != metric):
            return task, "" if metric == task else measure
    return None


def _default(key: str) -> Any:
    return Training.model_fields[key].get_default(call_default_factory=True)


# Two keys for one thing: the second decides, and the first would be ignored without a word.
EITHER_OR = (("num_train_epochs", "max_steps"), ("save_minutes", "save_steps"))

# A key, and the one without which it has no effect.
ONLY_WITH = (
    ("metric_for_best_model", "eval_steps"),
    ("early_stopping_patience", "eval_steps"),
    ("early_stopping_threshold", "early_stopping_patience"),
)

# What the best state can be by, beside one task.
OVER_ALL = ("average", "worst_task")

# Of ways that train once; several trainings, or none, have no one best state.
BEST_STATE_KEYS = frozenset({"eval_steps", *(key for key, _ in ONLY_WITH)})
LENGTHS = ("num_train_epochs", "max_steps", "trained_tokens")
