"""Changing the rota: shifts, stand-ins, contacts; each change is checked, and stands in the audit trail."""

import random
import re
from typing import Final

from koban.audit import record
from koban.base import DAY, Instant, Problem, random_id
from koban.db import Tx
from koban.oncall import logic, store
from koban.oncall.types import Contact, ContactKind, Override, RotaInvalid, RotaMissing, Severity, Shift
from koban.webhooks import SecretBox, check_url

OVERRIDE_MAX: Final = 60 * DAY
CONTACTS_MAX: Final = 10  # of one person
SHIFTS_MAX: Final = 500
_MAIL: Final = re.compile(r"[^\s@<>,;\"\r\n]{1,64}@[A-Za-z0-9.-]{1,190}")


def add_shift(tx: Tx, at: Instant, randomness: random.Random, one: Shift, *, by: str) -> Shift:
    """Add a line to the weekly pattern; `one.id` is replaced.

    Refuses: RotaInvalid.
    """
    problems = _person(one.level, one.zone)
    if not one.weekdays or not set(one.weekdays) <= set(range(7)):
        problems.append(Problem(path="/weekdays", detail="At least one day; 0 is Monday, 6 is Sunday."))
    if not all(0 <= minute <= logic.MINUTES_A_DAY for minute in (one.from_minute, one.until_minute)):
        problems.append(Problem(path="/from_minute", detail="Minutes of the day lie between 0 and 1440."))
    if len(store.read_shifts(tx)) >= SHIFTS_MAX:
        problems.append(Problem(path="", detail=f"A pattern has at most {SHIFTS_MAX} lines."))
    _refuse(problems)
    made = Shift(
        id=random_id("shift", at, randomness), level=one.level, staff_id=one.staff_id,
        weekdays=tuple(sorted(set(one.weekdays))), from_minute=one.from_minute % logic.MINUTES_A_DAY,
        until_minute=one.until_minute % logic.MINUTES_A_DAY, zone=one.zone,
    )  # fmt: skip
    store.insert_shift(tx, made)
    record(tx, at, by, "oncall.shift_added", made.id, {"staff": made.staff_id, "level": made.level})
    return made


def add_override(tx: Tx, at: Instant, randomness: random.Random, one: Override, *, by: str) -> Override:
    """Let somebody stand in for a span of time; `one.id` is replaced.

    Refuses: RotaInvalid.
    """
    problems = _person(one.level, "UTC")
    if not one.from_at < one.until_at or one.until_at <= at or one.until_at - one.from_at > OVERRIDE_MAX:
        problems.append(Problem(path="/until", detail="It ends later than now and than it begins, within 60 days."))
    _refuse(problems)
    made = Override(
        id=random_id("override", at, randomness), level=one.level, staff_id=one.staff_id, from_at=one.from_at,
        until_at=one.until_at, reason=one.reason,
    )  # fmt: skip
    store.insert_override(tx, made)
    record(tx, at, by, "oncall.override_added", made.id, {"staff": made.staff_id, "level": made.level})
    return made


def add_contact(
    tx: Tx,
    at: Instant,
    randomness: random.Random,
    box: SecretBox,
    *,
    staff_id: str,
    kind: ContactKind,
    address: str,
    allow_private: bool,
    zone: str,
    quiet: tuple[int, int] | None,
    quiet_least: Severity,
    by: str,
) -> tuple[Contact, bytes]:
    """Add a way to reach somebody; return it and the secret that its webhooks are signed with, shown this one time.

    Refuses: RotaInvalid, WebhookEndpointUnfit.
    """
    problems = _person(1, zone)
    if kind == "mail" and not _MAIL.fullmatch(address):
        problems.append(Problem(path="/address", detail="This is no mail address."))
    if quiet is not None and not all(0 <= minute <= logic.MINUTES_A_DAY for minute in quiet):
        problems.append(Problem(path="/quiet_from", detail="Minutes of the day lie between 0 and 1440."))
    if len(store.read_contacts(tx, [staff_id])) >= CONTACTS_MAX:
        problems.append(Problem(path="", detail=f"One person has at most {CONTACTS_MAX} contacts."))
    _refuse(problems)
    if kind != "mail":
        check_url(address, allow_private=allow_private)
    contact_id = random_id("contact", at, randomness)
    secret = box.draw()
    made = Contact(
        id=contact_id,
        staff_id=staff_id,
        kind=kind,
        address=address,
        allow_private=allow_private,
        zone=zone,
        quiet_from=None if quiet is None else quiet[0] % logic.MINUTES_A_DAY,
        quiet_until=None if quiet is None else quiet[1] % logic.MINUTES_A_DAY,
        quiet_least=quiet_least,
        secret=box.seal(contact_id, secret),
    )
    store.insert_contact(tx, made)
    record(tx, at, by, "oncall.contact_added", contact_id, {"staff": staff_id, "kind": kind})
    return made, secret


def remove_line(tx: Tx, at: Instant, line_id: str, *, by: str) -> None:
    """Take a shift, stand-in or contact out.

    Refuses: RotaMissing.
    """
    tables = {"shift": store.shifts, "override": store.overrides, "contact": store.contacts}
    table = tables.get(line_id.partition("_")[0])
    if table is None or not store.delete_line(tx, table, line_id):
        raise RotaMissing(f"there is no line {line_id[:80]!r} in the rota")
    record(tx, at, by, "oncall.line_removed", line_id)


def _person(level: int, zone: str) -> list[Problem]:
    problems = []
    if level not in logic.LEVELS:
        problems.append(Problem(path="/level", detail=f"There are levels {logic.LEVELS[0]} to {logic.LEVELS[-1]}."))
    if not logic.valid_zone(zone):
        problems.append(Problem(path="/zone", detail=f"There is no time zone {zone[:60]!r}.", hint="Asia/Tokyo"))
    return problems


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise RotaInvalid("Nothing was entered.", problems=tuple(problems))
