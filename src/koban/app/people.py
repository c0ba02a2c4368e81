"""Forget a person everywhere: the key through the decider, then everything derived, then the traces on the disk."""

import json
import random
from collections.abc import Callable
from typing import TypeVar

import msgspec

import koban.events.store as event_store
from koban.app.running import Koban, open_data, open_desk
from koban.audit import Secrets
from koban.base import Clock, Unavailable
from koban.base.remote import call, find_server
from koban.base.settings import Settings
from koban.db import Database, Tx
from koban.pipeline.desk import QUARANTINE, Desk
from koban.pipeline.logs import log_names, open_log
from koban.pipeline.memory import Memory
from koban.vault import Erasure, Vault, erase, lift_hold, place_hold

T = TypeVar("T")

QUARANTINE_PAGE = 200


def erase_person(koban: Koban, person: str, *, by: str) -> Erasure:
    """Destroy a person's key, so that nothing sealed under it can be read again: here, in the archive, in named logs.

    Refuses: PersonOnLegalHold.
    Why through the decider: it alone holds keys in memory, and features of the person go in the same moment.
    """
    return _erase_everywhere(koban.settings, koban.secrets, koban.clock, koban.desk, person, by=by)


def forget_person(memory: Memory, tx: Tx, person: str, *, by: str) -> Erasure:
    """Destroy a person's key and features; runs alone in its batch, on the decider's thread.

    Refuses: PersonOnLegalHold.
    """
    done = erase(tx, memory.log_time.peek(), memory.vault, person, by=by)
    memory.features.write_all(tx, memory.last_seq)
    memory.features.erase(tx, "account", person)
    memory.erased_at = max(memory.erased_at, done.erased_at)
    memory.vault.forget(person)  # what comes next gets a key of its own; a failed commit drops every key anyway
    memory.enter("person.erased", b"{}", about=done.pseudonym, cause_seq=None)
    return done


def erase_from_outside(
    settings: Settings, secrets: Secrets, clock: Clock, randomness: random.Random, person: str, *, by: str
) -> dict[str, object]:
    """Forget a person: through the server that holds the data folder, or by holding it oneself where none does.

    Refuses: PersonOnLegalHold, LogTaken, ServerRefused, and what `open_data` refuses.
    """

    def alone() -> dict[str, object]:
        with open_desk(settings, clock, randomness, secrets) as (_, _, desk):
            done = _erase_everywhere(settings, secrets, clock, desk, person, by=by)
        built = msgspec.to_builtins(done)
        assert isinstance(built, dict), "an erasure is a struct"
        return built

    return _by_server_or(settings, lambda where: call(where, "POST", "/v1/people/erase", {"person": person}), alone)


def hold_from_outside(
    settings: Settings, secrets: Secrets, clock: Clock, person: str, *, by: str, reference: str
) -> None:
    """Keep a person's data from being erased or expiring.

    Refuses: ServerRefused, and what `open_data` refuses.
    """

    def through(where: tuple[str, str]) -> None:
        call(where, "POST", "/v1/people/hold", {"person": person, "reference": reference})

    def alone() -> None:
        _with_vault(
            settings,
            secrets,
            lambda tx, vault: place_hold(tx, clock.now(), vault, person, by=by, reference=reference),
        )

    _by_server_or(settings, through, alone)


def release_from_outside(settings: Settings, secrets: Secrets, clock: Clock, person: str, *, by: str) -> None:
    """Let a person be erased again.

    Refuses: HoldMissing, ServerRefused, and what `open_data` refuses.
    """

    def through(where: tuple[str, str]) -> None:
        call(where, "POST", "/v1/people/release", {"person": person})

    def alone() -> None:
        _with_vault(settings, secrets, lambda tx, vault: lift_hold(tx, clock.now(), vault, person, by=by))

    _by_server_or(settings, through, alone)


def _by_server_or(settings: Settings, through: Callable[[tuple[str, str]], T], alone: Callable[[], T]) -> T:
    """Ask the server on the data folder; where none answers, do it alone (a server that lives still holds the log)."""
    try:
        where = find_server(settings.data, None, None)
        return through(where)
    except Unavailable:
        return alone()


def _with_vault(settings: Settings, secrets: Secrets, act: Callable[[Tx, Vault], object]) -> None:
    database, vault = open_data(settings, secrets)
    try:
        with database.write() as tx:
            act(tx, vault)
    finally:
        database.close()


def _erase_everywhere(
    settings: Settings, secrets: Secrets, clock: Clock, desk: Desk, person: str, *, by: str
) -> Erasure:
    done = desk.command(lambda memory, tx: forget_person(memory, tx, person, by=by), alone=True)
    _drop_quarantined(desk, person)
    desk.database.forget_deleted()
    had_data = done.had_data
    for name in log_names(settings.data):
        with open_log(settings.data, settings.database_url, name, secrets, make=False) as log:
            had_data |= _erase_in(log.database, log.vault, clock, person, by=by)
    return msgspec.structs.replace(done, had_data=had_data)


def _drop_quarantined(desk: Desk, person: str) -> None:
    """Forget what could not be read and names the person: it belongs to nobody's key, and could be sent again.

    Why by looking for the id: an event that cannot be read does not say whose it is.
    """
    named = [json.dumps(person, ensure_ascii=flag).encode() for flag in (True, False)]
    after = ""
    while True:
        with desk.database.write() as tx:
            page = event_store.read_sealed_quarantined(tx, after=after, limit=QUARANTINE_PAGE)
            opened = [(each, desk.memory.vault.open_dated(tx, QUARANTINE, sealed)) for each, sealed in page]
            event_store.delete_quarantined(
                tx, [each for each, raw in opened if raw is not None and any(name in raw for name in named)]
            )
        if len(page) < QUARANTINE_PAGE:
            return
        after = page[-1][0]


def _erase_in(database: Database, vault: Vault, clock: Clock, person: str, *, by: str) -> bool:
    with database.write() as tx:
        done = erase(tx, clock.now(), vault, person, by=by)
    database.forget_deleted()
    return done.had_data
