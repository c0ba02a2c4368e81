"""The money of the days before a demonstration's evening: true books, something to do for finance, and the same for a seed."""

import dataclasses
import pathlib
import random
from collections import Counter

import pytest
from tests.app.conftest import MakeSite, Site

from koban.access import second_fault
from koban.app.demo import warm
from koban.app.money import prove
from koban.app.yesterday import BANK, CAPITAL_MINOR
from koban.banking import store as bank_store
from koban.base import DAY, HOUR, Instant, ManualClock
from koban.ledger import list_books, read_totals
from koban.sim.evening import evening_of
from koban.sim.orders import earlier_of

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"


def told(site: Site, at: Instant | None = None) -> Site:
    """Tell the days before an evening, and return the site with the pack that it was told with."""
    site = dataclasses.replace(site, settings=dataclasses.replace(site.settings, pack=STARTER))
    warm(site.settings, evening_of(1, at or site.clock.now()), random.Random(1), site.secrets)
    return site


def test_the_books_of_the_days_before_add_up_and_hold_the_evening_s_open_orders(site_of: MakeSite) -> None:
    site = told(site_of("demo"))
    earlier = earlier_of(evening_of(1, site.clock.now()))
    with site.open() as koban, koban.database.read() as tx:
        totals = read_totals(tx)
        assert sum(each.debits_posted_minor - each.credits_posted_minor for each in totals) == 0
        held = {
            book.owner: book.net_credit_minor
            for _, book in list_books(tx, code="escrow", owner=None, after=0, limit=500)
        }
        open_orders = {deal.order: deal.listing.price_minor for deal in earlier.rated}
        assert {order: held[order] for order in open_orders} == open_orders
        others = {
            str(owner).split("-", 2)[2]: left for owner, left in held.items() if owner not in open_orders and left
        }
        assert others == {"bank": 8_640, "unknown": 4_980, "late": 9_900}
        report = prove(koban.database, site.settings.data, koban.signing_key.public)
        assert report.broken is None
        assert report.transfers > 150


def test_finance_finds_something_of_each_kind_to_do_and_two_people_did_the_rest(site_of: MakeSite) -> None:
    site = told(site_of("demo"))
    with site.open() as koban, koban.database.read() as tx:
        live = tx.rows("SELECT type, state FROM reconciliation_exceptions WHERE state IN ('open', 'proposed')")
        found = Counter((row[0], row[1]) for row in live)
        late = found.pop(("late", "open"))
        assert late >= 1
        assert found == {
            ("missing_at_provider", "open"): 1,
            ("missing_in_ledger", "proposed"): 1,
            ("duplicated", "open"): 1,
            ("fee_differs", "open"): 1,
        }
        assert Counter(row[0] for row in tx.rows("SELECT status FROM ledger_bookings")) == {"approved": 3, "waiting": 1}
        assert Counter(row[0] for row in tx.rows("SELECT state FROM bank_batches")) == {"released": 1, "proposed": 1}
        assert Counter(row[0] for row in tx.rows("SELECT state FROM bank_proposals")) == {"approved": 3, "waiting": 1}
        states = Counter(row[0] for row in tx.rows("SELECT state FROM bank_cash_outs"))
        assert states == {"paid": 7, "returned": 1, "drafted": 5}
        assert Counter(row[0] for row in tx.rows("SELECT state FROM bank_expected")) == {"waiting": 2, "met": 2}
        account = bank_store.find_account(tx, BANK.id)
        assert account is not None
        assert second_fault(tx, account.added_by, account.approved_by) == ""
        # Whoever opens the role of finance can decide whatever waits, because another person proposed it.
        waiting = [row[0] for row in tx.rows("SELECT proposed_by FROM bank_batches WHERE state = 'proposed'")]
        waiting += [row[0] for row in tx.rows("SELECT proposed_by FROM bank_proposals WHERE state = 'waiting'")]
        waiting += [row[0] for row in tx.rows("SELECT proposed_by FROM ledger_bookings WHERE status = 'waiting'")]
        waiting += [row[0] for row in tx.rows("SELECT \"by\" FROM reconciliation_proposals WHERE status = 'waiting'")]
        assert waiting == ["staff_demo_admin"] * 4
        assert tx.rows("SELECT closed_through FROM ledger_head")[0][0]
        bank = next(each for each in read_totals(tx) if each.code == "bank")
        assert bank.debits_posted_minor > CAPITAL_MINOR


def test_the_past_s_money_harms_nobody_and_leaves_no_machine_s_token(site_of: MakeSite) -> None:
    site = told(site_of("demo"))
    with site.open() as koban, koban.database.read() as tx:
        assert [row[0] for row in tx.rows("SELECT DISTINCT verdict FROM decisions")] == ["allow"]
        for table in ("sanctions", "cases", "actions", "alerts"):
            assert tx.rows(f"SELECT count(*) FROM {table}")[0][0] == 0, table
        assert tx.rows("SELECT count(*) FROM api_tokens WHERE revoked_at IS NULL")[0][0] == 0
        given = tx.rows("SELECT details FROM audit_entries WHERE action = 'token.issued'")
        assert len(given) == 1
        assert "ledger.post" in str(given[0][0])


def test_equal_seeds_keep_equal_books(site_of: MakeSite) -> None:
    def booked(site: Site) -> list[tuple[object, ...]]:
        with site.open() as koban, koban.database.read() as tx:
            return [
                tuple(row)
                for row in tx.rows("SELECT id, reason, amount, booking_date FROM ledger_transfers ORDER BY position")
            ]

    one, other = booked(told(site_of("one"))), booked(told(site_of("other")))
    assert len(one) > 150
    assert one == other


@pytest.mark.parametrize(("day", "hours"), [(4, 3), (11, 20), (66, 9)])  # a Sunday, a holiday's eve, the end of a year
def test_they_can_be_told_at_any_hour_and_on_any_day(site_of: MakeSite, day: int, hours: int) -> None:
    site = site_of("demo")
    site = dataclasses.replace(site, clock=ManualClock(Instant(site.clock.now() + day * DAY + hours * HOUR)))
    site = told(site)
    with site.open() as koban, koban.database.read() as tx:
        assert Counter(row[0] for row in tx.rows("SELECT state FROM bank_batches")) == {"released": 1, "proposed": 1}
        types = {row[0] for row in tx.rows("SELECT type FROM reconciliation_exceptions WHERE state <> 'cleared'")}
        assert {"duplicated", "fee_differs", "missing_in_ledger", "missing_at_provider"} <= types
