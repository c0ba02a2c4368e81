"""What cases speak of: a case, the signals that joined it, the steps it takes, commands and refusals."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal
from koban.enforcement import SubjectRef
from koban.labels import LabelSet

CaseStatus = Literal["open", "closed"]
CaseOutcome = Literal["upheld", "honest", "unclear"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Human work on one subject in one queue."""

    id: str
    queue: str
    subject: SubjectRef
    acting: SubjectRef | None  # the account behind the subject
    policy: str  # of the first signal; each signal names its own
    market: str
    opened_seq: int
    opened_at: Instant
    due_at: Instant
    signals: int
    last_signal_at: Instant
    status: CaseStatus = "open"
    claimed_by: str | None = None
    claimed_until: Instant | None = None
    fence: int = 0  # grows with each claim; whoever closes must name the one they hold
    outcome: CaseOutcome | None = None
    note: str = ""
    closed_at: Instant | None = None
    closed_by: str | None = None


class CaseSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal that asked for a person's judgement."""

    seq: int
    at: Instant
    rule: str
    policy: str
    because: Mapping[str, str]
    event_id: str
    event_type: str


class CaseOpened(msgspec.Struct, frozen=True, kw_only=True, tag="case.opened"):
    """A case was opened. Fact `case.opened`."""

    case: Case


class CaseJoined(msgspec.Struct, frozen=True, kw_only=True, tag="case.joined"):
    """A further signal joined the open case of its queue and subject."""

    case_id: str


class CaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that was taken up, to be stored."""

    change: CaseOpened | CaseJoined
    signal: CaseSignal
    keeps_signal: bool = True  # beyond `SIGNALS_KEPT_MAX` signals are only counted

    @property
    def case_id(self) -> str:
        """Return the case that took it up."""
        return self.change.case.id if isinstance(self.change, CaseOpened) else self.change.case_id


class CaseClosed(msgspec.Struct, frozen=True, kw_only=True, tag="case.closed"):
    """Somebody judged. Fact and log entry `case.closed`."""

    case_id: str
    queue: str
    subject: SubjectRef
    policy: str
    outcome: CaseOutcome
    by: str


class CloseCase(msgspec.Struct, frozen=True, kw_only=True, tag="close_case"):
    """A person's command: close a case that they hold under this fence."""

    case_id: str
    outcome: CaseOutcome
    by: str
    fence: int
    note: str = ""


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """What closing brings: the fact, and the ground truth that it asks to be set."""

    change: CaseClosed
    labels: tuple[LabelSet, ...]


Note: TypeAlias = Annotated[str, msgspec.Meta(max_length=4_000)]


class CaseMissing(Refusal):
    """No such case."""

    code = "case_missing"
    status = 404
    title = "There is no such case."


class CaseClaimed(Refusal):
    """Somebody else holds the case."""

    code = "case_claimed"
    status = 409
    title = "Somebody else is working on this case."


class CaseAlreadyClosed(Refusal):
    """The case was closed before, with another outcome or by somebody else."""

    code = "case_already_closed"
    status = 409
    title = "This case is closed."


class ClaimLost(Refusal):
    """The claim under which this was done is not the one in force; what was typed is not lost, claim again."""

    code = "claim_lost"
    status = 409
    title = "You no longer hold this case."


class QueueEmpty(Refusal):
    """Nothing in the queue waits for anybody."""

    code = "queue_empty"
    status = 404
    title = "There is no case to claim in this queue."
