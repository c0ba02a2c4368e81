"""What the functions of Koban SQL that are plain Python compute: one table for both compilers.

Each function here is total, pure and never sees NULL: both compilers answer NULL for a NULL argument before they call it.
Decimals are scaled by 10**6, times are microseconds. A function whose row says `normal` gets its first text normalised.
"""

import datetime
import decimal
import functools
import json
import math
import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from koban.base import MINOR_DIGITS, MINUTE, SECOND
from koban.base.characters import NO_CHARACTER, REPLACEMENT
from koban.language.values import EPOCH, YEAR_1, YEAR_9000, cut, fraction, whole, zone_of
from koban.text import Normalised, measure, registered_domain

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | decimal.Decimal | bool | None"

EARTH_RADIUS_M: Final = 6_371_008.8  # mean radius, IUGG
TEXT_MAX: Final = 20_000  # characters of a text that a function makes; what would be longer is NULL
ITEMS_MAX: Final = 1_000  # texts in an array that a function makes
_STEP: Final = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]{0,79})|\[([0-9]{1,6})\]|\[\"([^\"\]]{1,80})\"\]")
_SCALE: Final = 1_000_000


class Plain(msgspec.Struct, frozen=True):
    """How a function is computed; `normal` hands it the normalised form of its first argument."""

    function: Callable[..., object]  # called with the arguments, then the constants
    normal: bool = False


def upper(text: str) -> str:
    """Return the text in upper case."""
    return text.upper()


def trim(text: str) -> str:
    """Return the text without white space at its ends."""
    return text.strip()


def substring(text: str, start: int, length: int) -> str | None:
    """Return `length` characters from the place `start`, counted from 1; NULL for a place or length below that."""
    return text[start - 1 : start - 1 + length] if start >= 1 and length >= 0 else None


def left(text: str, length: int) -> str | None:
    """Return the first characters."""
    return text[:length] if length >= 0 else None


def right(text: str, length: int) -> str | None:
    """Return the last characters."""
    return (text[-length:] if length else "") if length >= 0 else None


def replace(text: str, old: str, new: str) -> str | None:
    """Return the text with every `old` replaced; NULL where the answer would be too long."""
    if len(new) > len(old) and len(text) + text.count(old) * (len(new) - len(old)) > TEXT_MAX:
        return None
    return text.replace(old, new)


def split_part(text: str, separator: str, place: int) -> str | None:
    """Return the part at a place, counted from 1; NULL where there is none."""
    parts = text.split(separator, place)
    return parts[place - 1] if place <= len(parts) else None


def split(text: str, separator: str) -> tuple[str, ...]:
    """Return the parts between separators, at most `ITEMS_MAX`."""
    return tuple(text.split(separator, ITEMS_MAX)[:ITEMS_MAX])


def position(text: str, part: str) -> int:
    """Return where the part begins, counted from 1; 0 where it is not."""
    return text.find(part) + 1


def regexp_extract(text: Normalised, pattern: str) -> str | None:
    """Return what the pattern's first group found in the normalised text, or all of it where it has no group."""
    return _finder(pattern).first(text.plain)


def regexp_count(text: Normalised, pattern: str) -> int:
    """Count how often the pattern occurs in the normalised text."""
    return _finder(pattern).count(text.plain)


@functools.lru_cache(maxsize=4_096)
def _finder(pattern: str) -> measure.Finder:
    return measure.Finder(pattern)


def normalised(text: Normalised) -> str:
    """Return the text as readers see it."""
    return text.base


def word_count(text: Normalised) -> int:
    """Count the words of a text, up to `WORDS_MAX`."""
    return len(measure.words(text))


def url_host(text: Normalised) -> str | None:
    """Return the first host name in a text."""
    found = measure.hosts(text)
    return found[0] if found else None


def url_domain(text: Normalised) -> str | None:
    """Return the registered domain of the first address in a text."""
    return next((domain for host in measure.hosts(text) if (domain := registered_domain(host))), None)


def email_domain(text: Normalised) -> str | None:
    """Return the registered domain of the first e-mail address in a text."""
    return next((domain for host in measure.email_hosts(text) if (domain := registered_domain(host))), None)


def element_at(items: tuple[str, ...], place: int) -> str | None:
    """Return the item at a place, from 1, or from the end for a negative place; NULL where there is none."""
    index = place - 1 if place > 0 else len(items) + place
    return items[index] if place != 0 and 0 <= index < len(items) else None


def array_join(items: tuple[str, ...], separator: str) -> str | None:
    """Return the items as one text; NULL where it would be too long."""
    joined = separator.join(items)
    return joined if len(joined) <= TEXT_MAX else None


def array_distinct(items: tuple[str, ...]) -> tuple[str, ...]:
    """Return each item once, where it stands first."""
    return tuple(dict.fromkeys(items))


def array_intersects(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    """Say whether the arrays share an item."""
    return not set(one).isdisjoint(two)


def json_text(document: str, path: str) -> str | None:
    """Return a text, number or truth value of a JSON document as text."""
    found = _json_at(document, path)
    if isinstance(found, bool):
        return "true" if found else "false"
    return _whole_characters(str(found)) if isinstance(found, str | int | decimal.Decimal) else None


def json_int(document: str, path: str) -> int | None:
    """Return a whole number of a JSON document."""
    found = _json_at(document, path)
    return whole(found) if isinstance(found, int) and not isinstance(found, bool) else None


def json_decimal(document: str, path: str) -> int | None:
    """Return a number of a JSON document, scaled, rounded half away from zero."""
    found = _json_at(document, path)
    if isinstance(found, bool) or not isinstance(found, int | decimal.Decimal):
        return None
    number = decimal.Decimal(found)
    if number.is_nan() or number.is_infinite() or number.adjusted() > 12:
        return None
    if number.adjusted() < -7:
        return 0
    with decimal.localcontext() as context:
        context.prec = 60
        rounded = (number * _SCALE).to_integral_value(rounding=decimal.ROUND_HALF_UP)
    return fraction(int(rounded))


def json_bool(document: str, path: str) -> bool | None:
    """Return a truth value of a JSON document."""
    found = _json_at(document, path)
    return found if isinstance(found, bool) else None


def json_texts(document: str, path: str) -> tuple[str, ...] | None:
    """Return an array of texts of a JSON document; NULL where an item is no text."""
    found = _json_at(document, path)
    if not isinstance(found, list):
        return None
    texts = tuple(_whole_characters(each) for each in found if isinstance(each, str))
    return texts if len(texts) == len(found) else None


def json_length(document: str, path: str) -> int | None:
    """Return how many items an array has, or members an object."""
    found = _json_at(document, path)
    return len(found) if isinstance(found, list | dict) else None


def _whole_characters(text: str) -> str:
    """Replace what an escape of JSON can write and no text may hold, half a surrogate pair and NUL, as events do."""
    return NO_CHARACTER.sub(REPLACEMENT, text)


def json_steps(path: str) -> tuple[str | int, ...] | None:
    """Read a path such as `$.items[0].name`; None when it is none."""
    if not path.startswith("$") or len(path) > 500:
        return None
    steps: list[str | int] = []
    place = 1
    while place < len(path):
        found = _STEP.match(path, place)
        if found is None:
            return None
        steps.append(int(found[2]) if found[2] is not None else found[1] or found[3])
        place = found.end()
    return tuple(steps)


_steps_of = functools.lru_cache(maxsize=4_096)(json_steps)


def _json_at(document: str, path: str) -> Json:
    found = _json(document)
    for step in _steps_of(path) or ():
        if isinstance(step, int):
            found = found[step] if isinstance(found, list) and step < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


@functools.lru_cache(maxsize=256)
def _json(document: str) -> Json:
    try:
        read: Json = json.loads(document, parse_float=decimal.Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    return read


def _no_constant(word: str) -> object:
    raise ValueError(word)  # NaN and Infinity are no JSON


def distance_m(lat: int, lon: int, other_lat: int, other_lon: int) -> int | None:
    """Return the metres between two places on the globe, along a great circle; NULL off the globe.

    Source: haversine formula (R. W. Sinnott, 1984).
    """
    if max(abs(lat), abs(other_lat)) > 90 * _SCALE or max(abs(lon), abs(other_lon)) > 180 * _SCALE:
        return None
    one, two = math.radians(lat / _SCALE), math.radians(other_lat / _SCALE)
    high = math.sin((two - one) / 2) ** 2
    wide = math.sin(math.radians((other_lon - lon) / _SCALE) / 2) ** 2
    half = high + math.cos(one) * math.cos(two) * wide
    return round(2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, half))))


def _local(at: int, zone: str) -> datetime.datetime | None:
    return datetime.datetime.fromtimestamp(at // SECOND, zone_of(zone)) if YEAR_1 < at < YEAR_9000 else None


def minute_of_day(at: int, zone: str) -> int | None:
    """Return the minutes since midnight on the clocks of a zone."""
    local = _local(at, zone)
    return None if local is None else local.hour * 60 + local.minute


def day_of_month(at: int, zone: str) -> int | None:
    """Return the day of the month in a zone."""
    local = _local(at, zone)
    return None if local is None else local.day


def month_of_year(at: int, zone: str) -> int | None:
    """Return the month in a zone, January being 1."""
    local = _local(at, zone)
    return None if local is None else local.month


def year_of(at: int, zone: str) -> int | None:
    """Return the year in a zone."""
    local = _local(at, zone)
    return None if local is None else local.year


def date_text(at: int, zone: str) -> str | None:
    """Return the date in a zone as 2026-01-31."""
    local = _local(at, zone)
    return None if local is None else local.date().isoformat()


def start_of_day(at: int, zone: str) -> int | None:
    """Return the moment at which the day in a zone began."""
    local = _local(at, zone)
    if local is None:
        return None
    midnight = datetime.datetime(local.year, local.month, local.day, tzinfo=zone_of(zone))
    return (midnight - EPOCH) // datetime.timedelta(microseconds=1)


def within_hours(at: int, zone: str, first: int, last: int) -> bool | None:
    """Say whether the clocks of a zone show an hour from `first` until before `last`, over midnight where it is less."""
    minute = minute_of_day(at, zone)
    if minute is None:
        return None
    hour = minute // 60
    return first <= hour < last if first <= last else hour >= first or hour < last


def seconds_of(span: int) -> int:
    """Return the whole seconds of an interval, cut towards zero."""
    return cut(span, SECOND)


def minutes_of(span: int) -> int:
    """Return the whole minutes of an interval, cut towards zero."""
    return cut(span, MINUTE)


def to_major(amount_minor: int, currency: str) -> int | None:
    """Return an amount in whole units of its currency; NULL for an unknown currency."""
    digits = MINOR_DIGITS.get(currency)
    return None if digits is None else fraction(amount_minor * _SCALE // 10**digits)


def to_minor(amount: int, currency: str) -> int | None:
    """Return an amount in minor units, rounded half away from zero; NULL for an unknown currency."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        return None
    size = (abs(amount) * 10**digits + _SCALE // 2) // _SCALE
    return whole(size if amount >= 0 else -size)


def sign(x: int) -> int:
    """Return -1, 0 or 1."""
    return (x > 0) - (x < 0)


PLAIN: Final[dict[str, Plain]] = {
    "upper": Plain(upper),
    "trim": Plain(trim),
    "substring": Plain(substring),
    "left": Plain(left),
    "right": Plain(right),
    "replace": Plain(replace),
    "split_part": Plain(split_part),
    "split": Plain(split),
    "position": Plain(position),
    "regexp_extract": Plain(regexp_extract, normal=True),
    "regexp_count": Plain(regexp_count, normal=True),
    "normalised": Plain(normalised, normal=True),
    "words": Plain(measure.words, normal=True),
    "word_count": Plain(word_count, normal=True),
    "digits": Plain(measure.digits, normal=True),
    "upper_share": Plain(measure.upper_share),
    "longest_run": Plain(measure.longest_run),
    "hidden_characters": Plain(measure.hidden_characters),
    "mixes_scripts": Plain(measure.mixes_scripts),
    "edit_distance": Plain(measure.edit_distance),
    "likeness": Plain(measure.likeness),
    "hosts": Plain(measure.hosts, normal=True),
    "url_host": Plain(url_host, normal=True),
    "url_domain": Plain(url_domain, normal=True),
    "url_signs": Plain(measure.url_signs, normal=True),
    "email_domain": Plain(email_domain, normal=True),
    "element_at": Plain(element_at),
    "array_join": Plain(array_join),
    "array_distinct": Plain(array_distinct),
    "array_intersects": Plain(array_intersects),
    "json_text": Plain(json_text),
    "json_int": Plain(json_int),
    "json_decimal": Plain(json_decimal),
    "json_bool": Plain(json_bool),
    "json_texts": Plain(json_texts),
    "json_length": Plain(json_length),
    "distance_m": Plain(distance_m),
    "minute_of_day": Plain(minute_of_day),
    "day_of_month": Plain(day_of_month),
    "month_of_year": Plain(month_of_year),
    "year_of": Plain(year_of),
    "date_text": Plain(date_text),
    "start_of_day": Plain(start_of_day),
    "within_hours": Plain(within_hours),
    "seconds_of": Plain(seconds_of),
    "minutes_of": Plain(minutes_of),
    "to_major": Plain(to_major),
    "to_minor": Plain(to_minor),
    "sign": Plain(sign),
}
