"""How scammers hide words from filters: each has a few habits, drawn from the seed, and keeps to them."""

import random
from collections.abc import Callable, Mapping
from typing import Final

from koban.sim.randomness import between, chance, pick

Habit = Callable[[random.Random, str], str]

_CYRILLIC: Final = str.maketrans("aeopcxyiABEHKMOPCTX", "аеорсхуіАВЕНКМОРСТХ")
_LEET: Final = str.maketrans("oOiIlLeEaAsS", "001111334455")
_WIDE: Final = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_KANJI_DIGITS: Final = str.maketrans("0123456789", "〇一二三四五六七八九")
_CIRCLED: Final = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
_BOLD: Final = str.maketrans(
    {chr(ord("a") + n): chr(0x1D5EE + n) for n in range(26)}
    | {chr(ord("A") + n): chr(0x1D5D4 + n) for n in range(26)}
    | {chr(ord("0") + n): chr(0x1D7EC + n) for n in range(10)}
)
_HIRAGANA: Final = str.maketrans({chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)})
_INVISIBLE: Final = ("\u200b", "\u200c", "\u2060", "\u00ad", "\ufeff")
_MARKS: Final = ("・", ".", "_", "*", " ", " ", "/", "-", "★", "〜")


def full_width(_randomness: random.Random, text: str) -> str:
    """Write Latin letters and digits in full width: LINE."""
    return text.translate(_WIDE)


def homoglyphs(randomness: random.Random, text: str) -> str:
    """Swap some Latin letters for Cyrillic ones that look the same."""
    return "".join(char.translate(_CYRILLIC) if chance(randomness, 60) else char for char in text)


def leet(randomness: random.Random, text: str) -> str:
    """Write digits for letters: L1NE."""
    return "".join(char.translate(_LEET) if chance(randomness, 45) else char for char in text)


def bold(_randomness: random.Random, text: str) -> str:
    """Use mathematical letters: 𝗟𝗜𝗡𝗘."""
    return text.translate(_BOLD)


def invisible(randomness: random.Random, text: str) -> str:
    """Put characters without width between the others."""
    mark = pick(randomness, _INVISIBLE)
    return "".join(char + (mark if chance(randomness, 40) else "") for char in text)


def broken_up(randomness: random.Random, text: str) -> str:
    """Put the same mark between all characters: 直・取・引."""
    return pick(randomness, _MARKS).join(text)


def softened(_randomness: random.Random, text: str) -> str:
    """Write katakana as hiragana: らいん."""
    return text.translate(_HIRAGANA)


def kanji_digits(_randomness: random.Random, text: str) -> str:
    """Write digits as kanji."""
    return text.translate(_KANJI_DIGITS)


def emoji_digits(_randomness: random.Random, text: str) -> str:
    """Write digits as key caps."""
    return "".join(f"{char}\ufe0f\u20e3" if char.isascii() and char.isdigit() else char for char in text)


def circled(_randomness: random.Random, text: str) -> str:
    """Write digits in circles."""
    return text.translate(_CIRCLED)


def spelled_out(_randomness: random.Random, text: str) -> str:
    """Write an address in words: at mark, dot."""
    return text.replace("@", "(アット)").replace(".", " どっと ")


HABITS: Final[Mapping[str, Habit]] = {
    "full_width": full_width,
    "homoglyphs": homoglyphs,
    "leet": leet,
    "bold": bold,
    "invisible": invisible,
    "broken_up": broken_up,
    "softened": softened,
    "kanji_digits": kanji_digits,
    "emoji_digits": emoji_digits,
    "circled": circled,
    "spelled_out": spelled_out,
}


def habits_of(randomness: random.Random) -> tuple[str, ...]:
    """Draw what one scammer does: a third hide nothing, most have one habit, some two."""
    draw = randomness.random()
    if draw < 0.34:
        return ()
    names = tuple(HABITS)
    count = 1 if draw < 0.8 else 2
    return tuple(names[between(randomness, 0, len(names) - 1)] for _ in range(count))


def disguise(randomness: random.Random, text: str, habits: tuple[str, ...]) -> str:
    """Hide the words in square brackets by these habits, and take the brackets away."""
    parts: list[str] = []
    for piece in text.split("["):
        secret, closed, rest = piece.partition("]")
        if not closed:
            parts.append(piece)
            continue
        for habit in habits:
            secret = HABITS[habit](randomness, secret)
        parts.append(secret + rest)
    return "".join(parts)
