"""Postal addresses: Japanese down to the block, and North American ones with a street number."""

from __future__ import annotations

import re
from collections.abc import Iterator

from onsa.inspection.characters import Span
from onsa.inspection.phones import HYPHEN

PREFECTURES = (
    "北海道|東京都|京都府|大阪府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|神奈川|新潟|富山|"
    "石川|福井|山梨|長野|岐阜|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|"
    "高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県"
)
_NUMBER = "(?:\\d{1,4}|[一二三四五六七八九十百]{1,4})"
_NAME = "[々ぁ-んァ-ヶー一-龥]"
_NO_PARTICLE = "(?<![はがをにでも])"  # `横浜市長選は3-2` is no address
_POSTAL = f"〒\\s?\\d{{3}}{HYPHEN}?\\d{{4}}(?!\\d)"
_SECTION = f"{_NUMBER}丁目{_NUMBER}(?:番地?|{HYPHEN}|の)?(?:{_NUMBER}号?)?"  # 1丁目2番3号, 1丁目2-3
_BLOCK = (
    f"(?:{_SECTION}|{_NUMBER}番地?(?:の?{_NUMBER}号?)?"
    f"|\\d{{1,4}}(?:{HYPHEN}\\d{{1,4}}){{1,3}}(?!\\d))"
)
_FULL_BLOCK = f"(?:{_SECTION}|\\d{{1,3}}(?:{HYPHEN}\\d{{1,4}}){{2}}(?!\\d|{HYPHEN}))"
# A town's name; a prefecture before it is no part, nor is a particle.
_TOWN = f"(?:(?:(?!{PREFECTURES})[々ヶケ一-龥]){{1,6}}|(?<![々ぁ-ん一-龥])[ぁ-ん]{{2,6}}[々一-龥]?)"
JAPANESE = re.compile(
    f"(?:{_POSTAL}[\\s　]*)?"
    f"(?:(?:{PREFECTURES})[\\s　]?{_NAME}{{1,8}}?[市区町村郡]"
    f"[\\s　]?{_NAME}{{0,16}}?{_NO_PARTICLE}{_BLOCK}"
    f"|{_TOWN}[市区町村]{_NAME}{{1,12}}?{_NO_PARTICLE}{_FULL_BLOCK})"
    f"|{_POSTAL}"
)
JAPANESE_SIGN = re.compile("[市区町村郡〒]")

_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Terrace|Way"
    "|Circle|Cir|Parkway|Pkwy|Highway|Hwy"
)
_STATE = (
    "A[LKZR]|C[AOT]|D[EC]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|PA|RI|S[CD]|T[NX]"
    "|UT|V[TA]|W[AVIY]|[A-Z][a-z]+(?: [A-Z][a-z]+)?"
)
_START = r"(?<![\w.,$#:\-])[1-9]\d{0,4}[A-Z]?,? (?:[NSEW]\.? |(?:North|South|East|West) )?"
_NAMES = r"(?:[A-Z0-9][\w'.]*\s){1,4}?"
AMERICAN = re.compile(
    rf"{_START}{_NAMES}(?:{_STREET})\b\.?"
    rf"(?:,?\s(?:Apt|Apartment|Suite|Ste|Unit|#)\.?\s?#?[\w-]+"
    rf"|(?:,?\s(?:Apt|Apartment|Suite|Ste|Unit|#)\.?\s?#?[\w-]+)?,?\s{{1,3}}"
    rf"[A-Z][\w'.]+(?:\s[A-Z][\w'.]+){{0,2}},?\s{{1,3}}(?:{_STATE}),?\s\d{{5}}(?:-\d{{4}})?(?!\d))"
)
AMERICAN_SIGN = re.compile(rf"\d[^\n]{{3,40}}?\b(?:{_STREET})\b")


def find_addresses(text: str) -> Iterator[Span]:
    """Postal addresses in a text; those of companies and sights as well."""
    if JAPANESE_SIGN.search(text):
        for found in JAPANESE.finditer(text):
            yield Span("address", *found.span())
    if AMERICAN_SIGN.search(text):
        for found in AMERICAN.finditer(text):
            yield Span("address", *found.span())
