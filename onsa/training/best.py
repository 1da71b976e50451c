"""Scores while training, the best state kept on disk, and a stop where nothing gets better.

A scoring draws no random numbers that the training would have drawn, and what it found is in every
checkpoint: a training that is killed and resumed scores, keeps and stops like an undisturbed one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from onsa.data.encoding import Encoder
from onsa.evaluation.scorer import Scorer
from onsa.files import write_beside
from onsa.models.device import compute_dtype
from onsa.progress import no_advance
from onsa.recipe.training import Training
from onsa.training.deciding import Found, decide_by, mean_scores
from onsa.training.memory import scoring_fits
from onsa.training.trainer import trained_parameters

if TYPE_CHECKING:
    from onsa.run import Step
    from onsa.tasks import Task
    from onsa.training.trainer import PlannedTrainer

BEST_FOLDER = "best"  # in the folder of a step that is not done


class BestState(TrainerCallback):
    """Scores the model every so many steps and keeps what trains of the best state so far.

    `found` lists the scorings: `step`, `trained_tokens`, `scores` by task, and `value`, which is
    the better the higher it is, and None where what decides is not defined.
    """

    def __init__(
        self,
        step: Step,
        trainer: PlannedTrainer,
        tasks: Sequence[Task],
        encoder: Encoder,
        training: Training,
    ) -> None:
        assert training.eval_steps is not None
        self.step = step
        self.folder = step.folder / BEST_FOLDER
        self.trainer = trainer
        self.model = model = trainer.model
        self.trained = trained_parameters(model)
        self.tasks = tasks
        self.decider = decide_by(training.metric_for_best_model, tasks)
        self.scorer = Scorer(model, encoder, training.per_device_eval_batch_size)
        self.training = training
        share = training.eval_steps
        steps = trainer.args.max_steps
        self.every = int(share) if share >= 1 else max(1, round(share * steps))
        self.found: list[dict[str, Any]] = []
        self.best = self.best_in_checkpoint = -1  # steps
        self.seconds = 0.0

    def due(self, step: int, steps: int) -> bool:
        """Whether it is time to score; the end always is."""
        return step % self.every == 0 or step == steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        if not self.due(state.global_step, state.max_steps):
            return
        started = time.monotonic()
        found = self._score_all()
        self.seconds += time.monotonic() - started
        self._enter(state.global_step, found)
        if self._waited_enough():
            control.should_training_stop = True

    def _score_all(self) -> Found:
        """Scores and replies of each task's rows; the model and all random numbers stay as they
        are."""
        place = self.model.device
        dtype = compute_dtype(self.training.precision)
        was_training = [module for module in self.model.modules() if module.training]
        with ExitStack() as stack:
            stack.enter_context(scoring_fits(self.step.name, self.training))
            stack.enter_context(torch.random.fork_rng([place] if place.type == "cuda" else []))
            stack.enter_context(torch.autocast(place.type, dtype, enabled=dtype != torch.float32))
            self.model.eval()
            try:
                return {
                    task.name: self.scorer.score(task, task.evaluation, no_advance)
                    for task in self.tasks
                }
            finally:
                for module in was_training:
                    module.training = True

    def _enter(self, step: int, found: Found) -> None:
        best = self._value_at(self.best)
        scores, value = mean_scores(self.tasks, found), self._value(found)
        entry = {"step": step, "trained_tokens": self.trainer.seen_tokens}
        self.found.append({**entry, "scores": scores, "value": value})
        # As long as nothing is defined, the newest state: a training without scorings ends in it.
        if best is None or (value is not None and value > best):
            self._keep(step)
        said = {**scores, **self._figure(value)}
        shown = ", ".join(f"{name} {score:.4g}" for name, score in said.items())
        self.step.progress.say(f"{self.step.name}: step {step}: {shown}")

    def _value(self, found: Found) -> float | None:
        return self.decider.value(found)

    def _figure(self, value: float | None) -> dict[str, float]:
        """What decided, by its name, as the report counts it; nothing where that is a score."""
        figure = self.decider.figure
        if figure is None or value is None:
            return {}
        return {figure.metric: value if figure.higher_is_better else -value}

    def _value_at(self, step: int) -> float | None:
        return next((each["value"] for each in self.found if each["step"] == step), None)

    def _waited_enough(self) -> bool:
        """Whether the last scorings were none better by the threshold than all before them."""
        patience = self.training.early_stopping_patience
        if patience is None:
            return False
        best, waited = -float("inf"), 0
        for each in self.found:
            value = -float("inf") if each["value"] is None else each["value"]
            better = value > best + self.training.early_stopping_threshold
            best, waited = (value, 0) if better else (best, waited + 1)
        return waited >= patience

    def _keep(self, step: int) -> None:
        """Keep the state of now, and that of the newest checkpoint, which may be gone on from."""
        self.folder.mkdir(exist_ok=True)
        with write_beside(self._file(step)) as beside:
            kept = {name: each.detach().contiguous() for name, each in self.trained.items()}
            save_file(kept, beside)
        for path in self.folder.glob("*.safetensors"):
            if path not in (self._file(step), self._file(self.best_in_checkpoint)):
                path.unlink()
        self.best = step

    def _file(self, step: int) -> Path:
        return self.folder / f"{step}.safetensors"

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to know; the checkpoint is then the newest."""
        self.best_in_checkpoint = self.best
        return {"found": self.found, "best": self.best, "seconds": self.seconds}

    def go_on(self, state: dict[str, Any]) -> None:
        """Be as a checkpoint says."""
        self.found, self.seconds = list(state["found"]), state["seconds"]
        self.best = self.best_in_checkpoint = state["best"]
        assert self.best < 0 or self._file(self.best).is_file(), "the best state is lost"

    @torch.no_grad()
    def put_back(self) -> None:
        """Give the model its best state."""
        kept = load_file(self._file(self.best))
        for name, parameter in self.trained.items():
            parameter.copy_(kept[name])

    def facts(self) -> dict[str, Any]:
        """For the report: every scoring, the step that was kept, where it stopped."""
        figure = self.decider.figure
        return {
            "metric": self.decider.metric,
            "figure": dataclasses.asdict(figure) if figure else None,
            "rows": {task.name: len(task.evaluation) for task in self.tasks},
            "points": [self._point(each) for each in self.found],
            "best_step": self.best,
            "last_step": self.trainer.state.global_step,
            "planned_steps": self.trainer.args.max_steps,
            "scoring_seconds": round(self.seconds, 2),
        }

    def _point(self, found: dict[str, Any]) -> dict[str, Any]:
        kept = {key: found[key] for key in ("step", "trained_tokens", "scores")}
        return {**kept, "figures": self._figure(found["value"])}
