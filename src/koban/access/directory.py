"""Who is behind a token or a session: a short memory in front of the database."""

from collections.abc import Callable
from typing import Final

import msgspec
import sqlalchemy
import structlog

from koban.access import logic, store
from koban.access.permissions import grants_of, grants_of_scopes
from koban.access.types import Principal
from koban.access.web import Caller
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant
from koban.db import Database, Tx

REMEMBERED_US: Final = 5 * SECOND  # how long another process may not see a revocation
REMEMBERED_MAX: Final = 10_000
SESSION_IDLE_US: Final = 2 * HOUR
SEEN_EVERY_US: Final = 1 * MINUTE

_log: Final = structlog.get_logger("koban.access")


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    caller: Caller
    until: Instant


class StaffDirectory:
    """Looks credentials up. In its own process a change is in force once `forget` was called, in others after 5 s."""

    def __init__(self, database: Database) -> None:
        """Answer from this database."""
        self._database = database
        self._memory: dict[str, _Memory] = {}

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:
        """Answer from memory, or not at all."""
        found = self._memory.get(kind + logic.secret_digest(secret))
        if found is None or not found.until - REMEMBERED_US <= at < found.until:
            return None
        return found.caller

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:
        """Answer from the database; what is unknown, expired, idle, revoked or disabled is nobody."""
        digest = logic.secret_digest(secret)
        found = self._token(digest, at) if kind == "bearer" else self._session(digest, at)
        if found is None:
            return None
        caller, ends_at = found
        if len(self._memory) >= REMEMBERED_MAX:
            self._memory.clear()
        self._memory[kind + digest] = _Memory(caller=caller, until=Instant(min(at + REMEMBERED_US, ends_at)))
        return caller

    def forget(self) -> None:
        """Ask the database again about everyone: after staff, sessions or tokens changed."""
        self._memory.clear()

    def _token(self, digest: str, at: Instant) -> tuple[Caller, Instant] | None:
        with self._database.read() as tx:
            token = store.token_by_digest(tx, digest)
        if token is None or token.revoked_at is not None or token.expires_at <= at:
            return None
        if token.used_day != at // DAY:
            self._note(lambda tx: store.touch_token(tx, token.id, at // DAY))
        principal = Principal(kind="token", id=token.id, name=token.name, grants=grants_of_scopes(token.scopes))
        return Caller(principal=principal), token.expires_at

    def _session(self, digest: str, at: Instant) -> tuple[Caller, Instant] | None:
        with self._database.read() as tx:
            session = store.session_by_digest(tx, digest)
        if session is None or session.owner.disabled_at is not None:
            return None
        if session.expires_at <= at or at - session.seen_at >= SESSION_IDLE_US:
            return None
        if at - session.seen_at >= SEEN_EVERY_US:
            self._note(lambda tx: store.touch_session(tx, session.id, at))
        owner = session.owner
        principal = Principal(
            kind="staff", id=owner.id, name=owner.name, roles=owner.roles, grants=grants_of(owner.roles)
        )
        return Caller(principal=principal, session_id=session.id), session.expires_at

    def _note(self, touch: Callable[[Tx], None]) -> None:
        """Write when something was last used; fails open, because on a full disk people must still see what is wrong."""
        try:
            with self._database.write() as tx:
                touch(tx)
        except sqlalchemy.exc.DBAPIError as error:
            _log.warning("last use could not be written", error=str(error.orig))
