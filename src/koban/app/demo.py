"""`koban demo`: a server with the simulated marketplace beside it, in the same process, over the same HTTP as anyone."""

import contextlib
import dataclasses
import ipaddress
import itertools
import pathlib
import random
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import structlog

import koban.decisions.store as decision_store
import koban.enforcement.store as sanction_store
from koban.access import SYSTEM, issue_token, revoke_leftovers, revoke_token
from koban.access.demo import DEMO_ROLES, close_roles, demo_account, demo_principal, open_role
from koban.access.types import OpenedSession
from koban.app.running import Koban, open_desk
from koban.app.yesterday import BEGINS_BEFORE, Step, has_money, kept_for, stolen_payment, tell_yesterday
from koban.audit import Secrets, record
from koban.base import MINUTE, Instant, ManualClock, random_id
from koban.base.settings import Settings
from koban.db import Tx
from koban.enforcement import OverturnSanctions, SubjectRef
from koban.events import Envelope, Fault, decode, encode
from koban.oncall.logic import LEVELS
from koban.oncall.rota import add_shift
from koban.oncall.store import read_shifts
from koban.oncall.types import Shift
from koban.payments import store as payment_store
from koban.payments.simulated import SimulatedProvider
from koban.pipeline import commands
from koban.sim import Settings as Evening
from koban.sim import Target, plan, wire
from koban.sim.cashier import CASHIER, SCOPES, Cashier, Kept
from koban.sim.evening import past_of
from koban.sim.orders import earlier_of
from koban.sim.story import Connection, Story, StoryNow
from koban.webhooks import add_endpoint, written_secret
from koban.webhooks.endpoints import remove_endpoint

PAST_SLOT: Final = 5 * MINUTE  # of the past, in which events share a moment of arrival
CASHIER_DAYS: Final = 7
ON_CALL: Final = ("specialist", "lead", "admin")  # of the demonstration's staff, by level
LINES_MAX: Final = 100  # newest decisions on the viewer that are looked through
APPEAL_WORDS: Final = "模擬の異議申し立て：会場の共用端末を使っていた視聴者で、荒らしには加わっていません。 / Simulated appeal: a viewer on the venue's shared tablet, no part of the raid."

_log = structlog.get_logger("koban.demo")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demonstration gives to the console; `koban.console.kit.StoryDesk` is its shape."""

    koban: Koban
    story: Story
    truth: pathlib.Path
    roles: tuple[str, ...]

    def now(self) -> StoryNow | None:
        """Return where the story is."""
        return self.story.now()

    def steer(self, do: str, *, by: str) -> bool:
        """Pause, resume, restart or leave; False for anything else."""
        acts: Mapping[str, Callable[[], None]] = {
            "pause": self.story.pause,
            "resume": self.story.resume,
            "restart": self.story.begin,
            "leave": self.story.leave,
        }
        if do not in acts:
            return False
        acts[do]()
        with self.koban.database.write() as tx:
            record(tx, self.koban.clock.now(), by, "story.steered", do)
        return True

    def open_role(self, role: str) -> OpenedSession:
        """Open a session for the demonstration's account of a role.

        Refuses: RoleUnknown.
        """
        koban = self.koban
        with koban.database.write() as tx:
            opened = open_role(tx, koban.clock.now(), koban.randomness, koban.secrets, role=role)
        koban.directory.forget()
        return opened


@dataclasses.dataclass(frozen=True, kw_only=True)
class Showing:
    """How the evening is shown."""

    seed: int
    speed: float
    minutes: int


class Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """What the days before left: `imported` events, what the cashier takes over, and a payment by a stolen card."""

    imported: int = 0
    kept: Kept = Kept()
    stolen: str = ""


@contextlib.contextmanager
def demonstration(
    koban: Koban, url: str, token: str, *, truth: pathlib.Path, showing: Showing, warmed: Sequence[Warmed] = ()
) -> Iterator[Demo]:
    """Open the roles and put the story together until the block ends; it begins when `demo.story.begin` is called.

    `warmed`: what the days before left, where they were told; the first evening goes on with it.
    """
    roles = DEMO_ROLES if may_open_roles(koban.settings.host) else ()
    with koban.database.write() as tx:
        for role in roles:
            demo_account(tx, koban.clock.now(), role)
        if roles:
            fill_rota(tx, koban)
    try:
        with marketplace(koban, url, token) as connection, cashier_token(koban, is_wanted=bool(roles)) as secret:
            left = list(warmed)

            def hire(_evening: Evening, stop: threading.Event) -> Cashier | None:
                kept = left.pop().kept if left else Kept()
                return Cashier(url, secret, kept, stop=stop) if secret else None

            story = Story(
                connection,
                truth,
                koban.clock,
                seed=showing.seed,
                speed=showing.speed,
                minutes=showing.minutes,
                on_chapter=on_chapter(koban, stolen=next((each.stolen for each in warmed), "")),
                on_failure=lambda error: _log.error("simulation_stopped", error=repr(error)),
                hire=hire,
            )
            try:
                yield Demo(koban=koban, story=story, truth=truth, roles=roles)
            finally:
                story.leave()
    finally:
        with koban.database.write() as tx:
            close_roles(tx, koban.clock.now())


def fill_rota(tx: Tx, koban: Koban) -> None:
    """Put the shift on call at every level and hour, where nobody has written a rota.

    Its lines may stay: whoever is disabled, as these are after a demonstration, is never on call.
    """
    if read_shifts(tx):
        return
    by = demo_account(tx, koban.clock.now(), "lead").id
    for level, role in zip(LEVELS, ON_CALL, strict=True):
        shift = Shift(
            id="", level=level, staff_id=demo_account(tx, koban.clock.now(), role).id, weekdays=tuple(range(7)),
            from_minute=0, until_minute=0, zone=koban.settings.zone,
        )  # fmt: skip
        add_shift(tx, koban.clock.now(), koban.randomness, shift, by=by)


@contextlib.contextmanager
def marketplace(koban: Koban, url: str, token: str) -> Iterator[Connection]:
    """Register the simulated marketplace's webhook address until the block ends."""
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
    try:
        yield Connection(
            target=Target(base_url=url, token=token), webhook_secret=written_secret(secret), webhook_port=port
        )
    finally:
        with koban.database.write() as tx:
            remove_endpoint(tx, koban.clock.now(), endpoint_id, by=SYSTEM.id)
            koban.memory.book.reload(tx)


@contextlib.contextmanager
def cashier_token(koban: Koban, *, is_wanted: bool) -> Iterator[str]:
    """Give the cashier a token of its own until the block ends; empty: this evening is told by events alone.

    Why not always: it may only ever pay through a provider that is simulated, and somebody of the demonstration's staff
    has to answer for it.
    """
    simulated = all(isinstance(each, SimulatedProvider) for each in koban.providers.by_name.values())
    if not is_wanted or not simulated or not has_money(koban.memory.compiled.pack):
        yield ""
        return
    at = koban.clock.now()
    with koban.database.write() as tx:
        by = demo_principal(tx, at, "admin")
        revoke_leftovers(tx, at, by=by, name=CASHIER)
        token, secret = issue_token(
            tx, at, koban.randomness, koban.secrets, by=by, name=CASHIER, scopes=SCOPES, days=CASHIER_DAYS
        )
    try:
        yield secret
    finally:
        with koban.database.write() as tx:
            revoke_token(tx, koban.clock.now(), by=by, token_id=token.id)


def on_chapter(koban: Koban, *, stolen: str = "") -> Callable[[str, Mapping[str, str]], None]:
    """Return what the demonstration itself does as a chapter begins.

    A card holder's bank takes the `stolen` payment back, and the shift answers the muted viewer's appeal.
    """

    def act(key: str, accounts: Mapping[str, str]) -> None:
        if key == "parcel" and stolen:
            _charge_back(koban, stolen)
        if key == "restored" and "fan" in accounts:
            _restore(koban, accounts["fan"])

    return act


def _charge_back(koban: Koban, payment: str) -> None:
    provider = koban.providers.by_name.get("simulated")
    with koban.database.read() as tx:
        captures = [each.id for each in payment_store.steps_of(tx, payment) if each.kind == "capture"]
    if isinstance(provider, SimulatedProvider):
        for each in captures:
            if provider.has_captured(each) and provider.returnable(each):
                provider.charge_back(each)


def _restore(koban: Koban, account: str) -> None:
    """Overturn what stands against an account, unless somebody at the console did so before."""
    subject = SubjectRef(kind="account", id=account)
    with koban.database.write() as tx:
        by = demo_account(tx, koban.clock.now(), "lead").id
    with koban.database.read() as tx:  # a transaction that writes does not see who did what
        own = [each.id for each in sanction_store.read_of_subject(tx, subject)]
        over = [each for record in decision_store.search(tx, before_seq=None, limit=LINES_MAX, acting=account)
                for each in record.sanctions]  # fmt: skip
        known = sanction_store.read(tx, list(dict.fromkeys([*own, *over])))
        standing = [each for each, sanction in known.items() if sanction.status == "in_force"]
    if standing:
        command = OverturnSanctions(sanction_ids=tuple(standing), by=by, reason=APPEAL_WORDS)
        koban.desk.command(lambda memory, tx: commands.sanction(memory, tx, command))


def warm(
    settings: Settings, evening: Evening, randomness: random.Random, secrets: Secrets, *, money: bool = True
) -> Warmed:
    """Import the day before an evening into a log that is empty, and book its money.

    Events carry times of their own and no consequences: they are there so that features know the town. `money`: the
    books of the days before are kept too, as whoever keeps them would have done it at the time.
    """
    past = past_of(evening)
    clock = ManualClock(Instant(evening.start_at - BEGINS_BEFORE))
    with open_desk(settings, clock, randomness, secrets, durable=False) as opened:
        desk = opened[2]
        if desk.memory.last_seq:
            return Warmed()
        earlier = earlier_of(evening)
        steps: Iterator[Step] = iter(())
        if money:
            steps = tell_yesterday(
                settings, opened, clock, earlier, evening=evening, randomness=randomness, secrets=secrets
            )
        step = next(steps, None)
        imported = 0
        for slot, events in itertools.groupby(plan(past), key=lambda event: event.at // PAST_SLOT):
            until = (slot + 1) * PAST_SLOT
            while step is not None and step[0] < until:
                _act(clock, *step)
                step = next(steps, None)
            items: list[Envelope | Fault] = list(
                decode(encode([wire(event) for event in events]), "application/cloudevents-batch+json")
            )
            clock.advance(max(until - clock.now(), 0))
            desk.submit(items, clock.now(), False, hurried=False, imported=True).result()
            imported += len(items)
        while step is not None:
            _act(clock, *step)
            step = next(steps, None)
        kept = kept_for(opened[0], earlier) if money else Kept()
        return Warmed(imported=imported, kept=kept, stolen=stolen_payment(earlier) if kept.orders else "")


def _act(clock: ManualClock, at: Instant, act: Callable[[], object]) -> None:
    """Do something at its moment, or as soon after it as what came before allows."""
    clock.advance(max(at - clock.now(), 0))
    act()


def may_open_roles(host: str) -> bool:
    """Tell whether one-click roles may be offered: only where nobody but this machine can reach the console."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def truth_folder(settings: Settings) -> pathlib.Path:
    """Return where a demonstration writes what is true: beside the data, never in it."""
    return settings.data.parent / f"{settings.data.name}-truth"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
