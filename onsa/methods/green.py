"""GreenTrainer: the backward pass within a budget of FLOPs, spent on the tensors that matter most.

Huang et al. 2024, Towards Green AI in Fine-tuning Large Language Models via Adaptive
Backpropagation, ICLR 2024, arXiv:2309.13192.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from onsa.choosing.flops import Cost, Work, backward_cost, best_choice, forward_cost, step_costs
from onsa.data.encoded import UNTRAINED
from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.losses import token_losses
from onsa.methods import method
from onsa.models.head_names import owner_of
from onsa.run import Run, Step
from onsa.settings import Budgeted
from onsa.training.steering import TrainOnly, let_train
from onsa.training.train import train, train_mixed
from onsa.training.trainer import PlannedTrainer
from onsa.weights import Weights


class Green(Budgeted):
    rho: float = Field(
        0.5, gt=0, le=1, description="FLOPs of a step, as a share of full training's"
    )
    choose_every: float = Field(
        1.0, gt=0, description="passes over the data after which tensors are chosen anew"
    )


@method("green", settings=Green, paper="arXiv:2309.13192")
def green(run: Run, settings: Green) -> Weights:
    """Train the tensors that matter most within a share of full training's FLOPs, chosen anew."""
    return train_mixed(
        run,
        "green",
        "green",
        settings.trained_tokens,
        function=train_green,
        rho=settings.rho,
        choose_every=settings.choose_every,
    )


def train_green(
    step: Step, *, start: Weights, rho: float, choose_every: float, **inputs: Any
) -> dict[str, Any]:
    """`train`, with the tensors that train chosen by importance and cost, again and again."""
    choices = Choices(step.folder / "choices.json")

    def steer(trainer: PlannedTrainer) -> TrainOnly:
        return Chooser(trainer, choices, rho, choose_every)

    result = train(step, start=start, steer=steer, **inputs)
    ever = {name for choice in choices.made.values() for name in choice["tensors"]}
    step.note(
        trained_entries=sum(math.prod(start.float_shapes[name]) for name in ever),
        choices=[{"step": int(at), **choice} for at, choice in choices.made.items()],
    )
    return result


class Choices:
    """What was chosen at which step, on disk: a resumed training needs what it trained before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: dict[str, dict[str, Any]] = read_json(path) if path.is_file() else {}

    def keep(self, step: int, choice: dict[str, Any]) -> None:
        self.made[str(step)] = choice
        write_json(self.path, self.made)


class Chooser(TrainOnly):
    """Chooses every so many steps what trains, on the first batch of the step."""

    def __init__(
        self, trainer: PlannedTrainer, choices: Choices, rho: float, choose_every: float
    ) -> None:
        super().__init__(trainer.model, self.chosen_at)
        self.trainer = trainer
        self.choices = choices
        self.rho = rho
        arguments = trainer.args
        rows = sum(len(rows) for rows in trainer.corpus.values())
        a_step = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
        self.every = max(1, round(choose_every * rows / a_step))

    def chosen_at(self, step: int) -> set[str]:
        at = step - step % self.every
        if str(at) not in self.choices.made:
            assert at == step, f"what was chosen at step {at} is lost"
            self.choices.keep(step, self._choose(step))
        return set(self.choices.made[str(at)]["tensors"])

    def _choose(self, step: int) -> dict[str, Any]:
        batch = self.trainer.batch_at(step * self.trainer.args.gradient_accumulation_steps)
        # Heads always train and cost next to nothing: no budget is spent on them.
        shapes = {n: tuple(e.shape) for n, e in self.candidates.items() if owner_of(n) is None}
        costs = step_costs(shapes, self.trainer.model.config, work_of(batch))
        budget = backward_budget(costs, self.rho)
        let_train(self.candidates, self.candidates)
        importance = measure_importance(self.trainer, batch)
        worth = [importance.get(cost.name, 0.0) for cost in costs]
        chosen = best_choice(costs, worth, budget)
        if not any(chosen):
            raise InputError(
                f"rho {self.rho} leaves too little for any one tensor that helps",
                way_out="raise rho",
            )
        return _described(costs, chosen)


def work_of(batch: Mapping[str, Tensor]) -> Work:
    rows, length = batch["input_ids"].shape
    if "head" in batch:  # which costs next to nothing
        return Work(rows, length, 0)
    columns = (batch["labels"][:, 1:] != UNTRAINED).any(dim=0).sum()
    return Work(rows, length, rows * int(columns))


def backward_budget(costs: list[Cost], rho: float) -> float:
    """Multiply-adds left for the backward pass where a whole step may cost `rho` of a full one.

    Raises:
        InputError: the forward pass alone costs more.
    """
    forward, backward = forward_cost(costs), backward_cost(costs)
    share = forward / (forward + backward)
    if rho <= share:
        raise InputError(
            f"rho {rho} leaves nothing to train with: the forward pass alone costs {share:.2f}",
            way_out=f"give a rho above {share:.2f}; 0.5 halves the FLOPs",
        )
    return rho * (forward + backward) - forward


def _described(costs: list[Cost], chosen: list[bool]) -> dict[str, Any]:
    forward, backward = forward_cost(costs), backward_cost(costs)
    tensors = [cost.name for cost, taken in zip(costs, chosen, strict=True) if taken]
    share = (forward + backward_cost(costs, chosen)) / (forward + backward)
    return {"flops_share": round(share, 4), "tensors": tensors}


def measure_importance(trainer: PlannedTrainer, batch: Mapping[str, Tensor]) -> dict[str, float]:
    """I_k = -Σ (∂L/∂w)·Δw, over the largest |I|: Δw of one optimizer step on the batch, the
    gradient taken after it. Weights, optimizer and random state are afterwards as they were."""
    model, optimizer = trainer.model, _bare(trainer.optimizer)
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    with _as_before(list(trained.values()), optimizer, trainer.args.device) as before:
        _gradients(trainer, batch)
        if trainer.args.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(trained.values(), trainer.args.max_grad_norm)
        optimizer.step()
        model.zero_grad()
        _gradients(trainer, batch)
        found = {
            name: -float((each.grad * (each.detach() - old)).sum())
            for (name, each), old in zip(trained.items(), before, strict=True)
            if each.grad is not None
        }
    largest = max(map(abs, found.values()), default=0.0) or 1.0
    return {name: worth / largest for name, worth in found.items()}


def _gradients(trainer: PlannedTrainer, batch: Mapping[str, Tensor]) -> None:
    with trainer.compute_loss_context_manager():
        losses, _ = token_losses(trainer.model, dict(batch))
    losses.mean().backward()


def _bare(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer itself: accelerate's wrapper leaves steps out while gradients accumulate."""
    bare: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return bare


@contextmanager
def _as_before(
    parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer, device: torch.device
) -> Iterator[list[Tensor]]:
    """The values before, which stand again afterwards, like optimizer and random numbers.

    Within, the learning rate is the highest of the schedule: warm-up begins at 0.
    """
    before = [each.detach().clone() for each in parameters]
    state = {each: _copied(kept) for each, kept in optimizer.state.items()}
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield before
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    optimizer.state.clear()
    optimizer.state.update(state)
    with torch.no_grad():
        for parameter, old in zip(parameters, before, strict=True):
            parameter.copy_(old)
            parameter.grad = None


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each.clone() if torch.is_tensor(each) else each for key, each in state.items()}
