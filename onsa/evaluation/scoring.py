"""Steps of a run that score one set of weights on the tasks' held-out examples.

The arithmetic is that of the training's precision.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onsa.adapter import Tuned
from onsa.data.encoding import Encoder
from onsa.evaluation.scorer import Scorer
from onsa.models.classifier import Classifier, load_classifier
from onsa.models.device import compute_dtype, device
from onsa.models.loading import load_model
from onsa.recipe.training import Training
from onsa.tasks import VERDICTS, Task
from onsa.training.memory import scoring_fits

if TYPE_CHECKING:
    from onsa.run import Run, Step


def score(
    step: Step,
    *,
    weights: Tuned | Classifier,
    tasks: Sequence[Task],
    encoder: Encoder,
    training: Training,
    rows: int | None = None,
) -> dict[str, Any]:
    """Score `weights` on the first `rows` evaluation examples of each task.

    Returns, for each task: `scores` and `replies` by example (tasks that are scored by their loss
    have the loss of each example as score).
    """
    dtype = compute_dtype(training.precision)
    if isinstance(weights, Classifier):
        model = load_classifier(weights, dtype, encoder.tokenizer.pad_token_id)
    else:
        model = load_model(weights, dtype)
    scorer = Scorer(model.to(device()).eval(), encoder, training.per_device_eval_batch_size)
    total = sum(_work(task, len(task.evaluation[:rows])) for task in tasks)
    folder = step.run.folder / VERDICTS
    started = time.monotonic()
    fits = scoring_fits(step.name, training)
    with fits, step.progress.track(step.name, total, "examples") as advance:
        found = {
            task.name: scorer.score(task, task.evaluation[:rows], advance, folder) for task in tasks
        }
    step.note(scoring_seconds=round(time.monotonic() - started, 2))
    return found


def _work(task: Task, rows: int) -> int:
    """Of how many rows a person is told: those that need a reply, and those whose score costs."""
    return task.samples * rows * (2 if task.scoring_takes_time else 1)


def held_out_loss(
    step: Step,
    *,
    weights: Tuned,
    tasks: Sequence[Task],
    encoder: Encoder,
    training: Training,
) -> dict[str, float]:
    """The mean loss per reply token of `weights` on each task's evaluation rows."""
    model = load_model(weights, compute_dtype(training.precision)).to(device()).eval()
    scorer = Scorer(model, encoder, training.per_device_eval_batch_size)
    total = sum(len(task.evaluation) for task in tasks)
    fits = scoring_fits(step.name, training)
    with fits, step.progress.track(step.name, total, "examples") as advance:
        losses = {task.name: scorer.task_losses(task, advance) for task in tasks}
    return {name: statistics.fmean(rows) for name, rows in losses.items()}


def scoring_settings(training: Training) -> Training:
    """Only what touches scores: a changed learning rate must not score the base anew."""
    kept = training.model_dump(include={"per_device_eval_batch_size", "precision", "max_length"})
    return Training(**kept)


def run_scoring(
    run: Run,
    name: str,
    *,
    weights: Tuned | Classifier,
    tasks: Sequence[Task],
    rows: int | None = None,
) -> dict[str, Any]:
    """`score` as the step `name` of a run."""
    # Without their training rows, which no score depends on.
    scored_on = [dataclasses.replace(task, train=(), weight=1.0) for task in tasks]
    training = scoring_settings(run.recipe.training)
    return run.step(
        name, score, weights=weights, tasks=scored_on, encoder=run.encoder, training=training,
        rows=rows,
    )  # fmt: skip
