"""Everything that a decision reads, in memory, owned by the decider's thread; made from the database and made again."""

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import structlog

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban import enforcement, webhooks
from koban.base import MINUTE, SECOND, Clock, Instant, limits, sequence_id
from koban.cases import DUE_TIMER, CaseOpened, CaseStep, LiveCases, Nature, hours_of, sketch_of, stake_of, text_of
from koban.db import LiveTimers, Timer, Tx, load_timers
from koban.decisions import DecisionRecord, VerdictName
from koban.emergency import LiveEmergency, Overlay, compile_overlay, rule_of
from koban.enforcement import Change, LiveSanctions, Recorded, Step
from koban.events import (
    Entry,
    Flag,
    Kind,
    LogTime,
    Preparer,
    Row,
    accounts_of,
    decode_document,
    make_preparer,
    read_row,
)
from koban.events.archive import Archive, ArchiveFile, Unreadable, day_name
from koban.features import FeatureProgram, FeatureStore, backfill, compile_features, new_features, stored_watermark
from koban.labels import LiveLabels
from koban.lists import LiveLists
from koban.packs import EventType, Fault, PackDef, PackInvalid, RuleDef, active_at
from koban.pipeline.figures import Figures
from koban.pipeline.rows import Rows
from koban.pipeline.sealing import open_entries
from koban.rules import (
    BUDGET_TRIPPED,
    AwakeRules,
    Budgets,
    BudgetTripped,
    CompiledRules,
    LiveCeilings,
    LiveModes,
    compile_rules,
)
from koban.scores import LiveScores
from koban.vault import Vault, erased_since, last_erasure, newest_erasure

_log = structlog.get_logger("koban.pipeline")

CHANGE_SOURCE: Final = "koban:log"
LET_GO_EVERY: Final = 10 * MINUTE
LIKENESS: Final = b"koban-likeness"
LOG_PAGE: Final = 1_000  # entries of the past read at once
DUE_TIMERS_FROM: Final = 128  # an entry's first timers are those of its hold and its sanctions
PackAt = Callable[[Tx, int], PackDef]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """A pack made ready to run. Compiling takes long and happens outside the decider's thread."""

    pack: PackDef
    rules: Mapping[str, CompiledRules]
    features: FeatureProgram
    preparers: Mapping[str, Preparer]
    default_queue: str  # the last one declared: it takes the cases of rules that name none
    outdated: tuple[Fault, ...] = ()  # of a version that was in force: what this release would refuse its rules for


class Memory:
    """The decider's state. Every change of it is undone exactly when the unit that made it fails.

    Invariant: between batches it equals what `load` would make from the database.
    """

    def __init__(
        self,
        vault: Vault,
        clock: Clock,
        randomness: random.Random,
        *,
        consequences: bool,
        archive: Archive | None = None,
    ) -> None:
        """Make an empty memory; `consequences` False is an imported log or a replay: nothing leaves it.

        `archive` holds what left the database: a recovery may have to fill new features from the whole log.
        """
        self.vault = vault
        self.clock = clock
        self.randomness = randomness
        self.consequences = consequences
        self.archive = archive
        self.figures = Figures()
        self.rows = Rows()
        self.lists = LiveLists()
        self.labels = LiveLabels()
        self.scores = LiveScores()
        self.modes = LiveModes()
        self.awake = AwakeRules()
        self.budgets = Budgets()
        self.ceilings = LiveCeilings()
        self.sanctions = LiveSanctions()
        self.timers = LiveTimers([])
        self.book = webhooks.EndpointBook()
        self.cases = LiveCases()
        self.emergency = LiveEmergency()
        self.on_verdict_ended: Callable[[Memory, Tx, int, VerdictName], None] = lambda _memory, _tx, _seq, _now: None
        self.on_told: Callable[[], None] = lambda: None  # called after a commit that asks the marketplace for something
        self.appeal_link: Callable[[enforcement.Sanction], str] = lambda _sanction: ""  # the app knows its own address
        self.undo: list[Callable[[], object]] = []
        self.tx: Tx | None = None
        self.log_time = LogTime(clock, Instant(0), self._clock_stepped)
        self._seq = 0
        self._position = 0
        self._let_go_at = 0
        self.erased_at = Instant(-1)  # when somebody was last erased
        self._made: tuple[Compiled, LiveLists] | None = None  # what was compiled last, and over which lists
        self.compiled: Compiled
        self.features: FeatureStore

    def compile(self, pack: PackDef, *, was_in_force: bool = False) -> Compiled:
        """Make a pack ready to run over the live lists and labels.

        Refuses: PackInvalid; of one that `was_in_force` what its rules would be refused for today is kept as `outdated`.
        """
        lists, labels = self.lists, self.labels
        if self._made is not None:
            made, over = self._made
            if made.pack.digest == pack.digest and over is lists:
                return made  # a start asks for the same pack three times
        outdated: list[Fault] = []
        rules = compile_rules(pack, lists, labels, tell=outdated.extend if was_in_force else None)
        compiled = Compiled(
            pack=pack,
            rules=rules,
            features=compile_features(pack, {name: frozenset(each.reads) for name, each in rules.items()}),
            preparers={name: make_preparer(event_type) for name, event_type in pack.events.items()},
            default_queue=list(pack.queues)[-1],
            outdated=tuple(outdated),
        )
        self._made = (compiled, lists)
        return compiled

    def leave_out(self) -> None:
        """Run the rules in force without those that are off; may be called outside the decider's thread."""
        self.awake.leave_out(self.compiled.rules, self.modes)

    def overlay_of(self, rules: Sequence[RuleDef]) -> Overlay:
        """Compile emergency rules to run beside the pack in force; may be called outside the decider's thread.

        Refuses: PackInvalid.
        """
        compiled = self.compiled
        return compile_overlay(
            compiled.pack, compiled.rules, compiled.features, rules, lists=self.lists, labels=self.labels
        )

    def lay_over(self, rules: Sequence[RuleDef]) -> tuple[str, ...]:
        """Run those of some emergency rules that fit the pack in force; return the names of those that do not."""
        fitting = [rule for rule in rules if self._fits(rule)]
        unfit = tuple(rule.name for rule in rules if rule not in fitting)
        self.install(self.overlay_of(fitting))
        for name in unfit:
            _log.warning("emergency_rule_unfit", rule=name)
        return unfit

    def _fits(self, rule: RuleDef) -> bool:
        pack = self.compiled.pack
        if rule.policy not in pack.policies or not set(rule.on) <= pack.events.keys():
            return False
        try:
            self.overlay_of((rule,))
        except PackInvalid:
            return False
        return True

    def install(self, overlay: Overlay) -> None:
        """Run an overlay from here on, and have its features read."""
        self.undo.append(self.emergency.install(overlay))
        self.undo.append(self.features.rebind(overlay.functions or self.compiled.features.functions))

    def load(self, tx: Tx, pack_at: PackAt) -> None:
        """Make everything from the database; `pack_at` gives the pack in force at an entry."""
        last = event_store.last_entry(tx)
        epoch = event_store.read_state(tx, "epoch")
        self._seq = max(
            last[0] if last else 0, event_store.read_state(tx, "last_seq"), event_store.first_seq(epoch) - 1
        )
        last_at = Instant(max(last[1] if last else 0, event_store.read_state(tx, "last_log_at")))
        self.log_time = LogTime(self.clock, last_at, self._clock_stepped)
        self._position = event_store.inbox_bounds(tx)[1]
        self.erased_at = newest_erasure(tx)
        now = self.log_time.peek()
        pack = pack_at(tx, self._seq)
        self.lists = LiveLists()
        self.lists.load(tx)
        self.lists.set_pack({name: each.entries for name, each in pack.lists.items()})
        self.labels = LiveLabels()
        self.labels.load(tx)
        self.scores = LiveScores()
        self.scores.load(tx)
        self.modes = LiveModes()
        self.modes.load(tx)
        self.budgets = Budgets()
        self.budgets.load(tx, now)
        self.ceilings = LiveCeilings()
        self.ceilings.load(tx)
        self.sanctions = LiveSanctions(enforcement.load(tx, now))
        self.timers = LiveTimers(load_timers(tx))
        self.book.reload(tx)
        self.cases.load(tx)
        self.rows.clear()
        self.undo.clear()
        self.vault.drop()
        self.compiled = self.compile(pack, was_in_force=active_at(tx, self._seq + 1) is not None)
        self.awake = AwakeRules()
        self.leave_out()
        self._recover_features(tx, pack_at)
        self.emergency.load(tx)
        self.lay_over(tuple(rule_of(each.started) for each in self.emergency.standing.values()))

    def _recover_features(self, tx: Tx, pack_at: PackAt) -> None:
        """Open feature state as of its watermark and replay the entries after it, switching packs where the log does."""
        watermark = stored_watermark(tx)
        start = self.compile(pack_at(tx, watermark), was_in_force=True)
        self.features = FeatureStore.open(tx, start.features)
        self.features.standing = self.is_sanctioned
        current = start
        page: list[Entry] = []
        replayed = 0

        def flush() -> None:
            nonlocal replayed
            # Whoever was erased before these was forgotten with all that was written back then; what waited came after.
            erased = last_erasures(tx) if any(entry.flags & Flag.FORGOTTEN for entry in page) else {}
            for seq, event_type, row, at in event_rows(tx, self.vault, current, page, erased):
                self.features.apply(tx, seq, event_type, row, at)
            replayed += len(page)
            page.clear()

        for entry in event_store.walk_entries(tx, after_seq=self.features.watermark):
            if entry.kind is Kind.EVENT:
                page.append(entry)
                if len(page) >= limits.DECIDER_BATCH_MAX:
                    flush()
            elif entry.type == "pack.activated":
                flush()
                self.features.forget()
                before, current = current, self.compile(pack_at(tx, entry.seq), was_in_force=True)
                names = new_features(before.features, current.features)
                # The switch was made with the past of new features; a crash since then must not lose it.
                filled = self._fill_again(tx, current, names, entry.seq) if names else None
                self.features.switch(tx, current.features, entry.seq, filled=filled)
        flush()
        self.features.forget()
        if replayed:
            _log.info("features_recovered", entries=replayed)

    def _fill_again(self, tx: Tx, compiled: Compiled, names: Iterable[str], before_seq: int) -> FeatureStore:
        """Fill features with the events before an entry, but for those in files of the archive that cannot be read.

        Why without them: the switch was made, and no event is answered before the log goes on. An alert says what lacks.
        """
        lost: list[ArchiveFile] = []
        fresh = frozenset(names)
        past = self._past(tx, compiled, before_seq, lambda file, _error: lost.append(file))
        filled = backfill(compiled.pack, fresh, past)
        for file in lost:
            poorer = sorted(each for each in fresh if file.type in compiled.pack.features[each].by)
            if poorer:
                said = (
                    f"archive/entries/{file.name} cannot be read: {file.entries} events of {day_name(file.day)} are missing from"
                    f" {', '.join(poorer)}. Put the file back from a backup, take the features out of the pack and bring"
                    " them back."
                )
                self.alert("archive.damaged", file.name, said)
                _log.error("archive_damaged", file=file.name, features=poorer, entries=file.entries)
        return filled

    def _past(
        self, tx: Tx, compiled: Compiled, before_seq: int, unreadable: Unreadable
    ) -> Iterator[tuple[int, str, Row, int]]:
        """Walk the events before an entry as rows, for features that are new."""
        erased = last_erasures(tx)
        for page in log_pages(tx, self.archive, after_seq=-1, unreadable=unreadable):
            yield from event_rows(tx, self.vault, compiled, [each for each in page if each.seq < before_seq], erased)
            if page[-1].seq >= before_seq:
                return

    # What a unit does to memory, each with its undoing.

    def is_sanctioned(self, kind: str, subject_id: str, at: int) -> bool:
        """Say whether any sanction stands on a subject: what features of linked accounts ask."""
        return bool(self.sanctions.in_force(enforcement.SubjectRef(kind=kind, id=subject_id), Instant(at)))

    def next_seq(self) -> int:
        """Return the next place in the log."""
        self._seq += 1
        return self._seq

    @property
    def last_seq(self) -> int:
        """The newest place in the log."""
        return self._seq

    def go_to(self, seq: int, at: Instant) -> None:
        """Make an entry that was given its place and time already the newest of the log: what follows comes after it."""
        self._seq = seq
        self.log_time.go_to(at)

    def next_position(self) -> int:
        """Return the next place in the inbox."""
        self._position += 1
        return self._position

    @property
    def last_position(self) -> int:
        """The newest place in the inbox."""
        return self._position

    def enter(self, kind: str, data: bytes, *, about: str | None, cause_seq: int | None) -> tuple[int, Instant]:
        """Append a change to the log and return its place and time."""
        seq, at = self.next_seq(), self.log_time.next()
        self.rows.entries.append(
            Entry(
                seq=seq,
                log_at=at,
                received_at=at,
                kind=Kind.CHANGE,
                type=kind,
                source=CHANGE_SOURCE,
                event_id=f"change_{seq}",
                event_at=at,
                subject=about,
                data=data,
                sealed=None,
                digest=None,
                flags=Flag.NONE,
                cause_seq=cause_seq,
            )
        )
        return seq, at

    def enter_change(self, change: Change, cause_seq: int | None) -> Recorded:
        """Append a sanction's change to the log, follow it, and set the timer that its end needs."""
        step: Step = self.sanctions.apply(change)
        subject = step.after.subject
        seq, at = self.enter(
            enforcement.entry_type(change),
            enforcement.encode_change(change),
            about=f"{subject.kind}:{subject.id}",
            cause_seq=cause_seq,
        )
        self.undo.append(lambda: self.sanctions.undo(step))
        recorded = Recorded(step=step, seq=seq, at=at, state=self.sanctions.state(subject, at))
        self.rows.sanctions.append(recorded)
        for timer in enforcement.timers_of(step, seq):
            self.set_timer(timer)
        return recorded

    def set_timer(self, timer: Timer) -> None:
        """Set a timer, stored with the batch."""
        self.timers.add(timer)
        self.undo.append(lambda: self.timers.remove(timer.id))
        self.rows.timers.append(timer)

    def open_case(self, review: enforcement.ReviewRequest, entry: Entry, row: Row) -> str:
        """Open a case for a signal that wants a person's judgement, or join the one that is open; return its id."""
        pack = self.compiled.pack
        queue, event_type = pack.queues[review.queue], pack.events[entry.type]
        alike = "text" in queue.alike
        nature = Nature(
            severity=pack.policies[review.policy].severity,
            stake=stake_of(event_type, row),
            sketch=sketch_of(text_of(event_type.texts, row), self.vault.digest(LIKENESS)) if alike else (),
            hours=hours_of(pack, queue.name),
        )
        opened = self.cases.open(review, queue, at=entry.log_at, seq=entry.seq, nature=nature)
        case_id = self._opened(opened, entry.seq)
        if queue.preserve:
            self.preserve(accounts_of(event_type, row), case_id)
        return case_id

    def preserve(self, accounts: Iterable[str], case_id: str) -> None:
        """Keep the data of some accounts from erasure and retention because of a case."""
        self.rows.preserved.extend((self.vault.pseudonym("person", account), case_id) for account in accounts)

    def _opened(self, opened: tuple[CaseStep, Callable[[], None]], seq: int) -> str:
        step, undo = opened
        self.undo.append(undo)
        self.rows.opened_cases.append(step)
        if isinstance(step.change, CaseOpened):
            case = step.change.case
            ordinal = DUE_TIMERS_FROM + int(case.id[-2:], 16)
            self.set_timer(
                Timer(id=sequence_id("timer", seq, ordinal), due_at=case.due_at, kind=DUE_TIMER, about=case.id)
            )
        return step.case_id

    def owe_case(self, review: enforcement.ReviewRequest, *, due_at: Instant, seq: int, at: Instant) -> str:
        """Open a case whose due time is given, or join the open one of its queue and subject; return its id."""
        queue = self.compiled.pack.queues[review.queue]
        due = msgspec.structs.replace(queue, due_in_s=max(1, (due_at - at) // SECOND))
        nature = Nature(severity=self.compiled.pack.policies[review.policy].severity)
        return self._opened(self.cases.open(review, due, at=at, seq=seq, nature=nature), seq)

    def tell_withdrawn(
        self, subject: enforcement.SubjectRef, detail: Mapping[str, object], *, seq: int, at: Instant
    ) -> None:
        """Tell that a verdict was a mistake."""
        self._request("decision.withdrawn", subject, seq, at, detail)

    def tell_judged(
        self, subject: enforcement.SubjectRef, detail: Mapping[str, object], *, seq: int, at: Instant
    ) -> None:
        """Tell that a person judged a held event, and blocks it."""
        self._request("hold.judged", subject, seq, at, detail)

    def drop_timer(self, timer_id: str) -> None:
        """Take a timer back; one that is not set (any more) is fine."""
        removed = self.timers.remove(timer_id)
        if removed is not None:
            self.undo.append(lambda: self.timers.add(removed))
            self.rows.timers.append(timer_id)

    def tell_payment(
        self, subject: enforcement.SubjectRef, detail: Mapping[str, object], *, seq: int, at: Instant
    ) -> None:
        """Tell that a payment came to another status."""
        self._request("payment.changed", subject, seq, at, {"payment": detail})

    def tell_cash_out(
        self, subject: enforcement.SubjectRef, detail: Mapping[str, object], *, seq: int, at: Instant
    ) -> None:
        """Tell that a cash-out to a bank account came to another state."""
        self._request("cash_out.changed", subject, seq, at, {"cash_out": detail})

    def tell_states(self, recorded: Sequence[Recorded]) -> None:
        """Ask the marketplace to carry out changed states."""
        self.rows.requests.extend(
            request
            for each in recorded
            if (request := webhooks.request_for(each, appeal_url=self._appeal_url(each))) is not None
        )

    def _appeal_url(self, recorded: Recorded) -> str:
        after = recorded.step.after
        return self.appeal_link(after) if after.status == "in_force" else ""

    def tell_notice(self, notice: enforcement.Notice) -> None:
        """Ask the marketplace to show a warning."""
        state = enforcement.state_body(self.sanctions.state(notice.to, notice.at))
        self.rows.notices.append(notice)
        self.rows.requests.append(webhooks.request_for_notice(notice, state, seq=notice.cause_seq))

    def tell_withdrawal(self, notice: enforcement.Notice, seq: int, at: Instant) -> None:
        """Tell that a warning should not have been given."""
        state = enforcement.state_body(self.sanctions.state(notice.to, at))
        self.rows.requests.append(webhooks.request_for_withdrawal(notice, state, seq=seq, at=at))

    def tell_decision(self, record: DecisionRecord, subject: enforcement.SubjectRef, at: Instant) -> None:
        """Tell a decision that nobody waited for."""
        self._request("decision.made", subject, record.seq, at, {"decision": record})

    def tell_lapse(self, held_seq: int, seq: int, at: Instant) -> DecisionRecord | None:
        """Tell that a held event was not decided by anybody in time and becomes what its hold said; return its decision."""
        assert self.tx is not None
        record = decision_store.read_bodies(self.tx, [held_seq]).get(held_seq)
        entry = event_store.read_entry(self.tx, held_seq)
        if record is None or record.hold is None or entry is None:
            return None  # a hold is shorter than events stay in the database; one whose event is gone binds nobody
        subject = subject_of(self.compiled, entry)
        self._request("hold.lapsed", subject, seq, at, {"event_id": record.id, "becomes": record.hold.becomes})
        return record

    def _request(
        self, kind: str, subject: enforcement.SubjectRef, seq: int, at: Instant, detail: Mapping[str, object]
    ) -> None:
        state = enforcement.state_body(self.sanctions.state(subject, at))
        self.rows.requests.append(
            webhooks.ActionRequest(kind=kind, subject=subject, state=state, seq=seq, at=at, detail=detail)
        )

    def alert(self, kind: str, about: str, detail: str) -> None:
        """Raise an alert with the batch."""
        self.rows.alerts.append((kind, about, detail))

    def spend(self, rule: str, harmed: str, cap_per_hour: int, entry: Entry) -> None:
        """Count somebody whom a rule harmed; the one who uses the budget up trips it for those who come after."""
        self.undo.append(self.budgets.spend(rule, harmed, entry.log_at))
        self.rows.harm.append((entry.seq, rule, harmed, entry.log_at))
        expected = self.ceilings.of(rule)
        if self.stop_used_up(rule, cap_per_hour, entry.seq, entry.log_at) or expected is None:
            return
        of_actions = expected.counts == "actions"
        done = self.budgets.acted(rule, entry.log_at) if of_actions else self.budgets.harmed(rule, entry.log_at)
        if done >= expected.ceiling:
            said = (
                f"The rule is new, and acted {done} times within an hour."
                if expected.basis == "none"
                else f"The rule harmed {done} people within an hour; {expected.people} in {expected.hours} hours were expected."
            )
            self._trip(BudgetTripped(rule=rule, harmed=done, cause_seq=entry.seq, why="ceiling"), said)

    def stop_used_up(self, rule: str, cap_per_hour: int, cause_seq: int, at: int) -> bool:
        """Have a rule that harmed as many people within an hour as it may only open cases; tell whether it is stopped."""
        if self.modes.tripped(rule):
            return True
        harmed = self.budgets.harmed(rule, at)
        if harmed < cap_per_hour:
            return False
        said = f"The rule harmed {harmed} people within an hour, as many as it may."
        self._trip(BudgetTripped(rule=rule, harmed=harmed, cause_seq=cause_seq), said)
        return True

    def _trip(self, tripped: BudgetTripped, said: str) -> None:
        about = f"rule:{tripped.rule}"
        seq, at = self.enter(BUDGET_TRIPPED, msgspec.json.encode(tripped), about=about, cause_seq=tripped.cause_seq)
        self.undo.append(self.modes.apply(seq, tripped))
        self.rows.trips.append((seq, at, tripped))
        self.alert("budget.tripped", about, f"{said} It only opens cases until a person decides.")

    def let_go(self) -> None:
        """Forget ended sanctions that no decision reads any more, now and then, between batches."""
        at = self.log_time.peek()
        if at - self._let_go_at >= LET_GO_EVERY:
            self._let_go_at = at
            self.sanctions.forget(at)

    def mark(self) -> tuple[tuple[int, ...], int, int, int]:
        """Return a point to which `back` can go, before a unit is handled."""
        return self.rows.mark(), len(self.undo), self.features.mark(), self._seq

    def back(self, mark: tuple[tuple[int, ...], int, int, int]) -> None:
        """Take back everything since `mark`; log time that was used up stays used up."""
        rows, undo, features, seq = mark
        while len(self.undo) > undo:
            self.undo.pop()()
        self.features.undo(features)
        self.rows.cut(rows)
        self._seq = seq

    def _clock_stepped(self, by: int) -> None:
        self.alert("clock.stepped", "clock", f"The wall clock jumped by {by / 1_000_000:+.1f} s and is not followed.")


def log_pages(
    tx: Tx, archive: Archive | None, *, after_seq: int, unreadable: Unreadable | None = None
) -> Iterator[list[Entry]]:
    """Walk the log after a place: first what left the database, then what is in it.

    `unreadable` is told of files of the archive that cannot be read. Raises ArchiveDamaged where it is missing.
    """
    upto = event_store.read_state(tx, "archived_seq")
    if archive is not None and after_seq < upto:
        archived = archive.walk(tx, after_seq=after_seq, unreadable=unreadable)
        while page := [each.entry for each in itertools.islice(archived, LOG_PAGE)]:
            after_seq = page[-1].seq
            yield page
    after_seq = max(after_seq, upto)
    while page := event_store.read_entries(tx, after_seq=after_seq, limit=LOG_PAGE):
        after_seq = page[-1].seq
        yield page


def event_rows(
    tx: Tx,
    vault: Vault,
    compiled: Compiled,
    entries: Sequence[Entry],
    erased: Mapping[str, Instant],
) -> Iterator[tuple[int, str, Row, int]]:
    """Read the rows of those entries that are events a pack declares: place, type, row, log time; one query opens all.

    `erased` says of pseudonyms when their people were last erased: what they did before names them no more.
    """
    events = [each for each in entries if each.kind is Kind.EVENT and each.type in compiled.preparers]
    keyed = [(event_store.event_key(each.source, each.event_id), each) for each in events]
    for each, personal in zip(events, open_entries(tx, vault, keyed), strict=True):
        preparer = compiled.preparers[each.type]
        row = read_row(preparer, decode_document(each.data), personal)
        if erased:
            at = each.received_at if each.flags & Flag.FORGOTTEN else each.log_at
            row = _without_erased(vault, preparer.event_type, row, at, erased)
        yield each.seq, each.type, row, each.log_at


def without_erased(tx: Tx, vault: Vault, event_type: EventType, row: Row, at: Instant) -> Row:
    """Take out of a row the accounts that were erased at a moment or since: to features and rules, nobody stands there."""
    erased = {
        pseudonym: erased_at
        for pseudonym in (vault.pseudonym("person", one) for one in accounts_of(event_type, row))
        if (erased_at := last_erasure(tx, pseudonym)) is not None
    }
    return _without_erased(vault, event_type, row, at, erased)


def names_erased(tx: Tx, vault: Vault, entry: Entry) -> bool:
    """Say whether any text of an entry is the id of somebody who was erased after it came.

    Why any text: of an event type that is not declared nobody knows which fields name people.
    """
    texts = {entry.subject or "", *_texts_in(decode_document(entry.data))}
    return any((last_erasure(tx, vault.pseudonym("person", one)) or -1) >= entry.received_at for one in texts)


def _texts_in(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict() | list():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _texts_in(each)
        case _:
            pass


def _without_erased(vault: Vault, event_type: EventType, row: Row, at: int, erased: Mapping[str, Instant]) -> Row:
    gone = [
        path
        for path, role in event_type.subjects.items()
        if role.kind == "account"
        and isinstance(one := row.get(path), str)
        and erased.get(vault.pseudonym("person", one), -1) >= at
    ]
    return {**row, **dict.fromkeys(gone)} if gone else row


def last_erasures(tx: Tx) -> dict[str, Instant]:
    """Return when the people behind pseudonyms were last erased."""
    return dict(sorted(erased_since(tx, Instant(0)), key=lambda each: each[1]))


def subject_of(compiled: Compiled, entry: Entry) -> enforcement.SubjectRef:
    """Return what a message about an event is ordered by: its content, else who acted, else the event itself."""
    preparer = compiled.preparers.get(entry.type)
    if preparer is not None:
        row = read_row(preparer, decode_document(entry.data), {})
        occasion = enforcement.occasion_of(preparer.event_type, row, event_id=entry.event_id)
        subject = occasion.content or occasion.acting
        if subject is not None:
            return subject
    return enforcement.SubjectRef(kind="event", id=entry.event_id)
