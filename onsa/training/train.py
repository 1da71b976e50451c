"""One training: a start, some tasks, what is held; batches planned, the result kept, the proof."""

from __future__ import annotations

import dataclasses
import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from transformers import TrainerCallback

from onsa.choosing.choices import RateOf, rates
from onsa.data.batches import (
    Plan,
    padded_tokens,
    plan_batches,
    plan_epochs,
    plan_tokens,
    processed_tokens,
    rows_by_task,
    trained_tokens,
)
from onsa.data.encoded import Encoded
from onsa.data.encoding import Encoder
from onsa.isolation import Hold, held, prove_held
from onsa.masks import ParameterMask
from onsa.models.head_names import only_heads, without_heads
from onsa.models.loading import load_model
from onsa.models.saving import save_trained
from onsa.recipe.training import Training
from onsa.resources import PeakMemory
from onsa.training.best import BEST_FOLDER, BestState
from onsa.training.energy import Energy
from onsa.training.memory import training_fits
from onsa.training.noise import noisy_embeddings, set_dropout
from onsa.training.packing import pack_length, require_apart
from onsa.training.trainer import PlannedTrainer, make_trainer, run_trainer
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Run, Step
    from onsa.tasks import Task

CURVE_POINTS = 100
COUNTED = ("trained_tokens", "processed_tokens")  # of a training's facts, what it gives back too


def run_training(
    run: Run,
    name: str,
    *,
    start: Weights,
    tasks: Sequence[Task],
    function: Callable[..., dict[str, Any]] | None = None,
    keep_best: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """`train`, or a `function` made of it, as the step `name` of a run, by its recipe.

    `changes` go to the function, in place of the recipe's settings or beside them. `keep_best`:
    the recipe may ask for the best state of this training.
    """
    inputs = {"training": run.recipe.training, "seed": run.recipe.seed, **changes}
    rows = run.recipe.stage_rows
    if not keep_best or run.recipe.training.eval_steps is None:
        inputs["training"] = inputs["training"].to_the_end
        rows = 0  # of evaluation: asking for more of those must not train anew
    trained_on = [dataclasses.replace(task, evaluation=task.evaluation[:rows]) for task in tasks]
    result: dict[str, Any] = run.step(
        name, function or train, start=start, tasks=trained_on, encoder=run.encoder, **inputs
    )
    if run.history[-1].reused:
        run.progress.skip(result["processed_tokens"])
    return result


def train_mixed(run: Run, name: str, stage: str, trained_tokens: int | None, **changes: Any) -> Any:
    """The run's base trained on all its tasks at once, as the step `name` and the stage `stage`."""
    trained = run_training(
        run,
        name,
        start=run.base,
        tasks=run.tasks,
        token_budget=trained_tokens,
        keep_best=True,
        **changes,
    )
    run.stage(stage, trained["weights"])
    return trained["weights"]


def train(
    step: Step,
    *,
    start: Weights,
    tasks: Sequence[Task],
    encoder: Encoder,
    training: Training,
    seed: int,
    hold: ParameterMask | None = None,
    token_budget: int | None = None,
    keep_second_moment: bool = False,
    part_of_schedule: tuple[float, float] = (0.0, 1.0),
    hold_rule: str = "earlier cores",
    held_heads: Sequence[str] = (),
    load: Callable[[Weights], Any] = load_model,
    reshape: Callable[[Any], Any] | None = None,
    hold_added: Callable[[Any], ParameterMask | None] | None = None,
    steer: Callable[[PlannedTrainer], TrainerCallback] | None = None,
    rate_of: RateOf | None = None,
) -> dict[str, Any]:
    """Train all of `start` on the tasks, mixed, with the entries of `hold` held still.

    Args:
        token_budget: trained (reply) tokens to stop at, instead of `num_train_epochs`.
        keep_second_moment: keep Adam's bias-corrected second moment beside the weights.
        part_of_schedule: the stretch of one learning-rate schedule that this training is, from 0
            to 1; several trainings that share one do not warm up anew.
        hold_rule: what is held, in words, for the report. It is never a head.
        held_heads: the tasks whose heads are held still beside it, since they are finished.
        load: makes a model of `start`.
        reshape: makes of the loaded model the one that is trained, such as one with an adapter.
        hold_added: what of the reshaped model is held still; `hold` is of `start`.
        steer: makes a callback that changes what trains as the training goes on.
        rate_of: each parameter's learning rate, in place of the training's `layer_decay` and
            `learning_rates`.

    With `eval_steps` the evaluation rows of the tasks are scored on the way, and the best state is
    what comes back.

    Returns:
        `weights` (an `Adapter` where `reshape` made a model of PEFT), `trained_tokens`,
        `processed_tokens`, and `second_moment` where asked for.

    Raises:
        InputError: a loss or gradient that is not a number; the last good state is kept. Too
            little memory. A model that cannot be packed for, or has no dropout, where asked for.
    """
    corpus = {task.name: encoder.encode_all(task.train) for task in tasks}
    plan = make_plan(corpus, tasks, training, seed, token_budget)
    model = _model(load(start), training, seed, reshape)
    if hold is not None:
        hold = without_heads(hold)
    finished = only_heads(start.float_shapes, held_heads) if held_heads else None
    held_still = _together(hold, finished) if hold_added is None else hold_added(model)
    rows = [row for rows in corpus.values() for row in rows]
    fits = training_fits(step.name, training, rows, start)
    with fits, held(model, held_still) as hold_now, PeakMemory() as memory:
        rates_of = rate_of or rates(start.float_shapes, training)
        trainer = make_trainer(step, model, plan, corpus, training, seed, hold_now, start, rates_of)
        trainer.part_of_schedule = part_of_schedule
        if training.packing and any(row.target is None for row in rows):
            require_apart(trainer.model)
        if training.eval_steps is not None:
            trainer.keep_best(BestState(step, trainer, tasks, encoder, training))
        if steer is not None:
            trainer.add_callback(steer(trainer))
        trained_entries = count_trained(model, hold_now)
        noise = noisy_embeddings(model, training.neftune_noise_alpha)
        with Energy(step.run.energy) as energy, noise:
            run_trainer(trainer, step, processed_tokens(plan, corpus))
        added = hold_now.prove() if hold_now and hold_added else None
    result = _keep(step, trainer, start, keep_second_moment)
    step.note(
        **_facts(trainer),
        trained_entries=trained_entries,
        energy_kwh=energy.kwh,
        peak_memory_bytes=memory.bytes,
    )
    if trainer.best is not None:
        step.note(best_state=trainer.best.facts())
    proof = added if hold is None else prove_held(start, result["weights"], hold)
    if proof is not None:
        step.note(hold_rule=hold_rule, held=_require_kept(step, proof))
    if finished is not None:
        proof = _require_kept(step, prove_held(start, result["weights"], finished))
        step.note(held_heads={"tasks": list(held_heads), **proof})
    return {**result, **{key: step.facts[key] for key in COUNTED}}


def _model(model: Any, training: Training, seed: int, reshape: Callable[[Any], Any] | None) -> Any:
    """The loaded model as it is trained."""
    if training.dropout is not None:
        set_dropout(model, training.dropout)
    if reshape is not None:
        torch.manual_seed(seed)  # what it adds may start at random
        model = reshape(model)
    if training.gradient_checkpointing:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers 5 is renaming it
            model.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )
    return model


def _facts(trainer: PlannedTrainer) -> dict[str, Any]:
    """What a training was of, took, and showed on the way."""
    plan, corpus, training = trainer.plan, trainer.corpus, trainer.training
    done = plan[: trainer.state.global_step * training.gradient_accumulation_steps]
    return {
        "trained_tokens": trained_tokens(done, corpus),
        "processed_tokens": processed_tokens(done, corpus),
        "steps": trainer.state.global_step,
        "training_seconds": round(trainer.seconds, 2),
        "training_flops": trainer.flop_meter.of(padded_tokens(done, corpus, pack_length(training))),
        "optimizer_bytes": trainer.optimizer_bytes,
        "rows_by_task": rows_by_task(plan),
        "lost_tokens": {
            name: sum(row.lost_tokens for row in rows) for name, rows in corpus.items()
        },
        "curve": thin(trainer.curve),
    }


def _together(one: ParameterMask | None, other: ParameterMask | None) -> ParameterMask | None:
    return one | other if one is not None and other is not None else one or other


def _require_kept(step: Step, proof: dict[str, Any]) -> dict[str, Any]:
    if proof["changed"]:
        raise AssertionError(f"{step.name}: {proof['changed']} held entries changed")
    return proof


def count_trained(model: Any, hold: Hold | None) -> int:
    """Entries that training may move; a tied tensor counts once."""
    entries = sum(each.numel() for each in model.parameters() if each.requires_grad)
    return entries - (hold.partly_held if hold else 0)


def make_plan(
    corpus: dict[str, list[Encoded]],
    tasks: Sequence[Task],
    training: Training,
    seed: int,
    token_budget: int | None = None,
) -> Plan:
    """The batches that `train` would see."""
    weights = {task.name: task.weight for task in tasks}
    size = training.per_device_train_batch_size
    pack_to = pack_length(training)
    if token_budget is not None:
        return plan_tokens(corpus, weights, token_budget, size, seed, pack_to)
    if training.max_steps > 0:
        batches = training.max_steps * training.gradient_accumulation_steps
        return plan_batches(corpus, weights, batches, size, seed, pack_to)
    return plan_epochs(corpus, weights, training.num_train_epochs, size, seed, pack_to)


def thin(curve: dict[str, list[tuple[int, float, int]]]) -> dict[str, list[list[float]]]:
    """At most `CURVE_POINTS` points (trained tokens so far, mean loss) for each task."""
    return {task: _thinned(points) for task, points in curve.items()}


def _thinned(points: list[tuple[int, float, int]]) -> list[list[float]]:
    size = math.ceil(len(points) / CURVE_POINTS)
    thinned = []
    for at in range(0, len(points), size or 1):
        part = points[at : at + size]
        weight = sum(tokens for _, _, tokens in part)
        mean = sum(loss * tokens for _, loss, tokens in part) / max(weight, 1)
        thinned.append([part[-1][0], round(mean, 5)])
    return thinned


def _keep(step: Step, trainer: PlannedTrainer, start: Weights, moment: bool) -> dict[str, Any]:
    saved = save_trained(trainer.model, step.folder, start)
    whole = step.complete(saved) if isinstance(saved, Weights) else saved
    result: dict[str, Any] = {"weights": whole}
    if moment:
        result["second_moment"] = _second_moment(trainer, step.folder / "second_moment")
    for folder in (Path(trainer.args.output_dir), step.folder / BEST_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _second_moment(trainer: PlannedTrainer, folder: Path) -> Weights:
    """Adam's second moment, bias-corrected, under the names of the weights."""
    folder.mkdir(exist_ok=True)
    state = trainer.optimizer.state
    moments = {}
    for name, parameter in trainer.model.named_parameters():
        kept = state.get(parameter, {})
        if "exp_avg_sq" in kept:
            correction = 1 - trainer.args.adam_beta2 ** float(kept["step"])
            moments[name] = (kept["exp_avg_sq"] / correction).cpu().contiguous()
        else:
            moments[name] = torch.zeros_like(parameter, device="cpu")
    save_file(moments, folder / "model.safetensors")
    return Weights(folder)
