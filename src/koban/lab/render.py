"""Write a report for people who read it in a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

from koban.insight import Share, render_share
from koban.lab.types import Caught, Report, RuleFigures, Sample, Total

BARS: Final = "▁▂▃▄▅▆▇█"
RULES_SHOWN: Final = 60
FIELDS_SHOWN: Final = 4
BARS_MAX: Final = 60
FIELD_CHARS: Final = 60


def render_report(found: Report, *, samples: int = 20) -> str:
    """Write a report as plain text."""
    return "\n".join(_lines(found, samples))


def _lines(found: Report, samples: int) -> Iterator[str]:
    log = f"log {found.log}" if found.log else "the live log"
    against = f" against {found.against[:12]}" if found.against else ""
    yield f"pack {found.pack[:12]}{against} over {log}, {found.since[:16]} to {found.until[:16]} ({found.days:.1f} days)"
    bounded = " (only the newest: a first look)" if found.bounded else ""
    yield f"{found.events:,} events{bounded}, {found.harmful:,} known harmful, {found.honest:,} known honest"
    yield f"run by {', '.join(f'{name} ({what})' for name, what in found.engines.items())} in {found.took_s:.1f} s"
    yield ""
    yield from _total("this pack", found.total)
    if found.before is not None:
        yield from _total("the other", found.before)
    if found.test_part is not None:
        one = found.test_part
        yield f"test part alone: precision {render_share(one.precision)}; recall {render_share(one.recall)}"
    yield from _harm(found)
    yield ""
    top = max((max(hits, before) for _, hits, before in found.per_day), default=0)  # one scale, so that the two compare
    yield f"hits per day  {bars([hits for _, hits, _ in found.per_day], top)}  {_ends(found)}"
    if found.before is not None:
        yield f"the other     {bars([before for _, _, before in found.per_day], top)}"
    yield ""
    yield f"{'rule':<34} {'hits':>8} {'before':>8} {'precision':>24} {'people':>7} {'honest':>7}  by"
    shown = sorted(found.rules, key=lambda each: (-each.measured.flagged, each.rule))
    yield from (_rule(each) for each in shown[:RULES_SHOWN])
    if len(shown) > RULES_SHOWN:
        yield f"… and {len(shown) - RULES_SHOWN} more"
    if found.removed:
        yield f"no longer there: {', '.join(found.removed)}"
    for rule, why in sorted(found.left_out.items()):
        yield f"left out: {rule}: {why}"
    if found.work:
        yield ""
        yield f"{'queue':<20} {'cases':>8} {'more':>8} {'hours more':>11} {'a day':>8}"
        for work in found.work:
            basis = "measured" if work.measured else "assumed"
            yield (
                f"{work.queue:<20} {work.cases:>8,} {work.more_cases:>+8,} {work.more_hours:>+11.1f}"
                f" {work.more_hours_per_day:>+8.2f}  {work.touch_s} s a case, {basis}"
            )
    yield from _samples("newly caught", found.caught_samples[:samples])
    yield from _samples("newly freed", found.freed_samples[:samples])
    yield ""
    yield found.caveat


def bars(counts: Sequence[int], top: int) -> str:
    """Draw counts as a row of blocks, of many days the highest of several; where nothing was hit it stays empty."""
    days = days_a_bar(len(counts))
    highest = [max(counts[start : start + days]) for start in range(0, len(counts), days)]
    return "".join("·" if not count else BARS[count * 7 // top] for count in highest)


def days_a_bar(days: int) -> int:
    """Return how many days one block stands for, so that a row fits a terminal."""
    return -(-days // BARS_MAX) or 1


def _ends(found: Report) -> str:
    if not found.per_day:
        return ""
    days = days_a_bar(len(found.per_day))
    each = f"; each block the highest of {days} days" if days > 1 else ""
    return (
        f"{found.per_day[0][0]} … {found.per_day[-1][0]}, at most {max(hits for _, hits, _ in found.per_day):,}{each}"
    )


def _total(name: str, total: Total) -> Iterator[str]:
    one = total.measured
    yield (
        f"{name}: {total.hits:,} events hit ({one.true:,} harmful, {one.false:,} honest, {one.unknown:,} unknown),"
        f" {total.people:,} people, {total.honest_people:,} of them honest"
    )
    yield f"    precision {render_share(one.precision)}; recall {render_share(one.recall)}"
    yield f"    harmful people reached {render_share(total.harmful_people)}; false alarms {render_share(one.false_alarms)}"


def _harm(found: Report) -> Iterator[str]:
    if found.harm_from == "nothing":
        yield "harm: no losses and no amounts are known"
        return
    basis = "losses in the log" if found.harm_from == "losses" else "amounts of harmful events"
    for one in found.total.caught:
        yield f"harm caught ({basis}): {_caught(one)}"


def _caught(one: Caught) -> str:
    unit = one.currency or "minor units"
    return (
        f"{one.all_hits_minor:,} of {one.of_minor:,} {unit} by all hits;"
        f" {one.first_hit_minor:,} if everything after a person's first hit had been prevented"
    )


def _rule(each: RuleFigures) -> str:
    before = "–" if each.before is None else f"{each.before:,}"
    overlap = f"; with {', '.join(name for name, _ in each.overlaps)}" if each.overlaps else ""
    return (
        f"{each.rule:<34} {each.measured.flagged:>8,} {before:>8} {_percent(each.measured.precision):>24}"
        f" {each.people:>7,} {each.honest_people:>7,}  {each.engine}{f' ({each.why_live})' if each.why_live else ''}{overlap}"
    )


def _percent(share: Share) -> str:
    """Write a share without the counts that a column has no room for: hits stand beside it."""
    return render_share(share).partition(",")[0]


def _samples(title: str, found: Sequence[Sample]) -> Iterator[str]:
    if not found:
        return
    yield ""
    yield f"{title}:"
    for one in found:
        fields = "  ".join(
            f"{path}={_plain(str(value)[:FIELD_CHARS])}" for path, value in list(one.fields.items())[:FIELDS_SHOWN]
        )
        yield f"  {one.at[:19]}  {one.truth:<8} {one.type}  {', '.join(one.rules)}"
        yield f"      {_plain(one.event_id)}  {fields}"


def _plain(text: str) -> str:
    """Write what people sent without what steers a terminal."""
    return "".join(each if each.isprintable() else "·" for each in text)
