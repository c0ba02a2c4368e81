"""People, their contacts, and receivers on real sockets: a web server and a mail server."""

import contextlib
import dataclasses
import http.server
import pathlib
import random
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from koban.access import SYSTEM, Staff
from koban.access import actions as access_actions
from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock
from koban.db import Database
from koban.oncall import (
    Contact,
    OncallKit,
    Shift,
    add_contact,
    add_shift,
    deliver_by,
    deliver_due,
    escalate,
    mail_by,
    read_smtp,
    watch,
)
from koban.oncall.types import ContactKind, Severity
from koban.webhooks import HttpSender, SecretBox


@dataclasses.dataclass
class Received:
    """What came in: path or recipient, headers, body."""

    posts: list[tuple[str, dict[str, str], bytes]] = dataclasses.field(default_factory=list)
    mails: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    answers: list[int] = dataclasses.field(default_factory=list)  # statuses to give first; then 200


@contextlib.contextmanager
def web_receiver(received: Received) -> Iterator[str]:
    """Take webhooks on a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = received.answers.pop(0) if received.answers else 200
            if status == 200:
                headers = {name.lower(): value for name, value in self.headers.items()}
                received.posts.append((self.path, headers, body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def mail_receiver(received: Received) -> Iterator[str]:
    """Take mail on a free port, as far as RFC 5321 is needed for one message a connection."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            to = ""
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline():
                verb = line.strip().upper()
                if verb.startswith(b"RCPT TO:"):
                    to = line.strip()[8:].decode().strip("<>")
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (one := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(one)
                    received.mails.append((to, b"".join(lines).decode()))
                if verb == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crew:
    """A database with people in it, on-call over it, and what was received."""

    database: Database
    clock: ManualClock
    kit: OncallKit
    box: SecretBox
    received: Received
    web: str
    people: dict[str, Staff]
    pool: ThreadPoolExecutor

    def shift(
        self, who: str, level: int, *, days: tuple[int, ...] = tuple(range(7)), span: tuple[int, int] = (0, 0)
    ) -> None:
        one = Shift(
            id="", level=level, staff_id=self.people[who].id, weekdays=days, from_minute=span[0], until_minute=span[1],
            zone="Asia/Tokyo",
        )  # fmt: skip
        with self.database.write() as tx:
            add_shift(tx, self.clock.now(), self.kit.randomness, one, by="admin")

    def contact(
        self,
        who: str,
        kind: ContactKind,
        address: str,
        *,
        quiet: tuple[int, int] | None = None,
        least: Severity = "high",
    ) -> tuple[Contact, bytes]:
        with self.database.write() as tx:
            return add_contact(
                tx, self.clock.now(), self.kit.randomness, self.box, staff_id=self.people[who].id, kind=kind,
                address=address, allow_private=True, zone="Asia/Tokyo", quiet=quiet, quiet_least=least, by="admin",
            )  # fmt: skip

    def turn(self, by: int = 0) -> None:
        """Let time pass and everything that is due happen."""
        self.clock.advance(by)
        watch(self.kit)
        escalate(self.kit)
        while deliver_due(self.kit, self.pool):
            pass


@pytest.fixture
def crew(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Crew]:
    """A specialist, a lead and an administrator, and receivers for what they are sent."""
    received, secrets, randomness = Received(), SeededSecrets(3), random.Random(3)
    del tmp_path
    people: dict[str, Staff] = {}
    with database.write() as tx:
        for name, role in (("mika", "specialist"), ("ken", "lead"), ("ana", "admin")):
            people[name], _ = access_actions.invite_staff(
                tx, clock.now(), randomness, secrets, by=SYSTEM, email=f"{name}@koban.test", name=name, roles=(role,)
            )
    sender = HttpSender(timeout_s=5.0)
    box = SecretBox(b"k" * 32, secrets)
    with web_receiver(received) as web, mail_receiver(received) as smtp, ThreadPoolExecutor(2) as pool:
        kit = OncallKit(
            database=database, clock=clock, randomness=randomness,
            deliver=deliver_by(sender, box, clock, mail_by(read_smtp(smtp), "koban@koban.test")), key=b"link key",
            public_url="https://koban.test", decider_failed=lambda: False,
        )  # fmt: skip
        try:
            yield Crew(
                database=database, clock=clock, kit=kit, box=box, received=received, web=web, people=people, pool=pool
            )
        finally:
            sender.close()


def at(text: str) -> Instant:
    from koban.base import from_rfc3339

    found = from_rfc3339(text)
    assert found is not None
    return found
