"""A causal language model that is asked for other words, with chance of its own for each text."""

from __future__ import annotations

from pathlib import Path

import torch

from onsa.data.augmentation.paraphrase import Paraphrase
from onsa.data.chat_model import ChatModel
from onsa.data.rendering import render
from onsa.models.base_model import find_model
from onsa.models.tokenizer import PLAIN_TEMPLATE, load_tokenizer
from onsa.weights import Weights

HERE = "{text}"  # in a prompt


class Speaker:
    """Asks a model for other words, text by text or from one language into another and back."""

    def __init__(self, setting: Paraphrase, base_folder: Path) -> None:
        self.setting = setting
        weights = Weights(find_model(setting.model, base_folder))
        template = PLAIN_TEMPLATE if setting.chat_template else None
        self.tokenizer = load_tokenizer(weights.folder, template)
        self.chat = ChatModel(weights, self.tokenizer)

    @property
    def digest(self) -> str:
        return self.chat.weights.digest

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
        ended = [any(token in self.chat.ends for token in reply) for reply in made]
        pairs = zip(texts, ended, strict=True)
        return [text.strip() or None if whole else None for text, whole in pairs]

    def _made(self, prompts: list[str], seeds: list[int]) -> list[list[int]]:
        """The tokens that the model puts behind each prompt."""
        turns = [render([{"role": "user", "content": p}], self.tokenizer, True) for p in prompts]
        chance = _OwnChance(seeds, self.setting.temperature)
        return self.chat.replies(
            turns, self.setting.max_new_tokens, logits_processor=[chance], do_sample=False
        )


class _OwnChance:
    """Makes the likeliest token one that is drawn: the Gumbel-max trick, each row by its seed."""

    def __init__(self, seeds: list[int], temperature: float) -> None:
        self.rows = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.stack([torch.rand(scores.shape[1], generator=row) for row in self.rows])
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores.float() / self.temperature + noise.to(scores.device)
