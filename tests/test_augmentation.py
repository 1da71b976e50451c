"""New rows by edits: marked, counted, seeded, never scored on, and never with another reply."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import write_rows
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.augmentation import Augment, all_edits, augment
from onsa.data.augmentation import _pieces as pieces_module
from onsa.data.augmentation._dictionary import WordNet, read_dictionary
from onsa.data.augmentation._edit import Job, Tools
from onsa.data.augmentation._pieces import few, is_segmented_roughly, joined, pieces_of
from onsa.data.example import Example
from onsa.data.overlap import example_keys, find_overlap, prompt_key
from onsa.errors import InputError
from onsa.tasks import load_task

needs_fugashi = pytest.mark.skipif(
    not (find_spec("fugashi") and find_spec("unidic_lite")),
    reason="fugashi is not installed (extra ja)",
)
WORD_EDITS = [name for name in all_edits() if name != "paraphrase"]
SYNONYMS = {"film": ("movie",), "great": ("grand", "superb"), "映画": ("フィルム",)}


def rewrite(name: str, text: str, share: float = 0.3, seed: int = 0, fixed: str = "") -> str | None:
    tools = Tools(Path(), lambda word: SYNONYMS.get(word.casefold(), ()))
    job = Job(text, Random(seed), frozenset(fixed.split()))
    return all_edits()[name].rewrite([job], share, tools)[0]


def row(text: str, reply: str = "good", source: str = "f:1", **extra: Any) -> Example:
    turns = ({"role": "user", "content": text}, {"role": "assistant", "content": reply})
    return Example(turns, extra, source)


PLOT = "the plot of this great film moves along like a slow train across wide open plains"


def sentences(count: int) -> list[Example]:
    words = PLOT.split()
    return [
        row(" ".join(Random(n).sample(words, 8)), "good" if n % 3 else "bad", f"f:{n + 1}")
        for n in range(count)
    ]


# --- texts in pieces ---------------------------------------------------------------------------


@given(st.text() | st.text(st.sampled_from("aé 't-.、。ねこ猫コ１9\n\t")))
def test_pieces_are_the_text(text: str) -> None:
    assert joined(pieces_of(text)) == text


def roles(text: str, role: str, protected: str = "") -> list[str]:
    found = pieces_of(text, frozenset(protected.split()))
    return [piece.text for piece in found if piece.role == role]


def test_what_may_be_edited_in_english() -> None:
    text = "The plot isn't bad, it's 3 times as well-made as that!"
    assert roles(text, "content") == ["plot", "bad", "times", "well-made"]
    assert roles(text, "function") == ["The", "it's", "as", "as", "that"]
    assert [piece for piece in roles(text, "fixed") if piece.strip(" ,!")] == ["isn't", "3"]
    assert "plot" not in roles(text, "content", protected="plot")


@needs_fugashi
def test_what_may_be_edited_in_japanese() -> None:
    text = "この映画は2回見ても面白くない。"
    assert roles(text, "content") == ["この", "映画", "回", "見", "面白く"]
    assert roles(text, "function") == ["は", "て", "も"]
    assert roles(text, "fixed") == ["2", "ない", "。"]


def test_japanese_without_fugashi(monkeypatch: Any) -> None:
    monkeypatch.setattr(pieces_module, "_tagger", lambda: None)
    text = "この映画は2回見てもツマラナイ、not good。"
    assert roles(text, "content") == ["映画", "回見", "ツマラナイ", "good"]
    assert joined(pieces_of(text)) == text
    assert is_segmented_roughly([text])
    assert not is_segmented_roughly(["in English"])


# --- the edits ---------------------------------------------------------------------------------


def test_how_many_words() -> None:
    assert [few(0.1, words) for words in (1, 9, 10, 16, 40)] == [1, 1, 1, 2, 4]


def test_synonyms() -> None:
    assert rewrite("synonyms", "A film, a FILM") in ("A movie, a FILM", "A film, a Movie")
    assert rewrite("synonyms", "Great film!", 0.99) in ("Grand movie!", "Superb movie!")
    assert rewrite("synonyms", "no word known") is None
    assert rewrite("synonyms", "a film", fixed="film") is None


def test_insert() -> None:
    assert rewrite("insert", "good film") in ("movie good film", "good movie film")
    assert rewrite("insert", "good thing") is None


def test_swap() -> None:
    assert rewrite("swap", "one, two!") == "two, one!"
    assert rewrite("swap", "not 2 be") is None
    assert rewrite("swap", "ha ha ha") is None
    assert sorted(str(rewrite("swap", "a b c d e f g h i j", 0.2)).split()) == list("abcdefghij")


def test_delete() -> None:
    assert rewrite("delete", "one two", 0.99) in ("one", "two")
    assert rewrite("delete", "one two", 0.01) in ("one", "two")
    assert rewrite("delete", "never one") is None
    assert len(str(rewrite("delete", "a b c d e f g h i j")).split()) < 10
    assert "  " not in str(rewrite("delete", "some words, and more of them, are here"))


def test_typos() -> None:
    assert rewrite("typos", "film") in ("flm", "fim", "fiilm", "fillm", "flim")
    assert rewrite("typos", "an 8th cat") is None
    assert rewrite("typos", "映画") is None


@needs_fugashi
def test_edits_of_japanese() -> None:
    text = "この映画はとても面白くない。"
    assert rewrite("synonyms", text) == "このフィルムはとても面白くない。"
    assert rewrite("insert", text, 0.1) != text
    for name in ("swap", "delete"):
        made = str(rewrite(name, text))
        assert made != text
        assert made.endswith("ない。")  # the negation stays where it is
        assert set(made) <= set(text)


@pytest.mark.parametrize("name", WORD_EDITS)
@given(
    words=st.lists(st.sampled_from(["film", "not", "3", "a", "great,", "映画は", "ない。", "\n"])),
    seed=st.integers(0, 9),
)
def test_what_is_fixed_stays(name: str, words: list[str], seed: int) -> None:
    """Digits and negations, each as often and in the same order, whatever the edit."""
    text = " ".join(words)
    made = rewrite(name, text, seed=seed)
    assert rewrite(name, text, seed=seed) == made
    if made is not None:
        assert [fixed(made), made.strip() != ""] == [fixed(text), True]


def fixed(text: str) -> list[str]:
    return [piece.text for piece in pieces_of(text) if piece.text in ("not", "3", "ない")]


# --- rows --------------------------------------------------------------------------------------

SETTINGS = {"swap": 0.2, "delete": 0.2, "typos": 0.2, "copies": 2}


def test_copies_are_dealt_out_to_the_edits() -> None:
    rows = sentences(30)
    made = augment(rows, [], Augment(**SETTINGS), Path(), 0)
    edits = Counter(new.source.split(" + ")[1] for new in made.rows)
    lost = 60 - len(made.rows)
    assert set(edits) == {"swap", "delete", "typos"}
    assert all(20 - lost <= count <= 20 for count in edits.values())
    told = f"augment made {len(made.rows)} new rows of 30 (delete {edits['delete']}, "
    assert made.notes[0].startswith(told)
    assert len(made.notes) == 1


def test_new_rows_name_their_parents_and_keep_their_replies() -> None:
    rows = sentences(30)
    parents = {example.source: example for example in rows}
    for new in augment(rows, [], Augment(**SETTINGS), Path(), 0).rows:
        parent = parents[new.extra["parent"]]
        assert new.source.startswith(f"{parent.source} + ")
        assert new.reply == parent.reply
        assert (new.weight, new.group) == (parent.weight, parent.group)
        assert new.prompt != parent.prompt


def test_same_seed_same_rows() -> None:
    rows = sentences(20)
    made = [augment(rows, [], Augment(**SETTINGS), Path(), seed).rows for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_rows_of_texts_change_in_both_places() -> None:
    pair = row("one two\n\nthree four", texts=["one two", "three four"], label="same")
    (new,) = augment([pair], [], Augment(swap=0.1), Path(), 0).rows
    assert new.extra["texts"] == ["two one", "four three"]
    assert new.messages[0]["content"] == "two one\n\nfour three"
    assert new.extra["label"] == "same"
    assert pair.extra["texts"] == ["one two", "three four"]


def test_every_turn_of_the_user_changes_and_no_other() -> None:
    turns = [("system", "be kind"), ("user", "one two"), ("assistant", "five six")]
    turns += [("user", "seven eight"), ("assistant", "nine")]
    talk = Example(tuple({"role": r, "content": c} for r, c in turns), source="f:1")
    (new,) = augment([talk], [], Augment(swap=0.1), Path(), 0).rows
    contents = [turn["content"] for turn in new.messages]
    assert contents == ["be kind", "two one", "five six", "eight seven", "nine"]


def test_words_of_the_reply_stay() -> None:
    asked = row("Where does Ann live? Ann lives in Rome today.", "Rome")
    settings = Augment(typos=0.9, delete=0.9, copies=2)
    for seed in range(30):
        for new in augment([asked], [], settings, Path(), seed).rows:
            assert "Rome" in new.prompt[0]["content"]


def test_choices_are_never_edited() -> None:
    with pytest.raises(InputError, match="augment would edit the choices with the question"):
        augment([row("A or B?", choices=["A", "B"])], [], Augment(swap=0.1), Path(), 0)


def test_no_new_row_is_an_evaluation_row() -> None:
    """A copy that comes out as a row that is scored on is left out, and counted.

    Goes red where `_Sieve` does not ask for evaluation rows: "two one" is then trained on.
    """
    rows, evaluation = [row("one two"), row("three four", source="f:2")], [row("Two  ONE")]
    made = augment(rows, evaluation, Augment(swap=0.1), Path(), 0)
    assert [new.source for new in made.rows] == ["f:2 + swap"]
    assert made.notes == [
        "augment made 1 new rows of 2 (swap 1); left out: 1 the same as an evaluation row"
    ]
    assert not find_overlap([*rows, *made.rows], evaluation).twins


@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), min_size=1, max_size=20),
    st.integers(0, 3),
    st.integers(1, 3),
)
def test_rows_add_up_and_none_is_there_twice(
    texts: list[list[str]], seed: int, copies: int
) -> None:
    rows = [row(" ".join(text), source=f"f:{n}") for n, text in enumerate(texts)]
    half = len(rows) // 2
    train, evaluation = rows[half:], rows[:half]
    made = augment(train, evaluation, Augment(swap=0.5, delete=0.5, copies=copies), Path(), seed)
    told = made.notes[0].partition("left out: ")[2]
    left_out = [int(part.split()[0]) for part in told.split(", ") if part]
    assert len(made.rows) + sum(left_out) == copies * len(train)
    evaluated = {key for example in evaluation for key in example_keys(example)}
    assert not any(evaluated & set(example_keys(new)) for new in made.rows)
    prompts = [prompt_key(new) for new in made.rows]
    assert len(set(prompts)) == len(prompts)
    assert not set(prompts) & {prompt_key(example) for example in train}


# --- in a recipe -------------------------------------------------------------------------------


def load(folder: Path, **options: Any) -> Any:
    rows = [{"prompt": e.prompt[0]["content"], "completion": e.reply} for e in sentences(40)]
    write_rows(folder / "t.jsonl", rows)
    return load_task("t", "generate", {"train": "t.jsonl", "eval_rows": 10, **options}, folder, 0)


def test_only_training_rows_are_added_to(tmp_path: Path) -> None:
    plain, made = load(tmp_path), load(tmp_path, augment=SETTINGS)
    assert made.evaluation == plain.evaluation
    assert made.train[:30] == plain.train
    assert len(made.train) > 80
    assert made.digest != plain.digest
    assert made.notes[0].startswith(f"augment made {len(made.train) - 30} new rows of 30")
    few_rows = load(tmp_path, augment=SETTINGS, train_rows=5)
    assert few_rows.notes[0].split(" (")[0].endswith("new rows of 5")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"copies": 2}, "no edit to make new rows by; name one of delete, insert, paraphrase"),
        ({"synonyms": 0.1}, "synonyms needs a dictionary; write 'dictionary: FILE'"),
        ({"swap": 0.1, "dictionary": "d"}, "dictionary has no effect on swap; take it out"),
        ({"synonym": 0.1}, "augment: unknown key 'synonym'; did you mean 'synonyms'?"),
        ({"swap": 1.5}, "augment.swap: should be less than 1"),
        ({"swap": "10%", "copies": 0}, "augment.copies: should be greater than or equal to 1"),
        ({"insert": 0.1, "dictionary": "no.tsv"}, "no.tsv: the dictionary cannot be read"),
        ({"paraphrase": {"prompt": "say"}}, "augment.paraphrase.model: missing"),
        ({"paraphrase": {"model": "./m", "prompt": "say"}}, "should match pattern"),
        ({"paraphrase": {"model": "./m"}}, "./m: there is no such model folder"),
        ("swap", "augment: should be a valid dictionary"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, settings: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, augment=settings)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


# --- dictionaries ------------------------------------------------------------------------------

NOUNS = """\
  1 This software and database is being provided to you
dog n 2 1 @ 2 1 00000100 00000200
film n 1 1 @ 1 3 00000200
"""
NOUN_DATA = {
    100: "00000100 05 n 03 dog 0 domestic_dog 0 Dog 0 001 @ 1 n 0000 | a pet",
    200: "00000200 06 n 02 film 0 movie 0 001 @ 1 n 0000 | a picture",
}
VERBS = "film v 1 1 @ 1 9 00000000\n"
VERB_DATA = {0: "00000000 36 v 02 film 0 shoot(p) 0 001 @ 1 v 0000 | take"}


def data_file(lines: dict[int, str]) -> str:
    text = ""
    for place, line in lines.items():
        text = text.ljust(place) + line + "\n"
    return text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.tsv", "# words\nfilm\tmovie\tFilm\ndog\thound\n\nalone\n"),
        ("d.json", '{"film": ["movie", "film"], "dog": ["hound"]}'),
        ("omw.tab", "00000001-n\tlemma\tfilm\n00000001-n\tjpn:lemma\tmovie\n00000002-n\tdef\tx\n"),
    ],
)
def test_dictionaries(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_dictionary(name, tmp_path)
    assert found("Film") == ("movie",)
    assert found("cat") == ()


def test_wordnet_gives_the_most_frequent_sense(tmp_path: Path) -> None:
    files = {"index.noun": NOUNS, "data.noun": data_file(NOUN_DATA), "index.verb": VERBS}
    files |= {"data.verb": data_file(VERB_DATA), "index.adj": "", "index.adv": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_dictionary(str(tmp_path), Path())
    assert isinstance(found, WordNet)
    assert found("dog") == ("domestic dog",)
    assert found("Film") == ("shoot",)  # nine times a verb, three times a noun
    (tmp_path / "index.verb").write_text("film v x\nfilm v 1 1 @ 9 nine 0\n", encoding="utf-8")
    with pytest.raises(InputError, match="no WordNet"):
        read_dictionary(str(tmp_path), Path())


@given(st.binary(max_size=80), st.sampled_from(["d.tsv", "d.json"]))
def test_hostile_dictionaries(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        read_dictionary(name, tmp_path)
    except InputError as fault:
        assert "\n" not in str(fault)
    with pytest.raises(InputError, match=r"no WordNet: index\.noun cannot be read"):
        read_dictionary(".", tmp_path)


# --- by a model --------------------------------------------------------------------------------


def test_a_model_is_asked_once(tiny_model: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from onsa.data.augmentation._speaker import Speaker

    settings = {"model": str(tiny_model()), "max_new_tokens": 60, "batch_size": 4}
    made = load(tmp_path, augment={"paraphrase": settings}, train_rows=12)
    new = made.train[12:]
    assert new
    assert len(new) < 12  # a random model seldom comes to an end; what it breaks off is not taken
    assert all(example.source.endswith(" + paraphrase") for example in new)
    (kept,) = (tmp_path / ".onsa" / "paraphrases").glob("*.json")
    said = json.loads(kept.read_text(encoding="utf-8"))
    assert len(said) == 12
    assert {text for text in said.values() if text} >= {e.prompt[0]["content"] for e in new}

    asked: list[str] = []
    monkeypatch.setattr(Speaker, "say", lambda self, texts, seeds: asked.extend(texts) or [])
    again = load(tmp_path, augment={"paraphrase": settings}, train_rows=12)
    assert again.train == made.train
    assert asked == []


def test_what_a_model_says_does_not_hang_on_the_batch(tiny_model: Any) -> None:
    from onsa.data.augmentation._speaker import Speaker

    setting = all_edits()["paraphrase"].type(model=str(tiny_model()), max_new_tokens=12)
    speaker = Speaker(setting, Path())
    speaker.chat.ends = []  # never ends: all twelve tokens are compared
    prompts, seeds = ["say it", "say the word again and again", "x"], [5, 6, 7]
    with_all = speaker._made(prompts, seeds)
    pairs = zip(prompts, seeds, strict=True)
    alone = [speaker._made([prompt], [seed])[0] for prompt, seed in pairs]
    assert with_all == alone
    assert speaker._made(["say it"], [8]) != alone[:1]


def test_there_and_back(tiny_model: Any, monkeypatch: Any) -> None:
    from onsa.data.augmentation._speaker import Speaker

    asked: list[list[str]] = []

    def reply(self: Any, prompts: list[str], seeds: list[int]) -> list[str | None]:
        asked.append(prompts)
        return [None if "bad" in prompt else f"<{prompt}>" for prompt in prompts]

    monkeypatch.setattr(Speaker, "_replies", reply)
    prompts = ["Into French: {text}", "Into English: {text}"]
    setting = all_edits()["paraphrase"].type(model=str(tiny_model()), prompt=prompts)
    said = Speaker(setting, Path()).say(["one", "bad", "two"], [1, 2, 3])
    assert said == [
        "<Into English: <Into French: one>>",
        None,
        "<Into English: <Into French: two>>",
    ]
    assert [len(each) for each in asked] == [3, 2]


def test_rows_are_frozen() -> None:
    example = sentences(1)[0]
    before = dataclasses.replace(example, extra=dict(example.extra))
    augment([example], [], Augment(**SETTINGS), Path(), 0)
    assert example == before
