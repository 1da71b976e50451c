"""The model's tokenizer with the template and the limits a recipe asks for."""

from __future__ import annotations

import os
from pathlib import Path

from onsa.data.encoding import Encoder
from onsa.data.token_cache import TokenCache
from onsa.errors import InputError
from onsa.files import cache_folder, digest_of_json
from onsa.models.base_model import check_vocabulary
from onsa.models.loading import read_config
from onsa.models.tokenizer import PLAIN_TEMPLATE, load_tokenizer
from onsa.recipe.schema import Recipe
from onsa.resources import versions


def load_encoder(
    recipe: Recipe,
    model_folder: Path,
    base_folder: Path,
    generative: bool = True,
    tokenizer_folder: Path | None = None,
) -> Encoder:
    """The model's tokenizer, or that of another folder, with the template the recipe asks for."""
    config = read_config(model_folder, recipe.trust_remote_code)
    template = _template(recipe.chat_template, base_folder)
    folder = tokenizer_folder or model_folder
    tokenizer = load_tokenizer(folder, template, recipe.trust_remote_code, generative)
    check_vocabulary(tokenizer, folder, config)
    encoder = Encoder(tokenizer, recipe.training.max_length, recipe.training.truncation)
    encoder.cache = token_cache(encoder)
    return encoder


def token_cache(encoder: Encoder) -> TokenCache | None:
    """Where encoded rows are kept: `tokens` in the user's cache, or `$ONSA_TOKEN_CACHE`.

    None where that is `off`, and for a template that asks what day it is.
    """
    given = os.environ.get("ONSA_TOKEN_CACHE", "")
    if given == "off" or "strftime_now" in (encoder.tokenizer.chat_template or ""):
        return None
    made_with = [encoder.digest, str(encoder.tokenizer.special_tokens_map), versions()]
    folder = Path(given) if given else cache_folder() / "tokens"
    return TokenCache(folder, digest_of_json(made_with))


def _template(chat_template: str | None, base_folder: Path) -> str | None:
    if chat_template is None:
        return None
    if chat_template == "plain":
        return PLAIN_TEMPLATE
    try:
        return (base_folder / chat_template).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as fault:
        raise InputError(
            f"the chat template cannot be read ({getattr(fault, 'strerror', None) or fault})",
            where=chat_template,
            way_out="give the path of a jinja file, or 'plain'",
        ) from None
