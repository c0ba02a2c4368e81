"""The marketplace around a server that dies: sends events from several threads, remembers answers, receives webhooks."""

import collections
import contextlib
import dataclasses
import http.client
import http.server
import json
import random
import threading
import time

import msgspec
from tests.sim_crash.server import Line, Server

from koban.base import SystemClock, to_rfc3339

LURE = "直取引しませんか"
ACCOUNTS = 40
DIED = (OSError, http.client.HTTPException)


class _Item(msgspec.Struct):
    status: int
    decision: msgspec.Raw = msgspec.Raw()


class _Items(msgspec.Struct):
    items: list[_Item]


@dataclasses.dataclass
class Marketplace:
    """Everything that was sent, and what came back: an answer is the decision's bytes, or only 'it is durable'."""

    chance: random.Random
    events: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    answers: dict[str, bytes] = dataclasses.field(default_factory=dict)
    accepted: set[str] = dataclasses.field(default_factory=set)
    changed: list[tuple[str, int]] = dataclasses.field(default_factory=list)  # what a change was, and its place
    faults: list[str] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def unanswered(self) -> list[str]:
        """Name the events of which nothing is known: sent, and the server died before it answered."""
        return [one for one in self.events if one not in self.answers and one not in self.accepted]

    def make(self, chance: random.Random) -> dict[str, object]:
        """Make an event that was never sent before."""
        with self.lock:
            event_id = f"e{len(self.events):06d}"
            account = f"a{chance.randrange(ACCOUNTS)}"
            if chance.random() < 0.1:
                kind = "payout.requested"
                data: dict[str, object] = {"account": {"id": account}, "amount_minor": chance.randrange(120_000)}
            else:
                kind = "message.sent"
                data = {
                    "sender": {"id": account},
                    "recipient": {"id": f"b{chance.randrange(ACCOUNTS)}"},
                    "message": {"id": f"m{chance.randrange(2_000)}"},
                    "device": {"id": f"device-{chance.randrange(5)}"},
                    "text": LURE if chance.random() < 0.2 else f"こんにちは {event_id}",
                }
                if chance.random() < 0.1:
                    data["mood"] = "🙂"
            event: dict[str, object] = {
                "specversion": "1.0",
                "id": event_id,
                "source": "shop",
                "type": kind,
                "time": to_rfc3339(SystemClock().now()),
                "data": data,
            }
            self.events[event_id] = event
            return event

    def learn(self, event_id: str, body: bytes) -> None:
        """Take an answer; one that differs from the first is a fault."""
        with self.lock:
            first = self.answers.setdefault(event_id, body)
            if first != body:
                self.faults.append(f"{event_id} was answered {first!r} and then {body!r}")

    def open(self, server: Server, *, threads: int) -> list[threading.Thread]:
        """Let several connections send until the server dies."""
        seeds = [self.chance.getrandbits(64) for _ in range(threads)]
        made = [threading.Thread(target=self._trade, args=(server, random.Random(seed))) for seed in seeds]
        for thread in made:
            thread.start()
        return made

    def _trade(self, server: Server, chance: random.Random) -> None:
        try:
            with contextlib.closing(Line(server)) as line:
                while True:
                    self._do_one(line, chance)
        except DIED:
            return
        except Exception as error:  # noqa: BLE001 - the edge of a thread: the test fails on what is noted here
            self.faults.append(f"a connection ended in {error!r}")

    def _do_one(self, line: Line, chance: random.Random) -> None:
        kind = chance.choices(("one", "batch", "later", "lines", "list", "overturn", "again"), (40, 18, 10, 8, 8, 2, 8))
        match kind[0]:
            case "one":
                self.send(line, [self.make(chance)], batch=False)
            case "batch":
                self.send(line, [self.make(chance) for _ in range(chance.randint(2, 12))])
            case "later":
                self.send(line, [self.make(chance)], path="/v1/events?mode=async", batch=False)
            case "lines":
                many = [self.make(chance) for _ in range(chance.randint(2, 8))]
                self.send(line, [*many, many[0]], path="/v1/events?mode=async", lines=True)
            case "list":
                self._change_list(line, chance)
            case "overturn":
                self._overturn(line, chance)
            case _:
                self.repeat(line, 3, chance)

    def send(
        self,
        line: Line,
        events: list[dict[str, object]],
        *,
        path: str = "/v1/events",
        batch: bool = True,
        lines: bool = False,
    ) -> None:
        """Send events and learn their answers."""
        if lines:
            body = b"\n".join(json.dumps(event).encode() for event in events)
            status, raw = line.call("POST", path, body, media="application/x-ndjson")
        else:
            status, raw = line.call("POST", path, events if batch else events[0])
        if status == 503:
            return  # it said that nothing was taken; these are tried again with those that were never answered
        if not batch:
            self._note(str(events[0]["id"]), status, raw)
            return
        if status != 200:
            self.faults.append(f"a batch was answered {status} {raw!r}")
            return
        for event, item in zip(events, msgspec.json.decode(raw, type=_Items).items, strict=True):
            self._note(str(event["id"]), item.status, bytes(item.decision))

    def _note(self, event_id: str, status: int, body: bytes) -> None:
        if status == 200:
            self.learn(event_id, body)
        elif status == 202:
            with self.lock:
                self.accepted.add(event_id)
        else:
            self.faults.append(f"{event_id} was answered {status} {body!r}")

    def repeat(self, line: Line, count: int, chance: random.Random) -> None:
        """Send events again that were answered: the answer must be the same."""
        with self.lock:
            known = list(self.answers)
        for event_id in chance.sample(known, min(count, len(known))):
            self.send(line, [self.events[event_id]], batch=False)

    def send_unanswered(self, line: Line) -> int:
        """Send the events again of which nothing is known; return how many there were."""
        missing = self.unanswered()
        for event_id in missing:
            self.send(line, [self.events[event_id]], batch=False)
        return len(missing)

    def _change_list(self, line: Line, chance: random.Random) -> None:
        account = f"a{chance.randrange(ACCOUNTS)}"
        if chance.random() < 0.6:
            status, raw = line.call("POST", "/v1/lists/trusted/entries", {"values": [account], "note": "known"})
        else:
            status, raw = line.call("POST", "/v1/lists/trusted/remove", {"value": account, "note": "over"})
        if status in {200, 201}:
            with self.lock:
                self.changed.append((account, int(json.loads(raw)["seq"])))
        elif status not in {404, 409, 422, 503}:
            self.faults.append(f"a list change was answered {status} {raw!r}")

    def _overturn(self, line: Line, chance: random.Random) -> None:
        status, raw = line.call("GET", "/v1/sanctions?status=in_force&limit=20")
        found = json.loads(raw)["items"] if status == 200 else []
        if found:
            chosen = chance.choice(found)["id"]
            status, raw = line.call("POST", f"/v1/sanctions/{chosen}/overturn", {"reason": "it was wrong"})
            if status not in {200, 404, 503}:
                self.faults.append(f"overturning was answered {status} {raw!r}")


class _Quiet(http.server.ThreadingHTTPServer):
    """Says nothing about connections that a killed sender left behind."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Let it pass: what matters is what arrived."""


class Receiver:
    """The marketplace's webhook side: does each action once by its id, and keeps the last state of every subject.

    Sometimes it answers with an error before or after it has done the work, and sometimes not at all.
    """

    def __init__(self, chance: random.Random) -> None:
        self.state: dict[tuple[str, str], object] = {}
        self.faults: list[str] = []
        self.arrivals = 0
        self.honest = threading.Event()  # set: no more misbehaviour
        self._chance = chance
        self._done: dict[str, bytes] = {}
        self._version: collections.Counter[tuple[str, str]] = collections.Counter()
        self._lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed in the middle: no server hands such a request on
                    self.close_connection = True
                    return
                status = receiver.take(str(self.headers["webhook-id"]), body)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where webhooks are to be sent."""
        return f"http://127.0.0.1:{self._server.server_port}/koban"

    def take(self, webhook_id: str, body: bytes) -> int:
        """Handle one delivery and return the status to answer; 0 is none at all."""
        with self._lock:
            self.arrivals += 1
            mood = (
                "honest" if self.honest.is_set() else self._chance.choice(("honest",) * 30 + ("refuse", "lose", "cut"))
            )
            if mood == "refuse":
                return 500
            self._do(webhook_id, body)
            return {"honest": 200, "lose": 502, "cut": 0}[mood]

    def _do(self, webhook_id: str, body: bytes) -> None:
        first = self._done.setdefault(webhook_id, body)
        if first is not body:
            if first != body:
                self.faults.append(f"{webhook_id} came with other bytes: {first!r}, {body!r}")
            return
        data = json.loads(body)["data"]
        subject = (data["subject"]["kind"], data["subject"]["id"])
        if data["state_version"] < self._version[subject]:
            self.faults.append(f"{webhook_id} about {subject} came after a later one")
        self._version[subject] = data["state_version"]
        self.state[subject] = data["state"]

    def close(self) -> None:
        """Stop receiving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def wait_for(what: str, is_so: "collections.abc.Callable[[], bool]", within_s: float) -> None:
    """Wait until something is so."""
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, f"{what} did not happen within {within_s} s"
        time.sleep(0.1)
