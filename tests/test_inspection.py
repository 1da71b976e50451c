"""Findings in data, each on hand-made rows: check digits, personal data, languages, repeats."""

from __future__ import annotations

import json
import random
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.errors import InputError
from onsa.inspection.characters import unwanted_characters, without_control
from onsa.inspection.check_digits import is_card, is_my_number, passes_luhn
from onsa.inspection.cleaning import clean
from onsa.inspection.inspect import Wanted, inspect
from onsa.inspection.keys import Sources
from onsa.inspection.labels import Labels
from onsa.inspection.languages import language_of
from onsa.inspection.lengths import Lengths, histogram, quantiles
from onsa.inspection.near import NearIndex
from onsa.inspection.notes import inspection_notes
from onsa.inspection.personal_data import find_personal_data, masked
from onsa.inspection.presidio import presidio_finder
from onsa.inspection.records import Reading, Record, texts_in
from onsa.inspection.rules import RULES, Rules, parse_rules
from onsa.inspection.shingles import shingles, signature
from tests.shared_data import SHARED, needs_shared_data

NOVEL = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で"
    "ニャーニャー泣いていた事だけは記憶している。"
)
FABLE = (
    "A fox one day spied a bunch of ripe grapes hanging from a vine trained along the branches of "
    "a tree. The grapes seemed ready to burst with juice, and the fox's mouth watered as he gazed."
)


def pairs(*rows: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "completion": reply} for prompt, reply in rows]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def records_in(path: Path, rows: list[dict[str, Any]]) -> list[Record]:
    name = write(path, rows)
    return list(Reading(path.parent).records(Path(name).name))


def looked_at(folder: Path, *rows: tuple[str, str], **wanted: Any) -> dict[str, Any]:
    found = inspect(records_in(folder / "train.jsonl", pairs(*rows)), Wanted(**wanted))
    json.dumps(found, allow_nan=False)
    return found


def kinds_in(text: str) -> list[str]:
    return [f"{span.kind} {text[span.start : span.end]}" for span in find_personal_data(text)]


# Check digits, worked by hand.


def test_luhn_by_hand() -> None:
    """7992739871: doubled from the right 2 7 8→16→7, ... sum 67, so the check digit is 3."""
    assert [digit for digit in range(10) if passes_luhn(f"7992739871{digit}")] == [3]


def test_a_card_needs_a_network_a_length_and_its_check_digit() -> None:
    assert is_card("4111111111111111")
    assert is_card("378282246310005")  # American Express: 15
    assert is_card("3530111333300000")  # JCB
    assert not is_card("4111111111111112")
    assert not is_card("411111111111116")  # Visa with 15
    assert not is_card("1234567890123452")  # passes Luhn, of no network


def test_my_number_by_hand() -> None:
    """1·2 + 0·3 + 9·4 + 8·5 + 7·6 + 6·7 + 5·2 + 4·3 + 3·4 + 2·5 + 1·6 = 212 = 19·11 + 3: 11 - 3."""
    assert [digit for digit in range(10) if is_my_number(f"12345678901{digit}")] == [8]


def test_my_number_with_a_rest_of_none_and_of_one_ends_in_zero() -> None:
    assert is_my_number("000000110000")  # 5 + 6 = 11
    assert is_my_number("000000000060")  # 12 = 11 + 1
    assert not is_my_number("000000000000")
    assert not is_my_number("12345678901")


# Personal data.

FOUND = [
    ("連絡先はtaro.yamada@docomo.ne.jpです", "e-mail taro.yamada@docomo.ne.jp"),
    ("携帯は090-1234-5678まで", "phone 090-1234-5678"),
    ("携帯は０９０－１２３４－５６７８まで", "phone ０９０－１２３４－５６７８"),
    ("電話：03-1234-5678", "phone 03-1234-5678"),
    ("(06)6123-4567", "phone (06)6123-4567"),
    ("+81 90-1234-5678", "phone +81 90-1234-5678"),
    ("Call +44 20 7946 0958 now", "phone +44 20 7946 0958"),
    ("(604) 457-4895", "phone (604) 457-4895"),
    ("card 4111 1111 1111 1111.", "card 4111 1111 1111 1111"),
    ("card 3782-822463-10005", "card 3782-822463-10005"),
    ("個人番号は123456789018", "My Number 123456789018"),
    ("1234-5678-9018", "My Number 1234-5678-9018"),
    (
        "〒150-0041 東京都渋谷区神南１丁目１９－１１",
        "address 〒150-0041 東京都渋谷区神南１丁目１９－１１",
    ),
    ("自宅は大阪市北区梅田3-1-3", "address 大阪市北区梅田3-1-3"),
    ("さいたま市浦和区高砂三丁目15番1号", "address さいたま市浦和区高砂三丁目15番1号"),
    (
        "Send it to 1600 Amphitheatre Parkway, Mountain View, CA 94043.",
        "address 1600 Amphitheatre Parkway, Mountain View, CA 94043",
    ),
]


@pytest.mark.parametrize(("text", "found"), FOUND)
def test_personal_data_is_found(text: str, found: str) -> None:
    assert kinds_in(text) == [found]


HARMLESS = [
    "jane@example.com", "foo@localhost.test", "icon@2x.png", "git@github.com:a/b.git",
    "@app.route('/')", "0120-123-456", "call 1-800-555-0199", "555-0100", "(212) 555-0123",
    "4111 1111 1111 1112", "1234-5678-9012", "355909190063 - 746 = 355909189317",
    "The answer is 123456789018.", "2023-11-23 11:45:00", "ISBN 978-4-10-101001-2",
    "12,345,678,901", "3.14159265358979", "192.168.100.200", "横浜市長選は3-2-1", "3-2で勝った",
    "東京都千代田区は11番目に狭い", "神奈川県の面積は2416平方キロ", "5 Wall Street banks",
    "472547338\n+960397912423686\n-------", "He has 12 St. Bernards", "東京都港区新橋二丁目",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_personal_is_left_alone(text: str) -> None:
    assert kinds_in(text) == []


def test_several_in_one_text_are_masked_in_place() -> None:
    text = "山田: 090-1234-5678, a.b@docomo.ne.jp / 4111-1111-1111-1111"
    assert masked(text, find_personal_data(text)) == "山田: [PHONE], [EMAIL] / [CARD]"


@given(st.text(alphabet="0123456789-−ー()（） .+@aA都県市区町丁目番号〒東京,\n０９", max_size=80))
def test_spans_are_in_order_and_apart(text: str) -> None:
    ends = [0]
    for span in find_personal_data(text):
        assert ends[-1] <= span.start < span.end <= len(text)
        ends.append(span.end)


@needs_shared_data
def test_few_false_alarms_in_public_data() -> None:
    """Stories, sums and questions that hold no personal data."""
    for name in ("gsm8k/train.jsonl", "jglue/jcommonsenseqa-v1.3/train-v1.3.json"):
        with (SHARED / name).open(encoding="utf-8") as file:
            found = [kinds_in(line) for line in islice(file, 3000)]
        assert found == [[]] * len(found)


def test_presidio_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(InputError, match=r"pip install 'onsa\[presidio\]'"):
        presidio_finder("en")


def fake_presidio(monkeypatch: pytest.MonkeyPatch, models: list[str]) -> list[Any]:
    """Stand-ins for Presidio and spaCy; the list gets the configurations of the engine."""
    given_: list[Any] = []

    class Provider:
        def __init__(self, nlp_configuration: Any) -> None:
            given_.append(nlp_configuration)

        def create_engine(self) -> str:
            return "engine"

    class Analyzer:
        def __init__(self, **_: Any) -> None:
            pass

        def get_supported_entities(self, language: str) -> list[str]:
            return ["PERSON", "EMAIL_ADDRESS", "DATE_TIME", "URL"]

        def analyze(self, text: str, entities: list[str], **_: Any) -> list[Any]:
            assert entities == ["PERSON"]  # Presidio's own way with addresses asks the network
            start = text.index("Ann")
            return [SimpleNamespace(entity_type="PERSON", start=start, end=start + 3, score=0.9)]

    modules = {
        "presidio_analyzer": {"AnalyzerEngine": Analyzer},
        "presidio_analyzer.nlp_engine": {"NlpEngineProvider": Provider},
        "spacy": {},
        "spacy.util": {"get_installed_models": lambda: models},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return given_


def test_presidio_finds_names_beside_our_own_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_presidio(monkeypatch, ["de_core_news_sm", "en_core_web_sm", "en_core_web_lg"])
    text = "On Monday Ann wrote to bob@mail.org"
    found = presidio_finder("en")(text)
    assert masked(text, found) == "On Monday [NAME] wrote to [EMAIL]"
    assert asked[0]["models"] == [{"lang_code": "en", "model_name": "en_core_web_lg"}]


def test_presidio_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_presidio(monkeypatch, ["de_core_news_sm"])
    with pytest.raises(InputError, match="spacy download en_core_web_sm"):
        presidio_finder("en")


# Characters.


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\x00b", "control"),
        ("a\x1b[31mb", "control"),
        ("zero\u200bwidth", "invisible"),
        ("\u202eright to left", "invisible"),
        ("lost \ufffd here", "lost"),
        ("caf\u00c3\u00a9 au lait", "wrong encoding"),
        ("it\u00e2\u20ac\u2122s", "wrong encoding"),
        ("こんにちは".encode().decode("latin-1"), "wrong encoding"),
        ("こんにちは".encode().decode("cp932", "ignore"), "wrong encoding"),
        ("こんにちは".encode("cp932").decode("cp1252", "ignore"), "wrong encoding"),
        ("こんにちは".encode("euc-jp").decode("latin-1"), "wrong encoding"),
    ],
)
def test_characters_that_no_text_should_have(text: str, kind: str) -> None:
    assert {span.kind for span in unwanted_characters(text)} == {kind}


@pytest.mark.parametrize(
    "text",
    [
        "plain\n\ttext\r\n",
        "café”—he said",
        "“É”, naïve",
        "NÃO É",
        "家族👨‍👩‍👧",
        "日本語、テスト。",
        "Ελλάδα",
        "한국어",
    ],
)
def test_good_characters_are_left_alone(text: str) -> None:
    assert unwanted_characters(text) == []


def test_control_characters_go_and_wrong_bytes_stay() -> None:
    """The bytes of a wrong encoding could still be read right; half of them could not."""
    wrong = "â\x80\x94"
    assert without_control(f"a\x00b\u200bc {wrong}\n") == f"abc {wrong}\n"


# Languages.


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France?", "English"),
        ("How do I change my PIN", "English"),
        ("東京の天気はどうですか", "Japanese"),
        ("ＡＩって何？", "Japanese"),
        ("价格是多少？我们没有", "Chinese"),
        ("東京都千代田区", "Chinese or Japanese"),
        ("売上実績", "Japanese"),
        ("서울의 날씨는 어때요", "Korean"),
        ("Der Hund ist nicht in dem Haus", "German"),
        ("Le chat est sur la table et il dort", "French"),
        ("Как дела?", "Cyrillic script"),
        ("12 + 30 = ?", "no letters"),
        ("😀 12", "no letters"),
        ("Pneumonoultramicroscopic", "Latin script"),
        ("PythonでHello Worldを表示する方法を教えてください", "Japanese"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert language_of(text) == language


# Lengths and labels.


def test_quantiles_are_of_the_rows() -> None:
    lengths = Lengths("characters")
    for place, length in enumerate([5, 1, 3, 2, 4]):
        lengths.add(length, f"a:{place}")
    facts = lengths.facts()
    assert facts is not None
    assert facts["quantiles"]["0.5"] == 3
    assert (facts["quantiles"]["0"], facts["quantiles"]["1"], facts["total"]) == (1, 5, 15)
    assert facts["longest"][0] == {"length": 5, "source": "a:0"}


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60))
def test_histograms_lose_no_row(values: list[int]) -> None:
    lengths = Lengths("characters")
    for value in values:
        lengths.add(value, "a:1")
    bins = histogram(lengths.counts)
    assert sum(each["rows"] for each in bins) == len(values)
    assert quantiles(lengths.counts, (0.5,)) == [sorted(values)[(len(values) + 1) // 2 - 1]]


def test_short_replies_that_come_again_are_labels(tmp_path: Path) -> None:
    facts = looked_at(tmp_path, *((f"text {n}", "良い" if n % 4 else "悪い") for n in range(12)))
    assert facts["labels"] == {"rows": 12, "labels": {"良い": 9, "悪い": 3}, "imbalance": 3.0}


def test_free_replies_are_no_labels(tmp_path: Path) -> None:
    assert looked_at(tmp_path, *((f"q {n}", f"answer {n}") for n in range(12)))["labels"] is None


def test_labels_that_rows_name_are_counted_even_if_rare() -> None:
    labels = Labels()
    for label in ("a", "b", ["a", "c"]):
        example = Example(({"role": "user", "content": "t"},), {"label": label}, "x:1")
        labels.look(Record("x:1", {}, (example,), ("t",)))
    facts = labels.facts()
    assert facts is not None
    assert facts["labels"] == {"a": 2, "b": 1, "c": 1}


# Repeats, conflicts, near repeats.


def test_duplicates_are_told_by_nfkc_case_and_white_space(tmp_path: Path) -> None:
    facts = looked_at(
        tmp_path, ("１＋１は？", "2"), ("1+1は?", "2"), (" 1+1は? ", "２"), ("x", "y")
    )
    found = facts["findings"]["duplicates"]
    assert found["rows"] == 2
    assert [case["twin"] for case in found["cases"]] == ["train.jsonl:1"] * 2
    assert facts["findings"]["near_duplicates"]["rows"] == 0  # not told twice


def test_conflicts_name_the_first_row(tmp_path: Path) -> None:
    facts = looked_at(tmp_path, ("q", "a"), ("q", "b"), ("q", "b"), ("q", "a"), ("p", "a"))
    conflicts, duplicates = (facts["findings"][name] for name in ("conflicts", "duplicates"))
    assert (conflicts["rows"], conflicts["inputs"], duplicates["rows"]) == (1, 1, 2)
    assert conflicts["cases"][0]["source"] == "train.jsonl:2"
    assert [case["twin"] for case in duplicates["cases"]] == ["train.jsonl:2", "train.jsonl:1"]


@pytest.mark.parametrize("text", [NOVEL, FABLE])
def test_near_duplicates_in_both_languages(tmp_path: Path, text: str) -> None:
    nearly = text.replace("事だけは", "ことだけは").replace("one day", "once")
    facts = looked_at(tmp_path, (text, "reply"), ("other words", "of it"), (nearly, "reply"))
    found = facts["findings"]["near_duplicates"]
    assert nearly != text
    assert [case["source"] for case in found["cases"]] == ["train.jsonl:3"]
    assert found["cases"][0]["twin"] == "train.jsonl:1"


def test_a_short_reply_that_differs_makes_another_example(tmp_path: Path) -> None:
    facts = looked_at(tmp_path, (FABLE + " How many?", "3"), (FABLE + " How many!", "4"))
    assert facts["findings"]["near_duplicates"]["rows"] == 0


def test_signs_of_sums_are_words() -> None:
    assert set(shingles("12 + 3 = x")) != set(shingles("12 - 3 = x"))


def test_similarity_is_estimated_without_bias() -> None:
    order, errors = random.Random(0), []
    for _ in range(100):
        words = [str(order.random()) for _ in range(120)]
        other = [word if order.random() > 0.05 else "x" for word in words]
        one, two = (shingles(" ".join(each)) for each in (words, other))
        true = len(np.intersect1d(one, two)) / len(np.union1d(one, two))
        errors.append(float((signature(one) == signature(two)).mean()) - true)
    assert abs(float(np.mean(errors))) < 0.015
    assert float(np.std(errors)) < 0.06


def test_a_search_that_ends_early_says_so(tmp_path: Path) -> None:
    rows = [(f"{FABLE} {n}", f"reply {n}") for n in range(4)]
    facts = looked_at(tmp_path, *rows, near_rows=2)
    found = facts["findings"]["near_duplicates"]
    assert found["looked_at"] == 2
    assert "only the first 2 rows" in found["note"]


def test_texts_too_alike_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onsa.inspection.near.LEAST_COUNTED", 1)
    monkeypatch.setattr("onsa.inspection.near.MOST_COMPARISONS", 1)
    index = NearIndex(None)
    for place in range(50):
        if index.stop:
            break
        index.find_or_add(f"{FABLE} and {place} more", f"{place}", place)
    assert "share so much text" in index.stop


def test_without_datasketch_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    facts = looked_at(tmp_path, ("q", "a"), ("q", "a"))
    assert facts["findings"]["duplicates"]["rows"] == 1
    assert "near_duplicates" not in facts["findings"]
    assert "pip install 'onsa[data]'" in facts["notes"][0]
    with pytest.raises(InputError, match="datasketch"):
        looked_at(tmp_path, ("q", "a"), must_find_near=True)


def test_overlap_same_and_nearly(tmp_path: Path) -> None:
    wanted = Wanted()
    evaluation = records_in(tmp_path / "eval.jsonl", pairs(("What is 1+1?", "2"), (FABLE, "sour")))
    nearly = FABLE.replace("one day", "once")
    train = records_in(
        tmp_path / "train.jsonl",
        pairs(("what is  1+1?", "two"), (nearly, "sour"), (nearly, "other"), ("else", "x")),
    )
    findings = inspect(train, wanted, wanted.evaluation(evaluation))["findings"]
    assert [case["twin"] for case in findings["overlap"]["cases"]] == ["eval.jsonl:1"]
    assert [case["source"] for case in findings["near_overlap"]["cases"]] == ["train.jsonl:2"]


def test_sources_come_back_as_they_were() -> None:
    sources = Sources()
    named = ["a.jsonl:1", "a.jsonl:2", "b:c.csv:17", "row", "x:007", "y:", "", "日本.csv:3", "a:٣"]
    assert [sources.add(name) for name in named] == list(range(len(named)))
    assert [sources[place] for place in range(len(named))] == named


def test_nothing_but_hashes_and_excerpts_is_kept(tmp_path: Path) -> None:
    long = "長い文章です。" * 2000
    facts = looked_at(tmp_path, *((f"{long}{n}", "同じ") for n in range(30)))
    assert len(json.dumps(facts, ensure_ascii=False)) < 30_000


# Faults of rows.


def test_rows_of_no_known_shape_are_texts(tmp_path: Path) -> None:
    rows = [{"a": "one", "b": ["two", {"c": "three"}]}, {"a": "one", "b": ["two", {"c": "three"}]}]
    path = write(tmp_path / "x.jsonl", rows)
    reading = Reading()
    facts = inspect(reading.records(path), Wanted())
    assert facts["findings"]["duplicates"]["rows"] == 1
    assert "plain text" in reading.notes[0]
    assert list(texts_in(rows[0])) == ["one", "two", "three"]


def test_empty_and_misshapen_rows_are_named(tmp_path: Path) -> None:
    rows = [*pairs(("q", "a"), ("q", "")), {"question": "q", "answer": "a"}, {"prompt": ["q"]}]
    rows[3]["completion"] = "a"
    facts = inspect(records_in(tmp_path / "x.jsonl", rows), Wanted())
    assert [facts["findings"][name]["rows"] for name in ("empty", "misshapen")] == [1, 2]
    assert facts["findings"]["empty"]["cases"][0]["source"] == "x.jsonl:2"


# Notes for `onsa check`.


def example(prompt: str, reply: str, source: str) -> Example:
    turns = ({"role": "user", "content": prompt}, {"role": "assistant", "content": reply})
    return Example(turns, source=source)


def test_notes_say_a_line_for_each_finding() -> None:
    train = [
        example("q", "a", "t:1"),
        example("q", "a", "t:2"),
        example("q", "b", "t:3"),
        example("mail", "x@docomo.ne.jp", "t:4"),
        example("bell", "\x07", "t:5"),
        example(FABLE, "sour", "t:6"),
    ]
    notes = inspection_notes(train, [example(FABLE.replace("one day", "once"), "sour", "e:1")])
    assert notes == [
        "1 training row repeats an earlier row (t:2 = t:1)",
        "1 training row asks what an earlier row asks and replies otherwise (t:3 = t:1)",
        "1 training row is nearly an evaluation row (t:6 = e:1)",
        "1 training row holds characters that no text should have (control 1; t:5)",
        "1 training row holds personal data (e-mail 1; t:4)",
    ]


def test_notes_name_a_few_and_count_the_rest() -> None:
    notes = inspection_notes([example("q", "a", f"t:{n}") for n in range(60)], [])
    assert notes == [
        "59 training rows repeat an earlier row (t:1 = t:0, t:2 = t:0, t:3 = t:0 and 56 more)"
    ]


# Rules.


def cleaned(folder: Path, rows: list[dict[str, Any]], text: str) -> tuple[dict[str, Any], Any, Any]:
    """Facts, kept rows and log after cleaning by rules."""
    path, output = write(folder / "in.jsonl", rows), folder / "out.jsonl"
    names, reading = parse_rules(text, False), Reading()
    rules = Rules(names, find_personal_data, None, NearIndex(None))
    facts = clean(lambda: reading.records(path), rules, output)
    lines = [
        [json.loads(line) for line in each.read_text("utf-8").splitlines()]
        for each in (output, folder / "out.dropped.jsonl")
    ]
    return facts, *lines


def test_each_rule_drops_what_it_names(tmp_path: Path) -> None:
    rows = pairs(
        ("keep", "me"), ("", "x"), ("keep", "me"), ("c", "1"), ("c", "2"), ("z", "a\x00"),
        ("m", "a@docomo.ne.jp"), ("u", "\ufffd"), (FABLE, "s"), (FABLE + "!", "s"),
    )  # fmt: skip
    names = (
        "control_characters=drop,personal_data=drop,broken_text,empty,conflicts,duplicates,"
        "near_duplicates"
    )
    facts, kept, log = cleaned(tmp_path, rows, names)
    assert [row["prompt"] for row in kept] == ["keep", FABLE]
    assert {entry["source"].rpartition(":")[2]: entry["rule"] for entry in log} == {
        "2": "empty", "3": "duplicates", "4": "conflicts", "5": "conflicts",
        "6": "control_characters=drop", "7": "personal_data=drop", "8": "broken_text",
        "10": "near_duplicates",
    }  # fmt: skip
    assert (facts["rows"], facts["kept"], facts["dropped"]) == (10, 2, 8)
    assert all(entry["row"] in rows and entry["why"] for entry in log)
    assert not any("docomo" in entry["why"] for entry in log)


def test_masks_reach_every_column_and_the_row_is_kept_as_it_was(tmp_path: Path) -> None:
    rows = [{**pairs(("mail?", "to a.b@docomo.ne.jp"))[0], "meta": {"from": ["a.b@docomo.ne.jp"]}}]
    facts, kept, log = cleaned(tmp_path, rows, "personal_data,duplicates")
    assert kept == [{**pairs(("mail?", "to [EMAIL]"))[0], "meta": {"from": ["[EMAIL]"]}}]
    assert (log[0]["action"], log[0]["row"], facts["changed"]) == ("changed", rows[0], 1)


def test_personal_data_that_a_mask_cannot_reach_drops_the_row(tmp_path: Path) -> None:
    """Two columns that only together are an address: nothing in either can be masked."""
    row = {"instruction": "東京都渋谷区神南", "input": "1-19-11", "output": "ok"}
    path, output = (
        write(tmp_path / "in.jsonl", [row, {**row, "input": "はどこ"}]),
        tmp_path / "o.jsonl",
    )
    rules = Rules(
        ["personal_data"], lambda text: find_personal_data(text.replace("\n\n", "")), None, None
    )
    reading = Reading()
    facts = clean(lambda: reading.records(path), rules, output)
    assert (facts["kept"], facts["dropped"]) == (1, 1)


def test_a_dropped_row_is_no_twin(tmp_path: Path) -> None:
    """Of near duplicates the first is dropped by another rule: the second must stay."""
    rows = pairs((FABLE, "mail a@docomo.ne.jp"), (FABLE + "!", "mail a(at)docomo.ne.jp"))
    _, kept, _ = cleaned(tmp_path, rows, "personal_data=drop,near_duplicates")
    assert kept == rows[1:]


WORDS = ["", " ", "a@docomo.ne.jp", "090-1234-5678", "\x00", "\ud800", "\ufffd", FABLE, NOVEL, "q"]
TEXTS = st.text(max_size=12) | st.sampled_from(WORDS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ANY_ROW = st.fixed_dictionaries(
    {"prompt": VALUES, "completion": VALUES}, optional={"id": VALUES}
) | st.dictionaries(TEXTS, VALUES, max_size=3)
PAIR = st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS}, optional={"id": VALUES})
WITHOUT_EVALUATION = [name for name in RULES if "overlap" not in name]
SOME_RULES = st.sets(st.sampled_from(WITHOUT_EVALUATION), min_size=1).map(
    lambda names: ",".join(names - {name.removesuffix("=drop") for name in names if "=" in name})
)


def clean_file(path: Path, output: Path, text: str) -> dict[str, Any] | None:
    """Facts; None where no row is kept, and then nothing is written."""
    reading = Reading()
    rules = Rules(parse_rules(text, False), find_personal_data, None, NearIndex(None))
    before = sorted(path.parent.iterdir())
    try:
        return clean(lambda: reading.records(str(path)), rules, output)
    except InputError as fault:
        assert "keep no row" in str(fault), fault
        assert sorted(path.parent.iterdir()) == before
        return None


@given(st.lists(ANY_ROW, min_size=1, max_size=8), SOME_RULES)
def test_whatever_the_rows_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], text: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path, output = folder / "in.jsonl", folder / "out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = inspect(Reading().records(str(path)), Wanted())
    assert found["rows"] == len(rows)
    facts = clean_file(path, output, text)
    if facts is not None:
        logged = (folder / "out.dropped.jsonl").read_text("utf-8").split("\n")[:-1]
        assert facts["rows"] == len(rows) == facts["kept"] + facts["dropped"]
        assert len(logged) == facts["dropped"] + facts["changed"]
        entries = [json.loads(line) for line in logged]
        assert all(entry["row"] in rows for entry in entries)


@given(st.lists(PAIR, min_size=1, max_size=8), SOME_RULES)
def test_cleaning_what_is_clean_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], text: str
) -> None:
    folder = tmp_path_factory.mktemp("again")
    path, once, twice = (folder / name for name in ("in.jsonl", "once.jsonl", "twice.jsonl"))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if clean_file(path, once, text) is not None:
        facts = clean_file(once, twice, text)
        assert facts is not None
        assert (facts["dropped"], facts["changed"]) == (0, 0)
        assert once.read_bytes() == twice.read_bytes()
