"""The rule lab: items of the pack as text, checked as one types, tried on the past, proposed, approved, rolled back."""

import contextlib
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint, redirect
from koban.base import Refusal
from koban.console.filters import Filters, holds, read_filters
from koban.console.formats import Formats
from koban.console.kit import BacktestRun, ConsoleKit
from koban.console.pages import done, page, with_query
from koban.console.refused import detail_said, refusal_said
from koban.console.tried import day_bars, sample_lines, why_live, work_a_day
from koban.console.words import Words, language_of
from koban.lab.drafts import activate_draft, bring_in, checked, propose, text_diff, withdraw_draft
from koban.lab.editing import (
    BLOCK_CHARS_MAX,
    SECTIONS,
    Block,
    ItemMissing,
    Section,
    block_of,
    check_block,
    tokens,
    with_block,
)
from koban.lab.severity import is_severe, only_milder, severe_changes
from koban.packs import (
    PackDef,
    PackVersionMissing,
    PolicyDef,
    RuleDef,
    activations,
    compare_packs,
    draft_store,
    load_version,
    parse_files,
    version_files,
)
from koban.packs import store as pack_store
from koban.packs.sections import SEVERITIES

REASON_CHARS_MAX: Final = 1_000
SPANS: Final = ("7d", "30d", "90d")
TRIED: Final = ("rules", "features", "lists")  # what a backtest can tell anything about
NEW_RULE: Final = """- rule: new_rule
  policy: {policy}
  on: [{event}]
  when: >-
    {condition}
  then: [{{review: {queue}}}]
  mode: shadow
  because:
    en: "…"
    ja: "…"
"""


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    part = functools.partial
    return (
        endpoint("GET", "/lab", "rules.test", part(_edit, kit), summary="The rule lab", page=True, raises=(ItemMissing,)),
        endpoint("POST", "/lab", "rules.test", part(_act, kit), summary="Check, try or propose an item",
                 accepts="form", page=True, raises=(ItemMissing,)),
        endpoint("POST", "/lab/check", "rules.test", part(_check, kit), summary="Check an item while it is typed",
                 accepts="form", page=True),
        endpoint("GET", "/lab/runs/{id}", "rules.test", part(_run, kit), summary="A backtest", page=True),
        endpoint("GET", "/versions", "packs.read", part(_versions, kit), summary="Versions of the pack", page=True),
        endpoint("GET", "/versions/{digest}", "packs.read", part(_version, kit), summary="What a version changed",
                 page=True, raises=(PackVersionMissing,)),
        endpoint("POST", "/versions/{digest}", "packs.activate", part(_back, kit), summary="Switch back to a version",
                 accepts="form", page=True, raises=(PackVersionMissing,)),
        endpoint("GET", "/drafts/{id}", "packs.read", part(_draft, kit), summary="A draft", page=True,
                 raises=(draft_store.DraftMissing,)),
        endpoint("POST", "/drafts/{id}", "packs.activate", part(_decide, kit), summary="Activate or withdraw a draft",
                 accepts="form", page=True, raises=(draft_store.DraftMissing,)),
        endpoint("POST", "/drafts/{id}/backtest", "rules.test", part(_try, kit), summary="Try a draft on the past",
                 accepts="form", page=True, raises=(draft_store.DraftMissing,)),
        endpoint("GET", "/features", "rules.read", part(_features, kit), summary="Features", page=True),
        endpoint("GET", "/policies", "packs.read", part(_policies, kit), summary="Policies", page=True),
    )  # fmt: skip


def _section(text: str) -> Section:
    if text not in SECTIONS:
        raise ItemMissing(f"A pack has no {text[:40]!r}.")
    return text


def _block(pack: PackDef, values: Mapping[str, str]) -> tuple[Section, str, Block | None, str]:
    """Return what is edited: section, name, where it stands, and the text that is there now."""
    section, name = _section(values.get("section", "rules")), values.get("name", "")
    if name:
        block = block_of(pack, section, name)
        return section, name, block, block.text
    text = ""
    if section == "rules":
        event = next(iter(pack.events))
        text = NEW_RULE.format(
            policy=list(pack.policies)[-1], event=event, condition=f"{next(iter(pack.events[event].fields))} IS NULL",
            queue=list(pack.queues)[-1],
        )  # fmt: skip
    return section, name, None, text


def _edit(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "", run: str = "") -> Answer:
    pack = kit.pack()
    values = call.form or call.query
    section, name, block, text = _block(pack, values)
    seen = values.get("seen") or _print_of(text)
    typed = values.get("text", "") or text
    changed = typed.strip() != text.strip()
    files, placed = with_block(pack.files, block, typed, section)
    candidate, marks = (
        check_block(files, placed, call.language) if changed else (pack, ())
    )  # what is in force was checked
    return page(
        kit,
        call,
        "lab.html",
        status=422 if problem else 200,
        section_=section,
        name=name,
        file=placed.file,
        text=typed,
        changed=changed,
        marks=marks,
        lines=tokens(typed[:BLOCK_CHARS_MAX]),
        severe=candidate is not None and is_severe(pack, candidate),
        sections=SECTIONS,
        tried=TRIED,
        seen=seen if problem != "lab.changed_meanwhile" else _print_of(text),
        between=list(text_diff({placed.file: text}, {placed.file: typed})) if seen != _print_of(text) else [],
        while_typing=not call.form or "while_typing" in call.form,
        spans=SPANS,
        span=values.get("since", "30d"),
        run=run or call.query.get("run", ""),
        problem=problem,
        detail=detail,
        reason=values.get("reason", ""),
        pack=pack,
    )


def _check(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    section, _, block, text = _block(pack, call.form)
    typed = call.form.get("text", "")
    files, placed = with_block(pack.files, block, typed, section)
    candidate, marks = check_block(files, placed, call.language)
    severe = candidate is not None and is_severe(pack, candidate)
    sound = candidate is not None and not marks and typed.strip() != text.strip()
    return page(
        kit, call, "lab_checked.html", marks=marks, lines=tokens(typed[:BLOCK_CHARS_MAX]), severe=severe, file=placed.file,
        try_now=sound and section in TRIED and "while_typing" in call.form,
    )  # fmt: skip


def _print_of(text: str) -> str:
    """Return a short print of an item's text: what the editor was opened with, so that nobody's change is taken back."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _act(kit: ConsoleKit, call: Call) -> Answer:
    pack, form = kit.pack(), call.form
    section, name, block, text = _block(pack, form)
    files, placed = with_block(pack.files, block, form.get("text", ""), section)
    candidate, marks = check_block(files, placed, call.language)
    if marks or candidate is None or form.get("do") == "check":
        return _edit(kit, call, problem="lab.has_faults" if marks else "")
    try:
        if form.get("do") in {"look", "whole"}:
            arguments = _asked(call, pack, candidate, otherwise=name if section == "rules" else "")
            if form.get("do") == "look":
                arguments += ["--newest", "20000"]
            if form.get("run"):
                with contextlib.suppress(Refusal):  # it is over and gone: nothing is left to stop
                    kit.stop_backtest(form["run"])
            started = kit.start_backtest(candidate.files, arguments)
            return _edit(kit, call, run=started.id)
        reason = form.get("reason", "").strip()
        if not 0 < len(reason) <= REASON_CHARS_MAX:
            return _edit(kit, call, problem="form.reason_missing")
        if "packs.stage" not in call.principal.grants:
            return _edit(kit, call, problem="lab.may_not_propose")
        if form.get("seen") and form["seen"] != _print_of(text):
            return _edit(kit, call, problem="lab.changed_meanwhile")
        draft = propose(kit.versions, candidate.files, call.at, by=call.principal.actor, reason=reason)
    except Refusal as refusal:
        return _edit(kit, call, **refused(call.language, refusal))
    return done(call, f"/drafts/{draft.id}", "draft_proposed")


def _run(kit: ConsoleKit, call: Call) -> Answer:
    run = kit.find_backtest(call.path["id"])
    return page(kit, call, "lab_run.html", _told(kit, call, run), run=run)


def _told(kit: ConsoleKit, call: Call, run: BacktestRun) -> dict[str, object]:
    """Return what `lab_result.html` shows of a backtest beside its state."""
    report = run.report
    if report is None:
        return {"report": None, "why": detail_said(call.language, run.problem)}
    language = language_of(call.language)
    formats, words, pack = Formats(language, kit.zone, call.at), Words(language), kit.pack()

    def money(amount_minor: int, currency: str) -> str:
        return formats.money(amount_minor, currency) if currency else formats.count(amount_minor)

    return {
        "report": report,
        "rules": sorted(report.rules, key=lambda each: (each.changed == "same", -each.measured.flagged)),
        "days": day_bars(report.per_day, compared=report.before is not None),
        "caught": sample_lines(report.caught_samples, pack, formats, words.of),
        "freed": sample_lines(report.freed_samples, pack, formats, words.of),
        "work_a_day": work_a_day(report),
        "why_live": functools.partial(why_live, words),
        "money": money,
    }


def _versions(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.read() as tx:
        history, total = activations(tx), pack_store.count_activations(tx)
        drafts = draft_store.read_drafts(tx)
    return page(kit, call, "versions.html", history=history, total=total, drafts=drafts, pack=kit.pack())


def _version(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    with kit.database.read() as tx:
        history = activations(tx)
        one = next((each for each in history if each.digest == call.path["digest"]), None)
        if one is None:
            raise PackVersionMissing(f"No pack version has the digest {call.path['digest'][:80]!r}.")
        current = kit.pack()
        pack = current if one.digest == current.digest else load_version(tx, one.digest)
        earlier = next((each for each in history if each.seq < one.seq), None)
        before = version_files(tx, earlier.digest) if earlier is not None else {}
    severe = severe_changes(current, pack)
    return page(
        kit, call, "version.html", status=422 if problem else 200, one=one, earlier=earlier,
        diff=_lines(before, pack.files) if earlier is not None else [],
        back=[] if pack.digest == current.digest else compare_packs(current, pack),
        severe=severe, at_once=not severe or only_milder(severe), current=current, problem=problem, detail=detail,
    )  # fmt: skip


def _back(kit: ConsoleKit, call: Call) -> Answer:
    reason = call.form.get("reason", "").strip()
    if not 0 < len(reason) <= REASON_CHARS_MAX:
        return _version(kit, call, problem="form.reason_missing")
    with kit.database.read() as tx:
        pack = load_version(tx, call.path["digest"])
    try:
        switched = bring_in(kit.versions, pack, call.at, by=call.principal.actor, reason=reason, back=True)
    except Refusal as refusal:
        return _version(kit, call, problem="lab.refused", detail=refusal_said(call.language, refusal))
    if switched.draft is not None:
        return done(call, f"/drafts/{switched.draft}", "version_back_proposed")
    return done(call, "/versions", "version_back")


def _draft(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    with kit.database.read() as tx:
        draft, files = draft_store.read_draft(tx, call.path["id"])
        base = version_files(tx, draft.base)
    own = draft.author == call.principal.actor
    current = kit.pack()
    stale = draft.base != current.digest
    run = kit.backtest_of(draft.digest) if "rules.test" in call.principal.grants else None
    try:
        severe = () if stale else severe_changes(current, parse_files(files))
    except Refusal:  # a later Koban no longer reads what was proposed: activating it says so
        severe = ()
    return page(
        kit, call, "draft.html", status=422 if problem else 200, draft=draft, diff=_lines(base, files),
        stale=stale, own=own, problem=problem, detail=detail, spans=SPANS, severe=severe,
        run=call.query.get("run", "") or (run.id if run is not None else ""),
    )  # fmt: skip


def refused(language: str, refusal: Refusal) -> dict[str, str]:
    """Return how a page says that something was refused: too many runs at once in the reader's words."""
    if refusal.code == "runs_full":
        return {"problem": "lab.runs_full"}
    return {"problem": "lab.refused", "detail": refusal_said(language, refusal)}


def _try(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.read() as tx:
        draft, files = draft_store.read_draft(tx, call.path["id"])
    try:
        started = kit.start_backtest(files, _asked(call, kit.pack(), checked(files)))
    except Refusal as refusal:
        return _draft(kit, call, **refused(call.language, refusal))
    return redirect(with_query(f"/drafts/{draft.id}", run=started.id))


def _asked(call: Call, current: PackDef, candidate: PackDef, *, otherwise: str = "") -> list[str]:
    """Return what a backtest of a version is asked: its changed rules; all of them where something else changed.

    `otherwise`: the rule to try where nothing changed.
    """
    changes = compare_packs(current, candidate)
    arguments = ["--since", call.form["since"] if call.form.get("since") in SPANS else "30d"]
    if any(each.section != "rules" for each in changes):
        return arguments
    names = [each.name for each in changes if each.name in candidate.rules] or ([otherwise] if otherwise else [])
    return arguments + [part for each in names for part in ("--rule", each)]


def _decide(kit: ConsoleKit, call: Call) -> Answer:
    draft_id, by = call.path["id"], call.principal.actor
    if call.form.get("do") == "withdraw":
        withdraw_draft(kit.versions, draft_id, call.at, by=by)
        return done(call, "/versions", "draft_withdrawn")
    try:
        activate_draft(kit.versions, draft_id, by=by)
    except draft_store.DraftMissing:
        raise
    except Refusal as refusal:
        return _draft(kit, call, problem="lab.refused", detail=refusal_said(call.language, refusal))
    return done(call, "/versions", "draft_activated")


def _features(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    readers = {name: [rule.name for rule in pack.rules.values() if _names(rule.when, name)] for name in pack.features}
    feature, subject = call.query.get("feature", ""), call.query.get("subject", "").strip()[:256]
    value = kit.feature_value(feature, subject) if feature in pack.features and subject else None
    return page(
        kit, call, "features.html", pack=pack, readers=readers, feature=feature, subject=subject, value=value,
        asked=bool(feature and subject),
    )  # fmt: skip


def _names(when: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", when) is not None


def _policies(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    rules = {name: [rule for rule in pack.rules.values() if rule.policy == name] for name in pack.policies}
    filters = read_filters(call.query, ("q", "severity"), Formats(language_of(call.language), kit.zone, call.at))
    shown = [each for each in pack.policies.values() if _is_sought(each, rules[each.name], filters)]
    return page(
        kit, call, "policies.html", pack=pack, rules=rules, filters=filters, policies=shown, severities=SEVERITIES
    )


def _is_sought(policy: PolicyDef, rules: Sequence[RuleDef], filters: Filters) -> bool:
    """Tell whether a policy is asked for: its name, what people are told, or a rule of it holds the words."""
    severity, words = filters.get("severity"), filters.get("q")
    if severity is not None and policy.severity != severity:
        return False
    texts = (policy.name, *policy.title.values(), *policy.text.values(), *(rule.name for rule in rules))
    return words is None or holds(words, texts)


def _lines(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return a diff as lines with what each is."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return [
        ("file" if line.startswith(("+++", "---")) else kinds.get(line[:1], ""), line) for line in text_diff(old, new)
    ]
