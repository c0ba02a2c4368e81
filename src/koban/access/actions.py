"""Verbs on staff, sessions, links and tokens. Each is one transaction and writes its audit entry."""

import base64
import random
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from koban.access import logic, store
from koban.access.permissions import CATALOGUE, MACHINES, ROLES, grants_of
from koban.access.types import (
    BeyondOwnGrants,
    EmailTaken,
    LastAdmin,
    LinkInvalid,
    OneTimeLink,
    OpenedSession,
    Principal,
    RoleUnknown,
    Session,
    SessionMissing,
    SignInSlowed,
    Staff,
    StaffMissing,
    Token,
    TokenMissing,
)
from koban.audit import Secrets, record
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Problem, Refusal, random_id
from koban.db import Tx

SECRET_BYTES: Final = 32
SESSION_LIFE_US: Final = 12 * HOUR
LINK_LIFE_US: Final = 24 * HOUR
TOKEN_LIFE_MAX_DAYS: Final = 400
TOKEN_PREFIX: Final = "koban_"  # noqa: S105 — what every token begins with, so that scanners find leaked ones

FIRST_ADMIN_EMAIL: Final = "admin@localhost"
DEMO_ID: Final = "staff_demo_"  # begins the ids of a demonstration's accounts, which count as nobody's administrators
ISSUERS_MAX: Final = 8  # a token that a token issued that a token issued …
FAILURES_FREE_ACCOUNT: Final = 5
FAILURES_FREE_ADDRESS: Final = 20
FAILURE_WAIT_MAX_US: Final = 15 * MINUTE
FAILURES_FORGOTTEN_US: Final = 1 * DAY


def create_first_admin(tx: Tx, at: Instant, randomness: random.Random, secrets: Secrets) -> OneTimeLink | None:
    """Return a link for the first sign-in, good once and for 24 hours; None when an administrator has a password.

    Called at every start: as long as nobody has chosen a password, the link of the last start is replaced.
    """
    active = store.lock_active_staff(tx)
    admins = [one for one in active if "admin" in one.roles and not one.id.startswith(DEMO_ID)]
    if any(one.has_password for one in admins):
        return None
    if admins:
        return _new_link(tx, at, secrets, admins[0].id)
    first = Staff(
        id=random_id("staff", at, randomness),
        email=FIRST_ADMIN_EMAIL,
        name="Administrator",
        roles=("admin",),
        has_password=False,
        created_at=at,
        disabled_at=None,
    )
    if store.staff_by_email(tx, first.email) is not None:
        raise LastAdmin(f"every administrator is disabled, {first.email} among them; enable one in the database")
    store.insert_staff(tx, first)
    record(tx, at, "koban", "staff.created", first.id, {"roles": "admin"})
    return _new_link(tx, at, secrets, first.id)


def redeem_link(tx: Tx, at: Instant, randomness: random.Random, secrets: Secrets, *, link: str) -> OpenedSession:
    """Use up a one-time link and open a session.

    Refuses: LinkInvalid.
    """
    staff_id = store.take_link(tx, logic.secret_digest(link), at)
    owner = store.staff_by_id(tx, staff_id) if staff_id is not None else None
    if owner is None or owner.disabled_at is not None:
        raise LinkInvalid("ask whoever runs Koban for a new one")
    return open_session(tx, at, randomness, secrets, owner=owner, how="link")


def open_session(
    tx: Tx, at: Instant, randomness: random.Random, secrets: Secrets, *, owner: Staff, how: str
) -> OpenedSession:
    """Open a session for somebody who has proved who they are."""
    secret = _secret(secrets)
    session_id = random_id("session", at, randomness)
    expires_at = Instant(at + SESSION_LIFE_US)
    store.insert_session(
        tx,
        digest=logic.secret_digest(secret),
        session_id=session_id,
        staff_id=owner.id,
        created_at=at,
        expires_at=expires_at,
    )
    record(tx, at, owner.id, "session.opened", session_id, {"how": how})
    return OpenedSession(secret=secret, session_id=session_id, staff=owner, expires_at=expires_at)


def sign_out(tx: Tx, at: Instant, *, by: Principal, session_id: str) -> None:
    """End a session of one's own."""
    store.delete_session(tx, session_id)
    record(tx, at, by.id, "session.closed", session_id)


def end_session(tx: Tx, at: Instant, *, by: Principal, session_id: str) -> Session:
    """End a session: one's own, or anybody's for whoever manages staff.

    Refuses: SessionMissing.
    """
    found = store.session_by_id(tx, session_id)
    if found is None or (found.staff_id != by.id and "staff.manage" not in by.grants):
        raise SessionMissing("it is over already, or it is not yours")
    store.delete_session(tx, found.id)
    record(tx, at, by.id, "session.ended", found.id, {"of": found.staff_id})
    return found


def begin_attempt(tx: Tx, at: Instant, *, email: str, address: str) -> tuple[Staff, str | None] | None:
    """Count an attempt to sign in before the password is looked at, and return whom it is about.

    Refuses: SignInSlowed. Why count first: many attempts at once would all pass a count that is made afterwards.
    """
    for key, free in ((f"account {email}", FAILURES_FREE_ACCOUNT), (f"address {address}", FAILURES_FREE_ADDRESS)):
        digest = logic.secret_digest(key)
        so_far = store.read_failures(tx, digest)
        count = 0 if at - so_far.failed_at > FAILURES_FORGOTTEN_US else so_far.count
        if count >= free:
            wait = min(FAILURE_WAIT_MAX_US, (30 * SECOND) << min(count - free, 10))
            left = so_far.failed_at + wait - at
            if left > 0:
                raise SignInSlowed(f"{count} attempts failed", retry_after_s=-(-left // SECOND))
        store.write_failures(tx, digest, count + 1, at)
    return store.staff_by_email(tx, email)


def end_attempt(
    tx: Tx, at: Instant, randomness: random.Random, secrets: Secrets, *, owner: Staff, address: str
) -> OpenedSession:
    """Open a session after the right password, and forget the failures of the account."""
    forget_failures(tx, at, owner=owner, address=address)
    return open_session(tx, at, randomness, secrets, owner=owner, how="password")


def forget_failures(tx: Tx, at: Instant, *, owner: Staff, address: str) -> None:
    """Forget the failures of an account after the right password; of the address only this attempt.

    Why not all of the address: somebody with one account could then guess at the others for ever.
    """
    forgotten_before = Instant(at - FAILURES_FORGOTTEN_US)
    store.clear_failures(tx, logic.secret_digest(f"account {owner.email}"), forgotten_before=forgotten_before)
    own = logic.secret_digest(f"address {address}")
    so_far = store.read_failures(tx, own)
    if so_far.count:
        store.write_failures(tx, own, so_far.count - 1, so_far.failed_at)


def set_password(tx: Tx, at: Instant, *, by: Principal, session_id: str, hashed: str) -> None:
    """Take a new password for oneself; every other session and every open link ends.

    Refuses: StaffMissing.
    """
    owner = _staff(tx, by.id)
    store.update_password(tx, owner.id, hashed)
    store.delete_sessions(tx, owner.id, but=session_id)
    store.delete_links(tx, owner.id)
    record(tx, at, owner.id, "staff.password_set", owner.id)


def change_profile(tx: Tx, at: Instant, secrets: Secrets, *, by: Principal, email: str, name: str) -> Staff:
    """Change one's own e-mail and name.

    Refuses: StaffMissing, EmailTaken.
    """
    owner = _staff(tx, by.id)
    email = normal_email(email)
    _refuse_taken(tx, email, but=owner.id)
    store.update_profile(tx, owner.id, email=email, name=name)
    record(
        tx, at, owner.id, "staff.profile_changed", owner.id, commitments={"email": email, "name": name}, secrets=secrets
    )
    return msgspec.structs.replace(owner, email=email, name=name)


def invite_staff(
    tx: Tx,
    at: Instant,
    randomness: random.Random,
    secrets: Secrets,
    *,
    by: Principal,
    email: str,
    name: str,
    roles: tuple[str, ...],
) -> tuple[Staff, OneTimeLink]:
    """Add a member of staff and return the link with which they choose a password.

    Refuses: RoleUnknown, BeyondOwnGrants, EmailTaken.
    """
    roles = _checked_roles(by, roles)
    email = normal_email(email)
    _refuse_taken(tx, email)
    new = Staff(
        id=random_id("staff", at, randomness),
        email=email,
        name=name,
        roles=roles,
        has_password=False,
        created_at=at,
        disabled_at=None,
    )
    store.insert_staff(tx, new)
    record(
        tx,
        at,
        by.id,
        "staff.created",
        new.id,
        {"roles": "+".join(roles)},
        commitments={"email": email, "name": name},
        secrets=secrets,
    )
    return new, _new_link(tx, at, secrets, new.id)


def renew_link(tx: Tx, at: Instant, secrets: Secrets, *, by: Principal, staff_id: str) -> OneTimeLink:
    """Make a new one-time link for somebody who lost a password or a link.

    Refuses: StaffMissing, BeyondOwnGrants.
    """
    owner = _staff(tx, staff_id)
    _checked_roles(by, owner.roles)
    if owner.disabled_at is not None:
        raise StaffMissing("this account is disabled; enable it first")
    link = _new_link(tx, at, secrets, owner.id)
    record(tx, at, by.id, "staff.link_made", owner.id)
    return link


def change_roles(tx: Tx, at: Instant, *, by: Principal, staff_id: str, roles: tuple[str, ...]) -> Staff:
    """Give somebody these roles and no others.

    Refuses: StaffMissing, RoleUnknown, BeyondOwnGrants, LastAdmin.
    """
    roles = _checked_roles(by, roles)
    owner = _staff(tx, staff_id)
    _checked_roles(by, owner.roles)
    if "admin" not in roles:
        _refuse_last_admin(tx, owner)
    store.update_roles(tx, owner.id, roles)
    record(tx, at, by.id, "staff.roles_changed", owner.id, {"from": "+".join(owner.roles), "to": "+".join(roles)})
    return msgspec.structs.replace(owner, roles=roles)


def disable_staff(tx: Tx, at: Instant, *, by: Principal, staff_id: str) -> Staff:
    """Keep somebody from signing in, and end their sessions. Twice is once.

    Tokens that they issued hold on, because machines work with them: `revoke_tokens_of` ends those, too.
    Refuses: StaffMissing, BeyondOwnGrants, LastAdmin.
    """
    owner = _staff(tx, staff_id)
    _checked_roles(by, owner.roles)
    if owner.disabled_at is not None:
        return owner
    _refuse_last_admin(tx, owner)
    store.update_disabled(tx, owner.id, at)
    store.delete_sessions(tx, owner.id)
    store.delete_links(tx, owner.id)
    record(tx, at, by.id, "staff.disabled", owner.id)
    return msgspec.structs.replace(owner, disabled_at=at)


def enable_staff(tx: Tx, at: Instant, *, by: Principal, staff_id: str) -> Staff:
    """Let somebody sign in again. Twice is once.

    Refuses: StaffMissing, BeyondOwnGrants.
    """
    owner = _staff(tx, staff_id)
    _checked_roles(by, owner.roles)
    if owner.disabled_at is None:
        return owner
    store.update_disabled(tx, owner.id, None)
    record(tx, at, by.id, "staff.enabled", owner.id)
    return msgspec.structs.replace(owner, disabled_at=None)


def issue_token(
    tx: Tx,
    at: Instant,
    randomness: random.Random,
    secrets: Secrets,
    *,
    by: Principal,
    name: str,
    scopes: tuple[str, ...],
    days: int,
) -> tuple[Token, str]:
    """Issue a token and return it with its secret, which is shown once and stored nowhere.

    Nobody gives what they do not have, but for the scopes of machines, which no person has: those are given by hand, and
    the trail names them.

    Refuses: RoleUnknown, BeyondOwnGrants. `days` lies between 1 and 400.
    """
    _refuse_unknown(scopes, frozenset(CATALOGUE), "scopes")
    if by.kind != "system":
        _refuse_beyond(by, frozenset(scopes) - grantable(by))
    secret = TOKEN_PREFIX + _secret(secrets)
    token = Token(
        id=random_id("token", at, randomness),
        name=name,
        scopes=tuple(sorted(set(scopes))),
        created_by=by.id,
        created_at=at,
        expires_at=Instant(at + min(days, TOKEN_LIFE_MAX_DAYS) * DAY),
        revoked_at=None,
        used_day=None,
    )
    store.insert_token(tx, token, logic.secret_digest(secret))
    details: dict[str, str | int] = {"scopes": len(token.scopes), "days": days}
    details.update(dict.fromkeys(sorted(MACHINES & set(token.scopes)), "given"))
    record(tx, at, by.id, "token.issued", token.id, details)
    return token, secret


def grantable(by: Principal) -> frozenset[str]:
    """Return the scopes of machines that somebody may give; a person who may issue tokens, never a token itself."""
    return MACHINES if by.kind == "staff" and "tokens.manage" in by.grants else frozenset()


def revoke_leftovers(tx: Tx, at: Instant, *, by: Principal, name: str) -> int:
    """Make worthless what an earlier process issued under a name and could not take back, because it was killed."""
    revoked = store.revoke_tokens_named(tx, name, by.id, at)
    if revoked:
        record(tx, at, by.id, "token.leftovers_revoked", by.id, {"tokens": revoked})
    return revoked


def revoke_token(tx: Tx, at: Instant, *, by: Principal, token_id: str) -> Token:
    """Make a token worthless. Twice is once.

    Refuses: TokenMissing.
    """
    if store.revoke_token(tx, token_id, at):
        record(tx, at, by.id, "token.revoked", token_id)
    token = store.token_by_id(tx, token_id)
    if token is None:
        raise TokenMissing("it never was, or its id is mistyped")
    return token


def revoke_tokens_of(tx: Tx, at: Instant, *, by: Principal, staff_id: str) -> int:
    """Make worthless every token that somebody issued and may still know; return how many held.

    Refuses: StaffMissing.
    """
    owner = _staff(tx, staff_id)
    revoked = store.revoke_tokens_of(tx, owner.id, at)
    if revoked:
        record(tx, at, by.id, "token.all_revoked", owner.id, {"tokens": revoked})
    return revoked


def normal_email(email: str) -> str:
    """Return an e-mail as it is stored and compared."""
    return email.strip().lower()


def _secret(secrets: Secrets) -> str:
    return base64.urlsafe_b64encode(secrets.draw(SECRET_BYTES)).rstrip(b"=").decode()


def _new_link(tx: Tx, at: Instant, secrets: Secrets, staff_id: str) -> OneTimeLink:
    secret = _secret(secrets)
    expires_at = Instant(at + LINK_LIFE_US)
    store.replace_link(tx, digest=logic.secret_digest(secret), staff_id=staff_id, expires_at=expires_at)
    return OneTimeLink(secret=secret, staff_id=staff_id, expires_at=expires_at)


def _staff(tx: Tx, staff_id: str) -> Staff:
    found = store.staff_by_id(tx, staff_id)
    if found is None:
        raise StaffMissing("it never was, or its id is mistyped")
    return found


def _checked_roles(by: Principal, roles: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse roles that are not there, or that bring more than the giver has: staff.manage is no way to the top."""
    _refuse_unknown(roles, frozenset(ROLES), "roles")
    if by.kind != "system":
        _refuse_beyond(by, frozenset(grants_of(roles)))
    return tuple(sorted(set(roles)))


def _refuse_unknown(names: tuple[str, ...], known: frozenset[str], field: str) -> None:
    problems = tuple(
        Problem(path=f"/{field}/{place}", detail=f"unknown: {name}", hint="known: " + ", ".join(sorted(known)))
        for place, name in enumerate(names)
        if name not in known
    )
    if problems:
        raise RoleUnknown(problems[0].detail, problems=problems)


def _refuse_beyond(by: Principal, permissions: frozenset[str]) -> None:
    beyond = sorted(permissions - set(by.grants))
    if not beyond:
        return
    machines = [each for each in beyond if each in MACHINES]
    way = ""
    if machines:
        way = f"; {', '.join(machines)}: an administrator who is signed in gives it by name, in the console under API tokens"
    raise BeyondOwnGrants(f"you do not have {', '.join(beyond[:5])} yourself{way}")


def _refuse_taken(tx: Tx, email: str, *, but: str = "") -> None:
    taken = store.staff_by_email(tx, email)
    if taken is not None and taken[0].id != but:
        raise EmailTaken("find them in the list of staff", problems=(Problem(path="/email", detail="is taken"),))


def _refuse_last_admin(tx: Tx, leaving: Staff) -> None:
    active = store.lock_active_staff(tx)
    staying = [one for one in active if one.id != leaving.id and not one.id.startswith(DEMO_ID)]
    if "admin" in leaving.roles and not any("admin" in one.roles for one in staying):
        raise LastAdmin("make somebody else an administrator first")


def person_behind(tx: Tx, actor: str) -> str:
    """Return who stands behind an actor: whoever issued a token, and the token that issued that one.

    Why: a token acts for its issuer, so nobody is two people by holding one.
    """
    for _ in range(ISSUERS_MAX):
        token = store.token_by_id(tx, actor)
        if token is None:
            return actor
        actor = token.created_by
    return actor


def second_fault(tx: Tx, first: str, by: str) -> Literal["", "same", "nobody"]:
    """Say why an actor is no second person beside the first one; empty: they are one.

    A second person is a member of the staff, or a token that one of them issued, and somebody else than whoever stands
    behind the first. The token of the folder's owner proposes, and is nobody's second.
    """
    behind = person_behind(tx, by)
    if behind == person_behind(tx, first):
        return "same"
    return "" if store.staff_by_id(tx, behind) is not None else "nobody"


def require_second(
    tx: Tx, first: str, by: str, *, refusal: Callable[[str], Refusal], own: str, about: str = ""
) -> None:
    """Refuse an actor who is no second person beside the first one, with a refusal of the caller's own.

    `own` is said to whoever proposed it; `about` stands before what is said to nobody's second.
    """
    fault = second_fault(tx, first, by)
    if fault == "same":
        raise refusal(own)
    if fault == "nobody":
        raise refusal(f"{about}A member of the staff must approve it, or a token of theirs.")
