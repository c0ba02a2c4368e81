"""Times, numbers, money and durations as readers of Japanese and English write them."""

import datetime
import zoneinfo
from collections.abc import Sequence
from typing import Final

from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Money, format_money, from_rfc3339, to_rfc3339
from koban.base.money import MINUS
from koban.console.words import Language

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS_EN: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAYS_JA: Final = "月火水木金土日"


class Formats:
    """How one reader sees values: language, time zone and the moment of the page."""

    __slots__ = ("_now", "_zone", "language")

    def __init__(self, language: Language, zone: str, now: Instant) -> None:
        """Write for a reader of `language` in `zone`, at `now`."""
        self.language = language
        self._zone = zoneinfo.ZoneInfo(zone)
        self._now = now

    def _local(self, at: int) -> datetime.datetime:
        moment = _EPOCH + datetime.timedelta(microseconds=at)
        try:
            return moment.astimezone(self._zone)
        except OverflowError:  # the first and the last day of the calendar exist in UTC only
            return moment

    def iso(self, at: int) -> str:
        """Return the machine's form, for the datetime attribute."""
        return to_rfc3339(Instant(at))

    def instant(self, text: str) -> Instant | None:
        """Read the machine's form."""
        return from_rfc3339(text)

    def clock(self, at: int) -> str:
        """Write the time of day: 21:04:13."""
        return self._local(at).strftime("%H:%M:%S")

    def day(self, at: int) -> str:
        """Write day and month; the year where it is not this one: 22 Nov, 11月22日."""
        local = self._local(at)
        other_year = local.year != self._local(self._now).year
        if self.language == "ja":
            return (f"{local.year}年" if other_year else "") + f"{local.month}月{local.day}日"
        return f"{local.day} {_MONTHS[local.month - 1]}" + (f" {local.year}" if other_year else "")

    def moment(self, at: int) -> str:
        """Write time of day, and the day where it is not today: what lists show."""
        local = self._local(at)
        if local.date() == self._local(self._now).date():
            return local.strftime("%H:%M:%S")
        return f"{self.day(at)} {local:%H:%M}"

    def full(self, at: int) -> str:
        """Write day and time whole: 2026年11月22日(日) 21:04:13."""
        local = self._local(at)
        return self._whole(local, f"{local:%H:%M:%S}")

    def precise(self, at: int) -> str:
        """Write everything, to the millisecond and with the time zone."""
        local = self._local(at)
        return self._whole(local, f"{local:%H:%M:%S}.{local.microsecond // 1000:03d} {local.tzname()}")

    def _whole(self, local: datetime.datetime, time: str) -> str:
        if self.language == "ja":
            return f"{local.year}年{local.month}月{local.day}日({_DAYS_JA[local.weekday()]}) {time}"
        return f"{_DAYS_EN[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}, {time}"

    def field(self, at: int) -> str:
        """Write the value of a datetime-local field."""
        return self._local(at).strftime("%Y-%m-%dT%H:%M")

    def read_field(self, text: str) -> Instant | None:
        """Read the value of a datetime-local field, in the reader's zone; None where it is none."""
        try:
            local = datetime.datetime.fromisoformat(text)
        except ValueError:
            return None
        aware = local if local.tzinfo is not None else local.replace(tzinfo=self._zone)
        try:
            return Instant((aware.astimezone(datetime.UTC) - _EPOCH) // datetime.timedelta(microseconds=1))
        except OverflowError:
            return None

    def ago(self, at: int) -> str:
        """Write how long ago something was, or how far ahead it lies, in the largest unit that fits."""
        away = self._now - at
        if 0 <= away < SECOND:
            return "たった今" if self.language == "ja" else "just now"
        length = self.length(abs(away))
        if self.language == "ja":
            return f"{length}前" if away >= 0 else f"あと{length}"
        return f"{length} ago" if away >= 0 else f"in {length}"

    def length(self, us: int) -> str:
        """Write a length of time in its largest unit: 3 min, 3分."""
        for unit_us, english, japanese in ((DAY, " d", "日"), (HOUR, " h", "時間"), (MINUTE, " min", "分")):
            if us >= unit_us:
                return f"{us // unit_us}{japanese if self.language == 'ja' else english}"
        return f"{us // SECOND}{'秒' if self.language == 'ja' else ' s'}"

    def ms(self, us: int) -> str:
        """Write microseconds as milliseconds with three significant digits, without the unit."""
        value = us / 1000
        if value >= 100:
            return f"{value:,.0f}"
        return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

    def count(self, number: int) -> str:
        """Write a whole number with its digits grouped."""
        return f"{number:,}".replace("-", MINUS)

    def share(self, basis_points: int) -> str:
        """Write the share of accounts for which a rule is live as it was set: 10%, 7.5%, 0.05%."""
        return f"{basis_points / 100:g}%"

    def percent(self, part: int, whole: int) -> str:
        """Write a share; small ones that are not nothing keep a digit that is not zero."""
        if whole <= 0:
            return "–"
        share = 100 * part / whole
        return f"{share:.2f}%" if 0 < share < 0.1 else f"{share:.1f}%"

    def money(self, amount_minor: int, currency: str) -> str:
        """Write an amount."""
        return format_money(Money(amount_minor=amount_minor, currency=currency), self.language)


def spark_line(values: Sequence[int], width: int, height: int) -> tuple[str, str]:
    """Return the path of a line over the values and of the area under it, in a box of `width` by `height`."""
    if len(values) < 2:
        values = (*values, *([0] * (2 - len(values))))
    top = max(1, *values)
    step = width / (len(values) - 1)
    points = [f"{place * step:.1f} {height - 2 - value * (height - 4) / top:.1f}" for place, value in enumerate(values)]
    line = "M" + "L".join(points)
    return line, f"{line}L{width} {height}L0 {height}Z"


def spark_bars(values: Sequence[int], width: int, height: int) -> list[tuple[str, str, str, str]]:
    """Return x, y, width and height of a bar for each value; a value that is not zero is never invisible."""
    top = max(1, *values) if values else 1
    step = width / max(1, len(values))
    bars = []
    for place, value in enumerate(values):
        if value <= 0:
            continue
        tall = max(1.5, value * height / top)
        bars.append((f"{place * step:.1f}", f"{height - tall:.1f}", f"{max(1.0, step - 1):.1f}", f"{tall:.1f}"))
    return bars
