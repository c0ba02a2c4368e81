"""What a rule would have done to the last events: run over the log beside the decider, newest events first.

It reads a snapshot, with lists and labels of its own, and gives way to the decider between pages. What was decided then
is not touched. A rule's features are those that were stored with the decisions, as they were then.
"""

import collections
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban import enforcement
from koban.base import HOUR, MINUTE, SECOND, Clock, Instant, to_rfc3339
from koban.db import Database, Tx
from koban.decisions import DecisionRecord
from koban.emergency import (
    EmergencyInvalid,
    EmergencyStarted,
    Overlay,
    Preview,
    PreviewSample,
    check_started,
    compile_overlay,
    rule_of,
)
from koban.events import Entry, decode_document, read_row
from koban.labels import TRUTH, LiveLabels
from koban.lists import LiveLists
from koban.packs import PackInvalid
from koban.pipeline.memory import Compiled
from koban.pipeline.sealing import open_entries
from koban.rules import CompiledRules
from koban.vault import Vault

SPAN: Final = 2 * HOUR
BUDGET: Final = 8 * SECOND  # the answer comes within ten seconds, whatever the log holds
PAGE: Final = 500
SAMPLES: Final = 20
REST_S: Final = 0.001  # after each page, so that the decider's thread is never kept waiting for long


class _Tally:
    """What was found so far."""

    def __init__(self) -> None:
        self.events = 0
        self.caught = 0
        self.hits: list[tuple[int, Instant, str | None]] = []  # place, when, account
        self.samples: list[tuple[Entry, DecisionRecord, str | None, str | None]] = []
        self.whole = True
        self.reached: Instant | None = None


def preview(
    database: Database,
    vault: Vault,
    clock: Clock,
    compiled: Compiled,
    started: EmergencyStarted,
    *,
    span: int = SPAN,
    budget: int = BUDGET,
) -> Preview:
    """Run an emergency rule over the last events of its types.

    Refuses: EmergencyInvalid, with line and column where the condition is wrong.
    """
    began = clock.monotonic()
    check_started(started, compiled.pack)
    until = clock.now()
    since = Instant(until - span)
    tally = _Tally()
    with database.read() as tx:
        lists, labels = LiveLists(), LiveLabels()
        lists.load(tx)
        lists.set_pack({name: each.entries for name, each in compiled.pack.lists.items()})
        labels.load(tx)
        try:
            overlay = compile_overlay(
                compiled.pack, {}, compiled.features, [rule_of(started)], lists=lists, labels=labels
            )
        except PackInvalid as invalid:
            raise EmergencyInvalid("The condition cannot be used.", problems=invalid.problems) from invalid
        for page in _pages(tx, started.on, since):
            _walk(tx, vault, compiled, overlay, page=page, tally=tally)
            if clock.monotonic() - began > budget:
                tally.whole = False
                tally.reached = page[-1].log_at
                break
            time.sleep(REST_S)
        people = _people(tx, labels, tally, since, until)
    spanned = until - (tally.reached or since)
    return Preview(
        id=preview_id(started, compiled.pack.digest),
        since=to_rfc3339(tally.reached or since),
        until=to_rfc3339(until),
        whole=tally.whole,
        events=tally.events,
        hits=len(tally.hits),
        people=len(people),
        **{name: sum(each == name for each in people.values()) for name in ("fraud", "honest", "clean", "unknown")},
        hits_per_hour=-(-len(tally.hits) * HOUR // max(spanned, MINUTE)),
        already_caught=tally.caught,
        unread_features=_unread(compiled, overlay, started.on),
        per_minute=_per_minute(tally, since, span),
        samples=tuple(_sample(*each, people) for each in tally.samples),
        took_ms=(clock.monotonic() - began) // 1_000,
    )


def preview_id(started: EmergencyStarted, pack: str) -> str:
    """Name what was previewed: the rule's content under one version of the pack, whoever typed it and when."""
    content = msgspec.json.encode((started.policy, started.on, started.when, started.then, pack))
    return hashlib.sha256(content).hexdigest()[:24]


def _pages(tx: Tx, types: Sequence[str], since: Instant) -> Iterator[list[Entry]]:
    """Walk the events of some types back to a moment, newest first."""
    before: int | None = None
    while page := event_store.read_back(tx, types, before_seq=before, limit=PAGE):
        before = page[-1].seq
        fresh = [entry for entry in page if entry.log_at >= since]
        if fresh:
            yield fresh
        if len(fresh) < len(page):
            return


def _walk(tx: Tx, vault: Vault, compiled: Compiled, overlay: Overlay, *, page: Sequence[Entry], tally: _Tally) -> None:
    stored = decision_store.read_inputs_of(tx, [entry.seq for entry in page])
    known = [entry for entry in page if entry.seq in stored and entry.type in compiled.preparers]
    opened: Sequence[Mapping[str, object]] = [{}] * len(known)
    if any(_reads_sealed(compiled, overlay, name) for name in {entry.type for entry in known}):
        keyed = [(event_store.event_key(entry.source, entry.event_id), entry) for entry in known]
        opened = open_entries(tx, vault, keyed)
    hit: list[tuple[Entry, str | None, str | None]] = []
    for entry, personal in zip(known, opened, strict=True):
        rules = overlay.rules.get(entry.type)
        if rules is None:
            continue
        tally.events += 1
        row = read_row(compiled.preparers[entry.type], decode_document(entry.data), personal)
        if rules.run(row, stored[entry.seq].features, entry.log_at, None):
            occasion = enforcement.occasion_of(compiled.pack.events[entry.type], row, event_id=entry.event_id)
            account = None if occasion.acting is None else occasion.acting.id
            hit.append((entry, account, None if occasion.content is None else occasion.content.id))
    if not hit:
        return
    records = decision_store.read_bodies(tx, [entry.seq for entry, _, _ in hit])
    for entry, account, content in hit:
        record = records[entry.seq]
        tally.hits.append((entry.seq, entry.log_at, account))
        tally.caught += any(signal.applied for signal in record.signals)
        if len(tally.samples) < SAMPLES:
            tally.samples.append((entry, record, account, content))


def _reads_sealed(compiled: Compiled, overlay: Overlay, event_type: str) -> bool:
    rules = overlay.rules.get(event_type)
    if rules is None:
        return False
    fields = compiled.pack.events[event_type].fields
    read = {path for each in rules.typed for path in (*each.checked.reads, *each.checked.texts)}
    return any(path in fields and fields[path].personal is not None and not fields[path].joined for path in read)


def _unread(compiled: Compiled, overlay: Overlay, types: Sequence[str]) -> tuple[str, ...]:
    """Name features that the rule reads and that no decision on such an event stored."""
    missing: set[str] = set()
    for name in types:
        rules: CompiledRules | None = overlay.rules.get(name)
        if rules is not None:
            base = compiled.rules.get(name)
            missing |= rules.reads - (base.reads if base is not None else frozenset())
    return tuple(sorted(missing))


def _people(tx: Tx, labels: LiveLabels, tally: _Tally, since: Instant, until: Instant) -> Mapping[str, str]:
    """Say of each account that was hit what is known of it: fraud, honest, clean, or unknown.

    Clean: without a label, nothing was ever imposed on it, and no rule matched it in the span.
    """
    accounts = {account for _, _, account in tally.hits if account is not None}
    troubled = enforcement.accounts_sanctioned(tx, sorted(accounts)) | decision_store.accounts_signalled(
        tx, sorted(accounts), since_at=since
    )
    found: dict[str, str] = {}
    for account in sorted(accounts):
        truth = labels.value("account", account, TRUTH, until)
        if truth in {"fraud", "honest"}:
            found[account] = str(truth)
        else:
            found[account] = "unknown" if account in troubled else "clean"
    return found


def _per_minute(tally: _Tally, since: Instant, span: int) -> tuple[int, ...]:
    last = span // MINUTE - 1  # what came while the preview was made counts as the last minute
    counts = collections.Counter(min(last, (at - since) // MINUTE) for _, at, _ in tally.hits)
    return tuple(counts.get(place, 0) for place in range(span // MINUTE))


def _sample(
    entry: Entry,
    record: DecisionRecord,
    account: str | None,
    content: str | None,
    people: Mapping[str, str],
) -> PreviewSample:
    return PreviewSample(
        seq=entry.seq,
        at=to_rfc3339(entry.log_at),
        type=entry.type,
        event_id=entry.event_id,
        account=account,
        content=content,
        verdict=record.verdict,
        rules=tuple(signal.rule for signal in record.signals),
        standing=people.get(account or "", "unknown"),
    )
