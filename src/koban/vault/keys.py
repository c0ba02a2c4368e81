"""The master key file and what is derived from it: no SQL."""

import contextlib
import hashlib
import os
import pathlib
from typing import Final

from koban.audit import Secrets, sync_folder
from koban.vault.types import MasterKeyMissing, MasterKeyWrong

KEY_BYTES: Final = 32
_HEADING: Final = "koban master key v1"


def read_or_make(path: pathlib.Path, secrets: Secrets, *, may_make: bool) -> bytes:
    """Return the master key; make the file (0600) where there is none and `may_make` says that nothing is sealed yet.

    Refuses: MasterKeyMissing, MasterKeyWrong.
    """
    if may_make and path.exists() and path.stat().st_size == 0:
        path.unlink()  # a crash came between making the file and writing it: nothing was ever sealed
    if not path.exists():
        if not may_make:
            raise MasterKeyMissing(
                f"{path} is missing, and data sealed under it exists; put the file back from where you keep it "
                "(it is never in a backup). A new key would leave every personal field unreadable."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{_HEADING}\n{secrets.draw(KEY_BYTES).hex()}\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
    try:
        heading, digits = path.read_text(encoding="ascii").split("\n")[:2]
        key = bytes.fromhex(digits)
    except (OSError, ValueError) as error:
        raise MasterKeyWrong(f"{path} cannot be read as a key: {error}") from error
    if heading != _HEADING or len(key) != KEY_BYTES:
        raise MasterKeyWrong(f"{path} is not a key file of Koban")
    return key


def derive(master: bytes, purpose: str, material: bytes = b"") -> bytes:
    """Return the 32-byte key for one purpose.

    Source: BLAKE2b as a keyed hash with personalisation (RFC 7693); its output is independent per purpose and
    material.
    """
    return hashlib.blake2b(material, key=master, digest_size=KEY_BYTES, person=purpose.encode()).digest()
