"""Tasks of EleutherAI's lm-evaluation-harness, with its own data, prompts and metrics.

Scored, never trained on. A row's score is one of the task's metrics on this row; all of them stand
among the figures over all rows, put together by the library's own functions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from onsa.data.example import Example
from onsa.data.requests import Request, requests_of
from onsa.errors import InputError
from onsa.tasks import Kind, Rows
from onsa.tasks._harness import library
from onsa.tasks._harness_rows import examples_of
from onsa.tasks._harness_scores import chosen_metric, measures, score_all
from onsa.tasks._harness_settings import LmEval, opened, split_metric


def load(settings: LmEval, base_folder: Path, seed: int) -> Rows:
    """The first rows that the task is scored on, each with what a model is asked about it.

    Raises:
        InputError: see `open_task`; or a setting does not fit the task.
    """
    settings = settings.model_copy(
        update={"include_path": _folder(settings.include_path, base_folder)}
    )
    task = opened(settings)
    settings = settings.model_copy(update={"metric": chosen_metric(task, settings.metric)})
    task.set_fewshot_seed(seed=settings.fewshot_seed)
    docs = task.eval_docs
    split = task.config.test_split or task.config.validation_split or "the rows"
    if settings.eval_rows is not None and settings.eval_rows > len(docs):
        raise InputError(
            f"eval_rows is {settings.eval_rows}, and there are {len(docs)}",
            way_out=f"ask for at most {len(docs)}, or leave eval_rows out for all",
        )
    examples = examples_of(task, settings)
    how = f"the first {len(examples):,} of {len(docs):,} rows of {split!r}"
    return Rows([], examples, split=how, settings=settings)


def how(settings: LmEval, examples: Sequence[Example]) -> str:
    """What the library would have to be told for the same figures."""
    task = opened(settings)
    shots = task.config.num_fewshot or 0
    text = "by the model's chat template" if settings.apply_chat_template else "as plain text"
    return (
        f"{settings.task} (version {task.VERSION}) of lm-evaluation-harness "
        f"{library().__version__}, {shots} examples before each question, {text}."
    )


def shown(reply: str, example: Example, settings: LmEval) -> str:
    """The choice that is likeliest by the metric's measure, the text, or the log-likelihood."""
    requests, answers = requests_of(example), json.loads(reply)
    if requests[0]["kind"] == "generate_until":
        return str(answers[0][0])
    if len(requests) == 1:
        logarithm = answers[0][0]
        return f"{logarithm if isinstance(logarithm, float) else logarithm[0]:.4f}"
    choices = [n for n, each in enumerate(requests) if each["context"]] or range(len(requests))
    metric = split_metric(settings.metric or "")[0]
    best = max(choices, key=lambda n: answers[n][0][0] / _size(requests[n], metric))
    return _words(requests[best], requests)


def _folder(named: str | None, base_folder: Path) -> str | None:
    if named is None:
        return None
    folder = (base_folder / Path(named).expanduser()).resolve()
    if not folder.is_dir():
        raise InputError("is no folder", where=f"include_path: {named}", way_out="check the path")
    return str(folder)


def _size(request: Request, metric: str) -> int:
    """What the metric divides a choice's log-likelihood by."""
    text = request["continuation"].strip()
    sizes = {"acc_norm": len(text), "acc_bytes": len(text.encode())}
    return max(1, sizes.get(metric, 1))


def _words(request: Request, others: Sequence[Request]) -> str:
    """A choice: what follows the question, or where all are followed by the same, the question."""
    if len({each["continuation"] for each in others}) > 1:
        return request["continuation"].strip()
    context = request["context"]
    return context if isinstance(context, str) else str(context["messages"][-1]["content"])


KIND = Kind(
    name="lm_eval",
    summary="A task of lm-evaluation-harness, scored by its own metrics; never trained on.",
    settings=LmEval,
    load=load,
    metric="accuracy",
    mode="requests",
    score_all=score_all,
    measures=measures,
    how=how,
    shown=shown,
    named="task",
    trains=False,
)
