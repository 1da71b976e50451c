"""Cleaning: the rows that rules keep into one file, what was dropped or changed into another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from onsa.errors import InputError
from onsa.files import write_beside
from onsa.inspection.keys import row_keys
from onsa.inspection.records import Record, Row
from onsa.inspection.repeats import Seen
from onsa.inspection.rules import Rules, Verdict

Facts = dict[str, Any]
ENDING = ".jsonl"


def dropped_file(output: Path) -> Path:
    """`train.clean.dropped.jsonl` beside `train.clean.jsonl`."""
    return output.with_name(output.name.removesuffix(ENDING) + ".dropped" + ENDING)


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that could not be written, read back, or would cost a file that is there.

    Raises:
        InputError: any of these.
    """
    if not output.name.endswith(ENDING) or output.name == ENDING:
        raise InputError(
            "cleaned rows are JSON Lines", where=output, way_out=f"end its name in {ENDING}"
        )
    if not output.parent.is_dir():
        raise InputError("there is no such folder", where=output.parent, way_out="make it first")
    for path in (output, dropped_file(output)):
        if any(path.exists() and each.exists() and path.samefile(each) for each in inputs):
            raise InputError("is one of the inputs", where=path, way_out="write to another file")
        if path.exists():
            raise InputError("is there already", where=path, way_out="choose another --write")


def clean(records: Callable[[], Iterator[Record]], rules: Rules, output: Path) -> Facts:
    """Write what the rules keep, and what they did; `records()` gives the rows from the start.

    Rows in = rows kept + rows dropped, counted in the files, or nothing is written.

    Raises:
        InputError: a row cannot be written, no row is kept, or the rules need what is not there.
    """
    if "conflicts" in rules.names:
        rules.conflicting = conflicting_prompts(rules.changes(record)[0] for record in records())
    with write_beside(dropped_file(output)) as log, write_beside(output) as kept:
        with _writing(kept) as kept_rows, _writing(log) as log_lines:
            tally = write_rows(records(), rules, kept_rows, log_lines)
        if tally["kept"] == 0:
            raise InputError("the rules keep no row", where="--rules", way_out="name fewer of them")
        assert line_count(kept) == tally["rows"] - tally["dropped"], "a row was lost"
        assert line_count(log) == tally["dropped"] + tally["changed"], "a dropped row was lost"
    files = {"output": str(output), "dropped_file": str(dropped_file(output))}
    return {**files, **tally, "unsearched": rules.unsearched}


def _writing(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def write_rows(
    records: Iterable[Record], rules: Rules, kept_rows: IO[str], log_lines: IO[str]
) -> Facts:
    """Write each row to one of the two files (a changed one to both), and count them."""
    rows, counts, by_rule = 0, Counter[str](), Counter[str]()
    for record in records:
        rows += 1
        now, changes = rules.changes(record)
        dropped = rules.drops(now)
        if dropped is None:
            kept_rows.write(line_of(now.row, record.source))
        verdicts = changes if dropped is None else [dropped]
        by_rule.update(each.rule for each in verdicts)
        counts["kept" if dropped is None else "dropped"] += 1
        if verdicts:
            action = "changed" if dropped is None else "dropped"
            counts["changed"] += dropped is None
            log_lines.write(line_of(log_entry(record, action, verdicts), record.source))
    return {
        "rows": rows,
        **{name: counts[name] for name in ("kept", "dropped", "changed")},
        "by_rule": {rule: by_rule[rule] for rule in rules.names},
    }


def log_entry(record: Record, action: str, verdicts: list[Verdict]) -> Row:
    """What happened to a row, why, and the row as it was."""
    return {
        "source": record.source,
        "action": action,
        "rule": ", ".join(each.rule for each in verdicts),
        "why": "; ".join(each.why for each in verdicts),
        "row": record.row,
    }


def line_of(row: Row, source: str) -> str:
    """A row as one line of JSON.

    Raises:
        InputError: JSON has no word for something in it.
    """
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
        line.encode("utf-8")
    except UnicodeEncodeError:  # half a character can only be written as an escape
        line = json.dumps(row, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as fault:
        raise InputError(
            f"the row cannot be written as JSON ({fault})", where=source, way_out="mend the row"
        ) from None
    return line + "\n"


def line_count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def conflicting_prompts(records: Iterable[Record]) -> set[int]:
    """Hashes of the inputs that have different replies in different rows."""
    seen, found = Seen(), set()
    for record in records:
        if not record.fault:
            prompt, reply = row_keys(record)
            if seen.add(prompt, reply, len(seen.replies))[1] is not None:
                found.add(prompt)
    return found
