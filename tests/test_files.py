"""Files of every kind: what is in them, packed or not, in any encoding, read as a stream."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import sys
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onsa.data.files import _json, _opened, all_file_kinds
from onsa.data.files._encoding import guess
from onsa.data.files._opened import Facts
from onsa.data.reading import read_examples, read_rows, sentences
from onsa.errors import InputError
from onsa.tasks._files import FileSettings, load_files
from tests.shared_data import SHARED, needs_shared_data

ROWS = [{"prompt": f"問{n}", "completion": f"答え{n}"} for n in range(5)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def packers() -> dict[str, Callable[[bytes], bytes]]:
    zstandard = pytest.importorskip("zstandard")
    return {**PACKERS, ".zst": lambda content: zstandard.ZstdCompressor().compress(content)}


def rows_in(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for row, _ in read_rows(path.name, base_folder=path.parent, **options)]


def fault(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_examples(path.name, base_folder=path.parent, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.way_out
    return str(caught.value)


# --- kinds and packings ------------------------------------------------------------------------


def arrow_bytes(rows: list[dict[str, Any]], kind: str, metadata: Any = None) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.Table.from_pylist(rows)
    table = table.replace_schema_metadata(metadata)
    out = io.BytesIO()
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, out, row_group_size=2)
        return out.getvalue()
    new = pyarrow.ipc.new_stream if kind == "stream" else pyarrow.ipc.new_file
    with new(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return out.getvalue()


def contents() -> Iterator[tuple[str, bytes]]:
    table = [("prompt", "completion"), *((row["prompt"], row["completion"]) for row in ROWS)]
    yield "a.jsonl", LINES.encode()
    yield "a.json", json.dumps(ROWS).encode()
    yield "a.json", json.dumps({"version": "1", "names": ["x"], "data": ROWS}).encode()
    yield "a.json", "\n".join(json.dumps(row, indent=1) for row in ROWS).encode()
    yield "a.csv", "\n".join(map(",".join, table)).encode()
    yield "a.csv", "\r\n".join(map(";".join, table)).encode()
    yield "a.tsv", "\n".join(map("\t".join, table)).encode()
    yield "a.txt", "\n".join(map("\t".join, table)).encode()
    yield "a.txt.dev", LINES.encode()
    yield "a.parquet", arrow_bytes(ROWS, "parquet")
    yield "a.arrow", arrow_bytes(ROWS, "file")
    yield "a.feather", arrow_bytes(ROWS, "stream")


def test_every_kind_is_read_packed_or_not(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    seen = set()
    for name, content in contents():
        for packing, pack in {"": bytes, **packers()}.items():
            path = tmp_path / f"{name}{packing}"
            path.write_bytes(pack(content))
            assert rows_in(path) == ROWS, path.name
        seen.add("." + name.split(".")[1])
    assert seen | {".ndjson"} == set(all_file_kinds())


def test_a_packed_file_is_whole_or_refused(tmp_path: Path) -> None:
    """Red with the readers of the standard library: they leave a damaged second part out."""
    for packing, pack in packers().items():
        path = tmp_path / f"a.jsonl{packing}"
        path.write_bytes(pack(LINES.encode()) + b"\0" * 4 + pack(LINES.encode()))
        assert rows_in(path) == ROWS * 2
        for broken in (
            pack(LINES.encode())[:-1],
            pack(LINES.encode()) + pack(LINES.encode())[:-3],
            pack(LINES.encode()) + b"more",
            LINES.encode(),
            b"",
        ):
            path.write_bytes(broken)
            assert f"a.jsonl{packing}: cannot be read" in fault(path), broken


def test_plain_text_is_a_row_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\n\n  second one\r\nthird", encoding="utf-8")
    rows = list(read_rows("a.txt", base_folder=tmp_path))
    assert rows == [
        ({"text": "first"}, "a.txt:1"),
        ({"text": "  second one"}, "a.txt:3"),
        ({"text": "third"}, "a.txt:4"),
    ]
    (tmp_path / "a.txt").write_text("[The doctor] hired [the nurse].\n[1] A source\n{x}")
    assert len(rows_in(tmp_path / "a.txt")) == 3
    (tmp_path / "b.json").write_text('["first", "second"]')
    assert rows_in(tmp_path / "b.json") == [{"text": "first"}, {"text": "second"}]


def test_what_was_found_by_looking_is_said(tmp_path: Path) -> None:
    facts: Facts = {}
    (tmp_path / "a.txt").write_text("text\tlabel\nx\ty\n")
    (tmp_path / "b.csv").write_text("text;label\nx, z;y\n")
    (tmp_path / "c.csv").write_bytes("text,label\n良い部屋です,好評\n".encode("cp932"))
    for name in ("a.txt", "b.csv", "c.csv", "c.csv"):
        rows_in(tmp_path / name, facts=facts)
    assert sentences(facts) == [
        "a.txt is a table with tabs",
        "b.csv is separated by semicolons",
        "c.csv is Shift-JIS",
    ]


def test_notes_of_a_task(tmp_path: Path) -> None:
    lines = "prompt,completion\n" + "".join(f"問い{n},答え\n" for n in range(9))
    (tmp_path / "a.csv").write_bytes(lines.encode("euc_jp"))
    settings = FileSettings(train="a.csv", eval_rows=2)
    assert load_files(settings, tmp_path, 0).notes == ("a.csv is EUC-JP",)


# --- Arrow -------------------------------------------------------------------------------------


def test_arrow_rows_are_plain_and_classes_have_names(tmp_path: Path) -> None:
    import datetime
    import decimal

    features = {
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
        "all": {"feature": {"names": ["a", "b"], "_type": "ClassLabel"}, "_type": "List"},
        "note": {"dtype": "string", "_type": "Value"},
    }
    row: dict[str, Any] = {"text": "x", "label": 1, "all": [0, 1], "note": float("nan")}
    row |= {"day": datetime.date(2020, 1, 2), "sum": decimal.Decimal("1.50"), "raw": b"\xff"}
    rows = [row, {**row, "label": -1}]
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    plain = {**row, "label": "pos", "all": ["a", "b"], "note": None, "day": "2020-01-02"}
    plain["sum"] = "1.50"
    for kind in ("parquet", "file", "stream"):
        path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
        path.write_bytes(arrow_bytes(rows, kind, metadata))
        assert rows_in(path) == [plain, {**plain, "label": None}]
    columns = {"prompt": "raw", "reply": "text"}
    assert "'prompt' is bytes, not text" in fault(path, columns=columns)
    path.write_bytes(arrow_bytes(rows, kind, {"huggingface": '{"info": {"features": [1]}}'}))
    assert rows_in(path)[0]["label"] == 1


def test_arrow_files_that_lie_are_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "a.arrow"
    table = pyarrow.table([[1], [2]], names=["a", "a"])
    with pyarrow.OSFile(str(path), "wb") as out, pyarrow.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    assert "two columns are named 'a'" in fault(path)
    whole = arrow_bytes([{"text": "日本語" * 50}], "file")
    at = whole.index("日本語".encode())
    path.write_bytes(whole[:at] + b"\xff" * 9 + whole[at + 9 :])
    assert "a.arrow: cannot be read" in fault(path)  # no text; unchecked it would crash elsewhere
    path.write_bytes(whole[:-20])
    assert "a.arrow: cannot be read" in fault(path)
    (tmp_path / "a.parquet").write_bytes(whole)
    assert "a.parquet: cannot be read" in fault(tmp_path / "a.parquet")


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pyarrow.parquet", "zstandard"):
        monkeypatch.setitem(sys.modules, module, None)
    for name, library in (("a.parquet", "pyarrow"), ("a.jsonl.zst", "zstandard")):
        (tmp_path / name).write_bytes(b"x")
        assert f"needs {library}; pip install 'onsa[data]'" in fault(tmp_path / name)


# --- data sets of the library `datasets` -------------------------------------------------------


def test_a_saved_data_set_is_a_folder_like_others(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"])
    )
    table = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 0]}, features)
    table.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict(train=table, test=table).save_to_disk(tmp_path / "two")
    datasets.DatasetDict(train=table).save_to_disk(tmp_path / "alone")
    for place in ("one", "two/test", "alone"):
        rows = [tuple(row.values()) for row, _ in read_rows(place, base_folder=tmp_path)]
        assert rows == [("a", "neg"), ("b", "pos"), ("c", "neg")]
    assert "the splits test, train; name one: 'two/test'" in fault(tmp_path / "two")
    for wrong in ({}, {"_data_files": [{"filename": "../../secret.arrow"}]}, [], "x"):
        (tmp_path / "one" / "state.json").write_text(json.dumps(wrong))
        assert "its state.json names no tables" in fault(tmp_path / "one")


def test_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "label": [1, 0]},
        datasets.Features(
            text=datasets.Value("string"), label=datasets.ClassLabel(names=["n", "p"])
        ),
    )
    asked = []

    def load(name: str, config: str | None, *, split: str | None) -> Any:
        asked.append((name, config, split))
        return table if split else datasets.DatasetDict(train=table, test=table)

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = list(read_rows("some/set:part@train#1", base_folder=tmp_path))
    assert rows == [({"text": "a", "label": "p"}, "some/set:part@train:1")]
    (first, second) = read_examples("some/set@train", base_folder=tmp_path)
    assert (first.reply, second.reply) == ("p", "n")
    assert asked == [("some/set", "part", "train"), ("some/set", None, "train")]
    with pytest.raises(InputError, match=r"has the splits train, test; name one: 'some/set@train'"):
        read_examples("some/set", base_folder=tmp_path)


def test_a_hub_out_of_reach_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(InputError, match=r"nobody/nothing: is no file here, and the hub gave no"):
        read_examples("nobody/nothing", base_folder=tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="data/nothing: no such file"):  # its folder is here
        read_examples("data/nothing", base_folder=tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="needs datasets"):
        read_examples("nobody/nothing", base_folder=tmp_path)


# --- encodings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp932", "euc_jp", "iso2022_jp"]
)
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_encodings_are_recognised(encoding: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    rows = [{"text": f"これは{n}番目の文章です。", "label": "良い"} for n in range(9)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    content = {
        "jsonl": "\n".join(lines),
        "json": f"[{','.join(lines)}]",
        "csv": "text,label\n" + "\n".join(",".join(row.values()) for row in rows),
    }[ending]
    path.write_bytes(content.encode(encoding))
    facts: Facts = {}
    assert rows_in(path, facts=facts) == rows
    assert bool(facts) != encoding.startswith("utf-8")


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp"])
def test_an_encoding_that_shows_late(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first text that is not ASCII comes after a megabyte, and is cut between two blocks."""
    monkeypatch.setattr("onsa.data.files._compression.BLOCK_BYTES", 1001)
    path = tmp_path / "a.txt"
    lines = ["only ASCII here"] * 2000 + ["ここから日本語の文が続きます。"] * 300
    path.write_bytes("\n".join(lines).encode(encoding))
    assert [row["text"] for row in rows_in(path)] == lines


def test_a_fault_later_in_a_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = '{"prompt": "長い文章を書きます", "completion": "はい、そうです"}\n'
    path.write_bytes(row.encode("cp932") * 3000 + '{"prompt": "é"}'.encode("latin-1"))
    assert "a.jsonl:3001: not Shift-JIS; save the file as UTF-8, or name its" in fault(path)
    path.write_bytes(row.encode() * 3000 + row.encode("cp932"))
    assert "a.jsonl:3001: not UTF-8" in fault(path)
    path.write_bytes(row.encode("cp932") + row.encode("utf-8"))
    assert "a.jsonl:1: not UTF-8" in fault(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for content in ("text,label\na,b\n".encode("utf-16-le"), b"text,label\na\0,b\n"):
        path.write_bytes(content)
        assert "holds a NUL byte" in fault(path)
        assert "'encoding: utf-16-le'" in fault(path)
    assert rows_in_text(path, "text,label\nx,b\n", "utf-16-le") == [{"text": "x", "label": "b"}]
    path.write_bytes("text,label\nCafé – naïve,“Größe”\n".encode("cp1252"))
    assert "a.csv:2: not UTF-8; save the file as UTF-8, or name its encoding" in fault(path)
    rows = rows_in_text(path, "text,label\nCafé – naïve,“Größe”\n", "cp1252")
    assert rows == [{"text": "Café – naïve", "label": "“Größe”"}]
    for wrong in ("latin-99", "rot13", "", "a\0b"):
        assert "no encoding of text" in fault(path, encoding=wrong)


def rows_in_text(path: Path, text: str, encoding: str) -> list[dict[str, Any]]:
    path.write_bytes(text.encode(encoding))
    return rows_in(path, encoding=encoding)


def test_texts_in_one_form_of_unicode_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "ﾊﾝｶｸ ＡＢＣ①", "completion": "か\u3099"}')
    (example,) = read_examples("a.jsonl", base_folder=tmp_path, unicode="NFKC")
    assert [message["content"] for message in example.messages] == ["ハンカク ABC1", "が"]
    (example,) = read_examples("a.jsonl", base_folder=tmp_path)
    assert example.reply == "か\u3099"


HALF = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFF9E)}
HALF |= {"\u3099": "ﾞ", "\u309a": "ﾟ"}


def half_width(word: str) -> str:
    return "".join(HALF.get(letter, letter) for letter in unicodedata.normalize("NFD", word))


@needs_shared_data
def test_real_japanese_text_in_every_encoding() -> None:
    """Of one sentence on: short words are where an encoding cannot be told."""
    rows = rows_in(SHARED / "jglue" / "jcommonsenseqa-v1.3" / "valid-v1.3.json")
    questions = [row["question"] for row in rows]
    for encoding in ("utf-8", "cp932", "euc_jp"):
        for lines in (1, 2, 5, 30):
            told = {guessed(questions[at : at + lines], encoding) for at in range(0, 500, lines)}
            assert told <= {encoding, ""}, (encoding, lines)
    words = [row[f"choice{n}"] for row in rows for n in range(5)]
    katakana = [word for word in words if all("ァ" <= c <= "ヶ" or c == "ー" for c in word)]
    assert len(katakana) > 300
    for at in range(0, 300, 5):
        halves = list(map(half_width, katakana[at : at + 5]))
        assert guessed(halves, "cp932") == "cp932"
    told_of_words = [guessed(words[at : at + 5], "cp932") for at in range(0, 500, 5)]
    assert told_of_words.count("cp932") >= 0.97 * len(told_of_words)
    assert "euc_jp" not in told_of_words


def guessed(lines: list[str], encoding: str) -> str:
    try:
        return str(guess("\n".join(lines).encode(encoding), whole=True))
    except UnicodeEncodeError:
        return ""


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Äpfel und Birnen, Größe", "cp1252"),
        ("don’t worry, it’s fine", "cp1252"),
        ("“Hello” — she said", "cp1252"),
        ("£100 ± 5 °C", "cp1252"),
        ("¿Qué tal, señor?", "cp1252"),
        ("l’été à la plage, déjà vu", "cp1252"),
        ("안녕하세요 반갑습니다. 오늘은 날씨가 좋네요.", "euc_kr"),
        ("今天天气很好,我们去公园玩吧。明天也会很好。", "gb2312"),
        ("今天天氣很好，我們去公園玩吧。明天也會很好。", "big5"),
        ("Привет, как дела?", "cp1251"),
    ],
)
def test_other_languages_are_not_taken_for_japanese(text: str, encoding: str) -> None:
    assert guess(text.encode(encoding), whole=True) is None


# --- streams -----------------------------------------------------------------------------------


def endless(monkeypatch: pytest.MonkeyPatch, start: bytes, again: bytes) -> None:
    """Every file is `start`, and then `again` without an end."""
    block = again * (1 + 10_000 // len(again))
    monkeypatch.setattr(
        _opened, "unpacked", lambda path: itertools.chain([start + again], itertools.repeat(block))
    )


@pytest.mark.parametrize(
    ("name", "start", "again"),
    [
        ("a.jsonl", b"", b'{"a": 1}\n'),
        ("a.json", b'[{"a": 1}', b', {"a": 1}'),
        ("a.json", b"", b'{"a": 1} '),
        ("a.csv", b"a\n", b"1\n"),
        ("a.txt", b"a\n", b"1\n"),
    ],
)
def test_files_are_read_as_streams(
    name: str, start: bytes, again: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch()
    endless(monkeypatch, start, again)
    tracemalloc.start()
    try:
        rows = read_rows(name, base_folder=tmp_path)
        assert sum(1 for _ in itertools.islice(rows, 5_000)) == 5_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "start", "again"),
    [
        ("a.jsonl", b'{"a": "', b"x"),
        ("a.json", b'[{"a": "', b"x"),
        ("a.json", b"[1", b"1"),
        ("a.csv", b'a\n"', b"x\n"),
        ("a.txt", b"", b"x"),
        ("a.txt", b"", b" "),
    ],
)
def test_a_row_without_an_end_is_refused(
    name: str, start: bytes, again: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_opened, "LONGEST_ROW", 1 << 20)
    monkeypatch.setattr(_json, "LONGEST_ROW", 1 << 20)
    monkeypatch.setattr("onsa.data.files.table.LONGEST_ROW", 1 << 20)
    (tmp_path / name).touch()
    endless(monkeypatch, start, again)
    said = fault(tmp_path / name)
    told = ("a row of more than 1,048,576 characters", "field larger than", "4300 digits")
    assert any(words in said for words in told)


def test_a_large_object_with_an_array_is_a_stream_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_json, "LONGEST_ROW", 1 << 12)
    monkeypatch.setattr("onsa.data.files._compression.BLOCK_BYTES", 1000)
    path = tmp_path / "a.json"
    rows = ROWS * 99
    around = {"version": {"a": [1]}, "names": ["x", "y"], "none": [], "data": rows, "end": 1.5}
    path.write_text(json.dumps(around))
    assert rows_in(path) == rows
    path.write_text(json.dumps({**around, "more": rows}))
    assert "two arrays hold rows ('data' and 'more')" in fault(path)
    path.write_text(json.dumps(around)[:-1])
    assert "broken JSON" in fault(path)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_json_is_the_same_however_it_is_cut(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onsa.data.files._compression.BLOCK_BYTES", block)
    rows: list[Any] = [
        {"a": 1.5e-7, "b": [True, False, None], "日本": '語\\"\n\u2028'},
        {"a": 12345678901234567890, "b": {"c": []}},
        {"a": -0.0, "b": "😀", "c": 12},
    ]
    path = tmp_path / "a.json"
    for text in (
        json.dumps(rows),
        json.dumps(rows, ensure_ascii=False, indent=3),
        json.dumps({"x": rows}),
        "\n".join(map(json.dumps, rows)),
        "\n\n".join(json.dumps(row, indent=1) for row in rows),
    ):
        path.write_text(text, encoding="utf-8")
        assert rows_in(path) == rows


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"a": 1}\n {"a": 2}]', "a.json:2: broken JSON (Expecting ',' or ']', column 2, at "),
        ('[{"a": 1},\n\n {"a": tru}]', "a.json:3: broken JSON (Expecting value, column 8"),
        ('[{"a": 1},]', "broken JSON (Expecting value, column 11"),
        ('[{"a": 1}] {', "broken JSON (Extra data, column 12"),
        ('[{"a": 1}', "broken JSON (Expecting ',' or ']'"),
        ('{"a": 1}\n{"a" 2}', "a.json:2: broken JSON (Expecting ':' delimiter, column 6"),
        ('[{"a": 1, "a": 2}]', "broken JSON (the key 'a' stands twice)"),
        ('[{"a": "\\x"}]', "broken JSON (Invalid \\escape"),
        ('[{"a": "', "broken JSON (Unterminated string"),
    ],
)
def test_faults_in_json_name_the_place(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError) as caught:
        rows_in(tmp_path / "a.json")
    assert told in str(caught.value)
