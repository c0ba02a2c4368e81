"""Normalise a text once, into the few forms that matching needs.

The forms: `base` is what the archive keeps (NFKC, case, accents, look-alikes and invisible characters folded, script kept);
`plain` is `base` with katakana read as hiragana, for patterns and substrings; `tight` is for phrases: letters that were
pulled apart are joined, digits written for letters read as letters, small kana and kana-shaped kanji folded; `shape` is
`tight` before the kana folding, character by character the same length, to ask which script a place was written in.
"""

import re
import unicodedata

import msgspec

from koban.text.tables import KANA, TIGHT, fold_table

_JA = "ぁ-ゖァ-ヺー々〆〇一-鿿㐀-䶿"
# One character, something that is none, one character, …: 「直 取 引」, "L.I.N.E", 「直✨取✨引」.
_SOFT = r"[^\w\n、。!?()\[\]「」『』【】:;→⇒×/,，．]"
# Each pattern begins with a set of characters, which `re` skips to, and looks behind only from there.
_LONELY = re.compile(r"[\W_][^\W_][\W_]")
# One character, something that is none, one character, …: 「直 取 引」, "L.I.N.E", 「直✨取✨引」.
_APART = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_BETWEEN = re.compile(f"{_SOFT}(?<=[{_JA}].){_SOFT}*(?=[{_JA}])|_(?<=[{_JA}]_)_*(?=[{_JA}])")
_WAVE = re.compile("(?<=[ぁ-ゖァ-ヺー])~+(?=[ぁ-ゖァ-ヺ])")
_SLASHED = re.compile(f"(?<![{_JA}])([{_JA}]{{1,2}})[/.,|]([{_JA}]{{1,2}})(?![{_JA}])")
_NOT_WORD = re.compile(r"[\W_]+")
_LEET = re.compile(
    r"(?:00|33|[013457$!|])(?:(?<=[a-z].)|(?<=[a-z]00)|(?<=[a-z]33))(?=[a-z])|[10](?<![a-z0-9].)(?=[a-z]{3})"
)
_LEET_AT = re.compile(r"(?<![a-z0-9._-])([a-z]{1,2})@([a-z]{2,8})(?![a-z0-9.@_-])")
_LETTERS = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "$": "s", "!": "i", "|": "i"}
_AMBIGUOUS = frozenset("1!|")


_IS_JAPANESE = re.compile(f"[{_JA}]")
_IS_SOFT = re.compile(_SOFT)


class Normalised(msgspec.Struct, frozen=True):
    """A text in the forms that matching needs. Normalising `base` again gives the same forms."""

    base: str
    plain: str
    tight: str
    shape: str
    other: tuple[str, str] | None = None  # (tight, shape) with 1 read as l instead of i, where the two differ


def fold(text: str) -> str:
    """Return the `base` form: what the archive keeps of a text."""
    if text.isascii():
        return text.translate(fold_table())
    table = fold_table()
    if "\u309b" in text or "\u309c" in text:  # spacing dakuten would otherwise become a space and a mark
        text = text.replace("\u309b", "\u3099").replace("\u309c", "\u309a")
    for _ in range(8):
        text = text.translate(table)
        if unicodedata.is_normalized("NFKC", text):
            return text
        text = unicodedata.normalize("NFKC", text)
    return text


def normalise(text: str) -> Normalised:
    """Return all forms of a text; pure, and the same for a text and its `base`."""
    base = fold(text)
    shape, second = close_up(base)
    other = None if second is None else (second.translate(TIGHT), second)
    if base.isascii():
        return Normalised(base, base, shape, shape, other)
    return Normalised(base, base.translate(KANA), shape.translate(TIGHT), shape, other)


def close_up(base: str) -> tuple[str, str | None]:
    """Return the `shape` of a folded text; and the one with 1 read as l instead of i, where the two differ."""
    shape = _join(base)
    leet = _LEET.search(shape) if not shape.isalpha() else None
    if leet is None and "@" not in shape:
        return shape, None
    found, shape = shape, _read_letters(shape, "i")
    if _AMBIGUOUS.isdisjoint(found):
        return shape, None
    second = _read_letters(found, "l")
    return shape, second if second != shape else None


def is_japanese(character: str) -> bool:
    """Tell whether a character is a kana or a kanji."""
    return _IS_JAPANESE.match(character) is not None


def is_soft(character: str) -> bool:
    """Tell whether Japanese letters may be pulled apart by a character; a comma or a bracket ends a word instead."""
    return _IS_SOFT.match(character) is not None


def _join(base: str) -> str:
    """Close the gaps of words that were pulled apart."""
    if base.isalnum():
        return base
    shape = _APART.sub(_without_gaps, base) if _LONELY.search(base) is not None else base
    if shape.isascii():
        return shape
    if "~" in shape:
        shape = _WAVE.sub("ー", shape)
    shape = _BETWEEN.sub("", shape)
    if "/" in shape or "." in shape or "|" in shape or "," in shape:
        shape = _SLASHED.sub(r"\1\2", shape)
    return shape


def _without_gaps(found: re.Match[str]) -> str:
    return _NOT_WORD.sub("", found.group())


def _read_letters(shape: str, one: str) -> str:
    def letter(found: re.Match[str]) -> str:
        mark = found.group()
        if mark in _AMBIGUOUS:
            return one
        return "".join(_LETTERS.get(each, each) for each in mark)

    shape = _LEET.sub(letter, shape)
    return _LEET_AT.sub(r"\1a\2", shape) if "@" in shape else shape
