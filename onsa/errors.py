"""What a user is told when something is wrong with what they gave us."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from onsa.language import tell_fault

MOST_NAMED = 16  # known words in a message


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
        super().__init__(_one_line(f"{line}; {way_out}" if way_out else line))

    @property
    def told(self) -> str:
        """The line in the language that the user chose; `str` is always English."""
        return _one_line(tell_fault(self.where, self.what, self.way_out))


def _one_line(text: str) -> str:
    """Names and values come from the user's files: they make no second line and move no cursor."""
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'learning_rate'?` for the nearest known word, else some of the known words."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"known here: {', '.join(known[:MOST_NAMED]) or 'none'}{more}"


def shortened(fault: Exception) -> str:
    """A library's message, in one line that is not too long."""
    text = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {text if len(text) <= 160 else text[:160] + '…'}"
