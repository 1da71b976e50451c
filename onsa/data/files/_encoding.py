"""The text of a file, whatever its encoding: told by its mark, recognised, or named by the user.

UTF-8 comes first: a text that is valid UTF-8 is hardly ever anything else. Whether another is
Shift-JIS (Microsoft's code page 932) or EUC-JP is told by what each reading of it looks like: as
Japanese (kana, the 2 965 kanji of the first level of JIS X 0208), or as the rubbish that a wrong
encoding makes of it. What looks like neither is refused, and the user asked to name it.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from onsa.errors import InputError

SAMPLE_BYTES = 1 << 16  # that the encoding is recognised from, from the first byte beyond ASCII on
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LONGEST_MARK = max(map(len, MARKS))
NAMES = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-32": "UTF-32",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "euc_jis_2004": "EUC-JP",
    "iso2022_jp_ext": "ISO-2022-JP",
}
ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\([IJ])")  # by which ISO-2022-JP changes its set of letters
NUL = re.compile("\0")
NO_TEXT = {  # what codecs give for bytes that stand for nothing
    "cp932": re.compile("[\0\x80\uf8f0-\uf8f3]"),
}

BEYOND_ASCII = re.compile("[^\x00-\x7f]")
KANA = re.compile("[ぁ-んァ-ヶー]")
HALF_KANA = re.compile("[｡-ﾟ]")
SIGNS = frozenset(
    "　、。，．・：；？！「」『』（）［］【】〈〉《》〜～…‥％＆＋－＝／①②③④⑤⑥⑦⑧⑨⑩㈱々〇"
    "→←↑↓○●◎□■△▲▽▼☆★※"
)
FULL_WIDTH = re.compile("[０-９Ａ-Ｚａ-ｚ]")
FIRST_LEVEL = range(0x889F, 0x9873)  # of kanji, by their places in Shift-JIS
LONE = re.compile(  # one character beyond ASCII at a Latin letter, as in "Äpfel" or "don’t"
    "(?<=[A-Za-z])[^\x00-\x7f](?![^\x00-\x7f])|(?<![^\x00-\x7f])[^\x00-\x7f](?=[A-Za-z])"
)

Say = Callable[[str], None]


def decoded(blocks: Iterator[bytes], name: str, encoding: str | None, say: Say) -> Iterator[str]:
    """The text of the blocks; `say` is told the encoding where it was recognised.

    Raises:
        InputError: what is no text in the encoding, or in none that is recognised.
    """
    first = _at_least(LONGEST_MARK, b"", blocks)
    mark = next((mark for mark in MARKS if first.startswith(mark)), b"")
    blocks = chain([first], blocks)
    lines = 0
    if encoding is None and mark:
        encoding = MARKS[mark]
        if encoding != "utf-8":
            say(NAMES[encoding])
    while encoding is None:
        block = next(blocks, b"")
        if not block:
            return
        while block.endswith((b"\x1b", b"\x1b$", b"\x1b(")) and (more := next(blocks, b"")):
            block += more
        if block.isascii() and not ESCAPE.search(block):
            text = block.decode()
            _refuse_no_text(text, name, lines, "ascii")
            lines += text.count("\n")
            yield text
        else:
            block = _at_least(len(block) + SAMPLE_BYTES, block, blocks)
            encoding = _recognised(block, name, lines)
            if encoding != "utf-8":
                say(NAMES[encoding])
            blocks = chain([block], blocks)
    yield from _decoded_as(encoding, blocks, name, lines)


def _at_least(count: int, start: bytes, blocks: Iterator[bytes]) -> bytes:
    """`start` and what follows it, `count` bytes at least where there are as many."""
    found, length = [start], len(start)
    while length < count and (block := next(blocks, b"")):
        found.append(block)
        length += len(block)
    return b"".join(found)


def require_encoding(encoding: str) -> str:
    """The name, if it is one of an encoding of text.

    Raises:
        InputError: it is not.
    """
    try:
        "\n".encode(encoding)
    except (LookupError, UnicodeError, ValueError):
        raise InputError(
            f"no encoding of text is named {encoding!r}",
            where="encoding",
            way_out="write utf-8, cp932 (Shift-JIS), euc_jp, utf-16-le, cp1252, ...",
        ) from None
    return encoding


def _decoded_as(encoding: str, blocks: Iterator[bytes], name: str, lines: int) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    start = True
    for block, last in _with_last(blocks):
        try:
            text = decoder.decode(block, final=last)
        except UnicodeError as fault:
            before = fault.object[: fault.start] if isinstance(fault, UnicodeDecodeError) else b""
            raise _no_text(encoding, name, lines + before.count(b"\n")) from None
        _refuse_no_text(text, name, lines, encoding)
        lines += text.count("\n")
        yield text.removeprefix("\ufeff") if start else text
        start = start and not text


def _with_last(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The blocks, none of them the last, and an empty one that is."""
    for block in blocks:
        yield block, False
    yield b"", True


def _no_text(encoding: str, name: str, lines: int) -> InputError:
    return InputError(
        f"not {NAMES.get(encoding, encoding)}",
        where=f"{name}:{lines + 1}",
        way_out="save the file as UTF-8, or name its encoding: 'encoding: cp932' (Shift-JIS), "
        "cp1252 (Western Windows), ...",
    )


def _refuse_no_text(text: str, name: str, lines: int, encoding: str) -> None:
    found = NO_TEXT.get(encoding, NUL).search(text)
    if found is None:
        return
    where = lines + text.count("\n", 0, found.start())
    if found[0] != "\0":
        raise _no_text(encoding, name, where)
    raise InputError(
        "holds a NUL byte, so it is no text",
        where=f"{name}:{where + 1}",
        way_out="take it out; if the file is UTF-16 without a mark, write 'encoding: utf-16-le'",
    )


def _recognised(block: bytes, name: str, lines: int) -> str:
    """The encoding of a block that is not ASCII.

    Raises:
        InputError: it is none that is known here.
    """
    beyond = re.search(rb"[\x80-\xff]", block)
    if beyond is None:
        return "iso2022_jp_ext"
    start = block.rfind(b"\n", 0, beyond.start()) + 1
    sample = block[start : start + SAMPLE_BYTES]
    found = guess(sample, whole=len(sample) < SAMPLE_BYTES)
    if found is None:
        lines += block.count(b"\n", 0, start)
        _refuse_no_text(sample.decode("latin-1"), name, lines, "latin-1")
        try:
            sample.decode("utf-8")
        except UnicodeDecodeError as fault:
            lines += sample.count(b"\n", 0, fault.start)
        raise _no_text("utf-8", name, lines)
    return found


def guess(sample: bytes, *, whole: bool) -> str | None:
    """The encoding of some text that is not ASCII: UTF-8, or what makes it look Japanese.

    A sample that is not the `whole` text may end inside a character.
    """
    if b"\0" in sample:
        return None
    if _reading(sample, "utf-8", whole) is not None:
        return "utf-8"
    shift_jis = _reading(sample, "cp932", whole)
    for encoding in ("euc_jp", "euc_jis_2004"):
        euc = _reading(sample, encoding, whole)
        if euc is not None and _is_japanese_euc(euc) and not _is_half_width(shift_jis):
            return encoding
    if shift_jis is not None and _is_japanese(shift_jis):
        return "cp932"
    return None


def _reading(sample: bytes, encoding: str, whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample, whole)
    except UnicodeDecodeError:
        return None


class _Letters(NamedTuple):
    """How many characters beyond ASCII are of which sort; `odd` are what a wrong reading gives."""

    kana: int
    half_kana: int
    common: int
    odd: int


def _letters(text: str) -> _Letters:
    beyond = Counter(BEYOND_ASCII.findall(text))
    kana, half = len(KANA.findall(text)), len(HALF_KANA.findall(text))
    common = sum(count for letter, count in beyond.items() if _is_common(letter))
    return _Letters(kana, half, common, beyond.total() - kana - half - common)


def _is_common(letter: str) -> bool:
    """Whether it is no kana, but a sign or a kanji that Japanese text is made of."""
    if letter in SIGNS or FULL_WIDTH.match(letter):
        return True
    try:
        return int.from_bytes(letter.encode("cp932")) in FIRST_LEVEL
    except UnicodeEncodeError:
        return False


def _is_japanese(shift_jis: str) -> bool:
    """Whether it looks like Japanese: not like EUC-JP or a Western encoding read as Shift-JIS."""
    runs = len(re.findall("[^\x00-\x7f]+", shift_jis))
    if 2 * len(LONE.findall(shift_jis)) > runs:
        return False
    kana, half, common, odd = _letters(shift_jis)
    good = kana + common
    # Western signs and letters ("£100") are katakana of half width, one by one.
    return odd <= 0.2 * good and half <= 2 * good if good else odd == 0 and half >= 2 * runs


def _is_japanese_euc(euc: str) -> bool:
    """The same for EUC-JP, where some kana are needed: Chinese and Korean text of the same build
    (EUC-CN, EUC-KR) makes common kanji in it, and no kana."""
    kana, half, common, odd = _letters(euc)
    total = kana + half + common + odd
    return kana >= 0.1 * total and half + odd <= 0.2 * total


def _is_half_width(shift_jis: str | None) -> bool:
    """Whether it is Shift-JIS in katakana of half width, two of which are a kanji in EUC-JP.

    Kana of EUC-JP make a stop, a comma or a dot each, more of them than a text has.
    """
    if shift_jis is None:
        return False
    half = HALF_KANA.findall(shift_jis)
    stops = sum(letter <= "･" for letter in half)
    return len(half) == len(BEYOND_ASCII.findall(shift_jis)) and stops <= 0.15 * len(half)
