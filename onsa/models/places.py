"""Which block and which role a parameter has, told from its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onsa.models.head_names import owner_of

if TYPE_CHECKING:
    pass

ROLES = (  # the first that matches wins: `input_layernorm`, `self_attn.q_norm` are norms
    ("norm", re.compile(r"[Nn]orm|(^|\.)ln_")),
    ("attention", re.compile(r"attn|attention")),
    # BERT's feed-forward is `intermediate` and a plain `output`, as its attention has one too.
    ("mlp", re.compile(r"mlp|ffn|feed_forward|fc\d|experts|intermediate|\d\.output\.dense")),
    ("head", re.compile(r"lm_head|embed_out|score|classifier|(^|\.)cls\.|pooler")),
    ("embedding", re.compile(r"embed|wte|wpe")),
)

OUTSIDE = ROLES[-2:]  # of the blocks, where BERT has norms as well
BLOCK = re.compile(r"\.(?:layers|h|blocks|layer|block)\.(\d+)\.")


@dataclass(frozen=True)
class Place:
    """Where a parameter sits: its block (`3`, or `embedding`, `head`, `norm`) and its role.

    Outside the blocks the two may differ: the norm of an embedding has that as its block.
    """

    block: str
    role: str


def place_of(name: str) -> Place:
    """The place of the parameter `name`, told from the names that architectures use."""
    if owner_of(name) is not None:
        return Place("head", "head")
    role = _first_match(ROLES, name, "other")
    numbered = BLOCK.search(f".{name}")
    return Place(numbered.group(1) if numbered else _first_match(OUTSIDE, name, role), role)


def _first_match(roles: Sequence[tuple[str, re.Pattern[str]]], name: str, otherwise: str) -> str:
    return next((role for role, pattern in roles if pattern.search(name)), otherwise)
