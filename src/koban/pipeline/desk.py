"""The desk in front of the decider: prepares events on the caller's side, handles units on the decider's."""

import concurrent.futures
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import msgspec
import structlog

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban import enforcement
from koban.base import Instant, Problem, Refusal, Unavailable, limits, random_id, roam
from koban.cases import DUE_TIMER, PAUSE_TIMER
from koban.db import Database, Lease, Tx
from koban.emergency import EMERGENCY_TIMER
from koban.events import (
    Decider,
    Entry,
    Envelope,
    Fault,
    Flag,
    Prepared,
    Row,
    Steps,
    decode,
    decode_document,
    encode,
    prepare,
    read_row,
)
from koban.events.actions import settle_quarantined
from koban.events.archive import Archive, ArchivedEvent
from koban.events.routes import Conflicting, Decided, EventQuarantined, Kept, Result, Taken
from koban.events.types import QuarantineMissing
from koban.pipeline import casework, paying
from koban.pipeline.ahead import TextsAhead
from koban.pipeline.flow import Arrival, decide, decide_together
from koban.pipeline.holds import HOLD_LAPSE, lapse
from koban.pipeline.memory import Memory, PackAt, names_erased, without_erased
from koban.pipeline.saga import PAYMENT_LAPSE
from koban.pipeline.sealing import entry_of, open_entry, seal
from koban.pipeline.types import CommandUnit, Done, EventUnit, FaultUnit, Refused, Repeated, Reply, Unit, WaitingUnit
from koban.pipeline.urgent import expire_emergency

_log = structlog.get_logger("koban.pipeline")

T = TypeVar("T")

QUARANTINE = "quarantine"
TIMER_FIRED = "timer.fired"
TOGETHER_MAX = 32  # events decided together: of more, what one step left would have gone cold before the next


class Desk:
    """Where events and commands are handed in. One per log and process; the decider's thread does the rest."""

    def __init__(
        self,
        database: Database,
        memory: Memory,
        lease: Lease,
        pack_at: PackAt,
        *,
        strict: bool = False,
        archive: Archive | None = None,
    ) -> None:
        """Make the decider over a memory that is loaded; call `start`. `archive` holds what left the database."""
        self.archive = archive
        self.database = database
        self.memory = memory
        memory.on_verdict_ended = paying.verdict_ended
        self._pack_at = pack_at
        self._strict = strict
        self._known: dict[bytes, tuple[int, bytes | None]] = {}
        self._answers: dict[int, bytes] = {}
        self._waiting_keys: dict[bytes, bytes] = {}
        self._ahead = TextsAhead()
        self._together = TOGETHER_MAX  # how many events are decided together next
        self.decider: Decider[Unit, Reply] = Decider(
            database,
            memory.clock,
            lease,
            Steps(
                begin=self._begin,
                handle=self._handle,
                waiting=self._waiting,
                tick=self._tick,
                until_due=self._until_due,
                flush=self._flush,
                committed=self._committed,
                rebuild=self._rebuild,
                behind=lambda: bool(self.memory.features.unsaved),
                idle=self._idle,
            ),
        )

    # The caller's side.

    def submit(
        self,
        items: Sequence[Envelope | Fault],
        at: Instant,
        asynchronous: bool,  # noqa: FBT001 - the routes' shape
        hurried: bool = True,  # noqa: FBT001, FBT002 - the routes' shape; False: a batch, which takes what it takes
        *,
        imported: bool = False,
    ) -> "concurrent.futures.Future[list[Result]]":
        """Prepare events and queue them; the future gives their results in order. `imported` ones have no consequences.

        Raises Unavailable when the queue is full.
        """
        return self.take(self.prepare(items, at, asynchronous, hurried, imported=imported))

    def prepare(
        self,
        items: Sequence[Envelope | Fault],
        at: Instant,
        asynchronous: bool,  # noqa: FBT001 - the routes' shape
        hurried: bool = True,  # noqa: FBT001, FBT002 - the routes' shape
        *,
        imported: bool = False,
    ) -> list[Unit]:
        """Read events by the pack in force, which takes nothing in yet."""
        return [self._unit(item, at, asynchronous=asynchronous, hurried=hurried, imported=imported) for item in items]

    def take(self, units: Sequence[Unit]) -> "concurrent.futures.Future[list[Result]]":
        """Queue events that were prepared; the future gives their results in order.

        Raises Unavailable when the queue is full.
        """
        future = self.decider.submit(units, deliver=self._deliver)
        return cast(
            "concurrent.futures.Future[list[Result]]", future
        )  # events alone: `_deliver` lets nothing else pass

    def _deliver(self, future: "concurrent.futures.Future[list[Reply]]", replies: list[Reply]) -> None:
        """Answer, after the archive was read where the first answer of an event is there."""
        if any(isinstance(reply, Repeated) for reply in replies):
            # Why a thread: files are read here, and this runs in the decider's.
            threading.Thread(target=self._read_archive, args=(replies, future), name="koban-archive").start()
            return
        future.set_result(replies)

    def _read_archive(self, replies: Sequence[Reply], future: "concurrent.futures.Future[list[Reply]]") -> None:
        """Give the first answers of events that left the database."""
        roam()
        try:
            results = self._with_archived(replies)
        except Exception as error:  # noqa: BLE001 - an edge: whoever waits must hear of it
            future.set_exception(error if isinstance(error, Unavailable) else Unavailable("archive", 5, str(error)))
            return
        future.set_result(list[Reply](results))

    def _with_archived(self, replies: Sequence[Reply]) -> list[Result]:
        found: Mapping[int, ArchivedEvent] = {}
        if self.archive is not None:
            with self.database.read() as tx:
                found = self.archive.find(tx, [reply.seq for reply in replies if isinstance(reply, Repeated)])
        results: list[Result] = []
        for reply in replies:
            if isinstance(reply, Repeated):
                results.append(_first_answer(reply, found.get(reply.seq)))
            elif not isinstance(reply, Refused | Done):
                results.append(reply)
        return results

    def command(self, run: Callable[[Memory, Tx], T], *, alone: bool = False) -> T:
        """Have a change made by the decider, between events; return what it returned, or raise its refusal."""
        return self.commands([run], alone=alone)[0]

    def commands(self, runs: Sequence[Callable[[Memory, Tx], T]], *, alone: bool = False) -> list[T]:
        """Have several changes made in one commit, each in a savepoint; return what they returned, or raise the first refusal.

        The others stand when one is refused: each must be right whatever became of those before it.
        """
        replies = self.decider.submit([CommandUnit(run=run) for run in runs], alone=alone).result()
        values = list[T]()
        for reply in replies:
            if isinstance(reply, Refused):
                raise reply.error
            assert isinstance(reply, Done)
            values.append(reply.value)  # type: ignore[arg-type]  # what `run` returned, through the decider's queue
        return values

    def replay_quarantined(self, quarantine_id: str, actor: str) -> Result:
        """Send a quarantined event again; it leaves quarantine only once it could be read.

        Refuses: QuarantineMissing, EventQuarantined.
        """
        with self.database.read() as tx:
            row = event_store.read_one_quarantined(tx, quarantine_id)
            if row is None or row["status"] != "waiting":
                raise QuarantineMissing(f"Nothing waits in quarantine as {quarantine_id!r}.")
            sealed = row["sealed"]
            assert isinstance(sealed, bytes)
            raw = self.memory.vault.open_dated(tx, QUARANTINE, sealed)
        if raw is None:
            raise QuarantineMissing("What was sent has been forgotten; its retention is over.")
        item = decode(raw, "application/json")[0]
        unit = self._unit(item, self.memory.clock.now(), asynchronous=False)
        if isinstance(unit, FaultUnit):
            raise EventQuarantined("It still cannot be read.", problems=unit.fault.problems)
        result = self._with_archived(self.decider.submit([unit]).result())[0]
        if not isinstance(result, Kept):
            with self.database.write() as tx:
                settle_quarantined(tx, self.memory.clock.now(), quarantine_id, by=actor, replayed=True)
        return result

    def _unit(
        self,
        item: Envelope | Fault,
        at: Instant,
        *,
        asynchronous: bool,
        hurried: bool = True,
        imported: bool = False,
    ) -> Unit:
        if isinstance(item, Fault):
            return FaultUnit(fault=item, received_at=at)
        compiled = self.memory.compiled
        preparer = compiled.preparers.get(item.type)
        if preparer is None:
            return FaultUnit(fault=_undeclared(item, compiled.preparers), received_at=at)
        prepared = prepare(
            preparer, item, at, self.memory.vault.pseudonym, self.memory.vault.digest, strict=self._strict
        )
        if isinstance(prepared, Fault):
            return FaultUnit(fault=msgspec.structs.replace(prepared, raw=as_cloudevent(item)), received_at=at)
        return EventUnit(
            envelope=item,
            prepared=prepared,
            key=event_store.event_key(item.source, item.id),
            pack=compiled.pack.digest,
            asynchronous=asynchronous,
            hurried=hurried,
            imported=imported,
        )

    # The decider's side.

    def _begin(self, tx: Tx, units: Sequence[Unit]) -> None:
        self.memory.tx = tx
        self._known.clear()
        self._answers.clear()
        self._waiting_keys.clear()
        events = [unit for unit in units if isinstance(unit, EventUnit)]
        if not events:
            return
        keys = [unit.key for unit in events]
        self._known = event_store.find_known(
            tx, {unit.key: (unit.prepared.source, unit.prepared.id) for unit in events}
        )
        if self._known:
            bodies = decision_store.read_raw_bodies(tx, [seq for seq, _ in self._known.values()])
            self._answers = {seq: body.encode() for seq, body in bodies.items()}
        self._waiting_keys = event_store.find_waiting(tx, keys)
        self._ahead.look(events)
        people = {person for unit in events for person in unit.prepared.personal}
        self.memory.vault.prepare(tx, self.memory.log_time.peek(), people)

    def _handle(self, units: Sequence[Unit]) -> list[Reply]:
        """Handle units in order: events that nothing is known of yet together, where they stand beside each other."""
        replies: list[Reply] = []
        while len(replies) < len(units):
            run = self._run_of(units, len(replies))
            replies += self._take_together(run) if run else [self._handle_one(units[len(replies)])]
        return replies

    def _run_of(self, units: Sequence[Unit], start: int) -> list[EventUnit]:
        """Return the units from `start` on that may be decided together: new events that somebody waits for, each once."""
        run: list[EventUnit] = []
        pack, keys = self.memory.compiled.pack.digest, set[bytes]()
        for unit in units[start : start + self._together]:
            if (
                not isinstance(unit, EventUnit)
                or unit.asynchronous
                or unit.pack != pack
                or unit.key in keys
                or unit.key in self._known
                or unit.key in self._waiting_keys
            ):
                break
            keys.add(unit.key)
            run.append(unit)
        return run

    def _take_together(self, run: Sequence[EventUnit]) -> list[Reply]:
        """Decide events together; where one fails, or disturbs those behind it, fewer of them, and at least one."""
        memory = self.memory
        mark = memory.mark()
        try:
            arrivals = [self._arrival(unit) for unit in run]
            answers = decide_together(memory, arrivals, [self._ahead.of(unit) for unit in run])
        except Exception:  # noqa: BLE001 - an edge: each by itself will show which one it was, and set that one aside
            memory.back(mark)
            self._together = 1
            return [self._handle_one(run[0])]
        # After a disturbance the next is likely: sanctions come in waves, and what was taken back is done twice.
        self._together = min(2 * self._together, TOGETHER_MAX) if len(answers) == len(run) else 1
        for unit, (seq, body) in zip(run, answers, strict=False):
            self._known[unit.key] = (seq, unit.prepared.digest)
            self._answers[seq] = body
        return [Decided(body=msgspec.Raw(body)) for _, body in answers]

    def _handle_one(self, unit: Unit) -> Reply:
        mark = self.memory.mark()
        try:
            match unit:
                case EventUnit():
                    return self._take(unit)
                case FaultUnit():
                    return self._keep(unit.fault, unit.received_at)
                case WaitingUnit():
                    return self._decide_waiting(unit)
                case CommandUnit():
                    return self._run(unit)
        except Exception as error:  # noqa: BLE001 - an edge: one unit that fails must not take the batch with it
            self.memory.back(mark)
            if isinstance(unit, CommandUnit):
                if not isinstance(error, Refusal):
                    _log.exception("command_failed")
                return Refused(error=error)
            _log.exception("event_failed")
            return self._set_aside(unit, error)

    def _run(self, unit: CommandUnit) -> Reply:
        tx = self.memory.tx
        assert tx is not None, "a command runs in a batch"
        with tx.savepoint():
            return Done(value=unit.run(self.memory, tx))

    def _take(self, unit: EventUnit) -> Reply:
        prepared, texts = unit.prepared, self._ahead.of(unit)
        if unit.pack != self.memory.compiled.pack.digest:
            again = self._unit(
                unit.envelope,
                prepared.received_at,
                asynchronous=unit.asynchronous,
                hurried=unit.hurried,
                imported=unit.imported,
            )
            if isinstance(again, FaultUnit):
                return self._keep(again.fault, again.received_at)
            assert isinstance(again, EventUnit)
            assert self.memory.tx is not None
            unit, prepared, texts = again, again.prepared, {}
            self.memory.vault.prepare(self.memory.tx, self.memory.log_time.peek(), prepared.personal)
        earlier = self._known.get(unit.key)
        if earlier is not None:
            return self._repeat(unit, earlier[0], earlier[1])
        waiting = self._waiting_keys.get(unit.key)
        if waiting is not None:
            self.memory.figures.count("duplicate")
            if waiting != prepared.digest:
                return self._differs(prepared, "data")
            return Taken(id=prepared.id, source=prepared.source)
        arrival = self._arrival(unit)
        if unit.asynchronous:
            position = self.memory.next_position()
            self.memory.rows.waiting.append((position, arrival.entry))
            self._waiting_keys[unit.key] = prepared.digest
            self.decider.nudge()
            return Taken(id=prepared.id, source=prepared.source)
        body = decide(self.memory, arrival, texts)
        self._known[unit.key] = (self.memory.rows.decisions[-1][0], prepared.digest)
        self._answers[self.memory.rows.decisions[-1][0]] = body
        return Decided(body=msgspec.Raw(body))

    def _arrival(self, unit: EventUnit) -> Arrival:
        prepared = unit.prepared
        entry = entry_of(prepared, unit.key, seal(self.memory.vault, unit.key, prepared.personal))
        if unit.imported:
            entry = msgspec.structs.replace(entry, flags=entry.flags | Flag.IMPORTED)
        return Arrival(
            entry=entry,
            row=prepared.row,
            unread=prepared.unread,
            since_at=prepared.received_at,
            hurried=unit.hurried,
        )

    def _repeat(self, unit: EventUnit, seq: int, digest: bytes | None) -> Reply:
        """Give the first answer again, or say which field differs from the first event."""
        differs = digest is not None and digest != unit.prepared.digest
        body = self._answers.get(seq)
        if body is None:
            self.memory.figures.count("conflict" if differs else "duplicate")
            return Repeated(unit=unit, seq=seq, differs=differs)
        if differs:
            return self._differs(unit.prepared, self._first_difference(unit, seq))
        self.memory.figures.count("duplicate")
        return Decided(body=msgspec.Raw(body))

    def _differs(self, prepared: Prepared, field: str) -> Reply:
        self.memory.figures.count("conflict")
        return Conflicting(id=prepared.id, source=prepared.source, field=field)

    def _first_difference(self, unit: EventUnit, seq: int) -> str:
        assert self.memory.tx is not None
        first = next((entry for entry in self.memory.rows.entries if entry.seq == seq), None)
        if first is None:
            first = event_store.read_entry(self.memory.tx, seq)
        return "data" if first is None else _difference(unit, first)

    def _keep(self, fault: Fault, received_at: Instant) -> Reply:
        assert self.memory.tx is not None
        quarantine_id = random_id("quarantine", received_at, self.memory.randomness)
        sealed = self.memory.vault.seal_dated(self.memory.tx, received_at, QUARANTINE, fault.raw)
        problems = msgspec.json.encode(fault.problems).decode()
        self.memory.rows.quarantined.append(
            (quarantine_id, received_at, fault.source, fault.id, fault.type, problems, sealed)
        )
        self.memory.figures.count("quarantined")
        return Kept(quarantine_id=quarantine_id, problems=fault.problems, id=fault.id, source=fault.source)

    def _set_aside(self, unit: Unit, error: Exception) -> Reply:
        """Keep an event whose handling failed: a bug of ours must not lose it, nor stop those behind it."""
        assert self.memory.tx is not None
        problem = Problem(
            path="",
            detail=f"Deciding it failed ({type(error).__name__}).",
            hint="It is kept; replay it after the mend.",
        )
        match unit:
            case EventUnit(envelope=envelope, prepared=prepared):
                raw, at = as_cloudevent(envelope), prepared.received_at
                fault = Fault(raw=raw, problems=(problem,), id=envelope.id, source=envelope.source, type=envelope.type)
            case WaitingUnit(entry=entry, position=position):
                key = event_store.event_key(entry.source, entry.event_id)
                personal = open_entry(self.memory.tx, self.memory.vault, key, entry)
                fault = Fault(
                    raw=self._stored(entry, personal),
                    problems=(problem,),
                    id=entry.event_id,
                    source=entry.source,
                    type=entry.type,
                )
                at = entry.received_at
                self.memory.rows.decided_positions.append(position)
            case _:
                raise error
        return self._keep(fault, at)

    def _waiting(self, tx: Tx, limit: int) -> Sequence[Unit]:
        return [WaitingUnit(position=position, entry=entry) for position, entry in event_store.read_waiting(tx, limit)]

    def _decide_waiting(self, unit: WaitingUnit) -> Reply:
        assert self.memory.tx is not None
        entry = unit.entry
        preparer = self.memory.compiled.preparers.get(entry.type)
        key = event_store.event_key(entry.source, entry.event_id)
        personal = open_entry(self.memory.tx, self.memory.vault, key, entry)
        if preparer is None:
            fault = Fault(
                raw=self._stored(entry, personal),
                problems=(Problem(path="/type", detail="The pack in force no longer declares this event type."),),
                id=entry.event_id,
                source=entry.source,
                type=entry.type,
            )
            self.memory.rows.decided_positions.append(unit.position)
            return self._keep(fault, entry.received_at)
        row: Row = read_row(preparer, decode_document(entry.data), personal)
        if entry.received_at <= self.memory.erased_at:
            left = without_erased(self.memory.tx, self.memory.vault, preparer.event_type, row, entry.received_at)
            if left is not row:
                row, entry = left, msgspec.structs.replace(entry, flags=entry.flags | Flag.FORGOTTEN)
        body = decide(self.memory, Arrival(entry=entry, row=row, unread=(), since_at=None))
        self.memory.rows.decided_positions.append(unit.position)
        return Decided(body=msgspec.Raw(body))

    def _stored(self, entry: Entry, personal: Mapping[str, object]) -> bytes:
        """Write a waiting event as it was sent, to be kept in quarantine; of one that names an erased person nothing but its name."""
        assert self.memory.tx is not None
        if entry.received_at <= self.memory.erased_at and names_erased(self.memory.tx, self.memory.vault, entry):
            return stored_as_cloudevent(msgspec.structs.replace(entry, data=b"{}", subject=None), {})
        return stored_as_cloudevent(entry, personal)

    def _tick(self) -> None:
        """Enter the timers that are due into the log, and do what they are for (law 6)."""
        at = self.memory.log_time.peek()
        for timer in self.memory.timers.due(at, limits.TIMERS_PER_BATCH_MAX):
            data = encode({"timer": timer.id, "kind": timer.kind, "about": timer.about, "due_at": timer.due_at})
            seq, fired_at = self.memory.enter(TIMER_FIRED, data, about=timer.about, cause_seq=None)
            removed = self.memory.timers.remove(timer.id)
            if removed is not None:
                self.memory.undo.append(functools.partial(self.memory.timers.add, removed))
            self.memory.rows.timers.append(timer.id)
            if timer.kind == enforcement.TIMER_KIND:
                ended = enforcement.expire(self.memory.sanctions.get(timer.about), fired_at)
                if ended is not None:
                    recorded = self.memory.enter_change(ended, seq)
                    self.memory.tell_states((recorded,))
            elif timer.kind == EMERGENCY_TIMER:
                expire_emergency(self.memory, timer.about, seq, fired_at)
            elif timer.kind == HOLD_LAPSE:
                lapse(self.memory, int(timer.about), seq, fired_at)
            elif timer.kind == PAYMENT_LAPSE:
                paying.lapse(self.memory, timer.about)
            elif timer.kind == DUE_TIMER:
                casework.breach(self.memory, timer.about, seq, fired_at)
            elif timer.kind == PAUSE_TIMER:
                casework.end_pause(self.memory, timer.about, seq, fired_at)

    def _until_due(self) -> int | None:
        due = self.memory.timers.next_due()
        return None if due is None else due - self.memory.log_time.peek()

    def _idle(self) -> bool:
        return bool(self.memory.features.unsaved or self.memory.features.unfolded)

    def _flush(self, tx: Tx) -> None:
        memory = self.memory
        busy = memory.rows.write(tx, memory.log_time.peek(), memory.randomness, memory.book.current)
        if memory.rows.waiting:
            event_store.write_state(tx, "inbox_position", memory.last_position)
        memory.vault.save(tx)
        if busy:
            # Why not at once: under load a subject changes many times before its record has to be written.
            # And never less than what came: what waits would grow for as long as events of many subjects come.
            most = limits.FEATURE_SLICE_MAX + max(4 * len(memory.rows.entries), memory.features.came)
            until = memory.last_seq - (limits.FEATURES_BEHIND_MAX - limits.FEATURES_TOGETHER)
            memory.features.write_slice(tx, memory.last_seq, most, until=until)
            memory.features.fold(tx, min(most, memory.features.unfolded - limits.FEATURES_IN_SLICES_MAX))
        elif not memory.features.write_slice(tx, memory.last_seq, limits.FEATURE_SLICE_IDLE_MAX):
            memory.features.fold(tx, limits.FEATURE_SLICE_IDLE_MAX)

    def _committed(self) -> None:
        told = bool(self.memory.rows.requests)
        self.memory.figures.decided(self.memory.rows.decisions)
        if self.memory.rows.entries:
            self.memory.figures.committed(self.memory.rows.entries[-1].seq, self.memory.clock.now())
        self.memory.vault.settle()
        self.memory.features.forget()
        self.memory.undo.clear()
        self.memory.rows.clear()
        self.memory.tx = None
        if told:
            self.memory.on_told()
        self.memory.let_go()

    def _rebuild(self) -> None:
        self.memory.tx = None
        with self.database.write() as tx:
            self.memory.load(tx, self._pack_at)


def _difference(unit: EventUnit, first: Entry) -> str:
    """Name the field in which an event differs from the first one of its id."""
    if first.type != unit.prepared.type:
        return "type"
    if first.subject != unit.prepared.subject:
        return "subject"
    if unit.envelope.event_at is not None and first.event_at != unit.prepared.event_at:
        return "time"
    return "data"


def _first_answer(repeated: Repeated, first: ArchivedEvent | None) -> Result:
    if first is None or first.answer is None:
        raise Unavailable("archive", 5, f"The answer to entry {repeated.seq} cannot be read.")
    prepared = repeated.unit.prepared
    if repeated.differs:
        field = _difference(repeated.unit, first.entry)
        return Conflicting(id=prepared.id, source=prepared.source, field=field)
    return Decided(body=msgspec.Raw(first.answer))


def _undeclared(item: Envelope, known: Mapping[str, object]) -> Fault:
    import difflib

    nearest = difflib.get_close_matches(item.type, list(known), n=1)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else "Declare it in the pack's events.yaml."
    return Fault(
        raw=as_cloudevent(item),
        problems=(Problem(path="/type", detail=f"The pack declares no event type {item.type!r}.", hint=hint),),
        id=item.id,
        source=item.source,
        type=item.type,
    )


def as_cloudevent(item: Envelope) -> bytes:
    """Write an envelope as the CloudEvent that it was, so that it can be decoded again; a damaged one as it was sent."""
    if item.raw:
        return item.raw
    from koban.base import to_rfc3339

    document: dict[str, object] = {"specversion": "1.0", "id": item.id, "source": item.source, "type": item.type}
    if item.event_at is not None:
        document["time"] = to_rfc3339(item.event_at)
    if item.subject is not None:
        document["subject"] = item.subject
    document["data"] = item.data
    return encode(document)


def stored_as_cloudevent(entry: Entry, personal: Mapping[str, object]) -> bytes:
    """Write a stored event as a CloudEvent again; joined personal fields stay pseudonyms."""
    data = decode_document(entry.data)
    for path, value in personal.items():
        node: dict[str, object] = data
        parts = path.split(".")
        for part in parts[:-1]:
            below = node.setdefault(part, {})
            assert isinstance(below, dict)
            node = below
        node[parts[-1]] = value
    return as_cloudevent(
        Envelope(
            id=entry.event_id,
            source=entry.source,
            type=entry.type,
            event_at=entry.event_at,
            subject=entry.subject,
            data=data,
            damaged=False,
        )
    )
