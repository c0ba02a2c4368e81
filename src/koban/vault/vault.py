"""Sealing and opening: keys per person, pseudonyms, digests."""

import hashlib
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from koban.audit import Secrets
from koban.base import DAY, Instant
from koban.db import Tx
from koban.vault import keys, store
from koban.vault.types import MasterKeyWrong, SealBroken, Sealed

Fields = Mapping[str, object]

PEOPLE_CACHED_MAX: Final = 100_000
SALT_BYTES: Final = 32
PSEUDONYM_BYTES: Final = 10
DIGEST_BYTES: Final = 16

_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_DRAWN_AT_ONCE: Final = 1_024
_HEAD_BYTES: Final = 1 + _KEY_ID_BYTES + _NONCE_BYTES
_DAY_BYTES: Final = 4
_EVICTED_AT_ONCE: Final = PEOPLE_CACHED_MAX // 10

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


class Vault:
    """Seals personal fields under a key per person.

    Invariant: `prepare`, `seal`, `save`, `settle` and `drop` are called by the decider's thread alone; everything else
    may be called from any thread. Opening always asks the database for the salt, so an erasure is at once in force in
    every process.
    """

    def __init__(self, master: bytes, secrets: Secrets) -> None:
        """Use `Vault.open_file` instead."""
        self._secrets = secrets
        self._person_key = keys.derive(master, "koban-person")
        self._dated_key = keys.derive(master, "koban-dated")
        self._pseudonym_key = keys.derive(master, "koban-pseudonym")
        self._digest_key = keys.derive(master, "koban-digest")
        self.appeal_key = keys.derive(master, "koban-appeals")  # signs the links in notices
        self.webhook_key = keys.derive(master, "koban-webhooks")  # for webhooks.SecretBox alone
        self._sealers: dict[str, tuple[AESGCM, bytes]] = {}
        self._pending: dict[str, tuple[str, bytes, Instant]] = {}
        self._nonces = _Drawn(secrets, _NONCE_BYTES)
        self._salts = _Drawn(secrets, SALT_BYTES)

    @staticmethod
    def open_file(tx: Tx, path: pathlib.Path, secrets: Secrets) -> "Vault":
        """Open the vault with its key file, which is made where nothing was ever sealed.

        Refuses: MasterKeyMissing, MasterKeyWrong.
        """
        check = store.read_check(tx)
        master = keys.read_or_make(path, secrets, may_make=check is None)
        digest = keys.derive(master, "koban-check")
        if check is None:
            store.write_check(tx, digest)
        elif check != digest:
            raise MasterKeyWrong(f"{path} is the key of another installation")
        return Vault(master, secrets)

    @staticmethod
    def open_to_read(tx: Tx, path: pathlib.Path, secrets: Secrets) -> "Vault":
        """Open the vault where something was sealed before; nothing is made or written.

        Refuses: MasterKeyMissing, MasterKeyWrong.
        """
        master = keys.read_or_make(path, secrets, may_make=False)
        if store.read_check(tx) != keys.derive(master, "koban-check"):
            raise MasterKeyWrong(f"{path} is the key of another installation")
        return Vault(master, secrets)

    def pseudonym(self, kind: str, value: str) -> str:
        """Return the keyed pseudonym that stands for a value everywhere inside: `device~3f…`.

        Equal values of one kind have equal pseudonyms; without the key nobody can try values out.
        """
        digest = hashlib.blake2b(
            f"{kind}\0{value}".encode("utf-8", "surrogatepass"), key=self._pseudonym_key, digest_size=PSEUDONYM_BYTES
        )
        return f"{kind}~{digest.hexdigest()}"

    def digest(self, data: bytes) -> bytes:
        """Return a keyed digest by which duplicates are recognised after their personal fields are gone."""
        return hashlib.blake2b(data, key=self._digest_key, digest_size=DIGEST_BYTES).digest()

    def prepare(self, tx: Tx, at: Instant, people: Iterable[str]) -> None:
        """Have a key for each of these people before their events are sealed: one query for a batch.

        Who was never sealed, or was erased since, gets a new salt, which `save` writes.
        """
        missing = {self.pseudonym("person", person): person for person in people if person not in self._sealers}
        if not missing:
            return
        if len(self._sealers) + len(missing) > PEOPLE_CACHED_MAX:
            self._evict()
        salts = store.read_salts(tx, list(missing))
        for pseudonym, person in missing.items():
            salt = salts.get(pseudonym)
            if salt is None:
                salt = self._salts.next()
                self._pending[person] = (pseudonym, salt, at)
            self._sealers[person] = self._sealer(salt)

    def seal(self, person: str, context: str, fields: Fields) -> bytes:
        """Return the ciphertext of a person's fields; `context` (the event's key) must be given again to open it.

        `prepare` must have been called for the person.
        """
        cipher, head = self._sealers[person]
        nonce = self._nonces.next()
        return head + nonce + cipher.encrypt(nonce, _encode(fields), _associated(person, context))

    def new_salts(self) -> list[tuple[str, bytes, Instant]]:
        """Return the rows that `save` will write."""
        return list(self._pending.values())

    def save(self, tx: Tx) -> None:
        """Write new salts, in the transaction that writes what was sealed under them."""
        tx.many(store.INSERT_SALTS, self.new_salts())

    def settle(self) -> None:
        """Take the new salts as written: after the commit."""
        self._pending.clear()

    def drop(self) -> None:
        """Forget new salts that were not written, and every cached key: after a failed or unknown commit."""
        self._pending.clear()
        self._sealers.clear()

    def forget(self, person: str) -> None:
        """Drop a cached key: after the commit of an erasure, in the process that decides."""
        self._sealers.pop(person, None)

    def open(self, tx: Tx, person: str, context: str, blob: bytes) -> dict[str, object] | None:
        """Return the fields, or None where the person was erased. Raises SealBroken for altered ciphertext."""
        return self.open_many(tx, [Sealed(person=person, context=context, blob=blob)])[0]

    def open_many(self, tx: Tx, sealed: Sequence[Sealed]) -> list[dict[str, object] | None]:
        """Open several with one query, in their order; None where the person was erased."""
        pseudonyms = {one.person: self.pseudonym("person", one.person) for one in sealed}
        salts = store.read_salts(tx, list(pseudonyms.values()))
        ciphers = {
            person: self._sealer(salts[pseudonym]) for person, pseudonym in pseudonyms.items() if pseudonym in salts
        }
        return [_opened(ciphers.get(one.person), one) for one in sealed]

    def seal_dated(self, tx: Tx, at: Instant, purpose: str, payload: bytes) -> bytes:
        """Seal a payload that belongs to no known person under the key of its day."""
        day = at // DAY
        salt = store.read_dated(tx, purpose, day)
        if salt is None:
            salt = store.make_dated(tx, purpose, day, self._secrets.draw(SALT_BYTES))
        nonce = self._secrets.draw(_NONCE_BYTES)
        head = _VERSION + day.to_bytes(_DAY_BYTES, "big") + nonce
        cipher = AESGCM(keys.derive(self._dated_key, "koban-day", salt))
        return head + cipher.encrypt(nonce, payload, purpose.encode())

    def open_dated(self, tx: Tx, purpose: str, blob: bytes) -> bytes | None:
        """Return the payload, or None when its day was forgotten. Raises SealBroken for altered ciphertext."""
        day = int.from_bytes(blob[1 : 1 + _DAY_BYTES], "big")
        salt = store.read_dated(tx, purpose, day)
        if salt is None:
            return None
        nonce = blob[1 + _DAY_BYTES : 1 + _DAY_BYTES + _NONCE_BYTES]
        cipher = AESGCM(keys.derive(self._dated_key, "koban-day", salt))
        try:
            return cipher.decrypt(nonce, blob[1 + _DAY_BYTES + _NONCE_BYTES :], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"a {purpose} payload does not open") from error

    def _sealer(self, salt: bytes) -> tuple[AESGCM, bytes]:
        key = keys.derive(self._person_key, "koban-fields", salt)
        return AESGCM(key), _VERSION + keys.derive(key, "koban-key-id")[:_KEY_ID_BYTES]

    def _evict(self) -> None:
        """Forget the keys that were made first; the ones not written yet must stay."""
        for person in list(self._sealers)[:_EVICTED_AT_ONCE]:
            if person not in self._pending:
                del self._sealers[person]


class _Drawn:
    """Random values of one length, asked of the system by the thousand: a call for each costs more than sealing."""

    __slots__ = ("_at", "_bytes", "_length", "_secrets")

    def __init__(self, secrets: Secrets, length: int) -> None:
        self._secrets = secrets
        self._length = length
        self._bytes = b""
        self._at = 0

    def next(self) -> bytes:
        """Return a value that was never returned before."""
        at = self._at
        if at >= len(self._bytes):
            self._bytes = self._secrets.draw(self._length * _DRAWN_AT_ONCE)
            at = 0
        self._at = at + self._length
        return self._bytes[at : at + self._length]


def _associated(person: str, context: str) -> bytes:
    return f"{person}\0{context}".encode("utf-8", "surrogatepass")


def _opened(sealer: tuple[AESGCM, bytes] | None, sealed: Sealed) -> dict[str, object] | None:
    blob = sealed.blob
    if sealer is None:
        return None
    cipher, head = sealer
    if blob[: len(head)] != head:
        # Sealed under a key that was destroyed: the person was erased and came back.
        return None
    nonce = blob[len(head) : _HEAD_BYTES]
    try:
        fields = cipher.decrypt(nonce, blob[_HEAD_BYTES:], _associated(sealed.person, sealed.context))
    except (InvalidTag, ValueError) as error:
        raise SealBroken("sealed fields do not open: altered, or moved from another event") from error
    return _decode(fields)
