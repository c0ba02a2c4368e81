"""A real receiver on 127.0.0.1, and a post office that delivers to it."""

import collections
import contextlib
import http.server
import json
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock
from koban.db import Database
from koban.enforcement import SubjectRef, SubjectState, state_body
from koban.webhooks import (
    Action,
    ActionRequest,
    EndpointBook,
    HttpSender,
    Post,
    SecretBox,
    WebhookEndpoint,
    actions_for,
    add_endpoint,
    insert_actions,
)

Behaviour = Callable[[str, int], int | str]  # webhook-id, how often it came before -> status, "drop" or "hang"


class Receiver:
    """A marketplace: counts what comes, applies each webhook-id once, and misbehaves as told."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.closing = threading.Event()  # until then whoever hangs does
        self.behaviour: Behaviour = lambda _id, _times: 200
        self.arrivals: list[tuple[str, bytes, dict[str, str]]] = []
        self.applied: dict[str, bytes] = {}
        self.order: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
        self.state: dict[tuple[str, str], object] = {}
        self.overlapping = 0
        self.flooded = 0
        self._inside: collections.Counter[str] = collections.Counter()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.inside(body):
                    answer = receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
                if answer == "hang":
                    receiver.closing.wait(60)
                    self.close_connection = True
                elif answer == "drop":
                    self.close_connection = True
                elif answer == "drip":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                    self.close_connection = True
                    for _ in range(60):
                        try:
                            self.wfile.write(b"x")
                            self.wfile.flush()
                        except OSError:
                            return
                        time.sleep(0.05)
                elif answer == "flood":
                    self.send_response(200)
                    self.send_header("content-length", str(10**12))
                    self.end_headers()
                    self.close_connection = True
                    try:
                        for _ in range(256):
                            self.wfile.write(b"x" * 65_536)
                            receiver.flooded += 65_536
                    except OSError:
                        return
                elif answer == "redirect":
                    self.send_response(307)
                    self.send_header("location", "/elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()
                else:
                    self.send_response(int(answer))
                    if answer == 503:
                        self.send_header("retry-after", "120")
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/koban"

    def take(self, body: bytes, headers: dict[str, str]) -> int | str:
        message = json.loads(body)
        webhook_id = headers["webhook-id"]
        subject = (message["data"]["subject"]["kind"], message["data"]["subject"]["id"])
        with self.lock:
            times = sum(1 for each in self.arrivals if each[0] == webhook_id)
            self.arrivals.append((webhook_id, body, headers))
            answer = self.behaviour(webhook_id, times)
            # A receiver that answers an error may have done the work all the same: both happen.
            if webhook_id not in self.applied and (answer == 200 or times % 2 == 1):
                self.applied[webhook_id] = body
                self.order[subject].append(message["data"]["state_version"])
                self.state[subject] = message["data"]["state"]
        return answer

    @contextlib.contextmanager
    def inside(self, body: bytes) -> Iterator[None]:
        """Notice when two requests about one subject are being served at the same time."""
        subject = str(json.loads(body)["data"]["subject"])
        with self.lock:
            self._inside[subject] += 1
            self.overlapping += self._inside[subject] > 1
        time.sleep(0.003)
        try:
            yield
        finally:
            with self.lock:
                self._inside[subject] -= 1

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Office:
    """Stores actions as the decider does, and delivers them."""

    def __init__(self, database: Database, clock: ManualClock, url: str) -> None:
        self.database = database
        self.clock = clock
        self.randomness = random.Random(7)
        self.box = SecretBox(b"k" * 32, SeededSecrets(1))
        self.sender = HttpSender(timeout_s=20.0)
        self.post = Post(database=database, clock=clock, send=self.sender, box=self.box, randomness=self.randomness)
        self.book = EndpointBook()
        self.seq = 1 << 40
        self.secrets: dict[str, bytes] = {}
        self.endpoint = self.add(url)

    def add(self, url: str, kinds: tuple[str, ...] = (), endpoint_id: str = "endpoint_1") -> WebhookEndpoint:
        with self.database.write() as tx:
            endpoint, self.secrets[endpoint_id] = add_endpoint(
                tx,
                self.clock.now(),
                self.box,
                endpoint_id=endpoint_id,
                url=url,
                kinds=kinds,
                allow_private=True,
                by="staff_1",
            )
            self.book.reload(tx)
        return endpoint

    def request(self, subject_id: str = "a1", kind: str = "sanction.imposed", **state: object) -> Action:
        """Ask for one action; `state` is what the subject's state is from now on."""
        self.seq += 1
        request = ActionRequest(
            kind=kind,
            subject=SubjectRef(kind="account", id=subject_id),
            state=state_body(SubjectState(**state)),  # type: ignore[arg-type]  # fields of SubjectState
            seq=self.seq,
            at=self.clock.now(),
            detail={},
        )
        made = actions_for([request], self.book.current)
        with self.database.write() as tx:
            insert_actions(tx, made)
        return made[0]

    def pass_time(self, us: int) -> Instant:
        return self.clock.advance(us)

    def close(self) -> None:
        self.sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.close()


@pytest.fixture
def office(database: Database, clock: ManualClock, receiver: Receiver) -> Iterator[Office]:
    opened = Office(database, clock, receiver.url)
    yield opened
    opened.close()
