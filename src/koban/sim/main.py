"""The commands `koban sim run` and `koban sim report` as plain functions, with all they need in frozen options."""

import dataclasses
import itertools
import pathlib
import threading
from collections.abc import Callable
from typing import Literal

import httpx
import msgspec

from koban.base import MINUTE, Clock
from koban.sim.cashier import PAID_BY, Cashier
from koban.sim.market import Market
from koban.sim.plan import source_of
from koban.sim.playhead import Playhead
from koban.sim.receiver import OutageNow, Receiver, confirmer
from koban.sim.report import SimReport, fetch_decisions, fetch_sanctions, report
from koban.sim.runner import RunCounts, Target, run
from koban.sim.truth import TruthFolder, read_kept_back, read_settings, read_truth, runs_of
from koban.sim.types import Outage, Scenario, Settings, Size, TruthRow


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
    counts = play(
        Target(base_url=options.base_url, token=options.token),
        settings,
        options.folder,
        clock=clock,
        stop=stop,
        speed=options.speed,
        marketplace=None
        if options.webhook_secret is None
        else Marketplace(
            market=Market(),
            secret=options.webhook_secret,
            port=options.webhook_port,
            outage=outage_clock(options.scenario.outage, clock, options.speed),
        ),
        say=say,
        progress=progress,
        on_listening=on_listening,
    )
    say(f"run: {msgspec.json.encode(counts).decode()}")
    return counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Marketplace:
    """The marketplace's own side of a run: what it was told, where it hears of it, and when it is out."""

    market: Market
    secret: str
    port: int
    outage: OutageNow


def play(
    target: Target,
    settings: Settings,
    folder: pathlib.Path,
    *,
    clock: Clock,
    stop: threading.Event,
    speed: float | None = None,
    playhead: Playhead | None = None,
    marketplace: Marketplace | None,
    say: Callable[[str], None] = lambda _line: None,
    progress: Callable[[RunCounts], None] | None = None,
    on_listening: Callable[[str], None] | None = None,
    heard: Callable[[TruthRow], None] = lambda _row: None,
    cashier: Cashier | None = None,
) -> RunCounts:
    """Play a plan with everything around it: the truth in `folder`, and the marketplace's side where there is one."""
    truth = TruthFolder(folder, settings)
    receiver: Receiver | None = None
    headers = {"authorization": f"Bearer {target.token}"}
    try:
        with httpx.Client(base_url=target.base_url, headers=headers, timeout=10.0, trust_env=False) as client:
            if marketplace is not None:
                receiver = Receiver(
                    marketplace.market,
                    secret=marketplace.secret,
                    confirm=confirmer(client),
                    outage=marketplace.outage,
                    port=marketplace.port,
                )
                say(f"webhooks are received at {receiver.url}")
                if on_listening:
                    on_listening(receiver.url)
            try:
                return run(
                    target,
                    settings,
                    clock=clock,
                    stop=stop,
                    speed=speed,
                    truth=truth,
                    market=marketplace.market if marketplace is not None else None,
                    progress=progress,
                    playhead=playhead,
                    heard=heard,
                    cashier=cashier,
                )
            finally:
                if receiver is not None:
                    receiver.close()
                    say(f"webhooks: {msgspec.json.encode(receiver.counts).decode()}")
    finally:
        truth.close()


def main_report(target: Target, folder: pathlib.Path) -> SimReport:
    """Hold what Koban decided against the truth in `folder`, or in the newest evening of a demo's. Outages: Unavailable."""
    runs = runs_of(folder)
    folder = folder / runs[0] if runs else folder
    own = fetch_decisions(target, source_of(read_settings(folder)))
    decisions = itertools.chain(own, fetch_decisions(target, PAID_BY))
    return report(read_truth(folder), decisions, read_kept_back(folder), sanctions=fetch_sanctions(target))


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
