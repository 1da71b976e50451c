"""Every public data set is read by its own files; `docs/data.md` says how, and is kept true.

`python -m tests.test_data_sets` writes the tables of that page anew: what the sets are, and what
`onsa data` finds in them. Of the latter the tests check all in small sets, in others what is cheap:
lengths, repeats, conflicts.
"""

from __future__ import annotations

import csv
import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from onsa.data import reading
from onsa.data.by_value import ByValue, ColumnSplit
from onsa.data.formats import Format, format_of
from onsa.data.reading import read_examples, read_rows
from onsa.errors import InputError
from onsa.inspection.inspect import Wanted, inspect
from onsa.inspection.keys import Sources
from onsa.inspection.lengths import Lengths
from onsa.inspection.records import Reading, Record, record_of_example
from onsa.inspection.repeats import Repeats
from tests.shared_data import SHARED, needs_shared_data

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
START, END = "<!-- the table: written by tests/test_data_sets.py -->", "<!-- end of the table -->"
FOUND_START = "<!-- what was found: written by tests/test_data_sets.py -->"
FOUND_END = "<!-- end of what was found -->"
MOST_ROWS_LOOKED_AT = 2_500  # for everything, by a test; of larger sets what is cheap


class DataSet(NamedTuple):
    """A line of a recipe's task, the format it is read by, and what comes of it."""

    line: str
    format: str
    rows: int
    left_out: int = 0
    examples: int | None = None  # where a row gives several, or none
    files: str = ""  # where the rows are not the records that the manifest counts

    @property
    def settings(self) -> dict[str, Any]:
        return dict(yaml.safe_load(f"{{{self.line}}}"))

    @property
    def path(self) -> str:
        return str(self.settings["train"])


PAIR = "columns: {text: [sentence_A, sentence_B], label: %s}"
JRTE = "columns: {text: %s, label: 2}"
MT = "fastchat/%s_bench/question.jsonl"
DATA_SETS = [
    DataSet("train: gsm8k/train.jsonl", "question_answer", 7473),
    DataSet("train: gsm8k/test.jsonl", "question_answer", 660),
    DataSet("train: mgsm/*.tsv, columns: {prompt: 1, reply: 2}", "columns", 250),
    DataSet("train: svamp, columns: {prompt: [Body, Question], reply: Answer}", "columns", 1000),
    DataSet("train: codealpaca/code_alpaca_2k.json, skip_empty: true", "alpaca", 2017, 2),
    DataSet("train: codealpaca/new_codealpaca.json", "alpaca", 4082),
    DataSet("train: mbpp", "code_tests", 974),
    DataSet("train: logiqa2/dev.txt", "choices", 1569),
    DataSet("train: logiqa2/test.txt", "choices", 778),
    DataSet("train: logiqa2/ood_test.jsonl", "choices", 575),
    DataSet("train: ar_lsat/AR_TrainingData.json", "choices", 1630, files="280 passages"),
    DataSet("train: ar_lsat/AR_DevelopmentData.json", "choices", 231, files="40 passages"),
    DataSet("train: ar_lsat/AR_TestData.json", "choices", 230, files="40 passages"),
    DataSet("train: alpaca/alpaca_5000.json, skip_empty: true", "alpaca", 4500, 2),
    DataSet("train: alpaca/seed_tasks.jsonl", "alpaca", 175),
    DataSet("train: ultrachat, columns: {prompt: data}", "columns", 385),
    DataSet("train: oasst", "oasst", 80, examples=447),
    DataSet("train: moss", "moss", 234),
    DataSet("train: fastchat/dummy_conversation.json", "sharegpt", 500),
    DataSet(f"train: {MT % 'mt'}", "turns", 80),
    DataSet(f"train: {MT % 'vicuna'}", "turns", 80),
    DataSet("train: fastchat/mt_bench/reference_answer/gpt-4.jsonl", "", 30),
    DataSet(
        "train: fastchat/judge_prompts.jsonl, "
        "columns: {prompt: prompt_template, system: system_prompt}",
        "columns",
        8,
    ),
    DataSet("train: llamafactory_demo/glaive_toolcall_en_demo.json", "sharegpt", 300),
    DataSet("train: llamafactory_demo/dpo_en_demo.json", "preference", 300),
    DataSet("train: llamafactory_demo/kto_en_demo.json", "kto", 300),
    DataSet("train: jglue/jcommonsenseqa-v1.3/train-v1.3.json", "choices", 8939),
    DataSet("train: jglue/jcommonsenseqa-v1.3/valid-v1.3.json", "choices", 560),
    DataSet("train: jglue/jsts-v1.3/train-v1.3.json", "pair", 12451),
    DataSet("train: jglue/jsts-v1.3/valid-v1.3.json", "pair", 1457),
    DataSet("train: jglue/jnli-v1.3/valid-v1.3.json", "pair", 2434),
    DataSet("train: jglue/jnli-v1.3/test-v1.3.json", "pair", 1254),
    DataSet("train: jglue/jsquad-v1.3/valid-v1.3.json", "reading", 4442),
    DataSet("train: jglue/jsquad-v1.3/test-v1.3.json", "reading", 1630),
    DataSet(f"train: jrte/pn.tsv, {JRTE % 3}", "columns", 5000),
    DataSet(f"train: jrte/rhr.tsv, {JRTE % 3}", "columns", 5000),
    DataSet(f"train: jrte/rte.nlp2020_base.tsv, {JRTE % [4, 3]}", "columns", 6974),
    DataSet(f"train: jrte/rte.lrec2020_surf.tsv, {JRTE % [4, 3]}", "columns", 8108),
    *(
        DataSet(
            f"train: jcommonsensemorality/data_{split}.csv, columns: {{text: sent, label: label}}",
            "columns",
            rows,
        )
        for split, rows in (("train", 13975), ("val", 1996), ("test", 1996))
    ),
    DataSet(
        "train: jmmlu, columns: {prompt: 1, choices: {A: 2, B: 3, C: 4, D: 5}, answer: 6}",
        "columns",
        3557,
    ),
    DataSet(
        "train: jtruthfulqa, columns: {prompt: Question, choices: [Original Answer, Incorrect "
        "Answers], answer: Original Answer}",
        "columns",
        276,
    ),
    DataSet("train: instruction_ja", "utterances", 536),
    DataSet("train: real_persona_chat", "speakers", 400),
    DataSet("train: japanese_mt_bench/question_full.jsonl", "turns", 80),
    DataSet("train: japanese_mt_bench/reference_answer/gpt-4.jsonl", "", 80),
    DataSet("train: rakuda, columns: {prompt: text}", "columns", 40),
    DataSet("train: hh-rlhf/harmless-base, skip_empty: true", "transcripts", 1734, 8),
    DataSet("train: sst2/train_binary_sent.csv", "text_label", 6920),
    DataSet("train: sst2/dev_binary_sent.csv", "text_label", 436),
    DataSet("train: sst2/test_binary_sent.csv", "text_label", 911),
    DataSet("train: banking77/train.csv, columns: {text: text, label: category}", "columns", 10003),
    DataSet("train: banking77/test.csv, columns: {text: text, label: category}", "columns", 1540),
    DataSet("train: banking77/categories.json", "", 77),
    DataSet(f"train: sick2014/SICK_train.txt, {PAIR % 'relatedness_score'}", "columns", 4500),
    DataSet(f"train: sick2014/SICK_trial.txt, {PAIR % 'relatedness_score'}", "columns", 500),
    DataSet(
        f"train: sick2014/SICK_test_annotated.txt, {PAIR % 'entailment_judgment'}", "columns", 2464
    ),
    DataSet(
        "train: crows_pairs, columns: {text: [sent_more, sent_less], label: stereo_antistereo}",
        "columns",
        1508,
    ),
    *(
        DataSet(f"train: bbq/{name}.jsonl", "choices", rows)
        for name, rows in (
            ("Age", 3680),
            ("Religion", 1200),
            ("Disability_status", 1556),
            ("Physical_appearance", 1576),
        )
    ),
    DataSet("train: winobias/*.txt.dev, columns: {prompt: text}", "columns", 4 * 396),
    DataSet("train: winobias/*.txt.test, columns: {prompt: text}", "columns", 4 * 396),
    DataSet("train: winobias/*_occupations.txt", "", 40),
    DataSet("train: bbh/*.json, columns: {prompt: input, reply: target}", "columns", 3256),
    *(
        DataSet(f"train: bccd/ImageSets/{split}.txt", "", rows)
        for split, rows in (("train", 205), ("val", 87), ("trainval", 292), ("test", 36))
    ),
]
# Whose training rows a set is compared with.
TRAINED = {
    "gsm8k/test.jsonl": "gsm8k/train.jsonl",
    "mgsm/*.tsv": "gsm8k/train.jsonl",
    "codealpaca/code_alpaca_2k.json": "codealpaca/new_codealpaca.json",
    "logiqa2/test.txt": "logiqa2/dev.txt",
    "logiqa2/ood_test.jsonl": "logiqa2/dev.txt",
    "ar_lsat/AR_DevelopmentData.json": "ar_lsat/AR_TrainingData.json",
    "ar_lsat/AR_TestData.json": "ar_lsat/AR_TrainingData.json",
    "alpaca/seed_tasks.jsonl": "alpaca/alpaca_5000.json",
    "jglue/jcommonsenseqa-v1.3/valid-v1.3.json": "jglue/jcommonsenseqa-v1.3/train-v1.3.json",
    "jglue/jsts-v1.3/valid-v1.3.json": "jglue/jsts-v1.3/train-v1.3.json",
    "jglue/jnli-v1.3/valid-v1.3.json": "jglue/jsts-v1.3/train-v1.3.json",
    "jglue/jnli-v1.3/test-v1.3.json": "jglue/jnli-v1.3/valid-v1.3.json",
    "jglue/jsquad-v1.3/test-v1.3.json": "jglue/jsquad-v1.3/valid-v1.3.json",
    "jcommonsensemorality/data_val.csv": "jcommonsensemorality/data_train.csv",
    "jcommonsensemorality/data_test.csv": "jcommonsensemorality/data_train.csv",
    "sst2/dev_binary_sent.csv": "sst2/train_binary_sent.csv",
    "sst2/test_binary_sent.csv": "sst2/train_binary_sent.csv",
    "banking77/test.csv": "banking77/train.csv",
    "sick2014/SICK_trial.txt": "sick2014/SICK_train.txt",
    "sick2014/SICK_test_annotated.txt": "sick2014/SICK_train.txt",
    "winobias/*.txt.test": "winobias/*.txt.dev",
    "bccd/ImageSets/val.txt": "bccd/ImageSets/train.txt",
    "bccd/ImageSets/test.txt": "bccd/ImageSets/trainval.txt",
}
ON_BOTH = ("overlap", "shared_texts", "near_overlap")
AS_TEXT = ("preference", "kto", "transcripts", "turns")  # to `onsa data`, which asks for no kind
CHEAP = re.compile(r"[\d,]+ (repeat a row|ask the same and reply otherwise)")
OWN_SPLIT = {"jrte/pn.tsv": "5", "jrte/rhr.tsv": "5"}  # the column that says train or dev
OWN_SPLIT |= dict.fromkeys(("jrte/rte.nlp2020_base.tsv", "jrte/rte.lrec2020_surf.tsv"), "7")
NOT_READ = ("*/LICENSE", "sign_digits/*", "bccd/JPEGImages/*", "bccd/Annotations/*")  # pictures


@cache
def manifest() -> dict[str, int]:
    """The records of each file."""
    with (SHARED / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        return {
            row["path"]: int(row["records"] or 0) for row in csv.DictReader(lines, delimiter="\t")
        }


def files_of(data_set: DataSet) -> list[str]:
    named = data_set.path
    return [
        path
        for path in manifest()
        if fnmatch.fnmatch(path, named) or path.startswith(f"{named}/")
        if not path.endswith("LICENSE")
    ]


@needs_shared_data
def test_every_file_is_in_the_table() -> None:
    read = {path for data_set in DATA_SETS for path in files_of(data_set)}
    left = {
        path
        for path in set(manifest()) - read
        if not any(fnmatch.fnmatch(path, pattern) for pattern in NOT_READ)
    }
    assert not left
    assert Counter(path for each in DATA_SETS for path in files_of(each)).most_common(1)[0][1] == 1


@needs_shared_data
@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda each: each.path)
def test_data_sets_are_read(data_set: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in = examples + rows named as left out; as many as the manifest says.

    The page says what is found in a moment, to the row. (What takes longer is written by
    `python -m tests.test_data_sets` and not looked for again.)
    """
    if not data_set.files:
        assert data_set.rows == sum(manifest()[path] for path in files_of(data_set))
    if not data_set.format:
        rows = read_rows(data_set.path, base_folder=SHARED)
        assert sum(1 for _ in rows) == data_set.rows
        return
    settings = data_set.settings
    formats: list[Format] = []

    def noted(*row: Any, **asked: bool) -> Format:
        formats.append(format_of(*row, **asked))
        return formats[-1]

    monkeypatch.setattr(reading, "format_of", noted)
    skipped: list[str] | None = [] if settings.get("skip_empty") else None
    examples = read_examples(
        data_set.path,
        base_folder=SHARED,
        columns=settings.get("columns"),
        skipped=skipped,
        feedback=True,
        unanswered=True,
    )
    assert [each.name for each in formats] == ([] if "columns" in settings else [data_set.format])
    assert len(skipped or []) == data_set.left_out
    assert len({example.source for example in examples}) == data_set.rows - data_set.left_out
    assert len(examples) == (data_set.examples or data_set.rows - data_set.left_out)
    is_plain = data_set.format not in AS_TEXT and not (data_set.left_out or data_set.examples)
    longest, *words = cheap(map(record_of_example, examples) if is_plain else records(data_set))
    on_page = page_lines()[data_set.path]
    assert longest == on_page[0]
    assert words == [each for each in on_page[1].split("; ") if CHEAP.fullmatch(each)]


@needs_shared_data
def test_pictures_are_refused_in_a_line() -> None:
    for path, told in (("sign_digits", "no data in the folder"), ("bccd/Annotations", "no data")):
        with pytest.raises(InputError, match=told):
            list(read_rows(path, base_folder=SHARED))


# --- what is found in them ---------------------------------------------------------------------


def records(data_set: DataSet, where: Sequence[ByValue] = ()) -> Iterator[Record]:
    """The rows as `onsa data` reads them."""
    columns = data_set.settings.get("columns")
    return Reading(SHARED, columns, where=where).records(data_set.path)


def other_side(data_set: DataSet) -> tuple[str, Iterator[Record]] | None:
    """The rows that a set is compared with, and what they are called."""
    if data_set.path in OWN_SPLIT:
        return "its train rows", records(data_set, sides(data_set)[0])
    by_path = {each.path: each for each in DATA_SETS}
    trained = TRAINED.get(data_set.path)
    return (f"`{trained}`", records(by_path[trained])) if trained else None


def sides(data_set: DataSet) -> tuple[list[ByValue], list[ByValue]]:
    split = ColumnSplit(column=OWN_SPLIT[data_set.path], train="train", eval="dev")
    return [split.side("train")], [split.side("eval")]


def everything(data_set: DataSet) -> dict[str, Any]:
    """All that `onsa data` finds, what is on both sides among it; seconds to a minute."""
    other = other_side(data_set)
    if other is None:
        return {**inspect(records(data_set), Wanted()), "other": ""}
    name, others = other
    if data_set.path not in OWN_SPLIT:
        facts = inspect(records(data_set), Wanted(), Wanted().evaluation(others))
        return {**facts, "other": name}
    facts, evaluated = inspect(records(data_set), Wanted()), sides(data_set)[1]
    compared = inspect(records(data_set, evaluated), Wanted(), Wanted().evaluation(others))
    on_both = {each: compared["findings"][each] for each in ON_BOTH if each in compared["findings"]}
    return {**facts, "findings": {**facts["findings"], **on_both}, "other": name}


def cheap(found: Iterable[Record]) -> list[str]:
    """What is found in a moment, as the page has it: the longest row; repeats and conflicts."""
    sources, lengths = Sources(), Lengths("characters")
    repeats = Repeats(sources)
    for record in found:
        repeats.look(record, sources.add(record.source))
        lengths.look(record)
    return [longest_in(lengths.facts()), *in_words(repeats.facts())]


def longest_in(lengths: dict[str, Any] | None) -> str:
    return f"{lengths['quantiles']['1']:,}" if lengths else "0"


def in_words(findings: Mapping[str, Any], other: str = "") -> list[str]:
    """The findings that have rows, in few words."""
    said = {
        "empty": "empty",
        "misshapen": "of another shape",
        "duplicates": "repeat a row",
        "conflicts": "ask the same and reply otherwise",
        "near_duplicates": "nearly repeat a row",
        "overlap": f"also in {other}",
        "shared_texts": f"with one text of {other}",
        "near_overlap": f"nearly in {other}",
        "characters": "with odd characters",
        "personal_data": "with personal data",
    }
    return [
        f"{findings[name]['rows']:,} {words}{kinds_of(findings[name])}"
        for name, words in said.items()
        if name in findings and findings[name]["rows"]
    ]


def kinds_of(finding: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {rows:,}" for kind, rows in finding["kinds"].items())
    return f" ({kinds})" if kinds else ""


def found_line(data_set: DataSet) -> str:
    facts = everything(data_set)
    words = in_words(facts["findings"], facts["other"])
    longest = longest_in(facts["characters"])
    return f"| `{data_set.path}` | {longest} | {'; '.join(words) or 'nothing'} |\n"


def found_table() -> str:
    """Made by a process for each core; the largest sets come first."""
    head = "| data | longest row | found |\n| --- | ---: | --- |\n"
    order = sorted(DATA_SETS, key=lambda each: -each.rows)
    with ProcessPoolExecutor() as pool:
        lines = dict(zip(order, pool.map(found_line, order), strict=True))
    return head + "".join(lines[each] for each in DATA_SETS)


@cache
def page_lines() -> dict[str, list[str]]:
    """The page's table of what was found: of each path the other cells."""
    table = PAGE.read_text(encoding="utf-8").split(FOUND_START)[1].split(FOUND_END)[0]
    rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    return {path.strip("`"): cells for path, *cells in rows}


def test_the_page_says_of_each_set_what_was_found() -> None:
    assert list(page_lines()) == [data_set.path for data_set in DATA_SETS]


def is_small(data_set: DataSet) -> bool:
    rows = {each.path: each.rows for each in DATA_SETS}
    return data_set.rows + rows.get(TRAINED.get(data_set.path, ""), 0) <= MOST_ROWS_LOOKED_AT


@needs_shared_data
@pytest.mark.parametrize("data_set", [*filter(is_small, DATA_SETS)], ids=lambda each: each.path)
def test_all_that_is_found_in_small_sets_is_what_the_page_says(data_set: DataSet) -> None:
    """Near repeats, what is on both sides, odd characters and personal data among it."""
    _, longest, found = (cell.strip() for cell in found_line(data_set).strip("| \n").split(" | "))
    assert [longest, found] == page_lines()[data_set.path]


# --- the page ----------------------------------------------------------------------------------


def table() -> str:
    head = "| line of the task | read as | rows | examples |\n| --- | --- | ---: | ---: |\n"
    return head + "".join(f"| {' | '.join(cells(data_set))} |\n" for data_set in DATA_SETS)


def cells(data_set: DataSet) -> list[str]:
    columns = data_set.settings.get("columns")
    read_as = f"columns: {', '.join(columns)}" if columns else data_set.format or "rows only"
    examples = data_set.examples or data_set.rows - data_set.left_out
    left_out = f" ({data_set.left_out} left out)" if data_set.left_out else ""
    rows = f"{data_set.rows:,}" + (f" ({data_set.files})" if data_set.files else "")
    return [
        f"`{data_set.line}`",
        read_as,
        rows,
        f"{examples:,}{left_out}" if data_set.format else "-",
    ]


def test_the_page_has_this_table() -> None:
    assert PAGE.read_text(encoding="utf-8").split(START)[1].split(END)[0].strip() == table().strip()


def rewritten(page: str, start: str, end: str, text: str) -> str:
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{text}\n{end}{after}"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    page = rewritten(page, START, END, table())
    page = rewritten(page, FOUND_START, FOUND_END, found_table())
    PAGE.write_text(page, encoding="utf-8")
