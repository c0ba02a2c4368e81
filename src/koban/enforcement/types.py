"""What enforcement speaks of: sanctions, the changes they go through, the state that follows, commands and refusals."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal
from koban.packs import Action, Texts

Effect = Literal["none", "warn", "hide", "restrict", "freeze_payout", "suspend"]
SanctionKind = Literal["hide", "restrict", "freeze_payout", "suspend", "warn", "strike"]
Status = Literal["in_force", "ended", "overturned"]
NoticeRole = Literal["author", "recipient", "reporter"]
NoticePurpose = Literal["warning", "decision", "appeal", "correction"]
Automation = Literal["fully", "partially", "not"]


class SubjectRef(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A subject by kind and id: ("account", "a1"), ("listing", "l7")."""

    kind: str
    id: str


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """What a sanction does to its subject. `for_us` None: until a person decides; `scope` only for restrict."""

    effect: Effect
    scope: str = ""
    for_us: int | None = None


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a sanction stands: a rule that fired or a person who decided.

    A sanction that another signal of the same policy joins has several; undoing a rule takes its grounds away and
    leaves the sanction standing on the others.
    """

    cause_seq: int  # the log entry that brought it
    at: Instant
    ends_at: Instant | None
    rule: str | None = None
    actor: str | None = None  # a member of staff; None: no person was involved
    because: Texts
    event_id: str | None = None
    event_type: str | None = None
    case_id: str | None = None  # the case in which a person decided
    proposed_by: str | None = None  # of two people: who proposed what `actor` approved
    detected_by: tuple[str, ...] = ()  # the rules whose signals the case was about
    event_ids: tuple[str, ...] = ()  # the events that the case was about
    reported: bool = False  # whether somebody's report was among them


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """How a sanction stopped: it expired, was lifted early, or was overturned."""

    at: Instant
    how: Literal["expired", "lifted", "overturned"]
    by: str
    reason: str


class Sanction(msgspec.Struct, frozen=True, kw_only=True):
    """A measure on a subject, with everything its statement of reasons needs.

    Invariant: `measure`, `starts_at` and `ends_at` follow from `imposed`, `steps`, `counted` and `grounds`, and are
    never harsher than what was imposed.
    """

    id: str
    subject: SubjectRef
    kind: SanctionKind
    policy: str
    title: Texts  # the policy's, as it stood when the sanction was imposed
    text: Texts
    measure: Measure  # what it does now
    imposed: Measure  # what it did when it was imposed
    imposed_at: Instant
    starts_at: Instant
    ends_at: Instant | None
    status: Status
    grounds: tuple[Ground, ...]
    withdrawn: tuple[Ground, ...] = ()
    steps: tuple[Measure, ...] = ()  # of a strike: the ladder's steps up to and including the one taken
    counted: tuple[str, ...] = ()  # of a strike: the earlier strikes that it counts
    discounted: tuple[str, ...] = ()  # those that it counted and that were overturned since
    counts_until: Instant | None = None  # of a strike: later strikes count it until then; None: always
    market: str = ""
    about: SubjectRef | None = None  # the content over which an account was sanctioned
    closing: Closing | None = None

    @property
    def cause_seq(self) -> int:
        """Return the log entry that brought it about first."""
        return (self.grounds or self.withdrawn)[0].cause_seq

    @property
    def automated(self) -> bool:
        """Return whether no person had a part in it. Derived from the grounds in the log, never typed in."""
        return all(ground.actor is None for ground in self.grounds or self.withdrawn)

    def stands_at(self, at: Instant) -> bool:
        """Return whether it is in force at a moment."""
        if self.status == "overturned" or at < self.starts_at:
            return False
        return self.ends_at is None or at < self.ends_at

    def counts_at(self, at: Instant) -> bool:
        """Return whether it is a strike that a later one at this moment counts."""
        if self.kind != "strike" or self.status == "overturned":
            return False
        return self.counts_until is None or at < self.counts_until


class Restriction(msgspec.Struct, frozen=True, kw_only=True):
    """One ability that is taken away until a moment; None: until a person decides."""

    scope: str
    until: Instant | None


class SubjectState(msgspec.Struct, frozen=True, kw_only=True):
    """What a subject may do, derived from its sanctions in force. A suspension takes every ability at once."""

    hidden: bool = False
    suspended: bool = False
    suspended_until: Instant | None = None  # with `suspended`: None means until a person decides
    payout_frozen: bool = False
    payout_frozen_until: Instant | None = None
    restrictions: tuple[Restriction, ...] = ()  # sorted by scope
    strikes: Mapping[str, int] = {}  # policy -> strikes that the next one would count


class SanctionImposed(msgspec.Struct, frozen=True, kw_only=True, tag="sanction.imposed"):
    """A new sanction. Log entry `sanction.imposed`."""

    sanction: Sanction


class SanctionExtended(msgspec.Struct, frozen=True, kw_only=True, tag="sanction.extended"):
    """Another signal joined a sanction in force. Log entry `sanction.extended`."""

    sanction_id: str
    subject: SubjectRef
    ground: Ground


class SanctionEnded(msgspec.Struct, frozen=True, kw_only=True, tag="sanction.ended"):
    """A sanction expired or was lifted early; it still counts as a strike. Log entry `sanction.ended`."""

    sanction_id: str
    subject: SubjectRef
    closing: Closing


class SanctionOverturned(msgspec.Struct, frozen=True, kw_only=True, tag="sanction.overturned"):
    """A sanction is to be treated as if it had never been. Log entry `sanction.overturned`."""

    sanction_id: str
    subject: SubjectRef
    closing: Closing


class SanctionAmended(msgspec.Struct, frozen=True, kw_only=True, tag="sanction.amended"):
    """A sanction became milder, because a strike that it counted or a ground it stood on was overturned.

    Log entry `sanction.amended`.
    """

    sanction_id: str
    subject: SubjectRef
    at: Instant
    by: str
    reason: str
    because_of: tuple[str, ...]  # overturned sanctions that it counted
    grounds: tuple[Ground, ...]
    withdrawn: tuple[Ground, ...]
    counted: tuple[str, ...]
    discounted: tuple[str, ...]
    measure: Measure
    starts_at: Instant
    ends_at: Instant | None
    status: Status


Change: TypeAlias = SanctionImposed | SanctionExtended | SanctionEnded | SanctionOverturned | SanctionAmended


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A change together with the sanction before (None: there was none) and after it; undoing it restores `before`."""

    change: Change
    before: Sanction | None
    after: Sanction


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The actions of one rule that fired and may act."""

    rule: str
    policy: str
    because: Texts
    actions: tuple[Action, ...]


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """The event over which rules act, and whom it names."""

    event_id: str
    event_type: str
    acting: SubjectRef | None
    recipient: SubjectRef | None
    content: SubjectRef | None
    market: str = ""
    reported: SubjectRef | None = None  # of a report: the account that it is about


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What the marketplace is asked to tell one person. It changes no state.

    A warning has its policy's text; a decision's and an appeal's notice have the whole message to show.
    """

    id: str
    to: SubjectRef
    role: NoticeRole
    about: SubjectRef | None
    policy: str
    title: Texts
    text: Texts
    because: Texts
    rule: str | None
    actor: str | None
    cause_seq: int
    at: Instant
    event_id: str | None = None
    market: str = ""
    purpose: NoticePurpose = "warning"
    message: Texts = {}  # what the person reads, complete, in both languages
    sanction_ids: tuple[str, ...] = ()  # what it tells of
    case_id: str | None = None
    appeal_url: str = ""


class ReviewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that wants a person's judgement: `subject` is the event's content, else who acted."""

    queue: str
    subject: SubjectRef
    acting: SubjectRef | None
    rule: str
    policy: str
    because: Texts
    event_id: str
    event_type: str
    market: str = ""
    reporter: SubjectRef | None = None  # who reported it, where the event is a report


class Unmet(msgspec.Struct, frozen=True, kw_only=True):
    """An action that could not be taken, because the event names nobody and nothing to take it against."""

    rule: str
    action: str
    why: Literal["no_acting_account", "no_recipient", "no_content", "no_subject"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an event, in order; nothing of it has happened yet."""

    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()
    withdrawn: tuple[Notice, ...] = ()  # notices of an undone rule: whoever was warned is told that it was a mistake
    reviews: tuple[ReviewRequest, ...] = ()
    unmet: tuple[Unmet, ...] = ()


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """The statement of reasons: what the person judged is told, and what an appeal is held against.

    Source: the fields of Regulation (EU) 2022/2065, article 17(3), where they make sense outside the Union too. What
    was automated, and who gave notice, is read from the grounds in the log, never from a form.
    """

    sanction_id: str
    subject: SubjectRef
    policy: str
    title: Texts
    text: Texts
    because: tuple[Texts, ...]
    effect: Effect
    scope: str
    starts_at: str
    ends_at: str | None
    strike: int  # which strike under this policy it is; 0: none
    automated_detection: bool
    automated_decision: bool
    about: SubjectRef | None
    event_ids: tuple[str, ...]
    market: str
    ground: Literal["policy"] = "policy"  # incompatible with the marketplace's terms; law is never judged here
    source: Literal["own_initiative", "notice"] = "own_initiative"  # whether a report led to it
    automation: Automation = "not"  # of finding and deciding together
    redress: Literal["appeal"] = "appeal"
    appeal_until: str | None = None


Reason: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Identifier: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ImposeSanction(msgspec.Struct, frozen=True, kw_only=True, tag="impose_sanction"):
    """A person's command: sanction a subject under a policy. Kind `strike` takes the next step of its ladder."""

    subject: SubjectRef
    kind: SanctionKind
    policy: str
    by: str
    because: Texts
    scope: str = ""
    for_us: int | None = None
    about: SubjectRef | None = None
    market: str = ""
    case_id: str | None = None  # the rest comes from the case, where it was decided in one
    proposed_by: str | None = None
    detected_by: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    reported: bool = False


class OverturnSanctions(msgspec.Struct, frozen=True, kw_only=True, tag="overturn_sanctions"):
    """A person's command: treat these sanctions as if they had never been."""

    sanction_ids: tuple[str, ...]
    by: str
    reason: str


class LiftSanction(msgspec.Struct, frozen=True, kw_only=True, tag="lift_sanction"):
    """A person's command: end a sanction now; it stays true that it was right."""

    sanction_id: str
    by: str
    reason: str


class UndoRule(msgspec.Struct, frozen=True, kw_only=True, tag="undo_rule"):
    """A person's command: take back what a rule did since a moment. Done in chunks; `after` is where to go on."""

    rule: str
    since_at: Instant
    by: str
    reason: str
    after: str = ""


class UndoGround(msgspec.Struct, frozen=True, kw_only=True):
    """One ground of a sanction: that a rule acted at one entry."""

    sanction_id: str
    rule: str
    cause_seq: int


class UndoVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule contributed to the verdict on one event."""

    seq: int
    rule: str


class UndoItems(msgspec.Struct, frozen=True, kw_only=True, tag="undo_items"):
    """A person's command: take back single things that rules did. Few at once; whoever asks cuts them into chunks."""

    grounds: tuple[UndoGround, ...]
    notices: tuple[str, ...]
    verdicts: tuple[UndoVerdict, ...]
    by: str
    reason: str


Command: TypeAlias = ImposeSanction | OverturnSanctions | LiftSanction | UndoRule | UndoItems


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did; `next_after` is set while an undo is not finished: send it again with `after`."""

    sanction_ids: tuple[str, ...]
    plan: Plan
    next_after: str | None = None


class SanctionMissing(Refusal):
    """No such sanction."""

    code = "sanction_missing"
    status = 404
    title = "There is no such sanction."


class SanctionNotInForce(Refusal):
    """Only a sanction in force can be lifted."""

    code = "sanction_not_in_force"
    status = 409
    title = "This sanction is no longer in force."


class PolicyUnknown(Refusal):
    """The pack in force has no such policy."""

    code = "policy_unknown"
    status = 422
    title = "There is no such policy."


class SanctionUnfit(Refusal):
    """The sanction does not fit its subject or is not fully described."""

    code = "sanction_unfit"
    status = 422
    title = "This sanction cannot be imposed as described."
