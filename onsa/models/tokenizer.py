"""The tokenizer of a model folder."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from onsa.errors import InputError, shortened

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
)

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja",
    "spiece.model", "sentencepiece.bpe.model", "generation_config.json",
)  # fmt: skip

ABOUT_THE_FOLDER = ("name_or_path", "is_local", "local_files_only")  # of a tokenizer's settings


def load_tokenizer(
    folder: Path,
    chat_template: str | None = None,
    remote_code: bool = False,
    generative: bool = True,
) -> Any:
    """The folder's tokenizer with a padding token, and for replies a chat template and an end
    token.

    `chat_template` is the text of a template that replaces the folder's own.

    Raises:
        InputError: no tokenizer; for replies also one that cannot tell which text a token stands
            for, no chat template, or no end token.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES[:-4]):
        raise InputError("holds no tokenizer", where=folder, way_out="copy the model's own there")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=remote_code)
    except Exception as fault:  # broken files raise anything from KeyError to a Rust panic
        raise InputError(
            f"its tokenizer cannot be read ({shortened(fault)})",
            where=folder,
            way_out="copy the model's own tokenizer files there",
        ) from None
    if chat_template:
        tokenizer.chat_template = chat_template
    if generative:
        _require_replies(tokenizer, folder)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "its tokenizer has no padding token",
                where=folder,
                way_out="set pad_token in its config",
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def identity(tokenizer: Any) -> str:
    """Text that is the same for tokenizers that encode alike, wherever their files lie.

    A slow one is a program of its own: it goes by its class, settings and files, and what it calls
    (MeCab's dictionary) by the name that the settings have for it.
    """
    if tokenizer.is_fast:
        return str(tokenizer.backend_tokenizer.to_str())
    given = {
        name: sha256(Path(value).read_bytes()).hexdigest() if name[-5:] == "_file" else str(value)
        for name, value in tokenizer.init_kwargs.items()
        if name not in ABOUT_THE_FOLDER and value is not None
    }
    known = sorted(tokenizer.get_vocab().items())
    return json.dumps([type(tokenizer).__name__, known, given], sort_keys=True)


def _require_replies(tokenizer: Any, folder: Path) -> None:
    if not tokenizer.is_fast:
        raise InputError(
            "its tokenizer is a slow one: it cannot tell which text a token stands for",
            where=folder,
            way_out="convert it: a model with tokenizer.json has a fast one; tasks with heads "
            "(classify, pair, regress) take slow ones too",
        )
    if not tokenizer.chat_template:
        raise InputError(
            "its tokenizer has no chat template",
            where=folder,
            way_out="add chat_template.jinja, or write 'chat_template: plain' in the recipe",
        )
    if tokenizer.eos_token_id is None:
        raise InputError(
            "its tokenizer has no end token", where=folder, way_out="set eos_token in its config"
        )
