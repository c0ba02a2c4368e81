"""What webhooks speak of: endpoints, actions that the marketplace is asked for, their deliveries, alerts, refusals."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal
from koban.enforcement import StateBody, SubjectRef

ActionStatus = Literal["requested", "failed", "delivered", "confirmed", "dead"]


class WebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where actions are sent. `kinds` empty: all; an entry ending in a dot takes every kind that begins so."""

    id: str
    url: str
    kinds: tuple[str, ...]
    enabled: bool
    allow_private: bool
    created_at: Instant
    secret: bytes  # sealed; only the sender opens it
    previous_secret: bytes | None = None  # sealed; also signs until `previous_until`, so that a rotation loses nothing
    previous_until: Instant | None = None

    def takes(self, kind: str) -> bool:
        """Return whether actions of this kind are sent here."""
        return not self.kinds or any(
            kind == each or (each.endswith(".") and kind.startswith(each)) for each in self.kinds
        )


class ActionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Something the marketplace is asked to do, or told, about a subject.

    `seq` is the entry it belongs to; it orders a subject's actions and is the version of the state they carry.
    """

    kind: str  # sanction.imposed, notice.requested, hold.lapsed, …
    subject: SubjectRef
    state: StateBody
    seq: int
    at: Instant
    detail: Mapping[str, object]  # what the kind adds to the body's `data`


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """An action as it stands; its id is the webhook-id of every attempt, its body is the same bytes in all of them."""

    id: str
    endpoint_id: str
    subject: SubjectRef
    state_version: int
    ordinal: int
    kind: str
    body: bytes
    requested_at: Instant
    status: ActionStatus
    attempts: int
    next_attempt_at: Instant
    last_error: str
    delivered_at: Instant | None
    confirmed_at: Instant | None
    confirmed_by: str | None
    overdue_at: Instant | None


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """An action that this worker has claimed for one attempt."""

    action: Action
    endpoint: WebhookEndpoint


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, signed and ready to go."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    allow_private: bool


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt went; `error` empty: the receiver took it."""

    error: str = ""
    retry_after_s: int = 0


Send: TypeAlias = Callable[[Outgoing], Sent]  # never raises for what a receiver or network does


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should look at. While it is open, the same trouble counts up instead of opening more."""

    id: str
    kind: str  # actions.unconfirmed, actions.dead, budget.tripped, clock.stepped, …
    object: str
    detail: str
    raised_at: Instant
    last_at: Instant
    times: int
    acknowledged_at: Instant | None
    acknowledged_by: str | None


class ActionMissing(Refusal):
    """No such action."""

    code = "action_missing"
    status = 404
    title = "There is no such action."


class ActionNotDead(Refusal):
    """Only a dead letter is sent again by hand; the others are still on their way or have arrived."""

    code = "action_not_dead"
    status = 409
    title = "This action is not a dead letter."


class WebhookEndpointMissing(Refusal):
    """No such webhook endpoint."""

    code = "webhook_endpoint_missing"
    status = 404
    title = "There is no such webhook endpoint."


class WebhookEndpointUnfit(Refusal):
    """The endpoint's address is not one that webhooks are sent to."""

    code = "webhook_endpoint_unfit"
    status = 422
    title = "Webhooks cannot be sent to this address."


class AlertMissing(Refusal):
    """No such alert."""

    code = "alert_missing"
    status = 404
    title = "There is no such alert."
