"""The commands `koban sim run` and `koban sim report` as plain functions, with all they need in frozen options."""

import pathlib
import threading
from collections.abc import Callable
from typing import Literal

import httpx
import msgspec

from koban.base import MINUTE, Clock
from koban.sim.market import Market
from koban.sim.receiver import Receiver, confirmer
from koban.sim.report import SimReport, fetch_decisions, report
from koban.sim.runner import RunCounts, Target, run
from koban.sim.truth import TruthFolder, read_kept_back, read_settings, read_truth
from koban.sim.types import Outage, Scenario, Settings, Size


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `koban sim run` is told. `folder` holds the truth and belongs outside of Koban's data folder."""

    base_url: str
    token: str
    folder: pathlib.Path
    seed: int = 1
    name: str = "market"
    minutes: int = 60
    speed: float | None = 1.0  # None: as fast as Koban answers
    size: Size = Size()
    scenario: Scenario = Scenario()
    tricks: tuple[str, ...] | None = None
    trick_percent: int = 100
    webhook_secret: str | None = None  # None: no marketplace side, and nobody stops
    webhook_port: int = 0


def main_run(
    options: RunOptions,
    *,
    clock: Clock,
    stop: threading.Event,
    say: Callable[[str], None] = lambda _line: None,
    progress: Callable[[RunCounts], None] | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> RunCounts:
    """Run a simulation to its end, or until `stop` is set.

    `on_listening` is called with the address of the webhook receiver before the first event, so that the caller can
    register it. Refuses: Rejected. Outages: Unavailable.
    """
    settings = Settings(
        seed=options.seed,
        start_at=clock.now(),
        name=options.name,
        duration=options.minutes * MINUTE,
        size=options.size,
        scenario=options.scenario,
        tricks=options.tricks,
        trick_percent=options.trick_percent,
    )
    target = Target(base_url=options.base_url, token=options.token)
    truth = TruthFolder(options.folder, settings)
    receiver: Receiver | None = None
    market = Market() if options.webhook_secret is not None else None
    headers = {"authorization": f"Bearer {options.token}"}
    try:
        with httpx.Client(base_url=options.base_url, headers=headers, timeout=10.0, trust_env=False) as client:
            if market is not None and options.webhook_secret is not None:
                receiver = Receiver(
                    market,
                    secret=options.webhook_secret,
                    confirm=confirmer(client),
                    outage=outage_clock(options.scenario.outage, clock, options.speed),
                    port=options.webhook_port,
                )
                say(f"webhooks are received at {receiver.url}")
                if on_listening:
                    on_listening(receiver.url)
            try:
                counts = run(
                    target,
                    settings,
                    clock=clock,
                    stop=stop,
                    speed=options.speed,
                    truth=truth,
                    market=market,
                    progress=progress,
                )
            finally:
                if receiver is not None:
                    receiver.close()
                    say(f"webhooks: {msgspec.json.encode(receiver.counts).decode()}")
    finally:
        truth.close()
    say(f"run: {msgspec.json.encode(counts).decode()}")
    return counts


def main_report(target: Target, folder: pathlib.Path) -> SimReport:
    """Hold what Koban decided against the truth in `folder`. Outages: Unavailable."""
    settings = read_settings(folder)
    decisions = fetch_decisions(target, f"sim://{settings.name}/{settings.seed}")
    return report(read_truth(folder), decisions, read_kept_back(folder))


def outage_clock(
    outage: Outage | None, clock: Clock, speed: float | None
) -> Callable[[], Literal["down", "silent"] | None]:
    """Make the function that says whether the marketplace is out; minutes are those of the plan."""
    if outage is None or speed is None:
        return lambda: None
    began = clock.monotonic()
    first = int(outage.minute * MINUTE / speed)
    last = int((outage.minute + outage.lasts_minutes) * MINUTE / speed)

    def now() -> Literal["down", "silent"] | None:
        return outage.kind if first <= clock.monotonic() - began < last else None

    return now
