"""A server process: bind the port first, open the data, say where to go, serve until told to stop."""

import contextlib
import errno
import json
import os
import random
import secrets as system_secrets
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Final

import structlog
import uvicorn

from koban.access import (
    CATALOGUE,
    MACHINES,
    SYSTEM,
    create_first_admin,
    issue_token,
    revoke_leftovers,
    revoke_token,
    short_ways,
)
from koban.access.demo import close_roles
from koban.app.connections import allow_connections, bounded_protocol
from koban.app.demo import Demo
from koban.app.own_data import OwnData
from koban.app.running import SERVER_FILE, Koban, open_koban
from koban.app.web import asgi
from koban.audit import Secrets, SystemSecrets
from koban.base import Clock, Refusal, SystemClock, share_core
from koban.base.settings import Settings, on_port, own_url

COMMAND_LINE: Final = "command line on this machine"
SWITCH_S: Final = 0.0005
LOCAL_TOKEN_DAYS: Final = 30


class PortTaken(Refusal):
    """Something else listens on the port."""

    code = "port_taken"
    status = 409
    title = "The port is taken."


def bind(settings: Settings) -> socket.socket:
    """Bind the address before anything is opened, so that a busy port changes nothing.

    Refuses: PortTaken.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with _or_taken(listening, settings):
        listening.bind((settings.host, settings.port))
    listening.set_inheritable(True)
    return listening


@contextlib.contextmanager
def _or_taken(listening: socket.socket, settings: Settings) -> Iterator[None]:
    """Say kindly that the port is somebody else's."""
    try:
        yield
    except OSError as error:
        listening.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortTaken(
                f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}. Set KOBAN_PORT to another one."
            ) from error
        raise


@contextlib.contextmanager
def server_file(koban: Koban, url: str) -> Iterator[str]:
    """Leave a note for command-line verbs: where this server is, and a token that only the folder's owner can read.

    Yields the token.
    """
    path = koban.settings.data / SERVER_FILE
    with koban.database.write() as tx:
        revoke_leftovers(tx, koban.clock.now(), by=SYSTEM, name=COMMAND_LINE)
        issued, secret = issue_token(
            tx,
            koban.clock.now(),
            koban.randomness,
            koban.secrets,
            by=SYSTEM,
            name=COMMAND_LINE,
            scopes=tuple(each for each in CATALOGUE if each not in MACHINES),
            days=LOCAL_TOKEN_DAYS,
        )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": url, "pid": os.getpid(), "token": secret}, file)
    try:
        yield secret
    finally:
        path.unlink(missing_ok=True)
        with koban.database.write() as tx:
            revoke_token(tx, koban.clock.now(), by=SYSTEM, token_id=issued.id)


def serve(
    settings: Settings,
    *,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    before: Callable[[], object] = lambda: None,
    demonstration: Callable[[Koban, str, str], contextlib.AbstractContextManager[Demo]] | None = None,
    ready: Callable[[Koban, str, str | None, Demo | None], object] = lambda _koban, _url, _link, _demo: None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    `before()` runs when the port is ours and the data is still closed; `demonstration(koban, url, token)` around the
    serving, in a demo alone; `ready(koban, url, first sign-in, demo)` when requests are taken.

    Refuses: PortTaken and what `open_koban` refuses; nothing was changed then.
    """
    log = structlog.get_logger("koban.app")
    listening = bind(settings)
    settings = on_port(settings, listening.getsockname()[1])
    with contextlib.ExitStack() as stack:
        stack.callback(log.info, "stopped")
        stack.enter_context(_orderly_end())
        stack.callback(listening.close)
        before()
        koban = stack.enter_context(
            open_koban(
                settings,
                clock or SystemClock(),
                random.Random(system_secrets.randbits(128)),  # noqa: S311 - ids and spreading; secrets have their own seam
                secrets or SystemSecrets(),
                simulated=demonstration is not None,
            )
        )
        url = own_url(settings)
        with koban.database.write() as tx:
            link = create_first_admin(tx, koban.clock.now(), koban.randomness, koban.secrets)
            close_roles(tx, koban.clock.now())  # what a demonstration that was killed left open
        token = stack.enter_context(server_file(koban, url))
        own = OwnData(koban)
        stack.callback(own.close)
        demo = None if demonstration is None else stack.enter_context(demonstration(koban, url, token))
        app = asgi(koban, demo=demo, own=own)
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=bounded_protocol(allow_connections(), short_ways(app)),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=10,
            backlog=512,
            timeout_keep_alive=75,
        )
        with _or_taken(listening, settings):  # whoever bound it, too, before either listened, may have been first
            listening.listen(512)
        # The decider and the event loop take turns: with the default of 5 ms a single event waits for whole slices.
        sys.setswitchinterval(SWITCH_S)
        if settings.share_core:
            share_core((threading.get_native_id(), koban.desk.decider.thread_id))
        ready(koban, url, None if link is None else url + link.path, demo)
        log.info("serving", url=url)
        _Server(config, koban.stopping).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that says at once that it is to stop: streams that have no end would hold it up."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        """Set `stopping` when a signal comes."""
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        """Take a signal."""
        self._stopping.set()
        super().handle_exit(sig, frame)


@contextlib.contextmanager
def _orderly_end() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the process by way of everything that has to be closed; a second one ends it at once.

    Why: uvicorn raises the signal again once it has stopped, and the default for SIGTERM is to die on the spot, with
    the lease held, the local token valid and feature records unwritten.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: types.FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        raise SystemExit(0)

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
