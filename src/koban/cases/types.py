"""What cases speak of: a case, the signals that joined it, the steps it takes, commands and refusals."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal
from koban.cases.likeness import Sketch
from koban.cases.priority import Terms, Weighed
from koban.enforcement import SubjectRef
from koban.labels import LabelSet
from koban.packs import HarmClass

CaseStatus = Literal["open", "closed"]
CaseOutcome = Literal["upheld", "honest", "unclear"]
PauseReason = Literal["person", "marketplace", "evidence", "other_team", "legal"]
SkipReason = Literal["language", "expertise", "knows_person", "distressing", "broken", "other"]
TouchEnd = Literal["decided", "proposed", "released", "skipped", "handed", "moved", "paused", "lapsed"]
ExclusionWhy = Literal["skipped", "decided", "proposed"]


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
    closed_seq: int | None = None
    rank_at: int = 0  # what its queue is ordered by: the due time, moved forward by what its terms are worth
    boost_us: int = 0
    terms: Terms | None = None  # None: opened before terms were kept
    members: int = 1  # subjects that it is about
    harm: HarmClass = "none"
    paused_at: Instant | None = None  # its clock stands since then
    pause_ends_at: Instant | None = None
    breached_at: Instant | None = None
    assigned_to: str | None = None  # handed to somebody: others leave it alone until `assigned_until`
    assigned_until: Instant | None = None
    escalated: bool = False
    proposal: str | None = None  # id of the proposal that waits for a second person
    appeal: str | None = None  # id of the appeal that it is about


class CaseMember(msgspec.Struct, frozen=True, kw_only=True):
    """One subject of a case; the first is the one that it was opened for."""

    subject: SubjectRef
    acting: SubjectRef | None
    seq: int
    at: Instant
    event_id: str


class CaseSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal that asked for a person's judgement."""

    seq: int
    at: Instant
    rule: str
    policy: str
    because: Mapping[str, str]
    event_id: str
    event_type: str
    reporter: str | None = None  # the account that reported, where the event is a report


class CaseOpened(msgspec.Struct, frozen=True, kw_only=True, tag="case.opened"):
    """A case was opened. Fact `case.opened`."""

    case: Case


class CaseJoined(msgspec.Struct, frozen=True, kw_only=True, tag="case.joined"):
    """A further signal joined the open case of its queue and subject, or of something nearly the same."""

    case_id: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an open case is weighed and found again by."""

    weighed: Weighed
    half_life_us: int
    sketch: Sketch = ()
    alike: tuple[str, ...] = ()


class OpenCase(msgspec.Struct, frozen=True, kw_only=True):
    """What the decider keeps of an open case."""

    id: str
    queue: str
    policy: str
    account: SubjectRef | None
    subjects: tuple[SubjectRef, ...]
    standing: Standing


class CaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that was taken up, to be stored."""

    change: CaseOpened | CaseJoined
    signal: CaseSignal
    terms: Terms
    keeps_signal: bool = True  # beyond `SIGNALS_KEPT_MAX` signals are only counted
    member: CaseMember | None = None  # a subject that is new in the case
    standing: "Standing"  # what the decider keeps of the case after it

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
    proposed_by: str | None = None  # of two people: who proposed what `by` approved
    rules: tuple[str, ...] = ()  # whose signals it was about


class CasePaused(msgspec.Struct, frozen=True, kw_only=True, tag="case.paused"):
    """The clock of a case stands from here on, at the latest until a moment. Log entry `case.paused`."""

    case_id: str
    reason: PauseReason
    note: str
    by: str
    until: Instant


class CaseResumed(msgspec.Struct, frozen=True, kw_only=True, tag="case.resumed"):
    """The clock of a case runs again, and it is due later by the open time for which it stood. `case.resumed`."""

    case_id: str
    by: str
    due_at: Instant


class CaseMoved(msgspec.Struct, frozen=True, kw_only=True, tag="case.moved"):
    """A case went to another queue, with a clock of its own from here on. Log entry `case.moved`."""

    case_id: str
    queue_before: str
    queue: str
    due_at: Instant
    by: str
    reason: str
    owner: str | None
    escalated: bool


class CaseBreached(msgspec.Struct, frozen=True, kw_only=True, tag="case.breached"):
    """A case was not decided in its time. Log entry `case.breached`."""

    case_id: str
    queue: str
    due_at: Instant


class CaseReopened(msgspec.Struct, frozen=True, kw_only=True, tag="case.reopened"):
    """A judgement was taken back and the case waits again. Log entry `case.reopened`."""

    case_id: str
    queue: str
    subject: SubjectRef
    by: str
    reason: str


class CloseCase(msgspec.Struct, frozen=True, kw_only=True, tag="close_case"):
    """A person's command: close a case that they hold under this fence."""

    case_id: str
    outcome: CaseOutcome
    by: str
    fence: int
    note: str = ""
    proposed_by: str | None = None
    policy: str = ""  # another policy than that of the first signal, where the person judged so


class DecideCase(msgspec.Struct, frozen=True, kw_only=True, tag="decide_case"):
    """A person's whole judgement: what is true, what follows from the policy's ladder, what the person is told.

    `subjects` None: all of the case. Where a second person is needed this becomes a proposal; `proposal` names the one
    that is approved.
    """

    case_id: str
    fence: int
    by: str
    outcome: CaseOutcome
    policy: str = ""
    hide: bool = False  # the content
    strike: bool = False  # the next step of the policy's ladder, for whoever is behind it
    take_back: bool = True  # where the person is honest: what rules did to them over this
    facts: Mapping[str, str] = {}  # what was seen, for the person judged; empty: the rules' reasons
    note: str = ""  # for colleagues
    subjects: tuple[SubjectRef, ...] | None = None
    proposal: str | None = None
    proposed_by: str | None = None
    batch: str | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A message that somebody would be shown, in both languages."""

    to: SubjectRef
    role: Literal["author", "recipient", "reporter"]
    language: str  # theirs
    message: Mapping[str, str]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a judgement would bring; nothing of it has happened."""

    second_person: bool
    measures: tuple[Mapping[str, str], ...]  # as sentences to the person
    hidden: int  # pieces of content
    accounts: int
    taken_back: tuple[str, ...]  # sanctions
    labels: int
    told: tuple[Told, ...]
    corrected: int  # people who would be told that an earlier warning was wrong
    released: int = 0  # held events that would go on
    withdrawn: int = 0  # blocks and challenges that would be told to have been mistakes
    blocked: int = 0  # held events that would be blocked for good


class DeclineProposal(msgspec.Struct, frozen=True, kw_only=True, tag="decline_proposal"):
    """A second person's command: not like this."""

    case_id: str
    fence: int
    by: str
    reason: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A judgement that waits for a second person, or waited for one."""

    id: str
    case_id: str
    command: DecideCase
    by: str
    at: Instant
    status: Literal["waiting", "approved", "declined"]
    decided_by: str | None = None
    decided_at: Instant | None = None
    reason: str = ""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a judgement brought; `proposal` is set where it waits for a second person and nothing has happened yet."""

    case_id: str
    proposal: str | None = None
    imposed: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class PauseCase(msgspec.Struct, frozen=True, kw_only=True, tag="pause_case"):
    """A person's command: let the clock of a case stand, because somebody else has to do something first."""

    case_id: str
    fence: int
    reason: PauseReason
    note: str
    by: str
    for_us: int


class ResumeCase(msgspec.Struct, frozen=True, kw_only=True, tag="resume_case"):
    """A person's command: let the clock of a case run again."""

    case_id: str
    by: str


class MoveCase(msgspec.Struct, frozen=True, kw_only=True, tag="move_case"):
    """A person's command: send a case to another queue, or up where the queue escalates, to one owner if named.

    `fence` None: by somebody who may assign cases and does not hold it.
    """

    case_id: str
    queue: str
    reason: str
    by: str
    fence: int | None = None
    owner: str | None = None
    escalates: bool = False


class ReopenCase(msgspec.Struct, frozen=True, kw_only=True, tag="reopen_case"):
    """A person's command: take a judgement back and let the case wait again."""

    case_id: str
    by: str
    reason: str


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """One claim of a case: hands on it, apart from waiting."""

    case_id: str
    fence: int
    person: str
    claimed_at: Instant
    opened_at: Instant | None
    ended_at: Instant | None
    how: TouchEnd | None
    touch_us: int


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the pause ledger."""

    case_id: str
    paused_at: Instant
    resumed_at: Instant | None
    reason: PauseReason
    note: str
    by: str
    resumed_by: str | None
    due_before: Instant
    due_after: Instant | None


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """What closing brings: the fact, and the ground truth that it asks to be set."""

    change: CaseClosed
    labels: tuple[LabelSet, ...]


NOTE_CHARS_MAX: Final = 4_000
Note: TypeAlias = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]


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


class CasePausedAlready(Refusal):
    """The clock of the case stands already."""

    code = "case_paused"
    status = 409
    title = "The clock of this case stands."


class CaseNotPaused(Refusal):
    """The clock of the case runs."""

    code = "case_not_paused"
    status = 409
    title = "The clock of this case runs."


class CaseNotClosed(Refusal):
    """Only a closed case can be opened again."""

    code = "case_not_closed"
    status = 409
    title = "This case is open."


class CaseAlreadyThere(Refusal):
    """The other queue has an open case about the same subject."""

    code = "case_already_there"
    status = 409
    title = "That queue already has an open case about this."


class QueueMissing(Refusal):
    """The pack in force has no such queue, or this queue escalates nowhere."""

    code = "queue_missing"
    status = 422
    title = "There is no such queue."


class JudgementUnfit(Refusal):
    """What was decided does not fit the case."""

    code = "judgement_unfit"
    status = 422
    title = "This judgement does not fit the case."


class ProposalMissing(Refusal):
    """The proposal does not wait (any more)."""

    code = "proposal_missing"
    status = 409
    title = "This proposal does not wait for anybody."


class NotForYou(Refusal):
    """Somebody else must judge this: one's own earlier decision, one's own proposal, or a case that one skipped."""

    code = "not_for_you"
    status = 409
    title = "Somebody else has to judge this case."


class ColleagueUnknown(Refusal):
    """Nobody who works cases has this id."""

    code = "colleague_unknown"
    status = 422
    title = "There is no such colleague."


class QueueEmpty(Refusal):
    """Nothing in the queue waits for anybody."""

    code = "queue_empty"
    status = 404
    title = "There is no case to claim in this queue."
