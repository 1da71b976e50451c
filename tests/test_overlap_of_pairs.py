"""Pairs of texts on both sides: turned round they are the same, one text in common is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.data.formats._labels import labelled
from onsa.data.overlap import find_overlap, normalised, together, without_overlap
from onsa.data.shared_texts import Texts, shared_texts
from onsa.errors import InputError
from onsa.prepare.notes import overlap_notes
from onsa.tasks import Task, load_task
from tests.command_line import onsa
from tests.shared_data import SHARED, needs_shared_data


def rows(name: str, *texts: tuple[str, ...]) -> list[Example]:
    return [labelled(each, "x", f"{name}:{n}") for n, each in enumerate(texts, start=1)]


TRAIN = rows("t", ("A cat.", "A dog."), ("one", "two"), ("three", "four"), ("five",))
EVALUATION = rows(
    "e",
    ("a dog.", "Ａ CAT."),  # turned round
    ("one", "two"),
    ("two", "six"),  # shares one text, with a twin of another row
    ("seven", "five"),  # with a row of a single text
    ("four", "four"),
    ("eight", "nine"),
)


def test_a_pair_turned_round_is_the_same_example() -> None:
    found = find_overlap(TRAIN, EVALUATION)
    assert found.twins == {0: "t:1", 1: "t:2"}
    assert str(found) == (
        "2 of 6 evaluation rows are training rows too, 1 of them with the texts turned round "
        "(e:1 = t:1, e:2 = t:2)"
    )
    assert [row.source for row in without_overlap(TRAIN, EVALUATION)] == ["t:3", "t:4"]
    assert together([*TRAIN, *EVALUATION]) == [[0, 4], [1, 5], [2], [3], [6], [7], [8], [9]]


def test_a_text_in_common_is_a_note_with_numbers() -> None:
    halves = {name: (part, Texts.of(part)) for name, part in (("a", TRAIN[:2]), ("b", TRAIN[2:]))}
    said = shared_texts(halves, EVALUATION, find_overlap(TRAIN, EVALUATION).twins)
    assert said == (
        "3 of 6 evaluation rows have one text in common with 3 training rows (a 1, b 2), such as "
        "e:3 and t:2, e:4 and t:4, e:5 and t:3"
    )
    assert shared_texts(halves, EVALUATION[:2], (0, 1)) == ""
    talk = [Example(({"role": "user", "content": "one"}, {"role": "assistant", "content": "x"}))]
    assert shared_texts({"a": (talk, Texts.of(talk))}, EVALUATION, ()) == ""
    assert shared_texts(halves, talk, ()) == ""


PAIRS = st.lists(st.tuples(*[st.sampled_from(["a", "b", "A ", "c", "d", "e f", "e  F"])] * 2))


@given(PAIRS, PAIRS)
def test_the_numbers_are_those_of_a_plain_count(one: list[Any], other: list[Any]) -> None:
    train, evaluation = rows("t", *one), rows("e", *other)
    found = find_overlap(train, evaluation)
    plain = [[tuple(map(normalised, each)) for each in side] for side in (one, other)]
    twins = {n for n, pair in enumerate(plain[1]) if {pair, pair[::-1]} & set(plain[0])}
    assert set(found.twins) == twins
    left = [pair for n, pair in enumerate(plain[1]) if n not in twins]
    sharing = sum(bool(set(pair) & {text for each in plain[0] for text in each}) for pair in left)
    trained = sum(bool(set(pair) & {text for each in left for text in each}) for pair in plain[0])
    said = shared_texts({"t": (train, Texts.of(train))}, evaluation, found.twins)
    if sharing:
        assert said.startswith(
            f"{sharing} of {len(other)} evaluation rows have one text in common with {trained} "
            f"training rows (t {trained}), such as e:"
        )
    else:
        assert said == ""


# --- in check and in data ------------------------------------------------------------------------


def as_rows(examples: list[Example]) -> list[dict[str, Any]]:
    texts = [(*example.texts, "")[:2] for example in examples]
    return [{"sentence1": one, "sentence2": other, "label": "x"} for one, other in texts]


def test_data_finds_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(Path("train.jsonl"), as_rows(TRAIN[:3]))
    write_rows(Path("eval.jsonl"), as_rows([*EVALUATION[:3], *EVALUATION[4:]]))
    arguments = ("data", "train.jsonl", "--eval", "eval.jsonl", "--near", "0")
    facts = json.loads(onsa(*arguments, "--json").out)
    overlap, shared = (facts["findings"][name] for name in ("overlap", "shared_texts"))
    assert [case["source"] for case in overlap["cases"]] == ["train.jsonl:1", "train.jsonl:2"]
    assert (shared["rows"], shared["evaluation_rows"]) == (1, 1)
    assert (shared["cases"][0]["source"], shared["cases"][0]["twin"]) == (
        "train.jsonl:3",
        "eval.jsonl:4",
    )
    assert "shared texts: with 1 evaluation rows" in onsa(*arguments).out
    write_rows(Path("train.jsonl"), [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}])
    write_rows(Path("eval.jsonl"), [{"text": "a", "label": "x"}])
    assert "shared_texts" not in json.loads(onsa(*arguments, "--json").out)["findings"]


# --- JGLUE: JSTS and JNLI are of the same sentences ----------------------------------------------


@pytest.fixture(scope="module")
def jglue() -> list[Task]:
    keys = {
        "jsts": ("regress", "jsts-v1.3/train-v1.3.json", "jsts-v1.3/valid-v1.3.json"),
        "jnli": ("pair", "jnli-v1.3/valid-v1.3.json", "jnli-v1.3/test-v1.3.json"),
    }
    return [
        load_task(name, kind, {"train": f"jglue/{train}", "eval": f"jglue/{test}"}, SHARED, 0)
        for name, (kind, train, test) in keys.items()
    ]


@needs_shared_data
def test_the_splits_of_jsts_share_sentences_and_no_pairs(jglue: list[Task]) -> None:
    """Goes red when pairs are compared as wholes alone: nothing would be said."""
    (note,) = overlap_notes(jglue[:1], 0.0)
    assert note.startswith(
        "task jsts: 181 of 1,457 evaluation rows have one text in common with 272 training rows "
        "(jsts 272), such as jglue/jsts-v1.3/valid-v1.3.json:"
    )


@needs_shared_data
def test_jsts_trains_on_what_jnli_is_scored_on(jglue: list[Task]) -> None:
    """Goes red when the order of a pair counts: 419 of the 785 would be missed."""
    with pytest.raises(InputError, match=r"task jsts: 127 of 1457 .* 21 of them with the texts"):
        overlap_notes(jglue, 0.0)
    notes = overlap_notes(jglue, 0.7)
    told = [note.partition(" (")[0] for note in notes]
    assert told[2].startswith(
        "task jnli: 785 of 1254 evaluation rows are training rows too, 419 of them with the texts "
        "turned round"
    )
    assert told[3].startswith("task jnli: 162 of 1,254 evaluation rows have one text in common")
