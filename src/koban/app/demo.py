"""`koban demo`: a server with the simulated marketplace beside it, in the same process, over the same HTTP as anyone."""

import contextlib
import pathlib
import socket
import threading
from collections.abc import Callable, Iterator

import structlog

from koban.access import SYSTEM
from koban.app.running import Koban
from koban.base import SystemClock, random_id
from koban.sim import RunOptions, main_run
from koban.webhooks import add_endpoint, written_secret
from koban.webhooks.endpoints import remove_endpoint

DEMO_MINUTES = 24 * 60

_log = structlog.get_logger("koban.demo")


@contextlib.contextmanager
def simulated_marketplace(
    koban: Koban, url: str, token: str, *, seed: int, speed: float, truth: pathlib.Path, say: Callable[[str], None]
) -> Iterator[None]:
    """Run the simulated marketplace beside the server until the block ends."""
    stop = threading.Event()
    at = koban.clock.now()
    port = _free_port()
    endpoint_id = random_id("endpoint", at, koban.randomness)
    with koban.database.write() as tx:
        _, secret = add_endpoint(
            tx,
            at,
            koban.box,
            endpoint_id=endpoint_id,
            url=f"http://127.0.0.1:{port}/",
            kinds=(),
            allow_private=True,
            by=SYSTEM.id,
        )
        koban.memory.book.reload(tx)
    options = RunOptions(
        base_url=url,
        token=token,
        folder=truth,
        seed=seed,
        name=f"evening-{at // 1_000_000}",
        minutes=DEMO_MINUTES,
        speed=speed,
        webhook_secret=written_secret(secret),
        webhook_port=port,
    )

    def run() -> None:
        try:
            main_run(options, clock=SystemClock(), stop=stop, say=say)
        except Exception:  # noqa: BLE001 - an edge: the server goes on without its marketplace
            if not stop.is_set():
                _log.exception("simulation_stopped")

    thread = threading.Thread(target=run, name="koban-simulation", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
        with koban.database.write() as tx:
            remove_endpoint(tx, koban.clock.now(), endpoint_id, by=SYSTEM.id)
            koban.memory.book.reload(tx)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
