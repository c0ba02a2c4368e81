"""The open cases that the decider knows: which signal opens one, and which joins."""

from collections.abc import Callable
from typing import Final

from koban.base import Instant, sequence_id
from koban.cases import store
from koban.cases.types import Case, CaseClosed, CaseJoined, CaseOpened, CaseSignal, CaseStep
from koban.db import Tx
from koban.enforcement import ReviewRequest, SubjectRef
from koban.packs import QueueDef

SIGNALS_KEPT_MAX: Final = 500  # of one case; later ones are only counted

Key = tuple[str, SubjectRef]
Undo = Callable[[], None]


class LiveCases:
    """Owned by the decider's thread alone. Invariant: between batches it holds exactly the open rows of the table."""

    def __init__(self) -> None:
        """Start without any; `load` reads them from the table."""
        self._open: dict[Key, tuple[str, int]] = {}  # id of the case, signals that it took up
        self._last = (-1, 0)  # the entry that opened a case last, and how many it has opened

    def load(self, tx: Tx) -> None:
        """Start again from the table."""
        self._open = {(queue, subject): (case_id, signals) for case_id, queue, subject, signals in store.read_open(tx)}
        self._last = (-1, 0)

    def __len__(self) -> int:
        return len(self._open)

    def get(self, queue: str, subject: SubjectRef) -> str | None:
        """Return the id of the open case of a queue and subject."""
        found = self._open.get((queue, subject))
        return None if found is None else found[0]

    def open(self, request: ReviewRequest, queue: QueueDef, *, at: Instant, seq: int) -> tuple[CaseStep, Undo]:
        """Open a case for a signal, or let it join the open one of its queue and subject.

        `seq` is the event's entry. Returns the step to store and how to take it back.
        """
        signal = CaseSignal(
            seq=seq,
            at=at,
            rule=request.rule,
            policy=request.policy,
            because=request.because,
            event_id=request.event_id,
            event_type=request.event_type,
        )
        key = (queue.name, request.subject)
        found = self._open.get(key)
        if found is not None:
            case_id, signals = found
            self._open[key] = (case_id, signals + 1)
            change = CaseJoined(case_id=case_id)
            return CaseStep(change=change, signal=signal, keeps_signal=signals < SIGNALS_KEPT_MAX), self._back(
                key, found
            )
        last = self._last
        ordinal = last[1] if last[0] == seq else 0
        self._last = (seq, ordinal + 1)
        case = Case(
            id=sequence_id("case", seq, ordinal),
            queue=queue.name,
            subject=request.subject,
            acting=request.acting,
            policy=request.policy,
            market=request.market,
            opened_seq=seq,
            opened_at=at,
            due_at=Instant(at + queue.due_in_s * 1_000_000),
            signals=1,
            last_signal_at=at,
        )
        self._open[key] = (case.id, 1)

        def undo() -> None:
            del self._open[key]
            self._last = last

        return CaseStep(change=CaseOpened(case=case), signal=signal), undo

    def apply(self, closed: CaseClosed) -> Undo:
        """Follow the closing of a case: the next signal opens a new one. Returns how to take it back."""
        key = (closed.queue, closed.subject)
        found = self._open.get(key)
        if found is None or found[0] != closed.case_id:
            return _nothing
        del self._open[key]
        return self._back(key, found)

    def _back(self, key: Key, found: tuple[str, int]) -> Undo:
        def undo() -> None:
            self._open[key] = found

        return undo


def _nothing() -> None:
    return
