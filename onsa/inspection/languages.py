"""A rough guess at the language of a text, by its scripts and a few function words.

It looks at the first `LOOKED_AT` characters and knows no grammar: good enough to see that a file is
not in the language one thought, not to sort a corpus.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from onsa.inspection.cases import Cases, excerpt
from onsa.inspection.records import Record

LOOKED_AT = 600  # characters of each row
LEAST_WORDS = 2  # function words that a language needs
LEAST_LEAD = 1.2  # times as many of them as the next language

HAN, KANA, HANGUL = "han", "kana", "hangul"
SCRIPTS = {  # ranges of Unicode 16 blocks
    KANA: "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    HAN: "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    HANGUL: "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "Cyrillic": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari": "\u0900-\u097f",
    "Thai": "\u0e01-\u0e5b",
    "Latin": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a",
}
LETTERS = {name: re.compile(f"[{ranges}]") for name, ranges in SCRIPTS.items()}
# Characters that are common in one of the two and next to never written in the other.
CHINESE = re.compile("[这們们說说為为沒没對对個个還还後吗嗎呢吧哪啊您它她麼么與与于從从讓让給给]")
JAPANESE = re.compile("[々〆込働畑峠円駅図読売広県気検実価険対帰徳応戦経続絵総]")
WORDS = {
    "English": "the of and to in is that it for was with as on are this be you what how not i my "
    "do can did have why when your if there from at by but or we they he she his her which",
    "German": "der die das und ist nicht ein eine den von zu mit auf für ich sie wie im dem",
    "French": "le la les des et est une dans que qui pour pas sur du au ce il je vous un",
    "Spanish": "el la los las que y en es un una por con para del se no como lo su al",
    "Portuguese": "o os as que e em é um uma por com para não do da se no na ao seu",
    "Italian": "il lo la gli che e è un una per con non del della di si sono come nel al",
    "Dutch": "de het een en van is dat niet in op te zijn voor met aan ik je wat hoe er",
}
WORD = re.compile(r"[^\W\d_]+")
LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in WORDS.items():
    for _word in _words.split():
        LANGUAGES_OF.setdefault(_word, []).append(_language)


def language_of(text: str) -> str:
    """`English`, `Japanese`, ..., `Latin script` where the language is not clear, or `no letters`.

    Chinese characters alone, with nothing that tells, are `Chinese or Japanese`.
    """
    text = text[:LOOKED_AT]
    if text.isascii():
        return _latin(text) if LETTERS["Latin"].search(text) else "no letters"
    counts = {name: len(pattern.findall(text)) for name, pattern in LETTERS.items()}
    # A character of these scripts says as much as three letters do.
    east = 3 * (counts[HAN] + counts[KANA] + counts[HANGUL])
    rest = {name: counts[name] for name in counts if name not in (HAN, KANA, HANGUL)}
    script = max(rest, key=lambda name: rest[name])
    if east >= rest[script]:
        return _east(text, counts) if east else "no letters"
    return _latin(text) if script == "Latin" else f"{script} script"


def _east(text: str, counts: dict[str, int]) -> str:
    if counts[HANGUL] > counts[KANA] and counts[HANGUL] * 2 >= counts[HAN]:
        return "Korean"
    if counts[KANA] * 20 >= counts[HAN]:  # Chinese texts quote a kana now and then
        return "Japanese"
    chinese, japanese = len(CHINESE.findall(text)), len(JAPANESE.findall(text))
    if chinese == japanese:
        return "Chinese or Japanese"
    return "Chinese" if chinese > japanese else "Japanese"


def _latin(text: str) -> str:
    found = [word for word in WORD.findall(text.lower()) if word in LANGUAGES_OF]
    if len(found) < LEAST_WORDS:
        return "Latin script"
    counts = Counter(language for word in found for language in LANGUAGES_OF[word])
    (first, most), (_, next_most) = [*counts.most_common(2), ("", 0)][:2]
    return first if most >= max(LEAST_WORDS, LEAST_LEAD * next_most) else "Latin script"


class Languages:
    """Rows by language, and the first rows that are in another than most."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, Cases] = {}

    def look(self, record: Record) -> None:
        if record.fault:
            return
        language = language_of(record.text)
        self.counts[language] += 1
        if self.counts[language] <= 3:
            self.first.setdefault(language, Cases()).add(record.source, excerpt(record.text))

    def facts(self) -> dict[str, Any]:
        return {
            "rows": dict(self.counts.most_common()),
            "cases": {language: self.first[language].kept for language in self.counts},
        }
