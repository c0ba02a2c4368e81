"""One-click roles of a demonstration: real accounts of staff without a password, which no other server ever opens.

Invariant: they sign in only through `open_role`, which only the demonstration's console is given; `close_roles` ends
them, at its orderly end and at the start of every server that is no demonstration.
"""

import random
from collections.abc import Mapping
from typing import Final

from koban.access import actions, store
from koban.access.permissions import ROLES, grants_of
from koban.access.types import OpenedSession, Principal, RoleUnknown, Staff
from koban.audit import Secrets, record
from koban.base import Instant
from koban.db import Tx

DEMO_ROLES: Final = ("specialist", "reviewer", "lead", "finance", "auditor", "admin")
NAMES: Final[Mapping[str, str]] = {
    "specialist": "佐藤 未来",
    "reviewer": "森 健",
    "lead": "相田 恵",
    "finance": "高橋 玲",
    "auditor": "Ana Ruiz",
    "admin": "小判 守",
}
assert set(DEMO_ROLES) <= ROLES.keys()
assert set(NAMES) == set(DEMO_ROLES)


def demo_account(tx: Tx, at: Instant, role: str) -> Staff:
    """Return the demonstration's account of a role, made or enabled where it is not there.

    Refuses: RoleUnknown.
    """
    if role not in DEMO_ROLES:
        raise RoleUnknown(f"the demonstration has no role {role[:40]!r}")
    owner = store.staff_by_id(tx, actions.DEMO_ID + role)
    if owner is None:
        new = Staff(
            id=actions.DEMO_ID + role,
            email=f"{role}@demo.invalid",
            name=NAMES[role],
            roles=(role,),
            has_password=False,
            created_at=at,
            disabled_at=None,
        )
        store.insert_staff(tx, new)
        record(tx, at, "koban", "staff.created", new.id, {"roles": role, "demo": True})
        return new
    if owner.disabled_at is not None:
        store.update_disabled(tx, owner.id, None)
        record(tx, at, "koban", "staff.enabled", owner.id, {"demo": True})
    return owner


def demo_principal(tx: Tx, at: Instant, role: str) -> Principal:
    """Return the demonstration's account of a role as somebody who acts.

    Refuses: RoleUnknown.
    """
    owner = demo_account(tx, at, role)
    return Principal(kind="staff", id=owner.id, name=owner.name, roles=owner.roles, grants=grants_of(owner.roles))


def open_role(tx: Tx, at: Instant, randomness: random.Random, secrets: Secrets, *, role: str) -> OpenedSession:
    """Open a session for the demonstration's account of a role.

    Refuses: RoleUnknown.
    """
    owner = demo_account(tx, at, role)
    return actions.open_session(tx, at, randomness, secrets, owner=owner, how="demo")


def close_roles(tx: Tx, at: Instant) -> int:
    """Disable every account of a demonstration and end its sessions; return how many were open."""
    closed = 0
    for role in DEMO_ROLES:
        owner = store.staff_by_id(tx, actions.DEMO_ID + role)
        if owner is None or owner.disabled_at is not None:
            continue
        store.update_disabled(tx, owner.id, at)
        store.delete_sessions(tx, owner.id)
        store.delete_links(tx, owner.id)
        record(tx, at, "koban", "staff.disabled", owner.id, {"demo": True})
        closed += 1
    return closed
