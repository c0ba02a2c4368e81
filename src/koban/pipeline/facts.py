"""Facts that Koban tells itself: what a room published, entered into the log as an event, so that rules may see it.

A fact has the source `koban:ROOM` and names the entry that brought it about. It is decided like any event, if the pack
declares its type; a pack that does not never hears of it. What a rule does about a fact may bring further facts: the
chain is followed back through the log, and stops after `CAUSE_CHAIN_MAX` facts with an alert, before it feeds on itself.
"""

import dataclasses
from collections.abc import Mapping

import structlog

import koban.events.store as event_store
from koban.base import limits
from koban.db import Tx
from koban.events import Entry, Envelope, Fault, Kind, Prepared, prepare
from koban.pipeline.flow import Arrival, decide
from koban.pipeline.memory import Memory
from koban.pipeline.sealing import entry_of, seal

_log = structlog.get_logger("koban.pipeline")

SOURCE = "koban:"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fact:
    """What happened, as an event of a room of ours. `id` names it once within the room."""

    room: str
    id: str
    type: str
    subject: str | None
    data: Mapping[str, object]


def enter_fact(memory: Memory, tx: Tx, fact: Fact, *, cause_seq: int | None) -> int | None:
    """Enter and decide a fact inside a command; return its place in the log.

    None where the pack declares no such type, where the same fact came before, or where the chain is too deep.
    """
    preparer = memory.compiled.preparers.get(fact.type)
    source = SOURCE + fact.room
    key = event_store.event_key(source, fact.id)
    if preparer is None or event_store.find_known(tx, {key: (source, fact.id)}):
        return None
    if chain_length(memory, tx, cause_seq) >= limits.CAUSE_CHAIN_MAX:
        detail = (
            f"{fact.type} would be the fact number {limits.CAUSE_CHAIN_MAX + 1} of one chain of causes; it was stopped."
        )
        memory.alert("chain.too_deep", f"event:{fact.id}", detail)
        return None
    at = memory.log_time.peek()
    envelope = Envelope(
        id=fact.id,
        source=source,
        type=fact.type,
        event_at=at,
        subject=fact.subject,
        data=dict(fact.data),
        damaged=False,
    )
    prepared = prepare(preparer, envelope, at, memory.vault.pseudonym, memory.vault.digest)
    if isinstance(prepared, Fault):
        # The pack declares fields of another type than the room tells: the fact stays untold, the room's work stands.
        _log.warning("fact_unreadable", type=fact.type, problems=[one.path for one in prepared.problems])
        memory.alert("fact.unreadable", f"event:{fact.type}", "The pack declares fields that the fact has otherwise.")
        return None
    return _decide(memory, tx, prepared, key, cause_seq)


def chain_length(memory: Memory, tx: Tx, cause_seq: int | None) -> int:
    """Count the facts in the chain of causes that ends at an entry; never more than may be."""
    length, at = 0, cause_seq
    while at is not None and length < limits.CAUSE_CHAIN_MAX:
        entry = _read(memory, tx, at)
        if entry is None:
            break
        length += entry.kind is Kind.EVENT and entry.source.startswith(SOURCE)
        assert entry.cause_seq is None or entry.cause_seq < at, "a cause stands before what it brought about"
        at = entry.cause_seq
    return length


def _read(memory: Memory, tx: Tx, seq: int) -> Entry | None:
    """Read an entry of this batch, or a stored one."""
    for entry in reversed(memory.rows.entries):
        if entry.seq <= seq:
            return entry if entry.seq == seq else event_store.read_entry(tx, seq)
    return event_store.read_entry(tx, seq)


def _decide(memory: Memory, tx: Tx, prepared: Prepared, key: bytes, cause_seq: int | None) -> int:
    memory.vault.prepare(tx, memory.log_time.peek(), prepared.personal)
    entry = entry_of(prepared, key, seal(memory.vault, key, prepared.personal), cause_seq=cause_seq)
    decide(memory, Arrival(entry=entry, row=prepared.row, unread=prepared.unread, since_at=None))
    return int(str(memory.rows.decisions[-1][0]))
