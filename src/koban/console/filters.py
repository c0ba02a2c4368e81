"""Filters of lists: read from the address as people and links write them, never refusing a page over a typing error."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from koban.base import Instant, limits
from koban.console.formats import Formats
from koban.finding import Span

MOMENTS: Final = ("since", "until")
VALUE_CHARS_MAX: Final = 256
SEQ_DIGITS_MAX: Final = 19
AMOUNT_CHARS_MAX: Final = 25  # 19 digits with their commas
TYPED_CHARS_MAX: Final = 32  # of an amount, with a currency's sign and spaces
_NARROW: Final = str.maketrans("０１２３４５６７８９，￥　", "0123456789,¥ ")
_WHOLE: Final = re.compile(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+")


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows: `given` as it stood in the address, the rest read."""

    given: Mapping[str, str]
    span: Span
    cursor: str
    unread: tuple[str, ...]  # filters that could not be read and are not applied

    def get(self, name: str) -> str | None:
        """Return a filter's value; None where it is not set."""
        return self.given.get(name) or None

    @property
    def since_at(self) -> Instant | None:
        """Return from when on."""
        return self.span.since_at

    @property
    def until_at(self) -> Instant | None:
        """Return until when."""
        return self.span.until_at

    @property
    def before_seq(self) -> int | None:
        """Return the cursor of lists that are ordered by place in the log."""
        return seq_of(self.cursor)


def read_filters(query: Mapping[str, str], names: tuple[str, ...], formats: Formats) -> Filters:
    """Read the filters `names` from an address, and its cursor; `since` and `until` among them are moments."""
    given: dict[str, str] = {}
    unread: list[str] = []
    for name in names:
        if name in MOMENTS:
            continue
        value = query.get(name, "").strip()
        if len(value) > VALUE_CHARS_MAX:
            unread.append(name)
        elif value:
            given[name] = value
    moments: dict[str, Instant | None] = {}
    for name in (each for each in MOMENTS if each in names):
        text = query.get(name, "").strip()
        moments[name] = (formats.instant(text) or formats.read_field(text)) if 0 < len(text) <= 40 else None
        if text and moments[name] is None:
            unread.append(name)
        elif text:
            given[name] = text
    cursor = query.get("cursor", "")
    return Filters(
        given=given,
        span=Span(since_at=moments.get("since"), until_at=moments.get("until")),
        cursor=cursor if len(cursor) <= VALUE_CHARS_MAX else "",
        unread=tuple(unread),
    )


def holds(words: str, texts: Iterable[str]) -> bool:
    """Tell whether one of the texts holds the words, whatever their case and width."""
    sought = _folded(words)
    return any(sought in _folded(each) for each in texts)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def seq_of(text: str) -> int | None:
    """Read a place in the log; None where the text is none."""
    if text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX and int(text) < 1 << 63:
        return int(text)
    return None


def read_number(text: str, currency: str = "JPY") -> int | None:
    """Read a whole number as people write it, that a book can hold; else None.

    Full-width digits, commas between thousands, and the sign of the yen where that is the currency. Why a comma only
    between thousands: who types `1,50` means something else than 150.
    """
    plain = text.strip().translate(_NARROW)
    if currency == "JPY":
        plain = plain.removeprefix("¥").removesuffix("円").strip()
    if len(plain) > AMOUNT_CHARS_MAX or _WHOLE.fullmatch(plain) is None:
        return None
    number = int(plain.replace(",", ""))
    return number if number <= limits.BOOK_LIMIT_MINOR_MAX else None


def read_amount(text: str, currency: str = "JPY") -> int | None:
    """Read an amount in minor units: such a number, more than nothing; else None."""
    return read_number(text, currency) or None
