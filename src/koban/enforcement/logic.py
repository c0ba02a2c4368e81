"""Enforcement without I/O: which sanctions follow from actions, what state follows from sanctions, how they go away."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, assert_never

import msgspec

from koban.base import DAY, Instant, sequence_id, to_rfc3339
from koban.enforcement.types import (
    Applied,
    Change,
    Closing,
    Ground,
    ImposeSanction,
    Measure,
    Notice,
    Occasion,
    Plan,
    PolicyUnknown,
    Restriction,
    ReviewRequest,
    Sanction,
    SanctionAmended,
    SanctionEnded,
    SanctionExtended,
    SanctionImposed,
    SanctionKind,
    SanctionOverturned,
    SanctionUnfit,
    Statement,
    SubjectRef,
    SubjectState,
    Unmet,
)
from koban.packs import (
    Action,
    Block,
    Challenge,
    EventType,
    FreezePayout,
    Hide,
    Hold,
    PolicyDef,
    Restrict,
    Review,
    Strike,
    Suspend,
    Texts,
    Warn,
)

# A warning "stands" this long: what somebody sent before reading it is no reason for the ladder's next step.
WARNING_STANDS: Final = DAY
# The same rule prolongs a sanction only by a tenth of its length or more: a raid is not forty new notices.
PROLONGED_BY_AT_LEAST: Final = 10

APPEAL_FOR: Final = 183 * DAY
ACCOUNT: Final = "account"
SYSTEM: Final = "koban"

History = Callable[[SubjectRef], Iterable[Sanction]]
Withdraws = Callable[[Sanction, Ground], bool]


def occasion_of(event_type: EventType, row: Mapping[str, object], *, event_id: str) -> Occasion:
    """Name whom an event is about: who acts, whom it addresses, what content it carries; absent ones are None."""

    def named(path: str | None) -> SubjectRef | None:
        value = row.get(path) if path is not None else None
        if path is None or not isinstance(value, str) or not value:
            return None
        role = event_type.subjects.get(path)
        return SubjectRef(kind=role.kind if role is not None else ACCOUNT, id=value)

    market = row.get("market")
    return Occasion(
        event_id=event_id,
        event_type=event_type.name,
        acting=named(event_type.acting),
        recipient=named(event_type.recipient),
        content=named(event_type.content),
        reported=named(event_type.reported),
        market=market if isinstance(market, str) else "",
    )


def plan_actions(
    applied: Sequence[Applied],
    occasion: Occasion,
    policies: Mapping[str, PolicyDef],
    history: History,
    *,
    at: Instant,
    seq: int,
) -> Plan:
    """Plan what follows from the actions of the rules that act on one event, in their order.

    `history` gives the sanctions of a subject that are in force or still count; `seq` is the event's entry.
    """
    draft = _Draft(history=history, at=at, seq=seq)
    for one in applied:
        policy = policies[one.policy]
        for action in one.actions:
            _take(draft, one, action, occasion, policy)
    return draft.plan()


def plan_by_hand(
    command: ImposeSanction, policies: Mapping[str, PolicyDef], history: History, *, at: Instant, seq: int
) -> Plan:
    """Plan what a person's command brings.

    Refuses: PolicyUnknown, SanctionUnfit.
    """
    policy = policies.get(command.policy)
    if policy is None:
        raise PolicyUnknown(f"the pack in force has no policy {command.policy}")
    _check_fit(command)
    draft = _Draft(history=history, at=at, seq=seq)
    reason = _Reason(
        because=command.because,
        actor=command.by,
        about=command.about,
        market=command.market,
        case_id=command.case_id,
        proposed_by=command.proposed_by,
        detected_by=command.detected_by,
        event_ids=command.event_ids,
        reported=command.reported,
    )
    if command.kind == "strike":
        _strike(draft, command.subject, policy, reason)
    else:
        for_us = WARNING_STANDS if command.kind == "warn" else command.for_us
        measure = Measure(effect=command.kind, scope=command.scope, for_us=for_us)
        _impose(draft, command.subject, measure, policy, reason, kind=command.kind)
    return draft.plan()


def derive_state(sanctions: Iterable[Sanction], at: Instant) -> SubjectState:
    """Return what a subject with these sanctions may do at a moment (law 4: state is derived, never set)."""
    hidden = False
    suspended: list[Instant | None] = []
    frozen: list[Instant | None] = []
    restricted: dict[str, list[Instant | None]] = {}
    strikes: dict[str, int] = {}
    for sanction in sanctions:
        if sanction.counts_at(at):
            strikes[sanction.policy] = strikes.get(sanction.policy, 0) + 1
        if not sanction.stands_at(at):
            continue
        match sanction.measure.effect:
            case "hide":
                hidden = True
            case "suspend":
                suspended.append(sanction.ends_at)
            case "freeze_payout":
                frozen.append(sanction.ends_at)
            case "restrict":
                restricted.setdefault(sanction.measure.scope, []).append(sanction.ends_at)
            case "warn" | "none":
                pass
            case _ as unknown:
                assert_never(unknown)
    return SubjectState(
        hidden=hidden,
        suspended=bool(suspended),
        suspended_until=_latest(suspended),
        payout_frozen=bool(frozen),
        payout_frozen_until=_latest(frozen),
        restrictions=tuple(Restriction(scope=scope, until=_latest(ends)) for scope, ends in sorted(restricted.items())),
        strikes=dict(sorted(strikes.items())),
    )


def withdraw(
    history: Sequence[Sanction],
    withdraws: Withdraws,
    *,
    at: Instant,
    by: str,
    reason: str,
) -> tuple[Change, ...]:
    """Take grounds away from sanctions of one subject, as if they had never been (law 4).

    A sanction without any ground left is overturned. Strikes that counted an overturned one are derived again from
    the ladder they were imposed under. The result depends only on what was withdrawn, not on the order of several
    withdrawals, and is never harsher for the person than before.
    `history` must hold every sanction of the subject that may have counted those withdrawn.
    """
    remaining = {
        sanction.id: tuple(ground for ground in sanction.grounds if not withdraws(sanction, ground))
        for sanction in history
        if sanction.status != "overturned"
    }
    overturned = frozenset(sanction_id for sanction_id, grounds in remaining.items() if not grounds)
    changes: list[Change] = []
    after: list[Sanction] = []
    for sanction in sorted(history, key=lambda each: (each.imposed_at, each.id)):
        change: Change | None = None
        if sanction.id in overturned:
            closing = Closing(at=at, how="overturned", by=by, reason=reason)
            change = SanctionOverturned(sanction_id=sanction.id, subject=sanction.subject, closing=closing)
        elif sanction.id in remaining:
            change = _amendment(sanction, remaining[sanction.id], overturned, at=at, by=by, reason=reason)
        if change is not None:
            changes.append(change)
        after.append(sanction if change is None else applied_to(sanction, change))
    if not is_at_most(derive_state(after, at), derive_state(history, at)):
        raise AssertionError("withdrawing grounds would make a subject's state harsher")
    return tuple(changes)


def taken_back(
    history: Sequence[Sanction], sanction_ids: Sequence[str], *, how: Literal["overturn", "lift"], at: Instant, by: str
) -> tuple[list[Sanction], frozenset[str]]:
    """Return what a subject's sanctions would be if some were taken back, and which of them change: a preview."""
    if how == "lift":
        changes: tuple[Change, ...] = tuple(
            lift(each, at=at, by=by, reason="")
            for each in history
            if each.id in sanction_ids and each.status == "in_force"
        )
    else:
        changes = withdraw(history, lambda sanction, _: sanction.id in sanction_ids, at=at, by=by, reason="")
    by_id = {sanction_id_of(change): change for change in changes}
    after = [applied_to(each, by_id[each.id]) if each.id in by_id else each for each in history]
    return after, frozenset(by_id)


def lift(sanction: Sanction, *, at: Instant, by: str, reason: str) -> SanctionEnded:
    """End a sanction early; it was right, so it still counts as a strike."""
    closing = Closing(at=at, how="lifted", by=by, reason=reason)
    return SanctionEnded(sanction_id=sanction.id, subject=sanction.subject, closing=closing)


def expire(sanction: Sanction | None, at: Instant) -> SanctionEnded | None:
    """Return the end of a sanction whose timer fired; None where it was prolonged, lifted or overturned meanwhile."""
    if sanction is None or sanction.status != "in_force" or sanction.ends_at is None or at < sanction.ends_at:
        return None
    closing = Closing(at=at, how="expired", by=SYSTEM, reason="")
    return SanctionEnded(sanction_id=sanction.id, subject=sanction.subject, closing=closing)


def applied_to(before: Sanction | None, change: Change) -> Sanction:
    """Return the sanction after a change; the same live and in a replay."""
    if isinstance(change, SanctionImposed):
        return change.sanction
    if before is None or before.id != change.sanction_id:
        raise AssertionError(f"{change.sanction_id} changes before it was imposed")
    match change:
        case SanctionExtended(ground=ground):
            ends_at = before.ends_at if before.kind == "strike" else _later(before.ends_at, ground.ends_at)
            return msgspec.structs.replace(before, grounds=(*before.grounds, ground), ends_at=ends_at)
        case SanctionEnded(closing=closing):
            ends_at = _earlier(before.ends_at, closing.at)
            return msgspec.structs.replace(before, status="ended", closing=closing, ends_at=ends_at)
        case SanctionOverturned(closing=closing):
            return msgspec.structs.replace(
                before,
                status="overturned",
                closing=closing,
                grounds=(),
                withdrawn=(*before.withdrawn, *before.grounds),
            )
        case SanctionAmended():
            return msgspec.structs.replace(
                before,
                grounds=change.grounds,
                withdrawn=change.withdrawn,
                counted=change.counted,
                discounted=change.discounted,
                measure=change.measure,
                starts_at=change.starts_at,
                ends_at=change.ends_at,
                status=change.status,
            )
        case _ as unknown:
            assert_never(unknown)


def sanction_id_of(change: Change) -> str:
    """Return which sanction a change is about."""
    return change.sanction.id if isinstance(change, SanctionImposed) else change.sanction_id


def is_at_most(milder: SubjectState, harsher: SubjectState) -> bool:
    """Return whether the first state takes nothing from the person that the second does not take as long or longer."""
    suspension = _End(there=harsher.suspended, until=harsher.suspended_until)
    abilities = {each.scope: _End(there=True, until=each.until) for each in harsher.restrictions}
    nothing = _End(there=False, until=None)
    frozen = _End(there=milder.payout_frozen, until=milder.payout_frozen_until)
    return (
        (harsher.hidden or not milder.hidden)
        and _End(there=milder.suspended, until=milder.suspended_until).within(suspension)
        and frozen.within(_End(there=harsher.payout_frozen, until=harsher.payout_frozen_until))
        and all(
            _End(there=True, until=each.until).within(abilities.get(each.scope, nothing))
            or _End(there=True, until=each.until).within(suspension)
            for each in milder.restrictions
        )
        and all(count <= harsher.strikes.get(policy, 0) for policy, count in milder.strikes.items())
    )


def statement_of(sanction: Sanction) -> Statement:
    """Write the statement of reasons; what was automated is read from the grounds, never from a form."""
    grounds = sanction.grounds or sanction.withdrawn
    event_ids = dict.fromkeys(
        event_id
        for ground in grounds
        for event_id in ((ground.event_id,) if ground.event_id is not None else ground.event_ids)
    )
    because = {tuple(sorted(ground.because.items())): ground.because for ground in grounds}
    detected = any(ground.rule is not None or ground.detected_by for ground in grounds)
    return Statement(
        sanction_id=sanction.id,
        subject=sanction.subject,
        policy=sanction.policy,
        title=sanction.title,
        text=sanction.text,
        because=tuple(because.values()),
        effect=sanction.measure.effect,
        scope=sanction.measure.scope,
        starts_at=to_rfc3339(sanction.starts_at),
        ends_at=None if sanction.ends_at is None else to_rfc3339(sanction.ends_at),
        strike=len(sanction.counted) + 1 if sanction.kind == "strike" else 0,
        automated_detection=detected,
        automated_decision=sanction.automated,
        about=sanction.about,
        event_ids=tuple(event_ids),
        market=sanction.market,
        source="notice" if any(_is_notice(ground) for ground in grounds) else "own_initiative",
        automation="fully" if sanction.automated else "partially" if detected else "not",
        appeal_until=to_rfc3339(appeal_until(sanction)),
    )


def appeal_until(sanction: Sanction) -> Instant:
    """Return until when a sanction can be appealed: at least six months. Source: (EU) 2022/2065, article 20(1)."""
    return Instant(sanction.imposed_at + APPEAL_FOR)


def deciders_of(sanction: Sanction) -> frozenset[str]:
    """Return the people who had a part in a sanction: none of them judges an appeal against it."""
    grounds = (*sanction.grounds, *sanction.withdrawn)
    return frozenset(
        person for ground in grounds for person in (ground.actor, ground.proposed_by) if person is not None
    )


def _is_notice(ground: Ground) -> bool:
    return ground.reported or (ground.event_type or "").startswith("report.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Reason:
    """A ground before it is known when it ends."""

    because: Texts
    rule: str | None = None
    actor: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    about: SubjectRef | None = None
    market: str = ""
    case_id: str | None = None
    proposed_by: str | None = None
    detected_by: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    reported: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class _End:
    """An interval's end, or that there is no interval."""

    there: bool
    until: Instant | None

    def within(self, other: "_End") -> bool:
        if not self.there:
            return True
        if not other.there:
            return False
        return other.until is None or (self.until is not None and self.until <= other.until)


@dataclasses.dataclass(kw_only=True)
class _Draft:
    """A plan being made: what it already says is seen by the actions that follow in the same event."""

    history: History
    at: Instant
    seq: int
    changes: list[Change] = dataclasses.field(default_factory=list)
    notices: list[Notice] = dataclasses.field(default_factory=list)
    reviews: list[ReviewRequest] = dataclasses.field(default_factory=list)
    unmet: list[Unmet] = dataclasses.field(default_factory=list)
    drafted: dict[SubjectRef, dict[str, Sanction]] = dataclasses.field(default_factory=dict)
    imposed: int = 0

    def known(self, subject: SubjectRef) -> dict[str, Sanction]:
        sanctions = self.drafted.get(subject)
        if sanctions is None:
            sanctions = self.drafted[subject] = {each.id: each for each in self.history(subject)}
        return sanctions

    def add(self, change: SanctionImposed | SanctionExtended) -> None:
        subject = change.sanction.subject if isinstance(change, SanctionImposed) else change.subject
        sanctions = self.known(subject)
        before = None if isinstance(change, SanctionImposed) else sanctions[change.sanction_id]
        after = applied_to(before, change)
        sanctions[after.id] = after
        self.changes.append(change)

    def plan(self) -> Plan:
        return Plan(
            changes=tuple(self.changes),
            notices=tuple(self.notices),
            reviews=tuple(self.reviews),
            unmet=tuple(self.unmet),
        )


def _take(draft: _Draft, one: Applied, action: Action, occasion: Occasion, policy: PolicyDef) -> None:
    match action:
        case Block() | Hold() | Challenge():
            pass  # these are the verdict on the event, which `decisions` gives
        case Review(queue=queue, of=of):
            _review(draft, one, queue, occasion, of=of)
        case Warn(target=target):
            if target in ("author", "both"):
                _notice(draft, one, "author", occasion, policy)
            if target in ("recipient", "both"):
                _notice(draft, one, "recipient", occasion, policy)
        case Hide():
            if occasion.content is None:
                draft.unmet.append(Unmet(rule=one.rule, action="hide", why="no_content"))
            else:
                reason = _reason(one, occasion, occasion.acting)
                _impose(draft, occasion.content, Measure(effect="hide"), policy, reason, kind="hide")
        case Restrict() | FreezePayout() | Suspend() | Strike():
            _sanction_account(draft, one, action, occasion, policy)
        case _ as unknown:
            assert_never(unknown)


def _sanction_account(
    draft: _Draft,
    one: Applied,
    action: Restrict | FreezePayout | Suspend | Strike,
    occasion: Occasion,
    policy: PolicyDef,
) -> None:
    if occasion.acting is None:
        name = str(action.__struct_config__.tag)
        draft.unmet.append(Unmet(rule=one.rule, action=name, why="no_acting_account"))
        return
    reason = _reason(one, occasion, occasion.content)
    match action:
        case Strike():
            _strike(draft, occasion.acting, policy, reason)
        case Restrict():
            _impose(draft, occasion.acting, _measure_of(action), policy, reason, kind="restrict")
        case FreezePayout():
            _impose(draft, occasion.acting, _measure_of(action), policy, reason, kind="freeze_payout")
        case Suspend():
            _impose(draft, occasion.acting, _measure_of(action), policy, reason, kind="suspend")
        case _ as unknown:
            assert_never(unknown)


def _reason(one: Applied, occasion: Occasion, about: SubjectRef | None) -> _Reason:
    return _Reason(
        because=one.because,
        rule=one.rule,
        event_id=occasion.event_id,
        event_type=occasion.event_type,
        about=about,
        market=occasion.market,
    )


def _review(draft: _Draft, one: Applied, queue: str, occasion: Occasion, *, of: Literal["subject", "reporter"]) -> None:
    # A report is about what it names, and whoever made it is told how it ended.
    is_report = occasion.reported is not None and of == "subject"
    acting = occasion.reported if is_report else occasion.acting
    subject = occasion.content or acting
    if subject is None:
        draft.unmet.append(Unmet(rule=one.rule, action="review", why="no_subject"))
        return
    draft.reviews.append(
        ReviewRequest(
            queue=queue,
            subject=subject,
            acting=acting,
            reporter=occasion.acting if is_report else None,
            rule=one.rule,
            policy=one.policy,
            because=one.because,
            event_id=occasion.event_id,
            event_type=occasion.event_type,
            market=occasion.market,
        )
    )


def _notice(
    draft: _Draft, one: Applied, role: Literal["author", "recipient"], occasion: Occasion, policy: PolicyDef
) -> None:
    to = occasion.acting if role == "author" else occasion.recipient
    if to is None:
        why: Literal["no_acting_account", "no_recipient"] = "no_acting_account" if role == "author" else "no_recipient"
        draft.unmet.append(Unmet(rule=one.rule, action="warn", why=why))
        return
    if any(notice.to == to and notice.policy == policy.name and notice.role == role for notice in draft.notices):
        return
    draft.notices.append(
        Notice(
            id=sequence_id("notice", draft.seq, len(draft.notices)),
            to=to,
            role=role,
            about=occasion.content,
            policy=policy.name,
            title=policy.title,
            text=policy.text,
            because=one.because,
            rule=one.rule,
            actor=None,
            cause_seq=draft.seq,
            at=draft.at,
            event_id=occasion.event_id,
            market=occasion.market,
        )
    )


def _strike(draft: _Draft, subject: SubjectRef, policy: PolicyDef, reason: _Reason) -> None:
    """Take the ladder's next step; a strike whose measure still stands is joined instead of followed by the next."""
    earlier = sorted(
        (each for each in draft.known(subject).values() if each.policy == policy.name and each.counts_at(draft.at)),
        key=lambda each: (each.imposed_at, each.id),
    )
    ladder = tuple(_measure_of(step.action) for step in policy.ladder)
    steps = ladder[: min(len(earlier) + 1, len(ladder))]
    measure = steps[-1] if steps else Measure(effect="none", for_us=WARNING_STANDS)
    window = policy.strikes_within_us
    _impose(
        draft,
        subject,
        measure,
        policy,
        reason,
        kind="strike",
        steps=steps,
        counted=tuple(each.id for each in earlier),
        counts_until=None if window is None else Instant(draft.at + window),
    )


def _impose(
    draft: _Draft,
    subject: SubjectRef,
    measure: Measure,
    policy: PolicyDef,
    reason: _Reason,
    *,
    kind: SanctionKind,
    steps: tuple[Measure, ...] = (),
    counted: tuple[str, ...] = (),
    counts_until: Instant | None = None,
) -> None:
    ends_at = None if measure.for_us is None else Instant(draft.at + measure.for_us)
    ground = Ground(
        cause_seq=draft.seq,
        at=draft.at,
        ends_at=ends_at,
        rule=reason.rule,
        actor=reason.actor,
        because=reason.because,
        event_id=reason.event_id,
        event_type=reason.event_type,
        case_id=reason.case_id,
        proposed_by=reason.proposed_by,
        detected_by=reason.detected_by,
        event_ids=reason.event_ids,
        reported=reason.reported,
    )
    standing = _standing(draft, subject, kind, measure, policy)
    if standing is not None:
        extension = _joined(standing, ground, measure)
        if extension is not None:
            draft.add(extension)
        return
    sanction = Sanction(
        id=sequence_id("sanction", draft.seq, draft.imposed),
        subject=subject,
        kind=kind,
        policy=policy.name,
        title=policy.title,
        text=policy.text,
        measure=measure,
        imposed=measure,
        imposed_at=draft.at,
        starts_at=draft.at,
        ends_at=ends_at,
        status="in_force",
        grounds=(ground,),
        steps=steps,
        counted=counted,
        counts_until=counts_until,
        market=reason.market,
        about=reason.about,
    )
    draft.imposed += 1
    draft.add(SanctionImposed(sanction=sanction))


def _standing(
    draft: _Draft, subject: SubjectRef, kind: SanctionKind, measure: Measure, policy: PolicyDef
) -> Sanction | None:
    """Return the sanction in force that this one would repeat."""
    for each in draft.known(subject).values():
        is_same = each.kind == kind and each.policy == policy.name
        # A strike's scope is the ladder's business: another step under the same policy is the same strike.
        if is_same and each.stands_at(draft.at) and (kind == "strike" or each.measure.scope == measure.scope):
            return each
    return None


def _joined(standing: Sanction, ground: Ground, measure: Measure) -> SanctionExtended | None:
    """Return how a signal joins a sanction in force; None where it adds neither a new reason nor a later end."""
    is_new = not any(each.rule == ground.rule and each.actor == ground.actor for each in standing.grounds)
    if standing.kind == "strike":
        if not is_new:
            return None
        ground = msgspec.structs.replace(ground, ends_at=standing.ends_at)
    elif not is_new and not _prolongs(standing, ground, measure):
        return None
    return SanctionExtended(sanction_id=standing.id, subject=standing.subject, ground=ground)


def _prolongs(standing: Sanction, ground: Ground, measure: Measure) -> bool:
    if standing.ends_at is None:
        return False
    if ground.ends_at is None or measure.for_us is None:
        return True
    return (ground.ends_at - standing.ends_at) * PROLONGED_BY_AT_LEAST >= measure.for_us


def _amendment(
    sanction: Sanction,
    remaining: tuple[Ground, ...],
    overturned: frozenset[str],
    *,
    at: Instant,
    by: str,
    reason: str,
) -> SanctionAmended | None:
    lost = tuple(each for each in sanction.counted if each in overturned)
    if not lost and len(remaining) == len(sanction.grounds):
        return None
    counted = tuple(each for each in sanction.counted if each not in overturned)
    measure = _rederived(sanction, len(counted) + 1)
    ends_at = _latest([ground.ends_at for ground in remaining])
    if sanction.kind == "strike" and measure.for_us is not None:
        # From the first ground on, also when that was withdrawn: no end may move later than one already told.
        ends_at = _earlier(ends_at, Instant(sanction.imposed_at + measure.for_us))
    if sanction.ends_at is not None:
        ends_at = _earlier(ends_at, sanction.ends_at)  # it may have been lifted early
    has_ended = sanction.status == "ended" or (ends_at is not None and ends_at <= at)
    return SanctionAmended(
        sanction_id=sanction.id,
        subject=sanction.subject,
        at=at,
        by=by,
        reason=reason,
        because_of=lost,
        grounds=remaining,
        withdrawn=(*sanction.withdrawn, *(ground for ground in sanction.grounds if ground not in remaining)),
        counted=counted,
        discounted=(*sanction.discounted, *lost),
        measure=measure,
        starts_at=min(ground.at for ground in remaining),
        ends_at=ends_at,
        status="ended" if has_ended else "in_force",
    )


def _rederived(sanction: Sanction, step: int) -> Measure:
    """Return the measure of a strike that is now only the `step`-th.

    Why a walk down the ladder: a ladder may hold a step that is harsher than the one after it, or that takes
    something else; the walk keeps only what every step from the one taken down to this one takes.
    """
    if not sanction.steps:
        return sanction.measure
    measure = sanction.steps[-1]
    for index in range(len(sanction.steps) - 1, step - 1, -1):
        measure = milder_of(measure, sanction.steps[index - 1])
    return measure


def milder_of(one: Measure, other: Measure) -> Measure:
    """Return what both measures take: the weaker effect for the shorter time; nothing where they differ in kind."""
    if one.for_us is None:
        for_us = other.for_us
    else:
        for_us = one.for_us if other.for_us is None else min(one.for_us, other.for_us)
    if _covers(one, other):
        return Measure(effect=other.effect, scope=other.scope, for_us=for_us)
    if _covers(other, one):
        return Measure(effect=one.effect, scope=one.scope, for_us=for_us)
    return Measure(effect="none", for_us=for_us)


def _covers(harsher: Measure, milder: Measure) -> bool:
    if milder.effect == "none":
        return True
    if milder.effect == "warn":
        return harsher.effect != "none"
    if harsher.effect == "suspend":
        return milder.effect in ("suspend", "restrict")
    return harsher.effect == milder.effect and harsher.scope == milder.scope


def _measure_of(action: Warn | Restrict | FreezePayout | Suspend) -> Measure:
    match action:
        case Warn():
            return Measure(effect="warn", for_us=WARNING_STANDS)
        case Restrict(scope=scope, for_us=for_us):
            return Measure(effect="restrict", scope=scope, for_us=for_us)
        case FreezePayout(for_us=for_us):
            return Measure(effect="freeze_payout", for_us=for_us)
        case Suspend(for_us=for_us):
            return Measure(effect="suspend", for_us=for_us)
        case _ as unknown:
            assert_never(unknown)


def _check_fit(command: ImposeSanction) -> None:
    if command.kind == "hide" and command.subject.kind == ACCOUNT:
        raise SanctionUnfit("an account is suspended or restricted; only content is hidden")
    if command.kind != "hide" and command.subject.kind != ACCOUNT:
        raise SanctionUnfit(f"a {command.subject.kind} can only be hidden; sanction the account behind it")
    if command.kind == "restrict" and not command.scope:
        raise SanctionUnfit("a restriction names its scope: messaging, listing, commenting, buying, live")
    if command.kind != "restrict" and command.scope:
        raise SanctionUnfit("only a restriction has a scope")
    if command.for_us is not None and command.for_us <= 0:
        raise SanctionUnfit("a sanction lasts longer than no time at all")
    if not any(text.strip() for text in command.because.values()):
        raise SanctionUnfit("the person judged is told why: `because` must say it")


def _later(one: Instant | None, other: Instant | None) -> Instant | None:
    return None if one is None or other is None else max(one, other)


def _earlier(one: Instant | None, other: Instant) -> Instant:
    return other if one is None else min(one, other)


def _latest(ends: Sequence[Instant | None]) -> Instant | None:
    if not ends:
        return None
    latest: Instant | None = ends[0]
    for end in ends[1:]:
        latest = _later(latest, end)
    return latest
