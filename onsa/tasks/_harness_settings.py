"""The settings of a task of lm-evaluation-harness, and the task that they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from onsa.errors import InputError
from onsa.settings import Settings
from onsa.tasks import Mode
from onsa.tasks._harness import library, open_task

RowCount = Annotated[int, Field(ge=1, strict=True)]

FEWSHOT_SEED = 1234  # the library's own
# Metrics that are shares of something, by their names; others may have any range.
SHARE = re.compile(r"(acc|accuracy|exact_match|em|f1|pass|prompt_level)(?![a-z]).*")

# Metrics of all rows together that are figures of one row as well, which is all of them then.
OF_ONE_ROW = ("bits_per_byte", "bleu", "chrf", "chrf++", "ter")


class LmEval(Settings):
    task: str = Field(description="its name there, which may also stand in 'kind: lm_eval:name'")
    metric: str | None = Field(
        None, description="that scores a row, such as acc_norm; else the first that can"
    )
    num_fewshot: int | None = Field(
        None, ge=0, le=1000, strict=True, description="examples before each question"
    )
    fewshot_seed: int = Field(FEWSHOT_SEED, ge=0, description="which examples those are")
    eval_rows: RowCount | None = Field(None, description="the first so many rows; else all")
    max_new_tokens: RowCount | None = Field(
        None, description="longest reply that is generated; else what the task says"
    )
    apply_chat_template: bool = Field(
        False, description="ask by the model's chat template; else in plain text"
    )
    fewshot_as_multiturn: bool = Field(
        True, description="with the chat template, the examples are turns of their own"
    )
    system_instruction: str | None = Field(None, description="stands before everything")
    include_path: str | None = Field(
        None, description="folder with task files of your own (YAML, as the library has them)"
    )
    trust_remote_code: bool = Field(
        False, description="run the Python code that comes with these files, or with a metric"
    )

    @property
    def mode(self) -> Mode:
        return "requests"

    @property
    def metric_name(self) -> str:
        """As reports have it: with its filter where the task has several; the mean of what is no
        mean in the library says so."""
        task, (metric, filtered) = opened(self), split_metric(self.metric or "")
        name = label(metric, filtered, filters_of(task))
        return name if is_mean(task.aggregation().get(metric)) else f"{name} by row"

    @property
    def higher_is_better(self) -> bool:
        return bool(opened(self).higher_is_better().get(split_metric(self.metric or "")[0], True))

    @property
    def is_share(self) -> bool:
        return SHARE.fullmatch(split_metric(self.metric or "")[0]) is not None


def opened(settings: LmEval) -> Any:
    try:
        return open_task(
            settings.task,
            settings.include_path,
            settings.trust_remote_code,
            settings.num_fewshot,
        )
    except InputError as fault:
        where = fault.where or f"lm_eval:{settings.task}"
        raise InputError(fault.what, where=where, way_out=fault.way_out) from None


def filters_of(task: Any) -> list[str]:
    return [each["name"] for each in task.config.filter_list or []] or ["none"]


def split_metric(metric: str) -> tuple[str, str]:
    """A metric and the filter that replies go through before it."""
    name, _, filtered = metric.partition(",")
    return name, filtered


def label(metric: str, filtered: str, filters: Sequence[str]) -> str:
    return metric if len(filters) == 1 else f"{metric} ({filtered})"


def is_mean(aggregate: Any) -> bool:
    """Whether the library takes the mean over rows."""
    own = library("api.metrics")
    return aggregate in (own.mean, own.nanmean, np.mean, np.nanmean)
