"""The report: hostile text stays text, nothing is loaded, and the verdict follows the numbers."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from report_sample import TASKS, sample

from onsa.report import words
from onsa.report.comparison import holm
from onsa.report.drawing import charts, svg
from onsa.report.model_card import model_card
from onsa.report.pages.frame import HERE
from onsa.report.pages.tuning import SECTIONS, render
from onsa.report.scores import Metric, Score
from onsa.report.verdict import verdict

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>`</pre>{{7*7}}\u202e\ud800\x00"
VOID = {"meta", "img", "br", "input", "link", "hr", "col"}


class Page(HTMLParser):
    """The page's elements with their attributes, and a complaint if they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute twice in {tag} {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def attributes(self, *names: str) -> list[str]:
        return [str(found[name]) for _, found in self.elements for name in names if name in found]

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sample()))


def small_sample() -> dict[str, Any]:
    """The sample with every section, but short ones, for tests that render it many times."""
    facts = sample()
    facts["cores"] = {
        "sums": {**facts["cores"]["sums"], "cells": facts["cores"]["sums"]["cells"][:5]}
    }
    facts["fusion"]["tensors"] = facts["fusion"]["tensors"][:3]
    facts["flips"] = facts["flips"][:2]
    return facts


def poisoned(value: Any, key: str = "") -> Any:
    """Every text of the report, the names of the tasks too, with an attack at its end."""
    if isinstance(value, dict):
        return {
            name + EVIL if name in TASKS else name: poisoned(entry, name)
            for name, entry in value.items()
        }
    if isinstance(value, list):
        return [poisoned(entry) for entry in value]
    return value + EVIL if isinstance(value, str) and key not in ("role", "change") else value


# --- safety ---------------------------------------------------------------------------------------


def test_hostile_text_stays_text() -> None:
    text = render(poisoned(sample()))
    text.encode("utf-8")
    page = Page(text)
    assert page.count("script") == 1
    assert page.count("style") == 1
    assert page.count("img") == 0
    assert "49" not in page.texts["h1"][0]
    assert not [n for _, found in page.elements for n in found if n.startswith("on")]
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "<script>alert(1)</script>" in " ".join(page.texts["h1"])


def test_nothing_is_loaded(page: Page) -> None:
    assert page.attributes("src", "srcset", "action", "poster", "data", "xlink:href") == []
    assert all(link.startswith("#") for link in page.attributes("href"))
    assert page.count("link") == page.count("iframe") == page.count("object") == 0
    style = (HERE / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_lets_only_this_style_and_script_act(page: Page) -> None:
    attributes = [found for tag, found in page.elements if tag == "meta"]
    policy = str(next(a["content"] for a in attributes if "http-equiv" in a))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = page.texts[tag]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert page.attributes("style") == []  # the policy would block them


def test_long_tokens_and_texts_are_kept_whole() -> None:
    facts = sample()
    facts["flips"][0]["examples"][0]["after"] = "z" * 50_000
    facts["tasks"][0]["source"] = "y" * 5_000
    text = render(facts)
    assert "z" * 50_000 in text
    assert "y" * 5_000 in text


def test_the_report_needs_no_heavy_library() -> None:
    code = "import sys, onsa.report.pages.tuning, onsa.report.model_card; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "numpy", "pandas", "matplotlib"} & set(loaded)


# --- sections -------------------------------------------------------------------------------------


def anchors(page: Page) -> list[str]:
    return [str(found.get("id")) for tag, found in page.elements if tag == "section"]


def test_every_section_appears(page: Page) -> None:
    assert anchors(page) == ["verdict", *(name for name, _, _ in SECTIONS)]
    headings = " ".join(page.texts["h2"])
    assert all(title in headings for _, title, _ in SECTIONS)
    assert page.count("h1") == 1


def test_an_empty_report_says_so() -> None:
    page = Page(render({}))
    assert anchors(page) == ["verdict", "provenance"]
    assert "No tuned model was scored" in " ".join(page.texts["h2"])
    assert model_card({}).startswith("---\n")


@pytest.mark.parametrize("key", list(sample()))
def test_a_missing_section_vanishes_cleanly(key: str) -> None:
    facts = small_sample()
    without = {name: value for name, value in facts.items() if name != key}
    pages = [Page(render(found)) for found in (without, {**facts, key: type(facts[key])()})]
    assert len({tuple(anchors(found)) for found in pages}) == 1
    sections = [name for name, _, _ in SECTIONS]
    gone = {"results": ["scores", "measures", "cost"], "paths": ["stages"]}.get(key, [key])
    if key not in ("groups", "order"):  # either of them is enough to name the groups
        assert not set(gone) & set(sections) & set(anchors(pages[0]))


def test_missing_entries_are_no_crash() -> None:
    facts = small_sample()
    for key, value in facts.items():
        entries = value if isinstance(value, list) else []
        for name in {name for entry in entries if isinstance(entry, dict) for name in entry}:
            thinned = [{**entry, name: None} for entry in entries]
            Page(render({**facts, key: thinned}))


def test_undefined_numbers_are_dashes() -> None:
    facts = sample()
    facts["results"][0]["scores"]["sums"] = {"mean": math.nan, "low": None, "high": math.inf}
    facts["overlap"]["jaccard"] = [[None]]
    facts["transfer"]["matrix"] = [[math.nan, 1.0]]
    facts["curves"][0]["points"]["sums"] = [[0, math.nan], [1, None], [2]]
    text = render(facts)
    assert not re.search(r"\bnan\b|\binf\b", text.lower())
    assert "–" in text


def test_tables_and_drawings_can_be_read_aloud(page: Page) -> None:
    headers = [found for tag, found in page.elements if tag == "th"]
    assert all(found.get("scope") in ("col", "row") for found in headers)
    for _, found in (each for each in page.elements if each[0] == "svg"):
        is_inner = found.get("overflow") == "visible"
        is_named = found.get("role") == "img" and found.get("aria-label")
        assert is_inner or is_named or found.get("aria-hidden") == "true"


def test_text_has_contrast_in_both_themes() -> None:
    style = (HERE / "style.css").read_text(encoding="utf-8")
    themes = re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", theme))
        names = ("ink", "quiet", "gain", "loss")
        for ground, name in itertools.product(("paper", "raised"), names):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def contrast(one: str, other: str) -> float:
    """The ratio that WCAG 2 defines."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# --- charts ---------------------------------------------------------------------------------------


def test_coordinates_are_finite(page: Page) -> None:
    names = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "points")
    values = page.attributes(*names)
    assert len(values) > 500
    for value in values:
        for part in re.split(r"[ ,]", value):
            assert math.isfinite(float(part.removesuffix("%"))), value


@pytest.mark.parametrize(
    "values", [[0.0], [0.3, 0.3], [-1e-9, 1e9], [1e-7, 2e-7], [], [-3.0, -1.0]]
)
def test_axes_hold_their_values_between_round_ticks(values: list[float]) -> None:
    axis = svg.Axis.over(values)
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - slack <= value <= axis.high + slack for value in values)
    assert 2 <= len(axis.ticks) <= 7
    assert all(0 <= axis.place(value) <= 1 for value in values)


def test_better_is_to_the_right_for_a_loss_too() -> None:
    loss = Metric("loss", higher_is_better=False, is_share=False)
    axis = svg.score_axis(loss, [Score(2.4), Score(1.9)], from_zero=False)
    assert axis.place(1.9) > axis.place(2.4)
    share = svg.score_axis(Metric(), [Score(0.2), Score(0.4)], from_zero=True)
    assert share.place(0.4) > share.place(0.2)
    assert share.low == 0


def test_a_bar_adds_up_to_its_width() -> None:
    widths = re.findall(
        r'width="([\d.]+)%" height', charts.stacked_bar([("a", 1, "x"), ("b", 3, "y")])
    )
    assert [float(width) for width in widths] == [100, 25, 75]


def test_long_curves_are_thinned_to_their_end() -> None:
    assert words.thinned(range(1001), 200)[-1] == 1000
    assert len(words.thinned(range(1001), 200)) <= 201
    assert words.thinned([1, 2], 200) == [1, 2]
    assert words.thinned([], 200) == []


# --- the verdict ----------------------------------------------------------------------------------


def report(
    *means: dict[str, tuple[float, float]] | None, losses: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """A report of base, plain mixing and CPI-FT; each score is (mean, half of its interval)."""
    labels = (("base", "base"), ("full", "baseline"), ("cpi_ft", "result"))
    results = [
        {"label": label, "role": role, "trained_tokens": 1000, "scores": intervals(scores)}
        for (label, role), scores in zip(labels, means, strict=True)
        if scores is not None
    ]
    names = list(next(scores for scores in means if scores))
    tasks = [
        {
            "name": name,
            "metric": "loss" if name in losses else "accuracy",
            "higher_is_better": name not in losses,
        }
        for name in names
    ]
    return {"tasks": tasks, "results": results, **more}


def intervals(scores: dict[str, tuple[float, float]]) -> dict[str, Any]:
    return {
        name: {"mean": mean, "low": mean - half, "high": mean + half, "n": 400}
        for name, (mean, half) in scores.items()
    }


def paired(task: str, p_value: float, before: str = "full") -> dict[str, Any]:
    return {"from": before, "to": "cpi_ft", "task": task, "p_value": p_value}


def test_gain_over_base_and_no_difference_to_mixing() -> None:
    found = verdict(
        report(
            {"a": (0.1, 0.02), "b": (0.2, 0.02)},
            {"a": (0.5, 0.05), "b": (0.6, 0.05)},
            {"a": (0.54, 0.05), "b": (0.57, 0.05)},
        )
    )
    assert found.headline == (
        "Both tasks gained over the base model; no clear difference to plain mixing."
    )
    assert "Against plain mixing: no clear difference on any of 2 tasks." in found.sentences
    said = "clearly better on a (+44.0\u202fpoints) and b (+37.0\u202fpoints)"
    assert f"Against the base model: {said}." in found.sentences


def test_a_loss_is_better_when_it_falls() -> None:
    base, fallen, risen = {"a": (2.4, 0.05)}, {"a": (1.9, 0.05)}, {"a": (2.9, 0.05)}
    better = verdict(report(base, None, fallen, losses=("a",)))
    assert better.headline == "The task a gained over the base model."
    assert "clearly better on a (loss −0.500)" in better.sentences[0]
    worse = verdict(report(base, None, risen, losses=("a",)))
    assert worse.headline == "The task a lost against the base model."
    assert "clearly worse on a (loss +0.500)" in worse.sentences[0]
    assert "✓" not in render(report(base, None, risen, losses=("a",))).split("<main>")[1]


def test_a_loss_between_zero_and_one_is_no_percentage() -> None:
    facts = report({"a": (0.9, 0.01)}, None, {"a": (0.5, 0.01)}, losses=("a",))
    main = render(facts).split("<main>")[1]
    assert "0.500" in main
    assert "50.0\u202f%" not in main


def test_a_trade_is_called_a_trade() -> None:
    found = verdict(
        report(
            {"a": (0.1, 0.02), "b": (0.5, 0.02)},
            {"a": (0.3, 0.02), "b": (0.5, 0.02)},
            {"a": (0.5, 0.02), "b": (0.3, 0.02)},
        )
    )
    assert found.headline == (
        "1 of 2 tasks gained over the base model, 1 lost; "
        "against plain mixing a trade: 1 better, 1 worse."
    )


def test_worse_than_mixing_is_said_in_the_headline() -> None:
    found = verdict(report({"a": (0.1, 0.02)}, {"a": (0.6, 0.02)}, {"a": (0.4, 0.02)}))
    assert found.headline.endswith("clearly worse than plain mixing on every task.")


def test_nothing_gained() -> None:
    found = verdict(
        report({"a": (0.1, 0.05), "b": (0.1, 0.05)}, None, {"a": (0.12, 0.05), "b": (0.08, 0.05)})
    )
    assert found.headline == "No clear change from the base model on any of the 2 tasks."


def test_the_paired_test_decides_over_the_intervals() -> None:
    scores = {"a": (0.50, 0.05)}, {"a": (0.56, 0.05)}  # the intervals overlap
    sure = verdict(report({"a": (0.1, 0.02)}, *scores, flips=[paired("a", 0.001)]))
    assert "clearly better than plain mixing" in sure.headline
    unsure = verdict(report({"a": (0.1, 0.02)}, *scores, flips=[paired("a", 0.2)]))
    assert "no clear difference to plain mixing" in unsure.headline


def test_a_lucky_p_value_among_several_is_not_clear() -> None:
    names = "abcd"
    old, new = dict.fromkeys(names, (0.5, 0.05)), dict.fromkeys(names, (0.55, 0.05))
    flips = [paired(n, 0.02 if n == "a" else 0.6) for n in names]
    found = verdict(report(dict.fromkeys(names, (0.1, 0.02)), old, new, flips=flips))
    assert "no clear difference to plain mixing" in found.headline


def test_flips_recorded_the_other_way_round_count_as_well() -> None:
    flip = {"from": "cpi_ft", "to": "full", "task": "a", "p_value": 0.001}
    found = verdict(
        report({"a": (0.1, 0.02)}, {"a": (0.5, 0.05)}, {"a": (0.45, 0.05)}, flips=[flip])
    )
    assert "clearly worse than plain mixing" in found.headline


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_without_intervals_nothing_is_judged() -> None:
    facts = report({"a": (0.1, 0.0)}, None, {"a": (0.9, 0.0)})
    for result in facts["results"]:
        result["scores"]["a"] = {"mean": result["scores"]["a"]["mean"]}
    found = verdict(facts)
    assert "cannot be judged" in found.headline
    assert found.sentences[0] == "Against the base model: not judged (no intervals) on a."


def test_cost_is_told() -> None:
    facts = report({"a": (0.1, 0.02)}, {"a": (0.5, 0.02)}, {"a": (0.6, 0.02)})
    assert any("same number of tokens" in sentence for sentence in verdict(facts).sentences)
    facts["results"][2]["trained_tokens"] = 1500
    sentences = verdict(facts).sentences
    assert any("Not at equal cost: CPI-FT trained on 1.50 ×" in each for each in sentences)
    facts["results"][2]["trained_tokens"] = None
    assert any("not a comparison at equal cost" in each for each in verdict(facts).sentences)


def test_forgetting_is_told_and_probes_are_no_part_of_the_way() -> None:
    facts = report({"a": (0.1, 0.02)}, None, {"a": (0.3, 0.02)})
    stages = [("base", 0.1), ("probe a", 0.9), ("one", 0.6), ("two", 0.3)]
    listed = [{"label": name, "scores": intervals({"a": (m, 0.02)})} for name, m in stages]
    facts["paths"] = [{"label": "cpi_ft", "stages": listed}]
    (told,) = [each for each in verdict(facts).sentences if "lost on the way" in each]
    assert "a (60.0\u202f% after «one», 30.0\u202f% at the end)" in told
    facts["paths"][0]["stages"] = [listed[0], listed[1], listed[3], listed[2]]
    assert "No task ends clearly below the best stage on its way." in verdict(facts).sentences


def test_specialists_are_no_rival() -> None:
    facts = report({"a": (0.1, 0.02)}, None, {"a": (0.3, 0.02)})
    rival = {"label": "single", "role": "baseline", "scores": intervals({"a": (0.9, 0.02)})}
    facts["results"].append(rival)
    assert [found.label for found in verdict(facts).comparisons] == ["base"]


def test_a_judge_that_nobody_judged_is_an_alarm() -> None:
    facts = sample()
    assert "The judge against people: the same verdict on" in render(facts)
    facts["tasks"][1]["agreement"] = {"n": 0}
    (alarm,) = verdict(facts).alarms
    assert alarm.startswith("The judge of «family» was not checked against people")
    assert "The judge was not checked against people" in render(facts)


def test_a_broken_promise_is_an_alarm() -> None:
    facts = sample()
    assert verdict(facts).alarms == ()
    facts["held"][1]["changed"] = 1
    facts["held"][2]["digest_after"] = "other"
    found = verdict(facts).alarms
    assert "1 held entry changed in «integrate 2»." in found
    assert "The digest of the held entries changed in «integrate 3»." in found
    assert all(alarm in render(facts) for alarm in found)


def test_an_addition_tells_new_and_earlier_tasks_apart() -> None:
    facts = sample()
    (before,) = [each for each in verdict(facts).sentences if each.startswith("Adding dialogue")]
    assert "the model before: clearly better on dialogue (loss −0.169)" in before
    assert "on the earlier tasks, no clear difference on any of 3 tasks" in before
    assert "Adding dialogue, against plain sequence: no clear difference on dialogue" in render(
        facts
    )
    only = {key: facts[key] for key in ("tasks", "additions")}
    assert verdict(only).headline == before


# --- the model card -------------------------------------------------------------------------------


def front_matter(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_the_card_is_read_by_the_hub() -> None:
    card = model_card(sample())
    fields = front_matter(card)
    assert fields["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert fields["library_name"] == "transformers"
    results = fields["model-index"][0]["results"]
    assert [result["dataset"]["name"] for result in results] == list(TASKS)
    assert results[0]["metrics"][0]["value"] == 0.447
    assert verdict(sample()).headline in card


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_the_card_of_an_adapter_says_how_it_is_loaded(quantization: str | None) -> None:
    facts = sample()
    assert "AutoPeft" not in model_card(facts)
    facts["adapter"] = {"stored_bytes": 3 * 2**20, "quantization": quantization}
    card = model_card(facts)
    fields = front_matter(card)
    assert fields["library_name"] == "peft"
    assert fields["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "An adapter over HuggingFaceTB/SmolLM2-135M-Instruct, which" in card
    assert "names: 3.0\u202fMiB." in card
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert "AutoPeftModelForCausalLM.from_pretrained(folder" in code
    assert ("BitsAndBytesConfig" in code) == bool(quantization)


def test_a_hostile_card_still_parses() -> None:
    facts = poisoned(sample())
    facts["recipe"] = "a: 1\n```\n<script>alert(1)</script>\n````\n"
    card = model_card(facts)
    card.encode("utf-8")
    assert front_matter(card)["library_name"] == "transformers"
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", card.split("---\n", 2)[2])
    assert "<" not in outside
    assert "`````yaml" in card


def test_a_card_keeps_local_paths_to_itself() -> None:
    facts = sample()
    facts["model"]["name"] = "/home/someone/models/tiny"
    card = model_card(facts)
    assert "base_model" not in front_matter(card)
    assert "someone" not in card
    assert "Base model: tiny" in card


# --- words ----------------------------------------------------------------------------------------


def test_numbers_as_readers_want_them() -> None:
    assert words.count(1345150) == "1,345,150"
    assert words.scaled(134_515_008) == "135\u202fM"
    assert words.memory(3 * 2**30) == "3.0\u202fGiB"
    assert words.duration(4737) == "1\u202fh 19\u202fmin"
    assert words.duration(3599) == "1\u202fh 0\u202fmin"
    assert words.signed(-0.04, 1) == "0.0"
    assert words.probability(0.0001) == "p < 0.001"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.count(None) == words.percent(math.nan) == words.MISSING


def test_the_sample_is_json() -> None:
    assert json.loads(json.dumps(sample(), allow_nan=False)) == sample()
