"""Webhooks of providers: signed as Standard Webhooks says, read into one small form.

Source: https://www.standardwebhooks.com, "Signature scheme": HMAC-SHA256 over id, timestamp and body, base64, behind `v1,`.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from koban.base import MINUTE, SECOND, Instant
from koban.payments.types import NoticeForged, NoticeUnreadable, ProviderNotice
from koban.webhooks import sign

TOLERANCE: Final = 5 * MINUTE
MESSAGE_CHARS_MAX: Final = 200
PREFIX: Final = "whsec_"


class NoticeBody(msgspec.Struct, frozen=True, kw_only=True):
    """The payload: a type such as `payment.changed`, when, and what it says."""

    type: str
    timestamp: str
    data: ProviderNotice


def read_secret(written: str) -> bytes:
    """Read a secret as providers show it: `whsec_` and base64. Raises ValueError."""
    try:
        return base64.b64decode(written.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and base64") from error


def verified(headers: Mapping[str, str], body: bytes, secret: bytes, at: Instant) -> tuple[str, ProviderNotice]:
    """Return the message's id and what it says, once its signature and time hold.

    Refuses: NoticeForged, NoticeUnreadable.
    """
    message, sent, signatures = (headers.get(f"webhook-{each}", "") for each in ("id", "timestamp", "signature"))
    if not message or len(message) > MESSAGE_CHARS_MAX or not message.isprintable():
        raise NoticeForged("It has no usable webhook-id.")
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12):
        raise NoticeForged("It has no usable webhook-timestamp.")
    sent_at = Instant(int(sent) * SECOND)
    if abs(at - sent_at) > TOLERANCE:
        raise NoticeForged(
            "Its webhook-timestamp is more than five minutes away: an attempt is signed when it is made."
        )
    try:
        expected = sign(message, body, [secret], sent_at)["webhook-signature"]
    except UnicodeDecodeError:
        raise NoticeUnreadable("The body is not UTF-8.") from None
    given = signatures.split(" ")[:8]
    if not any(hmac.compare_digest(expected.encode(), each.encode("utf-8", "surrogatepass")) for each in given):
        raise NoticeForged("No signature in webhook-signature holds.")
    try:
        return message, msgspec.json.decode(body, type=NoticeBody).data
    except msgspec.DecodeError as error:
        raise NoticeUnreadable(f"The body says nothing that we know: {error}") from None


def written(notice: ProviderNotice, timestamp: str) -> bytes:
    """Write a webhook's body, as a provider does."""
    kind = "payment.changed" if notice.kind == "changed" else notice.kind
    return msgspec.json.encode(NoticeBody(type=kind, timestamp=timestamp, data=notice))
