"""Emergency: all rules to review, a rule for an hour, and the list from which anything is undone."""

import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import DAY, HOUR, MINUTE, Instant, Problem, Refusal
from koban.console import store
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page, with_query
from koban.console.typed import TextTooLong, typed_text
from koban.console.words import language_of
from koban.emergency import (
    Emergency,
    EmergencyInvalid,
    EmergencyMissing,
    EmergencyNotPreviewed,
    EmergencyStarted,
    EndEmergency,
    ExtendEmergency,
    Preview,
    UndoFilter,
    list_undo,
    undo_lines,
)
from koban.emergency import store as emergency_store
from koban.emergency.logic import CAP_DEFAULT, CAP_MAX, LASTS, MUTED, PREFIX
from koban.emergency.routes import BECAUSE, MeasureBody, measure_of
from koban.emergency.undoing import ALL_MAX, summary_of
from koban.insight import rule_health
from koban.packs import ModeName, PackDef
from koban.rules import store as rule_store

SHOWN: Final = 200
RECENT: Final = 20
REASON_CHARS_MAX: Final = 1_000
SPANS: Final = (15 * MINUTE, HOUR, 6 * HOUR, DAY)
HOURS: Final = (1, 6, 12, 24, 48, 72)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency rule as the page shows it."""

    one: Emergency
    stands: bool
    hits: int
    harmed: int
    may_extend: bool


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/emergency", "rules.read", lambda call: _home(kit, call), summary="Emergency", page=True),
        endpoint("GET", "/emergency/new", "rules.emergency", lambda call: _form(kit, call, _empty(kit, call)),
                 summary="Type an emergency rule", page=True),
        endpoint("POST", "/emergency/new", "rules.emergency", lambda call: _look(kit, call),
                 summary="Preview an emergency rule, or start it", accepts="form", page=True),
        endpoint("POST", "/emergency/rule", "rules.emergency", lambda call: _change(kit, call),
                 summary="Extend or end an emergency rule", accepts="form", page=True, raises=(EmergencyMissing,)),
        endpoint("GET", "/rule-health", "rules.read", lambda call: _health(kit, call), summary="Rule health", page=True),
        endpoint("GET", "/emergency/undo", "sanctions.read", lambda call: _undo_list(kit, call),
                 summary="What rules did, to whom, and how it stands", page=True),
        endpoint("POST", "/emergency/undo", "rules.undo", lambda call: _undo(kit, call),
                 summary="Take back any part of it", accepts="form", page=True),
    )  # fmt: skip


def _home(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    pack = kit.pack()
    with kit.database.read() as tx:
        states = {row.rule: row for row in rule_store.modes(tx)}
        recent = emergency_store.read_recent(tx, before_seq=None, limit=RECENT)
        harmed = store.harmed_lately(tx, after=Instant(call.at - HOUR))
        lines = [
            Line(
                one=each,
                stands=each.stands_at(call.at),
                hits=store.hits_since(tx, each.name, since_seq=each.seq),
                harmed=harmed.get(each.name, 0),
                may_extend=each.extended_by is None and each.started.by != call.principal.actor,
            )
            for each in recent
        ]
    switch = states.get(rule_store.ALL)
    return page(
        kit,
        call,
        "emergency.html",
        status=422 if problem else 200,
        standing=[line for line in lines if line.stands],
        over=[line for line in lines if not line.stands],
        review_all=switch is not None and switch.mode == ModeName.REVIEW,
        switch=switch,
        tripped=[row for row in states.values() if row.tripped_seq is not None and row.rule in pack.rules],
        acting=sum(_acts(pack, states, name) for name in pack.rules),
        spans=SPANS,
        problem=problem,
    )


def _acts(pack: PackDef, states: Mapping[str, rule_store.ModeRow], name: str) -> bool:
    row = states.get(name)
    mode = pack.rules[name].mode.name if row is None or row.mode is None else ModeName(row.mode)
    return mode is ModeName.LIVE


def _empty(kit: ConsoleKit, call: Call) -> dict[str, str]:
    local = Formats("en", kit.zone, call.at).field(call.at)
    name = "r" + local[5:].replace("-", "").replace("T", "_").replace(":", "")
    return {
        "name": name, "when": "", "policy": "", "cap": str(CAP_DEFAULT), "minutes": str(LASTS // MINUTE), "reason": "",
        "hide": "1", "hold": "", "hold_hours": "1", "mute": "", "mute_scope": MUTED[0], "mute_hours": "1", "freeze": "",
        "freeze_hours": "24",
    }  # fmt: skip


def _form(
    kit: ConsoleKit,
    call: Call,
    typed: Mapping[str, str],
    *,
    made: Preview | None = None,
    problems: tuple[Problem, ...] = (),
    problem: str = "",
    detail: str = "",
) -> Answer:
    pack = kit.pack()
    return page(
        kit,
        call,
        "emergency_new.html",
        status=422 if problems or problem else 200,
        typed=typed,
        types=list(pack.events.values()),
        policies=list(pack.policies.values()),
        features=sorted(pack.features),
        lists=sorted(pack.lists),
        muted=MUTED,
        hours=HOURS,
        cap_max=CAP_MAX,
        made=made,
        problems=problems,
        problem=problem,
        detail=detail,
        due_at=kit.emergencies.review_due(call.at),
        because=BECAUSE,
    )


def _look(kit: ConsoleKit, call: Call) -> Answer:
    """Preview what was typed; with the preview's id and the other button, start it."""
    typed = {**_empty(kit, call), "hide": "", **call.form}
    try:
        started = _started(kit, call, typed)
        if typed.get("do") == "start":
            if not started.reason:
                made = kit.emergencies.preview(started)
                return _form(kit, call, typed, made=made, problem="form.reason_missing")
            kit.emergencies.start(started, typed.get("preview", ""))
            return done(call, "/emergency", "emergency_started")
        # A preview needs no reason yet; what it asks for is checked with one in its place.
        made = kit.emergencies.preview(msgspec.structs.replace(started, reason=started.reason or "-"))
    except EmergencyNotPreviewed:
        return _form(kit, call, typed, problem="emergency.preview_old")
    except TextTooLong as long:
        return _form(kit, call, typed, problem="form.too_long", detail=long.detail)
    except EmergencyInvalid as invalid:
        problems = invalid.problems or (Problem(path="", detail=invalid.detail),)
        return _form(kit, call, typed, problems=problems)
    return _form(kit, call, typed, made=made)


def _started(kit: ConsoleKit, call: Call, typed: Mapping[str, str]) -> EmergencyStarted:
    measures = []
    if typed.get("hide"):
        measures.append(MeasureBody(kind="hide"))
    for kind in ("hold", "mute", "freeze"):
        if typed.get(kind):
            hours = _number(typed.get(f"{kind}_hours", "1"))
            scope = typed.get("mute_scope", MUTED[0])
            measures.append(
                MeasureBody(kind=kind, minutes=hours * 60, scope=scope if scope in MUTED else "messaging")  # type: ignore[arg-type]  # one of the words above
            )
    lasts_us = _number(typed.get("minutes", "")) * MINUTE
    name = typed.get("name", "").strip()
    return EmergencyStarted(
        name=name if name.startswith(PREFIX) else PREFIX + name,
        policy=typed.get("policy", ""),
        on=tuple(each for each in kit.pack().events if typed.get(f"on.{each}")),
        when=typed.get("when", "").strip(),
        then=tuple(measure_of(each) for each in measures),
        cap_per_hour=_number(typed.get("cap", "")),
        because=BECAUSE,
        lasts_us=lasts_us,
        ends_at=Instant(call.at + lasts_us),
        review_due_at=kit.emergencies.review_due(call.at),
        by=call.principal.actor,
        reason=typed_text(typed, "reason", REASON_CHARS_MAX),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0


def _change(kit: ConsoleKit, call: Call) -> Answer:
    name, what = call.form.get("name", ""), call.form.get("do", "")
    reason = call.form.get("reason", "").strip()
    if what not in {"extend", "end"} or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _home(kit, call, problem="form.reason_missing")
    try:
        if what == "extend":
            kit.emergencies.extend(ExtendEmergency(name=name, lasts_us=LASTS, by=call.principal.actor, reason=reason))
            return done(call, "/emergency", "emergency_extended")
        kit.emergencies.end(EndEmergency(name=name, by=call.principal.actor, reason=reason))
    except EmergencyMissing:
        raise
    except Refusal as refusal:
        return _home(kit, call, problem=f"problem.{refusal.code}")
    return done(call, "/emergency", "emergency_ended")


def _health(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.read() as tx:
        health = rule_health(tx, kit.pack(), call.at)
    return page(kit, call, "rule_health.html", health=health, share=f"{health.false_share:.0%}")


def _undo_list(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    asked = call.form or call.query
    formats = Formats(language_of(call.language), kit.zone, call.at)
    rule, account = asked.get("rule", "").strip()[:256], asked.get("account", "").strip()[:256]
    since, until = _moment(formats, asked.get("since", "")), _moment(formats, asked.get("until", ""))
    since = since if since is not None else Instant(call.at - HOUR)
    wanted = UndoFilter(rule=rule or None, account=account or None, since_at=since, until_at=until or call.at + DAY)
    with kit.database.read() as tx:
        lines, more = list_undo(tx, wanted, limit=SHOWN)
    return page(
        kit,
        call,
        "emergency_undo.html",
        status=422 if problem else 200,
        lines=lines,
        more=more,
        standing=summary_of([line for line in lines if line.state != "undone"]),
        undone=sum(line.state == "undone" for line in lines),
        confirmed=sum(line.state == "undone" and line.undid == "confirmed" for line in lines),
        rule=rule,
        account=account,
        since=since,
        until=until,
        spans=SPANS,
        moment=formats.instant,
        problem=problem,
    )


def _undo(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    reason, what = form.get("reason", "").strip(), form.get("do", "")
    formats = Formats(language_of(call.language), kit.zone, call.at)
    since, until = _moment(formats, form.get("since", "")), _moment(formats, form.get("until", ""))
    chosen = frozenset(name.removeprefix("line.") for name in form if name.startswith("line."))
    if since is None or not 0 < len(reason) <= REASON_CHARS_MAX or what not in {"all", "chosen"}:
        return _undo_list(kit, call, problem="form.reason_missing")
    if what == "chosen" and not chosen:
        return _undo_list(kit, call, problem="undo.none_chosen")
    wanted = UndoFilter(
        rule=form.get("rule") or None,
        account=form.get("account") or None,
        since_at=since,
        until_at=until or call.at + DAY,
    )
    with kit.database.read() as tx:
        lines, _ = list_undo(tx, wanted, limit=ALL_MAX)
    if what == "chosen":
        lines = [line for line in lines if line.id in chosen]
    undo_lines(kit.sanction, lines, by=call.principal.actor, reason=reason)
    back = with_query(
        "/emergency/undo",
        rule=form.get("rule"),
        account=form.get("account"),
        since=urllib.parse.unquote(form.get("since", "")),
        until=form.get("until"),
    )
    return done(call, back, "undone")


def _moment(formats: Formats, text: str) -> Instant | None:
    return formats.instant(text) or formats.read_field(text)
