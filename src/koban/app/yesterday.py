"""The money of the days before a demonstration's evening: booked by direct commands, before the server answers.

Each step is what somebody did at a moment of the last banking days: the marketplace's machine, two people of finance, the
payment provider, the bank. All of them go through the commands that their HTTP routes call. See docs/decisions/0017.
"""

import dataclasses
import datetime
import itertools
import random
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec

from koban.access import issue_token, revoke_token
from koban.access.demo import demo_principal
from koban.app import banking as bank_work
from koban.app.payments import Providers, payment_kit, read_providers
from koban.app.reconciliation import reconciliation_desk
from koban.audit import Secrets
from koban.banking import calendar
from koban.banking import store as bank_store
from koban.banking.routes import AccountBody, CashOutBody, PayeeBody, account_from, proposal
from koban.banking.types import BankProposal, Expected, ExpectedKind
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, ManualClock, Refusal
from koban.base.settings import Settings
from koban.db import Database, Tx
from koban.ledger import Posting, list_books
from koban.ledger.bookings import BookingBody, WantsPosting
from koban.packs import PackDef
from koban.payments import store as payment_store
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import REPORT_RAISES, NewPart, NewPayment, NewRefund, PaymentStatus
from koban.payments.worker import PaymentKit, work_off
from koban.pipeline import banking, booking, expecting, paying, reconciling
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Memory
from koban.pipeline.money import make_posting
from koban.reconciliation import store as exceptions
from koban.reconciliation.routes import ReconciliationDesk
from koban.sim import Settings as Evening
from koban.sim.bank import Movement, statement
from koban.sim.cashier import CAMPAIGN, CASHIER, FEE_PERCENT, PAYEES, SCOPES, Kept, Order
from koban.sim.honest import Deal
from koban.sim.orders import Earlier, buyers_side
from koban.sim.people import Person
from koban.sim.randomness import between, pick, stream
from koban.vault import Vault

DAYS: Final = 7  # banking days that are told
BEGINS_BEFORE: Final = 24 * DAY  # more than seven banking days, whatever holidays there are
CAPITAL_MINOR: Final = 5_000_000
FUND_MINOR: Final = 500_000
CAMPAIGN_MINOR: Final = 300_000
BANK: Final = AccountBody(
    id="main", title="みずほ銀行 東京営業部 普通", bank="0001", branch="001", number="1234567", name="ｺﾊﾞﾝ(ｶ",
    consignor="1234567890", fee_minor=145,
)  # fmt: skip
WALLETS_MAX: Final = 500
PAID_OUT: Final = 8  # cash-outs of the batch that left
T = TypeVar("T")
Act = Callable[[], object]
Step = tuple[Instant, Act]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """What the days before are told with. `days`: the last banking days before the evening, the newest last."""

    desk: Desk
    database: Database
    vault: Vault
    clock: ManualClock
    providers: Providers
    provider: SimulatedProvider
    kit: PaymentKit
    reconciliation: ReconciliationDesk
    earlier: Earlier
    randomness: random.Random
    zone: zoneinfo.ZoneInfo
    days: Sequence[datetime.date]
    ends_at: Instant
    machine: str
    finance: str
    admin: str

    def run(self, command: Callable[[Memory, Tx], T]) -> T:
        """Have the decider do something."""
        return self.desk.command(command)

    def post(self, posting: str, template: str, parameters: Mapping[str, str | int]) -> None:
        """Book by a template, as the marketplace's machine does."""
        made = Posting(id=posting, template=template, currency="JPY", parameters=parameters, level="identity")
        result = self.run(lambda memory, tx: make_posting(memory, tx, made, by=self.machine))
        assert result.stands, f"{posting}: {result}"

    def at(self, day: int, hour: int, minute: int = 0) -> Instant:
        """Return a moment of one of the days; -1 is the last banking day before the evening."""
        moment = datetime.datetime.combine(self.days[day], datetime.time(hour, minute), self.zone)
        return Instant(int(moment.timestamp()) * SECOND)


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the days before: when it was paid and how, and when its seller got the money."""

    order: str
    buyer: Person
    seller: Person
    price_minor: int
    paid_at: Instant
    method: str = "card"  # what the buyer pays by, beside what is said below
    token: str = "ok"  # noqa: S105 - what the simulated provider does with it
    coupon_minor: int = 0
    points_minor: int = 0
    captured: bool = True
    completed_at: Instant | None = None


def tell_yesterday(
    settings: Settings,
    opened: tuple[Database, Vault, Desk],
    clock: ManualClock,
    earlier: Earlier,
    *,
    evening: Evening,
    randomness: random.Random,
    secrets: Secrets,
) -> Iterator[Step]:
    """Yield what happened to money before an evening, in order of time; nothing where the pack has none of it.

    Why steps: whoever runs them tells the events of the same days in between, because log time never goes back.
    """
    database, vault, desk = opened
    providers = read_providers(settings.payment_providers, settings.data, clock, simulated=True)
    provider = providers.by_name.get("simulated")
    real = [each for each in providers.by_name.values() if not isinstance(each, SimulatedProvider)]
    if real or not isinstance(provider, SimulatedProvider) or not has_money(desk.memory.compiled.pack):
        providers.close()
        return
    try:
        hours = banking.hours_of(desk.memory)
        days = _banking_days(desk, evening.start_at)
        calendar.value_day(hours, evening.start_at, 1)
    except Refusal:  # the pack's calendar of banking days has come to its end: an evening without a past of money
        return
    with database.write() as tx:
        finance, by = (demo_principal(tx, clock.now(), role) for role in ("finance", "admin"))
        token, _ = issue_token(
            tx, clock.now(), randomness, secrets, by=by, name=CASHIER, scopes=SCOPES, days=BEGINS_BEFORE // DAY
        )
    stage = Stage(
        desk=desk,
        database=database,
        vault=vault,
        clock=clock,
        providers=providers,
        provider=provider,
        kit=payment_kit(desk, vault, clock, providers),
        reconciliation=reconciliation_desk(desk, providers.by_name),
        earlier=earlier,
        randomness=stream(evening.seed, "yesterday"),
        zone=zoneinfo.ZoneInfo(hours.zone),
        days=days,
        ends_at=Instant(evening.start_at - 10 * MINUTE),
        machine=token.id,
        finance=finance.id,
        admin=by.id,
    )
    yield from sorted(_steps(stage), key=lambda step: step[0])
    with database.write() as tx:
        revoke_token(tx, clock.now(), by=by, token_id=token.id)


def kept_for(database: Database, earlier: Earlier) -> Kept:
    """Return what an evening's cashier takes over: the open orders that people will rate, and what is in wallets."""
    with database.read() as tx:
        paid = [deal for deal in earlier.rated if payment_store.find(tx, f"p-{deal.order}") is not None]
        wallets = {
            str(book.owner): book.available_minor
            for _, book in list_books(tx, code="wallet", owner=None, after=0, limit=WALLETS_MAX)
        }
    orders = tuple(
        Order(
            id=deal.order, buyer=deal.buyer.id, seller=deal.listing.seller.id, price_minor=deal.listing.price_minor,
            payment=f"p-{deal.order}",
        )
        for deal in paid
    )  # fmt: skip
    return Kept(orders=orders, wallets=wallets)


def stolen_payment(earlier: Earlier) -> str:
    """Return the payment whose card turns out to be stolen in the course of the evening."""
    return f"p-o-{earlier.town}-stolen"


def has_money(pack: PackDef) -> bool:
    """Tell whether a pack knows how the simulated marketplace is paid."""
    return {"card", "konbini", "carrier"} <= pack.payments.methods.keys() and calendar.CALENDAR in pack.calendars


def _banking_days(desk: Desk, before: Instant) -> list[datetime.date]:
    hours = banking.hours_of(desk.memory)
    today = calendar.local_day(hours, before)
    past = (today - datetime.timedelta(days=back) for back in itertools.count(1))
    return list(itertools.islice((day for day in past if calendar.is_open(hours, day)), DAYS))[::-1]


def _steps(stage: Stage) -> Iterator[Step]:
    yield from _opening(stage)
    old = list(_old_sales(stage))
    for sale in (*_open_orders(stage), *old, *_special_sales(stage)):
        yield sale.paid_at, partial(_pay, stage, sale)
        if sale.completed_at is not None:
            yield sale.completed_at, partial(_complete, stage, sale)
    yield from _trouble(stage)
    yield from _cash_outs(stage, old[:PAID_OUT])
    yield from _bank(stage)
    yield from _reconciliation(stage)


# How the books began.


def _opening(stage: Stage) -> Iterator[Step]:
    """Add our account at a bank and book the first money: each proposed by one person and approved by another."""
    body = msgspec.json.encode(account_from(BANK)).decode()
    account = proposal(kind="account", about=BANK.id, reason="マーケットプレイスの決済口座", target="new", body=body)
    yield stage.at(0, 9, 30), lambda: _by_two(stage, account)
    first: tuple[tuple[str, str, dict[str, str | int], str], ...] = (
        ("company_paid_in", "capital", {"bank_line": "CAPITAL1", "amount": CAPITAL_MINOR}, "決済口座の開設資金"),
        ("compensation_fund_raised", "fund", {"approval": "board-2026-11", "amount": FUND_MINOR}, "補償基金の設定"),
        (
            "campaign_funded", "campaign",
            {"campaign": CAMPAIGN, "approval": "mkt-204", "amount": CAMPAIGN_MINOR}, "秋のキャンペーン予算",
        ),
    )  # fmt: skip
    for number, (template, name, parameters, reason) in enumerate(first):
        yield (
            stage.at(0, 10, number),
            partial(_propose_booking, stage, name, template, parameters, reason=reason, by=stage.finance),
        )
        yield stage.at(0, 11, number), partial(_approve_booking, stage, name, by=stage.admin)


def _propose_booking(
    stage: Stage, name: str, template: str, parameters: Mapping[str, str | int], *, reason: str, by: str
) -> None:
    wants = WantsPosting(template=template, parameters=parameters)
    body = BookingBody(id=f"{name}.{stage.earlier.town}", reason=reason, wants=wants)
    stage.run(lambda memory, tx: booking.propose_booking(memory, tx, body, by=by))


def _approve_booking(stage: Stage, name: str, *, by: str) -> None:
    about = f"{name}.{stage.earlier.town}"
    stage.run(lambda memory, tx: booking.decide_booking(memory, tx, about, approves=True, reason="", by=by))


# Orders.


def _open_orders(stage: Stage) -> Iterator[Sale]:
    """Return the orders that the evening's people will rate: paid, and in escrow until then."""
    first, last = stage.at(1, 9), Instant(stage.ends_at - 2 * HOUR)
    for number, deal in enumerate(stage.earlier.rated):
        yield _sale_of(deal, Instant(min(max(deal.paid_at, first + number * MINUTE), last + number * MINUTE)), number)


def _sale_of(deal: Deal, paid_at: Instant, number: int) -> Sale:
    method = {6: "konbini", 7: "carrier"}.get(number % 10, "card")
    mixed = deal.listing.price_minor > 1_000
    return Sale(
        order=deal.order,
        buyer=deal.buyer,
        seller=deal.listing.seller,
        price_minor=deal.listing.price_minor,
        paid_at=paid_at,
        method=method,
        coupon_minor=500 if mixed and number % 10 == 8 else 0,
        points_minor=300 if mixed and number % 10 in {8, 9} else 0,
    )


def _old_sales(stage: Stage) -> Iterator[Sale]:
    """Return what sellers sold before: those who will ask for their money, and the one who will be robbed of it."""
    wants = [(pick(stage.randomness, stage.earlier.sellers), between(stage.randomness, 6, 44) * 1_000)
             for _ in range(PAID_OUT)]  # fmt: skip
    wants += [(stage.earlier.robbed, 130_000), (stage.earlier.robbed, 98_000)]
    first = len(wants)
    wants += [(each.person, each.amount_minor) for each in stage.earlier.asks]
    for number, (seller, amount) in enumerate(wants):
        yield Sale(
            order=f"o-{stage.earlier.town}-s{number:03d}",
            buyer=_somebody(stage, seller),
            seller=seller,
            price_minor=amount * 100 // (100 - FEE_PERCENT) // 10 * 10 + 100,
            paid_at=Instant(stage.at(1 if number < first else 3, 10) + number * 3 * MINUTE),
            method="konbini" if number % 9 == 4 else "card",
            completed_at=Instant(stage.at(2 if number < first else 4, 12) + number * 2 * MINUTE),
        )


def _special_sales(stage: Stage) -> Iterator[Sale]:
    """Return one order of each kind that goes another way."""
    told = (
        ("declined", 6_480, "declined", stage.at(-2, 20), True, None),
        ("cancelled", 3_980, "ok", stage.at(-2, 13), True, None),
        ("reduced", 14_800, "ok", stage.at(-3, 11), True, stage.at(-1, 16)),
        ("stolen", 21_600, "ok", stage.at(2, 15), True, stage.at(3, 10)),
        ("reserved", 27_500, "ok", Instant(stage.ends_at - 3 * HOUR), False, None),
        ("late", 9_900, "silent_after", stage.at(-1, 19), True, None),
    )
    for name, price, token, at, captured, completed_at in told:
        seller = pick(stage.randomness, stage.earlier.sellers)
        yield Sale(
            order=_special(stage, name),
            buyer=_somebody(stage, seller),
            seller=seller,
            price_minor=price,
            paid_at=at,
            token=token,
            captured=captured,
            completed_at=completed_at,
        )


def _special(stage: Stage, name: str) -> str:
    return f"o-{stage.earlier.town}-{name}"


def _somebody(stage: Stage, seller: Person) -> Person:
    while True:
        found = pick(stage.randomness, stage.earlier.people)
        if found.device != seller.device and found.address != seller.address:
            return found


def _pay(stage: Stage, sale: Sale) -> None:
    parts = []
    for method, amount in (("coupon", sale.coupon_minor), ("points", sale.points_minor)):
        if amount:
            granted: dict[str, str | int] = {"campaign": CAMPAIGN, "account": sale.buyer.id, "amount": amount}
            stage.post(f"{method}.{sale.order}", "coupon_granted" if method == "coupon" else "points_granted", granted)
            parts.append(NewPart(method=method, amount_minor=amount))
    rest = sale.price_minor - sale.coupon_minor - sale.points_minor
    parts.append(NewPart(method=sale.method, amount_minor=rest, token=sale.token))
    new = NewPayment(
        id=f"p-{sale.order}",
        order=sale.order,
        account=sale.buyer.id,
        parts=tuple(parts),
        level="identity" if sale.buyer.verified else "phone",
        seller=sale.seller.id,
        capture=sale.captured,
        context=buyers_side(stage.earlier, sale.buyer),
    )
    names = tuple(stage.providers.by_name)
    stage.run(lambda memory, tx: paying.begin(memory, tx, new, names, by=stage.machine))
    _drive(stage)
    if sale.method == "konbini" or sale.token == "silent_after":  # noqa: S105 - what the provider does
        stage.clock.advance(5 * SECOND)  # the buyer goes to the shop, or the provider is asked again
        _drive(stage)


def _drive(stage: Stage) -> None:
    """Have the provider asked whatever is due; the clock moves, because log time runs a little ahead of one that stands."""
    stage.clock.advance(1_000)
    while work_off(stage.kit):
        stage.clock.advance(1_000)


def _complete(stage: Stage, sale: Sale) -> None:
    with stage.database.read() as tx:
        payment = payment_store.find(tx, f"p-{sale.order}")
        assert payment is not None, "it was begun before"
        refunded = sum(part.refunded_minor for part in payment_store.parts_of(tx, payment.id))
    if payment.status not in {PaymentStatus.CAPTURED, PaymentStatus.PARTLY_REFUNDED}:
        return
    amount = sale.price_minor - refunded
    stage.post(
        f"done.{sale.order}",
        "order_completed",
        {"order": sale.order, "seller": sale.seller.id, "amount": amount, "fee": amount * FEE_PERCENT // 100},
    )


def _trouble(stage: Stage) -> Iterator[Step]:
    """Give back a cancelled order and a part of another; book what no report knows."""
    yield stage.at(-2, 14), lambda: _refund(stage, "cancelled", 3_980)
    yield stage.at(-2, 11), lambda: _refund(stage, "reduced", 2_800)
    # Paid at a provider that nobody remembers: the machine booked it, and no report knows it.
    yield (
        stage.at(1, 14),
        lambda: stage.post(
            f"pos.{stage.earlier.town}",
            "order_paid_card",
            {"order": _special(stage, "unknown"), "payment": "POS-8841-0312", "provider": "simulated", "amount": 4_980},
        ),
    )


def _refund(stage: Stage, name: str, amount: int) -> None:
    order = _special(stage, name)
    new = NewRefund(id=f"r-{order}", payment=f"p-{order}", amount_minor=amount)
    stage.run(lambda memory, tx: paying.refund(memory, tx, new, by=stage.finance))
    _drive(stage)


# Cash-outs and what the bank says.


def _cash_outs(stage: Stage, paid_out: Sequence[Sale]) -> Iterator[Step]:
    """Send a batch that is paid, but for one cash-out that comes back; leave another batch to a second person."""
    for number, sale in enumerate(paid_out):
        amount = sale.price_minor * (100 - FEE_PERCENT) // 100 // 1_000 * 1_000
        yield stage.at(-4, 14, number * 3), partial(_ask_for_money, stage, sale.seller, amount, number=number)
    yield stage.at(-3, 10), lambda: bank_work.propose_batch(stage.desk, BANK.id, by=stage.finance)
    yield stage.at(-3, 10, 40), lambda: bank_work.approve(stage.desk, stage.vault, "T000001", by=stage.admin)
    yield stage.at(-3, 10, 45), lambda: bank_work.take_file(stage.desk, stage.vault, "T000001", by=stage.admin)
    waiting = [(each.person, max(1_000, each.amount_minor // 2)) for each in stage.earlier.asks[-4:]]
    for number, (person, amount) in enumerate([*waiting, (stage.earlier.robbed, 30_000)], start=PAID_OUT):
        asked_at = Instant(stage.ends_at - 2 * HOUR + number * MINUTE)
        yield asked_at, partial(_ask_for_money, stage, person, amount, number=number)
    drafted_at = Instant(stage.ends_at - 30 * MINUTE)
    yield drafted_at, lambda: bank_work.propose_batch(stage.desk, BANK.id, by=stage.admin)


def _ask_for_money(stage: Stage, person: Person, amount: int, *, number: int) -> None:
    bank, branch, name = PAYEES[number % len(PAYEES)]
    payee = PayeeBody(bank=bank, branch=branch, type="ordinary", number=f"{4_410_000 + 37 * number}", name=name)
    level = "identity" if person.verified else "phone"
    fee = 200 if amount < 10_000 else 0
    body = CashOutBody(
        id=f"out.{stage.earlier.town}.{number}",
        account=person.id,
        amount_minor=amount,
        payee=payee,
        fee_minor=fee,
        level=level,
    )
    bank_work.request(stage.desk, body, by=stage.machine)


def _bank(stage: Stage) -> Iterator[Step]:
    """Say what is expected, have two statements come in, and say what their lines are where nothing else does."""
    buyers = [each.buyer for each in stage.earlier.rated[-3:]]
    told: tuple[tuple[str, str, ExpectedKind, str, int | None], ...] = (
        ("va", "VA20440117", "wallet", buyers[0].id, None),
        ("met", "FR88120", "order", _special(stage, "bank"), 8_640),
        ("open", "FR88163", "order", _special(stage, "transfer"), 12_400),
        ("gift", "FR88170", "order", _special(stage, "gift"), 7_200),
    )
    for number, (name, reference, kind, owner, amount) in enumerate(told):
        one = Expected(
            id=f"in.{stage.earlier.town}.{name}", reference=reference, kind=kind, owner=owner, amount_minor=amount,
            currency="JPY", level="identity" if kind == "wallet" else None, reusable=kind == "wallet", state="waiting", until=None,
            line=None, made_by="", made_at=0,
        )  # fmt: skip
        yield stage.at(1, 9, number), partial(_expect, stage, one)
    yield stage.at(-3, 11), lambda: _settle(stage, "STL1", stage.days[0], stage.days[2], fee_short=0)
    yield stage.at(-2, 9), lambda: _first_statement(stage)
    for number, reference in enumerate(("CAPITAL1", "STL1")):
        yield stage.at(-2, 10, number), partial(_line_is, stage, reference, "elsewhere")
    yield stage.at(-1, 11), lambda: _settle(stage, "STL2", stage.days[3], stage.days[4], fee_short=45)
    yield Instant(stage.ends_at - 60 * MINUTE), lambda: _second_statement(stage)
    yield Instant(stage.ends_at - 25 * MINUTE), lambda: _line_waits(stage, "STL2", "elsewhere")


def _expect(stage: Stage, one: Expected) -> None:
    stage.run(lambda memory, tx: expecting.expect_money(memory, tx, one, by=stage.machine))


def _settle(stage: Stage, reference: str, first: datetime.date, last: datetime.date, *, fee_short: int) -> None:
    """Book that the provider paid out the movements of some days; `fee_short`: by how much its fee was booked too low."""
    gross, fee = _moved(stage, first, last)
    stage.post(
        f"{reference.lower()}.{stage.earlier.town}",
        "provider_settled",
        {"provider": "simulated", "bank_line": reference, "amount": gross, "fee": fee - fee_short},
    )


def _moved(stage: Stage, first: datetime.date, last: datetime.date) -> tuple[int, int]:
    rows = [each for each in stage.provider.rows() if first <= each.booked_on <= last]
    gross = sum(each.amount_minor if each.kind in REPORT_RAISES else -each.amount_minor for each in rows)
    return gross, sum(each.fee_minor for each in rows)


def _first_statement(stage: Stage) -> None:
    days = stage.days
    gross, fee = _moved(stage, days[0], days[2])
    lines = (
        Movement(on=days[0], amount_minor=CAPITAL_MINOR, payer="ｺﾊﾞﾝ(ｶ", reference="CAPITAL1"),
        Movement(on=days[2], amount_minor=30_000, payer="ﾀｶｷﾞ ﾘｸ", reference="VA20440117"),
        Movement(on=days[2], amount_minor=12_300, payer="ｽｽﾞｷ ｼﾞﾛｳ"),
        Movement(on=days[2], amount_minor=8_640, payer="ｵｵﾉ ﾐﾎ", reference="FR88120"),
        Movement(on=days[3], amount_minor=8_640, payer="ｵｵﾉ ﾐﾎ", reference="FR88120"),
        Movement(on=days[4], amount_minor=gross - fee, payer="ｼﾐﾕﾚ-ﾃﾂﾄﾞﾍﾟｲ(ｶ", reference="STL1"),
    )
    _take_in(stage, lines, opening=0, made_on=days[4])


def _second_statement(stage: Stage) -> None:
    days = stage.days
    with stage.database.read() as tx:
        (batch,) = bank_store.list_batches(tx, state="released", before=None, limit=1)
        sent = bank_store.of_batch(tx, batch.id, limit=PAID_OUT)
        before = [line.amount_minor for line, _ in bank_store.list_lines(tx, filters={}, after="", limit=100)]
    gross, fee = _moved(stage, days[3], days[4])
    back = sent[2]
    lines = (
        Movement(on=days[5], amount_minor=-(batch.total_minor + BANK.fee_minor * batch.count), reference=batch.id),
        Movement(on=days[5], amount_minor=-660, note="ﾃｽｳﾘﾖｳ"),
        Movement(on=days[6], amount_minor=gross - fee, payer="ｼﾐﾕﾚ-ﾃﾂﾄﾞﾍﾟｲ(ｶ", reference="STL2"),
        Movement(on=days[6], amount_minor=back.amount_minor, note="ﾌﾘｺﾐﾌﾉｳ", reference=back.reference),
    )
    _take_in(stage, lines, opening=sum(before), made_on=days[6])


def _take_in(stage: Stage, lines: Sequence[Movement], *, opening: int, made_on: datetime.date) -> None:
    data = statement(
        bank=BANK.bank, branch=BANK.branch, number=BANK.number, opening_minor=opening, made_on=made_on, lines=lines
    )
    name = f"nyushukkin_{made_on:%Y%m%d}.txt"
    bank_work.take_in(stage.desk, stage.vault, data, name=name, by=stage.finance)


def _line_is(stage: Stage, reference: str, target: str) -> None:
    _by_two(stage, _line_wanted(stage, reference, target))


def _line_waits(stage: Stage, reference: str, target: str) -> None:
    wanted = _line_wanted(stage, reference, target)
    stage.run(lambda memory, tx: banking.propose(memory, tx, wanted, by=stage.admin))


def _line_wanted(stage: Stage, reference: str, target: str) -> BankProposal:
    with stage.database.read() as tx:
        found = bank_store.list_lines(tx, filters={}, after="", limit=100)
    line = next(each for each, _ in found if each.reference == reference)
    reason = "開設資金として計上済み" if reference.startswith("CAPITAL") else "決済会社の精算として計上済み"
    return proposal(kind="match", about=line.id, target=target, reason=reason)


def _by_two(stage: Stage, wanted: BankProposal) -> None:
    """Have one person propose something about banks, and another approve it ten minutes later."""
    made = stage.run(lambda memory, tx: banking.propose(memory, tx, wanted, by=stage.finance))
    stage.clock.advance(10 * MINUTE)
    stage.run(lambda memory, tx: banking.approve_proposal(memory, tx, made.id, by=stage.admin))


# What does not match, and who sees to it.


def _reconciliation(stage: Stage) -> Iterator[Step]:
    """Compare on three of the days, close the first one, and leave finance something to do."""
    yield stage.at(2, 19), stage.reconciliation.run
    yield (
        stage.at(3, 18, 30),
        lambda: stage.run(
            lambda memory, tx: reconciling.close_reconciled(
                memory, tx, stage.days[0].isoformat(), note="開始残高を確認", despite_open=False, by=stage.finance
            )
        ),
    )
    yield stage.at(-2, 19), stage.reconciliation.run
    yield Instant(stage.ends_at - 20 * MINUTE), stage.reconciliation.run
    yield Instant(stage.ends_at - 15 * MINUTE), lambda: _propose_adjustment(stage)
    harmed = stage.earlier.rated[0]
    parameters: dict[str, str | int] = {
        "order": _special(stage, "stolen"), "account": harmed.buyer.id, "claim": "claim-3107", "amount": 8_800,
    }  # fmt: skip
    reason = "補償の申請 3107：審査で承認済み"
    yield (
        Instant(stage.ends_at - 12 * MINUTE),
        partial(
            _propose_booking, stage, "claim-3107", "compensation_from_fund", parameters, reason=reason, by=stage.admin
        ),
    )


def _propose_adjustment(stage: Stage) -> None:
    """Propose to put the money of an unknown sender into suspense."""
    with stage.database.read() as tx:
        live = exceptions.list_exceptions(
            tx, state="live", type_="missing_in_ledger", leg="bank", owner="", after=None, limit=10
        )
        line = next(
            line
            for line, _ in bank_store.list_lines(tx, filters={}, after="", limit=100)
            if line.amount_minor == 12_300
        )
    for each in live:
        if each.amount_minor == -line.amount_minor:
            parameters: dict[str, str | int] = {"exception": each.id, "bank_line": line.id, "amount": line.amount_minor}
            wanted = reconciling.Propose(
                exception=each.id,
                template="adjust_bank_up",
                currency="JPY",
                parameters=parameters,
                reason="差出人不明の入金。判明するまで仮勘定へ",
                by=stage.admin,
            )
            stage.run(lambda memory, tx: reconciling.propose(memory, tx, wanted))  # noqa: B023 - run at once
            return
