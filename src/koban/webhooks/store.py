"""All SQL of webhooks: endpoints, the outbox of actions, alerts."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.enforcement import SubjectRef
from koban.webhooks.types import Action, Alert, Due, WebhookEndpoint

_UNCONFIRMED: Final = "status IN ('requested', 'failed', 'delivered')"

webhook_endpoints: Final = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True, comment="endpoint_… id."),
    Column("url", Text, nullable=False, comment="Where actions are posted."),
    Column("kinds", Text, nullable=False, comment="Kinds of action that are sent, JSON; empty: all."),
    Column("enabled", SmallInteger, nullable=False, comment="0: its actions wait."),
    Column("allow_private", SmallInteger, nullable=False, comment="1: may be an address inside the own network."),
    Column("created_at", BigInteger, nullable=False, comment="When it was added, in microseconds."),
    Column("created_by", Text, nullable=False, comment="Who added it."),
    Column("removed_at", BigInteger, nullable=True, comment="When it was removed; its actions stay as they are."),
    Column("secret", LargeBinary, nullable=False, comment="The signing secret, sealed."),
    Column("previous_secret", LargeBinary, nullable=True, comment="The one before the last rotation, sealed."),
    Column("previous_until_at", BigInteger, nullable=True, comment="Until when the previous secret also signs."),
)

actions: Final = Table(
    "actions",
    metadata,
    Column("id", Text, primary_key=True, comment="action_… id; the webhook-id of every attempt."),
    Column("endpoint_id", Text, nullable=False, comment="To which endpoint it goes."),
    Column("subject_kind", Text, nullable=False, comment="Kind of the subject."),
    Column("subject_id", Text, nullable=False, comment="Id of the subject."),
    Column("state_version", BigInteger, nullable=False, comment="The log entry behind it; orders a subject's actions."),
    Column("ordinal", BigInteger, nullable=False, comment="Which of the entry's actions it is."),
    Column("kind", Text, nullable=False, comment="sanction.imposed, notice.requested, …"),
    Column("body", LargeBinary, nullable=False, comment="The bytes that every attempt sends."),
    Column("requested_at", BigInteger, nullable=False, comment="Log time of the cause, in microseconds."),
    Column("status", Text, nullable=False, comment="requested, failed, delivered, confirmed or dead."),
    Column("waiting", SmallInteger, nullable=False, comment="1 while an attempt is still to be made."),
    Column("attempts", BigInteger, nullable=False, comment="Attempts begun."),
    Column("next_attempt_at", BigInteger, nullable=False, comment="Not before; while one runs, when it is given up."),
    Column("last_error", Text, nullable=False, comment="Why the last attempt failed."),
    Column("delivered_at", BigInteger, nullable=True, comment="When the receiver took it."),
    Column("confirmed_at", BigInteger, nullable=True, comment="When the marketplace said that it is done."),
    Column("confirmed_by", Text, nullable=True, comment="Who confirmed it."),
    Column("overdue_at", BigInteger, nullable=True, comment="When it was found unconfirmed for too long."),
    Index("actions_due", "waiting", "next_attempt_at", "state_version", "ordinal"),
    Index("actions_of_subject", "endpoint_id", "subject_kind", "subject_id", "waiting", "state_version", "ordinal"),
    Index("actions_unconfirmed", "requested_at",
          sqlite_where=sqlalchemy.text(_UNCONFIRMED), postgresql_where=sqlalchemy.text(_UNCONFIRMED)),
    Index("actions_status", "status", "id"),
    Index("actions_subject", "subject_kind", "subject_id", "id"),
)  # fmt: skip

alerts: Final = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True, comment="alert_… id."),
    Column("kind", Text, nullable=False, comment="actions.unconfirmed, actions.dead, budget.tripped, …"),
    Column("object", Text, nullable=False, comment="What it is about: an endpoint, a rule, …"),
    Column("detail", Text, nullable=False, comment="A sentence for whoever looks at it; the latest one."),
    Column("raised_at", BigInteger, nullable=False, comment="When it was raised first, in microseconds."),
    Column("last_at", BigInteger, nullable=False, comment="When it was raised last."),
    Column("times", BigInteger, nullable=False, comment="How often it was raised while open."),
    Column("open_key", Text, nullable=True, unique=True, comment="Kind and object while open: one open alert of each."),
    Column("acknowledged_at", BigInteger, nullable=True, comment="When somebody took note."),
    Column("acknowledged_by", Text, nullable=True, comment="Who took note."),
)

_ACTION_COLUMNS: Final = (
    "a.id, a.endpoint_id, a.subject_kind, a.subject_id, a.state_version, a.ordinal, a.kind, a.body, a.requested_at,"
    " a.status, a.attempts, a.next_attempt_at, a.last_error, a.delivered_at, a.confirmed_at, a.confirmed_by,"
    " a.overdue_at"
)
_ENDPOINT_COLUMNS: Final = (
    "e.id, e.url, e.kinds, e.enabled, e.allow_private, e.created_at, e.secret, e.previous_secret, e.previous_until_at"
)
_ACTION_COLUMN_COUNT: Final = 17

# Only the earliest unfinished action of a subject is due: a dead letter is finished, so it blocks nobody.
_IS_DUE: Final = (
    " FROM actions a JOIN webhook_endpoints e ON e.id = a.endpoint_id"
    " WHERE a.waiting = 1 AND a.next_attempt_at <= ? AND e.enabled = 1 AND e.removed_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM actions b WHERE b.endpoint_id = a.endpoint_id"
    " AND b.subject_kind = a.subject_kind AND b.subject_id = a.subject_id AND b.waiting = 1"
    " AND (b.state_version < a.state_version OR (b.state_version = a.state_version AND b.ordinal < a.ordinal)))"
)


def insert_actions(tx: Tx, rows: Sequence[Action]) -> None:
    """Store new actions, in the transaction of what they tell."""
    tx.many(
        "INSERT INTO actions (id, endpoint_id, subject_kind, subject_id, state_version, ordinal, kind, body,"
        " requested_at, status, waiting, attempts, next_attempt_at, last_error)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        [
            (
                each.id,
                each.endpoint_id,
                each.subject.kind,
                each.subject.id,
                each.state_version,
                each.ordinal,
                each.kind,
                each.body,
                each.requested_at,
                each.status,
                each.attempts,
                each.next_attempt_at,
                each.last_error,
            )
            for each in rows
        ],
    )


def find_due(tx: Tx, at: Instant, *, limit: int, skipping: Sequence[str] = ()) -> list[str]:
    """Return ids of actions that are due, those of some endpoints left out; a snapshot is enough to look in."""
    marks = f" AND a.endpoint_id NOT IN ({', '.join('?' * len(skipping))})" if skipping else ""
    order = " ORDER BY a.next_attempt_at, a.state_version, a.ordinal LIMIT ?"
    return [row[0] for row in tx.rows(f"SELECT a.id{_IS_DUE}{marks}{order}", (at, *skipping, limit))]


def claim(tx: Tx, ids: Sequence[str], at: Instant, *, until: Instant) -> list[Due]:
    """Claim those of these that are still due, for one attempt each: nobody else begins one before `until`.

    Why the condition in the update: on PostgreSQL two workers may have read the same row; one of them gets it.
    """
    claimed = []
    for action_id in ids:
        # One by one: for a list of ids SQLite would rather walk through everything that waits.
        rows = tx.rows(f"SELECT {_ACTION_COLUMNS}, {_ENDPOINT_COLUMNS}{_IS_DUE} AND a.id = ?", (at, action_id))
        if not rows:
            continue
        row = rows[0]
        action = _action(row)
        taken = tx.execute(
            sqlalchemy.update(actions)
            .where(
                actions.c.id == action.id,
                actions.c.attempts == action.attempts,
                actions.c.next_attempt_at == action.next_attempt_at,
                actions.c.waiting == 1,
            )
            .values(attempts=action.attempts + 1, next_attempt_at=until)
        )
        if taken.rowcount == 1:
            action = msgspec.structs.replace(action, attempts=action.attempts + 1, next_attempt_at=until)
            claimed.append(Due(action=action, endpoint=_endpoint(row[_ACTION_COLUMN_COUNT:])))
    return claimed


def next_due_at(tx: Tx) -> Instant | None:
    """Return when the next attempt is due, at the earliest."""
    rows = tx.rows("SELECT min(next_attempt_at) FROM actions WHERE waiting = 1")
    return None if rows[0][0] is None else Instant(int(rows[0][0]))


def mark_delivered(tx: Tx, action_id: str, at: Instant) -> None:
    """Note that the receiver took it. A confirmation that came first stays; so does nothing but a success."""
    tx.execute(
        sqlalchemy.update(actions)
        .where(actions.c.id == action_id, actions.c.status.in_(("requested", "failed", "dead")))
        .values(status="delivered", waiting=0, last_error="")
    )
    tx.execute(
        sqlalchemy.update(actions)
        .where(actions.c.id == action_id, actions.c.delivered_at.is_(None))
        .values(delivered_at=at)
    )


def mark_failed(tx: Tx, action: Action, error: str, *, again_at: Instant | None) -> bool:
    """Note a failed attempt, and when to try again (None: never). False where it was overtaken meanwhile.

    Later actions of the subject cannot go before it; they wait as long, so that nobody looks at them in between.
    """
    values: dict[str, object] = {"status": "dead", "waiting": 0, "last_error": error}
    again: dict[str, object] = (
        {} if again_at is None else {"status": "failed", "waiting": 1, "next_attempt_at": again_at}
    )
    marked = tx.execute(
        sqlalchemy.update(actions)
        .where(
            actions.c.id == action.id,
            actions.c.attempts == action.attempts,
            actions.c.waiting == 1,
        )
        .values(**values | again)
    )
    if marked.rowcount == 1 and again_at is not None:
        tx.many(
            "UPDATE actions SET next_attempt_at = ? WHERE endpoint_id = ? AND subject_kind = ? AND subject_id = ?"
            " AND waiting = 1 AND next_attempt_at < ?",
            [(again_at, action.endpoint_id, action.subject.kind, action.subject.id, again_at)],
        )
    return marked.rowcount == 1


def mark_confirmed(tx: Tx, action_id: str, at: Instant, by: str) -> None:
    """Note that the marketplace did it, the first time; later confirmations change nothing."""
    tx.execute(
        sqlalchemy.update(actions)
        .where(actions.c.id == action_id, actions.c.status != "confirmed")
        .values(status="confirmed", waiting=0, confirmed_at=at, confirmed_by=by)
    )


def revive(tx: Tx, ids: Sequence[str], at: Instant) -> None:
    """Send dead letters again, from the first attempt on."""
    tx.execute(
        sqlalchemy.update(actions)
        .where(actions.c.id.in_(ids), actions.c.status == "dead")
        .values(status="requested", waiting=1, attempts=0, next_attempt_at=at)
    )


def hurry(tx: Tx, at: Instant) -> int:
    """Make every action that was not delivered due now, with its id, as if no attempt had been made; return how many."""
    result = tx.execute(sqlalchemy.update(actions).where(actions.c.waiting == 1).values(attempts=0, next_attempt_at=at))
    return int(result.rowcount)


def bury(tx: Tx, endpoint_id: str, error: str) -> None:
    """Give up what waits for an endpoint that is gone."""
    tx.execute(
        sqlalchemy.update(actions)
        .where(actions.c.endpoint_id == endpoint_id, actions.c.waiting == 1)
        .values(status="dead", waiting=0, last_error=error)
    )


def bury_orphans(tx: Tx, error: str) -> None:
    """Give up what was asked of an endpoint in the moment in which it was removed."""
    gone = sqlalchemy.select(webhook_endpoints.c.id).where(webhook_endpoints.c.removed_at.is_not(None))
    tx.execute(
        sqlalchemy.update(actions)
        .where(actions.c.waiting == 1, actions.c.endpoint_id.in_(gone))
        .values(status="dead", waiting=0, last_error=error)
    )


def dead_letters(tx: Tx, endpoint_id: str, *, limit: int) -> list[str]:
    """Return the oldest dead letters of an endpoint."""
    rows = tx.rows(
        "SELECT id FROM actions WHERE status = 'dead' AND endpoint_id = ? ORDER BY id LIMIT ?", (endpoint_id, limit)
    )
    return [row[0] for row in rows]


def read_action(tx: Tx, action_id: str) -> Action | None:
    """Return an action."""
    rows = tx.rows(f"SELECT {_ACTION_COLUMNS} FROM actions a WHERE a.id = ?", (action_id,))
    return _action(rows[0]) if rows else None


def search_actions(tx: Tx, *, before: str | None, limit: int, filters: Mapping[str, str]) -> list[Action]:
    """Return actions, newest first, whose columns have the values given."""
    wanted = [f"a.{actions.c[name].name} = ?" for name in filters]
    values: list[object] = list(filters.values())
    if before is not None:
        wanted.append("a.id < ?")
        values.append(before)
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = tx.rows(f"SELECT {_ACTION_COLUMNS} FROM actions a{where} ORDER BY a.id DESC LIMIT ?", (*values, limit))
    return [_action(row) for row in rows]


def count_actions(tx: Tx) -> dict[str, int]:
    """Return how many actions stand in each status, and how many are `overdue`, for the board."""
    counts = {row[0]: int(row[1]) for row in tx.rows("SELECT status, count(*) FROM actions GROUP BY status")}
    overdue = tx.rows(f"SELECT count(*) FROM actions WHERE overdue_at IS NOT NULL AND {_UNCONFIRMED}")
    return counts | {"overdue": int(overdue[0][0])}


def mark_overdue(tx: Tx, at: Instant, *, before: Instant) -> dict[str, tuple[int, int, Instant]]:
    """Note actions that were requested before a moment and are still unconfirmed.

    Shapes: endpoint -> newly overdue, overdue in all, when the oldest of them was requested.
    """
    rows = tx.rows(
        "SELECT endpoint_id, sum(CASE WHEN overdue_at IS NULL THEN 1 ELSE 0 END), count(*), min(requested_at)"
        f" FROM actions WHERE {_UNCONFIRMED} AND requested_at <= ? GROUP BY endpoint_id ORDER BY endpoint_id",
        (before,),
    )
    found = {row[0]: (int(row[1]), int(row[2]), Instant(int(row[3]))) for row in rows if int(row[1]) > 0}
    if found:
        tx.many(
            f"UPDATE actions SET overdue_at = ? WHERE {_UNCONFIRMED} AND overdue_at IS NULL AND requested_at <= ?",
            [(at, before)],
        )
    return found


def delete_finished(tx: Tx, *, before: Instant, limit: int) -> int:
    """Delete the oldest actions that are confirmed or were given up, requested before a moment; returns how many."""
    rows = tx.rows(
        "SELECT id FROM actions WHERE status IN ('confirmed', 'dead') AND requested_at < ? ORDER BY id LIMIT ?",
        (before, limit),
    )
    tx.many("DELETE FROM actions WHERE id = ?", [(row[0],) for row in rows])
    return len(rows)


def insert_endpoint(tx: Tx, endpoint: WebhookEndpoint, *, by: str) -> None:
    """Store a new endpoint."""
    tx.execute(
        sqlalchemy.insert(webhook_endpoints).values(
            id=endpoint.id,
            url=endpoint.url,
            kinds=msgspec.json.encode(endpoint.kinds).decode(),
            enabled=int(endpoint.enabled),
            allow_private=int(endpoint.allow_private),
            created_at=endpoint.created_at,
            created_by=by,
            secret=endpoint.secret,
        )
    )


def update_endpoint(tx: Tx, endpoint: WebhookEndpoint) -> None:
    """Store what may change about an endpoint."""
    tx.execute(
        sqlalchemy.update(webhook_endpoints)
        .where(webhook_endpoints.c.id == endpoint.id)
        .values(
            kinds=msgspec.json.encode(endpoint.kinds).decode(),
            enabled=int(endpoint.enabled),
            secret=endpoint.secret,
            previous_secret=endpoint.previous_secret,
            previous_until_at=endpoint.previous_until,
        )
    )


def remove_endpoint(tx: Tx, endpoint_id: str, at: Instant) -> None:
    """Take an endpoint out of service for good."""
    tx.execute(sqlalchemy.update(webhook_endpoints).where(webhook_endpoints.c.id == endpoint_id).values(removed_at=at))


def read_endpoints(tx: Tx) -> list[WebhookEndpoint]:
    """Return the endpoints that were not removed, oldest first."""
    rows = tx.rows(f"SELECT {_ENDPOINT_COLUMNS} FROM webhook_endpoints e WHERE e.removed_at IS NULL ORDER BY e.id")
    return [_endpoint(row) for row in rows]


def upsert_alert(tx: Tx, alert: Alert) -> None:
    """Open an alert, or count up the open one of the same kind and object."""
    tx.many(
        "INSERT INTO alerts (id, kind, object, detail, raised_at, last_at, times, open_key)"
        " VALUES (?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (open_key) DO UPDATE SET detail = excluded.detail,"
        " last_at = excluded.last_at, times = alerts.times + 1",
        [
            (
                alert.id,
                alert.kind,
                alert.object,
                alert.detail,
                alert.raised_at,
                alert.last_at,
                f"{alert.kind} {alert.object}",
            )
        ],
    )


def acknowledge_alert(tx: Tx, alert_id: str, at: Instant, by: str) -> None:
    """Note who took note of an alert, the first time; the same trouble later opens a new one."""
    tx.execute(
        sqlalchemy.update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.acknowledged_at.is_(None))
        .values(acknowledged_at=at, acknowledged_by=by, open_key=None)
    )


def read_alert(tx: Tx, alert_id: str) -> Alert | None:
    """Return an alert."""
    found = tx.execute(_ALERTS.where(alerts.c.id == alert_id)).first()
    return None if found is None else _alert(found)


def open_alerts(tx: Tx, *, limit: int = 500) -> list[Alert]:
    """Return the alerts that nobody has taken note of, newest first."""
    return search_alerts(tx, before=None, limit=limit, is_open=True)


def recent_alerts(tx: Tx, *, since: Instant, limit: int = 500) -> list[Alert]:
    """Return alerts of which somebody took note since a moment."""
    statement = _ALERTS.where(alerts.c.acknowledged_at >= since).order_by(alerts.c.id.desc()).limit(limit)
    return [_alert(row) for row in tx.execute(statement)]


def search_alerts(tx: Tx, *, before: str | None, limit: int, is_open: bool | None) -> list[Alert]:
    """Return alerts, newest first; `is_open` None: all."""
    statement = _ALERTS.order_by(alerts.c.id.desc()).limit(limit)
    if is_open is not None:
        statement = statement.where(
            alerts.c.acknowledged_at.is_(None) if is_open else alerts.c.acknowledged_at.is_not(None)
        )
    if before is not None:
        statement = statement.where(alerts.c.id < before)
    return [_alert(row) for row in tx.execute(statement)]


_ALERTS: Final = sqlalchemy.select(
    alerts.c.id,
    alerts.c.kind,
    alerts.c.object,
    alerts.c.detail,
    alerts.c.raised_at,
    alerts.c.last_at,
    alerts.c.times,
    alerts.c.acknowledged_at,
    alerts.c.acknowledged_by,
)


def _action(row: Sequence[object]) -> Action:
    names = (
        "id", "endpoint_id", "subject_kind", "subject_id", "state_version", "ordinal", "kind", "body", "requested_at",
        "status", "attempts", "next_attempt_at", "last_error", "delivered_at", "confirmed_at", "confirmed_by",
        "overdue_at",
    )  # fmt: skip
    values = dict(zip(names, row, strict=False))  # a row of `_DUE` goes on with the endpoint
    subject = SubjectRef(kind=str(values.pop("subject_kind")), id=str(values.pop("subject_id")))
    return msgspec.convert({**values, "subject": subject}, Action)


def _endpoint(row: Sequence[object]) -> WebhookEndpoint:
    names = ("id", "url", "kinds", "enabled", "allow_private", "created_at", "secret", "previous_secret")
    values = dict(zip((*names, "previous_until"), row, strict=True))
    kinds = msgspec.json.decode(str(values["kinds"]), type=tuple[str, ...])
    flags = {name: bool(values[name]) for name in ("enabled", "allow_private")}
    return msgspec.convert({**values, **flags, "kinds": kinds}, WebhookEndpoint)


def _alert(row: Sequence[object]) -> Alert:
    return msgspec.convert(dict(zip(Alert.__struct_fields__, row, strict=True)), Alert)
