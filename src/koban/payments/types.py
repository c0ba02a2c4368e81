"""Payments, their parts and steps, what a provider is asked and answers: frozen data. Amounts are `int` minor units."""

import datetime
import enum
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from koban.base import Instant, Refusal

Kind = Literal["order", "payout"]
Goal = Literal["authorise", "capture", "undo", "payout"]
PartState = Literal["planned", "waiting", "authorised", "declined", "captured", "released", "paid"]
StepKind = Literal["authorise", "capture", "void", "refund", "payout"]
StepStatus = Literal["open", "done", "refused", "unbooked", "closed"]
Verdict = Literal["allow", "warn", "challenge", "hold", "block"]
Flow = Literal["frictionless", "challenge"]
ReportKind = Literal["capture", "refund", "payout", "payout_returned", "chargeback", "chargeback_won"]
ReleaseReason = Literal["judged", "proved", "verdict_ended"]
CallOutcome = Literal["approved", "declined", "waiting", "unavailable"]
NoticeKind = Literal["changed", "chargeback", "chargeback_won", "payout_returned"]

ERASED_UNKNOWN: Final = "the token was erased before the outcome was known"  # what the call says that could not be made
REPORT_RAISES: Final = frozenset({"capture", "payout_returned", "chargeback_won"})  # what the provider owes us


class PaymentStatus(enum.StrEnum):
    """Where a payment is. Derived from its goal and its parts, never set by hand."""

    REFUSED = "refused"  # the decision was block; nothing was tried
    QUEUED = "queued"  # a provider is out; it is tried when the provider is back
    AUTHORISING = "authorising"
    CHALLENGED = "challenged"  # the buyer is asked by 3-D Secure, or has not paid the slip yet
    HELD = "held"  # authorised, and not captured until somebody decides
    AUTHORISED = "authorised"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    REFUNDING = "refunding"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"
    UNDOING = "undoing"
    FAILED = "failed"  # a part did not come about; everything else was given back
    VOIDED = "voided"  # given up on request; everything was given back
    PAYING_OUT = "paying_out"
    PAID_OUT = "paid_out"
    RETURNED = "returned"  # a payout came back from where it was sent
    STUCK = "stuck"  # the provider or the ledger refuses what must be done: a person is needed


UNDER_WAY: Final = (  # begun, and what the buyer pays not taken yet
    PaymentStatus.QUEUED, PaymentStatus.AUTHORISING, PaymentStatus.CHALLENGED, PaymentStatus.HELD,
    PaymentStatus.AUTHORISED, PaymentStatus.CAPTURING,
)  # fmt: skip
GOING_BACK: Final = (PaymentStatus.REFUNDING, PaymentStatus.UNDOING)


class ThreeDS(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of 3-D Secure 2, as the provider gave it. Source: EMVCo 3-D Secure, protocol 2.2, message fields."""

    flow: Flow
    trans_status: Literal["Y", "A", "N", "U", "R", "C", "D"]
    version: str
    eci: str
    authentication_value: str  # CAVV or AAV, base64
    ds_trans_id: str
    acs_trans_id: str
    server_trans_id: str


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked to do. The key is stored before it is sent, and sent again with the same content."""

    key: str
    kind: StepKind
    payment: str
    amount_minor: int
    currency: str
    method: str
    reference: str = ""  # the provider's own id of the charge that a capture, void or refund is about
    token: str = ""  # stands for the card or bank account at the provider; sealed wherever it is stored
    three_ds: Flow | None = None  # what the decision demands of an authorisation; none: the method proves nothing


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag="approved"):
    """It was done; a capture may be smaller than what was asked for."""

    reference: str
    amount_minor: int
    evidence: ThreeDS | None = None


class Declined(msgspec.Struct, frozen=True, kw_only=True, tag="declined"):
    """It was not done and will not be."""

    code: str
    detail: str = ""
    evidence: ThreeDS | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True, tag="waiting"):
    """It depends on the buyer: a 3-D Secure challenge, or a slip that is paid in a shop. Ask again with the same key."""

    reference: str
    why: Literal["challenge", "slip"]
    url: str = ""


Answer: TypeAlias = Approved | Declined | Waiting


class ProviderReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of money that a provider did, as its own report of a day lists it.

    Units: `amount_minor` and `fee_minor` are never negative; `kind` says which way the amount went (`REPORT_RAISES`
    names those that raise what the provider owes us, the others lower it); a fee always lowers it.
    `key` is the idempotency key that we sent, None for what the provider began itself (a chargeback, a return);
    `payment` is our payment's id where the provider knows it. `provider_ref` names the row once within its provider
    and kind. The posting that books a row in the ledger is `posting_of(row)`.
    """

    provider: str
    provider_ref: str
    kind: ReportKind
    amount_minor: int
    fee_minor: int
    currency: str
    booked_on: datetime.date  # of the provider's own zone
    at: Instant
    key: str | None
    payment: str | None


class ProviderNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's webhook says. `changed` is only a hint to ask again; the others tell what nobody asked for."""

    kind: NoticeKind
    key: str = ""  # of the instruction whose answer changed, or that a chargeback or return takes back
    provider_ref: str = ""  # names the chargeback or return; a won chargeback has the name of the one it takes back
    amount_minor: int = 0
    currency: str = ""


class Provider(Protocol):
    """The seam to a payment provider. Both methods raise `Unavailable` when the outcome is unknown or nobody answers."""

    @property
    def name(self) -> str:
        """What the installation calls it: the owner of its book in the ledger."""
        ...

    def perform(self, instruction: Instruction) -> Answer:
        """Do what is asked, once for each key; the same key again tells how it stands now.

        Raises Unavailable: it may or may not have been done, and only the same key may be sent again.
        """
        ...

    def report(self, day: datetime.date) -> Sequence[ProviderReportRow]:
        """List everything that moved money at the provider on a day of its own zone, oldest first."""
        ...


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment of an order, or a payout to a person: a goal, and what its steps depend on."""

    id: str
    kind: Kind
    goal: Goal
    order: str | None = None
    account: str = ""  # who pays, or who is paid
    seller: str | None = None
    currency: str = "JPY"
    level: str | None = None  # of verification, where limits of the ledger ask for it
    amount_minor: int = 0
    verdict: Verdict = "allow"
    three_ds: Flow = "frictionless"
    held: bool = False
    held_why: str = ""  # what it is held for: `hold`, or the challenges that nothing here can prove
    ended_because: str = ""  # what it was undone for: a decline's code, `voided`, `lapsed`, `refused_by_person`
    status: PaymentStatus = PaymentStatus.AUTHORISING
    digest: str = ""  # keyed digest of the request: the same id with another content is a conflict
    decision_seq: int | None = None  # place in the log of the event that was decided
    created_at: Instant = Instant(0)
    changed_at: Instant = Instant(0)
    lapses_at: Instant = Instant(0)  # when it is given up unless it got there


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One method's share of a payment. `provider` empty: it is paid inside the ledger."""

    no: int
    method: str
    provider: str
    amount_minor: int
    state: PartState = "planned"
    reference: str = ""
    wait_why: str = ""
    wait_url: str = ""
    decline: str = ""
    authorised_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    charged_back_minor: int = 0
    three_ds: str = ""  # flow, transStatus and ECI of the stored evidence, as in `challenge/Y/05`
    authorise_key: str = ""  # the step whose posting reserves in the ledger
    evidence: bytes = b""  # sealed

    @property
    def returnable_minor(self) -> int:
        """What may still go back to the buyer."""
        return self.captured_minor - self.refunded_minor - self.charged_back_minor


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came for an order and was not given back: by a payment, or by a line of a bank."""

    by: str  # id of the payment or the line
    amount_minor: int
    currency: str
    account: str | None = None  # who paid, where that is known


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a provider, or one posting: stored before it is made, with its answer after it.

    `id` is also the idempotency key that the provider gets.
    """

    id: str
    part: int
    kind: StepKind
    amount_minor: int
    status: StepStatus = "open"
    payment: str = ""
    provider: str = ""
    request: str = ""  # the client's id of the refund that it belongs to; empty: it follows from the goal
    attempts: int = 0
    next_at: Instant = Instant(0)
    answer: Answer | None = None  # without the evidence, which is sealed with the part
    posting: str = ""  # id of the posting that booked it
    trouble: str = ""  # what the ledger or the provider said when a person is needed
    created_at: Instant = Instant(0)
    done_at: Instant | None = None


class ProviderCall(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a step: when, how long it took, and how it went."""

    step: str
    attempt: int
    at: Instant
    took_us: int
    outcome: CallOutcome
    detail: str = ""


class ProviderState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a provider answers: calls without an answer in a row, and until when it is left alone."""

    name: str
    failures: int = 0
    open_until: Instant = Instant(0)  # of the circuit; 0: closed
    last_error: str = ""
    failed_at: Instant | None = None
    answered_at: Instant | None = None


class NewPart(msgspec.Struct, frozen=True, kw_only=True):
    """One method's share of a payment that is to be made."""

    method: str
    amount_minor: int
    provider: str = ""  # empty: the first one of the installation, where the method wants one
    token: str = ""


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to be made. The id is the client's, stored by it before it is sent."""

    id: str
    order: str
    account: str
    parts: tuple[NewPart, ...]
    currency: str = "JPY"
    level: str | None = None
    seller: str | None = None
    capture: bool = True  # False: only authorise; a later command captures
    context: Mapping[str, object] = {}  # fields of the event that is decided: device.id, card.id, buyer.created_at, …


class NewPayout(msgspec.Struct, frozen=True, kw_only=True):
    """A payout to be made through a provider."""

    id: str
    account: str
    amount_minor: int
    currency: str = "JPY"
    level: str | None = None
    provider: str = ""
    token: str = ""
    context: Mapping[str, object] = {}


class NewRefund(msgspec.Struct, frozen=True, kw_only=True):
    """An amount to give back, from one part or from the parts in their order."""

    id: str
    payment: str
    amount_minor: int
    part: int | None = None
    reason: str = ""


class Rerouted(msgspec.Struct, frozen=True, kw_only=True):
    """How many payments go through another provider now, and how many still wait for the old one unsent."""

    moved: int
    left: int


class Stays(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a provider and cannot go elsewhere: how many steps of a kind, and whether they were sent."""

    kind: StepKind
    sent: bool
    count: int


class SaidOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended that nobody can ask about any more, as a person found at the provider."""

    payment: str
    step: str
    happened: bool
    reference: str = ""  # the provider's own id of the charge or payout, where it happened
    reason: str


class Saying(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said of how a step ended; it is booked once a second person says the same."""

    step: str
    by: str
    at: Instant
    happened: bool
    reference: str
    reason: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a call to a provider went. Without an answer its outcome is unknown, and `error` says why."""

    step: str
    at: Instant
    took_us: int
    answer: Answer | None = None
    error: str = ""
    is_erased: bool = False  # nobody was asked: the person was erased, and their token with them


class PaymentMissing(Refusal):
    """No such payment."""

    code = "payment_missing"
    status = 404
    title = "There is no such payment."


class PaymentConflict(Refusal):
    """The id was used for something else."""

    code = "payment_conflict"
    status = 409
    title = "This id was used for another payment or refund."


class PaymentUnfit(Refusal):
    """The request names what cannot be paid so."""

    code = "payment_unfit"
    status = 422
    title = "It cannot be paid in this way."


class OutcomeOwn(Refusal):
    """Somebody says a second time how a step ended, and is no second person."""

    code = "outcome_own"
    status = 403
    title = "A second person must say the same."


class PaymentNotThere(Refusal):
    """The payment is not where the request wants it to be."""

    code = "payment_not_there"
    status = 409
    title = "The payment is not in a state for that."


class RefundTooLarge(Refusal):
    """More is to be given back than was taken."""

    code = "refund_too_large"
    status = 409
    title = "There is not so much left to give back."


class PaymentUnfunded(Refusal):
    """The ledger does not hold what is to be given away."""

    code = "payment_unfunded"
    status = 409
    title = "The ledger does not hold this money."


class ProviderOut(Refusal):
    """The provider does not answer, and the pack says to refuse meanwhile."""

    code = "provider_out"
    status = 503
    title = "The payment provider does not answer."


class MethodInUse(Refusal):
    """A version of the pack that knows nothing of how running payments are to go on."""

    code = "method_in_use"
    status = 409
    title = "Payments need what this version of the pack drops."


class NoticeForged(Refusal):
    """A provider's webhook whose signature does not hold."""

    code = "notice_forged"
    status = 401
    title = "This webhook was not signed by the provider."


class NoticeUnreadable(Refusal):
    """A provider's webhook that says nothing we know."""

    code = "notice_unreadable"
    status = 422
    title = "This webhook cannot be read."
