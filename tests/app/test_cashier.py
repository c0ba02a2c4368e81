"""The evening's cashier against a whole Koban over HTTP: what it paid is what the books hold, and nothing is counted twice."""

import contextlib
import dataclasses
import pathlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from tests.app.conftest import MakeSite
from tests.serving import serving

from koban.access import SYSTEM, issue_token
from koban.app import Koban, asgi, open_koban
from koban.app.demo import Warmed, cashier_token, warm
from koban.app.money import prove
from koban.audit import SeededSecrets
from koban.base import MINUTE, Clock, Instant, SystemClock
from koban.base.settings import Settings
from koban.ledger import list_books, read_totals
from koban.sim import Settings as Evening
from koban.sim import SimEvent, Target
from koban.sim.cashier import CASHIER, PAYMENT, Cashier, Kept, Order
from koban.sim.evening import evening_of
from koban.sim.plan import source_of
from koban.sim.runner import RunCounts, run

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
MINUTES = 5  # of the story
UNSETTLED = (
    "queued",
    "authorising",
    "challenged",
    "capturing",
    "refunding",
    "undoing",
)  # a buyer with a slip pays in a moment


@dataclasses.dataclass(kw_only=True)
class Played:
    """A piece of an evening that was played, with whoever paid for it."""

    koban: Koban
    cashier: Cashier
    counts: RunCounts
    warmed: Warmed


@contextlib.contextmanager
def played(settings: Settings, evening: Evening, *, past: bool) -> Iterator[Played]:
    """Play the first minutes of an evening as fast as Koban answers, and wait until nothing is under way."""
    clock: Clock = SystemClock()
    settings = dataclasses.replace(settings, pack=STARTER)
    warmed = warm(settings, evening, random.Random(1), SeededSecrets(5)) if past else Warmed()
    short = msgspec.structs.replace(evening, duration=MINUTES * MINUTE)
    with contextlib.ExitStack() as stack:
        koban = stack.enter_context(
            open_koban(settings, clock, random.Random(3), SeededSecrets(6), durable=False, simulated=True)
        )
        with koban.database.write() as tx:
            _, token = issue_token(
                tx,
                clock.now(),
                random.Random(4),
                SeededSecrets(7),
                by=SYSTEM,
                name="shop",
                scopes=("events.write",),
                days=1,
            )
        secret = stack.enter_context(cashier_token(koban, is_wanted=True))
        port = stack.enter_context(serving(asgi(koban)))
        url = f"http://127.0.0.1:{port}"
        cashier = Cashier(url, secret, warmed.kept)
        stack.callback(cashier.close)
        counts = run(
            Target(base_url=url, token=token), short, clock=clock, stop=threading.Event(), speed=None, cashier=cashier
        )
        while _under_way(koban):
            time.sleep(0.1)
        yield Played(koban=koban, cashier=cashier, counts=counts, warmed=warmed)


def _under_way(koban: Koban) -> int:
    marks = ", ".join("?" for _ in UNSETTLED)
    with koban.database.read() as tx:
        return int(tx.rows(f"SELECT count(*) FROM payments WHERE status IN ({marks})", UNSETTLED)[0][0])


def test_the_books_hold_what_the_cashier_says_is_open(site_of: MakeSite) -> None:
    site = site_of("demo")
    evening = evening_of(1, SystemClock().now())
    with played(site.settings, evening, past=True) as one, one.koban.database.read() as tx:
        counts = one.cashier.counts
        assert counts.paid > 15
        assert counts.completed > 5
        assert (counts.refused, counts.lost, one.counts.refused) == (0, 0, 0)
        totals = read_totals(tx)
        assert sum(each.debits_posted_minor - each.credits_posted_minor for each in totals) == 0
        taken = {str(row[0]) for row in tx.rows("SELECT order_ref FROM payments WHERE status = 'captured'")}
        held = {
            str(book.owner): book.net_credit_minor
            for _, book in list_books(tx, code="escrow", owner=None, after=0, limit=1_000)
        }
        should = {order: price for order, price in one.cashier.open_orders().items() if order in taken}
        assert len(should) > 20
        assert {order: held[order] for order in should} == should
        # Nothing is decided twice: no payment that went through Koban was sent as an event as well.
        source = source_of(evening)
        sent = {str(row[0]) for row in tx.rows("SELECT event_id FROM log_entries WHERE source = ?", (source,))}
        paid = {str(row[0]) for row in tx.rows("SELECT event_id FROM log_entries WHERE source = 'koban:payments'")}
        assert len({each for each in paid if each.startswith("e-")}) == counts.paid
        assert not sent & paid
        report = prove(one.koban.database, site.settings.data, one.koban.signing_key.public)
        assert report.broken is None


def test_the_same_seed_pays_the_same(site_of: MakeSite) -> None:
    evening = evening_of(1, SystemClock().now())

    def booked(name: str) -> Counter[tuple[object, ...]]:
        with played(site_of(name).settings, evening, past=False) as one, one.koban.database.read() as tx:
            rows = tx.rows("SELECT order_ref, reason, amount FROM ledger_transfers")
            return Counter(tuple(row) for row in rows)

    first = booked("one")
    assert first.total() > 30
    assert booked("other") == first


def test_the_cashier_s_token_was_given_by_name_and_ends_with_the_demonstration(site_of: MakeSite) -> None:
    site = site_of("demo")
    site = dataclasses.replace(site, settings=dataclasses.replace(site.settings, pack=STARTER))
    with open_koban(site.settings, site.clock, random.Random(3), site.secrets, durable=False, simulated=True) as koban:
        with cashier_token(koban, is_wanted=False) as nothing:
            assert nothing == ""
        with cashier_token(koban, is_wanted=True) as secret, koban.database.read() as tx:
            assert secret
            assert [tuple(row) for row in tx.rows("SELECT name, revoked_at FROM api_tokens")] == [(CASHIER, None)]
        with koban.database.read() as tx:
            assert tx.rows("SELECT count(*) FROM api_tokens WHERE revoked_at IS NULL")[0][0] == 0
    with open_koban(site.settings, site.clock, random.Random(3), site.secrets, durable=False) as real:
        real.providers.by_name["shop"] = object()  # type: ignore[assignment]  # a provider that is not simulated
        with cashier_token(real, is_wanted=True) as nothing:
            assert nothing == ""
        real.providers.by_name.clear()


@pytest.mark.parametrize(
    ("data", "takes"),
    [
        ({"method": "card", "three_d_secure": True}, True),
        ({"method": "card", "three_d_secure": False}, False),
        ({"method": "card", "three_d_secure": True, "declined": True}, False),
        ({"method": "convenience_store"}, True),
        ({"method": "wallet"}, False),
        ({"method": "wallet", "buyer": "rich"}, True),
        ({"method": "shells"}, False),
        ({"method": "card", "three_d_secure": True, "order": {"id": "nobody's"}}, False),
    ],
)
def test_what_an_older_checkout_does_stays_an_event(data: dict[str, object], *, takes: bool) -> None:
    order = Order(id="o1", buyer="b1", seller="s1", price_minor=900)
    cashier = Cashier("http://127.0.0.1:9", "none", Kept(orders=(order,), wallets={"rich": 900}))
    event = SimEvent(
        id="e1", source="sim://x/1", type=PAYMENT, at=Instant(0), subject="p1", actor=str(data.get("buyer", "b1")),
        data={"order": {"id": "o1"}, "amount_minor": 900, **data},
    )  # fmt: skip
    assert cashier.takes(event) is takes
    cashier.close()
