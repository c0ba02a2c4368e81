"""Commands that carry an `Idempotency-Key` are done once: the same key and body gets the first answer again.

Source: the IETF draft "The Idempotency-Key HTTP Header Field" (httpapi-idempotency-key-header).
A command that was under way when the process died is not done again: the caller is told to look first.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from koban.access import store
from koban.access.types import Answer, Call, Endpoint
from koban.base import DAY, Instant, Problem, Refusal, Unavailable
from koban.db import Database, Tx

HEADER: Final = "idempotency-key"
KEY_CHARS_MAX: Final = 200
KEPT_FOR: Final = DAY


class KeyUnfit(Refusal):
    """The header holds no usable key."""

    code = "idempotency_key_unfit"
    status = 400
    title = "The Idempotency-Key cannot be used."


class KeyUsed(Refusal):
    """The key came before with another body."""

    code = "idempotency_key_used"
    status = 422
    title = "This Idempotency-Key was used for another command."


class CommandUnderWay(Refusal):
    """The first command with this key has not answered, or its process died before it could say how it ended."""

    code = "command_under_way"
    status = 409
    title = "A command with this Idempotency-Key is under way."


class Once:
    """Remembers commands by their keys."""

    def __init__(self, database: Database) -> None:
        """Remember in this database."""
        self._database = database

    def run(self, endpoint: Endpoint, call: Call, handler: Callable[[Call], object]) -> object:
        """Do a command, or give the answer of the first time.

        Refuses: KeyUnfit, KeyUsed (naming the body), CommandUnderWay, and what the handler refuses; a refused command
        changed nothing, so its key may be used again.
        """
        sent = call.headers.get(HEADER)
        if sent is None or endpoint.method == "GET":
            return handler(call)
        if not 0 < len(sent) <= KEY_CHARS_MAX or not sent.isprintable():
            raise KeyUnfit(f"It must have between 1 and {KEY_CHARS_MAX} printable characters.")
        key = _digest(f"{call.principal.id}\0{call.method}\0{call.url_path}\0{sent}".encode())
        earlier = self._begin(key, _digest(call.raw), call.at)
        if earlier is not None:
            return earlier
        try:
            result = handler(call)
        except (Refusal, Unavailable):
            with self._database.write() as tx:
                store.forget_command(tx, key)
            raise
        answer = result if isinstance(result, Answer) else Answer(body=result, status=endpoint.status)
        if isinstance(answer.body, bytes | str) or answer.cookies:
            return result  # no JSON: nothing that could be told again
        written = msgspec.json.encode(_without_secret(answer.body)) if answer.body is not None else b""
        with self._database.write() as tx:
            store.end_command(tx, key, status=answer.status, answer=written)
        return result

    def _begin(self, key: bytes, body: bytes, at: Instant) -> Answer | None:
        with self._database.write() as tx:
            # Why the insert first: of two requests at the same moment, on any two processes, one makes the row.
            if store.begin_command(tx, key, body, at):
                return None
            row = store.read_command(tx, key)
        if row is None:
            raise CommandUnderWay("It ended a moment ago; send it again.")
        if bytes(row["body"]) != body:
            problem = Problem(path="/", detail="The body differs from the one that this key was first sent with.")
            raise KeyUsed("Send the same body again, or another key.", problems=(problem,))
        if row["status"] is None:
            raise CommandUnderWay("Look whether it was done before you send it under a new key.")
        answer = bytes(row["answer"])
        return Answer(body=msgspec.Raw(answer) if answer else None, status=int(row["status"]))


def forget_keys(tx: Tx, at: Instant) -> None:
    """Forget commands that are older than a day."""
    store.forget_commands(tx, at - KEPT_FOR)


def _without_secret(body: object) -> object:
    """Leave out a secret that is shown once: the answer is kept for a day, the secret nowhere."""
    if isinstance(body, msgspec.Struct) and "secret" in body.__struct_fields__:
        return msgspec.structs.replace(body, secret="(shown once)")  # noqa: S106 - the opposite of a secret
    return body


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()
