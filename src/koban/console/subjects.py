"""One subject, an account above all: what it may do now and why, everything that happened, whom it is linked with."""

import urllib.parse
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from koban import finding
from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Instant
from koban.board import Waiting
from koban.cases import Case
from koban.cases import store as case_store
from koban.console import store
from koban.console.decisions import DecisionLine, with_facts
from koban.console.filters import seq_of
from koban.console.graphs import draw_links
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.db import Tx
from koban.decisions import store as decision_store
from koban.enforcement import (
    LiftSanction,
    OverturnSanctions,
    Sanction,
    SanctionMissing,
    SubjectRef,
    derive_state,
)
from koban.enforcement import store as sanction_store
from koban.enforcement.logic import taken_back
from koban.enforcement.types import SanctionNotInForce
from koban.events import store as event_store
from koban.finding import account_store
from koban.labels import LabelRow, labels_of

TIMELINE_SHOWN: Final = 40
CASES_SHOWN: Final = 20
ACTIONS_SHOWN: Final = 20
MONEY_SHOWN: Final = 10
COUNTED_MAX: Final = 5_000
REASON_CHARS_MAX: Final = 2_000
ACCOUNT: Final = "account"


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline: exactly one of its parts is there."""

    at: Instant
    seq: int
    decision: DecisionLine | None = None
    change: str = ""  # type of a sanction's change
    sanction: Sanction | None = None
    case: Case | None = None
    is_closing: bool = False
    label: LabelRow | None = None


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/subjects/{kind}/{id:path}", "subjects.read", lambda call: _show(kit, call),
                 summary="A subject", page=True),
        endpoint("GET", "/take-back", "sanctions.overturn", lambda call: _preview(kit, call),
                 summary="Preview of what taking sanctions back does", page=True, raises=(SanctionMissing,)),
        endpoint("POST", "/take-back", "sanctions.overturn", lambda call: _take_back(kit, call),
                 summary="Take sanctions of a subject back", accepts="form", page=True,
                 raises=(SanctionMissing, SanctionNotInForce)),
    )  # fmt: skip


def _show(kit: ConsoleKit, call: Call) -> Answer:
    subject = SubjectRef(kind=call.path["kind"], id=call.path["id"])
    is_account = subject.kind == ACCOUNT
    pack = kit.pack()
    with kit.database.read() as tx:
        sanctions = sanction_store.read_of_subject(tx, subject)
        cases = _cases(tx, subject)
        labels = labels_of(tx, subject.kind, subject.id)
        before = seq_of(call.query.get("cursor", ""))
        timeline, next_cursor = _timeline(tx, subject, sanctions, cases, labels=labels, before=before)
        asked = store.actions_about(tx, subject, limit=ACTIONS_SHOWN)
        waiting = _money(kit, tx, call.at, subject) if is_account else []
        around = finding.neighbourhood(tx, subject.id) if is_account else None
        verdicts = account_store.verdicts_of(tx, [subject.id], newest=COUNTED_MAX)[subject.id] if is_account else {}
        lag = finding.index_lag(tx)
        span = finding.span_of(tx, subject.kind, subject.id)
        seen = account_store.times_of(tx, span) if span is not None else {}
    return page(
        kit,
        call,
        "subject.html",
        subject=subject,
        state=derive_state(sanctions, call.at),
        sanctions=sanctions[::-1],
        standing=[each for each in sanctions[::-1] if each.status == "in_force" and each.stands_at(call.at)],
        timeline=timeline,
        next_cursor=next_cursor,
        cursor=call.query.get("cursor", "")[:20],
        cases=cases,
        labels=labels,
        asked=asked,
        waiting=waiting[:MONEY_SHOWN],
        totals=_totals(waiting),
        around=around,
        lag=lag,
        drawing=draw_links(subject.id, around) if around is not None and around.neighbours else None,
        verdicts=verdicts,
        counted=sum(verdicts.values()),
        counted_max=COUNTED_MAX,
        first_at=seen.get(span[0]) if span is not None else None,
        last_at=seen.get(span[1]) if span is not None else None,
        pack=pack,
    )


def _cases(tx: Tx, subject: SubjectRef) -> list[Case]:
    """Return cases about a subject, and for an account those about what it did."""
    wanted = {"subject_kind": subject.kind, "subject_id": subject.id}
    found = [
        *case_store.search_cases(tx, status="open", limit=CASES_SHOWN, filters=wanted),
        *case_store.search_cases(tx, status="closed", limit=CASES_SHOWN, filters=wanted),
    ]
    if subject.kind == ACCOUNT:
        known = {each.id for each in found}
        found += [each for each in case_store.cases_of(tx, subject.id, limit=CASES_SHOWN) if each.id not in known]
    return sorted(found, key=lambda each: -each.opened_seq)[:CASES_SHOWN]


def _timeline(
    tx: Tx,
    subject: SubjectRef,
    sanctions: list[Sanction],
    cases: list[Case],
    *,
    labels: Sequence[LabelRow],
    before: int | None,
) -> tuple[list[Happening], str]:
    seqs = finding.seqs_of(tx, subject.kind, subject.id, before_seq=before, limit=TIMELINE_SHOWN + 1)
    if subject.kind == ACCOUNT:  # what it did itself is known at once; the index comes a moment later
        own = decision_store.search(tx, before_seq=before, limit=TIMELINE_SHOWN + 1, acting=subject.id)
        seqs = sorted({*seqs, *(record.seq for record in own)}, reverse=True)[: TIMELINE_SHOWN + 1]
    records = decision_store.read_bodies(tx, seqs)
    lines = [
        Happening(at=line.at, seq=line.record.seq, decision=line)
        for line in with_facts(tx, [records[seq] for seq in seqs if seq in records])
    ]
    known = {each.id: each for each in sanctions}
    lines += [
        Happening(at=at, seq=seq, change=sanction_store.entry_type(change), sanction=known[sanction_id])
        for sanction_id in known
        for seq, at, change in sanction_store.read_changes(tx, sanction_id)
    ]
    lines += [Happening(at=each.opened_at, seq=each.opened_seq, case=each) for each in cases]
    lines += [
        Happening(at=each.closed_at, seq=event_store.seq_since(tx, each.closed_at), case=each, is_closing=True)
        for each in cases
        if each.closed_at is not None
    ]
    lines += [Happening(at=each.at, seq=each.seq, label=each) for each in labels]
    chosen = sorted(
        (each for each in lines if before is None or each.seq < before), key=lambda each: (-each.seq, -each.at)
    )
    more = len(chosen) > TIMELINE_SHOWN
    shown = chosen[:TIMELINE_SHOWN]
    return shown, str(shown[-1].seq) if more else ""


def _money(kit: ConsoleKit, tx: Tx, at: Instant, subject: SubjectRef) -> list[Waiting]:
    return [each for each in kit.money.look(tx, at, kit.pack()) if each.account == subject.id]


def _totals(waiting: list[Waiting]) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    for each in waiting:
        totals[each.currency] = totals.get(each.currency, 0) + each.amount_minor
    return sorted(totals.items())


def _chosen(fields: dict[str, str]) -> tuple[str, ...]:
    return tuple(name.removeprefix("s.") for name in fields if name.startswith("s.") and len(name) < 200)[:100]


def _preview(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    fields = dict(call.form or call.query)
    subject = SubjectRef(kind=fields.get("kind", "")[:80], id=fields.get("id", "")[:256])
    how: Literal["overturn", "lift"] = "lift" if fields.get("how") == "lift" else "overturn"
    with kit.database.read() as tx:
        history = sanction_store.read_of_subject(tx, subject)
    chosen = [each for each in history if each.id in _chosen(fields)]
    if not chosen:
        raise SanctionMissing(f"choose sanctions of {subject.kind} {subject.id}")
    after, changed = taken_back(history, [each.id for each in chosen], how=how, at=call.at, by=call.principal.actor)
    return page(
        kit,
        call,
        "take_back.html",
        status=422 if problem else 200,
        subject=subject,
        chosen=chosen,
        how=how,
        before=derive_state(history, call.at),
        after=derive_state(after, call.at),
        milder=[each for each in after if each.id in changed and each.id not in {one.id for one in chosen}],
        pack=kit.pack(),
        problem=problem,
        reason=fields.get("reason", ""),
    )


def _take_back(kit: ConsoleKit, call: Call) -> Answer:
    form, by = call.form, call.principal.actor
    reason, how, ids = form.get("reason", "").strip(), form.get("how", ""), _chosen(dict(form))
    if how not in ("overturn", "lift") or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _preview(kit, call, problem="form.reason_missing")
    if how == "overturn":
        kit.sanction(OverturnSanctions(sanction_ids=ids, by=by, reason=reason))
    else:
        for sanction_id in ids:
            kit.sanction(LiftSanction(sanction_id=sanction_id, by=by, reason=reason))
    return done(
        call,
        f"/subjects/{urllib.parse.quote(form.get('kind', ''), safe='')}/{urllib.parse.quote(form.get('id', ''), safe='')}",
        "lifted" if how == "lift" else "overturned",
    )
