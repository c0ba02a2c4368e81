"""The border of payments: begin, capture, call off, give back, pay out, decide what is held, and look."""

import datetime
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from koban.access import PUBLIC, Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Instant, Problem, Refusal, keyset, keyset_of, limits, to_rfc3339
from koban.db import Database
from koban.payments import store
from koban.payments.store import Notice
from koban.payments.types import (
    Answer,
    NewPart,
    NewPayment,
    NewPayout,
    NewRefund,
    NoticeForged,
    NoticeUnreadable,
    OutcomeOwn,
    Part,
    Payment,
    PaymentConflict,
    PaymentMissing,
    PaymentNotThere,
    PaymentUnfit,
    PaymentUnfunded,
    ProviderCall,
    ProviderOut,
    ProviderReportRow,
    ProviderState,
    RefundTooLarge,
    ReleaseReason,
    Rerouted,
    SaidOutcome,
    Saying,
    Stays,
    Step,
)

PARTS_MAX = 8

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=48, pattern="^[A-Za-z0-9_.:-]+$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Subject = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=limits.BOOK_LIMIT_MINOR_MAX)]
Currency = Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
Token = Annotated[
    str, msgspec.Meta(max_length=500, description="Stands for a card or bank account at the provider; never a number")
]
Context = Annotated[
    Mapping[str, Any],  # Any: fields of an event, read as the pack declares them
    msgspec.Meta(description="More fields of the event that is decided: device.id, card.id, buyer.created_at, …"),
]


class DayInvalid(Refusal):
    """A day that is none."""

    code = "day_invalid"
    status = 400
    title = "This is no day."


class PartBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One method's share of a payment."""

    method: Name
    amount_minor: Amount
    provider: Annotated[str, msgspec.Meta(max_length=80, description="Empty: the installation's first")] = ""
    token: Token = ""


class PaymentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment of an order. Make and store the id before it is sent: the same id again is the same payment."""

    id: Id
    order: Subject
    account: Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="The buyer")]
    parts: Annotated[list[PartBody], msgspec.Meta(min_length=1, max_length=PARTS_MAX)]
    currency: Currency = "JPY"
    level: Annotated[Name | None, msgspec.Meta(description="Verification level, where limits ask for it")] = None
    seller: Subject | None = None
    capture: Annotated[bool, msgspec.Meta(description="false: only authorise; capture by a command of its own")] = True
    context: Context = {}


class PayoutBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payout from a wallet through a provider."""

    id: Id
    account: Subject
    amount_minor: Amount
    currency: Currency = "JPY"
    level: Name | None = None
    provider: Annotated[str, msgspec.Meta(max_length=80)] = ""
    token: Token = ""
    context: Context = {}


class RefundBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount to give back; without `part` from the parts in their order."""

    id: Id
    amount_minor: Amount
    part: Annotated[int, msgspec.Meta(ge=0, lt=PARTS_MAX)] | None = None


class ReleaseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a held payment may go on: somebody judged it, or its account proved what was asked."""

    because: ReleaseReason = "judged"


class OutcomeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a step ended, as the provider's own pages or people say."""

    happened: bool
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=500, description="Who said so, and where it is seen")]
    reference: Annotated[
        str, msgspec.Meta(max_length=200, description="The provider's own id of it; wanted where it happened")
    ] = ""


class RerouteBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider through which it is to go now."""

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class PaymentQuery(PageQuery, frozen=True, kw_only=True):
    """Which payments."""

    order: str | None = None
    account: str | None = None
    status: str | None = None


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which day, in the provider's own zone."""

    day: Annotated[str, msgspec.Meta(max_length=10, description="As in 2026-11-29")]


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it stands. `buyer_goes_to` is where the buyer is sent to prove or pay something."""

    id: str
    kind: str
    status: str
    goal: str
    order: str | None
    account: str
    seller: str | None
    currency: str
    amount_minor: int
    verdict: str
    three_ds: str
    held: bool
    held_why: str
    ended_because: str
    decision: int | None
    created_at: str
    changed_at: str
    lapses_at: str
    buyer_goes_to: str


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A part as it stands."""

    no: int
    method: str
    provider: str
    amount_minor: int
    state: str
    reference: str
    wait_why: str
    wait_url: str
    decline: str
    authorised_minor: int
    captured_minor: int
    refunded_minor: int
    charged_back_minor: int
    three_ds: str


class SayingView(msgspec.Struct, frozen=True, kw_only=True):
    """What one person said of how a step ended; it is booked once a second person says the same."""

    by: str
    at: str
    happened: bool
    reference: str
    reason: str


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step with its answer."""

    id: str
    part: int
    kind: str
    provider: str
    amount_minor: int
    status: str
    request: str
    attempts: int
    answer: Answer | None
    posting: str
    trouble: str
    created_at: str
    done_at: str | None
    said: SayingView | None = None  # by one person, and waits for a second one to say the same


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a provider."""

    step: str
    attempt: int
    at: str
    took_us: int
    outcome: str
    detail: str


class NoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook of a provider."""

    provider: str
    message: str
    kind: str
    amount_minor: int
    status: str
    said: str
    received_at: str


class PaymentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with everything that happened."""

    payment: PaymentView
    parts: list[PartView]
    steps: list[StepView]
    calls: list[CallView]
    notices: list[NoticeView]


class ProviderView(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of this installation, and whether it answers."""

    name: str
    is_out: bool
    failures: int
    open_until: str | None
    last_error: str
    failed_at: str | None
    answered_at: str | None


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """Of one currency: how many payments wait unsent for a provider, and how much of them it would take."""

    currency: str
    payments: int
    amount_minor: int


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a provider: what could go through another one, and what stays with it."""

    unsent: list[Unsent]
    stays: list[Stays]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a webhook is new; one that came before is fine."""

    new: bool


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """What the application has the decider do; each returns once it is durable. The last argument is who asks."""

    begin: Callable[[NewPayment, str], Payment]
    begin_payout: Callable[[NewPayout, str], Payment]
    capture: Callable[[str, str], Payment]
    void: Callable[[str, str], Payment]
    refund: Callable[[NewRefund, str], Payment]
    release: Callable[[str, ReleaseReason, str], Payment]
    refuse: Callable[[str, str], Payment]
    retry: Callable[[str, str, str], Payment]
    dismiss: Callable[[str, str, str], Payment]
    say: Callable[[SaidOutcome, str], Payment]
    reroute: Callable[[str, str, str], Payment]
    reroute_waiting: Callable[[str, str, str], Rerouted]
    receive: Callable[[str, Mapping[str, str], bytes, Instant], bool]
    evidence: Callable[[str, int, str], dict[str, object]]
    report: Callable[[str, datetime.date], list[ProviderReportRow]]
    providers: Callable[[], tuple[str, ...]]


_BEGUN = (PaymentConflict, PaymentUnfit, PaymentUnfunded, ProviderOut)


def endpoints(database: Database, commands: Commands) -> list[Endpoint]:
    """Describe the routes; `commands` carries changes through the decider."""
    return [
        *_begin_endpoints(commands),
        *_change_endpoints(commands),
        *_person_endpoints(commands),
        *_looks(database, commands),
        *_provider_endpoints(database, commands),
    ]


def _begin_endpoints(commands: Commands) -> list[Endpoint]:
    def begin(call: Call) -> PaymentView:
        body = call.body_as(PaymentBody)
        parts = tuple(
            NewPart(method=each.method, amount_minor=each.amount_minor, provider=each.provider, token=each.token)
            for each in body.parts
        )
        new = NewPayment(
            id=body.id, order=body.order, account=body.account, parts=parts, currency=body.currency, level=body.level,
            seller=body.seller, capture=body.capture, context=body.context,
        )  # fmt: skip
        return payment_view(commands.begin(new, call.principal.actor))

    def pay_out(call: Call) -> PaymentView:
        body = call.body_as(PayoutBody)
        new = NewPayout(
            id=body.id, account=body.account, amount_minor=body.amount_minor, currency=body.currency, level=body.level,
            provider=body.provider, token=body.token, context=body.context,
        )  # fmt: skip
        return payment_view(commands.begin_payout(new, call.principal.actor))

    return [
        endpoint(
            "POST", "/v1/payments", "payments.make", begin, summary="Pay an order, by one method or several",
            body=PaymentBody, returns=PaymentView, raises=_BEGUN,
            description="The event that the pack names is decided first; then what the decision leaves is begun. The answer "
            "does not wait for providers: ask again, or take the webhook `payment.changed`.",
        ),
        endpoint(
            "POST", "/v1/payouts", "payments.payout", pay_out, summary="Pay somebody out through a provider",
            body=PayoutBody, returns=PaymentView, raises=_BEGUN,
            description="The money is set aside in the ledger before the provider is asked.",
        ),
    ]  # fmt: skip


def _change_endpoints(commands: Commands) -> list[Endpoint]:
    def refund(call: Call) -> PaymentView:
        body = call.body_as(RefundBody)
        new = NewRefund(id=body.id, payment=call.path["id"], amount_minor=body.amount_minor, part=body.part)
        return payment_view(commands.refund(new, call.principal.actor))

    missing = (PaymentMissing, PaymentNotThere)
    return [
        endpoint(
            "POST", "/v1/payments/{id}/capture", "payments.make",
            lambda call: payment_view(commands.capture(call.path["id"], call.principal.actor)),
            summary="Take what was authorised", returns=PaymentView, raises=missing,
        ),
        endpoint(
            "POST", "/v1/payments/{id}/void", "payments.make",
            lambda call: payment_view(commands.void(call.path["id"], call.principal.actor)),
            summary="Call a payment off that is not captured", returns=PaymentView, raises=missing,
            description="Everything goes back: authorisations are voided, wallet and points are free again.",
        ),
        endpoint(
            "POST", "/v1/payments/{id}/refunds", "payments.refund", refund, summary="Give an amount back",
            body=RefundBody, returns=PaymentView,
            raises=(*missing, PaymentConflict, RefundTooLarge, PaymentUnfunded),
            description="Set aside in the ledger first; the same refund id again is the same refund.",
        ),
    ]  # fmt: skip


def _person_endpoints(commands: Commands) -> list[Endpoint]:
    def say(call: Call) -> PaymentView:
        body = call.body_as(OutcomeBody)
        said = SaidOutcome(
            payment=call.path["id"], step=call.path["step"], happened=body.happened, reference=body.reference,
            reason=body.reason,
        )  # fmt: skip
        return payment_view(commands.say(said, call.principal.actor))

    missing = (PaymentMissing, PaymentNotThere)
    return [
        endpoint(
            "POST", "/v1/payments/{id}/release", "payments.decide",
            lambda call: payment_view(
                commands.release(call.path["id"], call.body_as(ReleaseBody).because, call.principal.actor)
            ),
            summary="Let a held payment go on", body=ReleaseBody, returns=PaymentView, raises=missing,
        ),
        endpoint(
            "POST", "/v1/payments/{id}/refuse", "payments.decide",
            lambda call: payment_view(commands.refuse(call.path["id"], call.principal.actor)),
            summary="Call a held payment off for good", returns=PaymentView, raises=missing,
        ),
        endpoint(
            "POST", "/v1/payments/{id}/steps/{step}/retry", "payments.repair",
            lambda call: payment_view(commands.retry(call.path["id"], call.path["step"], call.principal.actor)),
            summary="Try again what a provider or the ledger refused", returns=PaymentView,
            raises=(*missing, PaymentUnfunded),
        ),
        endpoint(
            "POST", "/v1/payments/{id}/steps/{step}/dismiss", "payments.repair",
            lambda call: payment_view(commands.dismiss(call.path["id"], call.path["step"], call.principal.actor)),
            summary="Give up a refund that the provider refused", returns=PaymentView, raises=missing,
        ),
        endpoint(
            "POST", "/v1/payments/{id}/reroute", "payments.repair",
            lambda call: payment_view(
                commands.reroute(call.path["id"], call.body_as(RerouteBody).to, call.principal.actor)
            ),
            summary="Send through another provider what was not sent yet", body=RerouteBody, returns=PaymentView,
            raises=(*missing, PaymentUnfit, ProviderOut),
            description="Only what no provider was ever asked for: under a key of its own, with the first one's step closed. "
            "What was sent and had no answer stays where it is, for it may have been done.",
        ),
        endpoint(
            "POST", "/v1/payments/{id}/steps/{step}/outcome", "payments.repair", say,
            summary="Say how a step ended whose person was erased", body=OutcomeBody, returns=PaymentView,
            raises=(*missing, PaymentUnfit, OutcomeOwn),
            description="Only for what was sent and can be asked about no more. It is booked once a second person says "
            "the same (`said` of the step shows what waits); the same again is the same.",
        ),
        endpoint(
            "GET", "/v1/payments/{id}/parts/{no}/evidence", "personal.read",
            lambda call: commands.evidence(call.path["id"], _number(call.path["no"]), call.principal.actor),
            summary="Open the 3-D Secure evidence of a part, logged", returns=dict[str, object], raises=(PaymentMissing,),
        ),
    ]  # fmt: skip


def _looks(database: Database, commands: Commands) -> list[Endpoint]:
    del commands

    def listed(call: Call) -> Page[PaymentView]:
        query = call.params_as(PaymentQuery)
        before = keyset_of(query.cursor)
        with database.read() as tx:
            rows = store.list_payments(
                tx, order=query.order, account=query.account, status=query.status, before=before, limit=query.limit + 1
            )
        shown = rows[: query.limit]
        return Page(
            items=[payment_view(each) for each in shown],
            next_cursor=keyset(shown[-1].created_at, shown[-1].id) if len(rows) > query.limit else None,
        )

    def one(call: Call) -> PaymentDetail:
        with database.read() as tx:
            payment = store.find(tx, call.path["id"])
            if payment is None:
                raise PaymentMissing(f"There is no payment {call.path['id'][:80]!r}.")
            parts = store.parts_of(tx, payment.id)
            said = store.sayings_of(tx, payment.id)
            return PaymentDetail(
                payment=payment_view(payment, parts),
                parts=[_part_view(each) for each in parts],
                steps=[_step_view(each, said.get(each.id)) for each in store.steps_of(tx, payment.id)],
                calls=[_call_view(each) for each in store.calls_of(tx, payment.id)],
                notices=[_notice_view(each) for each in store.notices_of(tx, payment.id)],
            )

    return [
        endpoint(
            "GET", "/v1/payments", "payments.read", listed, summary="List payments, newest first", query=PaymentQuery,
            returns=Page[PaymentView],
        ),
        endpoint(
            "GET", "/v1/payments/{id}", "payments.read", one,
            summary="Look up a payment with its parts, steps, calls and webhooks", returns=PaymentDetail,
            raises=(PaymentMissing,),
        ),
    ]  # fmt: skip


def _provider_endpoints(database: Database, commands: Commands) -> list[Endpoint]:
    def receive(call: Call) -> Taken:
        return Taken(new=commands.receive(call.path["provider"], call.headers, call.raw, call.at))

    def providers(call: Call) -> list[ProviderView]:
        del call
        with database.read() as tx:
            states = store.provider_states(tx)
        return [provider_view(states.get(each) or ProviderState(name=each)) for each in commands.providers()]

    def report(call: Call) -> list[ProviderReportRow]:
        text = call.params_as(ReportQuery).day
        try:
            day = datetime.date.fromisoformat(text)
        except ValueError:
            problem = Problem(path="/day", detail=f"{text!r} is no day such as 2026-11-29.")
            raise DayInvalid("Nothing was asked for.", problems=(problem,)) from None
        return commands.report(call.path["name"], day)

    def known(name: str) -> str:
        if name not in commands.providers():
            raise PaymentMissing(f"There is no payment provider {name[:40]!r}.")
        return name

    def waiting(call: Call) -> WaitingView:
        name = known(call.path["name"])
        with database.read() as tx:
            found = store.count_unsent(tx, name)
            stays = store.staying(tx, name)
        return WaitingView(
            unsent=[Unsent(currency=one, payments=count, amount_minor=total) for one, count, total in found],
            stays=stays,
        )

    def reroute_waiting(call: Call) -> Rerouted:
        return commands.reroute_waiting(known(call.path["name"]), call.body_as(RerouteBody).to, call.principal.actor)

    return [
        endpoint(
            "GET", "/v1/payment-providers/{name}/waiting", "payments.read", waiting,
            summary="See what waits for a provider, and what of it could go through another", returns=WaitingView,
            raises=(PaymentMissing,),
        ),
        endpoint(
            "POST", "/v1/payment-providers/{name}/reroute", "payments.repair", reroute_waiting,
            summary="Send through another provider all that waits for one and was not sent yet", body=RerouteBody,
            returns=Rerouted, raises=(PaymentMissing, PaymentUnfit, ProviderOut),
            description="Each payment by itself, the longest waiting first; asked again it goes on with what is left.",
        ),
        endpoint(
            "POST", "/payment-notices/{provider}", PUBLIC, receive, summary="Take a webhook of a payment provider",
            returns=Taken, raises=(NoticeForged, NoticeUnreadable, PaymentMissing),
            description="Signed as Standard Webhooks says; the same message again is taken and changes nothing.",
        ),
        endpoint(
            "GET", "/v1/payment-providers", "payments.read", providers,
            summary="See the payment providers, and whether they answer", returns=list[ProviderView],
        ),
        endpoint(
            "GET", "/v1/payment-providers/{name}/report", "payments.read", report,
            summary="Ask a provider for its report of a day", query=ReportQuery, returns=list[ProviderReportRow],
            raises=(DayInvalid, PaymentMissing),
        ),
    ]  # fmt: skip


def payment_view(payment: Payment, parts: list[Part] | None = None) -> PaymentView:
    """Return a payment in the form that leaves Koban."""
    return PaymentView(
        id=payment.id,
        kind=payment.kind,
        status=payment.status.value,
        goal=payment.goal,
        order=payment.order,
        account=payment.account,
        seller=payment.seller,
        currency=payment.currency,
        amount_minor=payment.amount_minor,
        verdict=payment.verdict,
        three_ds=payment.three_ds,
        held=payment.held,
        held_why=payment.held_why,
        ended_because=payment.ended_because,
        decision=payment.decision_seq,
        created_at=to_rfc3339(payment.created_at),
        changed_at=to_rfc3339(payment.changed_at),
        lapses_at=to_rfc3339(payment.lapses_at),
        buyer_goes_to=next((each.wait_url for each in parts or () if each.wait_url), ""),
    )


def provider_view(state: ProviderState) -> ProviderView:
    """Return what is known of a provider in the form that leaves Koban."""

    def written(at: Instant | None) -> str | None:
        return None if not at else to_rfc3339(at)

    return ProviderView(
        name=state.name,
        is_out=state.open_until > 0,
        failures=state.failures,
        open_until=written(state.open_until),
        last_error=state.last_error,
        failed_at=written(state.failed_at),
        answered_at=written(state.answered_at),
    )


def _part_view(part: Part) -> PartView:
    return PartView(**{name: getattr(part, name) for name in PartView.__struct_fields__})


def _step_view(step: Step, said: Saying | None) -> StepView:
    own = (name for name in StepView.__struct_fields__ if not name.endswith("_at") and name != "said")
    fields = {name: getattr(step, name) for name in own}
    done_at = None if step.done_at is None else to_rfc3339(step.done_at)
    return StepView(
        **fields, created_at=to_rfc3339(step.created_at), done_at=done_at, said=None if said is None else _said(said)
    )


def _said(said: Saying) -> SayingView:
    return SayingView(
        by=said.by, at=to_rfc3339(said.at), happened=said.happened, reference=said.reference, reason=said.reason
    )


def _call_view(call: ProviderCall) -> CallView:
    return CallView(**{**msgspec.structs.asdict(call), "at": to_rfc3339(call.at)})


def _notice_view(entry: Notice) -> NoticeView:
    return NoticeView(
        provider=entry.provider,
        message=entry.message,
        kind=entry.notice.kind,
        amount_minor=entry.notice.amount_minor,
        status=entry.status,
        said=entry.said,
        received_at=to_rfc3339(entry.received_at),
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 4):
        raise PaymentMissing(f"There is no part {text[:20]!r}.")
    return int(text)
