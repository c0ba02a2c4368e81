"""The open cases that the decider knows: which signal opens one, and which joins."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from koban.base import Instant, sequence_id
from koban.cases import store
from koban.cases.calendars import due_after
from koban.cases.likeness import Sketch, doors, is_alike
from koban.cases.priority import Stake, Terms, Weighed, half_life_of, rank_at, weigh_in
from koban.cases.types import (
    Case,
    CaseClosed,
    CaseJoined,
    CaseMember,
    CaseOpened,
    CaseSignal,
    CaseStep,
    OpenCase,
    Standing,
)
from koban.db import Tx
from koban.enforcement import ReviewRequest, SubjectRef
from koban.packs import Hours, QueueDef

SIGNALS_KEPT_MAX: Final = 500  # of one case; later ones are only counted
MEMBERS_MAX: Final = 500  # subjects of one case: what is decided together has to be looked through together
REPORT: Final = "report."  # event types that begin so are somebody's word

K = TypeVar("K")
Key = tuple[str, SubjectRef]
Door = tuple[str, str, int]  # queue, policy, hash
Undo = Callable[[], None]


class Nature(msgspec.Struct, frozen=True, kw_only=True):
    """What the decider knows about an event beyond its signal, when a case is opened for it."""

    severity: str = "medium"
    stake: Stake = Stake()
    sketch: Sketch = ()
    hours: Hours | None = None


class LiveCases:
    """Owned by the decider's thread alone. Invariant: between batches it holds exactly the open rows of the table."""

    def __init__(self) -> None:
        """Start without any; `load` reads them from the table."""
        self._open: dict[str, OpenCase] = {}
        self._keys: dict[Key, str] = {}
        self._doors: dict[Door, dict[str, None]] = {}
        self._accounts: dict[tuple[str, str, SubjectRef], dict[str, None]] = {}
        self._odds: dict[str, tuple[int, int]] = {}
        self._last = (-1, 0)  # the entry that opened a case last, and how many it has opened

    def load(self, tx: Tx) -> None:
        """Start again from the tables."""
        self.__init__()  # type: ignore[misc]  # the same object, empty again: others hold it
        self._odds = store.read_odds(tx)
        for case in store.read_open(tx):
            self._put(case)

    def __len__(self) -> int:
        return len(self._open)

    def get(self, queue: str, subject: SubjectRef) -> str | None:
        """Return the id of the open case of a queue and subject."""
        return self._keys.get((queue, subject))

    def open(
        self, request: ReviewRequest, queue: QueueDef, *, at: Instant, seq: int, nature: Nature | None = None
    ) -> tuple[CaseStep, Undo]:
        """Open a case for a signal, or let it join the open one of its queue and subject, or of nearly the same.

        `seq` is the event's entry. Returns the step to store and how to take it back.
        """
        nature = nature or Nature()
        signal = CaseSignal(
            seq=seq,
            at=at,
            rule=request.rule,
            policy=request.policy,
            because=request.because,
            event_id=request.event_id,
            event_type=request.event_type,
            reporter=None if request.reporter is None else request.reporter.id,
        )
        found = self._find(request, queue, nature.sketch)
        if found is not None:
            return self._join(found, request, signal, nature)
        last = self._last
        ordinal = last[1] if last[0] == seq else 0
        self._last = (seq, ordinal + 1)
        weighed = self._heavier(Weighed(severity=nature.severity), signal, nature)
        kept = OpenCase(
            id=sequence_id("case", seq, ordinal),
            queue=queue.name,
            policy=request.policy,
            account=request.acting,
            subjects=(request.subject,),
            standing=Standing(
                weighed=weighed,
                half_life_us=half_life_of(queue),
                sketch=nature.sketch if "text" in queue.alike else (),
                alike=queue.alike,
            ),
        )
        terms = _terms(kept)
        due_at = due_after(nature.hours, at, queue.due_in_s * 1_000_000)
        case = Case(
            id=kept.id,
            queue=queue.name,
            subject=request.subject,
            acting=request.acting,
            policy=request.policy,
            market=request.market,
            opened_seq=seq,
            opened_at=at,
            due_at=due_at,
            signals=1,
            last_signal_at=at,
            rank_at=rank_at(due_at, terms),
            boost_us=terms.boost_us,
            terms=terms,
            harm=queue.harm,
        )
        self._put(kept)

        def undo() -> None:
            self._drop(kept)
            self._last = last

        member = _member(request, signal)
        opened = CaseOpened(case=case)
        return CaseStep(change=opened, signal=signal, terms=terms, member=member, standing=kept.standing), undo

    def apply(self, closed: CaseClosed) -> Undo:
        """Follow the closing of a case: the next signal opens a new one. Returns how to take it back."""
        uncount = self.count(closed.rules, closed.outcome, by=1)
        kept = self._open.get(closed.case_id)
        if kept is not None:
            self._drop(kept)

        def undo() -> None:
            uncount()
            if kept is not None:
                self._put(kept)

        return undo

    def count(self, rules: tuple[str, ...], outcome: str, *, by: int) -> Undo:
        """Follow how a case ended, or that it no longer did (`by` -1). Returns how to take it back."""
        odds = self._odds
        counted = dict(odds)
        for rule in rules:
            upheld, honest = odds.get(rule, (0, 0))
            counted[rule] = (upheld + by * int(outcome == "upheld"), honest + by * int(outcome == "honest"))
        self._odds = counted

        def undo() -> None:
            self._odds = odds

        return undo

    def follow_move(self, case_id: str, queue: QueueDef) -> Undo:
        """Follow a case into another queue. Returns how to take it back."""
        before = self._open.get(case_id)
        if before is None:
            return _nothing
        standing = msgspec.structs.replace(before.standing, half_life_us=half_life_of(queue), alike=queue.alike)
        after = msgspec.structs.replace(before, queue=queue.name, standing=standing)
        self._drop(before)
        self._put(after)

        def undo() -> None:
            self._drop(after)
            self._put(before)

        return undo

    def standing_of(self, case_id: str) -> tuple[Standing, Terms] | None:
        """Return what an open case is weighed by now, and its terms."""
        kept = self._open.get(case_id)
        return None if kept is None else (kept.standing, _terms(kept))

    def bring_back(self, case: OpenCase) -> Undo:
        """Follow a case that is open again. Returns how to take it back."""
        self._put(case)
        return lambda: self._drop(case)

    def _find(self, request: ReviewRequest, queue: QueueDef, sketch: Sketch) -> OpenCase | None:
        """Return the open case that a signal joins: about the same subject, else about nearly the same."""
        case_id = self._keys.get((queue.name, request.subject))
        if case_id is not None:
            return self._open[case_id]
        if "account" in queue.alike and request.acting is not None:
            for case_id in sorted(self._accounts.get((queue.name, request.policy, request.acting), ())):
                if len(self._open[case_id].subjects) < MEMBERS_MAX:
                    return self._open[case_id]
        if "text" in queue.alike:
            for door in doors(sketch):
                for other in sorted(self._doors.get((queue.name, request.policy, door), ())):
                    kept = self._open[other]
                    if len(kept.subjects) < MEMBERS_MAX and is_alike(kept.standing.sketch, sketch):
                        return kept
        return None

    def _join(
        self, kept: OpenCase, request: ReviewRequest, signal: CaseSignal, nature: Nature
    ) -> tuple[CaseStep, Undo]:
        is_new = request.subject not in kept.subjects
        weighed = self._heavier(kept.standing.weighed, signal, nature)
        after = msgspec.structs.replace(
            kept,
            standing=msgspec.structs.replace(kept.standing, weighed=weighed),
            subjects=(*kept.subjects, request.subject) if is_new else kept.subjects,
        )
        self._swap(kept, after)
        step = CaseStep(
            change=CaseJoined(case_id=kept.id),
            signal=signal,
            terms=_terms(after),
            keeps_signal=kept.standing.weighed.signals < SIGNALS_KEPT_MAX,
            member=_member(request, signal) if is_new else None,
            standing=after.standing,
        )
        return step, lambda: self._swap(after, kept)

    def _heavier(self, weighed: Weighed, signal: CaseSignal, nature: Nature) -> Weighed:
        is_report = signal.event_type.startswith(REPORT)
        odds: Mapping[str, tuple[int, int]] = weighed.odds
        if signal.rule not in odds:
            odds = {**odds, signal.rule: self._odds.get(signal.rule, (0, 0))}
        return Weighed(
            severity=weighed.severity,
            odds=odds,
            stake=Stake(
                money_minor=max(weighed.stake.money_minor, nature.stake.money_minor),
                people=max(weighed.stake.people, nature.stake.people),
            ),
            signals=weighed.signals + 1,
            reports=weighed.reports + int(is_report),
        )

    def _swap(self, before: OpenCase, after: OpenCase) -> None:
        """Replace a case by a later state of itself: only its subjects may differ in what it is found by."""
        self._open[after.id] = after
        if before.subjects != after.subjects:
            for subject in before.subjects[len(after.subjects) :]:
                self._keys.pop((before.queue, subject), None)
            for subject in after.subjects:
                self._keys[after.queue, subject] = after.id

    def _put(self, kept: OpenCase) -> None:
        self._open[kept.id] = kept
        for subject in kept.subjects:
            self._keys[kept.queue, subject] = kept.id
        if "account" in kept.standing.alike and kept.account is not None:
            self._accounts.setdefault((kept.queue, kept.policy, kept.account), {})[kept.id] = None
        for door in doors(kept.standing.sketch):
            self._doors.setdefault((kept.queue, kept.policy, door), {})[kept.id] = None

    def _drop(self, kept: OpenCase) -> None:
        now = self._open.pop(kept.id, kept)
        for subject in now.subjects:
            self._keys.pop((now.queue, subject), None)
        if kept.account is not None:
            _take_out(self._accounts, (kept.queue, kept.policy, kept.account), kept.id)
        for door in doors(kept.standing.sketch):
            _take_out(self._doors, (kept.queue, kept.policy, door), kept.id)


def _take_out(index: dict[K, dict[str, None]], key: K, case_id: str) -> None:
    behind = index.get(key)
    if behind is not None:
        behind.pop(case_id, None)
        if not behind:
            del index[key]


def _terms(kept: OpenCase) -> Terms:
    return weigh_in(kept.standing.weighed, kept.standing.half_life_us)


def _member(request: ReviewRequest, signal: CaseSignal) -> CaseMember:
    return CaseMember(
        subject=request.subject, acting=request.acting, seq=signal.seq, at=signal.at, event_id=request.event_id
    )


def _nothing() -> None:
    """Take nothing back."""
