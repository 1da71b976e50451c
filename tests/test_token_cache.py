"""Rows encoded together, or read back from disk, are those encoded one by one."""

from __future__ import annotations

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data import encoding
from onsa.data.encoded import Encoded
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.token_cache import TokenCache
from onsa.errors import InputError

WORDS = ["ba", "音叉", "say", "again", "", " ", "<|im_end|>", "\n", "é"]


def talk(*turns: str, **more: Any) -> Example:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns))
    return Example(messages, source="rows.jsonl:7", **more)


def many(count: int, seed: int = 0) -> list[Example]:
    draw = random.Random(seed)

    def words() -> str:
        return " ".join(draw.choices(WORDS[:4], k=draw.randint(1, 12)))

    return [talk(*(words() for _ in range(2 * draw.randint(1, 3)))) for _ in range(count)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenCache:
    monkeypatch.setattr(encoding, "LEAST_CACHED", 1)
    return TokenCache(tmp_path / "tokens", "0" * 64)


def never(*given: Any) -> Any:
    raise AssertionError("encoded anew")


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=8))
def test_together_is_one_by_one(tokenizer: Any, turns: list[list[str]]) -> None:
    rows = [talk("say", " ".join(words) or "x", only_last=len(words) > 3) for words in turns]
    one, all_at_once = Encoder(tokenizer, 40), Encoder(tokenizer, 40)
    assert all_at_once.encode_all([*rows, rows[0]]) == [one.encode(row) for row in [*rows, rows[0]]]


def test_rows_come_back_from_disk(
    tokenizer: Any, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = many(60)
    first = Encoder(tokenizer, 60, cache=cache).encode_all(rows)
    assert any(row.lost_tokens for row in first)
    monkeypatch.setattr(encoding, "_encode_many", lambda rows, encoder: never() if rows else [])
    again = Encoder(tokenizer, 60, cache=cache).encode_all(many(60)[::-1])
    assert again[::-1] == first


def test_only_new_rows_are_encoded(
    tokenizer: Any, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    Encoder(tokenizer, 400, cache=cache).encode_all(many(30))
    seen: list[int] = []
    encode_many = encoding._encode_many

    def counted(rows: Any, encoder: Encoder) -> list[Encoded]:
        seen.append(len(rows))
        return encode_many(rows, encoder)

    monkeypatch.setattr(encoding, "_encode_many", counted)
    known = many(30)
    tools = dataclasses.replace(known[0], extra={"tools": []})  # which a template may write out
    last = dataclasses.replace(next(row for row in known if len(row.messages) > 2), only_last=True)
    Encoder(tokenizer, 400, cache=cache).encode_all([*known, talk("new", "row"), tools, last])
    assert seen == [3]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "other"])
def test_what_is_damaged_is_made_again(tokenizer: Any, cache: TokenCache, harm: str) -> None:
    """Red without the checksum: a flipped bit would train other tokens without a word."""
    rows = many(30)
    first = Encoder(tokenizer, 60, cache=cache).encode_all(rows)
    (path,) = cache.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    harmed = {"cut": content[:-7], "flip": content, "empty": b"", "other": b"{}" * 99}
    path.write_bytes(harmed[harm])
    assert Encoder(tokenizer, 60, cache=cache).encode_all(many(30)) == first
    (path,) = cache.folder.iterdir()
    assert Encoder(tokenizer, 60, cache=cache).encode_all(many(30)) == first


def test_many_may_write_at_once(tokenizer: Any, cache: TokenCache) -> None:
    expected = [Encoder(tokenizer, 60).encode_all(many(40, seed % 2)) for seed in range(6)]

    def encode(seed: int) -> list[Encoded]:
        return Encoder(tokenizer, 60, cache=cache).encode_all(many(40, seed % 2))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(encode, range(6))) == expected
    assert not [path for path in cache.folder.iterdir() if path.suffix != ".safetensors"]


def test_it_stays_small(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "LEAST_CACHED", 1)
    caches = [TokenCache(tmp_path, f"{n}" * 40, most_bytes=50_000) for n in range(5)]
    for seed, cache in enumerate(caches):
        Encoder(tokenizer, 400, cache=cache).encode_all(many(60, seed))
    kept = [path.stat().st_size for path in tmp_path.rglob("*.safetensors")]
    assert 50_000 - min(kept) < sum(kept) <= 50_000
    assert list(caches[-1].folder.glob("*.safetensors"))


def test_a_place_that_cannot_be_written_keeps_nothing(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = TokenCache(tmp_path / "file", "0" * 64)
    encoder = Encoder(tokenizer, 60, cache=cache)
    assert len(encoding.encode_together(many(5), encoder, cache)) == 5


def test_the_first_faulty_row_is_the_one_named(tokenizer: Any) -> None:
    rows = [talk("a", "b"), talk("say " * 50, "a"), talk("x")]
    with pytest.raises(InputError, match=r"rows.jsonl:7: no reply token is left"):
        Encoder(tokenizer, 20).encode_all(rows)


def test_an_encoded_row_is_small() -> None:
    row = Encoded(list(range(1000, 2000)), list(range(1000, 2000)))
    assert row.ids.itemsize * len(row.ids) + row.labels.itemsize * len(row.labels) == 8000
    assert list(row.ids)[:2] == [1000, 1001]
