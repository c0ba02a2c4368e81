"""The permission check, rates, CSRF tokens and languages: no I/O, no clock, no randomness of its own."""

import collections
import functools
import hashlib
import hmac
import math
from typing import Final

import msgspec

from koban.access.permissions import PUBLIC, SIGNED_IN
from koban.access.types import Grant, Language, NotAllowed, NotSignedIn, Principal, TooManyRequests
from koban.base import SECOND, Instant

ANONYMOUS: Final = Principal(kind="anonymous", id="anonymous", name="")
SYSTEM: Final = Principal(kind="system", id="koban", name="Koban")

CALLERS_REMEMBERED: Final = 10_000


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How much one caller may ask: `per_s` on average, `burst` at once."""

    per_s: int
    burst: int


class RateLimiter:
    """Token buckets in memory, one per caller; the least recently seen callers are forgotten first.

    Used from the event loop only, so it needs no lock. Why forgetting is safe: a bucket that was not touched for
    longer than `burst / per_s` seconds is full again anyway, and 10,000 fresher callers lie between.
    """

    def __init__(self, rate: Rate) -> None:
        """Start with every bucket full."""
        self._rate = rate
        self._buckets: collections.OrderedDict[str, tuple[float, Instant]] = collections.OrderedDict()

    def take(self, caller: str, at: Instant) -> None:
        """Take one request from the caller's bucket.

        Refuses: TooManyRequests.
        """
        burst = float(self._rate.burst)
        level, since = self._buckets.get(caller, (burst, at))
        level = min(burst, level + max(0, at - since) * self._rate.per_s / SECOND)
        if level < 1:
            self._buckets[caller] = (level, max(at, since))
            wait_s = max(1, math.ceil((1 - level) / self._rate.per_s))
            raise TooManyRequests(
                f"more than {self._rate.per_s} requests a second; try again in {wait_s} s", retry_after_s=wait_s
            )
        self._buckets[caller] = (level - 1, max(at, since))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > CALLERS_REMEMBERED:
            self._buckets.popitem(last=False)


def authorise(principal: Principal, permission: str) -> Grant:
    """Return the grant that allows this, or refuse: what nothing allows is forbidden.

    Refuses: NotSignedIn, NotAllowed.
    """
    if permission == PUBLIC:
        return Grant(permission=permission, by="open to everyone", principal_id=principal.id)
    if principal.kind == "system":
        return Grant(permission=permission, by="koban itself", principal_id=principal.id)
    if principal.kind == "anonymous":
        raise NotSignedIn("nobody is signed in, and no valid token was sent")
    if permission == SIGNED_IN:
        if principal.kind == "staff":
            return Grant(permission=permission, by="a session of one's own", principal_id=principal.id)
        raise NotAllowed("this is for people with a session, not for tokens")
    by = principal.grants.get(permission)
    if by is None:
        raise NotAllowed(f"this needs the permission {permission}")
    return Grant(permission=permission, by=by, principal_id=principal.id)


def csrf_token(session_secret: str) -> str:
    """Return the token that forms of this session carry; it tells nothing about the session's secret."""
    return hmac.digest(session_secret.encode(), b"koban csrf v1", "sha256").hex()


def csrf_matches(session_secret: str, given: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(csrf_token(session_secret).encode(), given.encode("utf-8", "replace"))


@functools.lru_cache(1_024)  # the same few tokens send a thousand requests a second
def secret_digest(secret: str) -> str:
    """Return what is stored of a session's or token's secret.

    Why plain SHA-256: the secrets are 256 random bits, which no dictionary holds; a slow hash would only slow us.
    """
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def choose_language(cookie: str | None, accept: str | None) -> Language:
    """Return the language the reader asked for: the cookie first, then Accept-Language by weight, else English."""
    if cookie == "ja":
        return "ja"
    if cookie == "en":
        return "en"
    best: Language = "en"
    best_weight = 0.0
    for part in (accept or "")[:500].split(","):
        tag, _, weight_text = part.partition(";q=")
        primary = tag.strip().lower().partition("-")[0]
        try:
            weight = float(weight_text) if weight_text else 1.0
        except ValueError:
            continue
        if primary in ("ja", "en") and weight > best_weight:
            best, best_weight = ("ja" if primary == "ja" else "en"), weight
    return best
