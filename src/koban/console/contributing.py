"""The events behind a feature's value under a version of the pack: those that its condition and its window let count."""

from collections.abc import Iterator, Sequence

import msgspec

from koban.base import Instant, from_rfc3339
from koban.db import Tx
from koban.decisions import store as decision_store
from koban.features import members_of
from koban.lab import Behind, Counted
from koban.packs import EVERYONE, FeatureDef, PackDef


class CountedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was counted; `verdict` is empty where it has left the database."""

    seq: int
    event_id: str
    type: str
    at: Instant
    value: str
    verdict: str
    steps: tuple[int, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature counted; a ratio is made of several."""

    feature: FeatureDef
    subject: str | None
    kind: str
    members: tuple[tuple[str, str], ...]  # kind and id of whom the subject names: of a pair both, of everybody none
    since_at: Instant | None
    total: int
    lines: tuple[CountedLine, ...]
    whole: bool
    matches: tuple[tuple[str, ...], ...] = ()  # of a sequence: the events of each whole one, in the order of its steps


def parts_of(tx: Tx, pack: PackDef, parts: Sequence[Behind]) -> Iterator[Part]:
    """Return what a page shows of the parts of a feature."""
    for each in parts:
        known = {event.seq: event.event_id or str(event.seq) for event in each.events}
        records = decision_store.read_bodies(tx, [event.seq for event in each.events])
        yield Part(
            feature=pack.features[each.feature],
            subject=each.subject,
            kind=each.subject_kind,
            members=()
            if each.subject is None or each.subject_kind == EVERYONE
            else members_of(each.subject_kind, each.subject),
            since_at=from_rfc3339(each.since) if each.since is not None else None,
            total=each.total,
            lines=tuple(
                _line(event, records[event.seq].verdict if event.seq in records else "") for event in each.events
            ),
            whole=each.whole,
            matches=tuple(tuple(known.get(place, str(place)) for place in match) for match in each.matches),
        )


def _line(event: Counted, verdict: str) -> CountedLine:
    at = from_rfc3339(event.at)
    assert at is not None, "the lab wrote it"
    return CountedLine(
        seq=event.seq,
        event_id=event.event_id,
        type=event.type,
        at=at,
        value=event.value,
        verdict=verdict,
        steps=event.steps,
    )
