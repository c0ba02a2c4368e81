"""The asynchronous flow as one table: what happens later, how often it is looked at, and why.

Each job works on what committed batches left behind, may run twice, and may be killed at any moment. Delivering
webhooks is the one thing that is not here: it is woken by commits and has a thread of its own (`webhooks.WebhookWorker`).
"""

import dataclasses
import itertools
import pathlib
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import koban.events.store as event_store
from koban.access import forget_keys
from koban.audit import CHECKPOINT_EVERY_US, SigningKey, append_checkpoint, checkpoint, read_checkpoints, seal, verify
from koban.base import DAY, Clock, Instant, limits
from koban.db import Database
from koban.events.archive import leaves_early
from koban.finding import forget_gone, forget_links
from koban.ledger import LedgerReport, log_end
from koban.oncall import OncallKit, deliver_due, escalate, watch
from koban.packs import EventType
from koban.rules import forget_harm
from koban.vault import forget_days
from koban.webhooks import delete_finished, raise_alert

LEDGER_CHECKPOINTS = "ledger-checkpoints.jsonl"
ACTIONS_KEPT_FOR = 90 * DAY
DELETED_AT_ONCE_MAX = 1_000
SEALED_AT_ONCE_MAX = 1_000
_LOOK_UP_EACH = 24  # times that the index forgets: to look each of its rows up takes half a minute a million
Types: TypeAlias = Callable[[], Mapping[str, EventType]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Something that is done again and again."""

    name: str
    every_s: float
    run: Callable[[], object]
    why: str


def jobs(
    database: Database,
    clock: Clock,
    signing_key: SigningKey,
    checkpoints: pathlib.Path,
    *,
    archive: Callable[[Types], object] = lambda _types: None,
    expire_pendings: Callable[[], object] = lambda: None,
    keep_minute: Callable[[], object] = lambda: None,
    follow: Callable[[], object] = lambda: None,
    event_types: Types = dict,
    collect: Callable[[], object] = lambda: None,
    carry_on_banking: Callable[[], object] = lambda: None,
    take_notices: Callable[[], object] = lambda: None,
) -> Sequence[Job]:
    """Return the table.

    `archive` starts the process that moves old entries, `expire_pendings` and `carry_on_banking` ask the decider,
    `keep_minute` keeps the board's figures, `follow` enters new events into the index, `event_types`: those of the pack in
    force, `collect` looks for garbage in memory, `take_notices` takes the webhooks of simulated payment providers.
    """
    return (
        Job(
            name="audit.seal",
            every_s=1.0,
            run=lambda: _seal_audit(database, clock, signing_key, checkpoints),
            why="An audit row is part of the chain within a second, and signed outside the database.",
        ),
        Job(
            name="database.move_log",
            every_s=0.5,
            run=database.move_log,
            why="SQLite's log of writes goes into its file beside the decider, whose commits do not stop for it.",
        ),
        Job(
            name="memory.collect", every_s=10.0, run=collect, why="No short look finds garbage that lived for a while."
        ),
        Job(
            name="archive.run",
            every_s=900.0,
            run=lambda: archive(event_types),
            why="Entries leave the database after 30 days, and the archive when their retention is over.",
        ),
        Job(
            name="board.keep_minute",
            every_s=60.0,
            run=keep_minute,
            why="The board shows how its figures got where they are, whoever looked meanwhile.",
        ),
        Job(
            name="finding.follow",
            every_s=1.0,
            run=follow,
            why="Whoever looks for an id finds what was sent a moment ago; the decider waits for no index.",
        ),
        Job(
            name="payments.simulated",
            every_s=0.5,
            run=take_notices,
            why="A simulated payment provider has no network to send its webhooks by.",
        ),
        *_ledger_jobs(database, clock, signing_key, checkpoints, expire_pendings),
        Job(
            name="bank.carry_on",
            every_s=10.0,
            run=carry_on_banking,
            why="A batch that was approved leaves, and a statement is followed to its end, whatever crashed in between.",
        ),
        *_forgetting(database, clock, event_types),
    )


def _forgetting(database: Database, clock: Clock, event_types: Types) -> Sequence[Job]:
    looks = itertools.count()

    def forget_old_harm() -> None:
        with database.write() as tx:
            forget_harm(tx, clock.now() - limits.HARM_WINDOW)

    def forget_quarantine() -> None:
        at = clock.now()
        with database.write() as tx:
            event_store.delete_quarantined_before(tx, at - limits.QUARANTINE_FOR)
            forget_days(tx, at, "quarantine", older_than_us=limits.QUARANTINE_FOR)
            forget_days(tx, at, "bank", older_than_us=limits.VOUCHERS_FOR)

    def forget_commands() -> None:
        with database.write() as tx:
            forget_keys(tx, clock.now())

    def forget_finished_actions() -> None:
        with database.write() as tx:
            delete_finished(tx, before=Instant(clock.now() - ACTIONS_KEPT_FOR), limit=DELETED_AT_ONCE_MAX)

    return (
        Job(
            name="harm.forget",
            every_s=600.0,
            run=forget_old_harm,
            why="No budget looks back further than an hour.",
        ),
        Job(
            name="quarantine.forget",
            every_s=3600.0,
            run=forget_quarantine,
            why="What could not be read is kept for 30 days, vouchers of banks for ten years; both are forgotten with their key.",
        ),
        Job(
            name="commands.forget",
            every_s=3600.0,
            run=forget_commands,
            why="An Idempotency-Key is remembered for a day.",
        ),
        Job(
            name="actions.forget",
            every_s=3600.0,
            run=forget_finished_actions,
            why="A confirmed action is history after 90 days; the sanction itself stays.",
        ),
        Job(
            name="finding.forget",
            every_s=3600.0,
            run=lambda: _forget_found(database, clock, event_types(), look_up=next(looks) % _LOOK_UP_EACH == 0),
            why="The index names nothing that left the database, and links no accounts after the longest retention.",
        ),
    )


def _forget_found(database: Database, clock: Clock, types: Mapping[str, EventType], *, look_up: bool) -> None:
    forget_gone(database, leave_early=look_up and any(map(leaves_early, types.values())))
    if look_up and types:
        kept = max(each.retention_days for each in types.values())
        forget_links(database, before_at=Instant((clock.now() // DAY - kept) * DAY))


def _ledger_jobs(
    database: Database,
    clock: Clock,
    signing_key: SigningKey,
    checkpoints: pathlib.Path,
    expire_pendings: Callable[[], object],
) -> Sequence[Job]:
    return (
        Job(
            name="ledger.expire",
            every_s=1.0,
            run=expire_pendings,
            why="What a pending transfer reserved is free again when its time runs out, also in a quiet hour.",
        ),
        Job(
            name="ledger.sign",
            every_s=10.0,
            run=lambda: _sign_ledger(database, clock, signing_key, checkpoints.with_name(LEDGER_CHECKPOINTS)),
            why="The end of the ledger's log is signed outside the database once a minute.",
        ),
    )


def daily(reconcile: Callable[[], object], prove: Callable[[], object]) -> Sequence[Job]:
    """Return the part of the table that does something once a day; each looks itself whether its time has come."""
    return (
        Job(
            name="reconciliation.run",
            every_s=600.0,
            run=reconcile,
            why="Ledger, provider reports and bank statements are compared on every date of the ledger's time zone.",
        ),
        Job(
            name="ledger.prove",
            every_s=3600.0,
            run=prove,
            why="A balance that the log does not prove calls a person, before anybody thinks of looking.",
        ),
    )


def watchers(health: Callable[[], object], chain: Callable[[], object]) -> Sequence[Job]:
    """Return the part of the table that looks whether all is as it should be."""
    return (
        Job(
            name="audit.verify",
            every_s=3600.0,
            run=chain,
            why="A chain that somebody broke calls a person, before anybody thinks of looking.",
        ),
        Job(
            name="rules.health",
            every_s=600.0,
            run=health,
            why="What a rule did in an hour is counted when the hour is over; drift and dead rules are named.",
        ),
    )


def pagers(kit: OncallKit, messages: ThreadPoolExecutor) -> Sequence[Job]:
    """Return the part of the table that calls people: apart, so that nothing else can hold it up."""

    def look() -> None:
        watch(kit)
        escalate(kit)

    return (
        Job(
            name="oncall.watch",
            every_s=1.0,
            run=look,
            why="A trouble becomes a page within seconds; one that nobody takes in time calls the next level.",
        ),
        Job(
            name="oncall.deliver",
            every_s=0.5,
            run=lambda: deliver_due(kit, messages),
            why="Messages leave at once, and again until they were taken or somebody has the page.",
        ),
    )


def watch_chain(
    database: Database, clock: Clock, randomness: random.Random, key: SigningKey, checkpoints: pathlib.Path
) -> None:
    """Walk the audit chain and raise an alert where it is broken."""
    with database.read() as tx:
        report = verify(tx, read_checkpoints(checkpoints), key.public)
    if report.broken is None:
        return
    detail = f"The audit trail was changed: {report.broken}"[:500]
    with database.write() as tx:
        raise_alert(tx, clock.now(), randomness, kind="audit.broken", about="audit", detail=detail)


class DailyProof:
    """Proves the ledger once a day and raises an alert where it does not hold."""

    def __init__(
        self, database: Database, clock: Clock, randomness: random.Random, prove: Callable[[], LedgerReport]
    ) -> None:
        """Prove with `prove`; a server that starts proves at the job's first turn."""
        self._database, self._clock, self._randomness, self._prove = database, clock, randomness, prove
        self._last = Instant(0)

    def __call__(self) -> None:
        """Prove, unless it was done within the last day."""
        at = self._clock.now()
        if at < self._last + DAY:
            return
        broken = self._prove().broken
        self._last = at
        if broken is None:
            return
        detail = (
            f"The ledger does not hold at position {broken.position}: {broken.what} {broken.about}: {broken.detail}"
        )
        with self._database.write() as tx:
            raise_alert(tx, at, self._randomness, kind="ledger.unbalanced", about="ledger", detail=detail[:500])


def sign_off(database: Database, clock: Clock, signing_key: SigningKey, checkpoints: pathlib.Path) -> None:
    """Seal and sign what there is when a server stops: nothing of its last minute lies unsigned in a folder at rest."""
    _seal_audit(database, clock, signing_key, checkpoints, not_within_us=0)
    _sign_ledger(database, clock, signing_key, checkpoints.with_name(LEDGER_CHECKPOINTS), not_within_us=0)


def _sign_ledger(
    database: Database,
    clock: Clock,
    signing_key: SigningKey,
    path: pathlib.Path,
    *,
    not_within_us: int = CHECKPOINT_EVERY_US,
) -> None:
    with database.read() as tx:
        position, chain_hash, _ = log_end(tx)
    if position:
        append_checkpoint((position, chain_hash), clock.now(), signing_key, path, not_within_us=not_within_us)


def _seal_audit(
    database: Database,
    clock: Clock,
    signing_key: SigningKey,
    checkpoints: pathlib.Path,
    *,
    not_within_us: int = CHECKPOINT_EVERY_US,
) -> None:
    while True:
        with database.write() as tx:
            sealed = seal(tx, clock.now())
        if sealed.added < SEALED_AT_ONCE_MAX:
            break
    # Why apart: a checkpoint outside the database must not name what a failed commit took back.
    with database.read() as tx:
        checkpoint(tx, clock.now(), signing_key, checkpoints, not_within_us=not_within_us)
