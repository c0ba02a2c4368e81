"""The HTTP addresses of webhooks: endpoints, actions and their confirmation, alerts."""

import dataclasses
import random
from typing import Annotated

import msgspec

from koban.access import Answer, Call, Endpoint, Page, PageQuery, endpoint
from koban.audit import record
from koban.base import Instant, random_id, to_rfc3339
from koban.db import Database
from koban.enforcement import SubjectRef
from koban.webhooks import actions, endpoints, logic, sender, store
from koban.webhooks.endpoints import EndpointBook
from koban.webhooks.secrets import SecretBox
from koban.webhooks.types import (
    Action,
    ActionMissing,
    ActionNotDead,
    ActionStatus,
    Alert,
    AlertMissing,
    WebhookEndpoint,
    WebhookEndpointMissing,
    WebhookEndpointUnfit,
)

Kinds = Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...], msgspec.Meta(max_length=50)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Desk:
    """What the routes of webhooks work with; made once by the application."""

    database: Database
    book: EndpointBook
    box: SecretBox
    randomness: random.Random
    may_allow_private: bool  # a setting of the installation: whether endpoints inside the own network exist at all


class EndpointBody(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint, without its secret."""

    id: str
    url: str
    kinds: tuple[str, ...]
    enabled: bool
    allow_private: bool
    created_at: str


class NewEndpointBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint to add. `kinds` empty: everything; `sanction.` with the dot: every kind that begins so."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=sender.URL_CHARS_MAX)]
    kinds: Kinds = ()
    allow_private: bool = False


class SecretBody(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with its new secret: this is the only time it is shown."""

    endpoint: EndpointBody
    secret: str


class ChangeEndpointBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    enabled: bool | None = None
    kinds: Kinds | None = None


class ReplayedBody(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters are on their way again."""

    actions: int


class ActionBody(msgspec.Struct, frozen=True, kw_only=True):
    """An action and how far it got: requested, delivered, confirmed; failed ones are tried again, dead ones are not."""

    id: str
    endpoint_id: str
    subject: SubjectRef
    kind: str
    state_version: int
    status: ActionStatus
    overdue: bool
    attempts: int
    last_error: str
    requested_at: str
    next_attempt_at: str | None
    delivered_at: str | None
    confirmed_at: str | None
    confirmed_by: str | None


class ActionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An action with the payload that every attempt sends."""

    action: ActionBody
    payload: msgspec.Raw


class ActionQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list of actions."""

    status: ActionStatus | None = None
    subject_kind: str | None = None
    subject_id: str | None = None
    endpoint_id: str | None = None
    kind: str | None = None


class AlertBody(msgspec.Struct, frozen=True, kw_only=True):
    """An alert; `object` says what it is about."""

    id: str
    kind: str
    object: str
    detail: str
    raised_at: str
    last_at: str
    times: int
    acknowledged_at: str | None
    acknowledged_by: str | None


class AlertQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list of alerts."""

    open: bool | None = None


def build_endpoints(desk: Desk) -> tuple[Endpoint, ...]:
    """Describe the routes."""
    return (*_endpoint_routes(desk), *_action_routes(desk), *_alert_routes(desk))


def _endpoint_routes(desk: Desk) -> tuple[Endpoint, ...]:
    missing = (WebhookEndpointMissing,)
    return (
        endpoint(
            "GET", "/v1/webhooks", "webhooks.read", lambda call: _list_endpoints(desk, call),
            summary="List webhook endpoints", query=PageQuery, returns=Page[EndpointBody],
        ),
        endpoint(
            "POST", "/v1/webhooks", "webhooks.manage", lambda call: _add(desk, call),
            summary="Add a webhook endpoint", body=NewEndpointBody, returns=SecretBody, status=201,
            description="The answer shows the signing secret, this one time.", raises=(WebhookEndpointUnfit,),
        ),
        endpoint(
            "PATCH", "/v1/webhooks/{id}", "webhooks.manage", lambda call: _change(desk, call),
            summary="Switch a webhook endpoint on or off, or choose what it is sent",
            body=ChangeEndpointBody, returns=EndpointBody, raises=missing,
        ),
        endpoint(
            "DELETE", "/v1/webhooks/{id}", "webhooks.manage", lambda call: _remove(desk, call),
            summary="Remove a webhook endpoint", status=204, raises=missing,
            description="Actions that wait for it become dead letters.",
        ),
        endpoint(
            "POST", "/v1/webhooks/{id}/rotate", "webhooks.manage", lambda call: _rotate(desk, call),
            summary="Give a webhook endpoint a new secret", returns=SecretBody, raises=missing,
            description="For a day both secrets sign. The answer shows the new one, this one time.",
        ),
        endpoint(
            "POST", "/v1/webhooks/{id}/replay", "webhooks.replay", lambda call: _replay_endpoint(desk, call),
            summary="Send an endpoint's dead letters again", returns=ReplayedBody, raises=missing,
            description="The oldest 1,000 at once, each with the id and the bytes that it always had.",
        ),
    )  # fmt: skip


def _action_routes(desk: Desk) -> tuple[Endpoint, ...]:
    return (
        endpoint(
            "GET", "/v1/actions", "webhooks.read", lambda call: _list_actions(desk, call),
            summary="List actions, newest first", query=ActionQuery, returns=Page[ActionBody],
        ),
        endpoint(
            "GET", "/v1/actions/{id}", "webhooks.read", lambda call: _get_action(desk, call),
            summary="Look up an action and its payload", returns=ActionDetail, raises=(ActionMissing,),
        ),
        endpoint(
            "POST", "/v1/actions/{id}/confirm", "actions.confirm", lambda call: _confirm(desk, call),
            summary="Confirm that an action was carried out", returns=ActionBody, raises=(ActionMissing,),
            description="The id is the webhook-id. Confirming again, or before the delivery is noted, is fine.",
        ),
        endpoint(
            "POST", "/v1/actions/{id}/replay", "webhooks.replay", lambda call: _replay(desk, call),
            summary="Send a dead letter again", returns=ActionBody, raises=(ActionMissing, ActionNotDead),
        ),
    )  # fmt: skip


def _alert_routes(desk: Desk) -> tuple[Endpoint, ...]:
    return (
        endpoint(
            "GET", "/v1/alerts", "alerts.read", lambda call: _list_alerts(desk, call),
            summary="List alerts, newest first", query=AlertQuery, returns=Page[AlertBody],
        ),
        endpoint(
            "POST", "/v1/alerts/{id}/acknowledge", "alerts.acknowledge", lambda call: _acknowledge(desk, call),
            summary="Take note of an alert", returns=AlertBody, raises=(AlertMissing,),
            description="The same trouble later opens a new alert.",
        ),
    )  # fmt: skip


def _list_endpoints(desk: Desk, call: Call) -> Page[EndpointBody]:
    query = call.params_as(PageQuery)
    with desk.database.read() as tx:
        found = [each for each in store.read_endpoints(tx) if each.id > (query.cursor or "")]
    items = [_endpoint_body(each) for each in found[: query.limit]]
    return Page(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _add(desk: Desk, call: Call) -> SecretBody:
    body = call.body_as(NewEndpointBody)
    if body.allow_private and not desk.may_allow_private:
        raise WebhookEndpointUnfit(
            "this installation sends webhooks to public addresses only; KOBAN_ALLOW_PRIVATE_WEBHOOKS=1 lets endpoints ask for others"
        )
    sender.check_url(body.url, allow_private=body.allow_private)
    with desk.database.write() as tx:
        added, secret = endpoints.add_endpoint(
            tx,
            call.at,
            desk.box,
            endpoint_id=random_id("endpoint", call.at, desk.randomness),
            url=body.url,
            kinds=body.kinds,
            allow_private=body.allow_private,
            by=call.principal.actor,
        )
    _reload(desk)
    return SecretBody(endpoint=_endpoint_body(added), secret=logic.written_secret(secret))


def _change(desk: Desk, call: Call) -> EndpointBody:
    body = call.body_as(ChangeEndpointBody)
    with desk.database.write() as tx:
        changed = endpoints.change_endpoint(
            tx, call.at, call.path["id"], enabled=body.enabled, kinds=body.kinds, by=call.principal.actor
        )
    _reload(desk)
    return _endpoint_body(changed)


def _remove(desk: Desk, call: Call) -> Answer:
    with desk.database.write() as tx:
        endpoints.remove_endpoint(tx, call.at, call.path["id"], by=call.principal.actor)
    _reload(desk)
    return Answer(status=204)


def _rotate(desk: Desk, call: Call) -> SecretBody:
    with desk.database.write() as tx:
        changed, secret = endpoints.rotate_secret(tx, call.at, desk.box, call.path["id"], by=call.principal.actor)
    _reload(desk)
    return SecretBody(endpoint=_endpoint_body(changed), secret=logic.written_secret(secret))


def _replay_endpoint(desk: Desk, call: Call) -> ReplayedBody:
    with desk.database.write() as tx:
        endpoints.find_endpoint(tx, call.path["id"])
        count = actions.replay_endpoint(tx, call.at, call.path["id"], by=call.principal.actor)
    return ReplayedBody(actions=count)


def _list_actions(desk: Desk, call: Call) -> Page[ActionBody]:
    query = call.params_as(ActionQuery)
    filters = {
        name: value
        for name in ("status", "subject_kind", "subject_id", "endpoint_id", "kind")
        if (value := getattr(query, name)) is not None
    }
    with desk.database.read() as tx:
        found = store.search_actions(tx, before=query.cursor, limit=query.limit + 1, filters=filters)
    items = [_action_body(each) for each in found[: query.limit]]
    return Page(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _get_action(desk: Desk, call: Call) -> ActionDetail:
    with desk.database.read() as tx:
        action = store.read_action(tx, call.path["id"])
    if action is None:
        raise ActionMissing(f"there is no action {call.path['id']}")
    return ActionDetail(action=_action_body(action), payload=msgspec.Raw(action.body))


def _confirm(desk: Desk, call: Call) -> ActionBody:
    with desk.database.write() as tx:
        return _action_body(actions.confirm(tx, call.at, call.path["id"], by=call.principal.actor))


def _replay(desk: Desk, call: Call) -> ActionBody:
    with desk.database.write() as tx:
        return _action_body(actions.replay(tx, call.at, call.path["id"], by=call.principal.actor))


def _list_alerts(desk: Desk, call: Call) -> Page[AlertBody]:
    query = call.params_as(AlertQuery)
    with desk.database.read() as tx:
        found = store.search_alerts(tx, before=query.cursor, limit=query.limit + 1, is_open=query.open)
    items = [_alert_body(each) for each in found[: query.limit]]
    return Page(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _acknowledge(desk: Desk, call: Call) -> AlertBody:
    alert_id = call.path["id"]
    with desk.database.write() as tx:
        store.acknowledge_alert(tx, alert_id, call.at, call.principal.actor)
        alert = store.read_alert(tx, alert_id)
        if alert is None:
            raise AlertMissing(f"there is no alert {alert_id}")
        record(tx, call.at, call.principal.actor, "alert.acknowledge", alert_id)
    return _alert_body(alert)


def _reload(desk: Desk) -> None:
    with desk.database.read() as tx:
        desk.book.reload(tx)


def _endpoint_body(each: WebhookEndpoint) -> EndpointBody:
    return EndpointBody(
        id=each.id,
        url=each.url,
        kinds=each.kinds,
        enabled=each.enabled,
        allow_private=each.allow_private,
        created_at=to_rfc3339(each.created_at),
    )


def _action_body(action: Action) -> ActionBody:
    waits = action.status in ("requested", "failed")
    return ActionBody(
        id=action.id,
        endpoint_id=action.endpoint_id,
        subject=action.subject,
        kind=action.kind,
        state_version=action.state_version,
        status=action.status,
        overdue=action.overdue_at is not None and action.status not in ("confirmed", "dead"),
        attempts=action.attempts,
        last_error=action.last_error,
        requested_at=to_rfc3339(action.requested_at),
        next_attempt_at=to_rfc3339(action.next_attempt_at) if waits else None,
        delivered_at=_written(action.delivered_at),
        confirmed_at=_written(action.confirmed_at),
        confirmed_by=action.confirmed_by,
    )


def _alert_body(alert: Alert) -> AlertBody:
    return AlertBody(
        id=alert.id,
        kind=alert.kind,
        object=alert.object,
        detail=alert.detail,
        raised_at=to_rfc3339(alert.raised_at),
        last_at=to_rfc3339(alert.last_at),
        times=alert.times,
        acknowledged_at=_written(alert.acknowledged_at),
        acknowledged_by=alert.acknowledged_by,
    )


def _written(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)
