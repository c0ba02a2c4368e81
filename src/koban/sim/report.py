"""The report: what Koban decided, held against what is true. Found and missed by trick and by name, and who was hurt."""

import collections
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import httpx
import msgspec

from koban.base import MINUTE, Instant, Unavailable, from_rfc3339, wilson
from koban.sim.runner import Target
from koban.sim.types import AccountTruth, EventTruth, KeptBack, TruthRow

_PAGE: Final = 200  # the most that a page of the API holds
_LINKS: Final = 3  # decisions that a line leads to
_STOPPING: Final = frozenset({"block", "hold", "challenge"})
_LATE: Final = "(answered too late)"  # stands where a rule would, for verdicts that no rule gave
_PERSONAL: Final = ("suspended", "restricted_", "payout_frozen")  # reasons that lie in the account itself
_HURTING: Final = frozenset({"hide", "block", "hold", "challenge", "restrict", "freeze_payout", "suspend", "strike"})


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that matched, as the API tells it."""

    rule: str
    policy: str = ""
    applied: bool = False
    withheld: str = ""
    actions: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision, as the API tells it; other fields are skipped."""

    id: str
    verdict: str
    type: str = ""
    signals: tuple[Signal, ...] = ()
    seq: int = 0
    sanctions: tuple[str, ...] = ()
    fallback: bool = False  # the answer came too late, so the event type's own fallback was given


class SanctionFact(msgspec.Struct, frozen=True, kw_only=True):
    """When a sanction was imposed and how it ended; `how` is empty while it stands."""

    id: str
    imposed_at: Instant
    closed_at: Instant | None = None
    how: str = ""


LookUp = Callable[[Sequence[str]], Mapping[str, SanctionFact]]


class TrickLine(msgspec.Struct, frozen=True, kw_only=True):
    """How one trick fared. Yen: `stopped` never left, `reviewed` went on with a person told, the rest was lost."""

    trick: str
    accounts: int
    accounts_found: int
    harms: int  # wrongs that were sent
    harms_found: int
    harms_prevented: int  # wrongs that an earlier action kept from happening
    harms_shadowed: int  # seen only by rules that may not act
    planted_minor: int
    stopped_minor: int
    reviewed_minor: int


class CulpritLine(msgspec.Struct, frozen=True, kw_only=True):
    """How one adversary fared."""

    trick: str
    account: str
    name: str
    found: bool
    harms: int
    harms_found: int
    harms_prevented: int
    planted_minor: int
    stopped_minor: int
    rules: tuple[str, ...]
    seqs: tuple[int, ...]  # the first of the decisions on what it did


class HurtLine(msgspec.Struct, frozen=True, kw_only=True):
    """An honest person whom a judgement hindered, and the rules that did it."""

    account: str
    name: str
    persona: str
    events: int  # judged against this person
    prevented: int  # never happened because of a sanction
    verdicts: tuple[str, ...]
    rules: tuple[str, ...]
    seqs: tuple[int, ...]  # the first of those decisions
    standing: bool  # a sanction from them is still in force
    undone_after_us: int | None  # from the first sanction to the last one's overturning; None: not undone, or none


class SpokenLine(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule or policy acted, by what was true. `beside`: on scammers' harmless deeds and victims' orders."""

    name: str
    harmful: int
    honest: int
    beside: int
    people_hurt: int


class SimReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole account of a run."""

    events: int
    decided: int
    prevented: int
    verdicts: Mapping[str, int]
    honest_events: int
    honest_people: int
    honest_hurt: int
    honest_warned: int
    hurt_by_rule: Mapping[str, int]  # rule -> honest people
    planted_minor: int
    stopped_minor: int
    reviewed_minor: int
    tricks: Sequence[TrickLine]
    culprits: Sequence[CulpritLine]
    hurt: Sequence[HurtLine]
    hurt_standing: int  # of the honest people hurt: those against whom something still stands
    rules: Sequence[SpokenLine]
    policies: Sequence[SpokenLine]


def _nothing_known(_ids: Sequence[str]) -> Mapping[str, SanctionFact]:
    return {}


def report(
    truth: Iterable[TruthRow],
    decisions: Iterable[Decision],
    kept_back: Iterable[KeptBack] = (),
    *,
    sanctions: LookUp = _nothing_known,
) -> SimReport:
    """Hold decisions against the truth. Events that were neither decided nor kept back are not counted.

    A wrong is found when its event has another verdict than allow that is no fallback, or a signal that acted. Planted money is stopped
    when its event, or an earlier one of the same incident, was blocked, held or challenged, or when it never happened. An
    adversary is found when one of its events is, or a victim's in the same incident: a report that is believed.
    An honest person is hurt by a block, hold, challenge or sanction over an event that belongs to no incident, or when
    a sanction on the account kept such an event from happening.
    """
    people, events = _sorted_truth(truth)
    decided = {decision.id: decision for decision in decisions}
    kept = list(kept_back)
    prevented = frozenset(row.event_id for row in kept)
    personal = frozenset(row.event_id for row in kept if row.reason.startswith(_PERSONAL))
    judged = [event for event in events if event.event_id in decided or event.event_id in prevented]
    stopped, reviewed = _money(judged, decided, prevented)
    outcome = _Outcome(decided=decided, prevented=prevented, stopped=stopped, reviewed=reviewed)
    culprits = _culprits(people, judged, outcome)
    tricks = _tricks(judged, outcome, culprits)
    hurt, warned = _hurt(people, judged, decided, personal, sanctions)
    verdicts = collections.Counter(decided[event.event_id].verdict for event in judged if event.event_id in decided)
    by_rule = collections.Counter(rule for line in hurt for rule in line.rules)
    honest = [event for event in judged if event.trick is None]
    return SimReport(
        events=len(events),
        decided=verdicts.total(),
        prevented=sum(event.event_id in prevented for event in judged),
        verdicts=dict(sorted(verdicts.items())),
        honest_events=len(honest),
        honest_people=len({event.account for event in honest}),
        honest_hurt=len(hurt),
        honest_warned=warned,
        hurt_by_rule=dict(sorted(by_rule.items(), key=lambda pair: (-pair[1], pair[0]))),
        planted_minor=sum(event.planted_minor for event in judged),
        stopped_minor=sum(stopped.values()),
        reviewed_minor=sum(reviewed.values()),
        tricks=tricks,
        culprits=culprits,
        hurt=hurt,
        hurt_standing=sum(line.standing for line in hurt),
        rules=_spoken(people, judged, decided, hurt, lambda signal: signal.rule),
        policies=_spoken(people, judged, decided, hurt, lambda signal: signal.policy),
    )


def fetch_decisions(target: Target, source: str) -> Iterator[Decision]:
    """Read all decisions on the events of a source, page by page. Outages: Unavailable, with what was answered."""
    with httpx.Client(
        base_url=target.base_url,
        headers={"authorization": f"Bearer {target.token}"},
        timeout=httpx.Timeout(60.0),
        trust_env=False,
    ) as client:
        cursor: str | None = None
        while True:
            query = {"source": source, "limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
            try:
                answer = client.get("/v1/decisions", params=query)
            except httpx.TransportError as error:
                raise Unavailable("koban", 5, f"Koban at {target.base_url} did not answer: {error}") from error
            if not answer.is_success:
                raise Unavailable("koban", 5, f"GET /v1/decisions answered {answer.status_code}: {answer.text[:300]}")
            page = msgspec.json.decode(answer.content, type=_Page)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return


def fetch_sanctions(target: Target) -> LookUp:
    """Return what asks Koban for sanctions by their ids. Outages: Unavailable."""

    def look_up(ids: Sequence[str]) -> Mapping[str, SanctionFact]:
        found: dict[str, SanctionFact] = {}
        with httpx.Client(
            base_url=target.base_url,
            headers={"authorization": f"Bearer {target.token}"},
            timeout=httpx.Timeout(60.0),
            trust_env=False,
        ) as client:
            for each in ids:
                answer = client.get(f"/v1/sanctions/{each}")
                if not answer.is_success:
                    raise Unavailable("koban", 5, f"GET /v1/sanctions answered {answer.status_code}")
                found[each] = _fact(answer.json()["sanction"])
        return found

    return look_up


def _fact(body: Mapping[str, object]) -> SanctionFact:
    closing = body["closing"]
    closed = closing if isinstance(closing, dict) else {}
    imposed_at = from_rfc3339(str(body["imposed_at"]))
    assert imposed_at is not None, "Koban writes moments that it can read"
    return SanctionFact(
        id=str(body["id"]),
        imposed_at=imposed_at,
        closed_at=from_rfc3339(str(closed["at"])) if closed else None,
        how=str(closed.get("how", "")),
    )


def render(result: SimReport, *, names: int = 40) -> str:
    """Write a report as tables for a terminal; `names` bounds the list of adversaries and of honest people."""
    import rich.box
    import rich.console
    import rich.table

    out = io.StringIO()
    console = rich.console.Console(file=out, width=120, force_terminal=False, highlight=False)
    share = 100 * result.verdicts.get("allow", 0) / max(result.decided, 1)
    console.print(f"{result.decided:,} events decided, {share:.1f} % allowed; {result.prevented:,} never happened")
    console.print(
        f"¥{result.planted_minor:,} planted, ¥{result.stopped_minor:,} stopped, ¥{result.reviewed_minor:,} in review"
    )
    table = rich.table.Table(box=rich.box.SIMPLE, title="By trick", title_justify="left")
    for heading in ("trick", "accounts", "found", "wrongs", "found", "prevented", "shadow", "planted ¥", "stopped ¥"):
        table.add_column(heading, justify="left" if heading == "trick" else "right")
    for line in result.tricks:
        counts = (line.accounts, line.accounts_found, line.harms, line.harms_found, line.harms_prevented)
        money = (line.harms_shadowed, line.planted_minor, line.stopped_minor)
        table.add_row(line.trick, *(f"{count:,}" for count in counts + money))
    console.print(table)
    missed = [line for line in result.culprits if not line.found]
    console.print(f"Missed by name: {len(missed)} of {len(result.culprits)}")
    for culprit in missed[:names]:
        console.print(f"  {culprit.trick:22} {culprit.name} ({culprit.account}), wrongs {culprit.harms}", markup=False)
    console.print(
        f"Honest people hurt: {result.honest_hurt} of {result.honest_people:,}; warned: {result.honest_warned}"
    )
    for rule, count in result.hurt_by_rule.items():
        console.print(f"  {rule:32} {count}", markup=False)
    for person in result.hurt[:names]:
        rules = ", ".join(person.rules) or "a sanction"
        after = person.undone_after_us
        undone = (
            "still in force" if person.standing else "" if after is None else f"undone after {after / MINUTE:.1f} min"
        )
        console.print(f"  {person.name} ({person.account}, {person.persona}): {rules}  {undone}".rstrip(), markup=False)
    for heading, lines in (("By policy", result.policies), ("By rule", result.rules)):
        spoken = rich.table.Table(box=rich.box.SIMPLE, title=heading, title_justify="left")
        for name in ("name", "right", "wrong", "precision, 95 %", "beside", "people hurt"):
            spoken.add_column(name, justify="left" if name == "name" else "right")
        for each in lines:
            spoken.add_row(
                each.name,
                f"{each.harmful:,}",
                f"{each.honest:,}",
                _interval(each.harmful, each.harmful + each.honest),
                f"{each.beside:,}",
                f"{each.people_hurt:,}",
            )
        console.print(spoken)
    return out.getvalue()


def _interval(hits: int, of: int) -> str:
    share = wilson(hits, of)
    if share.value is None or share.low is None or share.high is None:
        return "–"
    return f"{share.value * 100:.0f} % ({share.low * 100:.0f}–{share.high * 100:.0f})"


class _Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of events: decided or prevented, and planted yen by event."""

    decided: Mapping[str, Decision]
    prevented: frozenset[str]
    stopped: Mapping[str, int]
    reviewed: Mapping[str, int]

    def found(self, event: EventTruth) -> bool:
        """Return whether Koban saw anything in this event and was allowed to say so."""
        return _found(self.decided.get(event.event_id))


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[Decision, ...]
    next_cursor: str | None = None


def _sorted_truth(truth: Iterable[TruthRow]) -> tuple[dict[str, AccountTruth], list[EventTruth]]:
    people: dict[str, AccountTruth] = {}
    events: list[EventTruth] = []
    for row in truth:
        if isinstance(row, AccountTruth):
            people[row.account] = row
        else:
            events.append(row)
    return people, events


def _found(decision: Decision | None) -> bool:
    if decision is None:
        return False
    return any(signal.applied for signal in decision.signals) or (decision.verdict != "allow" and not decision.fallback)


def _shadowed(decision: Decision | None) -> bool:
    return decision is not None and not _found(decision) and bool(decision.signals)


def _money(
    judged: list[EventTruth], decided: Mapping[str, Decision], prevented: frozenset[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return planted yen by event: what was stopped, and what only went to a person for review."""
    stopped: dict[str, int] = {}
    reviewed: dict[str, int] = {}
    closed: set[str] = set()  # incidents that were stopped
    noticed: set[str] = set()  # incidents that a person was told of
    for event in judged:
        decision = decided.get(event.event_id)
        halted = event.event_id in prevented or (decision is not None and decision.verdict in _STOPPING)
        if halted and event.incident is not None and (event.trick is not None or event.event_id not in prevented):
            closed.add(event.incident)
        if event.incident is not None and _found(decision):
            noticed.add(event.incident)
        if not event.planted_minor:
            continue
        if halted or event.incident in closed:
            stopped[event.event_id] = event.planted_minor
        elif _found(decision) or event.incident in noticed:
            reviewed[event.event_id] = event.planted_minor
    return stopped, reviewed


def _rules_of(decisions: Iterable[Decision | None]) -> tuple[str, ...]:
    names: set[str] = set()
    for decision in decisions:
        if decision is not None:
            names.update(signal.rule for signal in decision.signals if signal.applied)
            if decision.fallback and decision.verdict != "allow":
                names.add(_LATE)
    return tuple(sorted(names))


def _seqs_of(decisions: Iterable[Decision | None]) -> tuple[int, ...]:
    return tuple(decision.seq for decision in decisions if decision is not None and decision.seq)[:_LINKS]


def _spoken(
    people: Mapping[str, AccountTruth],
    judged: Sequence[EventTruth],
    decided: Mapping[str, Decision],
    hurt: Sequence[HurtLine],
    name_of: Callable[[Signal], str],
) -> list[SpokenLine]:
    """Count by rule or policy how often it acted on a wrong, on something honest, and beside both."""
    counts: dict[str, collections.Counter[str]] = {}
    harmed: dict[str, set[str]] = {}
    hurt_accounts = {line.account for line in hurt}
    for event in judged:
        decision = decided.get(event.event_id)
        if decision is None:
            continue
        person = people.get(event.account)
        honest = event.trick is None and event.incident is None and (person is None or person.trick is None)
        kind = "harmful" if event.harm else "honest" if honest else "beside"
        for name in {name_of(signal) for signal in decision.signals if signal.applied}:
            counts.setdefault(name, collections.Counter())[kind] += 1
            if kind == "honest" and event.account in hurt_accounts and _hinders(decision):
                harmed.setdefault(name, set()).add(event.account)
    return [
        SpokenLine(
            name=name,
            harmful=count["harmful"],
            honest=count["honest"],
            beside=count["beside"],
            people_hurt=len(harmed.get(name, ())),
        )
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    ]


def _culprits(people: Mapping[str, AccountTruth], judged: list[EventTruth], outcome: _Outcome) -> list[CulpritLine]:
    deeds: dict[tuple[str, str], list[EventTruth]] = {}
    noticed = {event.incident for event in judged if event.incident is not None and outcome.found(event)}
    for event in judged:
        person = people.get(event.account)
        # A rigged auction is closed in the name of a host who may know nothing of it.
        if event.trick is not None and person is not None and (person.trick is not None or person.stolen):
            deeds.setdefault((event.trick, event.account), []).append(event)
    return [
        CulpritLine(
            trick=trick,
            account=account,
            name=people[account].name,
            found=any(outcome.found(event) or event.incident in noticed for event in events),
            harms=sum(event.harm and event.event_id not in outcome.prevented for event in events),
            harms_found=sum(event.harm and outcome.found(event) for event in events),
            harms_prevented=sum(event.harm and event.event_id in outcome.prevented for event in events),
            planted_minor=sum(event.planted_minor for event in events),
            stopped_minor=sum(outcome.stopped.get(event.event_id, 0) for event in events),
            rules=_rules_of(outcome.decided.get(event.event_id) for event in events),
            seqs=_seqs_of(
                outcome.decided.get(event.event_id) for event in sorted(events, key=lambda one: not one.harm)
            ),
        )
        for (trick, account), events in sorted(deeds.items())
    ]


def _tricks(judged: list[EventTruth], outcome: _Outcome, culprits: Sequence[CulpritLine]) -> list[TrickLine]:
    by_trick: dict[str, list[EventTruth]] = {}
    for event in judged:
        if event.trick is not None:
            by_trick.setdefault(event.trick, []).append(event)
    lines: list[TrickLine] = []
    for trick, events in sorted(by_trick.items()):
        wrongs = [event for event in events if event.harm]
        own = [line for line in culprits if line.trick == trick]
        lines.append(
            TrickLine(
                trick=trick,
                accounts=len(own),
                accounts_found=sum(line.found for line in own),
                harms=sum(event.event_id not in outcome.prevented for event in wrongs),
                harms_found=sum(outcome.found(event) for event in wrongs),
                harms_prevented=sum(event.event_id in outcome.prevented for event in wrongs),
                harms_shadowed=sum(_shadowed(outcome.decided.get(event.event_id)) for event in wrongs),
                planted_minor=sum(event.planted_minor for event in events),
                stopped_minor=sum(outcome.stopped.get(event.event_id, 0) for event in events),
                reviewed_minor=sum(outcome.reviewed.get(event.event_id, 0) for event in events),
            )
        )
    return lines


def _hurt(
    people: Mapping[str, AccountTruth],
    judged: list[EventTruth],
    decided: Mapping[str, Decision],
    barred: frozenset[str],
    sanctions: LookUp,
) -> tuple[list[HurtLine], int]:
    """Return the honest people whom something hindered, and how many were only warned.

    `barred` are events that a sanction on the very person prevented; those over a hidden listing or a stopped order
    are the consequence of a judgement that counts by itself.
    """
    against: dict[str, list[EventTruth]] = {}
    warned: set[str] = set()
    for event in judged:
        person = people.get(event.account)
        if event.trick is not None or event.incident is not None or (person is not None and person.trick is not None):
            continue
        decision = decided.get(event.event_id)
        if event.event_id in barred or (decision is not None and _hinders(decision)):
            against.setdefault(event.account, []).append(event)
        elif decision is not None and decision.verdict == "warn":
            warned.add(event.account)
    lines: list[HurtLine] = []
    imposed = {account: _imposed(events, decided) for account, events in against.items()}
    facts = sanctions(sorted({each for ids in imposed.values() for each in ids}))
    for account, events in sorted(against.items()):
        known = people.get(account)
        own = [facts[each] for each in imposed[account] if each in facts]
        verdicts = {decided[event.event_id].verdict for event in events if event.event_id in decided}
        lines.append(
            HurtLine(
                account=account,
                name=known.name if known else account,
                persona=known.persona if known else "",
                events=sum(event.event_id in decided for event in events),
                prevented=sum(event.event_id in barred for event in events),
                verdicts=tuple(sorted(verdicts)),
                rules=_rules_of(decided.get(event.event_id) for event in events),
                seqs=_seqs_of(decided.get(event.event_id) for event in events),
                standing=any(not fact.how for fact in own),
                undone_after_us=_undone_after(own),
            )
        )
    return lines, len(warned - set(against))


def _imposed(events: Sequence[EventTruth], decided: Mapping[str, Decision]) -> tuple[str, ...]:
    found = [decided[event.event_id] for event in events if event.event_id in decided]
    return tuple(dict.fromkeys(each for decision in found for each in decision.sanctions))


def _undone_after(facts: Sequence[SanctionFact]) -> int | None:
    """Return how long a person was hindered before all of it was overturned; None where it was not."""
    overturned = [fact.closed_at for fact in facts if fact.how == "overturned" and fact.closed_at is not None]
    if not facts or len(overturned) < len(facts):
        return None
    return max(overturned) - min(fact.imposed_at for fact in facts)


def _hinders(decision: Decision) -> bool:
    if decision.verdict in _STOPPING:
        return True
    return any(
        signal.applied and any(action.replace(":", " ").split(" ")[0] in _HURTING for action in signal.actions)
        for signal in decision.signals
    )
