"""What a backtest found, as a person reads it: days as bars, samples as lines, why a rule was not run as SQL."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from koban.console.fields import FieldLine, field_lines
from koban.console.formats import Formats
from koban.console.words import Words, retold
from koban.lab import Report, RuleFigures, Sample
from koban.packs import PackDef

WIDTH: Final = 600
HEIGHT: Final = 72
FIELDS_SHOWN: Final = 6
VALUE_CHARS: Final = 240
_LIVE: Final = (
    ("asked", re.compile(r"asked for")),
    ("sequence", re.compile(r"the feature '(?P<name>\w+)' is a sequence of events")),
    ("linked", re.compile(r"the feature '(?P<name>\w+)' counts linked accounts")),
    ("stddev", re.compile(r"the feature '(?P<name>\w+)' is a standard deviation")),
    ("most_frequent", re.compile(r"the feature '(?P<name>\w+)' is a most frequent value")),
    ("several", re.compile(r"the feature '(?P<name>\w+)' does not belong to one subject")),
    ("score", re.compile(r"it reads a score")),
    ("over", re.compile(r"(?P<name>\w+) over a feature")),
    ("features", re.compile(r"the features (?P<name>[^:]+): .*", re.DOTALL)),
)


class DayBar(msgspec.Struct, frozen=True, kw_only=True):
    """One day of the picture: where its two bars stand, new and before."""

    day: str
    hits: int
    before: int
    x: str
    x_before: str
    width: str
    height: str
    height_before: str
    y: str
    y_before: str


class SampleLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event to read: what tells most of it first, the rest behind a fold."""

    sample: Sample
    at: int
    about: str
    fields: tuple[FieldLine, ...]
    more: tuple[FieldLine, ...]


def day_bars(days: Sequence[tuple[str, int, int]], *, compared: bool) -> list[DayBar]:
    """Place a bar, or two, for each day; both kinds on one scale, and what is not nothing is never invisible."""
    top = max([1, *(max(hits, before) for _, hits, before in days)])
    step = WIDTH / max(1, len(days))
    width = min(60.0, step * (0.4 if compared else 0.8))
    bars = []
    for place, (day, hits, before) in enumerate(days):
        middle = (place + 0.5) * step
        tall, tall_before = (max(1.5, each * HEIGHT / top) if each else 0.0 for each in (hits, before))
        bars.append(
            DayBar(
                day=day, hits=hits, before=before, width=f"{width:.1f}",
                x=f"{middle if compared else middle - width / 2:.1f}", x_before=f"{middle - width:.1f}",
                y=f"{HEIGHT - tall:.1f}", height=f"{tall:.1f}",
                y_before=f"{HEIGHT - tall_before:.1f}", height_before=f"{tall_before:.1f}",
            )
        )  # fmt: skip
    return bars


def sample_lines(
    samples: Sequence[Sample], pack: PackDef, formats: Formats, named: Callable[[Mapping[str, str]], str]
) -> list[SampleLine]:
    """Return samples as they are read: amounts first, then texts, then the rest in the order declared."""
    return [_sample(each, pack, formats, named) for each in samples]


def _sample(sample: Sample, pack: PackDef, formats: Formats, named: Callable[[Mapping[str, str]], str]) -> SampleLine:
    event = pack.events.get(sample.type)
    told = {path: value for path, value in sample.fields.items() if value is not None}
    lines = [
        msgspec.structs.replace(each, value=each.value[:VALUE_CHARS])
        for each in field_lines(msgspec.json.encode(told), event, formats, sealed=True)
    ]
    lines.sort(key=lambda line: _rank(line, pack, sample.type))
    lines = [line for line in lines if line.kind != "sealed" or line.path in told]
    return SampleLine(
        sample=sample,
        at=formats.instant(sample.at) or 0,
        about=named(event.about) if event is not None and event.about else sample.type,
        fields=tuple(lines[:FIELDS_SHOWN]),
        more=tuple(lines[FIELDS_SHOWN:]),
    )


def _rank(line: FieldLine, pack: PackDef, kind: str) -> int:
    event = pack.events.get(kind)
    field = event.fields.get(line.path) if event is not None else None
    if line.kind in {"subject", "pseudonym"}:
        return 4
    if line.kind == "sealed" or field is None:
        return 2
    if field.unit == "minor":
        return 0
    return 1 if field.type == "text" and line.path != "currency" else 3


def why_live(words: Words, rule: RuleFigures) -> str:
    """Return in the reader's words why a rule was run by the live engine; its own words where no others are known."""
    return retold(words, "why_live", _LIVE, rule.why_live) or rule.why_live


def work_a_day(report: Report) -> float | None:
    """Return the hours of review more a day in all queues; None where less than a day was looked at."""
    return sum(each.more_hours_per_day for each in report.work) if report.days >= 1 else None
