"""Passwords given and changed: verbs that take the database, because hashing must not hold the writer."""

import random

from koban.access import actions, passwords, store
from koban.access.types import OpenedSession, Principal, SignInRefused, Staff, StaffMissing
from koban.audit import Secrets
from koban.base import Instant
from koban.db import Database


def sign_in(
    database: Database,
    at: Instant,
    randomness: random.Random,
    secrets: Secrets,
    *,
    email: str,
    password: str,
    address: str,
) -> OpenedSession:
    """Open a session for the right e-mail and password.

    Refuses: SignInRefused, SignInSlowed.
    Why two transactions: argon2id takes 20 ms, and nothing may hold the writer that long. The attempt is counted in
    the first, so that many at once are not looked at for free.
    """
    email = actions.normal_email(email)
    with database.write() as tx:
        found = actions.begin_attempt(tx, at, email=email, address=address)
    owner, hashed = found if found is not None else (None, None)
    right = passwords.is_password(hashed, password)
    if owner is None or not right or owner.disabled_at is not None:
        raise SignInRefused("check both and try again; after several failures there is a pause")
    with database.write() as tx:
        return actions.end_attempt(tx, at, randomness, secrets, owner=owner, address=address)


def change_password(
    database: Database,
    at: Instant,
    *,
    by: Principal,
    session_id: str,
    present: str,
    password: str,
    address: str,
) -> None:
    """Take a new password for oneself; who has one already must give it, and guessing it is slowed like signing in.

    Refuses: SignInRefused, SignInSlowed, PasswordWeak, StaffMissing.
    """
    owner = _proved(database, at, by=by, present=present, address=address)
    hashed = passwords.hash_password(password, email=owner.email, name=owner.name)
    with database.write() as tx:
        actions.set_password(tx, at, by=by, session_id=session_id, hashed=hashed)


def change_account(
    database: Database,
    at: Instant,
    secrets: Secrets,
    *,
    by: Principal,
    session_id: str,
    email: str,
    name: str,
    present: str,
    password: str,
    address: str,
) -> Staff:
    """Change one's own e-mail, name and password together; an empty `password` keeps the one that stands.

    Refuses: SignInRefused, SignInSlowed, PasswordWeak, EmailTaken, StaffMissing.
    """
    owner = _proved(database, at, by=by, present=present, address=address)
    hashed = None
    if password or not owner.has_password:
        hashed = passwords.hash_password(password, email=email, name=name)
    with database.write() as tx:
        changed = actions.change_profile(tx, at, secrets, by=by, email=email, name=name)
        if hashed is not None:
            actions.set_password(tx, at, by=by, session_id=session_id, hashed=hashed)
    return changed


def _proved(database: Database, at: Instant, *, by: Principal, present: str, address: str) -> Staff:
    """Return who is changing their account, once the present password was given."""
    with database.read() as tx:
        owner = store.staff_by_id(tx, by.id)
        hashed = store.password_hash(tx, by.id)
    if owner is None:
        raise StaffMissing("your account is gone")
    if hashed is None:
        return owner
    with database.write() as tx:
        actions.begin_attempt(tx, at, email=owner.email, address=address)
    if not passwords.is_password(hashed, present):
        raise SignInRefused("the present password is another one")
    with database.write() as tx:
        actions.forget_failures(tx, at, owner=owner, address=address)
    return owner
