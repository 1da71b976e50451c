"""A chat model of this machine that judges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from onsa.errors import InputError

if TYPE_CHECKING:
    from onsa.data.chat_model import ChatModel
    from onsa.tasks._endpoint import Message


class LocalJudge:
    """A folder's model, loaded when it is asked first: where all verdicts are kept, not at all.

    Raises:
        InputError: the model was not tuned to chat.
    """

    def __init__(self, folder: Path) -> None:
        from onsa.models.tokenizer import load_tokenizer

        self.folder = folder
        self.tokenizer = load_tokenizer(folder, generative=False)
        if not self.tokenizer.chat_template:
            raise InputError(
                "has no chat template",
                where=folder,
                way_out="choose a judge that was tuned to chat",
            )

    @cached_property
    def chat(self) -> ChatModel:
        from onsa.data.chat_model import ChatModel  # torch loads where it is needed only
        from onsa.weights import Weights

        return ChatModel(Weights(self.folder), self.tokenizer)

    def ask(self, messages: Sequence[Message], temperature: float, most_tokens: int) -> str:
        """What the model says, drawn with a seed where there is a temperature."""
        import torch

        how = {"do_sample": True, "temperature": temperature} if temperature else {}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            said = self.chat.replies(
                [self._rendered(messages)], most_tokens, **(how or {"do_sample": False})
            )
        return str(self.tokenizer.decode(said[0], skip_special_tokens=True))

    def _rendered(self, messages: Sequence[Message]) -> str:
        """By the chat template; some know no system message, and the question says it then."""
        from onsa.data.rendering import render

        try:
            return render(messages, self.tokenizer, True)
        except InputError:
            whole = "\n\n".join(message["content"] for message in messages)
            return render([{"role": "user", "content": whole}], self.tokenizer, True)
