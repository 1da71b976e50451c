"""Programs that must pass the tests of their row: pass@k (arXiv:2107.03374)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, model_validator

from onsa.data.example import Example
from onsa.data.reading import named
from onsa.errors import InputError
from onsa.metrics.passing import pass_at_k
from onsa.progress import Advance, no_advance
from onsa.tasks import Kind, Rows
from onsa.tasks._confined import Limits, Program, confinement, has_namespaces, run_all
from onsa.tasks._fences import unfenced
from onsa.tasks._files import GenerationSettings, RowCount, load_files

# Where a completion of a function has ended and something else begins.
NEXT = re.compile(r"\n(?=(?:class|def|if|print|assert|from|import)\b|[#@`])")


class Code(GenerationSettings):
    k: RowCount = Field(1, description="replies of which one must pass")
    samples: RowCount = Field(
        1, description="replies drawn for each row; 1 is the likeliest one, none drawn"
    )
    temperature: float = Field(0.8, gt=0, description="of drawn replies")
    top_p: float = Field(0.95, gt=0, le=1, description="of drawn replies")
    seconds: float = Field(10.0, gt=0, le=600, description="that a reply and its tests may take")
    memory_mb: int = Field(512, ge=64, description="that it may take up")

    skip_failing: bool = Field(
        False, description="leave out evaluation rows whose reference fails its own tests"
    )

    @model_validator(mode="after")
    def _enough_samples(self) -> Code:
        if self.k > self.samples:
            raise ValueError(f"k is {self.k}, and there are {self.samples} samples: draw k or more")
        if self.samples == 1 and (self.differs("temperature") or self.differs("top_p")):
            raise ValueError("temperature and top_p have no effect on one sample: set samples")
        return self


def load(settings: Code, base_folder: Path, seed: int) -> Rows:
    confinement()
    rows = load_files(settings, base_folder, seed)
    for example in rows.evaluation:
        if not example.extra.get("tests"):
            raise InputError(
                "the row has no tests",
                where=example.source,
                way_out="give prompt, canonical_solution, test and entry_point, or text, code and "
                "test_list",
            )
    return _without_failing(rows, settings) if settings.skip_failing else rows


def _without_failing(rows: Rows, settings: Code) -> Rows:
    passed = score_all([example.reply for example in rows.evaluation], rows.evaluation, settings)
    pairs = list(zip(rows.evaluation, passed, strict=True))
    failing = [example.source for example, score in pairs if not score]
    kept = [example for example, score in pairs if score]
    if not kept:
        raise InputError("every reference fails its tests", where=failing[0], way_out="mend them")
    if not failing:
        return rows
    note = f"{len(failing)} rows left out, their reference fails its tests: {named(failing)}"
    return rows._replace(evaluation=kept, notes=(*rows.notes, note))


def score(reply: str, example: Example, settings: Code) -> float:
    return score_all([reply], [example], settings)[0]


def score_all(
    replies: Sequence[str],
    examples: Sequence[Example],
    settings: Code,
    folder: Path | None = None,
    advance: Advance = no_advance,
) -> list[float]:
    """1 where a reply passes its row's tests, else 0."""
    limits = Limits(settings.seconds, settings.memory_mb * 2**20, namespaces=has_namespaces())
    programs = [
        Program(readings(reply, example), str(example.extra.get("tests", "")))
        for reply, example in zip(replies, examples, strict=True)
    ]
    return [float(outcome.passed) for outcome in run_all(programs, limits, advance)]


def combined(scores: Sequence[float], settings: Code) -> float:
    """pass@k from the scores of one row's samples."""
    return pass_at_k(len(scores), round(sum(scores)), settings.k)


def readings(reply: str, example: Example) -> tuple[str, ...]:
    """What a reply may mean: the whole program, or the body of the function that was begun.

    Code in a fence counts without what is around it. The white space before a reply is lost, so a
    body may have to get its first indent back; where it runs on into something else, it is cut.
    """
    code = unfenced(reply)
    stub, name = (str(example.extra.get(key, "")) for key in ("stub", "entry_point"))
    if not stub:
        return (code,)
    if re.search(rf"^(?:async )?def {re.escape(name)}\b", code, re.MULTILINE):
        head = re.split(rf"^(?:async )?def {re.escape(name)}\b", stub, maxsplit=1, flags=re.M)[0]
        return (f"{head}\n{code}", code)
    bodies = [code, _indent(stub) + code.lstrip()]
    bodies += [NEXT.split(body, maxsplit=1)[0] for body in bodies]
    return tuple(f"{stub.rstrip()}\n{body}" for body in bodies)


def how(settings: Code, examples: Sequence[Example]) -> str:
    drawn = (
        f"of {settings.samples} replies drawn at temperature {settings.temperature:g}, "
        f"top p {settings.top_p:g}"
        if settings.samples > 1
        else "of the likeliest reply"
    )
    return (
        f"pass@{settings.k} {drawn}; run {confinement()}; at most {settings.seconds:g} s and "
        f"{settings.memory_mb} MB."
    )


def _indent(stub: str) -> str:
    indents = re.findall(r"^[ \t]+(?=\S)", stub, re.MULTILINE)
    return str(indents[0]) if indents else "    "


KIND = Kind(
    name="code",
    summary="The reply is a program that must pass the tests of its row, run confined: pass@k.",
    settings=Code,
    load=load,
    metric="pass@k",
    mode="generate",
    score=score,
    score_all=score_all,
    combined=combined,
    how=how,
)
