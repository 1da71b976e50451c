"""What a loaded model replies, chooses, says by a head or loses on the rows of a task.

Generation is greedy, batched and left-padded, the longest prompts first, so that what does not fit
in memory fails at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onsa.data.collation import head_batch, padded
from onsa.data.encoded import UNTRAINED, Encoded
from onsa.data.encoding import Encoder, encode_together
from onsa.data.example import Example
from onsa.evaluation.answers import Answering
from onsa.evaluation.batching import batches_by_length, left_padded
from onsa.losses import row_losses, token_losses
from onsa.models.head import LIKED, OTHER
from onsa.models.head_outputs import say
from onsa.models.heads import head_logits, head_of
from onsa.models.virtual_tokens import generate, needs_equal_lengths
from onsa.progress import Advance, in_pieces, no_advance

if TYPE_CHECKING:
    from onsa.tasks import Task


DRAWN_WITH = 0  # the seed of drawn replies


class Scorer:
    """A loaded model that replies, chooses, or tells its loss, in batches."""

    def __init__(self, model: Any, encoder: Encoder, batch_size: int) -> None:
        self.model = model
        self.encoder = encoder
        self.tokenizer = encoder.tokenizer
        self.batch_size = batch_size

    def score(
        self,
        task: Task,
        examples: Sequence[Example],
        advance: Advance,
        folder: Path | None = None,
    ) -> dict[str, Any]:
        """Scores and replies of the examples, in their order.

        Of several replies that are drawn for a row, the first is told.
        """
        if task.mode == "loss":
            losses = self.losses(examples, advance)
            return {"scores": losses, "replies": [""] * len(losses)}
        if task.samples > 1:
            return self._score_drawn(task, examples, advance, folder)
        if task.mode == "head":
            replies = self.say(task.name, examples, advance)
        elif task.mode == "choose":
            replies = self.choose(examples, advance)
        elif task.mode == "requests":
            replies = Answering(self.model, self.encoder, self.batch_size).answers(
                examples, advance
            )
        else:
            replies = self.reply(examples, task.max_new_tokens, advance)
        scores = task.scores(replies, examples, folder, advance)
        return {"scores": scores, "replies": replies}

    def _score_drawn(
        self, task: Task, examples: Sequence[Example], advance: Advance, folder: Path | None
    ) -> dict[str, Any]:
        """The same of `task.samples` replies for each row, drawn with a fixed seed."""
        rows = [example for example in examples for _ in range(task.samples)]
        with torch.random.fork_rng():
            torch.manual_seed(DRAWN_WITH)
            replies = self.reply(rows, task.max_new_tokens, advance, **task.drawing)
        scores = task.scores(replies, rows, folder, advance)
        starts = range(0, len(rows), task.samples)
        return {
            "scores": [task.combined(scores[at : at + task.samples]) for at in starts],
            "replies": replies[:: task.samples],
        }

    def task_losses(self, task: Task, advance: Advance) -> list[float]:
        """The loss of each evaluation example of a task."""
        if task.mode == "head":
            return self.head_losses(task.name, task.evaluation, advance)
        return self.losses(task.evaluation, advance)

    @torch.inference_mode()
    def reply(
        self, examples: Sequence[Example], max_new_tokens: int, advance: Advance, **drawing: Any
    ) -> list[str]:
        """Greedy replies, or drawn ones."""
        prompts = [self.encoder.encode_prompt(example) for example in examples]
        replies = [""] * len(prompts)
        lengths = [len(prompt) for prompt in prompts]
        alike = needs_equal_lengths(self.model, max(lengths, default=0) + max_new_tokens)
        for batch in self._batches(lengths, alike):
            made = generate(
                self.model,
                left_padded(
                    [prompts[row] for row in batch], self.tokenizer.pad_token_id, self.model
                ),
                max_new_tokens=max_new_tokens,
                do_sample=bool(drawing),
                num_beams=1,
                eos_token_id=sorted(self.encoder.end_tokens),
                pad_token_id=self.tokenizer.pad_token_id,
                **drawing,
            )
            texts = self.tokenizer.batch_decode(made, skip_special_tokens=True)
            for row, text in zip(batch, texts, strict=True):
                replies[row] = text.strip()
            advance(len(batch))
        return replies

    @torch.inference_mode()
    def say(self, task: str, examples: Sequence[Example], advance: Advance) -> list[str]:
        """What the task's head says; of a ranking, the reply that it puts first."""
        head = head_of(self.model, task)
        said = [""] * len(examples)
        for batch, inputs in self._head_batches(task, examples):
            del inputs["labels"], inputs["head"], inputs["task"]
            words = say(head, head_logits(self.model, task, inputs))
            for row, word in zip(batch, words, strict=True):
                said[row] = _preferred(examples[row]).get(word, word)
            advance(len(batch))
        return said

    @torch.inference_mode()
    def head_losses(self, task: str, examples: Sequence[Example], advance: Advance) -> list[float]:
        """The loss of each example, which the task's head reads."""
        losses = [0.0] * len(examples)
        for batch, inputs in self._head_batches(task, examples):
            for row, loss in zip(batch, row_losses(self.model, inputs)[0].tolist(), strict=True):
                losses[row] = loss
            advance(len(batch))
        return losses

    def _head_batches(
        self, task: str, examples: Sequence[Example]
    ) -> Iterator[tuple[list[int], dict[str, Any]]]:
        encoded = [self.encoder.encode(example) for example in examples]
        place, pad = self.model.device, self.tokenizer.pad_token_id
        for rows in self._batches([len(row.ids) for row in encoded]):
            made = {
                **head_batch([encoded[row] for row in rows], task, pad),
                "task": torch.tensor(rows),
            }
            yield rows, {k: v.to(place) if torch.is_tensor(v) else v for k, v in made.items()}

    def choose(self, examples: Sequence[Example], advance: Advance) -> list[str]:
        """The likeliest of each example's choices as the reply, by mean loss of its tokens."""
        candidates = [
            (row, choice)
            for row, example in enumerate(examples)
            for choice in example.extra["choices"]
        ]
        rendered = [_with_reply(examples[row], choice) for row, choice in candidates]
        told = in_pieces(advance, len(examples), len(candidates))
        # Not kept: these rows are made anew in every scoring.
        losses = self._losses(encode_together(rendered, self.encoder), told)
        best = [(math.inf, "")] * len(examples)
        for (row, choice), loss in zip(candidates, losses, strict=True):
            best[row] = min(best[row], (loss, choice))
        return [choice for _, choice in best]

    def losses(self, examples: Sequence[Example], advance: Advance = no_advance) -> list[float]:
        """The mean loss per reply token of each example."""
        return self._losses(self.encoder.encode_all(examples), advance)

    @torch.inference_mode()
    def _losses(self, encoded: Sequence[Encoded], advance: Advance = no_advance) -> list[float]:
        losses = [0.0] * len(encoded)
        for batch in self._batches([len(row.ids) for row in encoded]):
            ids = padded([encoded[row].ids for row in batch], self.tokenizer.pad_token_id)
            labels = padded([encoded[row].labels for row in batch], UNTRAINED)
            for row, loss in zip(batch, self._row_losses(ids, labels), strict=True):
                losses[row] = loss
            advance(len(batch))
        return losses

    def _row_losses(self, ids: torch.Tensor, labels: torch.Tensor) -> list[float]:
        place = self.model.device
        inputs = {
            "input_ids": ids.to(place),
            # Right padding: what follows a token never reaches it, so no mask is needed, but
            # models with absolute positions or sliding windows expect one.
            "attention_mask": torch.ones_like(ids, device=place),
            "labels": labels.to(place),
            "task": torch.arange(len(ids), device=place),
        }
        losses, owners = token_losses(self.model, inputs)
        rows = [losses[owners == row] for row in range(len(ids))]
        return [float(row.float().mean()) for row in rows]

    def _batches(self, lengths: list[int], alike: bool = False) -> Iterator[list[int]]:
        return batches_by_length(lengths, self.batch_size, alike)


def _preferred(example: Example) -> dict[str, str]:
    """The replies that a ranking's head chooses between; nothing for other heads."""
    if "rejected" not in example.extra:
        return {}
    return {LIKED: example.reply, OTHER: example.extra["rejected"]}


def _with_reply(example: Example, reply: str) -> Example:
    message = {**example.messages[-1], "content": reply}
    # Replies of examples before it are the same for every choice, and would even out what tells the
    # choices apart.
    return dataclasses.replace(example, messages=(*example.prompt, message), only_last=True)
