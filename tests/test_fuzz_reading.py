"""Ten thousand files, whole and damaged: faults are InputError, and no row is lost without a word.

`make fuzz` reads ten thousand; the suite a few hundred of them.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onsa.data.files._opened import Facts
from onsa.data.reading import read_examples, read_rows
from onsa.errors import InputError

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
parquet_library = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
zstandard = pytest.importorskip("zstandard", reason="needs the extra 'data'")

FILES = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 300
BUNDLES = 10  # so that two processes share them

Rows = list[dict[str, Any]]
TEXTS = [
    "a", "two words", "日本語の文です。", "カタカナと漢字を書く", "ﾊﾝｶｸ", "１２", "é", "😀", "",
    " ", "0", "-1", '"', "a,b", "a\tb", "a;b", "x\ny", "{", "[",
    "]", "['a', 'b']", "null", "\u2028",
    "\\", "#", "1e5", "。" * 50, "word " * 60,
]  # fmt: skip
VALUES: list[Any] = [None, True, False, 0, 1, -3, 2.5, 10**20, [], ["a"], {}, {"a": 1}, [["a"]]]
SHAPES: list[Callable[[Callable[[], Any]], dict[str, Any]]] = [
    lambda text: {"prompt": text(), "completion": text()},
    lambda text: {"instruction": text(), "input": text(), "output": text()},
    lambda text: {"text": text(), "label": text()},
    lambda text: {"sentence1": text(), "sentence2": text(), "label": text()},
    lambda text: {"question": text(), "answer": text()},
    lambda text: {"question": text(), "A": text(), "B": text(), "answer": "A"},
    lambda text: {"prompt": text(), "chosen": text(), "rejected": text()},
    lambda text: {"prompt": text(), "completion": text(), "label": "true"},
    lambda text: {"context": text(), "question": text(), "answers": text()},
    lambda text: {
        "messages": [
            {"role": "user", "content": text()},
            {"role": "assistant", "content": text()},
        ]
    },
    lambda text: {"conversations": [{"from": "human", "value": text()}], "tools": text()},
    lambda text: {"paragraphs": [{"context": text(), "qas": [{"question": text()}]}]},
    lambda text: {"turns": [text()], "text": text()},
    lambda text: {text(): text()},
]


def rows_by(rng: random.Random) -> Rows:
    """Up to 20 rows of one shape, some of them with a value of another type, or one too few."""
    shape = rng.choice(SHAPES)
    texts = rng.choice([TEXTS, ["ok", "日本語の文です。", "fine"]])
    odd = rng.choice([0.0, 0.0, 0.1])
    rows = []
    for _ in range(rng.randint(1, 20)):
        row = shape(lambda: rng.choice(texts))
        if rng.random() < odd:
            row[rng.choice(list(row))] = rng.choice(VALUES)
        if rng.random() < odd:
            row.pop(rng.choice(list(row)))
        rows.append(row)
    return rows


def as_json_lines(rows: Rows, rng: random.Random) -> str:
    return "".join(json.dumps(row, ensure_ascii=rng.random() < 0.3) + "\n" for row in rows)


def as_json(rows: Rows, rng: random.Random) -> str:
    whole = rows if rng.random() < 0.7 else {"version": 1, "data": rows}
    return json.dumps(whole, ensure_ascii=False, indent=rng.choice([None, 2]))


def cells_of(rows: Rows) -> list[list[str]]:
    names = list(rows[0]) or ["a"]
    return [names, *([str(row.get(name, "")) for name in names] for row in rows)]


def as_csv(rows: Rows, rng: random.Random) -> str:
    out = io.StringIO(newline="")
    end = rng.choice(["\n", "\r\n"])
    csv.writer(out, delimiter=rng.choice(",,;"), lineterminator=end).writerows(cells_of(rows))
    return out.getvalue()


def as_tsv(rows: Rows, rng: random.Random) -> str:
    return "".join("\t".join(cells) + "\n" for cells in cells_of(rows))


def as_text(rows: Rows, rng: random.Random) -> str:
    return "\n".join(str(value) for row in rows for value in row.values())


def as_arrow(rows: Rows, rng: random.Random, *, parquet: bool) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        try:
            columns[name] = pyarrow.array(cells)
        except (pyarrow.ArrowException, OverflowError):
            columns[name] = pyarrow.array([json.dumps(cell) for cell in cells])
    table = pyarrow.table(columns)
    out = io.BytesIO()
    if parquet:
        try:
            parquet_library.write_table(table, out, row_group_size=rng.choice([3, 100]))
        except pyarrow.ArrowException:  # it cannot write all that Arrow holds
            return as_arrow(rows, rng, parquet=False)
        return out.getvalue()
    new = rng.choice([pyarrow.ipc.new_file, pyarrow.ipc.new_stream])
    with new(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=rng.choice([4, 100]))
    return out.getvalue()


WRITERS: dict[str, Callable[[Rows, random.Random], str | bytes]] = {
    "jsonl": as_json_lines,
    "json": as_json,
    "csv": as_csv,
    "tsv": as_tsv,
    "txt": as_text,
    "data": as_json,
    "parquet": lambda rows, rng: as_arrow(rows, rng, parquet=True),
    "arrow": lambda rows, rng: as_arrow(rows, rng, parquet=False),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
}
ENCODINGS = ["utf-8"] * 4 + ["utf-8-sig", "utf-16", "cp932", "euc_jp", "iso2022_jp", "latin-1"]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, put in, taken out, moved; or the end cut off."""
    bytes_of = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 3, 10])):
        at = rng.randrange(len(bytes_of) + 1)
        length = rng.choice([1, 1, 2, 8, 40])
        way = rng.randrange(6)
        if way == 0:
            bytes_of[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
        elif way == 1:
            del bytes_of[at : at + length]
        elif way == 2:
            bytes_of[at:at] = bytes(rng.randrange(256) for _ in range(length))
        elif way == 3:
            bytes_of[at:at] = rng.choice(
                [b'"', b"\n", b"\0", b"\r", b",", b"\t", b"[", b"}", b"\\"]
            )
        elif way == 4:
            start = rng.randrange(len(bytes_of) + 1)
            bytes_of[at:at] = bytes_of[start : start + length]
        else:
            del bytes_of[at:]
    return bytes(bytes_of)


def check(path: Path) -> int:
    """Read the file as it would be for each kind of task; the number of rows, 0 where refused."""
    base = path.parent
    try:
        rows = list(read_rows(path.name, base_folder=base))
    except InputError as fault:
        require_one_line(fault)
        rows = []
    sources = [source for _, source in rows]
    assert len(set(sources)) == len(sources)
    for asked in (
        {"feedback": True, "unanswered": True},
        {"columns": {"prompt": "prompt", "reply": "completion"}},
        {"unicode": "NFKC", "tools": "text"},
    ):
        skipped: list[str] = []
        try:
            examples = read_examples(path.name, base_folder=base, skipped=skipped, **asked)
        except InputError as fault:
            require_one_line(fault)
            continue
        kept = [example.source for example in examples]
        left_out = [place.rsplit(" (", 1)[0] for place in skipped]
        assert sorted(kept + left_out) == sorted(sources)
        for example in examples:
            assert example.messages[-1]["role"] == "assistant"
            json.dumps([example.messages, example.extra], allow_nan=False)
    return len(rows)


def require_one_line(fault: InputError) -> None:
    str(fault).encode("utf-8")
    assert "\n" not in str(fault)
    assert fault.way_out


@pytest.mark.hypothesis
@pytest.mark.parametrize("bundle", range(BUNDLES))
def test_pain_P8_no_file_makes_a_traceback_or_loses_a_row(bundle: int, tmp_path: Path) -> None:
    """Goes red without `broken_told`; the test below where a reader leaves out broken rows."""
    for number in range(bundle, FILES, BUNDLES):
        rng = random.Random(f"reading/{number}")
        rows = rows_by(rng)
        ending, packing = rng.choice(list(WRITERS)), rng.choice(["", "", *PACKERS])
        encoding = rng.choice(ENCODINGS)
        written = WRITERS[ending](rows, rng)
        content = written if isinstance(written, bytes) else written.encode(encoding, "replace")
        kind = rng.choice(["whole", "damaged", "damaged inside", "damaged"])
        if kind == "damaged inside":
            content = damaged(content, rng)
        content = PACKERS[packing](content)
        if kind == "damaged":
            content = damaged(content, rng)
        path = tmp_path / f"{number}.{ending}{packing}"
        path.write_bytes(content)
        try:
            found = check(path)
            if kind == "whole" and ending in ("jsonl", "json", "data", "parquet", "arrow"):
                assert found in (0, len(rows))
        except BaseException as fault:
            fault.add_note(f"file {number}: {kind} {path.name}, {encoding}")
            raise
        path.unlink()


@pytest.mark.hypothesis
@pytest.mark.parametrize("bundle", range(BUNDLES))
def test_every_line_is_a_row_or_a_fault(bundle: int, tmp_path: Path) -> None:
    """Of damaged JSON lines and text that are read at all, every line but the blank is a row."""
    read = 0
    for number in range(bundle, FILES, BUNDLES):
        rng = random.Random(f"lines/{number}")
        ending = rng.choice(["jsonl", "txt"])
        content = damaged(str(WRITERS[ending](rows_by(rng), rng)).encode(), rng)
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(content)
        facts: Facts = {}
        try:
            rows = list(read_rows(path.name, base_folder=tmp_path, facts=facts))
        except InputError:
            continue
        if facts or any(source.count(".") > 1 for _, source in rows):
            continue  # another encoding, or rows in rows
        lines = content.decode("utf-8-sig").split("\n")
        assert len(rows) == sum(bool(line.strip()) for line in lines), number
        read += 1
    assert read > FILES // BUNDLES // 20
