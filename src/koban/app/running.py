"""Wiring: the only place that chooses implementations. `open_koban` opens everything, `asgi` puts HTTP in front."""

import contextlib
import dataclasses
import functools
import hmac
import json
import os
import pathlib
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

import koban.schema
from koban.access import SYSTEM, StaffDirectory
from koban.app.archiving import archive_of, run_when_due
from koban.app.banking import carry_on
from koban.app.following import IndexFollower
from koban.app.forgetting import forget_restored
from koban.app.garbage import WholeCollections, short_collections
from koban.app.money import prove as money_proof
from koban.app.payments import Providers, payment_kit, read_providers, take_simulated_notices
from koban.app.reconciliation import reconciliation_desk, run_daily
from koban.app.runs import Runs
from koban.audit import Secrets, SigningKey
from koban.base import Clock, Instant, Refusal, roam
from koban.base.settings import Settings
from koban.board import HeldMoney, read_now, sample
from koban.db import Database, Tx, newest_revision, revision, upgrade
from koban.events import take_log
from koban.finding import fit_index
from koban.insight import watch_health
from koban.lab.drafts import VersionDesk, bring_in, checked, propose
from koban.lab.kept import expected_of_version
from koban.lab.mode_drafts import ModeDesk
from koban.oncall import Mail, OncallKit, deliver_by, mail_by, no_mail, read_smtp
from koban.packs import PackDef, active_at, load_pack, load_version, place
from koban.packs.draft_store import Permit, Switched
from koban.payments.worker import PaymentKit, PaymentWorker
from koban.pipeline import money
from koban.pipeline.commands import Entered, activate_with, expect, features_to_fill, set_approved_mode, set_mode
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Memory
from koban.subscriptions import DailyProof, Job, daily, jobs, pagers, sign_off, watch_chain, watchers
from koban.vault import Vault
from koban.webhooks import HttpSender, Post, SecretBox, Send, WebhookWorker, raise_alert

_log = structlog.get_logger("koban.app")

VAULT_KEY: Final = "vault.key"
AUDIT_KEY: Final = "audit.key"
CHECKPOINTS: Final = "audit-checkpoints.jsonl"
SERVER_FILE: Final = "server.json"
PAGERS: Final = 4  # threads that send pages, apart from everything else
HONEST: Final = "honest"
OUTDATED_SAID_MAX: Final = 5  # faults that an alert tells
HANDLERS: Final = 8  # threads for blocking handlers: they mostly wait for the decider or the disk

assert koban.schema.METADATA.tables, "every table is known before the first migration"


class DataFolderUnusable(Refusal):
    """The data folder cannot be made, read or written."""

    code = "data_folder_unusable"
    status = 409
    title = "The data folder cannot be used."


class DataOfOtherRelease(Refusal):
    """The data was written by another release."""

    code = "data_of_other_release"
    status = 409
    title = "This data belongs to another release of Koban."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Koban:
    """Everything that runs in one server process."""

    settings: Settings
    clock: Clock
    randomness: random.Random
    secrets: Secrets
    database: Database
    vault: Vault
    desk: Desk
    directory: StaffDirectory
    signing_key: SigningKey
    box: SecretBox
    oncall: OncallKit
    pool: ThreadPoolExecutor
    runs: Runs
    held: HeldMoney
    providers: Providers
    payment_worker: PaymentWorker
    stopping: threading.Event  # set when the server is told to stop: whatever streams ends itself

    def is_honest(self, account: str, at: Instant) -> bool:
        """Tell whether an account is labelled honest: a look into the decider's memory, which never waits."""
        return self.memory.labels.words.get((account, HONEST), -1) > at

    @property
    def memory(self) -> Memory:
        """The decider's state: read it only for figures; everything else belongs to the decider's thread."""
        return self.desk.memory


class Periodic:
    """A thread that does one thing again and again until it is closed; an error is logged and tried again."""

    def __init__(self, name: str, every_s: float, run: Callable[[], object]) -> None:
        """Start at once."""
        self._stop = threading.Event()
        self._every_s = every_s
        self._run = run
        self._name = name
        self._thread = threading.Thread(target=self._loop, name=f"koban-{name}", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._run()
            except Exception:  # noqa: BLE001 - an edge: a thread that died would stay dead
                _log.exception("periodic_failed", name=self._name)

    def close(self) -> None:
        """Stop after the present run."""
        self._stop.set()
        self._thread.join(timeout=30)


def open_data(settings: Settings, secrets: Secrets, *, durable: bool = True) -> tuple[Database, Vault]:
    """Open the data folder: tables brought to this release, the vault with its key.

    Refuses: DataFolderUnusable, DataTooNew, DataForeign, MasterKeyMissing, MasterKeyWrong. Raises Unavailable.
    """
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DataFolderUnusable(f"{settings.data} cannot be made: {error.strerror}. Set KOBAN_DATA.") from error
    if not os.access(settings.data, os.W_OK | os.X_OK):
        raise DataFolderUnusable(f"{settings.data} cannot be written to. Set KOBAN_DATA or change its owner.")
    database = Database.open(settings.database_url, durable=durable, index=True)
    try:
        upgrade(database)
        with database.write() as tx:
            vault = Vault.open_file(tx, settings.data / VAULT_KEY, secrets)
    except BaseException:
        database.close()
        raise
    return database, vault


def open_to_read(settings: Settings, secrets: Secrets) -> tuple[Database, Vault]:
    """Open the data folder only to look: nothing is upgraded, made or held, so a server beside it is not disturbed.

    Refuses: DataFolderUnusable, DataOfOtherRelease, MasterKeyMissing, MasterKeyWrong. Raises Unavailable.
    """
    path = pathlib.Path(settings.database_url.removeprefix("sqlite:///"))
    if settings.database_url.startswith("sqlite:///") and not path.is_file():
        raise DataFolderUnusable(f"There is no database in {settings.data}. Set KOBAN_DATA, or start a server first.")
    database = Database.open(settings.database_url, read_only=True, index=True)
    try:
        require_this_release(revision(database))
        with database.read() as tx:
            vault = Vault.open_to_read(tx, settings.data / VAULT_KEY, secrets)
    except BaseException:
        database.close()
        raise
    return database, vault


def require_this_release(found: str | None) -> None:
    """Make sure that data has the tables of this release.

    Refuses: DataOfOtherRelease.
    """
    known = newest_revision()
    if found != known:
        raise DataOfOtherRelease(
            f"The data is at revision {found or 'none'}, this release is at {known}. Start this release's server once to "
            "upgrade it, or use the release that wrote it."
        )


def pack_at(fallback: Callable[[], PackDef]) -> Callable[[Tx, int], PackDef]:
    """Return the function that tells which pack is in force after an entry; `fallback` before the first activation."""
    cache: dict[str, PackDef] = {}

    def find(tx: Tx, seq: int) -> PackDef:
        activation = active_at(tx, seq + 1)
        if activation is None:
            return fallback()
        if activation.digest not in cache:
            cache[activation.digest] = load_version(tx, activation.digest)
        return cache[activation.digest]

    return find


@contextlib.contextmanager
def open_desk(
    settings: Settings, clock: Clock, randomness: random.Random, secrets: Secrets, *, durable: bool = True
) -> Iterator[tuple[Database, Vault, Desk]]:
    """Hold the log and decide until the block ends, with nothing around it: for a command where no server runs.

    Refuses: what `open_data` refuses, LogTaken, PackInvalid.
    """
    find = pack_at(functools.cache(lambda: load_pack(settings.pack)))
    database, vault = open_data(settings, secrets, durable=durable)
    with contextlib.ExitStack() as stack:
        stack.callback(database.close)
        lease = take_log(database, clock, holder=_holder(settings), is_dead=_is_dead, named=_named)
        archive = archive_of(settings)
        memory = Memory(vault, clock, randomness, consequences=True, archive=archive)
        with database.write() as tx:
            memory.load(tx, find)
            forgot = forget_restored(memory, tx)
        if forgot:
            database.forget_deleted()
        if not fit_index(database, archive.next_entries):
            _log.warning("index_of_another_log", so="it is made anew")
        desk = Desk(database, memory, lease, find, strict=settings.strict, archive=archive)
        desk.decider.start()
        stack.callback(desk.decider.close)
        yield database, vault, desk


@contextlib.contextmanager
def open_koban(
    settings: Settings,
    clock: Clock,
    randomness: random.Random,
    secrets: Secrets,
    *,
    durable: bool = True,
    simulated: bool = False,
) -> Iterator[Koban]:
    """Open everything that a server needs, decide until the block ends, close everything in order.

    `simulated`: a payment provider is simulated where none is configured.
    Refuses: what `open_data` refuses, LogTaken, PackInvalid, ProvidersUnreadable.
    """
    providers = read_providers(settings.payment_providers, settings.data, clock, simulated=simulated)
    given = functools.cache(lambda: load_pack(settings.pack))
    with contextlib.ExitStack() as stack:
        database, vault, desk = stack.enter_context(open_desk(settings, clock, randomness, secrets, durable=durable))
        memory = desk.memory
        _settle_pack(desk, settings, given, clock.now(), randomness)
        signing_key = SigningKey.open(settings.data / AUDIT_KEY, secrets)
        signs = (database, clock, signing_key, settings.data / CHECKPOINTS)
        stack.callback(_sign_off, *signs)
        health = functools.partial(_watch_health, desk, clock, randomness)
        chain = functools.partial(watch_chain, database, clock, randomness, signing_key, settings.data / CHECKPOINTS)
        held = HeldMoney()
        follower = stack.enter_context(contextlib.closing(IndexFollower(desk, settings)))
        stack.enter_context(short_collections())
        table = jobs(
            *signs,
            archive=functools.partial(run_when_due, settings, database, clock, randomness),
            expire_pendings=functools.partial(money.expire_when_due, desk),
            keep_minute=functools.partial(_keep_minute, desk, clock, held),
            follow=follower.look,
            event_types=lambda: memory.compiled.pack.events,
            collect=WholeCollections(lambda: memory.last_seq).look,
            carry_on_banking=functools.partial(carry_on, desk, vault),
            take_notices=functools.partial(take_simulated_notices, desk, clock, providers),
        )
        _start(stack, (*table, *watchers(health, chain), *_daily(settings, desk, randomness, signing_key, providers)))
        stack.callback(follower.stop)
        box = SecretBox(vault.webhook_key, secrets)
        sender = stack.enter_context(contextlib.closing(HttpSender()))
        worker = WebhookWorker(Post(database=database, clock=clock, send=sender, box=box, randomness=randomness))
        memory.on_told = worker.wake
        stack.callback(worker.close)
        payment_worker = _start_payments(stack, payment_kit(desk, vault, clock, providers), providers)
        oncall_kit = _oncall_kit(settings, desk, clock, randomness, sender=sender, box=box, key=vault.webhook_key)
        _start_pagers(stack, oncall_kit)
        pool = stack.enter_context(ThreadPoolExecutor(HANDLERS, thread_name_prefix="koban-handler", initializer=roam))
        yield Koban(
            settings=settings,
            clock=clock,
            randomness=randomness,
            secrets=secrets,
            database=database,
            vault=vault,
            desk=desk,
            directory=StaffDirectory(database),
            signing_key=signing_key,
            box=box,
            oncall=oncall_kit,
            pool=pool,
            runs=Runs(settings, randomness, database),
            held=held,
            providers=providers,
            payment_worker=payment_worker,
            stopping=threading.Event(),
        )


def _start(stack: contextlib.ExitStack, table: Sequence[Job]) -> None:
    for job in table:
        stack.callback(Periodic(job.name, job.every_s, job.run).close)


def _sign_off(database: Database, clock: Clock, signing_key: SigningKey, checkpoints: pathlib.Path) -> None:
    try:
        sign_off(database, clock, signing_key, checkpoints)
    except Exception:  # noqa: BLE001 - an edge: a full disk must not keep the rest from being closed
        _log.exception("sign_off_failed")


def _keep_minute(desk: Desk, clock: Clock, held: HeldMoney) -> None:
    at, figures, pack = clock.now(), desk.memory.figures, desk.memory.compiled.pack
    sample(desk.database, lambda tx: read_now(tx, at, figures.snapshot(at), pack, held))


def _start_payments(stack: contextlib.ExitStack, kit: PaymentKit, providers: Providers) -> PaymentWorker:
    stack.callback(providers.close)
    worker = PaymentWorker(kit)
    stack.callback(worker.close)
    return worker


def _start_pagers(stack: contextlib.ExitStack, kit: OncallKit) -> None:
    messages = ThreadPoolExecutor(PAGERS, thread_name_prefix="koban-pager")
    stack.callback(messages.shutdown)
    _start(stack, pagers(kit, messages))


def _daily(
    settings: Settings, desk: Desk, randomness: random.Random, key: SigningKey, providers: Providers
) -> Sequence[Job]:
    database, clock = desk.database, desk.memory.clock
    return daily(
        functools.partial(run_daily, reconciliation_desk(desk, providers.by_name)),
        DailyProof(database, clock, randomness, lambda: money_proof(database, settings.data, key.public)),
    )


def _watch_health(desk: Desk, clock: Clock, randomness: random.Random) -> None:
    watch_health(
        desk.database,
        clock,
        randomness,
        desk.memory.compiled.pack,
        lambda change: desk.command(lambda memory, tx: expect(memory, tx, change, measured=True)),
    )


def _oncall_kit(
    settings: Settings,
    desk: Desk,
    clock: Clock,
    randomness: random.Random,
    *,
    sender: Send,
    box: SecretBox,
    key: bytes,
) -> OncallKit:
    """Choose how people are reached.

    Refuses: MailSettingInvalid.
    """
    mail: Mail = mail_by(read_smtp(settings.smtp_url), settings.mail_from) if settings.smtp_url else no_mail
    return OncallKit(
        database=desk.database,
        clock=clock,
        randomness=randomness,
        deliver=deliver_by(sender, box, clock, mail),
        key=hmac.digest(key, b"koban on-call receipts", "sha256"),
        public_url=settings.public_url,
        decider_failed=lambda: desk.decider.failed is not None,
    )


def _settle_pack(
    desk: Desk, settings: Settings, given: Callable[[], PackDef], at: Instant, randomness: random.Random
) -> None:
    """Say what is wrong with the pack in force, then bring in the one that was given at start."""
    _tell_outdated(desk, at, randomness)
    _activate_given(desk, settings, given, at, randomness)


def _tell_outdated(desk: Desk, at: Instant, randomness: random.Random) -> None:
    """Say what this release would refuse of the pack in force; a server that did not start for it would decide nothing."""
    compiled = desk.memory.compiled
    if not compiled.outdated:
        return
    pack, ran = compiled.pack, {(each.name, name) for name, rules in compiled.rules.items() for each in rules.rules}
    silent = [name for name, rule in pack.rules.items() if any((name, kind) not in ran for kind in rule.on)]
    said = "; ".join(f"{place(each.source)}: {each.detail}" for each in compiled.outdated[:OUTDATED_SAID_MAX])
    runs = f"These rules do not run: {', '.join(silent)}." if silent else "Its rules run as before."
    detail = f"This release would refuse {pack.digest[:12]}, which is in force: {said}. {runs}"
    _log.warning("pack_outdated", digest=pack.digest[:12], faults=len(compiled.outdated), silent=silent)
    with desk.database.write() as tx:
        raise_alert(tx, at, randomness, kind="pack.outdated", about=f"pack:{pack.digest[:12]}", detail=detail)


def _activate_given(
    desk: Desk, settings: Settings, given: Callable[[], PackDef], at: Instant, randomness: random.Random
) -> None:
    """Activate the pack that was given at start, if this content was never active before.

    A severe change against the version in force is proposed only, as through every other door, and so is any change of a
    version that a person brought: it was not made from that one, so it would take back what they changed. An
    installation's first pack is nobody's change. Why never before: somebody who rolled back in the console must not find
    it undone by a restart.
    """
    if not settings.pack.is_dir():
        with desk.database.read() as tx:
            if active_at(tx, desk.memory.last_seq + 1) is not None:
                return
    pack = given()
    with desk.database.read() as tx:
        try:
            load_version(tx, pack.digest)
        except Refusal:
            pass
        else:
            return
    reason = f"given at start: {settings.pack.name}"
    with desk.database.read() as tx:
        active = active_at(tx, desk.memory.last_seq + 1)
    if active is None:
        base = desk.memory.compiled.pack.digest
        switch_pack(desk, pack, Permit(base=base, by=SYSTEM.id, reason=reason, ground="first"))
        return
    versions = versions_of(desk, randomness)
    if active.author != SYSTEM.id:
        draft = propose(versions, pack.files, at, by=SYSTEM.id, reason=reason)
        switched = Switched(digest=pack.digest, draft=draft.id)
        detail = f"{active.digest[:12]} is in force, which a person brought. The pack given at start is another, and is proposed."
    else:
        switched = bring_in(versions, checked(pack.files), at, by=SYSTEM.id, reason=reason)
        detail = f"The pack given at start needs a second person: {', '.join(switched.needs[:5])}."
    if switched.draft is not None:
        _log.warning("pack_waits_for_approval", digest=pack.digest[:12], draft=switched.draft, needs=switched.needs)
        with desk.database.write() as tx:
            raise_alert(tx, at, randomness, kind="pack.waits", about=f"draft:{switched.draft}", detail=detail)


def versions_of(desk: Desk, randomness: random.Random) -> VersionDesk:
    """Return what bringing a version into force needs."""
    return VersionDesk(
        database=desk.database,
        randomness=randomness,
        pack=lambda: desk.memory.compiled.pack,
        switch=lambda pack, permit: switch_pack(desk, pack, permit),
    )


def modes_of(desk: Desk, randomness: random.Random) -> ModeDesk:
    """Return what changing the modes of rules needs."""
    return ModeDesk(
        database=desk.database,
        randomness=randomness,
        now=desk.memory.clock.now,
        pack=lambda: desk.memory.compiled.pack,
        change=lambda change: _without_off(desk, desk.command(lambda memory, tx: set_mode(memory, tx, change))),
        expect=lambda change: desk.command(lambda memory, tx: expect(memory, tx, change)).seq,
        change_approved=lambda draft, by: _without_off(
            desk, desk.command(lambda memory, tx: set_approved_mode(memory, tx, draft, by))
        ),
    )


def _without_off(desk: Desk, entered: Entered) -> int:
    """Leave rules that are off out of what runs, on this thread; return where the change stands in the log."""
    desk.memory.leave_out()
    return entered.seq


def switch_pack(desk: Desk, pack: PackDef, permit: Permit) -> int:
    """Compile a pack, fill its new features from the log, and switch to it at one place; return that place.

    What it brings or changes is expected to do what the backtest of this very version said. That is read over the version
    in force now; over another one the permit is worth nothing.
    Refuses: DraftStale, DraftMissing.
    """
    from koban.pipeline.filling import fill_features

    compiled = desk.memory.compile(pack)
    wanted = features_to_fill(desk.memory, compiled)
    filled = fill_features(desk, compiled, wanted) if wanted and desk.memory.last_seq else None
    with desk.database.read() as tx:
        expected = expected_of_version(tx, desk.memory.compiled.pack, pack, by=permit.by)
    entered = desk.command(
        lambda memory, tx: activate_with(
            memory, tx, compiled, permit, filled=filled.caught_up(tx) if filled is not None else None, expected=expected
        ),
        alone=True,
    )
    _log.info("pack_activated", digest=pack.digest[:12], seq=entered.seq, filled=sorted(wanted), ground=permit.ground)
    return _without_off(desk, entered)


def _holder(settings: Settings) -> str:
    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "address": settings.public_url,
        }
    )


def _started(pid: int) -> str:
    """Return what distinguishes this process from a later one of the same number; empty where that is not known."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def _named(holder: str) -> str:
    try:
        said = json.loads(holder)
        return f"process {said['pid']} on {said['host']}, which serves {said['address']}"
    except (ValueError, KeyError, TypeError):
        return holder


def _is_dead(holder: str) -> bool:
    """Tell whether a lease's holder is a process of this machine that no longer runs."""
    try:
        said = json.loads(holder)
        if said["host"] != socket.gethostname():
            return False
        os.kill(int(said["pid"]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, PermissionError):
        return False
    return bool(said.get("started")) and _started(int(said["pid"])) != said["started"]
