"""Webhooks without I/O: bodies, who gets them, signatures, when to try again."""

import base64
import datetime
import random
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import standardwebhooks

from koban.base import HOUR, MINUTE, SECOND, Instant, sequence_id, to_rfc3339
from koban.enforcement import (
    Notice,
    NoticePurpose,
    NoticeRole,
    Recorded,
    StateBody,
    SubjectRef,
    entry_type,
    sanction_body,
    state_body,
)
from koban.webhooks.types import Action, ActionRequest, Due, Outgoing, WebhookEndpoint

FIRST_PAUSE: Final = 2 * SECOND
LONGEST_PAUSE: Final = HOUR
ATTEMPTS_MAX: Final = 20  # with these pauses about ten hours; then the action is a dead letter
UNCONFIRMED_AFTER: Final = 10 * MINUTE
ERROR_CHARS_MAX: Final = 300

assert FIRST_PAUSE < LONGEST_PAUSE


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of a webhook. Source: https://www.standardwebhooks.com, "Payload structure"."""

    type: str
    timestamp: str
    data: Mapping[str, object]


class NoticeBody(msgspec.Struct, frozen=True, kw_only=True):
    """What to tell one person: who, about what, under which policy, and why.

    Where `message` is not empty it is the whole text to show; `appeal_url` is a page that needs no sign-in.
    """

    id: str
    role: NoticeRole
    purpose: NoticePurpose
    message: Mapping[str, str]
    sanction_ids: tuple[str, ...]
    appeal_url: str
    about: SubjectRef | None
    policy: str
    title: Mapping[str, str]
    text: Mapping[str, str]
    because: Mapping[str, str]
    rule: str | None
    automated: bool
    event_id: str | None
    market: str


def request_for(recorded: Recorded, *, appeal_url: str = "") -> ActionRequest | None:
    """Return the action that a sanction's change asks for; None where nothing changes for the person.

    `appeal_url` is the page on which the person can appeal it without signing in.

    A signal that joins a sanction without moving its end is not told again; neither is the end of a warning.
    """
    before, after = recorded.step.before, recorded.step.after
    kind = entry_type(recorded.step.change)
    if kind == "sanction.extended" and before is not None and before.ends_at == after.ends_at:
        return None
    if kind == "sanction.ended" and after.measure.effect in ("warn", "none"):
        return None
    return ActionRequest(
        kind=kind,
        subject=after.subject,
        state=state_body(recorded.state),
        seq=recorded.seq,
        at=recorded.at,
        detail={"sanction": sanction_body(after), **({"appeal_url": appeal_url} if appeal_url else {})},
    )


def request_for_notice(notice: Notice, state: StateBody, *, seq: int) -> ActionRequest:
    """Return the action that asks the marketplace to warn somebody.

    `seq` is the event's own entry: notices go before the sanctions of the same event, whose entries follow it.
    """
    return _about_notice("notice.requested", notice, state, seq=seq, at=notice.at)


def request_for_withdrawal(notice: Notice, state: StateBody, *, seq: int, at: Instant) -> ActionRequest:
    """Return the action that asks the marketplace to tell whoever was warned that it was a mistake.

    `seq` and `at` are those of the command that undid the rule.
    """
    return _about_notice("notice.withdrawn", notice, state, seq=seq, at=at)


def actions_for(requests: Sequence[ActionRequest], endpoints: Sequence[WebhookEndpoint]) -> list[Action]:
    """Make one action per request and endpoint that takes its kind; all requests of one entry go in one call.

    Endpoints that are switched off get theirs too and keep them until they are switched on.
    """
    actions: list[Action] = []
    ordinals: dict[int, int] = {}
    for request in requests:
        for endpoint in endpoints:
            if not endpoint.takes(request.kind):
                continue
            ordinal = ordinals.get(request.seq, 0)
            ordinals[request.seq] = ordinal + 1
            action_id = sequence_id("action", request.seq, ordinal)
            actions.append(
                Action(
                    id=action_id,
                    endpoint_id=endpoint.id,
                    subject=request.subject,
                    state_version=request.seq,
                    ordinal=ordinal,
                    kind=request.kind,
                    body=_body(action_id, request),
                    requested_at=request.at,
                    status="requested",
                    attempts=0,
                    next_attempt_at=request.at,
                    last_error="",
                    delivered_at=None,
                    confirmed_at=None,
                    confirmed_by=None,
                    overdue_at=None,
                )
            )
    return actions


def signed(due: Due, secrets: Sequence[bytes], at: Instant) -> Outgoing:
    """Sign an attempt with every secret that is valid; the id and the bytes are those of all attempts.

    Source: https://www.standardwebhooks.com, "Signature scheme"; the timestamp is that of the attempt.
    """
    action = due.action
    return Outgoing(
        url=due.endpoint.url,
        body=action.body,
        allow_private=due.endpoint.allow_private,
        headers={
            "content-type": "application/json",
            "user-agent": "koban-webhooks",
            **sign(action.id, action.body, secrets, at),
        },
    )


def sign(message_id: str, body: bytes, secrets: Sequence[bytes], at: Instant) -> dict[str, str]:
    """Return the headers that say which message this is, when it was sent, and that we sent it."""
    moment = datetime.datetime.fromtimestamp(at // SECOND, tz=datetime.UTC)
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at // SECOND),
        "webhook-signature": " ".join(
            standardwebhooks.Webhook(each).sign(message_id, moment, text) for each in secrets
        ),
    }


def next_attempt(attempts: int, at: Instant, retry_after_s: int, randomness: random.Random) -> Instant | None:
    """Return when to try again after that many attempts; None: give up.

    Why the randomness: receivers that come back are not met by everything at the same moment.
    """
    if attempts >= ATTEMPTS_MAX:
        return None
    pause = min(LONGEST_PAUSE, FIRST_PAUSE << (attempts - 1))
    pause = pause * randomness.randrange(80, 121) // 100
    return Instant(at + max(pause, min(retry_after_s * SECOND, LONGEST_PAUSE)))


def written_secret(secret: bytes) -> str:
    """Write a secret as it is shown once: `whsec_…`."""
    return "whsec_" + base64.b64encode(secret).decode()


def _about_notice(kind: str, notice: Notice, state: StateBody, *, seq: int, at: Instant) -> ActionRequest:
    body = NoticeBody(
        id=notice.id,
        role=notice.role,
        purpose=notice.purpose,
        message=notice.message,
        sanction_ids=notice.sanction_ids,
        appeal_url=notice.appeal_url,
        about=notice.about,
        policy=notice.policy,
        title=notice.title,
        text=notice.text,
        because=notice.because,
        rule=notice.rule,
        automated=notice.actor is None,
        event_id=notice.event_id,
        market=notice.market,
    )
    return ActionRequest(kind=kind, subject=notice.to, state=state, seq=seq, at=at, detail={"notice": body})


def _body(action_id: str, request: ActionRequest) -> bytes:
    data: dict[str, object] = {
        "action": action_id,
        "subject": request.subject,
        "state_version": request.seq,
        "state": request.state,
        **request.detail,
    }
    return msgspec.json.encode(Body(type=request.kind, timestamp=to_rfc3339(request.at), data=data))
