"""A slow tokenizer (a program, no tokenizer.json): taken for heads, as in plain transformers."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_rows
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertJapaneseTokenizer,
    BertModel,
)

from onsa.commands.tune import tune
from onsa.data.encoding import Encoder
from onsa.data.formats._labels import labelled
from onsa.errors import InputError
from onsa.models.tokenizer import load_tokenizer
from tests.conftest import SHAPE

LETTERS = "abcdefghijklmnopqrstuvwxyz東京駅海"
TEXTS = [("東京 駅",), ("東海", "a b c"), ("abc " * 30,), ("abc " * 30, "海 " * 30), ("x",)]


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder whose words are told by a program, as MeCab tells those of the Japanese BERTs."""
    folder = tmp_path_factory.mktemp("slow") / "model"
    config = {**SHAPE, "vocab_size": 80, "max_position_embeddings": 64}
    torch.manual_seed(0)
    BertModel(BertConfig(**config)).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{x}" for x in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(str(folder / "vocab.txt"), word_tokenizer_type="basic")
    tokenizer.save_pretrained(folder)
    return folder


def by_heads(folder: Path) -> Any:
    return load_tokenizer(folder, generative=False)


@pytest.mark.parametrize("end", ["right", "left"])
@pytest.mark.parametrize("texts", TEXTS)
def test_ids_are_those_of_plain_transformers(slow_model: Path, texts: Any, end: Any) -> None:
    plain = AutoTokenizer.from_pretrained(slow_model, truncation_side=end)
    assert not plain.is_fast
    expected = plain(*texts, truncation=True, max_length=24)
    encoder = Encoder(by_heads(slow_model), 24, end)
    example = labelled(texts, "x", "f:1")
    found = encoder.encode(example.__class__(**{**vars(example), "target": 0}))
    assert list(found.ids) == expected["input_ids"]
    assert found.type_ids == (expected.get("token_type_ids") or None)
    assert found.cut_tokens == len(plain(*texts)["input_ids"]) - len(found.ids)
    assert encoder.tokenizer.truncation_side == "right"


def test_a_pair_that_is_cut_is_no_warning(
    slow_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    example = labelled(TEXTS[3], "x", "f:1")
    Encoder(by_heads(slow_model), 24).encode(example.__class__(**{**vars(example), "target": 0}))
    assert "overflowing" not in caplog.text


def test_equal_digests_encode_equally(slow_model: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(slow_model, tmp_path / "moved"))
    digest = Encoder(by_heads(slow_model), 24).digest
    assert Encoder(by_heads(moved), 24).digest == digest
    config = (moved / "tokenizer_config.json").read_text(encoding="utf-8")
    lower = config.replace('"do_lower_case": false', '"do_lower_case": true')
    assert lower != config
    (moved / "tokenizer_config.json").write_text(lower, encoding="utf-8")
    assert Encoder(by_heads(moved), 24).digest != digest


@pytest.fixture
def tasks(tmp_path: Path) -> list[dict[str, Any]]:
    rows = [
        {"text": f"{word} {LETTERS[n]}", "label": label}
        for n in range(20)
        for word, label in (("東京", "land"), ("海", "sea"))
    ]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    return [{"name": "place", "kind": "classify", "train": str(path), "eval_rows": 8}]


@pytest.fixture
def keys(slow_model: Path, tasks: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    settings = {"model": str(slow_model), "output": str(tmp_path / "run"), "method": "full"}
    settings |= {"tasks": tasks, "learning_rate": 3e-3, "precision": "float32"}
    return lambda **changes: {**settings, **changes}


def test_a_classifier_with_a_slow_tokenizer_is_loaded_by_plain_transformers(
    keys: Callable[..., dict[str, Any]],
) -> None:
    run = tune(**keys(num_train_epochs=15))
    model = AutoModelForSequenceClassification.from_pretrained(run / "model")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    assert type(tokenizer).__name__ == "BertJapaneseTokenizer"
    texts = ["東京 z", "海 z"]
    with torch.no_grad():
        said = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.argmax(-1)
    assert [model.config.id2label[int(each)] for each in said] == ["land", "sea"]


def test_replies_need_a_fast_one(
    keys: Callable[..., dict[str, Any]], tasks: list[dict[str, Any]]
) -> None:
    for changes in ({"kind": "generate"}, {"by": "likelihood"}):
        with pytest.raises(InputError) as caught:
            tune(**keys(tasks=[{**tasks[0], **changes}]))
        assert "its tokenizer is a slow one" in str(caught.value)
        assert "\n" not in str(caught.value)
