"""Figures for `/metrics`."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge

ATTEMPTS: Final = Counter("koban_webhook_attempts", "Webhook attempts by how they went", ["result"])
ACTIONS: Final = Gauge("koban_actions", "Actions asked of the marketplace, by status", ["status"])

_STATUSES: Final = ("requested", "failed", "delivered", "confirmed", "dead", "overdue")


def observe(counts: Mapping[str, int]) -> None:
    """Take over what `store.count_actions` counted."""
    for status in _STATUSES:
        ACTIONS.labels(status).set(counts.get(status, 0))
