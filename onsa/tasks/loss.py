"""Held-out loss on the replies: for open conversations, where no reply is the only right one."""

from __future__ import annotations

from onsa.tasks import Kind
from onsa.tasks._files import FileSettings, load_files

KIND = Kind(
    name="loss",
    summary="The mean loss on the tokens of held-out replies; lower is better.",
    settings=FileSettings,
    load=load_files,
    metric="loss",
    mode="loss",
    higher_is_better=False,
)
