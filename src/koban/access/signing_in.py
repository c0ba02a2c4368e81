"""Passwords given and changed: verbs that take the database, because hashing must not hold the writer."""

import random

from koban.access import actions, passwords, store
from koban.access.types import OpenedSession, Principal, SignInRefused, StaffMissing
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
    with database.read() as tx:
        owner = store.staff_by_id(tx, by.id)
    if owner is None:
        raise StaffMissing("your account is gone")
    if owner.has_password:
        with database.write() as tx:
            found = actions.begin_attempt(tx, at, email=owner.email, address=address)
        if not passwords.is_password(found[1] if found is not None else None, present):
            raise SignInRefused("the present password is another one")
    hashed = passwords.hash_password(password, email=owner.email, name=owner.name)
    with database.write() as tx:
        actions.set_password(tx, at, by=by, session_id=session_id, hashed=hashed, address=address)
