"""What a judgement is made of, read and derived before anything happens: the preview and the deed use the same."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

import koban.cases.actions as case_actions
import koban.cases.store as case_store
import koban.decisions.store as decision_store
import koban.enforcement.logic as sanction_logic
import koban.enforcement.store as sanction_store
from koban.base import Instant, from_rfc3339
from koban.cases import Case, work_store
from koban.cases.types import (
    CaseMember,
    DecideCase,
    JudgementUnfit,
    Preview,
    Told,
)
from koban.db import Tx
from koban.decisions import DecisionRecord, remaining_verdict
from koban.enforcement import ImposeSanction, Sanction, SubjectRef, messages
from koban.packs import PackDef, PolicyDef, QueueDef, Texts

ACCOUNT: Final = "account"
MEMBERS_MAX: Final = 500
REPORTERS_MAX: Final = 200
SIGNALS_MAX: Final = 500
ZONE: Final = "Asia/Tokyo"  # of the dates in messages; there is one marketplace group, and it lives there


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """What a judgement is about, read once: the subjects chosen, who is behind them, what rules said."""

    case: Case
    policy: PolicyDef
    members: tuple[CaseMember, ...]
    accounts: tuple[SubjectRef, ...]
    rules: tuple[str, ...]
    event_ids: tuple[str, ...]
    because: Texts
    reporters: tuple[str, ...]
    decided: tuple[int, ...]  # the decisions on those events
    held: tuple[int, ...]  # those of them whose event still waits


def read_occasion(tx: Tx, pack: PackDef, case: Case, command: DecideCase, at: Instant) -> Occasion:
    """Read what a judgement is about.

    Refuses: JudgementUnfit.
    """
    policy = pack.policies.get(command.policy or case.policy)
    if policy is None:
        raise JudgementUnfit(f"The pack in force has no policy {(command.policy or case.policy)[:80]!r}.")
    members = case_store.read_members(tx, case.id, limit=MEMBERS_MAX)
    if command.subjects is not None:
        wanted = frozenset(command.subjects)
        if wanted - {member.subject for member in members}:
            raise JudgementUnfit("A subject that was chosen does not belong to the case.")
        members = [member for member in members if member.subject in wanted]
    signals = case_store.read_signals(tx, case.id, limit=SIGNALS_MAX)
    accounts = dict.fromkeys(
        account
        for member in members
        for account in (member.subject if member.subject.kind == ACCOUNT else member.acting,)
        if account is not None and account.kind == ACCOUNT
    )
    because = next((signal.because for signal in signals if signal.policy == policy.name), None)
    chosen = {member.event_id for member in members}
    events = {member.seq for member in members} | {
        signal.seq for signal in signals if command.subjects is None or signal.event_id in chosen
    }
    decided = tuple(sorted(events))
    return Occasion(
        case=case,
        policy=policy,
        members=tuple(members),
        accounts=tuple(accounts),
        rules=tuple(sorted({signal.rule for signal in signals})),
        event_ids=tuple(dict.fromkeys([*chosen, *(signal.event_id for signal in signals)]))
        if command.subjects is None
        else tuple(sorted(chosen)),
        because=because or (signals[0].because if signals else policy.title),
        reporters=tuple(case_store.reporters_of(tx, case.id, limit=REPORTERS_MAX)),
        decided=decided,
        held=tuple(held_of(tx, decided, at)),
    )


def held_of(tx: Tx, decisions: Sequence[int], at: Instant) -> dict[int, DecisionRecord]:
    """Return those of some decisions whose event is still held."""
    ended = decision_store.read_hold_ends(tx, decisions)
    return {
        decision: record
        for decision, record in decision_store.read_bodies(tx, decisions).items()
        if record.hold is not None
        and decision not in ended
        and (lifts_at := from_rfc3339(record.hold.lifts_at)) is not None
        and lifts_at > at
    }


def would_release(tx: Tx, occasion: Occasion) -> tuple[int, int]:
    """Return what finding everybody honest would do: held events that go on, and other verdicts called mistakes."""
    released = withdrawn = 0
    for decision, record in decision_store.read_bodies(tx, occasion.decided).items():
        before = decision_store.read_withdrawn(tx, decision)
        after = before | rules_behind(record, occasion)
        changes = remaining_verdict(record, before) != remaining_verdict(record, after)
        released += changes and decision in occasion.held
        withdrawn += changes and record.verdict in {"block", "challenge"}
    return released, withdrawn


def rules_behind(record: DecisionRecord, occasion: Occasion) -> frozenset[str]:
    """Return the rules that acted on an event and that the case is about; others have cases of their own."""
    return frozenset(signal.rule for signal in record.signals if signal.applied and signal.rule in occasion.rules)


def check_judgement(occasion: Occasion, command: DecideCase) -> None:
    """Check that a judgement fits what it is about.

    Refuses: JudgementUnfit.
    """
    if not occasion.members:
        raise JudgementUnfit("Choose at least one subject of the case.")
    if command.outcome != "upheld" and (command.hide or command.strike):
        raise JudgementUnfit("A measure follows only where the policy was broken.")
    if command.hide and all(member.subject.kind == ACCOUNT for member in occasion.members):
        raise JudgementUnfit("Nothing of this case can be hidden: it is about an account.")
    if command.strike and not occasion.accounts:
        raise JudgementUnfit("Nobody is known who could be given a strike.")
    if command.facts and not all(command.facts.get(language, "").strip() for language in ("en", "ja")):
        raise JudgementUnfit("The facts for the person are given in both languages, or not at all.")


def needs_second(pack: PackDef, occasion: Occasion, command: DecideCase) -> bool:
    """Return whether a judgement waits for a second person: severe measures, and queues where two people look.

    Blocking for good what was only held is a measure.
    """
    queue: QueueDef | None = pack.queues.get(occasion.case.queue)
    if queue is not None and queue.two_people:
        return True
    return (
        command.outcome == "upheld"
        and bool(command.hide or command.strike or occasion.held)
        and occasion.policy.second_person
    )


def impositions(occasion: Occasion, command: DecideCase) -> tuple[ImposeSanction, ...]:
    """Return the sanctions that a judgement asks for: content first, then whoever is behind it."""
    facts = facts_of(occasion, command)
    asked: list[ImposeSanction] = []
    make = functools.partial(
        ImposeSanction,
        policy=occasion.policy.name,
        by=command.by,
        because=facts,
        market=occasion.case.market,
        case_id=occasion.case.id,
        proposed_by=command.proposed_by,
        detected_by=occasion.rules,
        reported=bool(occasion.reporters),
    )
    if command.hide:
        asked += [
            make(subject=member.subject, kind="hide", about=member.acting, event_ids=(member.event_id,))
            for member in occasion.members
            if member.subject.kind != ACCOUNT
        ]
    if command.strike:
        for account in occasion.accounts:
            its = [member for member in occasion.members if account in (member.subject, member.acting)]
            about = next((member.subject for member in its if member.subject != account), None)
            event_ids = tuple(dict.fromkeys(member.event_id for member in its))
            asked.append(make(subject=account, kind="strike", about=about, event_ids=event_ids))
    return tuple(asked)


def facts_of(occasion: Occasion, command: DecideCase) -> Texts:
    """Return what the person is told was seen: the decider's own words, or the rule's reason."""
    return command.facts or occasion.because


def wrongs(occasion: Occasion, history: Iterable[Sanction]) -> tuple[str, ...]:
    """Return what rules did over the events of a case and still stands or counts."""
    events = frozenset(occasion.event_ids)
    return tuple(
        each.id
        for each in history
        if each.status != "overturned"
        and any(ground.actor is None and ground.event_id in events for ground in each.grounds)
    )


def done_to(
    account: SubjectRef,
    occasion: Occasion,
    command: DecideCase,
    history: Mapping[SubjectRef, Sequence[Sanction]],
    at: Instant,
) -> tuple[messages.Done, ...]:
    """Return the measures of a judgement as one person is told of them; `history` holds them already."""
    done: list[messages.Done] = []
    its = [member.subject for member in occasion.members if account == member.acting and member.subject != account]
    if command.hide:
        done += [messages.Done(effect="hide", thing=kind) for kind in dict.fromkeys(subject.kind for subject in its)]
    if command.strike:
        for each in history.get(account, ()):
            if each.kind == "strike" and each.policy == occasion.policy.name and each.stands_at(at):
                done.append(
                    messages.Done(
                        effect=each.measure.effect, scope=each.measure.scope, until=each.ends_at, thing=ACCOUNT
                    )
                )
    return tuple(done)


def story_of(occasion: Occasion, command: DecideCase, done: Sequence[messages.Done], at: Instant) -> messages.Story:
    """Return what the message to the person judged says."""
    return messages.Story(
        title=occasion.policy.title,
        text=occasion.policy.text,
        facts=facts_of(occasion, command),
        done=done,
        detected=bool(occasion.rules) and not occasion.reporters,
        reported=bool(occasion.reporters),
        appeal_until=Instant(at + sanction_logic.APPEAL_FOR),
    )


def preview(tx: Tx, pack: PackDef, command: DecideCase, at: Instant) -> Preview:
    """Return what a judgement would bring, from the same parts; nothing happens.

    Refuses: CaseMissing, JudgementUnfit, PolicyUnknown, SanctionUnfit.
    """
    case = case_actions.find(tx, command.case_id)
    if command.proposal is not None and case.proposal == command.proposal:
        proposal = work_store.read_proposal(tx, command.proposal)
        if proposal is not None:
            command = proposal.command
    occasion = read_occasion(tx, pack, case, command, at)
    check_judgement(occasion, command)
    subjects = dict.fromkeys([*(member.subject for member in occasion.members), *occasion.accounts])
    history = {subject: sanction_store.read_of_subject(tx, subject) for subject in subjects}
    taken_back: tuple[str, ...] = ()
    if command.outcome == "honest" and command.take_back:
        taken_back = wrongs(occasion, [each for several in history.values() for each in several])
    for asked in impositions(occasion, command):
        plan = sanction_logic.plan_by_hand(asked, pack.policies, lambda subject: history.get(subject, []), at=at, seq=0)
        held = {each.id: each for each in history[asked.subject]}
        for change in plan.changes:
            after = sanction_logic.applied_to(held.get(sanction_logic.sanction_id_of(change)), change)
            held[after.id] = after
        history[asked.subject] = list(held.values())
    measures: dict[str, Mapping[str, str]] = {}
    told: list[Told] = []
    language = language_of(case.market)
    for account in occasion.accounts:
        done = done_to(account, occasion, command, history, at)
        for each in done:
            sentence = messages.measure_sentence(each, ZONE)
            measures[sentence["en"]] = sentence
        if done:
            message = messages.decision_message(story_of(occasion, command, done, at), ZONE)
            told.append(Told(to=account, role="author", language=language, message=message))
        elif taken_back:
            message = messages.restored_message(command.facts or messages.both(""))
            told.append(Told(to=account, role="author", language=language, message=message))
    if command.outcome != "unclear":
        message = messages.reporter_message("acted" if command.outcome == "upheld" else "kept")
        told += [
            Told(to=SubjectRef(kind=ACCOUNT, id=reporter), role="reporter", language=language, message=message)
            for reporter in occasion.reporters
        ]
    corrected = 0
    if taken_back:
        warned = sanction_store.read_notices_about(tx, case_ids=(), event_ids=occasion.event_ids, limit=MEMBERS_MAX)
        corrected = len({notice.to for notice in warned})
    released, withdrawn = would_release(tx, occasion) if command.outcome == "honest" else (0, 0)
    return Preview(
        second_person=needs_second(pack, occasion, command),
        measures=tuple(measures.values()),
        hidden=sum(member.subject.kind != ACCOUNT for member in occasion.members) if command.hide else 0,
        accounts=len(occasion.accounts),
        taken_back=taken_back,
        labels=0 if command.outcome == "unclear" else len(occasion.members),
        told=tuple(told),
        corrected=corrected,
        released=released,
        withdrawn=withdrawn if command.take_back else 0,
        blocked=len(occasion.held) if command.outcome == "upheld" else 0,
    )


def language_of(market: str) -> str:
    """Return the language of a market's people."""
    return "ja" if market.lower() in ("", "jp", "ja", "japan") else "en"
