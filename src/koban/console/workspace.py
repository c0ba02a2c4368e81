"""One case on one screen: what people saw, the conversation, the account, earlier judgements, the policy, the form.

Whoever holds the claim sees the content at once, for the purpose of judging this case, and the trail knows it; everybody
else gives a purpose first.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import MINUTE, Instant, Refusal, limits
from koban.cases import CaseMissing, claim, opened, read_members, release, skip, work_routes, work_store
from koban.cases import actions as case_actions
from koban.cases import store as case_store
from koban.cases.types import (
    NOTE_CHARS_MAX,
    Case,
    CaseMember,
    CaseOutcome,
    CaseSignal,
    DecideCase,
    DeclineProposal,
    MoveCase,
    PauseCase,
    PauseReason,
    Preview,
    Proposal,
    ReopenCase,
    ResumeCase,
    SkipReason,
)
from koban.console.cases import OUTCOMES, REASON_CHARS_MAX, Term, terms_of
from koban.console.evidence import Evidence, fold, reasons
from koban.console.fields import field_lines
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.names import names_of
from koban.console.pages import done, page
from koban.console.typed import TextTooLong, typed_text
from koban.console.unfit import unfit_said
from koban.console.words import Words, language_of
from koban.db import Tx
from koban.decisions import store as decision_store
from koban.enforcement import Sanction, SubjectRef, SubjectState, appeal_store, derive_state, messages
from koban.enforcement import store as sanction_store
from koban.enforcement.appeals import Appeal, DecideAppeal
from koban.events import Entry
from koban.labels import labels_of

SKIP_REASONS: Final = ("language", "expertise", "knows_person", "distressing", "broken", "other")
PAUSE_REASONS: Final = ("person", "marketplace", "evidence", "other_team", "legal")
PAUSE_HOURS: Final = (1, 4, 24, 72, 168)
EVIDENCE_SHOWN: Final = 12
MEMBERS_SHOWN: Final = 50
SIGNALS_SHOWN: Final = 200
SIMILAR_SHOWN: Final = 6
TIMELINE_SHOWN: Final = 40
FACTS_CHARS_MAX: Final = 2_000
JUDGING: Final = "judging the case under a claim"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """The account behind a case."""

    subject: SubjectRef
    state: SubjectState
    sanctions: list[Sanction]
    labels: list[tuple[str, str]]
    decisions: Mapping[str, int]


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the form: what was typed before, else what the case suggests."""

    outcome: str
    policy: str
    hide: bool
    strike: bool
    take_back: bool
    facts_en: str
    facts_ja: str
    note: str
    subjects: frozenset[str]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page of a case shows."""

    case: Case
    members: list[CaseMember]
    signals: list[CaseSignal]
    terms: list[Term]
    evidence: list[Evidence]
    person: Person | None
    similar: list[Case]
    timeline: list[work_store.Line]
    sanctions: list[Sanction]
    proposal: Proposal | None
    appeal: Appeal | None
    appeal_text: str | None
    appealed: Sanction | None
    colleagues: Mapping[str, str]
    why_not: tuple[str, ...]


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/cases/{id}", "cases.read", lambda call: show(kit, call), summary="A case", page=True,
                 raises=(CaseMissing,)),
        endpoint("POST", "/cases/{id}", "cases.work", lambda call: _work(kit, call), summary="Work on a case",
                 accepts="form", page=True, raises=(CaseMissing,)),
    )  # fmt: skip


def show(
    kit: ConsoleKit,
    call: Call,
    *,
    problem: str = "",
    detail: str = "",
    preview: Preview | None = None,
    purpose: str = "",
) -> Answer:
    """Show a case; what was typed stands in the form again."""
    case_id = call.path["id"]
    with kit.database.read() as tx:
        case = case_actions.find(tx, case_id)
    holds = case.status == "open" and case.claimed_until is not None and case.claimed_until > call.at
    mine = holds and case.claimed_by == call.principal.id
    may_read = "messages.read" in call.principal.grants
    reads = may_read and (mine or len(purpose.strip()) >= limits.PURPOSE_CHARS_MIN)
    if mine:
        with kit.database.write() as tx:
            opened(tx, call.at, case, by=call.principal.id)
    view = _view(kit, call, case_id, purpose=(purpose.strip() or JUDGING) if reads else "")
    pack = kit.pack()
    queue = pack.queues.get(case.queue)
    f = Formats(language_of(call.language), kit.zone, call.at)
    flow = call.form.get("flow", "") or call.query.get("flow", "")
    return page(
        kit,
        call,
        "case.html",
        status=409 if problem else 200,
        view=view,
        seen=fold(view.evidence),
        reasons=reasons(view.signals),
        case=view.case,
        queue=queue,
        mine=mine,
        just_claimed=mine and call.query.get("done") == "case_claimed",
        held=holds,
        reads=reads,
        may_read=may_read,
        covered=view.case.harm == "child" or (view.case.harm != "none" and not call.form.get("uncover")),
        overdue=(case.closed_at or case.paused_at or call.at) > case.due_at,
        draft=_draft(call, view),
        outcomes=OUTCOMES,
        policies={name: policy for name, policy in pack.policies.items() if policy.ladder or name == case.policy},
        pack=pack,
        next_step=_next_step(kit, call, view),
        skip_reasons=SKIP_REASONS,
        pause_reasons=PAUSE_REASONS,
        pause_hours=PAUSE_HOURS,
        colleagues=view.colleagues,
        problem=problem,
        detail=detail,
        preview=preview,
        purpose=purpose,
        flow=flow,
        last=call.query.get("last", "") if call.query.get("last", "").startswith("case_") else "",
        may_reopen=case.status == "closed"
        and case.appeal is None
        and work_routes.may_reopen(
            case.closed_by,
            case.closed_at,
            by=call.principal.id,
            at=call.at,
            may_any="cases.assign" in call.principal.grants,
        ),
        f_half=f.length(0 if case.terms is None else case.terms.half_life_us),
    )


def _view(kit: ConsoleKit, call: Call, case_id: str, *, purpose: str) -> View:
    with kit.database.read() as tx:
        case = case_actions.find(tx, case_id)
        members = read_members(tx, case_id, limit=MEMBERS_SHOWN)
        signals = case_store.read_signals(tx, case_id, limit=SIGNALS_SHOWN)
        account = _account(case, members)
        entries = kit.opener.entries_of(tx, case_id, limit=EVIDENCE_SHOWN)
        accounts = [account.id] if account is not None else []
        around = kit.opener.around(tx, entries, accounts)
        appeal = None if case.appeal is None else appeal_store.read(tx, case.appeal)
        about = dict.fromkeys([member.subject for member in members])
        if account is not None:
            about[account] = None
        appealed = None
        if appeal is not None:
            appealed = sanction_store.read(tx, (appeal.sanction_id,)).get(appeal.sanction_id)
            about[appeal.subject] = None
        sanctions = [each for subject in about for each in sanction_store.read_of_subject(tx, subject)]
        words = Words(language_of(call.language))
        f = Formats(language_of(call.language), kit.zone, call.at)
        severities = {name: words.named("severity", name) for name in ("low", "medium", "high", "severe")}
        view = View(
            case=case,
            members=members,
            signals=signals,
            terms=terms_of(case, f, severities),
            evidence=[],
            person=None if account is None else _person(tx, account, call.at),
            similar=case_store.similar(tx, case, limit=SIMILAR_SHOWN),
            timeline=work_store.read_timeline(tx, case_id, limit=TIMELINE_SHOWN),
            sanctions=sanctions[::-1],
            proposal=None if case.proposal is None else work_store.read_proposal(tx, case.proposal),
            appeal=appeal,
            appeal_text=None if appeal is None or not purpose else kit.appeals.read_text(tx, appeal),
            appealed=appealed,
            colleagues={who: name for who, name in names_of(tx).items() if who != call.principal.id},
            why_not=work_store.exclusions(tx, case_id, call.principal.id),
        )
    # Why a transaction of its own: a trail is written, and a transaction that writes does not see who did what (0020).
    fields: Mapping[int, Mapping[str, object]] = {}
    if purpose:
        fields = kit.opener.open(case_id, [*entries, *around], purpose=purpose, by=call.principal.id, at=call.at)
    return msgspec.structs.replace(view, evidence=_evidence(kit, f, entries, around, fields))


def _account(case: Case, members: Sequence[CaseMember]) -> SubjectRef | None:
    if case.subject.kind == "account":
        return case.subject
    return case.acting or next((member.acting for member in members if member.acting is not None), None)


def _evidence(
    kit: ConsoleKit,
    f: Formats,
    entries: Sequence[Entry],
    around: Sequence[Entry],
    opened_fields: Mapping[int, Mapping[str, object]],
) -> list[Evidence]:
    events = kit.pack().events
    own = {entry.seq for entry in entries}
    shown = []
    for entry in sorted([*entries, *around], key=lambda each: each.seq):
        declared = events.get(entry.type)
        texts = [(path, str(value)) for path, value in opened_fields.get(entry.seq, {}).items()]
        plain = [line for line in field_lines(entry.data, declared, f, sealed=False) if line.kind != "empty"]
        shown.append(
            Evidence(
                entry=entry,
                fields=plain,
                texts=texts,
                is_sealed=entry.sealed is not None and entry.seq not in opened_fields,
                own=entry.seq in own,
            )
        )
    return shown


def _person(tx: Tx, account: SubjectRef, at: Instant) -> Person:
    sanctions = sanction_store.read_of_subject(tx, account)
    lately = decision_store.search(tx, before_seq=None, limit=100, acting=account.id)
    verdicts: dict[str, int] = {}
    for each in lately:
        verdicts[each.verdict] = verdicts.get(each.verdict, 0) + 1
    return Person(
        subject=account,
        state=derive_state(sanctions, at),
        sanctions=sanctions[::-1],
        labels=[(each.label, each.value) for each in labels_of(tx, account.kind, account.id) if each.value is not None],
        decisions=verdicts,
    )


def _draft(call: Call, view: View) -> Draft:
    form = call.form
    subjects = frozenset(name for name in form if name.startswith("subject_"))
    if form.get("do") in (None, "claim", "resume", "purpose") or "outcome" not in form:
        because: Mapping[str, str] = view.signals[0].because if view.signals else {}
        hides = any(member.subject.kind not in ("account", "appeal") for member in view.members)
        return Draft(
            outcome="",
            policy=view.case.policy,
            hide=hides,
            strike=True,
            take_back=True,
            facts_en=form.get("facts_en", because.get("en", "")),
            facts_ja=form.get("facts_ja", because.get("ja", "")),
            note=form.get("note", ""),
            subjects=frozenset(f"subject_{place}" for place in range(len(view.members))),
        )
    return Draft(
        outcome=form.get("outcome", ""),
        policy=form.get("policy", view.case.policy),
        hide=bool(form.get("hide")),
        strike=bool(form.get("strike")),
        take_back=bool(form.get("take_back")),
        facts_en=form.get("facts_en", ""),
        facts_ja=form.get("facts_ja", ""),
        note=form.get("note", ""),
        subjects=subjects,
    )


def _next_step(kit: ConsoleKit, call: Call, view: View) -> str:
    """Return what the next strike under the policy would bring, as the person would be told."""
    policy = kit.pack().policies.get(view.case.policy)
    if policy is None or view.person is None:
        return ""
    counted = view.person.state.strikes.get(policy.name, 0)
    if not policy.ladder:
        return ""
    step = policy.ladder[min(counted, len(policy.ladder) - 1)].action
    for_us = getattr(step, "for_us", None)
    effect = {"Warn": "warn", "Restrict": "restrict", "FreezePayout": "freeze_payout", "Suspend": "suspend"}
    told = messages.Done(
        effect=cast("Literal['warn', 'restrict', 'freeze_payout', 'suspend']", effect[type(step).__name__]),
        scope=getattr(step, "scope", ""),
        until=None if for_us is None else Instant(call.at + for_us),
        thing="account",
    )
    return messages.measure_sentence(told, kit.zone)[language_of(call.language)]


def _command(kit: ConsoleKit, call: Call, case_id: str, fence: int) -> DecideCase | str:
    """Read the form of a judgement; a text instead names what is wrong with it.

    Refuses: TextTooLong.
    """
    form = call.form
    outcome = form.get("outcome", "")
    note = typed_text(form, "note", NOTE_CHARS_MAX)
    en, ja = (typed_text(form, name, FACTS_CHARS_MAX) for name in ("facts_en", "facts_ja"))
    if outcome not in OUTCOMES:
        return "cases.problem_outcome"
    with kit.database.read() as tx:
        members = read_members(tx, case_id, limit=MEMBERS_SHOWN)
    chosen = tuple(member.subject for place, member in enumerate(members) if form.get(f"subject_{place}"))
    upheld = outcome == "upheld"
    return DecideCase(
        case_id=case_id,
        fence=fence,
        by=call.principal.id,
        outcome=cast("CaseOutcome", outcome),  # cast: it is one of the three that were just looked up
        policy=form.get("policy", ""),
        hide=upheld and bool(form.get("hide")),
        strike=upheld and bool(form.get("strike")),
        take_back=bool(form.get("take_back")),
        # One language is enough: whoever reads the other one still reads something.
        facts={"en": en or ja, "ja": ja or en} if upheld and (en or ja) else {},
        note=note,
        subjects=chosen if len(members) > 1 and len(chosen) < len(members) else None,
    )


def _work(kit: ConsoleKit, call: Call) -> Answer:
    form, case_id = call.form, call.path["id"]
    fence = int(form["fence"]) if form.get("fence", "").isdecimal() and len(form["fence"]) < 10 else -1
    verb = form.get("do", "")
    try:
        if verb == "purpose":
            purpose = typed_text(form, "purpose", limits.PURPOSE_CHARS_MAX)
            problem = "" if len(purpose) >= limits.PURPOSE_CHARS_MIN else "cases.problem_purpose"
            return show(kit, call, purpose=purpose, problem=problem)
        if verb in ("preview", "decide"):
            return _judge(kit, call, case_id, fence, only_preview=verb == "preview")
        if verb in ("uphold", "overturn"):
            return _answer_appeal(kit, call, case_id, fence, verb)
        return _other(kit, call, case_id, fence, verb)
    except CaseMissing:
        raise
    except TextTooLong as long:
        return show(kit, call, problem="form.too_long", detail=long.detail)
    except Refusal as refusal:
        detail = unfit_said(Words(language_of(call.language)), refusal.detail)
        return show(kit, call, problem=f"problem.{refusal.code}", detail=detail)


def _judge(kit: ConsoleKit, call: Call, case_id: str, fence: int, *, only_preview: bool) -> Answer:
    if call.form.get("proposal"):
        command: DecideCase | str = DecideCase(
            case_id=case_id, fence=fence, by=call.principal.id, outcome="unclear", proposal=call.form["proposal"]
        )
    else:
        command = _command(kit, call, case_id, fence)
    if isinstance(command, str):
        return show(kit, call, problem=command)
    if only_preview:
        with kit.database.read() as tx:
            preview = kit.bench.preview(tx, command, call.at)
        return show(kit, call, preview=preview)
    if "cases.decide" not in call.principal.grants:
        return show(kit, call, problem="problem.not_allowed")
    judged = kit.bench.decide(command)
    return _onwards(kit, call, "case_proposed" if judged.proposal else "case_closed", last=case_id)


def _answer_appeal(kit: ConsoleKit, call: Call, case_id: str, fence: int, verb: str) -> Answer:
    form = call.form
    en, ja = (typed_text(form, name, FACTS_CHARS_MAX) for name in ("facts_en", "facts_ja"))
    if "appeals.decide" not in call.principal.grants:
        return show(kit, call, problem="problem.not_allowed")
    if not (en or ja):
        return show(kit, call, problem="cases.problem_answer")
    kit.appeals.decide(
        DecideAppeal(
            case_id=case_id,
            fence=fence,
            verb=cast("Literal['uphold', 'overturn']", verb),  # cast: the caller looked
            answer={"en": en or ja, "ja": ja or en},
            note=typed_text(form, "note", NOTE_CHARS_MAX),
            by=call.principal.id,
        )
    )
    return _onwards(kit, call, "appeal_decided", last="")


def _other(kit: ConsoleKit, call: Call, case_id: str, fence: int, verb: str) -> Answer:
    form, by, flow = call.form, call.principal.id, call.form.get("flow", "")
    note = typed_text(form, "note", NOTE_CHARS_MAX) or typed_text(form, "reason_text", REASON_CHARS_MAX)
    here = f"/cases/{case_id}" + (f"?flow={flow}" if flow else "")
    match verb:
        case "claim":
            with kit.database.write() as tx:
                claim(tx, call.at, case_id, by=by)
            return done(call, here, "case_claimed")
        case "release":
            with kit.database.write() as tx:
                release(tx, call.at, case_id, by=by, fence=fence)
            return done(call, "/cases", "case_released")
        case "skip" if form.get("reason") in SKIP_REASONS:
            with kit.database.write() as tx:
                reason = cast("SkipReason", form["reason"])  # cast: the pattern looked
                skip(tx, call.at, case_id, by=by, fence=fence, reason=reason, note=note)
            return _onwards(kit, call, "case_skipped", last="")
        case "hand":
            with kit.database.write() as tx:
                work_routes.hand(kit.bench, tx, call.at, case_id, by=by, fence=fence, to=form.get("to", ""), note=note)
            return _onwards(kit, call, "case_handed", last="")
        case "escalate":
            owner = form.get("to", "") or None
            kit.bench.move(
                MoveCase(case_id=case_id, queue="", reason=note, by=by, fence=fence, owner=owner, escalates=True)
            )
            return _onwards(kit, call, "case_escalated", last="")
        case "pause" if form.get("reason") in PAUSE_REASONS and form.get("hours", "").isdecimal():
            hours = min(int(form["hours"][:4]), 720)
            kit.bench.pause(
                PauseCase(
                    case_id=case_id,
                    fence=fence,
                    reason=cast("PauseReason", form["reason"]),  # cast: the pattern looked
                    note=note,
                    by=by,
                    for_us=hours * 60 * MINUTE,
                )
            )
            return _onwards(kit, call, "case_paused", last="")
        case "resume":
            kit.bench.resume(ResumeCase(case_id=case_id, by=by))
            return done(call, here, "case_resumed")
        case "decline":
            kit.bench.decline(DeclineProposal(case_id=case_id, fence=fence, by=by, reason=note or "declined"))
            return done(call, here, "case_declined")
        case "reopen":
            return _reopen(kit, call, case_id, note)
        case _:
            return show(kit, call, problem="cases.problem_verb")


def _reopen(kit: ConsoleKit, call: Call, case_id: str, note: str) -> Answer:
    with kit.database.read() as tx:
        case = case_actions.find(tx, case_id)
    may_any = "cases.assign" in call.principal.grants
    if not work_routes.may_reopen(case.closed_by, case.closed_at, by=call.principal.id, at=call.at, may_any=may_any):
        return show(kit, call, problem="problem.not_for_you")
    kit.bench.reopen(ReopenCase(case_id=case_id, by=call.principal.id, reason=note or "undone"))
    with kit.database.write() as tx:
        claim(tx, call.at, case_id, by=call.principal.id)
    return done(call, f"/cases/{case_id}", "case_reopened")


def _onwards(kit: ConsoleKit, call: Call, notice: str, *, last: str) -> Answer:
    """Open the next case by itself, for whoever works through a queue; the judgement before can be taken back there."""
    flow = call.form.get("flow", "")
    if not flow:
        return done(call, f"/cases/{last}" if last else "/cases", notice)
    queues = kit.pack().queues
    wanted = (flow,) if flow in queues else tuple(queues)
    try:
        with kit.database.write() as tx:
            following = case_actions.claim_next(tx, call.at, wanted, by=call.principal.id, guarded=queues)
    except Refusal:
        return done(call, f"/cases?queue={flow}" if flow in queues else "/cases", notice)
    return done(call, f"/cases/{following.id}?flow={flow}" + (f"&last={last}" if last else ""), notice)
