"""The endpoints that actions go to: kept in the table, known to the decider in memory."""

from collections.abc import Sequence
from typing import Final

import msgspec

from koban.audit import record
from koban.base import DAY, Instant
from koban.db import Tx
from koban.webhooks import store
from koban.webhooks.secrets import SecretBox
from koban.webhooks.types import WebhookEndpoint, WebhookEndpointMissing

PREVIOUS_SIGNS_FOR: Final = DAY  # after a rotation, the secret before also signs for this long


class EndpointBook:
    """The endpoints in force. The decider reads `current`; whoever changes the table reloads it after the commit."""

    def __init__(self, endpoints: Sequence[WebhookEndpoint] = ()) -> None:
        """Start with these; `reload` reads them from the table."""
        self._current = tuple(endpoints)

    @property
    def current(self) -> tuple[WebhookEndpoint, ...]:
        """Return the endpoints; one whole tuple, safe to read from any thread."""
        return self._current

    def reload(self, tx: Tx) -> None:
        """Take over what the table says."""
        self._current = tuple(store.read_endpoints(tx))


def add_endpoint(
    tx: Tx,
    at: Instant,
    box: SecretBox,
    *,
    endpoint_id: str,
    url: str,
    kinds: tuple[str, ...],
    allow_private: bool,
    by: str,
) -> tuple[WebhookEndpoint, bytes]:
    """Add an endpoint; return it and its secret, which is shown this one time. The URL has been checked."""
    secret = box.draw()
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        url=url,
        kinds=kinds,
        enabled=True,
        allow_private=allow_private,
        created_at=at,
        secret=box.seal(endpoint_id, secret),
    )
    store.insert_endpoint(tx, endpoint, by=by)
    record(tx, at, by, "webhook_endpoint.add", endpoint_id, {"allow_private": allow_private})
    return endpoint, secret


def change_endpoint(
    tx: Tx, at: Instant, endpoint_id: str, *, enabled: bool | None, kinds: tuple[str, ...] | None, by: str
) -> WebhookEndpoint:
    """Switch an endpoint on or off, or choose what it is sent; None leaves it as it is.

    Refuses: WebhookEndpointMissing.
    """
    endpoint = find_endpoint(tx, endpoint_id)
    changed = msgspec.structs.replace(
        endpoint,
        enabled=endpoint.enabled if enabled is None else enabled,
        kinds=endpoint.kinds if kinds is None else kinds,
    )
    store.update_endpoint(tx, changed)
    record(tx, at, by, "webhook_endpoint.change", endpoint_id, {"enabled": changed.enabled})
    return changed


def rotate_secret(tx: Tx, at: Instant, box: SecretBox, endpoint_id: str, *, by: str) -> tuple[WebhookEndpoint, bytes]:
    """Give an endpoint a new secret, shown this one time; for a day both sign, so that the receiver can switch.

    Refuses: WebhookEndpointMissing.
    """
    endpoint = find_endpoint(tx, endpoint_id)
    secret = box.draw()
    opens = box.open(endpoint_id, endpoint.secret) is not None  # not after the master key was replaced
    changed = msgspec.structs.replace(
        endpoint,
        secret=box.seal(endpoint_id, secret),
        previous_secret=endpoint.secret if opens else None,
        previous_until=Instant(at + PREVIOUS_SIGNS_FOR) if opens else None,
    )
    store.update_endpoint(tx, changed)
    record(tx, at, by, "webhook_endpoint.rotate", endpoint_id)
    return changed, secret


def remove_endpoint(tx: Tx, at: Instant, endpoint_id: str, *, by: str) -> None:
    """Take an endpoint out of service; what waits for it becomes dead letters.

    Refuses: WebhookEndpointMissing.
    """
    find_endpoint(tx, endpoint_id)
    store.remove_endpoint(tx, endpoint_id, at)
    store.bury(tx, endpoint_id, "the endpoint was removed")
    record(tx, at, by, "webhook_endpoint.remove", endpoint_id)


def find_endpoint(tx: Tx, endpoint_id: str) -> WebhookEndpoint:
    """Return an endpoint.

    Refuses: WebhookEndpointMissing.
    """
    for endpoint in store.read_endpoints(tx):
        if endpoint.id == endpoint_id:
            return endpoint
    raise WebhookEndpointMissing(f"there is no webhook endpoint {endpoint_id}")
