"""The undo list: what rules did to whom in which minute, how it stands now, and taking any part of it back."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.base import DAY, Instant, from_rfc3339, to_rfc3339
from koban.db import Database, Tx
from koban.decisions import DecisionRecord
from koban.emergency import store
from koban.emergency.types import EmergencyInvalid, Reason
from koban.enforcement import (
    Notice,
    Sanction,
    SubjectRef,
    UndoGround,
    UndoItems,
    UndoVerdict,
    decode_change,
)

LINES_MAX: Final = 200
CHUNK: Final = 20  # things in one command, so that none holds the decider for long
ALL_MAX: Final = 5_000  # lines that one click takes back; past it, undo again

Kind = Literal["sanction", "notice", "verdict"]
State = Literal["stands", "ended", "undone"]
Submit = Callable[[UndoItems], object]

_SANCTION: Final = msgspec.json.Decoder(Sanction)
_NOTICE: Final = msgspec.json.Decoder(Notice)
_RECORD: Final = msgspec.json.Decoder(DecisionRecord)


class UndoLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a rule did: a sanction, a notice, or a verdict that kept an event from passing.

    `did` and `undid` are how far the marketplace is with it (requested, failed, delivered, confirmed, dead); empty where
    it was asked for nothing.
    """

    id: str
    kind: Kind
    rule: str
    at: str
    subject: SubjectRef
    account: str | None
    what: str  # hide, restrict:messaging, strike, notice:recipient, block, …
    policy: str
    state: State
    did: str
    undid: str
    decision: int


class UndoFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of what was done: any of a rule, an account, and a span of time."""

    rule: str | None = None
    account: str | None = None
    since_at: int
    until_at: int


class UndoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What taking back would free, or has freed."""

    lines: int
    sanctions: int
    strikes: int
    notices: int
    verdicts: int
    accounts: int


class UndoQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the undo list; times are RFC 3339. Without `since`: the last day."""

    rule: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    account: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    since: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    until: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=LINES_MAX)] = LINES_MAX


class UndoList(msgspec.Struct, frozen=True, kw_only=True):
    """The lines that match, newest first, and what undoing those that stand would free."""

    items: list[UndoLine]
    standing: UndoSummary
    more: bool


class UndoBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to take back: lines by their ids, or everything that the filters name."""

    reason: Reason
    ids: Annotated[list[Annotated[str, msgspec.Meta(max_length=400)]], msgspec.Meta(max_length=ALL_MAX)] = []
    rule: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    account: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    since: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    until: Annotated[str, msgspec.Meta(max_length=40)] | None = None


def list_undo(tx: Tx, wanted: UndoFilter, *, limit: int = LINES_MAX) -> tuple[list[UndoLine], bool]:
    """Return what rules did under a filter, newest first, and whether there is more."""
    lines = [*_sanctions(tx, wanted, limit), *_notices(tx, wanted, limit), *_verdicts(tx, wanted, limit)]
    lines.sort(key=lambda line: (line.at, line.id), reverse=True)
    return lines[:limit], len(lines) > limit


def summary_of(lines: Sequence[UndoLine]) -> UndoSummary:
    """Count what some lines come to."""
    return UndoSummary(
        lines=len(lines),
        sanctions=len({line.id.split("/")[1] for line in lines if line.kind == "sanction"}),
        strikes=sum(line.what.startswith("strike") for line in lines),
        notices=sum(line.kind == "notice" for line in lines),
        verdicts=sum(line.kind == "verdict" for line in lines),
        accounts=len({line.account for line in lines if line.account is not None}),
    )


def undo_lines(submit: Submit, lines: Sequence[UndoLine], *, by: str, reason: str) -> UndoSummary:
    """Take lines back in chunks; those that are undone already are passed over."""
    standing = [line for line in lines if line.state != "undone"]
    for start in range(0, len(standing), CHUNK):
        submit(_command(standing[start : start + CHUNK], by=by, reason=reason))
    return summary_of(standing)


def undo_endpoints(database: Database, submit: Submit) -> list[Endpoint]:
    """Describe the routes of the undo list."""

    def index(call: Call) -> UndoList:
        query = call.params_as(UndoQuery)
        with database.read() as tx:
            lines, more = list_undo(tx, filter_of(query, call.at), limit=query.limit)
        return UndoList(items=lines, standing=summary_of([line for line in lines if line.state != "undone"]), more=more)

    def undo(call: Call) -> UndoSummary:
        body = call.body_as(UndoBody)
        if not body.ids and body.rule is None and body.account is None and body.since is None:
            raise EmergencyInvalid("Say what to undo: ids, or a rule, an account or a span of time.")
        lines = find_lines(database, body, call.at)
        return undo_lines(submit, lines, by=call.principal.actor, reason=body.reason)

    return [
        endpoint("GET", "/v1/undo", "sanctions.read", index, summary="What rules did, to whom, and how it stands",
                 query=UndoQuery, returns=UndoList, raises=(EmergencyInvalid,)),
        endpoint("POST", "/v1/undo", "rules.undo", undo, summary="Take back any part of what rules did",
                 description="Sanctions, strikes, notices and verdicts; the marketplace is told of each.",
                 body=UndoBody, returns=UndoSummary, raises=(EmergencyInvalid,)),
    ]  # fmt: skip


def find_lines(database: Database, body: UndoBody, at: Instant) -> list[UndoLine]:
    """Return the lines that a command names, by ids or by filters."""
    with database.read() as tx:
        lines, _ = list_undo(tx, filter_of(body, at), limit=ALL_MAX)
    if not body.ids:
        return lines
    chosen = frozenset(body.ids)
    return [line for line in lines if line.id in chosen]


def filter_of(query: UndoQuery | UndoBody, at: Instant) -> UndoFilter:
    """Read the filters.

    Refuses: EmergencyInvalid.
    """
    since = _moment(query.since, "since")
    until = _moment(query.until, "until")
    return UndoFilter(
        rule=query.rule or None,
        account=query.account or None,
        since_at=at - DAY if since is None else since,
        until_at=at + DAY if until is None else until,
    )


def _moment(text: str | None, name: str) -> Instant | None:
    if not text:
        return None
    found = from_rfc3339(text)
    if found is None:
        raise EmergencyInvalid(f"{name}: {text!r} is no RFC 3339 time with an offset.")
    return found


def _command(lines: Sequence[UndoLine], *, by: str, reason: str) -> UndoItems:
    grounds, notices, verdicts = [], [], []
    for line in lines:
        parts = line.id.split("/")
        match line.kind:
            case "sanction":
                grounds.append(UndoGround(sanction_id=parts[1], rule=line.rule, cause_seq=line.decision))
            case "notice":
                notices.append(parts[1])
            case "verdict":
                verdicts.append(UndoVerdict(seq=line.decision, rule=line.rule))
    return UndoItems(grounds=tuple(grounds), notices=tuple(notices), verdicts=tuple(verdicts), by=by, reason=reason)


def _sanctions(tx: Tx, wanted: UndoFilter, limit: int) -> list[UndoLine]:
    rows = store.read_grounds(
        tx,
        rule=wanted.rule,
        account=wanted.account,
        since_at=wanted.since_at,
        until_at=wanted.until_at,
        before_seq=None,
        limit=limit + 1,
    )
    undoing = store.read_undoing_changes(tx, list({row.sanction_id for row in rows}))
    states = store.read_action_states(tx, [*(row.change_seq for row in rows), *undoing.values()])
    lines = []
    for row in rows:
        cause_seq = _cause(row)
        sanction = _SANCTION.decode(row.sanction)
        stands = any(one.rule == row.rule and one.cause_seq == cause_seq for one in sanction.grounds)
        state: State = "undone" if not stands else ("ended" if row.status == "ended" else "stands")
        undone_by = undoing.get(row.sanction_id)
        lines.append(
            UndoLine(
                id=f"sanction/{row.sanction_id}/{row.change_seq}",
                kind="sanction",
                rule=row.rule,
                at=to_rfc3339(row.at),
                subject=SubjectRef(kind=row.subject_kind, id=row.subject_id),
                account=row.acting or (row.subject_id if row.subject_kind == "account" else None),
                what=":".join(each for each in (row.kind, row.scope) if each),
                policy=row.policy,
                state=state,
                did=_state_of(states.get(row.change_seq, ())),
                undid=_state_of(states.get(undone_by, ())) if undone_by is not None and state == "undone" else "",
                decision=cause_seq,
            )
        )
    return lines


def _cause(row: store.GroundRow) -> int:
    """Return the entry over which the rule acted: that of the ground which this change brought."""
    change = decode_change(row.body)
    imposed = getattr(change, "sanction", None)
    ground = imposed.grounds[0] if imposed is not None else getattr(change, "ground", None)
    assert ground is not None, "only an imposed or joined sanction names a rule"
    return int(ground.cause_seq)


def _notices(tx: Tx, wanted: UndoFilter, limit: int) -> list[UndoLine]:
    rows = store.read_noticed(
        tx, rule=wanted.rule, since_at=wanted.since_at, until_at=wanted.until_at, before_at=None, limit=limit + 1
    )
    notices = [(_NOTICE.decode(body), withdrawn_at) for _, _, withdrawn_at, body in rows]
    acting = store.read_acting(tx, list({notice.cause_seq for notice, _ in notices}))
    if wanted.account is not None:
        notices = [
            (notice, withdrawn_at)
            for notice, withdrawn_at in notices
            if wanted.account in (notice.to.id, acting.get(notice.cause_seq))
        ]
    told = store.read_action_states(tx, [notice.cause_seq for notice, _ in notices])
    withdrawn = store.read_withdrawals(tx, [notice.to for notice, at in notices if at is not None])
    return [
        UndoLine(
            id=f"notice/{notice.id}",
            kind="notice",
            rule=notice.rule or "",
            at=to_rfc3339(notice.at),
            subject=notice.to,
            account=acting.get(notice.cause_seq),
            what=f"notice:{notice.role}",
            policy=notice.policy,
            state="stands" if withdrawn_at is None else "undone",
            did=_state_of([
                each for each in told.get(notice.cause_seq, ())
                if each[0] == "notice.requested" and each[3] == notice.to.id
            ]),
            undid=withdrawn.get(notice.id, ""),
            decision=notice.cause_seq,
        )
        for notice, withdrawn_at in notices
    ]  # fmt: skip


def _verdicts(tx: Tx, wanted: UndoFilter, limit: int) -> list[UndoLine]:
    rows = store.read_verdicts(
        tx,
        rule=wanted.rule,
        account=wanted.account,
        since_at=wanted.since_at,
        until_at=wanted.until_at,
        before_seq=None,
        limit=limit + 1,
    )
    states = store.read_action_states(
        tx, [*(row.seq for row in rows), *(row.withdrawn_seq for row in rows if row.withdrawn_seq is not None)]
    )
    lines = []
    for row in rows:
        record = _RECORD.decode(row.body)
        mine = next((one for one in record.signals if one.rule == row.rule), None)
        lines.append(
            UndoLine(
                id=f"verdict/{row.seq}/{row.rule}",
                kind="verdict",
                rule=row.rule,
                at=to_rfc3339(row.at),
                subject=SubjectRef(kind="event", id=record.id),
                account=row.acting,
                what=row.verdict,
                policy=mine.policy if mine is not None else "",
                state="stands" if row.withdrawn_at is None else "undone",
                did=_state_of([each for each in states.get(row.seq, ()) if each[0] == "decision.made"]),
                undid=_state_of([
                    each for each in states.get(row.withdrawn_seq or -1, ()) if each[0] == "decision.withdrawn"
                ]),
                decision=row.seq,
            )
        )  # fmt: skip
    return lines


_FURTHEST: Final = ("dead", "failed", "requested", "delivered", "confirmed")


def _state_of(actions: Sequence[tuple[str, str, str, str]]) -> str:
    """Return how far the least advanced of some actions is: it is done when all receivers confirmed."""
    states = [status for _, status, _, _ in actions]
    return min(states, key=_FURTHEST.index) if states else ""
