"""Tables that see through disguised writing, built once at first use from Unicode and the confusables data.

`FOLD` maps one character to what a reader takes it for: case, accents, look-alike letters of other scripts, circled and
squared letters, regional indicators; what cannot be seen is deleted. It is closed (folding twice changes nothing), so that
archived normalised text normalises to itself. Japanese characters are never touched by it.
"""

import functools
import json
import pathlib
import unicodedata
from collections.abc import Iterable

VERSION = f"1-{unicodedata.unidata_version}"

_INVISIBLE: tuple[tuple[int, int], ...] = (
    (0x00AD, 0x00AD),
    (0x0300, 0x036F),  # marks over and through letters: what is left of them after composition is decoration
    (0x0483, 0x0489),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x20D0, 0x20FF),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB),
    (0x1F3FB, 0x1F3FF),  # skin tones
    (0xE0000, 0xE01EF),  # tags and variation selectors
)
_KEEP_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPH", "BOPOMOFO", "KANGXI")
_KEPT_UP_TO = 0x3FFFF  # characters above this are folded each time rather than remembered, which bounds the memory


class _Fold(dict[int, str | None]):
    """A translate map that remembers what it was asked: looking up a missing key would cost an exception each time."""

    def __missing__(self, code: int) -> str | None:
        folded: str | None = chr(code)
        if not unicodedata.is_normalized("NFKC", chr(code)):  # ＡＢＣ, ①, ｶ, ㌔: compatibility forms
            folded = _close(chr(code), self)
        if code <= _KEPT_UP_TO:
            self[code] = folded
        return folded


def _invisible() -> Iterable[int]:
    for low, high in _INVISIBLE:
        yield from range(low, high + 1)
    for code in (*range(0x20), *range(0x7F, 0xA0)):
        if chr(code) not in "\n\t\r":
            yield code


def _looks_like() -> dict[int, str]:
    """Return single characters outside ASCII and the East Asian scripts that look like one ASCII letter or digit."""
    import confusable_homoglyphs

    path = pathlib.Path(confusable_homoglyphs.__file__).with_name("confusables.json")
    data: dict[str, list[dict[str, str]]] = json.loads(path.read_text(encoding="utf-8"))
    found: dict[int, str] = {}
    for source, targets in data.items():
        source = source.strip("\u200e\u200f")
        if len(source) != 1 or source.isascii():
            continue
        if not unicodedata.is_normalized("NFKC", source):
            continue  # the compatibility form knows better: Ｉ is an I, not an l
        if any(name in unicodedata.name(source, "CJK") for name in _KEEP_SCRIPTS):
            continue
        plain = [target["c"] for target in targets if len(target["c"]) == 1 and target["c"].isascii()]
        letters = [letter for letter in plain if letter.isalnum()]
        if letters:
            letter = letters[0].lower()
            found[ord(source)] = "i" if letter == "l" and source.isupper() else letter  # a bar among capitals is an I
    return found


def _enclosed() -> dict[int, str]:
    """Return what NFKC leaves alone: negative circled and squared letters, dingbat digits, regional indicators."""
    found: dict[int, str] = {}
    for start in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6):
        for index in range(26):
            found[start + index] = chr(ord("a") + index)
    for start in (0x2776, 0x2780, 0x278A, 0x24F5):
        for index in range(10):
            found[start + index] = str(index + 1)
    found[0x24FF] = "0"
    found[0x1F10C] = "0"
    for index in range(10):
        found[0x24EB + index] = str(index + 11)
    return found


def _accents() -> dict[int, str]:
    """Return accented Latin, Greek and Cyrillic letters with their bare letter; dakuten are no accents."""
    found: dict[int, str] = {}
    for code in (*range(0xC0, 0x250), *range(0x370, 0x530), *range(0x1E00, 0x2000)):
        bare = unicodedata.normalize("NFKD", chr(code))
        if len(bare) > 1 and bare[0].isalpha() and all(unicodedata.combining(mark) for mark in bare[1:]):
            found[code] = bare[0].casefold()
    return found


_PUNCTUATION = {
    **dict.fromkeys("‐‑‒–—―−﹣⁃˗", "-"),
    **dict.fromkeys("〜∼˜⁓〰", "~"),
    **dict.fromkeys("‘’‚‛′ʼ", "'"),
    **dict.fromkeys("“”„‟″〝〟", '"'),
    **dict.fromkeys("•‧∙·‣", "・"),
    **dict.fromkeys("。｡", "。"),
    **dict.fromkeys("✖╳✕❌", "×"),
    "×": "×",  # a sign of refusal in Japanese, not the letter x
    "\r": "\n",
    "\u2028": "\n",
    "\u2029": "\n",
}


@functools.cache
def fold_table() -> dict[int, str | None]:
    """Return the translate map of the first pass, closed under itself."""
    table: dict[int, str | None] = {}
    for code in range(0x20, 0x2000):
        folded = chr(code).casefold()
        if folded != chr(code):
            table[code] = folded
    table.update(_accents())
    table.update(_looks_like())
    table.update(_enclosed())
    table.update({ord(mark): plain for mark, plain in _PUNCTUATION.items()})
    table.update(dict.fromkeys(_invisible()))
    for code in [code for code in table if 0x41 <= code <= 0x5A]:
        table[code] = chr(code).lower()
    for code, shape in list(table.items()):
        table[code] = _close(shape, table)
    return _Fold(table)


def _close(text: str | None, table: dict[int, str | None]) -> str | None:
    """Follow a folding until it no longer changes, so that a second pass finds nothing to do."""
    for _ in range(8):
        if text is None:
            return None
        normal = unicodedata.normalize("NFKC", text)
        further = "".join(table.get(ord(each), each) or "" for each in normal)
        if further == text:
            return text
        text = further or None
    return text


class _Same(dict[int, int]):
    """A translate map, one character for one, that remembers what it does not change."""

    def __missing__(self, code: int) -> int:
        if code <= _KEPT_UP_TO:
            self[code] = code
        return code


def _kana_shift() -> dict[int, int]:
    return {code: code - 0x60 for code in (*range(0x30A1, 0x30F7), 0x30FD, 0x30FE)}


_SMALL = str.maketrans("ぁぃぅぇぉっゃゅょゎゕゖ", "あいうえおつやゆよわかけ")
_SHAPES = str.maketrans("力口二八工夕卜", "カロニハエタト")  # kanji written for the katakana they look like: メル力リ

KANA: dict[int, int] = _Same(_kana_shift())
"""Katakana to hiragana, one character for one."""


def _tight() -> dict[int, int]:
    table: dict[int, int] = _Same(_kana_shift())
    for code, shape in _SHAPES.items():
        table[code] = KANA[shape]
    for code, large in _SMALL.items():
        table[code] = large
        table[code + 0x60] = large
    return table


TIGHT: dict[int, int] = _tight()
"""Kana folding as for `KANA`, small kana made large and kanji that imitate kana read as kana; one character for one."""

DIGITS: dict[int, str] = {
    **{ord(kanji): digit for kanji, digit in zip("〇零一二三四五六七八九", "00123456789", strict=True)},
    **{ord(letter): digit for letter, digit in zip("oil", "011", strict=True)},
}
"""Kanji digits and the letters that stand for digits inside a number."""
