"""Webhooks: what the marketplace is asked to do, delivered at least once, in order per subject, until it confirms.

Owns `actions`, `webhook_endpoints` and `alerts`.
Guarantees: an action is stored in the transaction of its cause; all its attempts have one webhook-id and the same
bytes; per endpoint and subject only the earliest unfinished action is on its way; a dead letter is skipped, because
the next action carries the subject's whole state; what stays unconfirmed raises an alert.
"""

from koban.webhooks.actions import Post, confirm, deliver_due, raise_alert, watch_unconfirmed
from koban.webhooks.endpoints import EndpointBook, add_endpoint
from koban.webhooks.logic import (
    actions_for,
    request_for,
    request_for_notice,
    request_for_withdrawal,
    sign,
    written_secret,
)
from koban.webhooks.routes import Desk, build_endpoints
from koban.webhooks.secrets import SecretBox
from koban.webhooks.sender import HttpSender, check_url
from koban.webhooks.store import (
    acknowledge_alert,
    count_actions,
    delete_finished,
    insert_actions,
    open_alerts,
    recent_alerts,
    search_actions,
    search_alerts,
)
from koban.webhooks.types import Action, ActionRequest, Alert, Outgoing, Send, Sent, WebhookEndpoint
from koban.webhooks.worker import WebhookWorker

__all__ = [
    "Action",
    "ActionRequest",
    "Alert",
    "Desk",
    "EndpointBook",
    "HttpSender",
    "Outgoing",
    "Post",
    "SecretBox",
    "Send",
    "Sent",
    "WebhookEndpoint",
    "WebhookWorker",
    "acknowledge_alert",
    "actions_for",
    "add_endpoint",
    "build_endpoints",
    "check_url",
    "confirm",
    "count_actions",
    "delete_finished",
    "deliver_due",
    "insert_actions",
    "open_alerts",
    "raise_alert",
    "recent_alerts",
    "request_for",
    "request_for_notice",
    "request_for_withdrawal",
    "search_actions",
    "search_alerts",
    "sign",
    "watch_unconfirmed",
    "written_secret",
]
