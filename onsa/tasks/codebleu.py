"""CodeBLEU for Python (arXiv:2009.10297): programs compared with the reference, none is run."""

from __future__ import annotations

from collections.abc import Sequence

from onsa.data.example import Example
from onsa.metrics.codebleu import code_bleu
from onsa.metrics.text import same_text
from onsa.tasks import Kind
from onsa.tasks._fences import unfenced
from onsa.tasks._files import GenerationSettings, load_files


def score(reply: str, example: Example, settings: GenerationSettings) -> float:
    if same_text(reply, example.reply):
        return 1.0
    return min(1.0, code_bleu(unfenced(reply), unfenced(example.reply)))


def how(settings: GenerationSettings, examples: Sequence[Example]) -> str:
    return (
        "CodeBLEU for Python by onsa's own code: tokens, keywords, syntax and data flow by Python's"
        " own parser, a quarter each; it compares with itself, not with other programs' CodeBLEU."
    )


KIND = Kind(
    name="codebleu",
    summary="CodeBLEU of a Python program with the reference: tokens, syntax, data flow; not run.",
    settings=GenerationSettings,
    load=load_files,
    metric="CodeBLEU",
    mode="generate",
    score=score,
    how=how,
)
