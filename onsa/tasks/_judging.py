"""Replies judged by a model: asked once each, every verdict kept, checked against people.

A verdict is a line of `verdicts.jsonl` in the run's folder: who judged, what was asked, all that
was said, and what it counts. It is kept under the digest of the judge and of all that was asked: a
resumed run, another stage with the same reply, or the check against people does not ask again.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.files import digest_of_json
from onsa.metrics.agreement import agreement
from onsa.metrics.intervals import bootstrap_intervals
from onsa.progress import Advance, no_advance
from onsa.tasks import Rows
from onsa.tasks._endpoint import Endpoint, Message, checked_url, key_in
from onsa.tasks._files import GenerationSettings, RowCount, load_files
from onsa.tasks._local_judge import LocalJudge

FILE = "verdicts.jsonl"
ATTEMPTS = 3  # to get a verdict that can be read; after the first, drawn and not the likeliest
DRAWN_AT = 0.7
MOST_TOKENS = 1024


class Judged(GenerationSettings):
    """A task whose replies a model judges."""

    judge_model: str = Field(
        description="the judge's name at the endpoint; without one, its folder on this machine"
    )
    endpoint: Annotated[str, AfterValidator(checked_url)] | None = Field(
        None, description="OpenAI-compatible, what precedes '/chat/completions'"
    )
    key_variable: str = Field(
        "", description="environment variable that holds the endpoint's key", pattern=r"^\w*$"
    )
    at_once: RowCount = Field(8, description="questions on their way to the endpoint")
    timeout_seconds: float = Field(60.0, gt=0, description="for one answer of the endpoint")
    human: str | None = Field(
        None, description="JSON Lines of prompt, reply and the verdict of a person, to check it by"
    )


@dataclass(frozen=True)
class Question:
    """What the judge is asked, and how its answer is read; None where it holds no verdict."""

    messages: tuple[Message, ...]
    read: Callable[[str], float | None]


def load_questions(settings: Judged, base_folder: Path, seed: int) -> Rows:
    """The same as `load_judged`, also of questions that have no replies: they are only scored."""
    rows = load_judged(settings, base_folder, seed, unanswered=True)
    later = sum(len(row.extra.get("turns", ())) > 1 for row in rows.evaluation)
    if not later:
        return rows
    return rows._replace(
        notes=(*rows.notes, f"{later} rows have further questions, which are not asked")
    )


def load_judged(
    settings: Judged, base_folder: Path, seed: int, *, unanswered: bool = False
) -> Rows:
    """The rows, with the paths of the settings made whole."""
    found: dict[str, str] = {}
    if settings.human is not None:
        found["human"] = str(_existing(base_folder / settings.human, "human"))
    if settings.endpoint is None:
        folder = _existing(base_folder / Path(settings.judge_model).expanduser(), "judge_model")
        found["judge_model"] = str(folder)
        LocalJudge(folder)  # that it cannot chat is told now, not after hours of training
    elif settings.key_variable:
        key_in(settings.key_variable)  # that it is missing is told now, not after hours of training
    rows = load_files(settings, base_folder, seed, unanswered=unanswered)
    return rows._replace(settings=settings.model_copy(update=found))


def verdicts(
    questions: Sequence[Question],
    settings: Judged,
    folder: Path | None,
    advance: Advance = no_advance,
) -> list[float]:
    """What the judge says to each question, as a number; `advance(1)` after each of them.

    Raises:
        InputError: it cannot be reached, or says nothing that is a verdict.
    """
    judge = _judge(settings)
    kept = _Kept(folder)
    workers = settings.at_once if settings.endpoint else 1
    found = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for said in pool.map(lambda question: _verdict(question, judge, kept), questions):
                found.append(said)
                advance(1)
            return found
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def checked(
    rows: Sequence[dict[str, Any]],
    questions: Callable[[dict[str, Any]], Sequence[Question]],
    combined: Callable[[Sequence[float]], float],
    settings: Judged,
    folder: Path | None,
    *,
    squared: bool,
) -> dict[str, Any]:
    """The judge against people on the rows that they judged: kappa, the share of equal verdicts."""
    asked = [questions(row) for row in rows]
    said = verdicts([each for several in asked for each in several], settings, folder)
    width = len(asked[0])
    ours = [combined(said[at : at + width]) for at in range(0, len(said), width)]
    theirs = [float(row["verdict"]) for row in rows]
    found = bootstrap_intervals(agreement(ours, theirs, squared=squared), [""] * len(rows))
    return {
        "n": len(rows),
        **{
            name: {"mean": None if each.mean != each.mean else each.mean,
                   "low": each.low, "high": each.high, "n": each.n}
            for name, each in found.items()
        },
    }  # fmt: skip


def human_rows(
    path: str, columns: Sequence[str], verdict: Callable[[Any], float | None]
) -> list[dict[str, Any]]:
    """Rows that people judged, their verdicts as numbers.

    Raises:
        InputError: not readable, a row without a column, or no such verdict.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        given = verdict(row.get("verdict")) if isinstance(row, dict) else None
        if (
            not isinstance(row, dict)
            or given is None
            or not all(isinstance(row.get(column), str) for column in columns)
        ):
            raise InputError(
                "is no row of a person's verdict",
                where=f"{path}:{number}",
                way_out=f"give {', '.join(columns)} and verdict as a JSON object on each line",
            )
        rows.append({**row, "verdict": given})
    if not rows:
        raise InputError("holds no verdicts", where=path, way_out="fill it, or take 'human' out")
    return rows


def conversation(example: Example) -> str:
    """What was asked, for the judge to read."""
    turns = [turn for turn in example.prompt if turn["content"].strip()]
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns)


def last_mark(pattern: str) -> Callable[[str], str | None]:
    """Reads the last `[[...]]` of an answer that holds what the pattern says."""
    mark = re.compile(rf"\[\[\s*({pattern})\s*\]\]")

    def read(answer: str) -> str | None:
        found = mark.findall(answer)
        return str(found[-1]) if found else None

    return read


class _Kept:
    """Verdicts in a file that only grows; a line that a killed run left half is passed over."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / FILE if folder else None
        self.lock = threading.Lock()

    @cached_property
    def known(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self.path is None or not self.path.is_file():
            return found
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                found[str(entry["key"])] = float(entry["verdict"])
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def add(self, entry: dict[str, Any]) -> None:
        with self.lock:
            self.known[entry["key"]] = entry["verdict"]
            if self.path is None:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" if self._is_torn() else "")
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def _is_torn(self) -> bool:
        """Whether the last line has no end."""
        assert self.path is not None, "only of a file"
        with self.path.open("rb") as file:
            if not file.seek(0, 2):
                return False
            file.seek(-1, 2)
            return file.read(1) != b"\n"


Judge = tuple[str, Callable[[Sequence[Message], float], str]]  # its identity, and how it is asked


def _verdict(question: Question, judge: Judge, kept: _Kept) -> float:
    name, ask = judge
    key = digest_of_json([name, question.messages])
    with kept.lock:
        if key in kept.known:
            return kept.known[key]
    answer = ""
    for attempt in range(ATTEMPTS):
        answer = ask(question.messages, DRAWN_AT if attempt else 0.0)
        verdict = question.read(answer)
        if verdict is not None:
            kept.add({"key": key, "judge": name, "verdict": verdict, "said": answer,
                      "asked": list(question.messages)})  # fmt: skip
            return verdict
    raise InputError(
        f"says nothing that is a verdict: {answer[-80:]!r}",
        where=f"judge {name}",
        way_out="choose another judge_model: this one does not keep to the form that is asked for",
    )


def _judge(settings: Judged) -> Judge:
    if settings.endpoint is None:
        folder = Path(settings.judge_model)
        local = LocalJudge(folder)
        return folder.name, lambda messages, heat: local.ask(messages, heat, MOST_TOKENS)
    endpoint = Endpoint(
        settings.endpoint, settings.judge_model, settings.key_variable, settings.timeout_seconds
    )
    name = f"{settings.judge_model} at {settings.endpoint}"
    return name, lambda messages, heat: endpoint.ask(messages, MOST_TOKENS, heat)


def _existing(path: Path, key: str) -> Path:
    if not path.exists():
        raise InputError("is not there", where=f"{key}: {path}", way_out=f"mend '{key}'")
    return path.resolve()
