"""Webhooks of providers: what is signed is taken, and nothing else."""

import base64

import pytest
import standardwebhooks

from koban.base import MINUTE, SECOND, Instant, to_rfc3339
from koban.payments.notices import read_secret, verified, written
from koban.payments.types import NoticeForged, NoticeUnreadable, ProviderNotice
from koban.webhooks import sign

AT = Instant(1_792_584_000_000_000)
SECRET = b"0123456789abcdef0123456789abcdef"
NOTICE = ProviderNotice(kind="chargeback", key="p1-2", provider_ref="cb1", amount_minor=500, currency="JPY")
BODY = written(NOTICE, to_rfc3339(AT))


def test_what_the_provider_signed_is_taken_and_other_libraries_agree() -> None:
    headers = sign("msg_1", BODY, [SECRET], AT)
    assert verified(headers, BODY, SECRET, AT) == ("msg_1", NOTICE)
    both = {**headers, "webhook-signature": "v1,bm9uZQ== " + headers["webhook-signature"]}
    assert verified(both, BODY, SECRET, AT)[0] == "msg_1"
    assert read_secret("whsec_" + base64.b64encode(SECRET).decode()) == SECRET
    standardwebhooks.Webhook(SECRET)  # the secret is one that the reference library takes


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(AT // SECOND + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": "v1,bm9uZQ=="},
        {"webhook-signature": ""},
        {"webhook-signature": "é"},
    ],
)
def test_what_was_changed_on_the_way_is_refused(change: dict[str, str]) -> None:
    headers = {**sign("msg_1", BODY, [SECRET], AT), **change}
    with pytest.raises(NoticeForged):
        verified(headers, BODY, SECRET, AT)


def test_another_body_another_secret_and_an_old_attempt_are_refused() -> None:
    headers = sign("msg_1", BODY, [SECRET], AT)
    for body, secret, at in (
        (BODY + b" ", SECRET, AT),
        (BODY, b"another-secret-of-thirty-two-chr", AT),
        (BODY, SECRET, Instant(AT + 6 * MINUTE)),
        (BODY, SECRET, Instant(AT - 6 * MINUTE)),
    ):
        with pytest.raises(NoticeForged):
            verified(headers, body, secret, at)


@pytest.mark.parametrize("body", [b"{}", b"[", b'{"type":"x","timestamp":"t","data":{"kind":"else"}}', b"\xff"])
def test_what_is_signed_and_says_nothing_is_told_so(body: bytes) -> None:
    signed = BODY if body == b"\xff" else body
    headers = sign("msg_1", signed, [SECRET], AT)
    with pytest.raises(NoticeUnreadable):
        verified(headers, body, SECRET, AT)
