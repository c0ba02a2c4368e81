"""Values at run time: reading constants, and the helpers that compiled expressions call. All of them are total."""

import datetime
import functools
import re
import zoneinfo

from koban.base import DAY, HOUR, MINUTE, SECOND
from koban.language.types import DECIMAL_MAX, INT_MAX, INT_MIN, SCALE

_UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
}
_SPAN = re.compile(r"\s*(-?[0-9]{1,9})\s*([a-z]+)\s*", re.ASCII)
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)(Z|[+-][0-9]{2}:[0-9]{2})?)?\Z"
)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}\Z")
_FRACTION = re.compile(r"([+-]?)([0-9]{1,12})(?:\.([0-9]{1,6}))?\Z")
YEAR_9000 = 221_845_392_000 * SECOND  # beyond this, time zones are not asked
YEAR_1 = -62_000_000_000 * SECOND


def parse_interval(text: str) -> int | None:
    """Return the microseconds of '7 days' or '1 hour 30 minutes'; None when it is none."""
    text = text.lower()
    total = 0
    place = 0
    while place < len(text):
        found = _SPAN.match(text, place)
        unit = _UNITS.get(found.group(2).removesuffix("s")) if found else None
        if found is None or unit is None:
            return None
        total += int(found.group(1)) * unit
        place = found.end()
    return total if text.strip() and INT_MIN <= total <= INT_MAX else None


def parse_timestamp(text: str) -> int | None:
    """Return the microseconds of '2026-01-31 12:00:00', which is UTC unless it says otherwise."""
    found = _MOMENT.match(text.strip())
    if found is None:
        return None
    day, clock, zone = found.groups()
    try:
        moment = datetime.datetime.fromisoformat(f"{day}T{clock or '00:00'}{(zone or 'Z').replace('Z', '+00:00')}")
    except ValueError:
        return None
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def whole(value: int) -> int | None:
    """Return a 64-bit integer, or None when it does not fit."""
    return value if INT_MIN <= value <= INT_MAX else None


def fraction(value: int) -> int | None:
    """Return a scaled decimal(18,6), or None when it does not fit."""
    return value if -DECIMAL_MAX <= value <= DECIMAL_MAX else None


def cut(a: int, b: int) -> int:
    """Divide towards zero."""
    return a // b if (a >= 0) == (b > 0) else -(-a // b)


def divide_ints(a: int | None, b: int | None) -> int | None:
    """Return a / b as a scaled decimal."""
    return None if a is None or not b else fraction(cut(a * SCALE, b))


def int_divide(a: int | None, b: int | None) -> int | None:
    """Return the whole quotient towards zero."""
    return None if a is None or not b else whole(cut(a, b))


def remainder(a: int | None, b: int | None) -> int | None:
    """Return the remainder, with the sign of a."""
    return None if a is None or not b else a - b * cut(a, b)


def multiply_decimals(a: int | None, b: int | None) -> int | None:
    """Return the product of scaled decimals, cut at six digits."""
    return None if a is None or b is None else fraction(cut(a * b, SCALE))


def round_decimal(value: int | None, digits: int) -> int | None:
    """Round a scaled decimal half away from zero."""
    if value is None:
        return None
    step = 10 ** (6 - digits)
    rounded = (abs(value) + step // 2) // step * step
    return fraction(rounded if value >= 0 else -rounded)


def floor_decimal(value: int | None) -> int | None:
    """Return the next whole number below."""
    return None if value is None else value // SCALE


def ceil_decimal(value: int | None) -> int | None:
    """Return the next whole number above."""
    return None if value is None else -(-value // SCALE)


def absolute(value: int | None) -> int | None:
    """Return the absolute value, None for the integer that has none."""
    return None if value is None else whole(abs(value))


def least(*values: int | str | None) -> int | str | None:
    """Return the smallest value that is not NULL."""
    return min((each for each in values if each is not None), default=None)  # of one type, which the checker held


def greatest(*values: int | str | None) -> int | str | None:
    """Return the largest value that is not NULL."""
    return max((each for each in values if each is not None), default=None)  # of one type, which the checker held


def text_to_int(text: str | None) -> int | None:
    """Read a whole number; None when the text is none."""
    return whole(int(text)) if text is not None and _WHOLE.match(text) else None


def text_to_decimal(text: str | None) -> int | None:
    """Read a number with at most six digits after the point; None when the text is none."""
    found = _FRACTION.match(text) if text is not None else None
    if found is None:
        return None
    sign, units, digits = found.groups()
    scaled = int(units) * SCALE + int((digits or "0").ljust(6, "0"))
    return -scaled if sign == "-" else scaled


def text_to_bool(text: str | None) -> bool | None:
    """Read true or false; None for anything else."""
    return {"true": True, "false": False}.get(text) if text is not None else None


def decimal_to_text(value: int | None) -> str | None:
    """Write a scaled decimal with all six digits."""
    if value is None:
        return None
    return f"{'-' if value < 0 else ''}{abs(value) // SCALE}.{abs(value) % SCALE:06d}"


@functools.cache
def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Return a time zone that the checker has found to exist."""
    return zoneinfo.ZoneInfo(name)


def hour_of_day(at: int | None, zone: str) -> int | None:
    """Return the hour on the clocks of a zone."""
    if at is None or not YEAR_1 < at < YEAR_9000:
        return None
    return datetime.datetime.fromtimestamp(at // SECOND, zone_of(zone)).hour


def day_of_week(at: int | None, zone: str) -> int | None:
    """Return the day of the week in a zone, Monday being 1."""
    if at is None or not YEAR_1 < at < YEAR_9000:
        return None
    return datetime.datetime.fromtimestamp(at // SECOND, zone_of(zone)).isoweekday()


def like(text: str, parts: tuple[str, ...]) -> bool:
    """Match a LIKE pattern given as its pieces between %, which may hold _; linear in the text for each piece."""
    if len(parts) == 1:
        return len(text) == len(parts[0]) and _fits(text, parts[0], 0)
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not _fits(text, first, 0) or not _fits(text, last, len(text) - len(last)):
        return False
    place, end = len(first), len(text) - len(last)
    for piece in middle:
        place = _find(text, piece, place, end)
        if place < 0:
            return False
        place += len(piece)
    return True


def _fits(text: str, piece: str, at: int) -> bool:
    if "_" not in piece:
        return text.startswith(piece, at)
    if at + len(piece) > len(text):
        return False
    return all(mark in ("_", text[at + index]) for index, mark in enumerate(piece))


def _find(text: str, piece: str, start: int, end: int) -> int:
    if "_" not in piece:
        return text.find(piece, start, end)
    for at in range(start, end - len(piece) + 1):
        if _fits(text, piece, at):
            return at
    return -1
