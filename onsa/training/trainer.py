"""The loop of a training: `transformers.Trainer` on batches that were planned beforehand.

This is the only file that names the Trainer. What it adds: logits only where tokens are trained, a
loss curve for each task, held entries put back, learning rates by parameter, checkpoints that are
whole or not there, and a stop at the first loss that is not a number.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, get_scheduler
from transformers.utils.logging import disable_progress_bar

from onsa.choosing.choices import RateOf
from onsa.data.batches import Plan
from onsa.data.encoded import Encoded
from onsa.errors import InputError
from onsa.files import read_json, write_json
from onsa.isolation import Hold
from onsa.losses import token_losses, trained_count
from onsa.models.device import compute_dtype
from onsa.models.saving import save_trained
from onsa.progress import no_advance
from onsa.recipe.training import BEST_STATE_KEYS, Training
from onsa.training.collators import collator, weights_of_losses
from onsa.training.flop_meter import FlopMeter
from onsa.training.packing import Collate
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.run import Step
    from onsa.training.best import BestState

TRAINED_FILE = "trained.safetensors"  # of a model of PEFT, in a checkpoint
CHECKPOINT_MARK = "onsa.json"  # written last: a checkpoint without it was cut off

disable_progress_bar()  # ours shows the time left


class PlannedTrainer(Trainer):
    """The Trainer on a planned order, with the loss of each task kept apart."""

    def __init__(
        self,
        *,
        plan: Plan,
        corpus: dict[str, list[Encoded]],
        training: Training,
        step: Step,
        start: Weights,
        rate_of: RateOf | None,
        collate: Collate,
        **kw: Any,
    ):
        super().__init__(train_dataset=_Rows(plan, corpus), **kw)
        self.collate = collate
        self.start = start
        self.rate_of = rate_of
        self.plan = plan
        self.corpus = corpus
        self.training = training
        self.step_name = step.name
        self.last_good = step.folder / "last_good"
        self.curve: dict[str, list[tuple[int, float, int]]] = {name: [] for name in corpus}
        self.seen_tokens = 0
        self.part_of_schedule = (0.0, 1.0)
        self.flop_meter = FlopMeter(self.args.max_steps)
        self.seconds = 0.0  # in the loop, over all its beginnings
        self.best: BestState | None = None
        self.model_accepts_loss_kwargs = True  # the loss is divided by all tokens of a step

    def keep_best(self, best: BestState) -> None:
        """Score on the way, and end in the best state."""
        self.best = best
        self.add_callback(best)
        self.flop_meter.counted_steps.add(0)  # whatever comes, the first step is carried out

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer, its parameters in groups by their learning rates."""
        optimizer = super().create_optimizer(model)
        if self.rate_of is not None:
            names = {each: name for name, each in self.model.named_parameters()}
            optimizer.param_groups = split_by_rate(optimizer.param_groups, names, self.rate_of)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of which this training is a part, begun where the part begins."""
        start, end = self.part_of_schedule
        whole = max(num_training_steps, round(num_training_steps / (end - start)))
        # warmup_steps are of this training's length; the whole schedule warms up in proportion.
        warmup = round(self.args.warmup_steps * whole / num_training_steps)
        optimizer = optimizer if optimizer is not None else self.optimizer
        schedule = get_scheduler(self.args.lr_scheduler_type, optimizer, warmup, whole)
        offset = round(start * whole)
        factors: list[Callable[[int], float]] = [
            partial(_later, factor, offset) for factor in schedule.lr_lambdas
        ]
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return self.lr_scheduler

    def get_train_dataloader(self) -> Any:
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=_order_of(self.plan),
            collate_fn=self.collate,
        )
        return self.accelerator.prepare(loader)

    def batch_at(self, number: int) -> dict[str, Any]:
        """A batch of the plan, where the model is."""
        rows = [self.train_dataset[index] for index in _order_of(self.plan)[number]]
        return dict(self._prepare_inputs(self.collate(rows)))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """All that trains, for a model of PEFT, whose own files leave out reparametrisations.

        To write those files PEFT computes them, with dropout: that would change what is drawn next.
        """
        if not hasattr(self.model, "peft_config"):
            super()._save(output_dir, state_dict)
            return
        assert output_dir is not None
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        trained = trained_parameters(self.model)
        save_file(
            {name: each.contiguous() for name, each in trained.items()}, folder / TRAINED_FILE
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not hasattr(self.model, "peft_config"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        kept = load_file(Path(resume_from_checkpoint) / TRAINED_FILE)
        with torch.no_grad():
            for name, parameter in trained_parameters(self.model).items():
                parameter.copy_(kept[name])

    def training_step(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        with self.flop_meter.counting(self.state.global_step, inputs["input_ids"].numel()):
            return super().training_step(model, inputs, *more, **named)

    @property
    def optimizer_bytes(self) -> int:
        """What the optimizer keeps about the parameters."""
        states = self.optimizer.state.values()
        kept = (each for state in states for each in state.values() if torch.is_tensor(each))
        return sum(each.numel() * each.element_size() for each in kept)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        losses, owners = token_losses(model, inputs, self.args.label_smoothing_factor)
        self._record(losses.detach(), owners)
        if "weights" in inputs:
            losses = losses * weights_of_losses(inputs)
        items = num_items_in_batch if num_items_in_batch is not None else losses.numel()
        return losses.sum() / items

    def _get_num_items_in_batch(self, batch_samples: Any, device: Any) -> torch.Tensor:
        """What the loss of a step is divided by. The Trainer's own count takes every label for one
        of tokens, of which the first is not predicted (transformers 5.23)."""
        return torch.tensor(sum(map(trained_count, batch_samples)), device=device)

    def _record(self, losses: torch.Tensor, owners: torch.Tensor) -> None:
        for number, task in enumerate(self.corpus):
            mine = losses[owners == number]
            if mine.numel() == 0:
                continue
            mean = float(mine.mean())
            if not math.isfinite(mean):
                raise self._broken(f"the loss of task {task!r} is {mean}")
            self.curve[task].append((self.seen_tokens + losses.numel(), mean, mine.numel()))
        self.seen_tokens += losses.numel()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            raise self._broken(f"the gradient's norm is {float(norm)}")
        return norm

    def _broken(self, what: str) -> InputError:
        """Keep the weights, which the broken batch has not reached, and say where it broke."""
        saved = save_trained(self.model, self.last_good, self.start)
        at = self.state.global_step * self.args.gradient_accumulation_steps
        batch = self.plan[min(at, len(self.plan) - 1)]
        tasks = ", ".join(sorted({task for task, _ in batch}))
        return InputError(
            f"{what} at optimizer step {self.state.global_step + 1} (batch of {tasks})",
            where=self.step_name,
            way_out=f"lower learning_rate or mend the data; last good state: {saved.folder}",
        )


def trained_parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def split_by_rate(
    groups: list[dict[str, Any]], names: Mapping[Any, str], rate_of: RateOf
) -> list[dict[str, Any]]:
    """Parameter groups of an optimizer, split where `rate_of` gives other learning rates."""
    split: dict[tuple[int, float], dict[str, Any]] = {}
    for number, group in enumerate(groups):
        for each in group["params"]:
            rate = rate_of(names[each], group["lr"])
            own = split.setdefault((number, rate), {**group, "lr": rate, "params": []})
            own["params"].append(each)
    return list(split.values())


def _later(factor: Any, offset: int, step: int) -> float:
    return float(factor(step + offset))


class _Rows(torch.utils.data.Dataset):
    """The rows of a plan, in its order."""

    def __init__(self, plan: Plan, corpus: dict[str, list[Encoded]]) -> None:
        numbers = {task: number for number, task in enumerate(corpus)}
        self.rows = [(numbers[task], corpus[task][row]) for batch in plan for task, row in batch]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, Encoded]:
        return self.rows[index]


def _order_of(plan: Plan) -> list[list[int]]:
    """The plan's batches as indices into `_Rows`."""
    order, at = [], 0
    for batch in plan:
        order.append(list(range(at, at + len(batch))))
        at += len(batch)
    return order


class _Callback(TrainerCallback):
    """Puts held entries back, moves the progress bar, asks for checkpoints."""

    def __init__(self, hold: Hold | None, training: Training, advance: Any) -> None:
        self.hold = hold
        self.training = training
        self.advance = advance
        self.began = self.saved = time.monotonic()
        self.trainer: PlannedTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        self.began = time.monotonic()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        if self.hold is not None:
            self.hold.put_back()

    def on_step_end(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        self.advance(1)
        if state.global_step < state.max_steps and self._due(state.global_step):
            control.should_save = True
            self.saved = time.monotonic()

    def _due(self, step: int) -> bool:
        if self.training.save_steps:
            return step % self.training.save_steps == 0
        return time.monotonic() - self.saved >= 60 * self.training.save_minutes

    def on_save(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        assert self.trainer is not None
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        kept = {
            "curve": self.trainer.curve,
            "seen_tokens": self.trainer.seen_tokens,
            "seconds": self.trainer.seconds + time.monotonic() - self.began,
            "flops": self.trainer.flop_meter.flops,
            "padded_tokens": self.trainer.flop_meter.padded_tokens,
        }
        if self.trainer.best is not None:
            kept["best"] = self.trainer.best.state()
        write_json(folder / CHECKPOINT_MARK, kept)


def make_trainer(
    step: Step,
    model: Any,
    plan: Plan,
    corpus: dict[str, list[Encoded]],
    training: Training,
    seed: int,
    hold: Hold | None,
    start: Weights,
    rate_of: RateOf | None,
) -> PlannedTrainer:
    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
    tokenizer = step.run.encoder.tokenizer
    trainer = PlannedTrainer(
        plan=plan,
        corpus=corpus,
        training=training,
        step=step,
        start=start,
        rate_of=rate_of,
        model=model,
        collate=collator(plan, corpus, training, tokenizer.pad_token_id, model.config),
        args=_arguments(step.folder / "checkpoints", training, len(plan), seed),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    callback = _Callback(hold, training, no_advance)
    callback.trainer = trainer
    trainer.add_callback(callback)
    trainer.onsa_callback = callback
    return trainer


def _arguments(folder: Path, training: Training, batches: int, seed: int) -> TrainingArguments:
    steps = max(1, math.ceil(batches / training.gradient_accumulation_steps))
    passed = training.model_dump(
        exclude={
            "num_train_epochs", "max_steps", "warmup_ratio", "max_length", "precision",
            "save_minutes", "save_steps", "gradient_checkpointing", "layer_decay",
            "learning_rates", "neftune_noise_alpha", "dropout", "truncation", "packing",
            *BEST_STATE_KEYS,
        }
    )  # fmt: skip
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        warmup_steps=round(training.warmup_ratio * steps),
        optim="adamw_torch_fused",
        bf16=compute_dtype(training.precision) == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",  # the callback asks for checkpoints
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=seed,
        **passed,
    )


def run_trainer(trainer: PlannedTrainer, step: Step, tokens: int) -> None:
    """Train to the end, from the last whole checkpoint if there is one.

    `tokens` are those of the whole training, prompts with them.
    """
    checkpoint = _last_checkpoint(Path(trainer.args.output_dir))
    done = 0
    if checkpoint is not None:
        kept = read_json(checkpoint / CHECKPOINT_MARK)
        trainer.curve = {task: [tuple(p) for p in kept["curve"][task]] for task in trainer.corpus}
        trainer.seen_tokens = kept["seen_tokens"]
        trainer.seconds = kept["seconds"]
        trainer.flop_meter.flops = kept["flops"]
        trainer.flop_meter.padded_tokens = kept["padded_tokens"]
        if trainer.best is not None:
            trainer.best.go_on(kept["best"])
        done = int(checkpoint.name.rpartition("-")[2])
        step.progress.say(f"{step.name}: going on after step {done} of {trainer.args.max_steps}")
    total = trainer.args.max_steps
    tokens_left = round(tokens * (1 - done / total))
    step.progress.skip(tokens - tokens_left)
    bar = step.progress.track(step.name, total, "steps", done=done, tokens=tokens_left)
    with bar as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the Trainer's advice is about keys we set on purpose
        trainer.onsa_callback.advance = advance
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        trainer.seconds += time.monotonic() - started
    if trainer.best is not None:
        trainer.best.put_back()
        trainer.seconds -= trainer.best.seconds


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{CHECKPOINT_MARK}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
