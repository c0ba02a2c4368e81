"""Rules: how each stands, what it does to whom, and switching it with the consequence shown first."""

import re
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import DAY, HOUR, Instant, Refusal
from koban.board import NO_ACTIVITY, Activity
from koban.console import store
from koban.console.filters import Filters, holds, read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.life import life_of_rule
from koban.console.pages import done, page
from koban.console.refused import refusal_said
from koban.console.words import language_of
from koban.db import Tx
from koban.decisions import describe_actions
from koban.emergency import UndoFilter, list_undo
from koban.emergency.undoing import ALL_MAX, summary_of
from koban.enforcement import UndoRule, undo_rule
from koban.events import store as event_store
from koban.lab.editing import tokens
from koban.lab.mode_drafts import approve_mode, bring_mode, mode_needs_second, withdraw_mode
from koban.packs import Mode, ModeName, PackDef, RuleDef
from koban.rules import ModeChanged, ReviewAllSwitched, RuleMissing, mode_drafts
from koban.rules import store as rule_store

REASON_CHARS_MAX: Final = 1_000
MODES: Final = ("retired", "off", "shadow", "review", "live", "1%", "5%", "10%", "25%", "50%", "75%")
_SHARE: Final = re.compile(r"([0-9]{1,2})(?:\.([0-9]{1,2}))?%")
BUCKETS: Final = 48
BUCKET_US: Final = HOUR // 2


class RuleLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as the list shows it. `limited` names what keeps it from acting as its mode says."""

    rule: RuleDef
    mode: Mode
    changed: bool
    limited: str
    activity: Activity
    harmed: int
    honest: int  # people whom it touched in the last day, and who turned out honest


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/rules", "rules.read", lambda call: _list(kit, call), summary="Rules", page=True),
        endpoint("GET", "/rules/all-to-review", "rules.emergency", lambda call: _all_form(kit, call),
                 summary="Put all rules to review", page=True),
        endpoint("POST", "/rules/all-to-review", "rules.emergency", lambda call: _all_switch(kit, call),
                 summary="Put all rules to review, or back", accepts="form", page=True),
        endpoint("GET", "/rules/{name}", "rules.read", lambda call: _one(kit, call), summary="A rule", page=True,
                 raises=(RuleMissing,)),
        endpoint("GET", "/rules/{name}/mode", "rules.mode", lambda call: _mode_form(kit, call),
                 summary="Switch a rule's mode", page=True, raises=(RuleMissing,)),
        endpoint("POST", "/rules/{name}/mode", "rules.mode", lambda call: _mode_set(kit, call),
                 summary="Switch a rule's mode", accepts="form", page=True, raises=(RuleMissing,)),
        endpoint("POST", "/rules/{name}/mode/decide", "rules.mode", lambda call: _mode_decide(kit, call),
                 summary="Approve or withdraw a proposed mode", accepts="form", page=True,
                 raises=(RuleMissing, mode_drafts.ModeDraftMissing)),
        endpoint("GET", "/rules/{name}/undo", "rules.undo", lambda call: _undo_form(kit, call),
                 summary="Undo a rule", page=True, raises=(RuleMissing,)),
        endpoint("POST", "/rules/{name}/undo", "rules.undo", lambda call: _undo(kit, call),
                 summary="Undo a rule", accepts="form", page=True, raises=(RuleMissing,)),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    with kit.database.read() as tx:
        states = _states(tx)
        activity = kit.tally.activity(tx, call.at)
        harmed = store.harmed_lately(tx, after=Instant(call.at - HOUR))
        waiting = mode_drafts.open_mode_drafts(tx)
        honest = kit.tally.honest(tx, call.at)
    lines = [_line(rule, states, activity.get(name, NO_ACTIVITY), harmed.get(name, 0), honest.get(name, 0))
             for name, rule in pack.rules.items()]  # fmt: skip
    filters = read_filters(call.query, ("q", "mode"), Formats(language_of(call.language), kit.zone, call.at))
    every = len(lines)
    lines = [line for line in lines if _is_sought(line, pack, filters)]
    lines.sort(key=lambda line: (-line.activity.hits, line.rule.name))
    retired = [line for line in lines if line.mode.name is ModeName.RETIRED]
    return page(
        kit,
        call,
        "rules.html",
        filters=filters,
        every=every,
        modes=tuple(each.value for each in ModeName),
        lines=[line for line in lines if line.mode.name is not ModeName.RETIRED],
        retired=retired,
        pack=pack,
        review_all=_review_all(states),
        since=Instant(call.at - DAY),
        waiting=waiting,
    )


def _is_sought(line: RuleLine, pack: PackDef, filters: Filters) -> bool:
    """Tell whether a rule is among those asked for: its name, reason or policy holds the words, in any language."""
    mode, words = filters.get("mode"), filters.get("q")
    if mode is not None and line.mode.name.value != mode:
        return False
    if words is None:
        return True
    policy = pack.policies.get(line.rule.policy)
    texts = (line.rule.name, line.rule.policy, *line.rule.because.values(), *(policy.title.values() if policy else ()))
    return holds(words, texts)


def _one(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    pack = kit.pack()
    rule = rule_of(pack, call)
    since = Instant(call.at - BUCKETS * BUCKET_US)
    with kit.database.read() as tx:
        states = _states(tx)
        line = _line(
            rule,
            states,
            kit.tally.activity_of(tx, call.at, rule.name),
            store.harmed_lately(tx, after=Instant(call.at - HOUR)).get(rule.name, 0),
            kit.tally.honest(tx, call.at).get(rule.name, 0),
        )
        buckets = kit.tally.buckets(tx, call.at, rule.name, bucket_us=BUCKET_US)
        standing = store.sanctions_of_rule(tx, rule.name, since_at=Instant(0))
        waiting = mode_drafts.open_mode_drafts(tx, rule=rule.name)
        expected = rule_store.expectation_of(tx, rule.name)
        mute = rule_store.snoozes_in_force(tx, call.at, rule=rule.name)
        life = life_of_rule(tx, rule.name)
        state = states.get(rule.name)
        trip = store.trip_of(tx, state.tripped_seq) if state is not None and state.tripped_seq is not None else None
    return page(
        kit,
        call,
        "rule.html",
        status=422 if problem else 200,
        problem=problem,
        detail=detail,
        waiting=waiting,
        me=call.principal.actor,
        line=line,
        state=state,
        trip=trip,
        tripped_hour=Instant(state.changed_at - HOUR) if state is not None and trip is not None else None,
        pack=pack,
        policy=pack.policies.get(rule.policy),
        condition=tokens(rule.when),
        actions=describe_actions(rule.then),
        buckets=buckets,
        bucket_us=BUCKET_US,
        since=since,
        day_ago=Instant(call.at - DAY),
        standing=standing,
        review_all=_review_all(states),
        modes=MODES,
        expected=expected,
        mute=mute,
        life=life,
    )


def _mode_form(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    pack = kit.pack()
    rule = rule_of(pack, call)
    wanted = call.form.get("to") or call.query.get("to", "")
    share = call.query.get("share", "").strip()
    wanted = f"{share}%" if share and not call.form else wanted
    with kit.database.read() as tx:
        states = _states(tx)
        activity = kit.tally.activity_of(tx, call.at, rule.name)
        hit = store.accounts_hit(tx, rule.name, since_seq=event_store.seq_since(tx, Instant(call.at - DAY)))
    to = _wanted_mode(wanted, rule)
    tripped = rule.name in states and states[rule.name].tripped_seq is not None
    return page(
        kit,
        call,
        "rule_mode.html",
        second=to is not None and mode_needs_second(pack, rule, _mode(rule, states), to, tripped=tripped),
        status=422 if problem else 200,
        rule=rule,
        now_mode=_mode(rule, states),
        to=to,
        wanted=wanted if to else "",
        activity=activity,
        accounts_hit=hit,
        actions=describe_actions(rule.then),
        modes=MODES,
        problem=problem,
    )


def _mode_set(kit: ConsoleKit, call: Call) -> Answer:
    rule = rule_of(kit.pack(), call)
    wanted, reason = call.form.get("to", ""), call.form.get("reason", "").strip()
    mode = _wanted_mode(wanted, rule)
    if mode is None or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _mode_form(kit, call, problem="form.reason_missing")
    change = ModeChanged(
        rule=rule.name, mode=None if wanted == "pack" else mode, by=call.principal.actor, reason=reason
    )
    waits = bring_mode(kit.modes, change).draft is not None
    return done(call, f"/rules/{rule.name}", "mode_proposed" if waits else "mode_set")


def _mode_decide(kit: ConsoleKit, call: Call) -> Answer:
    rule, draft, by = rule_of(kit.pack(), call), call.form.get("draft", ""), call.principal.actor
    if call.form.get("do") == "withdraw":
        withdraw_mode(kit.modes, draft, by=by)
        return done(call, f"/rules/{rule.name}", "mode_withdrawn")
    try:
        approve_mode(kit.modes, draft, by=by)
    except mode_drafts.ModeDraftMissing:
        raise
    except Refusal as refusal:
        return _one(kit, call, problem="lab.refused", detail=refusal_said(call.language, refusal))
    return done(call, f"/rules/{rule.name}", "mode_set")


def _undo_form(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    rule = rule_of(kit.pack(), call)
    formats = Formats(language_of(call.language), kit.zone, call.at)
    text = call.form.get("since") or call.query.get("since", "")
    since = formats.instant(text) or formats.read_field(text) or Instant(call.at - HOUR)
    with kit.database.read() as tx:
        did = UndoFilter(rule=rule.name, since_at=since, until_at=call.at + DAY)
        lines, more = list_undo(tx, did, limit=ALL_MAX)
    return page(
        kit,
        call,
        "rule_undo.html",
        status=422 if problem else 200,
        rule=rule,
        since=since,
        standing=summary_of([line for line in lines if line.state != "undone"]),
        more=more,
        problem=problem,
        spans=(HOUR, 6 * HOUR, DAY),
    )


def _undo(kit: ConsoleKit, call: Call) -> Answer:
    rule = rule_of(kit.pack(), call)
    formats = Formats(language_of(call.language), kit.zone, call.at)
    since, reason = formats.instant(call.form.get("since", "")), call.form.get("reason", "").strip()
    if since is None or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _undo_form(kit, call, problem="form.reason_missing")
    undo_rule(kit.sanction, UndoRule(rule=rule.name, since_at=since, by=call.principal.actor, reason=reason))
    return done(call, f"/rules/{rule.name}", "rule_undone")


def _all_form(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    with kit.database.read() as tx:
        states = _states(tx)
    pack = kit.pack()
    acting = sum(_mode(rule, states).name is ModeName.LIVE for rule in pack.rules.values())
    return page(
        kit,
        call,
        "rules_all.html",
        status=422 if problem else 200,
        review_all=_review_all(states),
        acting=acting,
        state=states.get(rule_store.ALL),
        problem=problem,
    )


def _all_switch(kit: ConsoleKit, call: Call) -> Answer:
    reason, on = call.form.get("reason", "").strip(), call.form.get("on", "")
    if on not in ("1", "0") or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _all_form(kit, call, problem="form.reason_missing")
    bring_mode(kit.modes, ReviewAllSwitched(on=on == "1", by=call.principal.actor, reason=reason))
    return done(call, "/rules", "review_all_on" if on == "1" else "review_all_off")


def _states(tx: Tx) -> dict[str, rule_store.ModeRow]:
    return {row.rule: row for row in rule_store.modes(tx)}


def _review_all(states: dict[str, rule_store.ModeRow]) -> bool:
    row = states.get(rule_store.ALL)
    return row is not None and row.mode == ModeName.REVIEW


def _mode(rule: RuleDef, states: dict[str, rule_store.ModeRow]) -> Mode:
    row = states.get(rule.name)
    if row is None or row.mode is None:
        return rule.mode
    return Mode(name=ModeName(row.mode), basis_points=row.basis_points)


def _line(
    rule: RuleDef, states: dict[str, rule_store.ModeRow], activity: Activity, harmed: int, honest: int
) -> RuleLine:  # fmt: skip
    mode = _mode(rule, states)
    row = states.get(rule.name)
    limited = ""
    if mode.name is ModeName.LIVE:
        if row is not None and row.tripped_seq is not None:
            limited = "tripped"
        elif _review_all(states):
            limited = "review_all"
    return RuleLine(
        rule=rule, mode=mode, changed=mode != rule.mode, limited=limited, activity=activity, harmed=harmed, honest=honest
    )  # fmt: skip


def rule_of(pack: PackDef, call: Call) -> RuleDef:
    """Return the rule that a page is about.

    Refuses: RuleMissing.
    """
    rule = pack.rules.get(call.path["name"])
    if rule is None:
        raise RuleMissing(f"The pack in force has no rule {call.path['name'][:80]!r}.")
    return rule


def _wanted_mode(wanted: str, rule: RuleDef) -> Mode | None:
    if wanted == "pack":
        return rule.mode
    share = _SHARE.fullmatch(wanted)
    if share is not None:
        basis_points = int(share[1]) * 100 + int((share[2] or "").ljust(2, "0"))
        return Mode(name=ModeName.LIVE, basis_points=basis_points) if basis_points else None
    return Mode(name=ModeName(wanted)) if wanted in MODES else None
