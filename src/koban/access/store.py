"""The tables of staff, sessions, one-time links, tokens and failed sign-ins, and all SQL on them."""

from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from koban.access.types import EmailTaken, Session, Staff, Token
from koban.base import Instant
from koban.db import Tx, metadata, upsert

staff: Final = Table(
    "staff",
    metadata,
    Column("id", Text, primary_key=True, comment="staff_…, sortable by when it was made."),
    Column("email", Text, nullable=False, unique=True, comment="In lower case; what somebody signs in with."),
    Column("name", Text, nullable=False, comment="As shown to colleagues."),
    Column("password_hash", Text, comment="argon2id with its parameters; null until a password was chosen."),
    Column("roles", Text, nullable=False, comment="JSON array of role names."),
    Column("created_at", BigInteger, nullable=False, comment="When the account was made."),
    Column("disabled_at", BigInteger, comment="Since when signing in is refused; null: it is not."),
    comment="People who work with Koban.",
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the cookie's 256 random bits."),
    Column("id", Text, nullable=False, unique=True, comment="session_…, to name it without its secret."),
    Column("staff_id", Text, nullable=False, index=True, comment="Whose session it is."),
    Column("created_at", BigInteger, nullable=False, comment="When it was opened."),
    Column("expires_at", BigInteger, nullable=False, comment="When it ends whatever happens."),
    Column("seen_at", BigInteger, nullable=False, comment="Last use, to the minute; idle ones end earlier."),
    comment="Open sessions of the console.",
)

links: Final = Table(
    "staff_links",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the link's 256 random bits."),
    Column("staff_id", Text, nullable=False, index=True, comment="Whom it signs in."),
    Column("expires_at", BigInteger, nullable=False, comment="When it stops working."),
    comment="One-time sign-in links; a used one is deleted.",
)

tokens: Final = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True, comment="token_…, sortable by when it was made."),
    Column("digest", Text, nullable=False, unique=True, comment="SHA-256 of the token's 256 random bits."),
    Column("name", Text, nullable=False, comment="What it is for."),
    Column("scopes", Text, nullable=False, comment="JSON array of permissions."),
    Column("created_by", Text, nullable=False, comment="Id of who issued it."),
    Column("created_at", BigInteger, nullable=False, comment="When it was issued."),
    Column("expires_at", BigInteger, nullable=False, comment="When it stops working."),
    Column("revoked_at", BigInteger, comment="When it was revoked; null: it was not."),
    Column("used_day", BigInteger, comment="Last day of use, since 1970-01-01 UTC."),
    comment="Tokens of programs that call the API.",
)

failures: Final = Table(
    "sign_in_failures",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the e-mail or address that failed."),
    Column("failures", BigInteger, nullable=False, comment="How often in a row; an attempt under way counts."),
    Column("failed_at", BigInteger, nullable=False, comment="When last."),
    comment="How often signing in failed, to slow guessing down.",
)


commands: Final = Table(
    "idempotency_keys",
    metadata,
    Column("key", LargeBinary, primary_key=True, comment="Hash of caller, method, path and the key that was sent."),
    Column("body", LargeBinary, nullable=False, comment="Hash of the body it was sent with."),
    Column("began_at", BigInteger, nullable=False, comment="When the command began, in microseconds."),
    Column("status", BigInteger, nullable=True, comment="HTTP status of the answer; null while it is under way."),
    Column("answer", LargeBinary, nullable=True, comment="The answer, JSON."),
    comment="Commands that must not be done twice; kept for a day.",
)


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open session with its owner."""

    id: str
    expires_at: Instant
    seen_at: Instant
    owner: Staff


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """How often signing in failed in a row, and when last."""

    count: int
    failed_at: Instant


def insert_staff(tx: Tx, one: Staff) -> None:
    """Add a member of staff, without a password.

    Refuses: EmailTaken, when somebody else takes the e-mail at the same moment.
    """
    row = {
        "id": one.id,
        "email": one.email,
        "name": one.name,
        "roles": _json(one.roles),
        "created_at": one.created_at,
        "disabled_at": one.disabled_at,
    }
    try:
        tx.execute(staff.insert().values(row))
    except sqlalchemy.exc.IntegrityError as error:
        raise EmailTaken("somebody took it at this moment") from error


def staff_by_id(tx: Tx, staff_id: str) -> Staff | None:
    """Return one member of staff."""
    row = tx.execute(sqlalchemy.select(staff).where(staff.c.id == staff_id)).first()
    return _staff(row) if row is not None else None


def staff_by_email(tx: Tx, email: str) -> tuple[Staff, str | None] | None:
    """Return one member of staff with the password's hash."""
    row = tx.execute(sqlalchemy.select(staff).where(staff.c.email == email)).first()
    return (_staff(row), row.password_hash) if row is not None else None


def password_hash(tx: Tx, staff_id: str) -> str | None:
    """Return the hash of somebody's password."""
    found: str | None = tx.execute(sqlalchemy.select(staff.c.password_hash).where(staff.c.id == staff_id)).scalar()
    return found


def list_staff(tx: Tx, *, after_id: str, limit: int) -> list[Staff]:
    """Return staff by id."""
    rows = tx.execute(sqlalchemy.select(staff).where(staff.c.id > after_id).order_by(staff.c.id).limit(limit))
    return [_staff(row) for row in rows]


def lock_active_staff(tx: Tx) -> list[Staff]:
    """Return everyone who may sign in, and keep others from changing them meanwhile."""
    rows = tx.execute(
        sqlalchemy.select(staff).where(staff.c.disabled_at.is_(None)).order_by(staff.c.id).with_for_update()
    )
    return [_staff(row) for row in rows]


def update_roles(tx: Tx, staff_id: str, roles: tuple[str, ...]) -> None:
    """Give somebody these roles and no others."""
    tx.execute(staff.update().where(staff.c.id == staff_id).values(roles=_json(roles)))


def update_disabled(tx: Tx, staff_id: str, disabled_at: Instant | None) -> None:
    """Refuse or allow signing in."""
    tx.execute(staff.update().where(staff.c.id == staff_id).values(disabled_at=disabled_at))


def update_profile(tx: Tx, staff_id: str, *, email: str, name: str) -> None:
    """Change how somebody signs in and is shown.

    Refuses: EmailTaken, when somebody else takes the e-mail at the same moment.
    """
    try:
        tx.execute(staff.update().where(staff.c.id == staff_id).values(email=email, name=name))
    except sqlalchemy.exc.IntegrityError as error:
        raise EmailTaken("somebody took it at this moment") from error


def update_password(tx: Tx, staff_id: str, hashed: str) -> None:
    """Write the hash of a new password."""
    tx.execute(staff.update().where(staff.c.id == staff_id).values(password_hash=hashed))


def insert_session(
    tx: Tx, *, digest: str, session_id: str, staff_id: str, created_at: Instant, expires_at: Instant
) -> None:
    """Open a session, and clear away this person's expired ones."""
    tx.execute(sessions.delete().where(sessions.c.staff_id == staff_id, sessions.c.expires_at <= created_at))
    tx.execute(
        sessions.insert().values(
            digest=digest,
            id=session_id,
            staff_id=staff_id,
            created_at=created_at,
            expires_at=expires_at,
            seen_at=created_at,
        )
    )


def session_by_digest(tx: Tx, digest: str) -> SessionRow | None:
    """Return a session with its owner."""
    columns = (sessions.c.id.label("session_id"), sessions.c.expires_at, sessions.c.seen_at, *staff.c)
    row = tx.execute(
        sqlalchemy.select(*columns)
        .join_from(sessions, staff, sessions.c.staff_id == staff.c.id)
        .where(sessions.c.digest == digest)
    ).first()
    if row is None:
        return None
    return SessionRow(
        id=str(row.session_id),
        expires_at=Instant(int(row.expires_at)),
        seen_at=Instant(int(row.seen_at)),
        owner=_staff(row),
    )


def list_sessions(tx: Tx, *, at: Instant, staff_id: str | None, limit: int) -> list[Session]:
    """Return open sessions, last used first: of one person, or of everybody."""
    query = sqlalchemy.select(sessions).where(sessions.c.expires_at > at)
    if staff_id is not None:
        query = query.where(sessions.c.staff_id == staff_id)
    return [_session(row) for row in tx.execute(query.order_by(sessions.c.seen_at.desc(), sessions.c.id).limit(limit))]


def session_by_id(tx: Tx, session_id: str) -> Session | None:
    """Return one session."""
    row = tx.execute(sqlalchemy.select(sessions).where(sessions.c.id == session_id)).first()
    return _session(row) if row is not None else None


def _session(row: Any) -> Session:  # Any: a row of SQLAlchemy, whose columns are only known at run time
    return Session(
        id=str(row.id),
        staff_id=str(row.staff_id),
        created_at=Instant(int(row.created_at)),
        seen_at=Instant(int(row.seen_at)),
        expires_at=Instant(int(row.expires_at)),
    )


def touch_session(tx: Tx, session_id: str, seen_at: Instant) -> None:
    """Note that a session was used."""
    tx.execute(sessions.update().where(sessions.c.id == session_id).values(seen_at=seen_at))


def delete_session(tx: Tx, session_id: str) -> None:
    """End one session."""
    tx.execute(sessions.delete().where(sessions.c.id == session_id))


def delete_sessions(tx: Tx, staff_id: str, *, but: str = "") -> None:
    """End all sessions of somebody, but one."""
    tx.execute(sessions.delete().where(sessions.c.staff_id == staff_id, sessions.c.id != but))


def replace_link(tx: Tx, *, digest: str, staff_id: str, expires_at: Instant) -> None:
    """Make a one-time link the only one that somebody has."""
    tx.execute(links.delete().where(links.c.staff_id == staff_id))
    tx.execute(links.insert().values(digest=digest, staff_id=staff_id, expires_at=expires_at))


def take_link(tx: Tx, digest: str, at: Instant) -> str | None:
    """Use up a link and return whom it signs in.

    The delete decides who was first: two visits at once cannot both take it.
    """
    row = tx.execute(
        links.delete().where(links.c.digest == digest, links.c.expires_at > at).returning(links.c.staff_id)
    ).first()
    return str(row.staff_id) if row is not None else None


def delete_links(tx: Tx, staff_id: str) -> None:
    """Make somebody's links worthless."""
    tx.execute(links.delete().where(links.c.staff_id == staff_id))


def insert_token(tx: Tx, one: Token, digest: str) -> None:
    """Add a token."""
    tx.execute(
        tokens.insert().values(
            id=one.id,
            digest=digest,
            name=one.name,
            scopes=_json(one.scopes),
            created_by=one.created_by,
            created_at=one.created_at,
            expires_at=one.expires_at,
        )
    )


def token_by_digest(tx: Tx, digest: str) -> Token | None:
    """Return the token with this secret."""
    row = tx.execute(sqlalchemy.select(tokens).where(tokens.c.digest == digest)).first()
    return _token(row) if row is not None else None


def token_by_id(tx: Tx, token_id: str) -> Token | None:
    """Return one token."""
    row = tx.execute(sqlalchemy.select(tokens).where(tokens.c.id == token_id)).first()
    return _token(row) if row is not None else None


def list_tokens(tx: Tx, *, after_id: str, limit: int) -> list[Token]:
    """Return tokens by id."""
    rows = tx.execute(sqlalchemy.select(tokens).where(tokens.c.id > after_id).order_by(tokens.c.id).limit(limit))
    return [_token(row) for row in rows]


def revoke_token(tx: Tx, token_id: str, revoked_at: Instant) -> bool:
    """Revoke a token that was not; tell whether this call did it."""
    query = tokens.update().where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
    return tx.execute(query.values(revoked_at=revoked_at)).rowcount > 0


def revoke_tokens_named(tx: Tx, name: str, created_by: str, revoked_at: Instant) -> int:
    """Revoke every token of a name that somebody issued; return how many still held."""
    query = tokens.update().where(
        tokens.c.name == name, tokens.c.created_by == created_by, tokens.c.revoked_at.is_(None)
    )
    return int(tx.execute(query.values(revoked_at=revoked_at)).rowcount)


def revoke_tokens_of(tx: Tx, created_by: str, revoked_at: Instant) -> int:
    """Revoke every token that somebody issued; return how many still held."""
    query = tokens.update().where(
        tokens.c.created_by == created_by, tokens.c.revoked_at.is_(None), tokens.c.expires_at > revoked_at
    )
    return int(tx.execute(query.values(revoked_at=revoked_at)).rowcount)


def count_valid_tokens(tx: Tx, at: Instant) -> dict[str, int]:
    """Return how many tokens hold, by who issued them."""
    query = sqlalchemy.select(tokens.c.created_by, sqlalchemy.func.count()).where(
        tokens.c.revoked_at.is_(None), tokens.c.expires_at > at
    )
    return {str(row[0]): int(row[1]) for row in tx.execute(query.group_by(tokens.c.created_by))}


def touch_token(tx: Tx, token_id: str, day: int) -> None:
    """Note on which day a token was last used."""
    tx.execute(tokens.update().where(tokens.c.id == token_id).values(used_day=day))


def read_failures(tx: Tx, digest: str) -> Failures:
    """Return how often signing in failed for this e-mail or address, keeping others from counting meanwhile."""
    row = tx.execute(sqlalchemy.select(failures).where(failures.c.digest == digest).with_for_update()).first()
    if row is None:
        return Failures(count=0, failed_at=Instant(0))
    return Failures(count=int(row.failures), failed_at=Instant(int(row.failed_at)))


def write_failures(tx: Tx, digest: str, count: int, at: Instant) -> None:
    """Write how often signing in failed."""
    row = {"digest": digest, "failures": count, "failed_at": at}
    upsert(tx, failures, [row], keys=["digest"], update=["failures", "failed_at"])


def clear_failures(tx: Tx, digest: str, *, forgotten_before: Instant) -> None:
    """Forget the failures of one e-mail, and all that are old."""
    tx.execute(failures.delete().where((failures.c.digest == digest) | (failures.c.failed_at < forgotten_before)))


def _staff(row: Any) -> Staff:  # Any: a row of SQLAlchemy, whose columns are only known at run time
    return Staff(
        id=str(row.id),
        email=str(row.email),
        name=str(row.name),
        roles=msgspec.json.decode(row.roles, type=tuple[str, ...]),
        has_password=row.password_hash is not None,
        created_at=Instant(int(row.created_at)),
        disabled_at=Instant(int(row.disabled_at)) if row.disabled_at is not None else None,
    )


def _token(row: Any) -> Token:  # Any: as above
    return Token(
        id=str(row.id),
        name=str(row.name),
        scopes=msgspec.json.decode(row.scopes, type=tuple[str, ...]),
        created_by=str(row.created_by),
        created_at=Instant(int(row.created_at)),
        expires_at=Instant(int(row.expires_at)),
        revoked_at=Instant(int(row.revoked_at)) if row.revoked_at is not None else None,
        used_day=int(row.used_day) if row.used_day is not None else None,
    )


def _json(names: tuple[str, ...]) -> str:
    return msgspec.json.encode(names).decode()


def begin_command(tx: Tx, key: bytes, body: bytes, at: Instant) -> bool:
    """Note that a command begins; False where one with this key was noted before."""
    made = tx.rows(
        "INSERT INTO idempotency_keys (key, body, began_at) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING began_at",
        (key, body, at),
    )
    return bool(made)


def read_command(tx: Tx, key: bytes) -> Any:  # Any: SQLAlchemy's row mapping
    """Return what is known of a command; None where nothing is."""
    return tx.execute(sqlalchemy.select(commands).where(commands.c.key == key)).mappings().first()


def end_command(tx: Tx, key: bytes, *, status: int, answer: bytes) -> None:
    """Keep a command's answer."""
    tx.execute(sqlalchemy.update(commands).where(commands.c.key == key).values(status=status, answer=answer))


def forget_command(tx: Tx, key: bytes) -> None:
    """Forget a command that changed nothing."""
    tx.execute(sqlalchemy.delete(commands).where(commands.c.key == key))


def forget_commands(tx: Tx, before: int) -> None:
    """Forget commands that began before a moment."""
    tx.execute(sqlalchemy.delete(commands).where(commands.c.began_at < before))
