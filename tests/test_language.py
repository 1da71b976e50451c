"""Every message in Japanese too: found in the source, looked up in the catalogues."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from onsa import language
from onsa.language.catalogue import Catalogue, Entry, load
from tests.source_texts import Source, source_texts, words_in
