"""Verbs of webhooks: deliver what is due, confirm, send dead letters again, watch for what stays unconfirmed."""

import dataclasses
import random
from typing import Final

from koban.audit import record
from koban.base import SECOND, Clock, Instant, random_id, to_rfc3339
from koban.db import Database, Tx
from koban.webhooks import logic, metrics, store
from koban.webhooks.secrets import SecretBox
from koban.webhooks.types import Action, ActionMissing, ActionNotDead, Alert, Due, Send, Sent

# Longer than an attempt can take, so that nobody else begins the next one while it runs; after a crash in the middle
# of an attempt, this is how long the action waits before it is sent again.
CLAIM_FOR: Final = 30 * SECOND
REVIVED_AT_ONCE_MAX: Final = 1_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Post:
    """What deliveries work with; made once by the application."""

    database: Database
    clock: Clock
    send: Send
    box: SecretBox
    randomness: random.Random


def deliver_due(post: Post, *, limit: int) -> int:
    """Deliver actions that are due, one after the other, `limit` at most; return how many attempts were made.

    Invariant: per endpoint and subject only the earliest unfinished action is tried, so a receiver sees a subject's
    actions in order. A dead letter is skipped: the next action carries the subject's whole state anyway.
    At least once: an attempt is claimed before and noted after it is made; in between a crash means sending again.
    """
    for made in range(limit):
        claimed = claim(post, limit=1)
        if not claimed:
            return made
        deliver(post, claimed[0])
    return limit


def claim(post: Post, *, limit: int, skipping: tuple[str, ...] = ()) -> list[Due]:
    """Claim due actions for one attempt each, those of the endpoints in `skipping` left out."""
    at = post.clock.now()
    with post.database.read() as tx:
        # Looking in a snapshot keeps the search away from the one writer that the decider needs.
        found = store.find_due(tx, at, limit=limit, skipping=skipping)
    if not found:
        return []
    with post.database.write() as tx:
        return store.claim(tx, found, at, until=Instant(at + CLAIM_FOR))


def deliver(post: Post, due: Due) -> None:
    """Make one attempt of a claimed action and note how it went."""
    at = post.clock.now()
    endpoint = due.endpoint
    secrets = [post.box.open(endpoint.id, endpoint.secret)]
    if endpoint.previous_secret is not None and endpoint.previous_until is not None and at < endpoint.previous_until:
        secrets.append(post.box.open(endpoint.id, endpoint.previous_secret))
    if None in secrets:
        # Fails closed: an unsigned message could be anybody's.
        sent = Sent(error="the endpoint's secret was sealed under another key; rotate it")
    else:
        sent = post.send(logic.signed(due, [each for each in secrets if each is not None], at))
    _note(post, due.action, sent)


def confirm(tx: Tx, at: Instant, action_id: str, *, by: str) -> Action:
    """Note that the marketplace did what an action asks; before the delivery is noted, and again, is fine too.

    Refuses: ActionMissing.
    """
    store.mark_confirmed(tx, action_id, at, by)
    return _read(tx, action_id)


def replay(tx: Tx, at: Instant, action_id: str, *, by: str) -> Action:
    """Send one dead letter again, with the same id and bytes.

    It may arrive after later ones of its subject; the receiver knows by its smaller `state_version`.
    Refuses: ActionMissing, ActionNotDead.
    """
    action = _read(tx, action_id)
    if action.status != "dead":
        raise ActionNotDead(f"{action_id} is {action.status}")
    store.revive(tx, (action_id,), at)
    record(tx, at, by, "action.replay", action_id)
    return _read(tx, action_id)


def replay_endpoint(tx: Tx, at: Instant, endpoint_id: str, *, by: str) -> int:
    """Send the dead letters of an endpoint again, the oldest 1,000 at once; return how many."""
    ids = store.dead_letters(tx, endpoint_id, limit=REVIVED_AT_ONCE_MAX)
    store.revive(tx, ids, at)
    record(tx, at, by, "webhook_endpoint.replay", endpoint_id, {"actions": len(ids)})
    return len(ids)


def watch_unconfirmed(tx: Tx, at: Instant, randomness: random.Random, *, after_us: int) -> int:
    """Raise an alert per endpoint with actions that nobody confirmed in time; return how many are new.

    Sent is not done: an action that was delivered and not confirmed may mean that a listing is still up.
    """
    new = 0
    store.bury_orphans(tx, "the endpoint was removed")
    for endpoint_id, (fresh, overdue, oldest) in store.mark_overdue(tx, at, before=Instant(at - after_us)).items():
        new += fresh
        detail = f"{overdue} actions unconfirmed, the oldest requested at {to_rfc3339(oldest)}"
        raise_alert(tx, at, randomness, kind="actions.unconfirmed", about=endpoint_id, detail=detail)
    metrics.observe(store.count_actions(tx))
    return new


def raise_alert(tx: Tx, at: Instant, randomness: random.Random, *, kind: str, about: str, detail: str) -> None:
    """Open an alert, or count up the open one of this kind about the same thing."""
    alert = Alert(
        id=random_id("alert", at, randomness),
        kind=kind,
        object=about,
        detail=detail,
        raised_at=at,
        last_at=at,
        times=1,
        acknowledged_at=None,
        acknowledged_by=None,
    )
    store.upsert_alert(tx, alert)


def _note(post: Post, action: Action, sent: Sent) -> None:
    at = post.clock.now()
    if not sent.error:
        metrics.ATTEMPTS.labels("delivered").inc()
        with post.database.write() as tx:
            store.mark_delivered(tx, action.id, at)
        return
    metrics.ATTEMPTS.labels("failed").inc()
    again_at = logic.next_attempt(action.attempts, at, sent.retry_after_s, post.randomness)
    error = sent.error[: logic.ERROR_CHARS_MAX]
    with post.database.write() as tx:
        marked = store.mark_failed(tx, action, error, again_at=again_at)
        if marked and again_at is None:
            detail = f"{action.id} was given up after {action.attempts} attempts: {error}"
            raise_alert(tx, at, post.randomness, kind="actions.dead", about=action.endpoint_id, detail=detail)


def _read(tx: Tx, action_id: str) -> Action:
    action = store.read_action(tx, action_id)
    if action is None:
        raise ActionMissing(f"there is no action {action_id}")
    return action
