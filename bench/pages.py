"""Pages of the console over a large log with many people at them, and what the board costs the decider.

The log is a few thousand simulated events, decided for real and then multiplied in the database to its full size with
their decisions, signals and index; cases and sanctions likewise. A server process then answers; one client times each
page while the others keep their boards open and walk about.
"""

import concurrent.futures
import itertools
import json
import pathlib
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import httpx

from bench.boards import BATCHES, PAIRS, decider_seconds, measure_boards
from bench.measure import Row, Size, quantile
from bench.server import Server, serving
from koban.access import SYSTEM
from koban.access import actions as access_actions
from koban.audit import SystemSecrets
from koban.base import HOUR, Instant, SystemClock
from koban.base.settings import Settings
from koban.console.pages import NAVIGATION
from koban.db import Database, Tx
from koban.events import decode
from koban.finding import follow
from koban.packs import load_pack
from koban.sim import Settings as SimSettings
from koban.sim import Size as SimSize
from koban.sim import plan, wire

PAGE_MAX_MS: Final = 200.0
PLAIN: Final = tuple(item.path for _, items in NAVIGATION for item in items if item.name not in ("logs", "truth"))
FILTERED: Final = (
    "/board/live", "/search?q=u-", "/search?q=%E7%9B%B4%E5%8F%96%E5%BC%95", "/decisions?verdict=block",
    "/decisions?type=payout.requested", "/decisions?source=nobody", "/decisions?account=nobody", "/events?source=nobody",
    "/events?kind=change", "/accounts?state=any", "/accounts?q=u-", "/accounts?case=1", "/cases?status=closed", "/cases?mine=1", "/cases/figures", "/sanctions?status=in_force",
    "/sanctions?subject=nobody", "/sanctions?rule=nobody", "/actions?status=dead", "/actions?subject=nobody",
    "/audit?action=view.", "/rules/all-to-review", "/emergency/undo", "/lab",
)  # fmt: skip
ROUNDS: Final = 7
SANCTION_COPIES_MAX: Final = 60  # as many sanctions stand as a year of the evening would leave, and no more
SLOWEST: Final = 8  # that are named
BATCH: Final = 120  # events that are sent at once while boards are open or shut
THINK_S: Final = 10.0  # between two pages of one person, all fifty at once
STARTER: Final = pathlib.Path(__file__).resolve().parent.parent / "packs" / "starter"


def measure_pages(size: Size) -> list[Row]:
    """Measure every page of the navigation and one of each kind that they lead to, with people at the console."""
    big = size.stored_events > 0
    events, cases, people = (size.page_events, size.page_events // 10, 50) if big else (900, 60, 2)
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder)
        secrets, linked = _fill(data, events=events, cases=cases, people=people)
        with serving(data, STARTER) as server:
            pages = (*PLAIN, *FILTERED, *linked)
            return _measure(server, secrets, pages, rounds=ROUNDS if big else 1, events=events, cases=cases)


def _measure(
    server: Server, secrets: list[str], pages: Sequence[str], *, rounds: int, events: int, cases: int
) -> list[Row]:  # fmt: skip
    url = f"http://127.0.0.1:{server.port}"
    crowd = _Crowd(url, secrets[1:])
    with httpx.Client(base_url=url, cookies={"koban_session": secrets[0]}, timeout=60) as client:
        crowd.start()
        times: dict[str, list[float]] = {path: [] for path in pages}
        for _ in range(rounds + 1):  # each page once in a round: a busy moment does not hit one page alone
            for path in pages:
                times[path].append(_ms(client, path))
        crowd.stop()
    first = [each[0] for each in times.values()]
    times = {path: each[1:] for path, each in times.items()}
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {server.token}"}, timeout=60) as sender:
        boards = measure_boards(
            server.port, server.pid, secrets[1:], _sender(sender), lambda: decider_seconds(sender.get("/metrics").text),
            pairs=PAIRS if rounds > 1 else 1, batches=BATCHES if rounds > 1 else 1,
        )  # fmt: skip
    slowest = sorted(((quantile(each, 0.5), path) for path, each in times.items()), reverse=True)
    every = list(itertools.chain.from_iterable(times.values()))
    note = f"{events:,} events, {cases:,} open cases, {len(secrets)} signed in, each with the board open"
    return [
        Row(bench="pages", what=f"{len(pages)} pages, p50", value=quantile(every, 0.5), unit="ms", note=note),
        Row(bench="pages", what=f"{len(pages)} pages, p95", value=quantile(every, 0.95), unit="ms", target=PAGE_MAX_MS),
        Row(bench="pages", what="first look after a start, p50", value=quantile(first, 0.5), unit="ms"),
        *(
            Row(bench="pages", what=f"median of {path}", value=ms, unit="ms", target=PAGE_MAX_MS)
            for place, (ms, path) in enumerate(slowest)
            if place < SLOWEST or ms > PAGE_MAX_MS
        ),
        *boards,
    ]  # fmt: skip


def _ms(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    answer = client.get(path)
    took = (time.perf_counter() - start) * 1_000
    assert answer.status_code == 200, (path, answer.status_code)
    return took


class _Crowd:
    """People with the board open who look at a page now and then."""

    def __init__(self, url: str, secrets: list[str]) -> None:
        self._url, self._secrets = url, secrets
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for place, secret in enumerate(self._secrets):
            self._threads.append(threading.Thread(target=self._watch, args=(secret,), daemon=True))
            self._threads.append(threading.Thread(target=self._walk, args=(secret, place), daemon=True))
        for each in self._threads:
            each.start()
        time.sleep(1.5)

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(timeout=10)

    def _watch(self, secret: str) -> None:
        with (
            httpx.Client(base_url=self._url, cookies={"koban_session": secret}, timeout=30) as client,
            client.stream("GET", "/board/stream") as answer,
        ):
            for _ in answer.iter_raw():
                if self._stop.is_set():
                    return

    def _walk(self, secret: str, place: int) -> None:
        randomness = random.Random(place)
        with httpx.Client(base_url=self._url, cookies={"koban_session": secret}, timeout=60) as client:
            while not self._stop.wait(randomness.uniform(0.5, 1.5) * THINK_S):
                client.get(randomness.choice(PLAIN))


def _sender(client: httpx.Client) -> Callable[[], int]:
    """Return what sends a batch of events that are new and says how many they were."""
    numbers = itertools.count()

    def send() -> int:
        batch = _batch(next(numbers))
        answer = client.post(
            "/v1/events", content=batch, headers={"content-type": "application/cloudevents-batch+json"}
        )
        assert answer.status_code == 200, answer.text[:300]
        return BATCH

    return send


def _batch(number: int) -> bytes:
    settings = SimSettings(
        seed=1_000 + number,
        start_at=SystemClock().now(),
        duration=HOUR,
        size=SimSize(people=200, events_per_minute=400),
    )
    events = [wire(each) for each in itertools.islice(plan(settings), BATCH)]
    return json.dumps([{**each, "id": f"b{number}-{each['id']}"} for each in events], ensure_ascii=False).encode()


def _fill(data: pathlib.Path, *, events: int, cases: int, people: int) -> tuple[list[str], list[str]]:
    """Make the log and the sessions; return the sessions' secrets, and pages that lists lead to."""
    from koban.app.running import open_koban  # late: it brings the whole application

    settings = Settings(
        data=data, database_url=f"sqlite:///{data}/koban.db", pack=STARTER, host="127.0.0.1", port=0,
        public_url="http://127.0.0.1", strict=False, allow_private_webhooks=True, log_level="error", zone="Asia/Tokyo",
        smtp_url="", mail_from="",
    )  # fmt: skip
    with open_koban(settings, SystemClock(), random.Random(1), SystemSecrets(), durable=False) as koban:
        for batch in _first(koban.clock.now(), min(events, 6_000)):
            done: concurrent.futures.Future[object] = koban.desk.submit(  # type: ignore[assignment]  # only waited for
                decode(batch, "application/json"), koban.clock.now(), asynchronous=False, hurried=False
            )
            done.result(timeout=120)
        while follow(koban.database, load_pack(STARTER).events):
            pass
        with koban.database.write() as tx:
            secrets = list(_sessions(tx, koban.clock.now(), people))
    database = Database.open(settings.database_url, durable=False, index=True)
    try:
        with database.write() as tx:
            copies, last, width = _multiply(tx, events=events, cases=cases)
            linked = list(_linked(tx))
            newest = tx.rows("SELECT seq, log_at FROM log_entries ORDER BY seq DESC LIMIT 1")[0]
        with database.write_index() as tx:
            for copy in range(1, copies + 1):
                for table in ("entry_subjects", "account_acts"):
                    _copy(tx, table, {"seq": f"seq + {copy * width}"}, f"seq <= {last}")
            tx.change("UPDATE index_place SET seq = ?, log_at = ?", newest)
            tx.rows("ANALYZE")
        return secrets, linked
    finally:
        database.close()


def _linked(tx: Tx) -> Iterator[str]:
    """Return one page of each kind: those with the most on them, since they are the slowest."""
    for verdict in ("allow", "block"):
        yield f"/decisions/{_one(tx, 'SELECT max(seq) FROM decisions WHERE verdict = ?', verdict)}"
    account = _one(
        tx, "SELECT acting FROM decisions WHERE acting IS NOT NULL GROUP BY acting ORDER BY count(*) DESC LIMIT 1"
    )
    yield f"/subjects/account/{account}"
    yield f"/decisions?account={account}"
    yield f"/events?account={account}"
    rule = _one(tx, "SELECT rule FROM signals GROUP BY rule ORDER BY count(*) DESC LIMIT 1")
    yield from (f"/rules/{rule}", f"/rules/{rule}/mode?to=shadow", f"/rules/{rule}/undo", f"/decisions?rule={rule}")
    case = _one(tx, "SELECT id FROM cases WHERE status = 'open' ORDER BY signals DESC, id LIMIT 1")
    queue = _one(tx, "SELECT queue FROM cases WHERE status = 'open' GROUP BY queue ORDER BY count(*) DESC LIMIT 1")
    yield from (f"/cases/{case}", f"/cases?queue={queue}")
    sanction = _one(tx, "SELECT max(id) FROM sanctions WHERE status = 'in_force'")
    yield from (f"/sanctions/{sanction}", f"/sanctions/{sanction}/overturn")
    yield f"/versions/{_one(tx, 'SELECT max(digest) FROM pack_activations')}"


def _one(tx: Tx, sql: str, *values: object) -> str:
    return str(tx.rows(sql, values)[0][0])


def _first(at: Instant, count: int) -> Iterator[bytes]:
    settings = SimSettings(
        seed=5, start_at=Instant(at - HOUR), duration=HOUR, size=SimSize(people=1_500, events_per_minute=count // 20)
    )
    left = itertools.islice(plan(settings), count)
    while some := [wire(each) for each in itertools.islice(left, 250)]:
        yield json.dumps(some, ensure_ascii=False).encode()


def _sessions(tx: Tx, at: Instant, people: int) -> Iterator[str]:
    randomness, secrets = random.Random(2), SystemSecrets()
    for place in range(people):
        role = ("admin", "lead", "specialist", "reviewer", "auditor")[place % 5]
        one, _ = access_actions.invite_staff(
            tx, at, randomness, secrets, by=SYSTEM, email=f"p{place}@bench.test", name=f"Person {place}", roles=(role,)
        )
        yield access_actions.open_session(tx, at, randomness, secrets, owner=one, how="bench").secret


def _multiply(tx: Tx, *, events: int, cases: int) -> tuple[int, int, int]:
    """Copy what was decided until there is enough of it, older copies first to last; times rise with places.

    Return how many copies there are, the last place of what is copied, and how far apart copies are.
    """
    first, last, begin, end = (
        int(value or 0)
        for value in tx.rows(
            "SELECT min(seq), max(seq), min(log_at), max(log_at) FROM log_entries WHERE kind = 'event'"
        )[0]
    )
    width, span = last - first + 1, end - begin + 1_000_000
    there = int(tx.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'")[0][0])
    copies = max(0, -(-events // there) - 1)
    for table in ("log_entries", "decisions", "signals"):  # what there is becomes the oldest part
        tx.change(f"UPDATE {table} SET log_at = log_at - ?", (copies * span,))
    for copy in range(1, copies + 1):
        by, later = copy * width, copy * span
        special = {"seq": f"seq + {by}", "log_at": f"log_at + {later}"}
        _copy(tx, "log_entries", special | {"event_id": f"event_id || '-{copy}'"},
              f"seq <= {last} AND kind = 'event'")  # fmt: skip
        _copy(tx, "decisions", special, f"seq <= {last}")
        _copy(tx, "signals", special, f"seq <= {last}")
    tx.change("UPDATE feature_watermark SET seq = ?", (last + copies * width,))  # copies are sealed for other places
    for doubling in itertools.count():
        have = int(tx.rows("SELECT count(*) FROM cases WHERE status = 'open'")[0][0])
        if not 0 < have < cases:
            break
        unlike = {"id": f"id || '-{doubling}'", "subject_id": f"subject_id || '-{doubling}'"}
        chosen = f"SELECT id FROM cases WHERE status = 'open' ORDER BY id LIMIT {cases - have}"
        of_case = {"case_id": f"case_id || '-{doubling}'"}
        _copy(tx, "case_members", of_case | {"subject_id": unlike["subject_id"]}, f"case_id IN ({chosen})")
        _copy(tx, "case_signals", of_case, f"case_id IN ({chosen})")
        _copy(tx, "cases", unlike, f"id IN ({chosen})")
    for copy in range(1, min(copies, SANCTION_COPIES_MAX) + 1):
        unlike = {"id": f"id || '-{copy}'", "subject_id": f"subject_id || '-{copy}'"}
        body = {"body": f"json_set(body, '$.id', {unlike['id']}, '$.subject.id', {unlike['subject_id']})"}
        _copy(tx, "sanctions", unlike | body, "instr(id, '-') = 0")
        _copy(tx, "actions", unlike, "instr(id, '-') = 0")
    tx.rows("ANALYZE")
    return copies, last, width


def _copy(tx: Tx, table: str, special: dict[str, str], where: str) -> None:
    columns = [str(row[1]) for row in tx.rows(f"SELECT 0, name FROM pragma_table_info('{table}')")]
    chosen = ", ".join(special.get(name, name) for name in columns)
    tx.change(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE {where}")
