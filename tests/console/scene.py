"""A console with something to show: an hour of simulated traffic through the real decider, people who may see it."""

import contextlib
import dataclasses
import functools
import json
import pathlib
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from starlette.applications import Starlette
from starlette.types import ASGIApp

from koban import console
from koban.access import (
    SYSTEM,
    AccessKit,
    Gate,
    Guarded,
    Rate,
    StaffDirectory,
    build_routes,
    passwords,
    problem_handlers,
)
from koban.access import actions as access_actions
from koban.access import endpoints as access_endpoints
from koban.access import store as access_store
from koban.app import opening
from koban.app.banking import bank_desk
from koban.app.casework import appeal_desk, sign_links, workbench
from koban.app.lab import pack_in_force
from koban.app.money import booking_commands, period_commands
from koban.app.payments import Providers, commands_of, payment_kit, read_providers
from koban.app.private import CaseOpener
from koban.app.reconciliation import reconciliation_desk
from koban.app.running import modes_of, versions_of
from koban.app.runs import RunView
from koban.app.urgent import emergencies
from koban.audit import SeededSecrets, SigningKey, seal
from koban.base import MINUTE, SECOND, Instant, ManualClock, to_rfc3339
from koban.board import HeldMoney
from koban.cases import claim_next
from koban.cases import store as case_store
from koban.db import Database, Tx
from koban.decisions import DecisionRecord
from koban.events import decode, take_log
from koban.events.archive import Archive, Places
from koban.events.routes import Decided
from koban.finding import FindingDesk, follow
from koban.finding import endpoints as finding_endpoints
from koban.lab import Behind, Log, Question, backtest, behind_subject, suggest_rules
from koban.ledger import LedgerReport, verify
from koban.oncall import OncallKit
from koban.packs import PackDef, active_at, load_pack, load_version, parse_files
from koban.payments.worker import PaymentKit
from koban.pipeline import Desk, Memory, commands, explain
from koban.pipeline.explain import explain_feature, stored_decision, version_of
from koban.sim import Settings, Size, plan, wire
from koban.vault import Vault
from koban.webhooks import SecretBox, WebhookEndpoint, raise_alert
from koban.webhooks import store as webhook_store

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
PASSWORD = "correct horse battery staple"
PROVIDERS = ("simulated", "second")  # of payments; the first is asked where nobody says another
ROLES = ("admin", "specialist", "reviewer", "auditor")
NAMES = {"admin": "相田 恵", "specialist": "Mika Sato", "reviewer": "Ken Mori", "auditor": "Ana Ruiz"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """A console over a decider that has seen traffic."""

    app: ASGIApp
    database: Database
    clock: ManualClock
    desk: Desk
    pack: PackDef
    first_link: str
    kit: console.ConsoleKit
    payment_kit: PaymentKit  # asks the provider, which nobody does here by itself
    archive: Archive

    def email(self, role: str) -> str:
        return f"{role}@koban.test"

    def message(self, event_id: str, text: str, **changes: object) -> DecisionRecord:
        """Send a message between two accounts that are new here, and return what was decided."""
        at = to_rfc3339(self.clock.advance(2 * SECOND))
        data = {
            "sender": {"id": f"s-{event_id}", "created_at": at, "verified": False, "trades": 0},
            "recipient": {"id": f"r-{event_id}"},
            "message": {"id": f"m-{event_id}"},
            "thread": {"id": f"t-{event_id}"},
            "text": text,
            "first_message": True,
            **changes,
        }
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "shop",
            "type": "message.sent",
            "time": at,
            "data": data,
        }
        items = decode(json.dumps(event, ensure_ascii=False).encode(), "application/json")
        result = self.desk.submit(items, self.clock.now(), False).result(timeout=60)[0]
        assert isinstance(result, Decided), result
        return msgspec.json.decode(bytes(result.body), type=DecisionRecord)


@functools.cache
def starter() -> PackDef:
    return load_pack(STARTER)


@contextlib.contextmanager
def open_scene(database: Database, clock: ManualClock, folder: pathlib.Path, *, minutes: int = 6) -> Iterator[Scene]:
    """Open a console over an empty database and let traffic run until the clock's time."""
    secrets, randomness = SeededSecrets(7), random.Random(5)
    ends_at = clock.now()
    clock.step(-(minutes * MINUTE + 5 * SECOND))
    pack = starter()
    with database.write() as tx:
        vault = Vault.open_file(tx, folder / "vault.key", secrets)

    def find(tx: Tx, seq: int) -> PackDef:
        activation = active_at(tx, seq + 1)
        return pack if activation is None else load_version(tx, activation.digest)

    lease = take_log(database, clock, holder="test", is_dead=lambda _holder: True)
    memory = Memory(vault, clock, randomness, consequences=True)
    with database.write() as tx:
        _endpoint(tx, clock.now())
        memory.load(tx, find)
    desk = Desk(database, memory, lease, find)
    sign_links(desk, vault.appeal_key, "https://koban.test")
    desk.decider.start()
    try:
        compiled = memory.compile(pack)
        desk.command(lambda live, tx: commands.activate(live, tx, compiled, by="koban", reason="first"), alone=True)
        _traffic(desk, clock, minutes=minutes, ends_at=ends_at)
        with database.write() as tx:
            link = access_actions.create_first_admin(tx, clock.now(), randomness, secrets)
            assert link is not None
            _people(tx, clock.now(), secrets)
            _consequences(tx, clock.now())
        while follow(database, pack.events):
            pass
        access = AccessKit(
            database=database,
            directory=StaffDirectory(database),
            randomness=randomness,
            secrets=secrets,
            checkpoint_file=folder / "checkpoints.jsonl",
            audit_key=SigningKey.open(folder / "audit.key", secrets).public,
        )
        providers = read_providers(_two_providers(folder), folder, clock)
        kit = _kit(database, clock, desk, vault, access, folder, providers)
        app = build_app(kit, clock)
        archive = Archive(places=Places(folder=folder / "archive"))
        yield Scene(
            app=app, database=database, clock=clock, desk=desk, pack=pack, first_link=link.path, kit=kit,
            payment_kit=payment_kit(desk, vault, clock, providers), archive=archive,
        )  # fmt: skip
    finally:
        desk.decider.close()


def _two_providers(folder: pathlib.Path) -> str:
    file = folder / "providers.json"
    file.write_bytes(msgspec.json.encode([{"name": name, "kind": "simulated"} for name in PROVIDERS]))
    return str(file)


def build_app(kit: console.ConsoleKit, clock: ManualClock) -> ASGIApp:
    """Serve the console and the routes of access, as the application does."""
    gate = Gate(
        clock=clock,
        randomness=random.Random(9),
        directory=kit.access.directory,
        pool=ThreadPoolExecutor(4),
        unknown_rate=Rate(per_s=1_000, burst=10_000),  # the clock stands still here, so no bucket ever refills
        problem_page=console.problem_page,
    )
    finding = FindingDesk(database=kit.database, clock=clock, randomness=random.Random(6), pack=kit.pack)
    endpoints = (*access_endpoints(kit.access), *finding_endpoints(finding), *console.endpoints(kit))
    app = Starlette(routes=build_routes(endpoints, gate), exception_handlers=dict(problem_handlers(gate)))
    return Guarded(app, gate)


class Tries:
    """Backtests in this process, done when they are started: the child process has tests of its own."""

    def __init__(self, database: Database, vault: Vault, folder: pathlib.Path) -> None:
        self._database = database
        self._vault = vault
        self.archive = Archive(places=Places(folder=folder / "archive"))
        self._runs: dict[str, RunView] = {}

    def start(self, files: Mapping[str, str], arguments: Sequence[str]) -> RunView:
        rules = [arguments[place + 1] for place, each in enumerate(arguments) if each == "--rule"]
        with self._database.read() as tx:
            log = Log(tx=tx, archive=self.archive, vault=self._vault)
            question = Question(pack=parse_files(files), against=pack_in_force(tx), rules=rules or None)
            report = backtest(log, question)
        run = RunView(id=f"run_{len(self._runs)}", state="done", report=report)
        self._runs[run.id] = run
        return run

    def suggest(self, at: Instant, event: str, log: str, precision: float, without: Sequence[str]) -> RunView:  # noqa: ARG002 - the live log is asked
        with self._database.read() as tx:
            pack = pack_in_force(tx)
            assert pack is not None
            opened = Log(tx=tx, archive=self.archive, vault=self._vault)
            found = suggest_rules(opened, pack, event, precision=precision, without=without)
        run = RunView(id=f"run_{len(self._runs)}", state="done", kind="suggest", suggested=found)
        self._runs[run.id] = run
        return run

    def find(self, run_id: str) -> RunView:
        return self._runs[run_id]

    def find_of(self, digest: str) -> RunView | None:
        found = [run for run in self._runs.values() if run.report is not None and run.report.pack == digest]
        return found[-1] if found else None

    def behind(self, feature: str, subject: str, desk: Desk, clock: ManualClock) -> tuple[Behind, ...]:
        with self._database.read() as tx:
            log = Log(tx=tx, archive=self.archive, vault=self._vault)
            pack = desk.memory.compiled.pack
            return behind_subject(log, pack, feature, subject, seq=desk.memory.last_seq + 1, at=clock.now())


def _kit(
    database: Database, clock: ManualClock, desk: Desk, vault: Vault, access: AccessKit, folder: pathlib.Path,
    providers: Providers,
) -> console.ConsoleKit:  # fmt: skip
    tries = Tries(database, vault, folder)
    with_keys = opening.Opening(
        database=database,
        vault=vault,
        randomness=random.Random(3),
        secrets=access.secrets,
        pack=lambda: desk.memory.compiled.pack,
    )
    return console.ConsoleKit(
        database=database,
        clock=clock,
        access=access,
        pack=lambda: desk.memory.compiled.pack,
        figures=lambda: desk.memory.figures.snapshot(clock.now()),
        stored=lambda tx, seq: stored_decision(tx, seq, tries.archive),
        explain=lambda seq, pack: explain(database, vault, seq, pack=pack, archive=tries.archive),
        explain_feature=lambda seq, key, pack: explain_feature(
            database, vault, seq, key, pack=pack, archive=tries.archive
        ),
        version=lambda beginning: version_of(database, beginning),
        modes=modes_of(desk, random.Random(6)),
        sanction=lambda command: desk.command(lambda live, tx: commands.sanction(live, tx, command)),
        change_list=lambda change: desk.command(lambda live, tx: commands.change_list(live, tx, change)),
        bench=workbench(desk, random.Random(4)),
        appeals=appeal_desk(desk),
        appeal_key=vault.appeal_key,
        opener=CaseOpener(database, vault, SeededSecrets(8)),
        replay=desk.replay_quarantined,
        prove_ledger=lambda: _proof(database),
        periods=period_commands(desk),
        bookings=booking_commands(desk),
        reconciliation=reconciliation_desk(desk),
        payments=commands_of(desk, vault, clock, providers, wake=lambda: None),
        bank=bank_desk(desk, vault),
        emergencies=emergencies(database, vault, desk, clock, zone="Asia/Tokyo"),
        oncall=oncall_of(database, clock),
        contacts_box=SecretBox(b"k" * 32, access.secrets),
        versions=versions_of(desk, random.Random(5)),
        start_backtest=tries.start,
        find_backtest=tries.find,
        suggest=tries.suggest,
        stop_backtest=tries.find,
        backtest_of=tries.find_of,
        feature_value=lambda feature, subject: tries.behind(feature, subject, desk, clock),
        money=HeldMoney(),
        is_honest=lambda account, at: desk.memory.labels.words.get((account, "honest"), -1) > at,
        disclose=lambda at, by, seq, asked: opening.disclose(with_keys, at, by=by, seq=seq, asked=asked),
        disclosed=lambda tx, at, by, entry: opening.disclosed(with_keys, tx, at, by=by, entry=entry),
        search_sealed=lambda at, by, asked: opening.search_sealed(with_keys, at, by=by, asked=asked),
        committed_at=desk.memory.figures.committed_at,
        simulated=True,
    )


def _proof(database: Database) -> LedgerReport:
    with database.read() as tx:
        return verify(tx)


def oncall_of(database: Database, clock: ManualClock) -> OncallKit:
    """On-call that reaches nobody."""
    return OncallKit(
        database=database, clock=clock, randomness=random.Random(4), deliver=lambda _contact, _page, _link: "no network",
        key=b"links", public_url="http://koban.test", decider_failed=lambda: False,
    )  # fmt: skip


def _traffic(desk: Desk, clock: ManualClock, *, minutes: int, ends_at: Instant) -> None:
    settings = Settings(
        seed=11,
        start_at=clock.now(),
        duration=minutes * MINUTE,
        size=Size(people=600, events_per_minute=300, streams=2),
    )
    second: list[Mapping[str, object]] = []
    for event in plan(settings):
        if event.at >= ends_at:
            break
        if event.at > clock.now() + SECOND:
            _send(desk, clock, second)
            clock.advance(event.at - clock.now())
        second.append(wire(event))
    _send(desk, clock, second)
    _send(desk, clock, [{"specversion": "1.0", "id": "broken-1", "source": "shop", "type": "message.sent", "data": 5}])
    _send(desk, clock, [{"specversion": "1.0", "id": "broken-2", "source": "shop", "type": "mesage.sent", "data": {}}])
    clock.advance(ends_at - clock.now())


def _send(desk: Desk, clock: ManualClock, events: list[Mapping[str, object]]) -> None:
    if events:
        items = decode(json.dumps(events, ensure_ascii=False).encode(), "application/json")
        desk.submit(items, clock.now(), False).result(timeout=60)
        events.clear()


def _people(tx: Tx, at: Instant, secrets: SeededSecrets) -> None:
    hashed = passwords.hash_password(PASSWORD, email="nobody@koban.test", name="nobody")
    for role in ROLES:
        one, _ = access_actions.invite_staff(
            tx, at, random.Random(role), secrets, by=SYSTEM, email=f"{role}@koban.test", name=NAMES[role], roles=(role,)
        )
        access_store.update_password(tx, one.id, hashed)


def _endpoint(tx: Tx, at: Instant) -> None:
    endpoint = WebhookEndpoint(
        id="endpoint_shop", url="https://shop.example/koban", kinds=(), enabled=True, allow_private=False,
        created_at=at, secret=b"sealed",
    )  # fmt: skip
    webhook_store.insert_endpoint(tx, endpoint, by="koban")


def _consequences(tx: Tx, at: Instant) -> None:
    """Let the marketplace take most actions and confirm many; some fail, and one was given up."""
    for place, action in enumerate(webhook_store.search_actions(tx, before=None, limit=2_000, filters={})):
        if place % 10 == 9:
            again = None if place % 40 == 39 else Instant(at + MINUTE)
            webhook_store.mark_failed(tx, action, "503 from shop.example", again_at=again)
            continue
        webhook_store.mark_delivered(tx, action.id, Instant(action.requested_at + 300_000))
        if place % 3:
            webhook_store.mark_confirmed(tx, action.id, Instant(action.requested_at + 2 * SECOND), "token_shop")

    detail = "3 actions unconfirmed, the oldest requested at 2026-10-21T11:40:00Z"
    raise_alert(tx, at, random.Random(2), kind="actions.unconfirmed", about="endpoint_shop", detail=detail)
    queue = next(iter(case_store.count_open(tx, at)), None)
    if queue is not None:
        staff = access_store.list_staff(tx, after_id="", limit=10)
        claim_next(tx, at, (queue,), by=staff[-1].id)
    seal(tx, at)
