"""Names and other personal data by Microsoft Presidio, an extra: slow, and with a language model.

Nothing is downloaded: the spaCy model must be installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from onsa.errors import InputError
from onsa.extras import import_extra
from onsa.inspection.characters import Span
from onsa.inspection.personal_data import find_personal_data, without_overlaps

LEAST_SCORE = 0.5  # of Presidio's, from 0 to 1
KINDS = {
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "LOCATION": "place",
}
# Not of one person; or told by a list of domains that the library would fetch from the network:
# e-mail addresses are found without it.
LEFT_OUT = {"DATE_TIME", "NRP", "URL", "EMAIL_ADDRESS"}


def presidio_finder(language: str) -> Callable[[str], list[Span]]:
    """What finds personal data by our patterns and by Presidio in a language (`en`, `ja`, ...).

    Raises:
        InputError: Presidio, or a spaCy model of that language, is not installed.
    """
    analyzer_module = import_extra("presidio_analyzer", "presidio-analyzer", "presidio")
    engines = import_extra("presidio_analyzer.nlp_engine", "presidio-analyzer", "presidio")
    model = {"lang_code": language, "model_name": installed_model(language)}
    provider = engines.NlpEngineProvider(
        nlp_configuration={"nlp_engine_name": "spacy", "models": [model]}
    )
    analyzer: Any = analyzer_module.AnalyzerEngine(
        nlp_engine=provider.create_engine(), supported_languages=[language]
    )

    entities = sorted(set(analyzer.get_supported_entities(language)) - LEFT_OUT)

    def find(text: str) -> list[Span]:
        found = analyzer.analyze(
            text=text, language=language, entities=entities, score_threshold=LEAST_SCORE
        )
        spans = [
            Span(KINDS.get(each.entity_type, each.entity_type.lower()), each.start, each.end)
            for each in sorted(found, key=lambda each: -each.score)
        ]
        return without_overlaps([*find_personal_data(text), *spans])

    return find


def installed_model(language: str) -> str:
    """The largest spaCy model of the language that is installed.

    Presidio itself would download one without a word.
    """
    util = import_extra("spacy.util", "spacy", "presidio")
    sizes = {"lg": 3, "md": 2, "sm": 1}
    models = [
        (sizes.get(name.rpartition("_")[2], 0), name)
        for name in util.get_installed_models()
        if re.match(rf"{re.escape(language)}_", name)
    ]
    if not models:
        raise InputError(
            f"no spaCy model for {language!r} is installed",
            where="--presidio",
            way_out=f"python -m spacy download {language}_core_{_usual(language)}_sm",
        )
    return max(models)[1]


def _usual(language: str) -> str:
    return "web" if language in ("en", "zh") else "news"
