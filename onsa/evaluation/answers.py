"""What a model answers to an evaluation harness: how likely a text is, and how another goes on.

An answer is JSON: of each request a list, with a text for every time that it was asked, or with the
sum of its tokens' log-likelihoods and whether each token was the likeliest.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from onsa.data.collation import padded
from onsa.data.encoded import UNTRAINED
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.requests import Asked, Request, asked_of, prompt_ids, requests_of
from onsa.evaluation.batching import batches_by_length, left_padded
from onsa.losses import reply_logits
from onsa.models.positions import position_limit
from onsa.models.virtual_tokens import generate, needs_equal_lengths, virtual_tokens

if TYPE_CHECKING:
    from onsa.progress import Advance

Place = tuple[int, int]  # a row, and one of its requests
DRAWN_WITH = 0  # the seed of drawn texts


class Answering:
    """A loaded model that answers requests, in batches of similar length."""

    def __init__(self, model: Any, encoder: Encoder, batch_size: int) -> None:
        self.model = model
        self.tokenizer = encoder.tokenizer
        self.batch_size = batch_size
        limit = position_limit(model.config)
        self.limit = limit if limit is None else limit - virtual_tokens(model)

    def answers(self, examples: Sequence[Example], advance: Advance) -> list[str]:
        """The answer to each row's requests, as JSON."""
        places = {
            (row, number): request
            for row, example in enumerate(examples)
            for number, request in enumerate(requests_of(example))
        }
        likelihoods = {p: r for p, r in places.items() if r["kind"] != "generate_until"}
        open_ones = {p: r for p, r in places.items() if r["kind"] == "generate_until"}
        open_rows = Counter(row for row, _ in places)

        def done(place: Place) -> None:
            open_rows[place[0]] -= 1
            advance(int(open_rows[place[0]] == 0))

        found: dict[Place, list[Any]] = {}
        found |= self._likelihoods(likelihoods, examples, done)
        found |= self._texts(open_ones, examples, done)
        return [
            json.dumps([found[row, at] for at in range(len(requests_of(example)))])
            for row, example in enumerate(examples)
        ]

    def _likelihoods(
        self, requests: dict[Place, Request], examples: Sequence[Example], done: Any
    ) -> dict[Place, list[Any]]:
        """Of each request its only answer: the sum over its windows."""
        asked = [
            (place, each)
            for place, request in requests.items()
            for each in asked_of(request, self.tokenizer, self.limit, examples[place[0]].source)
        ]
        windows = Counter(place for place, _ in asked)
        sums, likeliest = dict.fromkeys(requests, 0.0), dict.fromkeys(requests, True)
        for batch in batches_by_length([_length(each) for _, each in asked], self.batch_size):
            rated = self._rate([asked[number][1] for number in batch])
            for number, (logarithm, is_likeliest) in zip(batch, rated, strict=True):
                place = asked[number][0]
                sums[place] += logarithm
                likeliest[place] &= is_likeliest
                windows[place] -= 1
                if not windows[place]:
                    done(place)
        return {
            place: [sums[place] if rolling else [sums[place], likeliest[place]]]
            for place, rolling in (
                (place, request["kind"] == "loglikelihood_rolling")
                for place, request in requests.items()
            )
        }

    @torch.inference_mode()
    def _rate(self, asked: Sequence[Asked]) -> list[tuple[float, bool]]:
        """The log-likelihood of each continuation, and whether all its tokens are the likeliest."""
        whole = [[*each.context, *each.continuation] for each in asked]
        labels = [[UNTRAINED] * len(each.context) + each.continuation for each in asked]
        place = self.model.device
        # Right padding: what follows a token never reaches it. The last token is not read, so that
        # a text may be one longer than the model has positions.
        ids = padded([each[:-1] for each in whole], self.tokenizer.pad_token_id).to(place)
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": padded(labels, UNTRAINED).to(place),
            "task": torch.arange(len(asked), device=place),
        }
        logits, targets, owners = reply_logits(self.model, inputs)
        logarithms = -torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        likeliest = logits.argmax(dim=-1) == targets
        return [
            (float(logarithms[owners == row].sum()), bool(likeliest[owners == row].all()))
            for row in range(len(asked))
        ]

    def _texts(
        self, requests: dict[Place, Request], examples: Sequence[Example], done: Any
    ) -> dict[Place, list[Any]]:
        """Of each request the texts that were generated, all that end alike together."""
        alike: dict[str, list[Place]] = defaultdict(list)
        for place, request in requests.items():
            alike[json.dumps(request["how"], sort_keys=True)] += [place] * request["times"]
        found: dict[Place, list[Any]] = {place: [] for place in requests}
        for key, places in alike.items():
            how = json.loads(key)
            prompts = [
                prompt_ids(requests[at], self.tokenizer, self.limit, examples[at[0]].source)
                for at in places
            ]
            longest = max(map(len, prompts)) + int(how["max_gen_toks"])
            equal = needs_equal_lengths(self.model, longest)
            for batch in batches_by_length([len(each) for each in prompts], self.batch_size, equal):
                texts = self._go_on([prompts[number] for number in batch], **how)
                for number, text in zip(batch, texts, strict=True):
                    place = places[number]
                    found[place].append(text)
                    if len(found[place]) == requests[place]["times"]:
                        done(place)
        return found

    @torch.inference_mode()
    def _go_on(
        self, prompts: list[list[int]], *, until: list[str], max_gen_toks: int, **drawing: Any
    ) -> list[str]:
        """The text after each prompt, up to the first of the strings `until`."""
        with torch.random.fork_rng():
            torch.manual_seed(DRAWN_WITH)
            made = generate(
                self.model,
                left_padded(prompts, self.tokenizer.pad_token_id, self.model),
                max_new_tokens=max_gen_toks,
                eos_token_id=self._end_tokens(),
                pad_token_id=self.tokenizer.pad_token_id,
                stopping_criteria=StoppingCriteriaList([StopAt(until, self.tokenizer)]),
                **drawing,
            )
        texts = self.tokenizer.batch_decode(made, skip_special_tokens=True)
        return [before_any(until, text) for text in texts]

    def _end_tokens(self) -> list[int]:
        """The tokenizer's, and the model's own: those that the harness stops at."""
        own = self.model.generation_config.eos_token_id
        own = own if isinstance(own, list) else [own]
        return sorted({each for each in (self.tokenizer.eos_token_id, *own) if each is not None})


class StopAt(StoppingCriteria):
    """Ends a row once one of the strings stands in what was generated for it."""

    def __init__(self, until: Sequence[str], tokenizer: Any) -> None:
        self.until = [each for each in until if each]
        self.tokenizer = tokenizer
        # Each token but those at the ends has a byte or more of the string.
        self.reach = max((len(each.encode()) for each in self.until), default=0) + 1
        self.made = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **others: Any) -> torch.Tensor:
        self.made += 1  # one call for each new token
        texts = self.tokenizer.batch_decode(input_ids[:, -min(self.made, self.reach) :])
        ended = [any(each in text for each in self.until) for text in texts]
        return torch.tensor(ended, device=input_ids.device)


def before_any(until: Sequence[str], text: str) -> str:
    """What stands before the first of the strings."""
    for each in until:
        text = text.split(each)[0] if each else text
    return text


def _length(asked: Asked) -> int:
    return len(asked.context) + len(asked.continuation)
