"""What a user is told when something is wrong with what they gave us."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake that the user can mend: what is wrong, where, and the way out.

    The command line prints it as one line and ends with exit code 2; nothing else in the
    project prints errors. Our own broken invariants are `assert`s instead.
    """

    def __init__(self, what: str, *, where: object = "", way_out: str = "") -> None:
        self.what = what
        self.where = str(where)
        self.way_out = way_out
        line = f"{self.where}: {what}" if self.where else what
        # Names and values come from the user's files: a line break in them must not make two lines.
        super().__init__(" ".join(f"{line}; {way_out}".split() if way_out else line.split()))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'learning_rate'?` for the nearest known word, else the known words."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'none'}"
