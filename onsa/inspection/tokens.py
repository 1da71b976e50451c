"""How long rows are in a model's tokens, its chat template's own among them."""

from __future__ import annotations

from typing import Any

from onsa.data.rendering import render
from onsa.inspection.lengths import Lengths
from onsa.inspection.records import Record

AT_ONCE = 512  # rows that are tokenised together


class Tokens:
    """Lengths of examples as a model with this tokenizer would read them."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.lengths = Lengths("tokens")
        self._waiting: list[tuple[str, str]] = []

    def look(self, record: Record) -> None:
        for example in record.examples:
            self._waiting.append((render(example.messages, self.tokenizer), record.source))
        if not record.examples and not record.fault:
            self._waiting.append((record.text, record.source))
        if len(self._waiting) >= AT_ONCE:
            self._count()

    def _count(self) -> None:
        texts = [text for text, _ in self._waiting]
        found = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        for ids, (_, source) in zip(found, self._waiting, strict=True):
            self.lengths.add(len(ids), source)
        self._waiting.clear()

    def facts(self) -> dict[str, Any] | None:
        self._count()
        return self.lengths.facts()
