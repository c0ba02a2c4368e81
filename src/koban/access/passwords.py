"""Passwords: argon2id, one dummy hash so that an unknown e-mail takes as long as a wrong password."""

import threading
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from koban.access.types import PasswordWeak
from koban.base import Problem

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256
VERIFIED_AT_ONCE: Final = 2  # each takes 19 MiB and a core: more at once would only slow the decider

# Source: OWASP's password storage cheat sheet, first choice for argon2id: 19 MiB, two passes, one lane.
_hasher: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
_slots: Final = threading.BoundedSemaphore(VERIFIED_AT_ONCE)
_DUMMY: Final = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$5OuCkLTL3xhUo0ekdpyyK8iRkrFSO4IT0cy93yV2qtM"


def hash_password(password: str, *, email: str, name: str) -> str:
    """Return the hash of a new password.

    Refuses: PasswordWeak.
    """
    if len(password) < LENGTH_MIN:
        _refuse(f"a password has {LENGTH_MIN} characters at least")
    if len(password) > LENGTH_MAX:
        _refuse(f"a password has {LENGTH_MAX} characters at most")
    if len(set(password)) < LENGTH_MIN // 2:
        _refuse("a password repeats itself less")
    known = {email.partition("@")[0].lower(), name.lower()}
    if any(
        len(word) > 3 and len(password) - len(word) < LENGTH_MIN // 2 and word in password.lower() for word in known
    ):
        _refuse("a password is not somebody's name with a little around it")
    with _slots:
        return _hasher.hash(password)


def is_password(hashed: str | None, password: str) -> bool:
    """Tell whether this is the password; without a hash it takes as long, and says no."""
    with _slots:
        try:
            _hasher.verify(hashed or _DUMMY, password[: LENGTH_MAX + 1])
        except (VerificationError, InvalidHashError):
            return False
    return hashed is not None


def _refuse(detail: str) -> None:
    raise PasswordWeak(detail, problems=(Problem(path="/password", detail=detail),))
