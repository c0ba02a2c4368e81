"""How far a rule may go: the ceiling from what is expected of it, and the subjects for which it is mute."""

from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import DAY, HOUR, Instant, Refusal
from koban.console import store
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.refused import refusal_said
from koban.console.rules import REASON_CHARS_MAX, rule_of
from koban.console.words import language_of
from koban.lab.mode_drafts import bring_expectation, bring_mode, expectation_needs_second, expected
from koban.packs import RuleDef
from koban.rules import ExpectationInvalid, RuleExpected, RuleMissing, SnoozeSet
from koban.rules import store as rule_store
from koban.rules.logic import kinds_of_rule
from koban.rules.types import ACCOUNT

SNOOZE_SPANS: Final = (DAY, 7 * DAY, 30 * DAY)


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/rules/{name}/ceiling", "rules.mode", lambda call: _ceiling_form(kit, call),
                 summary="What is expected of a rule", page=True, raises=(RuleMissing,)),
        endpoint("POST", "/rules/{name}/ceiling", "rules.mode", lambda call: _ceiling_set(kit, call),
                 summary="Say what is expected of a rule", accepts="form", page=True, raises=(RuleMissing,)),
        endpoint("GET", "/rules/{name}/snooze", "rules.mode", lambda call: _snooze_form(kit, call),
                 summary="Mute a rule for a subject", page=True, raises=(RuleMissing,)),
        endpoint("POST", "/rules/{name}/snooze", "rules.mode", lambda call: _snooze_set(kit, call),
                 summary="Mute a rule for a subject, or let it speak again", accepts="form", page=True,
                 raises=(RuleMissing,)),
    )  # fmt: skip


def _figures(call: Call) -> tuple[int, int] | None:
    asked = call.form or call.query
    people, hours = asked.get("people", "").strip(), asked.get("hours", "").strip()
    if not (people.isascii() and people.isdigit() and hours.isascii() and hours.isdigit()):
        return None
    return (int(people), int(hours)) if len(people) <= 9 and len(hours) <= 9 else None


def _wanted(rule: RuleDef, call: Call, reason: str) -> RuleExpected | None:
    figures = _figures(call)
    if figures is None:
        return None
    try:
        return expected(rule.name, people=figures[0], hours=figures[1], by=call.principal.actor, reason=reason)
    except ExpectationInvalid:
        return None


def _ceiling_form(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    pack = kit.pack()
    rule = rule_of(pack, call)
    asked = call.form or call.query
    wanted = _wanted(rule, call, "")
    with kit.database.read() as tx:
        now = rule_store.expectation_of(tx, rule.name)
        harmed = store.harmed_lately(tx, after=Instant(call.at - HOUR)).get(rule.name, 0)
    if not problem and wanted is None and ("people" in asked or "hours" in asked):
        problem = "limits.figures_problem"
    return page(
        kit, call, "rule_ceiling.html", status=422 if problem else 200, problem=problem, rule=rule, held=now,
        wanted=wanted, typed=asked, harmed=harmed,
        second=wanted is not None and expectation_needs_second(pack, rule, now, wanted),
    )  # fmt: skip


def _ceiling_set(kit: ConsoleKit, call: Call) -> Answer:
    rule, reason = rule_of(kit.pack(), call), call.form.get("reason", "").strip()
    wanted = _wanted(rule, call, reason)
    if wanted is None or not 0 < len(reason) <= REASON_CHARS_MAX:
        return _ceiling_form(kit, call, problem="limits.figures_problem" if wanted is None else "form.reason_missing")
    taken = bring_expectation(
        kit.modes, rule.name, people=wanted.people, hours=wanted.hours, by=wanted.by, reason=reason
    )
    return done(call, f"/rules/{rule.name}", "ceiling_set" if taken.draft is None else "ceiling_proposed")


def _snooze_form(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    pack = kit.pack()
    rule = rule_of(pack, call)
    asked = call.form or call.query
    with kit.database.read() as tx:
        mute = rule_store.snoozes_in_force(tx, call.at, rule=rule.name)
    return page(
        kit, call, "rule_snooze.html", status=422 if problem else 200, problem=problem, detail=detail, rule=rule,
        mute=mute, typed=asked, spans=SNOOZE_SPANS, kinds=kinds_of_rule(pack, rule), until=Instant(call.at + 7 * DAY),
    )  # fmt: skip


def _snooze_set(kit: ConsoleKit, call: Call) -> Answer:
    rule, form = rule_of(kit.pack(), call), call.form
    formats = Formats(language_of(call.language), kit.zone, call.at)
    kind = form.get("kind", "").strip() or ACCOUNT
    subject, reason = form.get("subject", "").strip(), form.get("reason", "").strip()
    ends = form.get("do") == "end"
    until = None if ends else formats.read_field(form.get("until", ""))
    if not subject or not 0 < len(reason) <= REASON_CHARS_MAX or (until is None and not ends):
        return _snooze_form(kit, call, problem="limits.snooze_problem")
    change = SnoozeSet(rule=rule.name, kind=kind, subject=subject, until=until, by=call.principal.actor, reason=reason)
    try:
        bring_mode(kit.modes, change)
    except RuleMissing:
        raise
    except Refusal as refusal:
        return _snooze_form(kit, call, problem="limits.snooze_problem", detail=refusal_said(call.language, refusal))
    return done(call, f"/rules/{rule.name}/snooze", "snooze_ended" if ends else "snooze_set")
