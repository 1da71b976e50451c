"""Every public data set is read by its own files; `docs/data.md` says how, and is kept true.

`python -m tests.test_data_sets` writes the table of that page anew.
"""

from __future__ import annotations

import csv
import fnmatch
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from onsa.data.formats import format_of
from onsa.data.reading import read_examples, read_rows
from onsa.errors import InputError

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
START, END = "<!-- the table: written by tests/test_data_sets.py -->", "<!-- end of the table -->"
SHARED = Path(
    os.environ.get("ONSA_SHARED_DATA") or Path(__file__).parents[1].parent / "shared" / "data"
)
needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the public data sets are not here (ONSA_SHARED_DATA)"
)


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
def test_data_sets_are_read(data_set: DataSet) -> None:
    """Rows in = examples + rows named as left out; as many as the manifest says."""
    if not data_set.files:
        assert data_set.rows == sum(manifest()[path] for path in files_of(data_set))
    if not data_set.format:
        rows = read_rows(data_set.path, base_folder=SHARED)
        assert sum(1 for _ in rows) == data_set.rows
        return
    settings = data_set.settings
    if "columns" not in settings:
        first = next(read_rows(data_set.path, base_folder=SHARED))
        assert format_of(*first, feedback=True, unanswered=True).name == data_set.format
    skipped: list[str] | None = [] if settings.get("skip_empty") else None
    examples = read_examples(
        data_set.path,
        base_folder=SHARED,
        columns=settings.get("columns"),
        skipped=skipped,
        feedback=True,
        unanswered=True,
    )
    assert len(skipped or []) == data_set.left_out
    assert len({example.source for example in examples}) == data_set.rows - data_set.left_out
    assert len(examples) == (data_set.examples or data_set.rows - data_set.left_out)


@needs_shared_data
def test_pictures_are_refused_in_a_line() -> None:
    for path, told in (("sign_digits", "no data in the folder"), ("bccd/Annotations", "no data")):
        with pytest.raises(InputError, match=told):
            list(read_rows(path, base_folder=SHARED))


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


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n\n{table()}\n{END}{after}", encoding="utf-8")
