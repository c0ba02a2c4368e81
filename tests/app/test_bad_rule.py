"""Scenario 7 of research/practice.md: a rule that hits 「コピー」 is pushed live, stops by itself, and all of it is undone.

Over real sockets: a marketplace that takes webhooks and confirms each, and a telephone that takes pages.
"""

import http.server
import json
import pathlib
import random
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from koban.access import SYSTEM
from koban.access import actions as access_actions
from koban.app import Koban, open_koban
from koban.app.running import switch_pack
from koban.audit import SeededSecrets
from koban.base import SystemClock, to_rfc3339
from koban.base.settings import read_settings
from koban.decisions import DecisionRecord
from koban.emergency import UndoFilter, list_undo, undo_lines
from koban.events import decode
from koban.events.routes import Decided
from koban.oncall import add_contact, add_shift
from koban.oncall.types import Shift
from koban.packs import files_of, parse_files
from koban.packs.draft_store import Permit
from koban.pipeline import commands
from koban.rules import ModeChanged
from koban.webhooks import add_endpoint, confirm

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
PATIENCE_S = 240.0  # an end for a test that would hang, and no measurement
SELLERS = 140
BAD_RULE = """
- rule: copy_everything
  policy: goods/counterfeit
  on: [listing.created]
  when: title ILIKE '%コピー%' AND price_minor > 0
  then: [hide, strike, {warn: author}]
  mode: live
  cap: 10000 per hour
  because: {en: says copy, ja: コピーと書かれています}
"""


class Market:
    """A marketplace that does what it is asked and confirms it, and a telephone beside it."""

    def __init__(self, koban: Koban) -> None:
        self.done: list[dict[str, object]] = []
        self.pages: list[dict[str, object]] = []
        market = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()
                if self.path == "/page":
                    market.pages.append(body)
                    return
                market.done.append(body)
                with koban.database.write() as tx:
                    confirm(tx, koban.clock.now(), body["data"]["action"], by="token_shop")

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def koban(tmp_path: pathlib.Path) -> Iterator[Koban]:
    environment = {
        "KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(STARTER), "KOBAN_ALLOW_PRIVATE_WEBHOOKS": "1",
    }  # fmt: skip
    settings = read_settings(environment)
    with open_koban(settings, SystemClock(), random.Random(3), SeededSecrets(3), durable=False) as opened:
        yield opened


@pytest.fixture
def market(koban: Koban) -> Iterator[Market]:
    opened = Market(koban)
    at, secrets = koban.clock.now(), SeededSecrets(5)
    with koban.database.write() as tx:
        add_endpoint(
            tx, at, koban.box, endpoint_id="endpoint_shop", url=opened.url + "/actions", kinds=(), allow_private=True,
            by="test",
        )  # fmt: skip
        koban.memory.book.reload(tx)
        mika, _ = access_actions.invite_staff(
            tx, at, koban.randomness, secrets, by=SYSTEM, email="mika@koban.test", name="Mika", roles=("specialist",)
        )
        shift = Shift(
            id="", level=1, staff_id=mika.id, weekdays=tuple(range(7)), from_minute=0, until_minute=0, zone="Asia/Tokyo"
        )
        add_shift(tx, at, koban.randomness, shift, by="test")
        add_contact(
            tx, at, koban.randomness, koban.box, staff_id=mika.id, kind="webhook", address=opened.url + "/page",
            allow_private=True, zone="Asia/Tokyo", quiet=None, quiet_least="high", by="test",
        )  # fmt: skip
    yield opened
    opened.close()


def until(ready: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.05)


def push_bad_rule(koban: Koban) -> None:
    files = dict(files_of(STARTER)) | {"rules/bad.yaml": BAD_RULE}
    base = koban.memory.compiled.pack.digest
    switch_pack(
        koban.desk, parse_files(files), Permit(base=base, by="staff_new", reason="stop copies", ground="ordinary")
    )


def list_paper(koban: Koban, number: int) -> DecisionRecord:
    at = koban.clock.now()
    event = {
        "specversion": "1.0",
        "id": f"paper-{number}",
        "source": "shop",
        "type": "listing.created",
        "time": to_rfc3339(at),
        "data": {
            "seller": {"id": f"seller-{number}", "created_at": "2020-01-01T00:00:00Z"},
            "listing": {"id": f"listing-{number}"},
            "title": "コピー用紙 A4 500枚",
            "description": "未開封です。",
            "price_minor": 600,
            "currency": "JPY",
            "category": "stationery",
        },
    }
    items = decode(json.dumps(event, ensure_ascii=False).encode(), "application/json")
    result = koban.desk.submit(items, at, False).result(timeout=60)[0]
    assert isinstance(result, Decided), result
    return msgspec.json.decode(bytes(result.body), type=DecisionRecord)


def test_a_bad_rule_stops_by_itself_calls_a_person_and_everything_is_undone(koban: Koban, market: Market) -> None:
    assert list_paper(koban, 0).verdict == "allow"
    push_bad_rule(koban)
    records = [list_paper(koban, number) for number in range(1, SELLERS)]
    acted = [record for record in records if record.verdict == "block"]
    assert len(acted) == 50  # no more actions than a new rule may take
    assert all(record.verdict == "allow" for record in records[50:])
    assert {signal.withheld for record in records[50:] for signal in record.signals} == {"budget_tripped"}

    until(lambda: bool(market.pages))
    data = market.pages[0]["data"]
    assert isinstance(data, dict)
    assert (data["kind"], data["object"], data["severity"]) == ("budget.tripped", "rule:copy_everything", "high")

    # Everything was carried out and confirmed: hidden listings, strikes with what they bring, notices.
    wanted = UndoFilter(rule="copy_everything", since_at=0, until_at=koban.clock.now() + 10**9)

    def lines() -> list[tuple[str, str, str, str]]:
        with koban.database.read() as tx:
            found, more = list_undo(tx, wanted, limit=1_000)
        assert not more
        return [(line.kind, line.state, line.did, line.undid) for line in found]

    until(lambda: all(did == "confirmed" for kind, _, did, _ in lines() if kind != "verdict"))
    before = lines()
    assert {kind for kind, *_ in before} == {"sanction", "notice", "verdict"}
    assert sum(kind == "verdict" for kind, *_ in before) == 50

    with koban.database.read() as tx:
        found, _ = list_undo(tx, wanted, limit=1_000)
    undo_lines(
        lambda command: koban.desk.command(lambda memory, tx: commands.sanction(memory, tx, command)),
        found,
        by="staff_mika",
        reason="copy paper is paper",
    )
    until(lambda: all(undid == "confirmed" for *_, undid in lines()))
    assert {state for _, state, *_ in lines()} == {"undone"}

    with koban.database.read() as tx:
        assert tx.rows("SELECT count(*) FROM sanctions WHERE status <> 'overturned'")[0][0] == 0
        states = tx.rows("SELECT subject_kind, state FROM subject_states")
        waiting = tx.rows("SELECT count(*) FROM actions WHERE status <> 'confirmed'")[0][0]
    assert len(states) == 100  # fifty listings and fifty sellers, each as if nothing had been
    for _, state in states:
        said = json.loads(state)
        assert (said["hidden"], said["suspended"], said["restrictions"], said["strikes"]) == (False, False, [], {})
    assert waiting == 0
    told = {
        kind: sum(body["type"] == kind for body in market.done)
        for kind in ("notice.requested", "notice.withdrawn", "decision.withdrawn")
    }
    assert told["notice.requested"] == told["notice.withdrawn"] == 50
    assert told["decision.withdrawn"] == 50


def test_whoever_lets_it_act_again_gives_it_fifty_more(koban: Koban) -> None:
    push_bad_rule(koban)
    assert sum(list_paper(koban, number).verdict == "block" for number in range(55)) == 50
    again = ModeChanged(rule="copy_everything", mode=None, by="staff_mika", reason="it is right")
    koban.desk.command(lambda memory, tx: commands.set_mode(memory, tx, again))
    assert sum(list_paper(koban, number).verdict == "block" for number in range(100, 155)) == 50


def test_a_rule_of_the_first_pack_and_one_that_only_changed_are_not_doubted(koban: Koban) -> None:
    assert koban.memory.ceilings.all == {}
    push_bad_rule(koban)
    assert list(koban.memory.ceilings.all) == ["copy_everything"]
