"""Money for the walk through every page: a payment at a provider, a bank with what waits, left and came in."""

import functools

import msgspec
from tests.banking.ground import HANAKO, TARO, US, statement
from tests.console.scene import PROVIDERS, Scene

from koban.app.banking import expected_commands
from koban.banking.account_routes import propose_account
from koban.banking.routes import AccountBody, BankDesk, CashOutBody, account_from
from koban.banking.types import Expected
from koban.base import SECOND
from koban.ledger import Posting, PostingCode
from koban.payments import store
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import NewPart, NewPayment, NewRefund
from koban.payments.worker import work_off
from koban.pipeline.money import make_posting

OUT_S = 70  # of silence, after which a provider counts as out
READ_AS = "/money/orders/pay?order=o2&account=b2&seller=s2&method=wallet&level=identity&amount=700"


def furnish_money(scene: Scene) -> list[str]:
    """Bring about what pages of payments and banks show; return the addresses that only forms lead to."""
    for account in ("b1", "b2"):
        post(scene, f"in-{account}", "cash_in", account=account, bank_line=f"l-{account}", amount=9_000)
    pay(scene)
    bank(scene)
    go_out(scene)
    return [
        "/money/payments/paid/refund?amount=300", READ_AS, f"/money/payments/waits/reroute?to={PROVIDERS[1]}",
        f"/money/providers/{PROVIDERS[0]}?to={PROVIDERS[1]}",
    ]  # fmt: skip


def post(scene: Scene, posting: str, template: str, **parameters: str | int) -> None:
    """Make a posting of the starter pack."""
    made = Posting(id=posting, template=template, currency="JPY", level="identity", parameters=parameters)
    result = scene.desk.command(functools.partial(make_posting, posting=made, by="koban"))
    assert result.code is PostingCode.POSTED, result


def pay(scene: Scene) -> None:
    """Pay an order by card and wallet, give some of it back, and let another card be declined."""
    assert scene.kit.payments is not None
    card = NewPart(method="card", amount_minor=3_000, token="t")
    new = NewPayment(
        id="paid", order="o1", account="b1", seller="s1", level="identity",
        parts=(card, NewPart(method="wallet", amount_minor=1_000)),
    )  # fmt: skip
    scene.kit.payments.begin(new, "koban")
    until(scene, "paid", "captured")
    scene.kit.payments.refund(NewRefund(id="some", payment="paid", amount_minor=500), "koban")
    until(scene, "paid", "partly_refunded")
    declined = msgspec.structs.replace(card, token="declined")
    scene.kit.payments.begin(msgspec.structs.replace(new, id="not", order="o2", parts=(declined,)), "koban")
    until(scene, "not", "failed")


def go_out(scene: Scene) -> None:
    """Let the first provider fall silent: one payment was sent and stays, another waits and may go to the second."""
    assert scene.kit.payments is not None
    first = scene.payment_kit.providers[PROVIDERS[0]]
    assert isinstance(first, SimulatedProvider)
    first.is_out = True
    card = NewPart(method="card", amount_minor=2_400, token="t")
    new = NewPayment(id="sent", order="o4", account="b1", seller="s1", level="identity", parts=(card,))
    scene.kit.payments.begin(new, "koban")
    for _ in range(OUT_S):
        work_off(scene.payment_kit)
        scene.clock.advance(SECOND)
    waits = scene.kit.payments.begin(msgspec.structs.replace(new, id="waits", order="o5"), "koban")
    assert waits.status == "queued", waits


def until(scene: Scene, payment: str, status: str) -> None:
    """Let the provider be asked, and time pass, until a payment has come so far."""
    for _ in range(200):
        work_off(scene.payment_kit)
        with scene.database.read() as tx:
            found = store.find(tx, payment)
        if found is not None and found.status == status:
            return
        scene.clock.advance(SECOND)
    raise AssertionError(found)


def bank(scene: Scene) -> None:
    """Let one batch leave and another wait, and bring in a statement with a line that nobody knows."""
    desk = scene.kit.bank
    assert desk is not None
    with scene.database.read() as tx:
        one, other = (str(row[0]) for row in tx.rows("SELECT id FROM staff WHERE email <> '' ORDER BY email LIMIT 2"))
    account = propose_account(desk, account_from(msgspec.convert(US, AccountBody)), reason="ours", by=one)
    assert account.proposal is not None
    desk.approve(account.proposal.id, other)
    for owner, payee in (("b1", HANAKO), ("b2", TARO)):
        cash_out(desk, f"out-{owner}", owner, payee)
        batch = desk.propose_batch("main", one)
        if owner == "b1":
            desk.approve_batch(batch.id, other)
            desk.take_file(batch.id, one)
    rows = [(700, "ﾅｿﾞ ﾉ ﾋﾄ", "", ""), (-90, "ﾃｽｳﾘﾖｳ", "", "")]
    desk.take_in(statement(rows), "day.txt", one)
    cash_out(desk, "out-later", "b2", TARO)
    awaited = Expected(
        id="awaited", reference="9001234", kind="order", owner="o3", amount_minor=4_800, currency="JPY", level=None,
        reusable=False, state="waiting", until=None, line=None, made_by="", made_at=0,
    )  # fmt: skip
    expected_commands(scene.desk).expect(awaited, "koban")


def cash_out(desk: BankDesk, name: str, owner: str, payee: object) -> None:
    """Ask for money to be sent to somebody's bank."""
    body = {"id": name, "account": owner, "amount_minor": 2_000, "fee_minor": 0, "level": "identity", "payee": payee}
    desk.request(msgspec.convert(body, CashOutBody), "koban")
