"""Reading of data files: shapes, slices, faults in one line; and overlap between data."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.example import Example
from onsa.data.formats import all_formats, format_of
from onsa.data.formats.oasst import paths
from onsa.data.overlap import check_overlap, find_overlap, prompt_key, without_overlap
from onsa.data.reading import read_examples, read_rows
from onsa.data.split import split
from onsa.errors import InputError
from onsa.methods import method_settings
from onsa.prepare.ready import make_ready
from onsa.recipe.reading import build_recipe
from tests.conftest import write_rows
from tests.shared_data import SHARED, needs_shared_data

PAIRS = [{"prompt": f"p{n}", "completion": f"r{n}"} for n in range(5)]
PAIR_LINES = "".join(json.dumps(pair) + "\n" for pair in PAIRS)

# One row of each format: what it becomes as roles and texts.
SAMPLES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "messages": (
        {
            "messages": [
                {"role": "developer", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "q"}]},
                {"role": "assistant", "content": "a"},
            ]
        },
        [("system", "s"), ("user", "q"), ("assistant", "a")],
    ),
    "sharegpt": (
        {
            "conversations": [
                {"from": "human", "value": "q"},
                {"from": "function_call", "value": "f()"},
                {"from": "observation", "value": "3"},
                {"from": "gpt", "value": "a"},
            ],
            "tools": "[f]",
        },
        [
            ("system", "Tools: [f]"),
            ("user", "q"),
            ("assistant", "f()"),
            ("tool", "3"),
            ("assistant", "a"),
        ],
    ),
    "code_tests": (
        {"text": "Add.", "code": "def f(x): ...", "test_list": ["assert f(1)", "assert f(2)"]},
        [
            ("user", "Add.\nYour code should pass these tests:\n\nassert f(1)\nassert f(2)"),
            ("assistant", "def f(x): ..."),
        ],
    ),
    "alpaca": (
        {"instruction": "do", "input": "it", "output": "done", "history": [["q", "a"]]},
        [("user", "q"), ("assistant", "a"), ("user", "do\n\nit"), ("assistant", "done")],
    ),
    "prompt_completion": (
        {"prompt": "q", "response": 4},
        [("user", "q"), ("assistant", "4")],
    ),
    "question_answer": (
        {"question": "1+1", "answer": "#### 2"},
        [("user", "1+1"), ("assistant", "#### 2")],
    ),
    "choices": (
        {"text": "T.", "question": "Q?", "options": ["x", "y", "z"], "answer": 1},
        [("user", "T.\n\nQ?\nA. x\nB. y\nC. z"), ("assistant", "B")],
    ),
    "oasst": (
        {
            "prompt": {
                "text": "q",
                "role": "prompter",
                "replies": [{"text": "a", "role": "assistant", "replies": []}],
            }
        },
        [("user", "q"), ("assistant", "a")],
    ),
    "moss": (
        {
            "meta_instruction": "You are MOSS.",
            "chat": {
                "turn_2": {"Human": "<|Human|>: r<eoh>\n", "MOSS": "<|MOSS|>: b<eom>\n"},
                "turn_1": {
                    "Human": "<|Human|>: q<eoh>\n",
                    "MOSS": "<|MOSS|>: a<eom>\n",
                    "Commands": "<|Commands|>: None<eoc>\n",
                },
            },
        },
        [("user", "q"), ("assistant", "a"), ("user", "r"), ("assistant", "b")],
    ),
    "text_label": ({"sentence": "t", "label": 1}, [("user", "t"), ("assistant", "1")]),
    "pair": (
        {"sentence1": "s", "sentence2": "t", "label": "yes"},
        [("user", "s\n\nt"), ("assistant", "yes")],
    ),
    "reading": (
        {"context": "C.", "question": "q", "answers": {"text": ["a", "b"]}},
        [("user", "C.\n\nq"), ("assistant", "a")],
    ),
    "preference": (
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        [("user", "q"), ("assistant", "a")],
    ),
    "transcripts": (
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
        [("user", "q"), ("assistant", "a")],
    ),
    "kto": (
        {"prompt": "q", "completion": "a", "label": False},
        [("user", "q"), ("assistant", "a")],
    ),
    "turns": ({"turns": ["q", "r"]}, [("user", "q"), ("assistant", "")]),
    "speakers": (
        {
            "utterances": [
                {"interlocutor_id": "AA", "text": "q"},
                {"interlocutor_id": "AB", "text": "a"},
            ]
        },
        [("user", "q"), ("assistant", "a")],
    ),
    "utterances": (
        {"utterances": [{"name": "user", "text": "q"}, {"name": "agent", "text": "a"}]},
        [("user", "q"), ("assistant", "a")],
    ),
}


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """Write a file and return its name."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write


def refusal(path: str, folder: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_examples(path, base_folder=folder, **options)
    assert "\n" not in str(caught.value)
    str(caught.value).encode("utf-8")  # it can be printed
    assert caught.value.way_out
    return str(caught.value)


def turns(example: Example) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in example.messages]


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", PAIR_LINES),
        ("a.jsonl", "\n" + PAIR_LINES.replace("\n", "\r\n\n")),
        ("a.ndjson", PAIR_LINES),
        ("a.json", json.dumps(PAIRS, indent=1)),
        ("a.json", json.dumps({"version": 1, "examples": PAIRS})),
        ("a.json", PAIR_LINES),
        ("a.txt", PAIR_LINES),
        ("a.data", json.dumps(PAIRS)),
        ("a.jsonl", b"\xef\xbb\xbf" + PAIR_LINES.encode()),
        ("a.jsonl.gz", gzip.compress(PAIR_LINES.encode(), mtime=0)),
        ("a.JSON.GZ", gzip.compress(json.dumps(PAIRS).encode(), mtime=0)),
        ("a.csv", "prompt,completion\n" + "".join(f'"p{n}",r{n}\n' for n in range(5))),
        ("a.tsv", "\ufeffprompt\tcompletion\n" + "".join(f"p{n}\tr{n}\n" for n in range(5))),
    ],
)
def test_one_file(name: str, content: str | bytes, put: Any, tmp_path: Path) -> None:
    examples = read_examples(put(name, content), base_folder=tmp_path)
    assert [turns(example) for example in examples] == [
        [("user", pair["prompt"]), ("assistant", pair["completion"])] for pair in PAIRS
    ]
    assert all(example.source.startswith(f"{name}:") for example in examples)


def test_sources_count_lines_and_items(put: Any, tmp_path: Path) -> None:
    def sources(name: str) -> list[str]:
        return [source for _, source in read_rows(name, base_folder=tmp_path)]

    assert sources(put("a.jsonl", '\n{"a": 1}\n\n{"a": 2}\n')) == ["a.jsonl:2", "a.jsonl:4"]
    assert sources(put("a.json", '[{"a": 1}, {"a": 2}]')) == ["a.json:1", "a.json:2"]
    assert sources(put("a.csv", 'a,b\n"x\ny",1\nz,2\n')) == ["a.csv:2", "a.csv:4"]
    assert sources(put("sub/one.json", '{"a": 1}')) == ["sub/one.json"]


def test_folder_glob_and_slices(put: Any, tmp_path: Path) -> None:
    for n, pair in enumerate(PAIRS):
        put(f"talks/{n % 2}/talk{n}.json", json.dumps(pair))
    put("talks/LICENSE", "free")
    put("all.jsonl", PAIR_LINES)
    put("odd#2.jsonl", PAIR_LINES)

    def prompts(path: str) -> list[str]:
        examples = read_examples(path, base_folder=tmp_path)
        return [example.messages[0]["content"] for example in examples]

    assert prompts("talks") == ["p0", "p2", "p4", "p1", "p3"]
    assert prompts("talks/1/*.json") == ["p1", "p3"]
    assert prompts("talks/**/*.json") == prompts("talks")
    assert prompts("all.jsonl#2") == ["p0", "p1"]
    assert prompts("all.jsonl#1:3") == ["p1", "p2"]
    assert prompts("all.jsonl#:2") == ["p0", "p1"]
    assert prompts("all.jsonl#3:") == ["p3", "p4"]
    assert prompts("all.jsonl#0:") == prompts("all.jsonl")
    assert prompts("talks#4") == ["p0", "p2", "p4", "p1"]
    assert prompts("odd#2.jsonl") == [f"p{n}" for n in range(5)]
    assert prompts(str(tmp_path / "all.jsonl")) == [f"p{n}" for n in range(5)]
    for wrong in ("#0", "#3:3", "#3:1", "#:", "#9", "#9:", "#"):
        refusal(f"all.jsonl{wrong}", tmp_path)


def test_a_slice_stops_reading_early(put: Any, tmp_path: Path) -> None:
    put("a.jsonl", PAIR_LINES + "broken\n")
    assert len(read_examples("a.jsonl#5", base_folder=tmp_path)) == 5


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", '{"prompt": "p", "completion": "r"}\n{"prompt": \n', "a.jsonl:2: broken JSON"),
        ("a.json", f'[{PAIR_LINES[:-1].split(chr(10))[0]},\n {{"a" 2}}]', "a.json:2: broken JSON"),
        ("a.json", PAIR_LINES + '{"a" 2}', "a.json:6: broken JSON"),
        ("a.jsonl", '{"a": NaN}\n', "NaN is not JSON"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}\n", "broken JSON"),
        ("a.jsonl", "[" * 100_000 + "\n", "nested too deeply"),
        ("a.json", '{"a":' * 100_000, "nested too deeply"),
        ("a.jsonl", "[1, 2]\n", "a.jsonl:1: the row is a list"),
        ("a.json", "[1]", "a.json:1: the row is a int"),
        ("a.json", "[]", "no rows"),
        ("a.json", "7", "the row is a int"),
        ("a.jsonl", b'{"prompt": "\xff"}\n', "a.jsonl:1: not UTF-8"),
        ("a.jsonl", "", "no rows"),
        ("a.jsonl", "\n \n", "no rows"),
        ("a.csv", "prompt,completion\n", "no rows"),
        ("a.csv", "prompt,completion\na,b,c\n", "a.csv:2: 3 cells, not 2"),
        ("a.csv", "a,a\n1,2\n", "two columns are named 'a'"),
        ("a.csv", 'a,b\n"x,1\n', "a.csv:2: broken table"),
        ("a.md", "# Title", "unknown kind of file"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.jsonl.gz", gzip.compress(PAIR_LINES.encode() * 99, mtime=0)[:60], "cannot be read"),
        ("a.jsonl", '{"prompt": "\\ud800", "completion": "r"}\n', "half a character"),
        ("a.jsonl", '{"prompt": "p", "completion": 1e999}\n', "a number too large"),
        ("a.jsonl", '{"prompt": "p", "completion": ["r"]}\n', "a.jsonl:1: 'completion' is a list"),
        ("a.jsonl", '{"prompt": "p", "completion": true}\n', "is true or false"),
        ("a.jsonl", '{"prompt": "p", "completion": " "}\n', "a.jsonl:1 (an empty reply)"),
        ("a.jsonl", '{"prompt": "p", "completion": null}\n', "a.jsonl:1 (an empty reply)"),
        ("a.jsonl", '{"prompt": "", "completion": "r"}\n', "a.jsonl:1 (an empty prompt)"),
    ],
)
def test_faults_name_the_place(
    name: str, content: str | bytes, told: str, put: Any, tmp_path: Path
) -> None:
    assert told in refusal(put(name, content), tmp_path)


def test_faults_of_paths(put: Any, tmp_path: Path) -> None:
    put("train.jsonl", PAIR_LINES)
    put("both/train.jsonl", PAIR_LINES)
    put("both/test.jsonl", PAIR_LINES)
    put("none/readme.md", "x")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "did you mean 'train.jsonl'?" in refusal("trian.jsonl", tmp_path)
    assert "no such file" in refusal("no/*.jsonl", tmp_path)
    assert "test.jsonl, train.jsonl; name the one" in refusal("both", tmp_path)
    assert "no data in the folder" in refusal("none", tmp_path)
    assert "not a plain file" in refusal("pipe.jsonl", tmp_path)
    assert "web address" in refusal("https://example.org/a.jsonl", tmp_path)
    for path in (
        "",
        " ",
        "a\0b",
        "~nobody_of_that_name/x",
        "x" * 9000,
        "\ud800",
        "\ud800#0",
        "a/" * 3000,
    ):
        refusal(path, tmp_path)


def test_a_file_without_permission(put: Any, tmp_path: Path, monkeypatch: Any) -> None:
    put("a.jsonl", PAIR_LINES)

    def denied(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # the tests may run as root, who may read all
    assert "a.jsonl: cannot be read (Permission denied)" in refusal("a.jsonl", tmp_path)


# --- shapes ------------------------------------------------------------------------------------


def test_every_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(all_formats())


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_each_row_belongs_to_one_format(name: str, put: Any, tmp_path: Path) -> None:
    row, expected = SAMPLES[name]
    asked = {"feedback": True, "unanswered": True}
    assert format_of(row, "here", **asked).name == name
    for path in (put("a.jsonl", json.dumps(row)), put("a.json", json.dumps(row))):
        for options in ({}, {"format": name}):
            (example,) = read_examples(path, base_folder=tmp_path, **asked, **options)
            assert turns(example) == expected


def test_no_format_matches(put: Any, tmp_path: Path) -> None:
    message = refusal(put("a.jsonl", '{"Frage": "?", "Antwort\\n": "!"}'), tmp_path)
    assert "a.jsonl:1: the row has the columns Frage, Antwort\\n" in message
    assert """columns: {prompt: Frage, reply: "Antwort\\n"}'""" in message
    assert '{"Frage": "?", "Antwort\\n": "!"}' in message
    both = {**SAMPLES["alpaca"][0], **SAMPLES["messages"][0]}
    assert "'format: alpaca' or 'format: messages'" in refusal(
        put("b.jsonl", json.dumps(both)), tmp_path
    )
    mixed = json.dumps(PAIRS[0]) + "\n" + json.dumps(SAMPLES["messages"][0])
    assert "c.jsonl:2" in refusal(put("c.jsonl", mixed), tmp_path)
    assert "did you mean 'alpaca'?" in refusal("a.jsonl", tmp_path, format="alpacca")


def test_feedback_on_replies_is_never_trained_unasked(put: Any, tmp_path: Path) -> None:
    row = {**SAMPLES["messages"][0], "label": False}
    assert "feedback" in refusal(put("kto.jsonl", json.dumps(row)), tmp_path)
    row = {"prompt": "p", "chosen": "c", "rejected": "r"}
    assert "feedback" in refusal(put("dpo.jsonl", json.dumps(row)), tmp_path)
    assert "feedback" in refusal("dpo.jsonl", tmp_path, format="preference")
    columns = {"prompt": "prompt", "reply": "chosen"}
    (example,) = read_examples("dpo.jsonl", base_folder=tmp_path, columns=columns)
    assert example.reply == "c"


def test_pain_P8_columns_by_name(put: Any, tmp_path: Path) -> None:
    """Red where a column that is not there reads as empty."""
    put("a.jsonl", '{"Body": "b", "Question": "q", "Answer": 51.0, "note": ""}')
    columns: Any = {"prompt": ["Body", "Question"], "reply": "Answer"}
    (example,) = read_examples("a.jsonl", base_folder=tmp_path, columns=columns, system="s")
    assert turns(example) == [("system", "s"), ("user", "b\n\nq"), ("assistant", "51.0")]
    wrong = {"prompt": "Question", "reply": "answer"}
    told = "a.jsonl:1: there is no column 'answer' for 'reply'; the row has the columns Body, "
    assert told in refusal("a.jsonl", tmp_path, columns=wrong)
    told = "did you mean 'reply'?"
    assert told in refusal("a.jsonl", tmp_path, columns={"prompt": "Body", "replly": "Answer"})
    for wrong in ({"prompt": "Body"}, {"prompt": "Body", "reply": "Answer", "answer": "note"}):
        assert "give prompt and reply" in refusal("a.jsonl", tmp_path, columns=wrong)
    empty: Any = {"prompt": "Body", "reply": []}
    assert "name one" in refusal("a.jsonl", tmp_path, columns=empty)


def test_columns_of_a_table_without_header(put: Any, tmp_path: Path) -> None:
    put("a.tsv", 'q"1\ta1\nq2\ta2\n')
    examples = read_examples("a.tsv", base_folder=tmp_path, columns={"prompt": 1, "reply": 2})
    assert [turns(example)[0][1] for example in examples] == ['q"1', "q2"]
    assert examples[0].source == "a.tsv:1"


def test_columns_with_choices(put: Any, tmp_path: Path) -> None:
    put("a.csv", "q,c0,c1,label\nWhich?,left,right,1\n")
    columns: Any = {"prompt": "q", "choices": ["c0", "c1"], "answer": "label"}
    (example,) = read_examples("a.csv", base_folder=tmp_path, columns=columns)
    assert turns(example) == [("user", "Which?\nA. left\nB. right"), ("assistant", "B")]
    assert example.extra == {"choices": ["A", "B"], "answer": "B"}


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (["x", "y"], 0, "A"),
        (["x", "y"], "B", "B"),
        (["x", "y"], "(b)", "B"),
        (["x", "y"], "y", "B"),
        (["x", "y"], "1", "B"),
        (["10", "20"], "20", "B"),
        ({"text": ["x", "y"], "label": ["1", "2"]}, "2", "B"),
        (["1", "0"], "1", None),  # the text of one, the position of another
        (["x", "y"], 2, None),
        (["x", "y"], -1, None),
        (["x", "y"], "²", None),
        (["x", "y"], "C", None),
        (["x", "y"], True, None),
        (["x", "y"], None, None),
        (["x"], 0, None),
        (["x"] * 27, 0, None),
        ("xy", 0, None),
        ({"text": ["x", "y"], "label": ["1"]}, "1", None),
    ],
)
def test_answers_of_choices(
    choices: Any, answer: Any, letter: str | None, put: Any, tmp_path: Path
) -> None:
    put("a.json", json.dumps([{"question": "Q", "choices": choices, "answer": answer}]))
    if letter is None:
        assert "a.json:1" in refusal("a.json", tmp_path)
    else:
        assert read_examples("a.json", base_folder=tmp_path)[0].reply == letter


def test_rows_without_text_are_told_or_left_out(put: Any, tmp_path: Path) -> None:
    rows = [{"instruction": f"i{n}", "input": "", "output": "x" * (n % 2)} for n in range(10)]
    put("a.json", json.dumps(rows))
    message = refusal("a.json", tmp_path)
    assert "5 of the rows" in message
    assert "a.json:1 (an empty reply), a.json:3 (an empty reply), " in message
    assert "and 2 more" in message
    skipped: list[str] = []
    assert len(read_examples("a.json", base_folder=tmp_path, skipped=skipped)) == 5
    assert len(skipped) == 5
    put("b.json", json.dumps(rows[:1]))
    assert "no row" in refusal("b.json", tmp_path, skipped=[])


def test_conversations_end_in_a_reply(put: Any, tmp_path: Path) -> None:
    put("a.json", json.dumps([{"messages": [{"role": "user", "content": "q"}]}]))
    assert "a.json:1 (no reply at the end)" in refusal("a.json", tmp_path)
    put("a.json", json.dumps([{"messages": [{"role": "assistant", "content": "a"}]}]))
    assert "(no prompt)" in refusal("a.json", tmp_path)
    for turn in (
        {"role": "narrator", "content": "q"},
        {"role": ["user"], "content": "q"},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
        {"role": "assistant", "content": "b", "weight": 0},
    ):
        put("a.json", json.dumps([{"messages": [turn, {"role": "assistant", "content": "a"}]}]))
        assert "a.json:1" in refusal("a.json", tmp_path)


def test_system_goes_where_there_is_none(put: Any, tmp_path: Path) -> None:
    put("a.jsonl", json.dumps(SAMPLES["messages"][0]))
    (own,) = read_examples("a.jsonl", base_folder=tmp_path, system="other")
    assert turns(own)[0] == ("system", "s")
    put("b.jsonl", PAIR_LINES)
    assert turns(read_examples("b.jsonl", base_folder=tmp_path, system="s")[0])[0][1] == "s"


def test_trees_become_conversations(put: Any, tmp_path: Path) -> None:
    def node(role: str, text: str, *replies: Any) -> dict[str, Any]:
        return {"role": role, "text": text, "replies": list(replies)}

    tree = node(
        "prompter",
        "q",
        node("assistant", "a1", node("prompter", "thanks"), node("prompter", "more?")),
        node(
            "assistant",
            "a2",
            node("prompter", "why?", node("assistant", "so")),
            node("prompter", "bye"),
        ),
    )
    assert len(paths(tree, "here")) == 4
    put("t.jsonl", json.dumps({"prompt": tree}))
    found = read_examples("t.jsonl", base_folder=tmp_path)
    texts = [[text for _, text in turns(example)] for example in found]
    assert texts == [["q", "a1"], ["q", "a2", "why?", "so"]]
    put("u.jsonl", json.dumps({"prompt": node("prompter", "q")}))
    assert "a tree without a reply" in refusal("u.jsonl", tmp_path)


def test_moss_with_plugins_is_refused(put: Any, tmp_path: Path) -> None:
    row = json.loads(json.dumps(SAMPLES["moss"][0]))
    row["chat"]["turn_1"]["Commands"] = '<|Commands|>: Search("x")<eoc>'
    assert "plugin (Commands)" in refusal(put("a.json", json.dumps(row)), tmp_path)


# --- hostile input -----------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
known_keys = sorted({key for row, _ in SAMPLES.values() for key in row} | {"label", "choices"})


def only_examples_or_input_error(path: Path, **options: Any) -> None:
    try:
        found = read_examples(path.name, base_folder=path.parent, **options)
    except InputError as fault:
        str(fault).encode("utf-8")
        assert "\n" not in str(fault)
    else:
        assert found
        for example in found:
            assert example.messages[-1]["role"] == "assistant"
            assert all(
                message["content"].strip() or message["role"] == "tool" or "tool_calls" in message
                for message in example.messages
            )
            json.dumps(example.extra)


@given(
    content=st.binary(max_size=300),
    ending=st.sampled_from(("json", "jsonl", "csv", "tsv", "x", "jsonl.gz")),
)
def test_fuzz_bytes(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    only_examples_or_input_error(path)
    path.write_bytes(b'[{"prompt": "' + content + b'", "completion": "r"}]')
    only_examples_or_input_error(path)


@given(
    rows=st.lists(st.dictionaries(st.sampled_from(known_keys), json_values, max_size=4), max_size=3)
)
def test_fuzz_rows(rows: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    only_examples_or_input_error(path)
    for name in all_formats():
        only_examples_or_input_error(path, format=name)


def _paths_into(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [at, *(path for key, inner in items for path in _paths_into(inner, (*at, key)))]


@given(data=st.data())
def test_fuzz_damaged_samples(data: st.DataObject, tmp_path: Path) -> None:
    """A good row of a format with one value in it replaced or taken away."""
    row = json.loads(json.dumps(SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))][0]))
    place = data.draw(st.sampled_from(_paths_into(row)[1:]))
    holder = row
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(json_values)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row))
    only_examples_or_input_error(path)


@given(
    cells=st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), min_size=1, max_size=4)
)
def test_fuzz_tables_come_back(cells: list[list[str]], tmp_path: Path) -> None:
    """What csv writes is read back, whatever is in the cells."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["prompt", "completion"], *cells])
    path = tmp_path / "a.csv"
    path.write_bytes(out.getvalue().encode("utf-8", "surrogatepass"))
    try:
        rows = [list(row.values()) for row, _ in read_rows("a.csv", base_folder=tmp_path)]
    except InputError:
        assert any(
            ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for row in cells for text in row for c in text
        )
    else:
        assert rows == cells


# --- overlap and splits ------------------------------------------------------------------------


def example(prompt: str, reply: str = "r", source: str = "", system: str = "") -> Example:
    before = ({"role": "system", "content": system},) if system else ()
    pair = ({"role": "user", "content": prompt}, {"role": "assistant", "content": reply})
    return Example((*before, *pair), {}, source)


def test_overlap_is_found_and_refused() -> None:
    train = [example(f"p{n}", source=f"train:{n}") for n in range(10)]
    evaluation = [
        example("  P3 ", "other", "eval:0"),  # the same prompt
        example("p4", "r", "eval:1", system="s"),  # the same exchange under a system message
        example("p5", "other", "eval:2", system="s"),  # another rule for the same input
        example("new", "r", "eval:3"),
    ]
    found = find_overlap(train, evaluation)
    assert found.twins == {0: "train:3", 1: "train:4"}
    assert found.share == 0.5
    assert "2 of 4 evaluation rows" in check_overlap(find_overlap(train, evaluation), 0.5)
    with pytest.raises(InputError, match=r"eval:0 = train:3, eval:1 = train:4.*overlap_share: 0.5"):
        check_overlap(find_overlap(train, evaluation), 0.49)
    kept = without_overlap(train, evaluation)
    assert len(kept) == 8
    assert check_overlap(find_overlap(kept, evaluation), 0.0) == ""


def test_rows_that_another_task_is_scored_on_are_left_out_where_asked(
    tiny_model: Any, tmp_path: Path
) -> None:
    rows = [{"prompt": f"say {number}", "completion": f"w{number}"} for number in range(12)]
    parts = (rows[:8], rows[8:10], rows[10:], rows[7:8])
    first, kept, second, scored = (
        str(write_rows(tmp_path / f"{number}.jsonl", part)) for number, part in enumerate(parts)
    )

    def ready(**keys: Any) -> Any:
        tasks = [
            {"name": "a", "train": first, "eval": kept, "max_new_tokens": 2, **keys},
            {"name": "b", "train": second, "eval": scored, "max_new_tokens": 2},
        ]
        given = {"model": str(tiny_model()), "output": "run", "method": "full", "tasks": tasks}
        recipe = build_recipe(given, method_settings())
        return make_ready(recipe, tmp_path, {})

    with pytest.raises(InputError, match="'drop_overlap: true' in the task that trains them"):
        ready()
    made = ready(drop_overlap=True)
    assert [len(task.train) for task in made.tasks] == [7, 2]
    assert "task a: 1 training rows left out: evaluation rows of other tasks" in made.notes


@given(
    prompts=st.lists(st.integers(0, 30), min_size=2, max_size=60),
    wanted=st.one_of(st.integers(1, 20), st.floats(0.01, 0.99)),
    seed=st.integers(0, 3),
)
def test_splits_are_disjoint(prompts: list[int], wanted: float, seed: int) -> None:
    rows = [example(f"p{p}", f"r{n}", f"f:{n // 2}") for n, p in enumerate(prompts)]
    try:
        train, evaluation = split(rows, wanted, seed)
    except InputError:
        return
    assert train
    assert evaluation
    assert len(train) + len(evaluation) == len(rows)
    assert not {prompt_key(row) for row in train} & {prompt_key(row) for row in evaluation}
    assert not {row.source for row in train} & {row.source for row in evaluation}
    assert split(rows, wanted, seed) == (train, evaluation)
    assert len(evaluation) <= max(
        1, wanted if isinstance(wanted, int) else round(wanted * len(rows))
    )


def test_splits_have_the_rows_asked_for() -> None:
    rows = [example(f"p{n}", source=f"f:{n}") for n in range(100)]
    assert len(split(rows, 0.1, 0)[1]) == 10
    assert len(split(rows, 37, 0)[1]) == 37
    assert split(rows, 37, 0)[1] != split(rows, 37, 1)[1]
    for few, wanted in ((rows[:1], 0.5), (rows[:5], 5), ([rows[0]] * 9, 0.5)):
        with pytest.raises(InputError):
            split(few, wanted, 0)


# --- the real files ----------------------------------------------------------------------------


@needs_shared_data
@pytest.mark.parametrize(
    ("path", "rows", "empty"),
    [
        ("gsm8k/train.jsonl", 7473, 0),
        ("gsm8k/test.jsonl", 660, 0),
        ("logiqa2/dev.txt", 1569, 0),
        ("logiqa2/test.txt", 778, 0),
        ("logiqa2/ood_test.jsonl", 575, 0),
        ("codealpaca/code_alpaca_2k.json", 2017, 2),
        ("codealpaca/new_codealpaca.json", 4082, 0),
        ("alpaca/alpaca_5000.json", 4500, 2),
        ("moss", 234, 0),
        ("fastchat/dummy_conversation.json", 500, 0),
        ("llamafactory_demo/glaive_toolcall_en_demo.json", 300, 0),
        ("instruction_ja/data.jsonl", 536, 0),
    ],
)
def test_real_files_are_read_whole(path: str, rows: int, empty: int) -> None:
    assert sum(1 for _ in read_rows(path, base_folder=SHARED)) == rows
    skipped: list[str] = []
    assert len(read_examples(path, base_folder=SHARED, skipped=skipped)) == rows - empty
    assert len(skipped) == empty


@needs_shared_data
def test_real_trees() -> None:
    rows = list(read_rows("oasst/en_100_tree.jsonl", base_folder=SHARED))
    assert len(rows) == 80
    found = [path for row, source in rows for path in paths(row["prompt"], source)]
    assert len(found) == 519
    assert sum(len(path) >= 4 for path in found) == 289
    # Paths that differ only in what the user said last have the same last reply: one conversation.
    assert len(read_examples("oasst/en_100_tree.jsonl", base_folder=SHARED)) == 447


@needs_shared_data
def test_real_conversations_carry_no_marks() -> None:
    for example in read_examples("moss", base_folder=SHARED):
        assert not any(mark in m["content"] for m in example.messages for mark in ("<|", "<eo"))


@needs_shared_data
@pytest.mark.parametrize(
    ("path", "columns", "rows"),
    [
        ("svamp/SVAMP.json", {"prompt": ["Body", "Question"], "reply": "Answer"}, 1000),
        ("mgsm/mgsm_ja.tsv", {"prompt": 1, "reply": 2}, 125),
        ("bbh/*.json", {"prompt": "input", "reply": "target"}, 3256),
    ],
)
def test_real_files_by_columns(path: str, columns: Any, rows: int) -> None:
    assert len(read_examples(path, base_folder=SHARED, columns=columns)) == rows


@needs_shared_data
def test_real_overlap() -> None:
    """LogiQA 2.0 has passages in both dev and test, as its users are warned."""
    train = read_examples("logiqa2/dev.txt", base_folder=SHARED)
    evaluation = read_examples("logiqa2/test.txt", base_folder=SHARED)
    assert len(find_overlap(train, evaluation).twins) >= 30
    with pytest.raises(InputError, match="evaluation rows are training rows too"):
        check_overlap(find_overlap(train, evaluation), 0.0)
    train = read_examples("gsm8k/train.jsonl", base_folder=SHARED)
    evaluation = read_examples("gsm8k/test.jsonl", base_folder=SHARED)
    assert check_overlap(find_overlap(train, evaluation), 0.0) == ""
