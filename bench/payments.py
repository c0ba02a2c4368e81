"""Payments through the saga with the simulated provider, and files of a bank: 10,000 cash-outs out, 10,000 lines in.

A whole Koban on SQLite with fsync on and the starter pack's rules: each payment is decided before anything is tried. The
bank's part runs in a process of its own, so that the most memory is its own.
"""

import contextlib
import datetime
import json
import pathlib
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bench.measure import ROOT, Row, Size, quantile, run_child
from koban.access.store import insert_staff
from koban.access.types import Staff
from koban.app import Koban, open_koban
from koban.app.banking import bank_desk
from koban.app.garbage import short_collections
from koban.app.money import ledger_commands
from koban.app.payments import payment_commands
from koban.audit import SystemSecrets
from koban.banking import calendar, expected_store, store, zengin
from koban.banking.routes import AccountBody, BankDesk, CashOutBody, PayeeBody, account_from
from koban.banking.types import Batch, BatchEmpty, Expected, Order, Payee
from koban.base import Instant, SystemClock
from koban.base.settings import read_settings
from koban.ledger import Posting
from koban.payments import store as payment_store
from koban.payments.routes import Commands
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import NewPart, NewPayment, NewPayout

CLIENTS: Final = 8
WAIT_S: Final = 600.0
PRICE: Final = 3_000
BY: Final = "staff_anna"
SECOND: Final = "staff_ben"
US: Final = AccountBody(
    id="main", title="みずほ", bank="0001", branch="001", number="1234567", name="コバン（カ", consignor="123456789"
)
HANAKO: Final = PayeeBody(bank="0005", branch="001", type="ordinary", number="42", name="ヤマダ　ハナコ")
UNKNOWN_SHARE: Final = 10  # one line in so many is expected by nobody


def measure_payments(size: Size) -> list[Row]:
    """Measure payments authorised, captured and paid out, then a bank's files."""
    count = 2_000 if size.stored_events else 24
    with tempfile.TemporaryDirectory(prefix="koban-bench-") as name, _koban(pathlib.Path(name)) as koban:
        rows = _payments(koban, count)
    lines = 10_000 if size.stored_events else 60
    found = json.loads(run_child("bench.payments", str(lines)).splitlines()[-1])
    return rows + [Row(bench="payments", **each) for each in found]


@contextlib.contextmanager
def _koban(folder: pathlib.Path) -> Iterator[Koban]:
    pack = ROOT / "packs" / "starter"
    settings = read_settings({"KOBAN_DATA": str(folder / "data"), "KOBAN_PACK": str(pack)})
    clock = SystemClock()
    with (
        short_collections(),  # as a server runs
        open_koban(settings, clock, random.Random(1), SystemSecrets(), simulated=True) as koban,
    ):
        # The one that is opened writes its whole memory to a file at each call, which a provider's servers do not do here.
        koban.providers.by_name["simulated"] = SimulatedProvider("simulated", clock.now)
        yield koban


def _payments(koban: Koban, count: int) -> list[Row]:
    commands = payment_commands(koban)
    ids, payouts = [f"p{number}" for number in range(count)], [f"out{number}" for number in range(count)]
    for each in payouts:
        _fund(koban, f"payee-{each}", PRICE)
    rows = _timed(koban, ("authorised", "authorise"), ids, lambda each: _authorise(commands, each))
    rows += _timed(koban, ("captured", "capture"), ids, lambda each: commands.capture(each, BY))
    rows += _timed(koban, ("paid out", "payout"), payouts, lambda each: _pay_out(commands, each))
    alone = [f"alone{number}" for number in range(max(4, count // 20))]
    took = []
    for each in alone:
        begun = time.perf_counter()
        _authorise(commands, each, capture=True)
        _wait(koban, [each])
        took.append((time.perf_counter() - begun) * 1_000)
    note = f"decided, authorised, captured and booked, one after the other; median {quantile(took, 0.5):.1f} ms"
    return [
        *rows,
        Row(bench="payments", what="one payment alone, p99", value=quantile(took, 0.99), unit="ms", note=note),
    ]


def _authorise(commands: Commands, payment: str, *, capture: bool = False) -> None:
    card = NewPart(method="card", amount_minor=PRICE, token="bench")  # noqa: S106 - stands for a card
    commands.begin(
        NewPayment(
            id=payment, order=f"order-{payment}", account=f"buyer-{payment}", parts=(card,), level="identity",
            capture=capture,
        ),
        BY,
    )  # fmt: skip


def _pay_out(commands: Commands, payout: str) -> None:
    token = "bank"  # noqa: S105 - stands for an account
    new = NewPayout(id=payout, account=f"payee-{payout}", amount_minor=PRICE, level="identity", token=token)
    commands.begin_payout(new, BY)


def _timed(koban: Koban, what: tuple[str, str], ids: Sequence[str], begin: Callable[[str], object]) -> list[Row]:
    """Begin a step for every payment at once and wait for the last; the decider's commands and provider's calls included."""
    (done_word, kind), begun, cpu = what, time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(begin, ids))
    _wait(koban, ids)
    took, spent = time.perf_counter() - begun, time.process_time() - cpu
    with koban.database.read() as tx:
        steps = [one for each in ids for one in payment_store.steps_of(tx, each) if one.kind == kind]
    done = [(each.done_at - each.created_at) / 1_000 for each in steps if each.done_at is not None]
    assert len(done) * 2 >= len(ids), (
        f"{len(done)} of {len(ids)} were {done_word}: rules or the provider stopped the others"
    )
    note = f"{len(done):,} of {len(ids):,}, {CLIENTS} clients at once; {spent / len(ids) * 1e3:.2f} ms CPU each"
    return [
        Row(bench="payments", what=f"payments {done_word}", value=len(done) / took, unit="/s", higher_is_better=True, note=note),
        Row(bench="payments", what=f"payments {done_word}, p99 of a step", value=quantile(done, 0.99), unit="ms",
            note="from stored to booked, waiting for its turn included: all are begun at once"),
    ]  # fmt: skip


def _wait(koban: Koban, ids: Sequence[str]) -> None:
    """Wait until no step of these payments is open and none is still to begin."""
    ends = time.monotonic() + WAIT_S
    left = list(ids)
    while left:
        with koban.database.read() as tx:
            found = [payment_store.find(tx, each) for each in left[:CLIENTS]]
        left = [
            each.id
            for each in found
            if each is not None and each.status in {"authorising", "capturing", "paying_out", "queued"}
        ] + left[CLIENTS:]
        assert time.monotonic() < ends, f"{len(left)} payments did not get there"
        time.sleep(0.001)


def _fund(koban: Koban, account: str, amount: int) -> None:
    given: dict[str, str | int] = {"account": account, "bank_line": f"line-{account}", "amount": amount}
    posting = Posting(id=f"in.{account}", template="cash_in", currency="JPY", parameters=given, level="identity")
    assert ledger_commands(koban).post(posting, BY).stands


# A bank's files, in a process of their own.


def measure_bank(count: int) -> list[dict[str, object]]:
    """Ask for cash-outs, let their files leave, write the same as plain files, bring a statement in."""
    with tempfile.TemporaryDirectory(prefix="koban-bench-") as name, _koban(pathlib.Path(name)) as koban:
        desk = bank_desk(koban.desk, koban.vault)
        _open_account(koban)
        ids = [f"c{number}" for number in range(count)]
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(lambda each: _fund(koban, each, 2 * PRICE), ids))
            asked = _clock()
            list(clients.map(lambda each: _ask(desk, each), ids))
        rows = [_row("cash-outs asked for", count, asked(), f"{CLIENTS} clients; each sealed, reserved and durable")]
        left = _clock()
        batches = _let_leave(desk)
        files = [desk.take_file(each.id, BY)[1] for each in batches]
        note = f"{len(batches)} batches of two people, {sum(map(len, files)):,} bytes; each settled into transit"
        rows.append(_row("cash-outs drafted, approved and written as zengin", count, left(), note))
        rows.append(_write_plainly(count))
        data = _statement(koban, batches, count)
        brought = _clock()
        desk.take_in(data, "day.txt", BY)
        spent = brought()
        with koban.database.read() as tx:
            waiting = sum(store.count_exceptions(tx).values())
        note = f"{len(data):,} bytes; {count - waiting:,} matched and booked, {waiting:,} wait for a person"
        rows.append(_row("lines of a statement brought in and matched", count, spent, note))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    note = "resident, the whole application with its pack, cash-outs, files and statement"
    return [
        *rows,
        {"what": f"{count:,} cash-outs and lines, the most memory", "value": peak, "unit": "MiB", "note": note},
    ]


def _clock() -> Callable[[], tuple[float, float]]:
    begun, cpu = time.perf_counter(), time.process_time()
    return lambda: (time.perf_counter() - begun, time.process_time() - cpu)


def _row(what: str, count: int, spent: tuple[float, float], note: str) -> dict[str, object]:
    note = f"{note}; {spent[1] / count * 1e3:.2f} ms CPU each"
    return {"what": what, "value": count / spent[0], "unit": "/s", "higher_is_better": True, "note": note}


def _open_account(koban: Koban) -> None:
    """Open our account at a bank, and hire the two who work with it."""
    with koban.database.write() as tx:
        store.save_account(tx, account_from(US))
        for each in (BY, SECOND):
            staff = Staff(
                id=each, email=f"{each}@koban.test", name=each, roles=("finance",), has_password=False,
                created_at=koban.clock.now(), disabled_at=None,
            )  # fmt: skip
            insert_staff(tx, staff)


def _ask(desk: BankDesk, account: str) -> None:
    amount = PRICE + int(account[1:]) % 97  # so that no two batches have the same sum
    body = CashOutBody(id=f"out.{account}", account=account, amount_minor=amount, level="identity", payee=HANAKO)
    desk.request(body, BY)


def _let_leave(desk: BankDesk) -> list[Batch]:
    found = list[Batch]()
    while True:
        try:
            proposed = desk.propose_batch(US.id, BY)
        except BatchEmpty:
            return found
        found.append(desk.approve_batch(proposed.id, SECOND))


def _write_plainly(count: int) -> dict[str, object]:
    """Write the same cash-outs as files alone, without database: as many to a file as the format's limit allows."""
    payee = Payee(bank=HANAKO.bank, branch=HANAKO.branch, type=HANAKO.type, number=HANAKO.number, name=HANAKO.name)
    orders = [Order(reference=f"KB{number:010d}", payee=payee, amount_minor=PRICE) for number in range(count)]
    originator, day = account_from(US).originator, datetime.date(2026, 10, 1)
    spent = _clock()
    files = [
        zengin.write_transfer(originator, orders[begin : begin + zengin.ORDERS_MAX], day)
        for begin in range(0, count, zengin.ORDERS_MAX)
    ]
    return _row(
        "the same written as zengin alone", count, spent(), f"{len(files)} files of {zengin.ORDERS_MAX:,} at most"
    )


def _statement(koban: Koban, batches: Sequence[Batch], count: int) -> bytes:
    """Write 入出金取引明細 in which every batch left and orders are paid, most of them by a reference that is expected."""
    rows = [(-each.total_minor, "") for each in batches]
    now = koban.clock.now()
    with koban.database.write() as tx:
        for number in range(count - len(batches)):
            reference = f"ORD{number:07d}"
            rows.append((PRICE, reference))
            if number % UNKNOWN_SHARE:
                expected_store.insert(tx, _expected(number, reference, now))
    day = calendar.local_day(bank_desk(koban.desk, koban.vault).hours(), now)
    return _zengin_statement(
        rows, f"{day.year - 2018:02d}{day:%m%d}", opening=sum(each.total_minor for each in batches)
    )


def _expected(number: int, reference: str, now: Instant) -> Expected:
    return Expected(
        id=f"e{number}", reference=reference, kind="order", owner=f"order{number}", amount_minor=PRICE, currency="JPY",
        level=None, reusable=False, state="waiting", until=None, line=None, made_by=BY, made_at=now,
    )  # fmt: skip


def _zengin_statement(rows: Sequence[tuple[int, str]], day: str, *, opening: int) -> bytes:
    us = US.bank + " " * 15 + US.branch + " " * 15 + "   1" + US.number.zfill(10) + " " * 40
    records = ["1030" + day * 3 + us + "11" + f"{opening:014d}" + " " * 71]
    for number, (amount, reference) in enumerate(rows, start=1):
        side = "1" if amount > 0 else "2"
        records.append(
            "2" + f"{number:08d}" + day * 2 + side + "11" + f"{abs(amount):012d}" + "0" * 12 + " " * 33
            + "ﾔﾏﾀﾞ ﾊﾅｺ".ljust(48) + " " * 50 + reference.ljust(20) + " "
        )  # fmt: skip
    came, went = [row[0] for row in rows if row[0] > 0], [-row[0] for row in rows if row[0] < 0]
    closing = opening + sum(came) - sum(went)
    records.append(
        f"8{len(came):06d}{sum(came):013d}{len(went):06d}{sum(went):013d}1{closing:014d}{len(rows):07d}" + " " * 139
    )
    records.append("9" + f"{len(records) + 1:010d}00001" + " " * 184)
    return "".join(record + "\r\n" for record in records).encode("cp932")


if __name__ == "__main__":
    print(json.dumps(measure_bank(int(sys.argv[1]))))
