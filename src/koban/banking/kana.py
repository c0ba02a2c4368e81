"""Names as banks write them: the half-width characters that the zengin format allows, and nothing else."""

import unicodedata
from typing import Final

from koban.banking.types import PayeeInvalid
from koban.base import Problem

# ｱ-ﾝ, ﾞ and ﾟ by their full forms; ｦ belongs to them. Small kana are written large, the long vowel mark is a hyphen.
_KANA: Final = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in [0xFF66, *range(0xFF71, 0xFF9E)]}
_SMALL: Final = str.maketrans("ァィゥェォッャュョヮヵヶ", "アイウエオツヤユヨワカケ")
_MARKS: Final = {"\u3099": "ﾞ", "\u309a": "ﾟ", "゛": "ﾞ", "゜": "ﾟ"}
_SIGNS: Final = {
    **dict.fromkeys("ー‐‑‒–—―−－-ｰ", "-"),
    **dict.fromkeys("・･．.", "."),
    **dict.fromkeys("、､，,", ","),
    **dict.fromkeys("¥￥\\", "\\"),
    "（": "(", "）": ")", "(": "(", ")": ")", "／": "/", "/": "/", "「": "｢", "」": "｣", "｢": "｢", "｣": "｣",
    "　": " ", " ": " ", "\u00a0": " ",
}  # fmt: skip
_OLD: Final = str.maketrans("ヰヱ", "イエ")

ALLOWED: Final = frozenset(
    {*_KANA.values(), "ﾞ", "ﾟ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *"0123456789", *set(_SIGNS.values())}
)


def bank_name(text: str, *, field: str, most: int) -> str:
    """Return a name in the characters that banks take, at most that many of them.

    Hiragana and full-width forms are written as half-width kana, small letters large.
    Refuses: PayeeInvalid, naming the first character that no bank takes, or the length.
    """
    written = []
    for place, letter in enumerate(text.strip(), start=1):
        found = _half_width(letter)
        if found is None:
            name = unicodedata.name(letter, f"U+{ord(letter):04X}")
            problem = Problem(
                path=f"/{field}",
                detail=f"Character {place} is {letter!r} ({name.lower()}), which banks do not take.",
                hint="Give the name in katakana, as it stands in the passbook (口座名義カナ).",
            )
            raise PayeeInvalid(f"{field} holds a character that banks do not take: {letter!r}", problems=(problem,))
        written.append(found)
    name = " ".join("".join(written).split(" "))
    if not name.strip() or len(name) > most:
        detail = f"It has {len(name)} characters with voicing marks; 1 to {most} fit."
        raise PayeeInvalid(f"{field} does not fit", problems=(Problem(path=f"/{field}", detail=detail),))
    return name


def likeness(text: str) -> str:
    """Return a name or note in the form in which two are compared: other characters and spaces are left out."""
    return "".join(_half_width(letter) or "" for letter in unicodedata.normalize("NFC", text)).replace(" ", "")


def fit(text: str, most: int) -> str:
    """Return as much of a bank's or branch's name as fits; those are for people, the codes decide."""
    return "".join(_half_width(letter) or "" for letter in text)[:most]


def _half_width(letter: str) -> str | None:
    if letter in _SIGNS:
        return _SIGNS[letter]
    parts = []
    for each in unicodedata.normalize("NFD", unicodedata.normalize("NFKC", letter)):
        one = each
        if "ぁ" <= one <= "ゖ":
            one = chr(ord(one) + 0x60)  # katakana stand in the same order
        one = one.translate(_SMALL).translate(_OLD).upper()
        written = _KANA.get(one) or _MARKS.get(one) or _SIGNS.get(one) or (one if one in ALLOWED else None)
        if written is None:
            return None
        parts.append(written)
    return "".join(parts) or None
