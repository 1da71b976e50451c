"""Shapes of rows: labels, pairs, choices, feedback, tools; any columns by name; what is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from onsa.data.encoded import UNTRAINED
from onsa.data.encoding import Encoder
from onsa.data.example import Example
from onsa.data.formats import format_of
from onsa.data.formats._likely import likely_readings
from onsa.data.formats._lists import list_in
from onsa.data.formats._rows import group_of
from onsa.data.nesting import flat
from onsa.data.reading import read_examples, read_rows
from onsa.errors import InputError
from onsa.tasks._files import FileSettings

Row = dict[str, Any]
Read = Callable[..., list[Example]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Examples of some rows."""

    def examples(*rows: Row, **options: Any) -> list[Example]:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
        return read_examples("a.jsonl", base_folder=tmp_path, **options)

    return examples


def refusal(read: Read, *rows: Row, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(*rows, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.way_out
    return str(caught.value)


def turns(example: Example) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in example.messages]


# --- labels and numbers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "label", "reply"),
    [
        ("good", "good", "good"),
        (" good ", "good", "good"),
        (3, "3", "3"),
        (True, "true", "true"),
        (0, "0", "0"),
        (4.5, 4.5, "4.5"),
        (0.0, 0.0, "0.0"),
        ("4.5", "4.5", "4.5"),
        (["a", "b"], ["a", "b"], "a, b"),
        ("['a', 'b']", ["a", "b"], "a, b"),
        ([1, 2], ["1", "2"], "1, 2"),
        ([], [], "none"),
    ],
)
def test_labels(cell: Any, label: Any, reply: str, read: Read) -> None:
    (example,) = read({"text": "t", "label": cell})
    assert example.extra == {"texts": ["t"], "label": label}
    assert type(example.extra["label"]) is type(label)
    assert turns(example) == [("user", "t"), ("assistant", reply)]


def test_pairs_and_missing_texts(read: Read) -> None:
    (example,) = read({"premise": "p", "hypothesis": "h", "label": "neutral", "idx": 3})
    assert example.extra == {"texts": ["p", "h"], "label": "neutral"}
    assert turns(example) == [("user", "p\n\nh"), ("assistant", "neutral")]
    (example,) = read({"sentence1": "p", "sentence2": "h", "score": 3.8})
    assert example.extra["label"] == 3.8
    for row, told in (
        ({"text": " ", "label": "a"}, "a.jsonl:1 (an empty text)"),
        ({"text": "t", "label": None}, "a.jsonl:1 (an empty label)"),
        ({"sentence1": "p", "sentence2": "", "label": 1}, "a.jsonl:1 (an empty text)"),
    ):
        assert told in refusal(read, row)
    assert "'label' is an object" in refusal(read, {"text": "t", "label": {"a": 1}})
    both = {"sentence1": "p", "sentence2": "h", "score": 1.0, "label": "a"}
    assert "'columns: {text: [sentence1, sentence2], label: score}'" in refusal(read, both)


def test_labels_by_columns(read: Read) -> None:
    row = {"body": "b", "second": "s", "toxic": 1, "rude": "0", "sad": True, "w": "0.5", "who": 7}
    columns = {"text": ["body", "second"], "label": "rude", "weight": "w", "group": "who"}
    (example,) = read(row, columns=columns)
    assert example.extra == {"texts": ["b", "s"], "label": "0"}
    assert (example.weight, example.group) == (0.5, "7")
    columns = {"text": "body", "label": ["toxic", "rude", "sad"]}
    (example,) = read(row, columns=columns)
    assert example.extra == {"texts": ["b"], "label": ["toxic", "sad"]}
    assert "'who' is neither 0 nor 1: '7'" in refusal(
        read, row, columns={"text": "body", "label": ["toxic", "who"]}
    )
    for weight in (0, -1, "x", None, True, 1e9):
        told = refusal(
            read, {**row, "w": weight}, columns={"text": "body", "label": "rude", "weight": "w"}
        )
        assert "a.jsonl:1: the weight is" in told
    assert "name one, or two that are a pair" in refusal(
        read, row, columns={"text": ["body", "second", "rude"], "label": "sad"}
    )
    for wrong in (
        {"text": "body"},
        {"text": "body", "label": "sad", "system": "w"},
        {"label": "w"},
    ):
        assert "text and label" in refusal(read, row, columns=wrong)


# --- choices and reading -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "answer", "letter"),
    [
        ({"choice0": "x", "choice1": "y"}, 1, "B"),
        ({"ans0": "x", "ans1": "y", "ans2": "z"}, 0, "A"),
        ({"option1": "x", "option2": "y"}, "1", "A"),
        ({"option1": "x", "option2": "y"}, 2, "B"),
        ({"option1": "x", "option2": "y"}, "y", "B"),
        ({"A": "x", "B": "y", "C": "z"}, "C", "C"),
        ({"option_a": "x", "option_b": "y"}, "b", "B"),
        ({"opa": "x", "opb": "y"}, 0, "A"),
        ({"choices": "['x', 'y']"}, 1, "B"),
        ({"options": '["x", "y"]'}, "A", "A"),
        ({"option1": "x", "option2": "y"}, 0, None),
        ({"choice0": "x", "ans1": "y"}, 1, None),
        ({"choices": "['x' 'y']"}, 1, None),  # as NumPy prints it: one text to Python
    ],
)
def test_choices_in_any_form(columns: Row, answer: Any, letter: str | None, read: Read) -> None:
    row = {"question": "q", **columns, "answer": answer}
    if letter is None:
        assert "a.jsonl:1" in refusal(read, row, format="choices")
        return
    (example,) = read(row)
    assert example.reply == letter
    assert turns(example)[0][1].startswith("q\nA. x\nB. y")


def test_choices_by_columns_that_are_lists(read: Read) -> None:
    row = {"q": "q", "right": "yes", "wrong": "['no', 'perhaps']"}
    columns: Any = {"prompt": "q", "choices": ["right", "wrong"], "answer": "right"}
    (example,) = read(row, columns=columns)
    assert turns(example) == [("user", "q\nA. no\nB. perhaps\nC. yes"), ("assistant", "C")]
    row = {"q": "q", "1": "C", "2": "x", "a": "B"}
    columns = {"prompt": "q", "choices": {"B": "1", "C": "2"}, "answer": "a"}
    assert FileSettings(train="a", columns=columns).columns == columns
    (example,) = read(row, columns=columns)
    assert turns(example) == [("user", "q\nA. C\nB. x"), ("assistant", "A")]


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"text": ["a", "a", "b"], "answer_start": [1, 1, 4]}, ["a", "b"]),
        ([{"text": "a"}, {"text": "b"}], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        ("a", ["a"]),
        ("['a', 'b']", ["a", "b"]),
    ],
)
def test_questions_on_a_passage(answers: Any, found: list[str], read: Read) -> None:
    (example,) = read({"context": "C.", "question": "q", "answers": answers})
    assert turns(example) == [("user", "C.\n\nq"), ("assistant", "a")]
    assert example.extra == {"answers": found}
    assert example.group == group_of("C.")
    for row in ({"answers": "a"}, {"options": ["a", "b"], "answer": "A"}):
        told = refusal(read, {"context": "C.", "question": " ", **row})
        assert "a.jsonl:1 (an empty prompt)" in told
    told = refusal(read, {"context": "C.", "question": "q", "answers": {"text": []}})
    assert "a.jsonl:1 (an empty reply)" in told


def test_rows_in_rows(read: Read, tmp_path: Path) -> None:
    answers = [{"text": "a", "answer_start": 0}]
    paragraphs = [
        {"context": "C1", "qas": [{"question": "q1", "answers": answers}]},
        {
            "context": "C2",
            "qas": [
                {"question": "q2", "answers": answers},
                {"question": "q3", "answers": [], "is_impossible": True},
            ],
        },
    ]
    squad = {"version": "2", "data": [{"title": "T", "paragraphs": paragraphs}]}
    (tmp_path / "b.json").write_text(json.dumps(squad))
    skipped: list[str] = []
    first, second = read_examples("b.json", base_folder=tmp_path, skipped=skipped)
    assert (first.source, second.source) == ("b.json:1.1.1", "b.json:1.2.1")
    assert skipped == ["b.json:1.2.2 (an empty reply)"]
    assert turns(first)[0] == ("user", "C1\n\nq1")
    assert len(list(read_rows("b.json#2", base_folder=tmp_path))) == 2
    (tmp_path / "c.json").write_text(json.dumps(squad["data"][0]))
    assert len(list(read_rows("c.json", base_folder=tmp_path))) == 3

    questions = [{"question": "q", "options": ["x", "y"], "answer": "B"}] * 2
    examples = read({"passage": "P", "questions": questions})
    assert [example.reply for example in examples] == ["B", "B"]
    assert {example.group for example in examples} == {group_of("P")}

    seed = {"instruction": "do", "instances": [{"input": "i", "output": "o"}, {"output": "p"}]}
    assert [example.reply for example in read(seed)] == ["o", "p"]

    deep: Row = {"question": "q"}
    for _ in range(200):
        deep = {"question": "q", "questions": [deep]}
    assert len(list(flat(deep, "here"))) == 1


# --- feedback and prompts alone ----------------------------------------------------------------

USER, REPLY, OTHER = (
    {"role": r, "content": c} for r, c in (("user", "q"), ("assistant", "a"), ("assistant", "b"))
)
HUMAN, GPT, GPT_OTHER = (
    {"from": f, "value": v} for f, v in (("human", "q"), ("gpt", "a"), ("gpt", "b"))
)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"},
        {"question": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [USER], "chosen": [REPLY], "rejected": [OTHER]},
        {"messages": [USER], "chosen": REPLY, "rejected": OTHER},
        {"conversations": [HUMAN], "chosen": GPT, "rejected": GPT_OTHER},
        {"chosen": [USER, REPLY], "rejected": [USER, OTHER]},
        {"prompt": "q", "chosen": [USER, REPLY], "rejected": [USER, OTHER]},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    ],
)
def test_preferences(row: Row, read: Read) -> None:
    assert "feedback on replies" in refusal(read, row)
    (example,) = read(row, feedback=True)
    assert turns(example) == [("user", "q"), ("assistant", "a")]
    assert example.extra == {"rejected": "b"}


def test_preferences_that_are_none(read: Read) -> None:
    columns = {"prompt": "p", "chosen": "x", "rejected": "y", "context": "c"}
    row = {"p": "q", "x": "a", "y": "b", "c": "C"}
    assert "feedback on replies" in refusal(read, row, columns=columns)
    (example,) = read(row, columns=columns, feedback=True)
    assert turns(example) == [("user", "C\n\nq"), ("assistant", "a")]
    for row in (
        {"prompt": "q", "chosen": "a", "rejected": ""},
        {"prompt": "q", "chosen": "", "rejected": "b"},
        {"chosen": [USER, REPLY, USER, OTHER], "rejected": [USER, OTHER]},
        {"chosen": [USER, REPLY], "rejected": [USER]},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: other"},
    ):
        skipped: list[str] = []
        good = {"prompt": "q", "chosen": "a", "rejected": "b"}
        assert "a.jsonl:1 (" in refusal(read, row, feedback=True)
        if set(good) == set(row):
            assert len(read(good, row, feedback=True, skipped=skipped)) == 1
            assert len(skipped) == 1


@pytest.mark.parametrize("said", [True, False, "true", "False", 1, 0, "1"])
@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, REPLY]},
        {"conversations": [HUMAN, GPT]},
        {"prompt": "q", "completion": "a"},
        {"question": "q", "answer": "a"},
    ],
)
def test_replies_liked_or_not(row: Row, said: Any, read: Read) -> None:
    row = {**row, "label": said}
    assert "feedback on replies" in refusal(read, row)
    (example,) = read(row, feedback=True)
    assert turns(example) == [("user", "q"), ("assistant", "a")]
    assert example.extra == {"liked": said in (True, "true", 1, "1")}
    columns = {"prompt": "p", "reply": "r", "label": "good"}
    (example,) = read({"p": "q", "r": "a", "good": said}, columns=columns, feedback=True)
    assert example.extra == {"liked": said in (True, "true", 1, "1")}


def test_prompts_alone(read: Read) -> None:
    row = {"turns": ["q1", "q2"], "reference": ["r1", "r2"], "category": "c"}
    assert "prompts and no replies" in refusal(read, row)
    (example,) = read(row, unanswered=True)
    assert turns(example) == [("user", "q1"), ("assistant", "")]
    assert example.extra == {"turns": ["q1", "q2"], "reference": ["r1", "r2"]}
    (example,) = read({"x": "q"}, columns={"prompt": "x"}, unanswered=True)
    assert (example.prompt[0]["content"], example.reply) == ("q", "")
    assert "a.jsonl:1 (an empty prompt)" in refusal(
        read, {"x": ""}, columns={"prompt": "x"}, unanswered=True
    )


def test_chats_of_two_people(read: Read) -> None:
    def said(*parts: tuple[str, str]) -> Row:
        return {"utterances": [{"interlocutor_id": who, "text": text} for who, text in parts]}

    (example,) = read(said(("A", "1"), ("A", "2"), ("B", "3"), ("A", "4"), ("B", "5"), ("A", "6")))
    assert turns(example) == [
        ("user", "1\n2"),
        ("assistant", "3"),
        ("user", "4"),
        ("assistant", "5"),
    ]
    assert "3 people talk" in refusal(read, said(("A", "1"), ("B", "2"), ("C", "3")))
    assert "(no reply)" in refusal(read, said(("A", "1")))


# --- tools -------------------------------------------------------------------------------------

TOOL = {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "add", "arguments": {"a": 1, "b": "二"}}
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def openai_row() -> Row:
    function = {"name": "add", "arguments": json.dumps(CALL["arguments"])}
    return {
        "messages": [
            {"role": "user", "content": "add"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "1", "name": "add", "content": "3"},
            {"role": "assistant", "content": "3"},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }


def sharegpt_row() -> Row:
    said = [
        ("human", "add"),
        ("function_call", json.dumps(CALL)),
        ("observation", "3"),
        ("gpt", "3"),
    ]
    turns = [{"from": who, "value": text} for who, text in said]
    return {"conversations": turns, "tools": json.dumps([TOOL])}


@pytest.mark.parametrize("row", [openai_row(), sharegpt_row()])
def test_tools_reach_the_template(row: Row, read: Read, tokenizer: Any) -> None:
    (example,) = read(row)
    assert example.extra["tools"] == [{"type": "function", "function": TOOL}]
    (call,) = example.messages[1]["tool_calls"]
    assert call["function"] == CALL
    knowing = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|im_end|>")
    knowing.chat_template = TOOL_TEMPLATE
    encoder = Encoder(knowing, 2000)
    encoded = encoder.encode(example)
    text = knowing.decode(encoded.ids)
    assert '"description": "adds"' in text
    trained = knowing.decode([label for label in encoded.labels if label != UNTRAINED])
    assert trained.startswith('{"name": "add", "arguments": {"a": 1, "b": "')
    assert trained.endswith("<|im_end|>3<|im_end|>")
    assert '"description": "adds"' in knowing.decode(encoder.encode_prompt(example))


def test_a_template_that_leaves_tools_out_is_refused(read: Read, tokenizer: Any) -> None:
    """Red without the comparison in `encoding._render_whole`: the tools would be lost silently."""
    encoder = Encoder(tokenizer, 2000)
    (example,) = read(openai_row())
    with pytest.raises(
        InputError, match=r"a.jsonl:1: .*leaves out the row's tools; set 'tools: text'"
    ):
        encoder.encode(example)
    without = openai_row()
    del without["tools"]
    (example,) = read(without)
    with pytest.raises(InputError, match="leaves out the row's calls of tools"):
        encoder.encode(example)
    (example,) = read(openai_row(), tools="text")
    assert turns(example)[0] == ("system", f"Tools: {json.dumps([TOOL])}")
    assert turns(example)[2] == ("assistant", json.dumps(CALL, ensure_ascii=False))
    assert "tools" not in example.extra
    assert "adds" in tokenizer.decode(encoder.encode(example).ids)
    with_system = openai_row()
    with_system["messages"].insert(0, {"role": "system", "content": "S"})
    (example,) = read(with_system, tools="text")
    assert turns(example)[0] == ("system", f"S\n\nTools: {json.dumps([TOOL])}")


def test_tools_that_are_none(read: Read) -> None:
    row = openai_row()
    for wrong in ("add", {"a": 1}, [1], [{"description": "x"}], [{"function": 3}]):
        assert "a.jsonl:1" in refusal(read, {**row, "tools": wrong})
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": deep}
    assert "nested too deeply" in refusal(read, {**row, "tools": [{"name": "f", "x": deep}]})
    for wrong in ({"name": "f", "arguments": "no JSON"}, {"arguments": {}}, {"name": ""}, 3):
        row["messages"][1]["tool_calls"] = [wrong]
        assert "a call of a tool has no name" in refusal(read, row)
    sharegpt = {**sharegpt_row(), "tools": "add(a, b)"}  # no JSON: told as it is
    assert turns(read(sharegpt)[0])[0] == ("system", "Tools: add(a, b)")


# --- what cannot be told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "readings"),
    [
        (
            {"body": "A long enough text about it.", "category": "x"},
            ["columns: {text: body, label: category}"],
        ),
        (
            {"pair_ID": 1, "sentence_A": "A text of some words.", "sentence_B": "Another text.",
             "relatedness_score": "4.5", "entailment_judgment": "NEUTRAL"},
            ["columns: {text: [sentence_A, sentence_B], label: relatedness_score}",
             "columns: {text: [sentence_A, sentence_B], label: entailment_judgment}"],
        ),
        (
            {"Body": "Some text here first.", "Question": "How many are there?", "Answer": 51.0},
            ["columns: {prompt: Question, reply: Answer}"],
        ),
        (
            {"質問": "日本の首都はどこですか。", "回答": "東京です。"},
            ["columns: {prompt: 質問, reply: 回答}"],
        ),
        (
            {"q t": "What is it?", "opts": ["a", "b"], "the answer": "a"},
            ['columns: {prompt: "q t", choices: opts, answer: "the answer"}'],
        ),
        (  # a table without a header
            {"S_5 において p とする。S_5に": "文1は群の因子群。", "8": "真", "2": "偽", "C": "B"},
            ["columns: {prompt: 1, choices: [2, 3], answer: 4}"],
        ),
    ],
)  # fmt: skip
def test_pain_P8_likely_readings(row: Row, readings: list[str], read: Read) -> None:
    """Red without `_likely`: every shape was listed, and the reader left to find theirs."""
    found = likely_readings(row)
    assert found[: len(readings)] == readings
    assert len(found) <= 3
    told = refusal(read, row)
    assert f"say what they are: '{readings[0]}'" in told
    for reading in found:
        columns = yaml.safe_load(reading)["columns"]
        named = [
            n for names in columns.values() for n in (names if isinstance(names, list) else [names])
        ]
        if all(isinstance(name, str) for name in named):
            assert set(named) <= set(row)  # it can be pasted
            read(row, columns=columns)


@given(
    row=st.dictionaries(
        st.text(max_size=8, alphabet=st.characters(codec="utf-8")),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=60),
                  st.lists(st.text(max_size=5), max_size=3), st.dictionaries(st.text(), st.none())),
        max_size=6,
    )
)  # fmt: skip
def test_likely_readings_are_yaml(row: Row) -> None:
    for reading in likely_readings(row, unanswered=True):
        columns = yaml.safe_load(reading)["columns"]
        assert all(isinstance(part, str) for part in columns)


@pytest.mark.parametrize(
    ("row", "options", "told"),
    [
        (
            {"prompt": "p", "completion": ["r"]}, {},
            """a.jsonl:1: 'completion' is a list, not text, in the row {"prompt": "p", """
            """"completion": ["r"]}; put text there, or take other columns with 'columns:'; """
            "expected is prompt_completion: prompt, completion (or response)",
        ),
        (
            {"question": "q", "options": ["x"], "answer": 0}, {},
            "a.jsonl:1: the choices are not a list of 2 to 26 texts, in the row "
            """{"question": "q", "options": ["x"], "answer": 0}""",
        ),
        (
            {"q": "x", "a": "y"}, {"columns": {"prompt": "q", "reply": "answr"}},
            "a.jsonl:1: there is no column 'answr' for 'reply'; the row has the columns q, a",
        ),
        (
            {"text": "x" * 500, "label": {}}, {},
            f'in the row {{"text": "{"x" * 38}…, "label": {{}}}}',
        ),
    ],
)  # fmt: skip
def test_pain_P8_a_fault_shows_the_row_and_the_shape(
    row: Row, options: Row, told: str, read: Read
) -> None:
    """File, row, column, the row and the shape expected; red without `reading._converted`."""
    assert told in refusal(read, row, **options)


def test_pain_P8_a_table_with_a_row_too_wide(tmp_path: Path) -> None:
    """Red where cells beyond the header are dropped."""
    (tmp_path / "a.csv").write_text("text,label\ngood,1\na, comma,0\n")
    with pytest.raises(InputError, match=r"a.csv:3: 3 cells, not 2, in the row a \| comma \| 0;"):
        read_examples("a.csv", base_folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("[1, 2.5, None, True]", [1, 2.5, None, True]),
        ("['a', \"it's\"]", ["a", "it's"]),
        (" [] ", []),
        ("['a' 'b']", None),
        ("[a, b]", None),
        ("[__import__('os')]", None),
        ("[" * 5000 + "]" * 5000, None),
        ("['a'", None),
        ("(1, 2)", None),
        ("text", None),
        (["a"], ["a"]),
        (3, None),
    ],
)
def test_lists_as_text(text: Any, found: Any) -> None:
    assert list_in(text) == found


def test_feedback_wins_over_the_shape_inside() -> None:
    row = {"messages": [USER, REPLY], "label": True}
    assert format_of(row, "here", feedback=True).name == "kto"
    assert format_of({"messages": [USER, REPLY], "label": "spam"}, "here").name == "messages"
