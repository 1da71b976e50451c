"""A causal language model that is asked for other words, with chance of its own for each text."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from onsa.data.augmentation.paraphrase import Paraphrase
from onsa.data.rendering import end_tokens, render
from onsa.models.base_model import find_model
from onsa.models.device import compute_dtype, device
from onsa.models.loading import load_model
from onsa.models.positions import positions_of
from onsa.models.tokenizer import PLAIN_TEMPLATE, load_tokenizer
from onsa.weights import Weights

HERE = "{text}"  # in a prompt


class Speaker:
    """A model that is asked in batches; it is loaded when it is asked first."""

    def __init__(self, setting: Paraphrase, base_folder: Path) -> None:
        self.setting = setting
        self.weights = Weights(find_model(setting.model, base_folder))
        template = PLAIN_TEMPLATE if setting.chat_template else None
        self.tokenizer = load_tokenizer(self.weights.folder, template)
        self.ends = sorted(end_tokens(self.tokenizer))

    @property
    def digest(self) -> str:
        return self.weights.digest

    @cached_property
    def model(self) -> Any:
        return load_model(self.weights, compute_dtype("auto")).to(device()).eval()

    def say(self, texts: list[str], seeds: list[int]) -> list[str | None]:
        """The reply to the last prompt for each text; None where one did not come to its end."""
        said: list[str | None] = list(texts)
        for number, prompt in enumerate(self.setting.prompt):
            going = [place for place, text in enumerate(said) if text]
            if not going:
                break
            asked = [prompt.replace(HERE, str(said[place])) for place in going]
            replies = self._replies(asked, [seeds[place] + number for place in going])
            for place, reply in zip(going, replies, strict=True):
                said[place] = reply
        return said

    def _replies(self, prompts: list[str], seeds: list[int]) -> list[str | None]:
        made = self._made(prompts, seeds)
        texts = self.tokenizer.batch_decode(made, skip_special_tokens=True)
        ended = [any(token in self.ends for token in reply) for reply in made]
        pairs = zip(texts, ended, strict=True)
        return [text.strip() or None if whole else None for text, whole in pairs]

    @torch.inference_mode()
    def _made(self, prompts: list[str], seeds: list[int]) -> list[list[int]]:
        """The tokens that the model puts behind each prompt."""
        turns = [render([{"role": "user", "content": p}], self.tokenizer, True) for p in prompts]
        inputs = self.tokenizer(
            turns, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        ).to(self.model.device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        made = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            **positions_of(self.model.config, ids, mask),
            logits_processor=[_OwnChance(seeds, self.setting.temperature)],
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.setting.max_new_tokens,
            eos_token_id=self.ends or None,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        replies: list[list[int]] = made[:, ids.shape[1] :].tolist()
        return replies


class _OwnChance:
    """Makes the likeliest token one that is drawn: the Gumbel-max trick, each row by its seed."""

    def __init__(self, seeds: list[int], temperature: float) -> None:
        self.rows = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.stack([torch.rand(scores.shape[1], generator=row) for row in self.rows])
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self.temperature + noise.to(scores.device)
