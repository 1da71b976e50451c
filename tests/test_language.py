"""Every message in Japanese too: found in the source, looked up in the catalogues."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer import rich_utils

from onsa import language
from onsa.commands.compare_view import ranking_lines
from onsa.commands.help_texts import PANELS
from onsa.errors import InputError
from onsa.language.catalogue import Catalogue, Entry, listed, load
from onsa.language.page import tell_page
from onsa.report.model_card import model_card
from onsa.report.pages.tuning import render
from onsa.report.verdict import verdict
from tests.command_line import onsa, write_recipe
from tests.report_sample import sample
from tests.source_texts import PACKAGE, source_texts, words_in

CATALOGUES = PACKAGE / "language" / "ja"
# Of texts that are put together while running, and of the libraries': no source text is like them.
NOT_IN_THE_SOURCE = ("composed", "libraries")
ROOMS = {"cli.py": "cli", "commands": "cli", "progress.py": "cli", "report": "report"}
ROOMS |= dict.fromkeys(("methods", "training", "choosing", "cores"), "methods")
ROOMS |= dict.fromkeys(("tasks", "data", "metrics"), "tasks")
JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


@pytest.fixture(autouse=True)
def _english_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("ONSA_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name in PANELS:  # put back afterwards
        monkeypatch.setattr(rich_utils, name, getattr(rich_utils, name))
    yield
    language.choose("en")


@pytest.fixture(scope="module")
def japanese() -> Catalogue:
    return load("ja")


def catalogue(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((CATALOGUES / f"{name}.json").read_text(encoding="utf-8"))
    return found


class Lookup:
    """Looks texts of the source up, and remembers which entries were of use."""

    def __init__(self, words: Catalogue) -> None:
        self.words = words
        self.used: set[str] = set()

    def knows(self, template: str) -> bool:
        """With a name at each place, or with a number."""
        braces = template.replace("{}", "\0").replace("{{", "{").replace("}}", "}")
        known = [self._knows_text(braces.replace("\0", given)) for given in ("⟨x⟩", "7")]
        return any(known)

    def _knows_text(self, text: str) -> bool:
        found = self.words.find(text)
        if found is None:
            parts = self.words.parts(text)
            return all(map(self._knows_text, parts)) if parts else not words_in(text)
        entry, given = found
        self.used.add(entry.key)
        known = [self._knows_place(entry, *each) for each in enumerate(given)]  # each of them
        return all(known)

    def _knows_place(self, entry: Entry, place: int, given: str) -> bool:
        kind = entry.kinds.get(place)
        texts = {"texts": listed(given), "parts": given.split("; "), None: []}.get(kind, [given])
        known = [self._knows_text(text) for text in texts]
        return not words_in(given) or (kind is not None and all(known)) or kind == "tell"


@pytest.fixture(scope="module")
def looked_up(japanese: Catalogue) -> tuple[dict[str, str], set[str]]:
    """Texts of the source without an entry, by place; and the entries that were of use."""
    lookup = Lookup(japanese)
    unknown = [s for s in source_texts() if not lookup.knows(s.text) and s.is_needed]
    return {source.text: source.place for source in unknown}, lookup.used


def test_every_message_has_an_entry(looked_up: tuple[dict[str, str], set[str]]) -> None:
    """A new message: paste the lines into the file that is named, and write the Japanese."""
    lines = [
        f"{ROOMS.get(place.split('/')[0].split(':')[0], 'errors')}.json ({place}):\n"
        f'  {json.dumps(text, ensure_ascii=False)}: "",'
        for text, place in looked_up[0].items()
    ]
    assert not lines, f"no Japanese in {CATALOGUES}\n" + "\n".join(lines)


def test_no_entry_is_left_behind(looked_up: tuple[dict[str, str], set[str]]) -> None:
    """An entry that no text of the source matches any more is taken out."""
    left = {
        path.stem: [key for key in catalogue(path.stem) if key not in looked_up[1]]
        for path in CATALOGUES.glob("*.json")
        if path.stem not in NOT_IN_THE_SOURCE
    }
    assert not any(left.values()), {name: keys for name, keys in left.items() if keys}


def test_entries_are_in_japanese_and_use_what_their_key_has(japanese: Catalogue) -> None:
    names = [key for path in CATALOGUES.glob("*.json") for key in catalogue(path.stem)]
    assert len(names) == len(set(names)), "one key in two files"
    for entry in japanese.entries:
        places = {int(place) for place in re.findall(r"\{(\d+)", entry.translation)}
        assert places <= set(range(len(entry.pieces) // 2)), entry.key
        assert "{}" not in entry.translation.replace("{{}}", ""), entry.key


def test_templates_say_a_sentence_in_one_text() -> None:
    """A statement of Jinja inside a text would part it: put it into an element of its own."""
    split = [source for source in source_texts() if source.text.startswith("SPLIT")]
    assert not split, split


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unknown method 'lroa'", "手法 'lroa' はありません"),
        ("did you mean 'lora'?", "もしかして 'lora' ですか"),
        (
            "Both tasks gained over the base model; no clear difference to plain mixing.",
            "2 タスクとも元のモデルより向上。混合学習との明確な差なし。",
        ),
        (
            "Against plain mixing: clearly better on a (+8.2\u202fpoints); "
            "no clear difference on b and c.",
            "混合学習との比較: a (+8.2 ポイント) で明確に向上；b、c で明確な差なし。",
        ),
        ("  note: 3 training rows left out: evaluation rows too",
         "  注意: 評価行と重なる学習行 3 行を除外"),
        ("lora failed: recipe.yaml: method: unknown method 'x'; use letters",
         "lora の失敗: recipe.yaml: method: 手法 'x' はありません。英字を使ってください"),
        ("a text without an entry; and more", "a text without an entry; and more"),
    ],
)  # fmt: skip
def test_a_text_is_told(text: str, said: str) -> None:
    language.choose("ja")
    assert language.tell(text) == said
    language.choose("en")
    assert language.tell(text) == text


def test_a_mistake_is_told_by_its_parts() -> None:
    fault = InputError("unknown method 'x'", where="recipe.yaml: method", way_out="use letters")
    language.choose("ja")
    assert fault.told == "recipe.yaml: method: 手法 'x' はありません。英字を使ってください"
    assert str(fault) == "recipe.yaml: method: unknown method 'x'; use letters"


def test_columns_of_wide_letters() -> None:
    assert [language.columns(text) for text in ("abc", "手法", "ﾃｽﾄ", "か\u3099", "é")] == [
        3,
        4,
        3,
        2,
        1,
    ]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ja"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "ONSA_LANG": "en"}, "en"),
        ({"LC_ALL": "", "ONSA_LANG": "ja-JP"}, "ja"),
        ({"ONSA_LANG": "fr"}, "en"),
        ({"LANG": "japanese"}, "en"),
    ],
)
def test_the_environment_chooses(environment: dict[str, str], name: str) -> None:
    assert language.by_environment(environment) == name


@pytest.mark.parametrize("place", ["before", "after", "joined", "variable", "locale"])
def test_the_command_line_chooses(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: tuple[str, ...] = ("report", "nowhere")
    if place == "variable":
        monkeypatch.setenv("ONSA_LANG", "ja")
    elif place == "locale":
        monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    else:
        places = {"before": ("--lang", "ja", *given), "after": (*given, "--lang", "ja")}
        given = places.get(place, (*given, "--lang=ja"))
    ended = onsa(*given)
    assert ended.code == 2
    assert ended.err.startswith("onsa: nowhere: 完了した実行がありません。'onsa tune' が書き出した")


def test_an_unknown_language_is_refused() -> None:
    assert (
        "unknown language 'fr'; the languages are en or ja"
        in onsa("--lang", "fr", "tasks").refused()
    )
    assert onsa("tasks", "--lang").code == 2
    assert "--lang" in onsa("chat", "run", "--", "--lang", "ja").err


@pytest.mark.parametrize(
    "command",
    ["", "init", "check", "tune", "compare", "add", "report", "methods", "chat", "merge", "demo"],
)
def test_help_is_in_japanese(command: str) -> None:
    assert "Options" in onsa(*command.split(), "--help").out
    said = onsa("--lang", "ja", *command.split(), "--help").out
    assert "使い方: onsa" in said
    assert "オプション" in said
    assert "このヘルプを表示して終了する。" in said.replace("\n", "")
    english = [line for line in said.split("\n") if re.search(r"[a-z]+ [a-z]+ [a-z]+ [a-z]+", line)]
    assert all("onsa" in line for line in english), english  # but examples


def test_misuse_is_told_in_japanese() -> None:
    assert onsa("--lang", "ja", "tune").err.startswith("onsa: 引数 'RECIPE' がありません。")
    assert "オプション --nonsense はありません" in onsa("tasks", "--nonsense", "--lang=ja").err


def test_json_is_never_translated() -> None:
    for command in ("methods", "tasks"):
        assert onsa(command, "--json", "--lang", "ja").out == onsa(command, "--json").out
        assert JAPANESE.search(onsa(command, "--lang", "ja").out)


def test_a_recipe_is_checked_in_japanese(tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    recipe = write_recipe(tmp_path, tiny_model("llama"))
    said = onsa("check", recipe, "--lang", "ja")
    assert said.code == 0
    assert "最初の行。⟦…⟧ 内が学習トークン。スコアは完全一致" in said.out
    head = next(line for line in said.out.split("\n") if "タスク" in line)
    row = next(line for line in said.out.split("\n") if line.strip().startswith("echo"))
    assert language.columns(head.rstrip()) <= language.columns(row.rstrip()) + 12
    assert onsa("check", recipe, "--json", "--lang", "ja").code == 0


def test_columns_of_a_ranking_align() -> None:
    rows = [ranked("base", 0.2), ranked("full", 0.4), ranked("lora", 0.3)]
    language.choose("ja")
    said = ranking_lines({"rows": rows, "headline": "", "sentences": []})[2:6]
    ends = {language.columns(line) for line in said}
    assert len(ends) == 1, said
    assert "元のモデル" in "".join(said)


def ranked(label: str, mean: float) -> dict[str, Any]:
    against = None if label == "full" else {"change": mean - 0.4, "is_clear": True, "p_value": 0.01}
    cost = {"training_flops": 1e12, "seconds": 60.0, "stored_bytes": 2**20}
    return {
        "label": label,
        "why": "",
        "average": {"mean": mean},
        "against_best": against,
        "worst": {"task": "sums", "mean": mean},
        "cost": cost,
    }


def test_the_report_is_in_japanese() -> None:
    facts = sample()
    own = json.dumps(facts, ensure_ascii=False)
    language.choose("ja")
    page = render(facts)
    assert '<html lang="ja">' in page
    shown = re.sub(r"(?s)<(script|style|pre|code)\b.*?</\1>", "", page)
    texts = [
        text.strip() for text in re.findall(r">([^<]+)<|\"([^\"<>]+)\"", shown) for text in text
    ]
    sentence = re.compile(r"[a-z]+ [a-z]+ [a-z]+ [a-z]+")
    left = {t for t in texts if (found := sentence.search(t)) and found.group() not in own}
    assert not {text for text in left if "warmup" not in text}, left


def test_data_in_the_report_stay_as_they_are() -> None:
    """Names that are words of the catalogue, and prompts, are not translated."""
    page = (
        '<p>lost</p><b class="data">lost</b><span class="data x">gained</span><pre>lost</pre>'
        '<code title="lost">lost</code><i title="lost" class="data">lost</i><p>a &lt; b</p>'
    )
    language.choose("ja")
    assert tell_page(page) == (
        '<p>悪化</p><b class="data">lost</b><span class="data x">gained</span><pre>lost</pre>'
        '<code title="悪化">lost</code><i title="悪化" class="data">lost</i><p>a &lt; b</p>'
    )


def test_the_english_page_is_the_template_itself() -> None:
    page = "<p>lost</p>"
    assert tell_page(page) is page


def test_hostile_texts_are_escaped_again() -> None:
    language.choose("ja")
    said = tell_page(
        "<p>Against &lt;img src=x onerror=alert(1)&gt;: clearly better on a &amp; b.</p>"
    )
    assert "<img" not in said
    assert said.startswith("<p>&lt;img src=x")


def test_the_verdict_and_the_card_are_told_and_the_figures_not() -> None:
    facts = sample()
    before = json.dumps(facts)
    language.choose("ja")
    said = verdict(facts)
    assert not JAPANESE.search(said.headline), "facts and sentences inside stay English"
    card = model_card(facts)
    for part in ("## スコア", "## チューニングの方法", "## 由来", "元のモデル"):
        assert part in card
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert json.dumps(facts) == before


def test_english_reads_no_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(name: str) -> Catalogue:
        raise AssertionError(f"read the catalogue of {name}")

    monkeypatch.setattr(language, "load", read)
    assert onsa("--help").code == 0
    assert onsa("tasks", "--lang", "en").code == 0
