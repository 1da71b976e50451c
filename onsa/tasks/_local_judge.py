"""A chat model of this machine that judges."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onsa.errors import InputError

if TYPE_CHECKING:
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
    def model(self) -> Any:
        from onsa.models.device import compute_dtype, device
        from onsa.models.loading import load_model
        from onsa.weights import Weights

        return load_model(Weights(self.folder), compute_dtype("auto")).to(device()).eval()

    def ask(self, messages: Sequence[Message], temperature: float, most_tokens: int) -> str:
        """What the model says, drawn with a seed where there is a temperature."""
        import torch

        from onsa.data.rendering import end_tokens

        inputs = self.tokenizer(
            self._rendered(messages), add_special_tokens=False, return_tensors="pt"
        ).to(self.model.device)
        how = {"do_sample": True, "temperature": temperature} if temperature else {}
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(0)
            made = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                **(how or {"do_sample": False}),
                num_beams=1,
                max_new_tokens=most_tokens,
                eos_token_id=sorted(end_tokens(self.tokenizer)) or None,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        said = made[0, inputs["input_ids"].shape[1] :]
        return str(self.tokenizer.decode(said, skip_special_tokens=True))

    def _rendered(self, messages: Sequence[Message]) -> str:
        """By the chat template; some know no system message, and the question says it then."""
        from onsa.data.rendering import render

        try:
            return render(messages, self.tokenizer, True)
        except InputError:
            whole = "\n\n".join(message["content"] for message in messages)
            return render([{"role": "user", "content": whole}], self.tokenizer, True)
