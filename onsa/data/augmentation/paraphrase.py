"""A given model says it in other words, or translates it there and back (arXiv:1511.06709).

What it said is kept beside the recipe, so that it is asked once. Each text has chance of its own
(Gumbel noise on the logits, which draws as sampling does), whatever batch it is in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from onsa.data.augmentation._edit import Edit, Job, Tools
from onsa.errors import InputError
from onsa.files import digest_of_json, read_json, write_json
from onsa.settings import Settings

FOLDER = Path(".onsa") / "paraphrases"
SECONDS_BETWEEN_SAVES = 60

Prompt = Annotated[str, StringConstraints(pattern=r"\{text\}")]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Paraphrase(Settings):
    """Which model is asked, and how."""

    model: str = Field(description="a causal language model: its folder or hub name")
    prompt: Annotated[list[Prompt], BeforeValidator(_listed), Field(min_length=1)] = Field(
        ["Say this in other words, with the same meaning. Give only the new wording.\n\n{text}"],
        description="what it is asked, with {text} in it; of several, each gets the last one's "
        "reply: translate there, translate back",
    )
    max_new_tokens: int = Field(128, ge=1, description="a longer reply is not taken")
    temperature: float = Field(0.8, gt=0, le=10, description="of the drawing of its tokens")
    batch_size: int = Field(16, ge=1, description="texts at once")
    chat_template: Literal["plain"] | None = Field(
        None, description="plain, for a model without a template of its own"
    )


def rewrite(jobs: Sequence[Job], setting: Paraphrase, tools: Tools) -> list[str | None]:
    """What the model makes of the texts, or what it is known to have made of them."""
    from onsa.data.augmentation._speaker import Speaker  # torch loads where it is needed only

    speaker = Speaker(setting, tools.base_folder)
    asked = setting.model_dump(mode="json", exclude={"model", "batch_size"})
    digest = digest_of_json([speaker.digest, asked])
    file = tools.base_folder / FOLDER / f"{digest[:20]}.json"
    known: dict[str, Any] = read_json(file) if file.is_file() else {}
    seeds = [job.chance.getrandbits(62) for job in jobs]
    keys = [digest_of_json([job.text, seed]) for job, seed in zip(jobs, seeds, strict=True)]
    missing = [place for place, key in enumerate(keys) if key not in known]
    if missing:
        missing.sort(key=lambda place: -len(jobs[place].text))
        _make_room(file.parent)
        saved = time.monotonic()
        for at in range(0, len(missing), setting.batch_size):
            batch = missing[at : at + setting.batch_size]
            replies = speaker.say([jobs[place].text for place in batch], [seeds[p] for p in batch])
            known.update(zip((keys[place] for place in batch), replies, strict=True))
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                write_json(file, known)
                saved = time.monotonic()
        write_json(file, known)
    return [known[key] for key in keys]


def _make_room(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(
            f"there is no place to keep paraphrases ({fault.strerror})",
            where=folder,
            way_out="put the recipe into a folder that can be written",
        ) from None


EDIT = Edit(
    name="paraphrase",
    summary="a given model says it in other words",
    rewrite=rewrite,
    type=Paraphrase,
)
