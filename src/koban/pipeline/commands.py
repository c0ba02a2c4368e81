"""Changes that people make: each is one entry of the log, made by the decider between events.

Every function here has the shape that `Desk.command` wants once its first arguments are bound: it gets the memory and the
transaction, enters the change, stores it and makes memory follow.
"""

from collections.abc import Sequence

import msgspec

import koban.decisions.store as decision_store
from koban import enforcement
from koban.audit import record
from koban.base import Instant, Problem
from koban.db import Tx
from koban.features import FeatureStore, new_features
from koban.lab.drafts import ApprovalMissing, DraftStale
from koban.lab.mode_drafts import expectation_needs_second, expected_of, mode_needs_second
from koban.labels import LABEL_SET, LabelSet, set_label
from koban.lists import (
    ENTRIES_ADDED,
    ENTRY_REMOVED,
    EntriesAdded,
    EntryRemoved,
    add_entries,
    check_declared,
    remove_entry,
)
from koban.packs import ModeName, PackDef, draft_store, save_activation
from koban.packs.draft_store import Permit
from koban.pipeline.holds import withdraw_rules
from koban.pipeline.memory import Compiled, Memory
from koban.pipeline.paying import keep_methods
from koban.pipeline.urgent import refit
from koban.rules import (
    PACK_ACTIVATED,
    RULE_EXPECTED,
    UNPROVEN_ACTIONS,
    ModeChange,
    ModeChanged,
    ModeInvalid,
    PackActivated,
    RuleExpected,
    RuleMissing,
    SnoozeSet,
    change_mode,
    mode_drafts,
    mode_entry_type,
)
from koban.rules.logic import kinds_of_rule
from koban.rules.store import save_expected
from koban.rules.types import ACCOUNT
from koban.scores import SCORE_RECORDED, ScoreRecorded, record_score

UNDO_CHUNK = 20  # decisions in one command, so that none holds the decider for long
VERDICTS = "verdicts:"  # where an undo of a rule goes on, after its sanctions
JOINED_LISTS = frozenset({"device", "ip", "bank", "card", "phone", "email", "address"})


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the log a change stands."""

    seq: int


def change_list(memory: Memory, tx: Tx, change: EntriesAdded | EntryRemoved) -> Entered:
    """Put values on a list or take one off.

    Values of joined personal kinds become pseudonyms first, since that is all that events carry of them.
    Refuses: ListMissing, ListEntryInvalid, ListEntryMissing.
    """
    change = _pseudonymised(memory, change)
    if isinstance(change, EntriesAdded):
        seq, at = memory.enter(ENTRIES_ADDED, msgspec.json.encode(change), about=f"list:{change.list}", cause_seq=None)
        add_entries(tx, seq, at, change, live=memory.lists)
        record(tx, at, change.by, "list.added", change.list, {"values": len(change.values), "seq": seq})
    else:
        seq, at = memory.enter(ENTRY_REMOVED, msgspec.json.encode(change), about=f"list:{change.list}", cause_seq=None)
        remove_entry(tx, seq, at, change, live=memory.lists)
        record(tx, at, change.by, "list.removed", change.list, {"seq": seq})
    memory.undo.append(memory.lists.apply(change))
    return Entered(seq=seq)


def _pseudonymised(memory: Memory, change: EntriesAdded | EntryRemoved) -> EntriesAdded | EntryRemoved:
    declared = memory.compiled.pack.lists
    check_declared(declared, change.list)
    kind = declared[change.list].of
    if kind not in JOINED_LISTS:
        return change

    def stand_in(value: str) -> str:
        return value if value.startswith(f"{kind}~") else memory.vault.pseudonym(str(kind), value)

    if isinstance(change, EntriesAdded):
        return msgspec.structs.replace(change, values=tuple(stand_in(value) for value in change.values))
    return msgspec.structs.replace(change, value=stand_in(change.value))


def label(memory: Memory, tx: Tx, change: LabelSet) -> Entered:
    """Say what a subject is.

    Refuses: LabelInvalid.
    """
    seq, at = memory.enter(
        LABEL_SET,
        msgspec.json.encode(change),
        about=f"{change.subject_kind}:{change.subject_id}",
        cause_seq=None,
    )
    set_label(tx, seq, at, change)
    record(tx, at, change.by, "label.set", f"{change.subject_kind}:{change.subject_id}", {"seq": seq})
    memory.undo.append(memory.labels.apply(change, at))
    return Entered(seq=seq)


def score(memory: Memory, tx: Tx, change: ScoreRecorded) -> Entered:
    """Record what a model says of a subject; decisions read it from the next entry on.

    Refuses: ScoreInvalid.
    """
    about = f"{change.subject_kind}:{change.subject_id}"
    seq, at = memory.enter(SCORE_RECORDED, msgspec.json.encode(change), about=about, cause_seq=None)
    record_score(tx, seq, at, change, declared=memory.compiled.pack.scores)
    record(tx, at, change.by, "score.recorded", about, {"seq": seq})
    memory.undo.append(memory.scores.apply(change))
    return Entered(seq=seq)


def set_mode(memory: Memory, tx: Tx, change: ModeChange) -> Entered:
    """Set a rule's mode, snooze it for a subject, or put all rules to review.

    A subject of a joined personal kind is known by its pseudonym, since that is all that events carry of it.

    Refuses: RuleMissing, ModeInvalid, ApprovalMissing: a severe rule acts on more people only with a second person.
    """
    alone, anew = False, True
    if isinstance(change, SnoozeSet):
        change = _by_its_name(memory, change)
    if isinstance(change, ModeChanged) and change.approved_by is None:
        alone, anew = _needs_second(memory, change), not _is_severe(memory, change.rule)
    kind = mode_entry_type(change)
    about = f"rule:{change.rule}" if hasattr(change, "rule") else "rules"
    seq, at = memory.enter(kind, msgspec.json.encode(change), about=about, cause_seq=None)
    change_mode(tx, seq, at, change, rules=memory.compiled.pack.rules, anew=anew)
    if alone:
        raise ApprovalMissing("The rule is under a severe policy. A second person must agree before it acts.")
    by = change.by if hasattr(change, "by") else "koban"
    record(tx, at, by, kind, about, {"seq": seq})
    memory.undo.append(memory.modes.apply(seq, change))
    if isinstance(change, ModeChanged) and anew:
        memory.undo.append(memory.budgets.restart(change.rule))
    return Entered(seq=seq)


def _by_its_name(memory: Memory, change: SnoozeSet) -> SnoozeSet:
    """Name the subject of a snooze as events do. Refuses: ModeInvalid where no event of the rule names such a kind."""
    pack, kind = memory.compiled.pack, change.kind
    rule = pack.rules.get(change.rule)
    if rule is not None and kind != ACCOUNT and change.until is not None:
        kinds = kinds_of_rule(pack, rule)
        if kind not in kinds:
            problem = Problem(path="/kind", detail=f"The events of this rule name {', '.join(kinds)}.")
            raise ModeInvalid("Nothing was changed.", problems=(problem,))
    if kind not in JOINED_LISTS or change.subject.startswith(f"{kind}~"):
        return change
    return msgspec.structs.replace(change, subject=memory.vault.pseudonym(kind, change.subject))


def _is_severe(memory: Memory, rule: str) -> bool:
    pack = memory.compiled.pack
    return rule in pack.rules and pack.policies[pack.rules[rule].policy].severity == "severe"


def _needs_second(memory: Memory, change: ModeChanged) -> bool:
    rule = memory.compiled.pack.rules.get(change.rule)
    return rule is not None and mode_needs_second(
        memory.compiled.pack, rule, memory.modes.mode(rule), change.mode, tripped=memory.modes.tripped(change.rule)
    )


def set_approved_mode(memory: Memory, tx: Tx, draft: mode_drafts.ModeDraft, by: str) -> Entered:
    """Give a rule the mode or ceiling of a draft that a second person approved, and close the draft.

    Why here: between the look at it and the change another version may come into force; in the decider it cannot.
    Refuses: DraftStale, ModeDraftMissing, RuleMissing.
    """
    base = memory.compiled.pack.digest
    if draft.base != base:
        raise DraftStale(f"It was made over {draft.base[:12]}, and {base[:12]} decides now. Propose it anew.")
    if draft.what == "expectation":
        entered = expect(memory, tx, expected_of(draft, approved_by=by))
    else:
        entered = set_mode(
            memory,
            tx,
            ModeChanged(rule=draft.rule, mode=draft.to, by=draft.author, reason=draft.reason, approved_by=by),
        )
    at = memory.log_time.peek()
    mode_drafts.close_mode_draft(tx, draft.id, at, by=by, state="activated")
    record(tx, at, by, f"{draft.what}.approved", draft.id, {"seq": entered.seq, "rule": draft.rule})
    return entered


def sanction(memory: Memory, tx: Tx, command: enforcement.Command) -> enforcement.Outcome:
    """Impose, lift, overturn or undo by a person's hand.

    Refuses: SanctionMissing, SanctionNotInForce, PolicyUnknown, SanctionUnfit.
    """
    kind = str(command.__struct_config__.tag).replace("_", ".", 1)
    seq, at = memory.enter(f"command.{kind}", msgspec.json.encode(command), about=None, cause_seq=None)
    if isinstance(command, enforcement.UndoRule) and command.after.startswith(VERDICTS):
        return _undo_verdicts_of(memory, tx, command, seq, at)
    outcome = enforcement.carry_out(memory.sanctions, tx, command, memory.compiled.pack.policies, at=at, seq=seq)
    recorded = tuple(memory.enter_change(change, seq) for change in outcome.plan.changes)
    for notice in outcome.plan.notices:
        memory.tell_notice(notice)
    for notice in outcome.plan.withdrawn:
        memory.tell_withdrawal(notice, seq, at)
    memory.tell_states(recorded)
    if isinstance(command, enforcement.UndoItems):
        undo_verdicts(memory, tx, command.verdicts, seq, at)
    record(tx, at, command.by, f"command.{kind}", ",".join(outcome.sanction_ids[:5]), {"seq": seq})
    if isinstance(command, enforcement.UndoRule) and outcome.next_after is None:
        return msgspec.structs.replace(outcome, next_after=f"{VERDICTS}-1")
    return outcome


def _undo_verdicts_of(
    memory: Memory, tx: Tx, command: enforcement.UndoRule, seq: int, at: Instant
) -> enforcement.Outcome:
    """Go on with an undo, whose sanctions are done, through the verdicts to which the rule led."""
    after_seq = int(command.after.removeprefix(VERDICTS))
    seqs = decision_store.read_acted(
        tx, command.rule, since_at=command.since_at, after_seq=after_seq, limit=UNDO_CHUNK + 1
    )
    chunk = seqs[:UNDO_CHUNK]
    undo_verdicts(memory, tx, [enforcement.UndoVerdict(seq=each, rule=command.rule) for each in chunk], seq, at)
    return enforcement.Outcome(
        sanction_ids=(),
        plan=enforcement.Plan(),
        next_after=f"{VERDICTS}{chunk[-1]}" if len(seqs) > UNDO_CHUNK else None,
    )


def undo_verdicts(memory: Memory, tx: Tx, verdicts: Sequence[enforcement.UndoVerdict], seq: int, at: Instant) -> None:
    """Withdraw rules' parts in verdicts: what nothing else stands behind is told to be a mistake, and a hold lifts.

    The decision stays as it was given; that it was withdrawn is a row beside it.
    """
    for each in verdicts:
        withdraw_rules(memory, tx, each.seq, (each.rule,), seq=seq, at=at, why="withdrawn")


def activate(
    memory: Memory,
    tx: Tx,
    compiled: Compiled,
    *,
    by: str,
    reason: str,
    filled: FeatureStore | None = None,
    expected: Sequence[RuleExpected] = (),
) -> Entered:
    """Switch to another version of the pack at one place in the log; runs alone in its batch.

    `filled` holds the new features, computed over the log up to here; unchanged ones carry over. `expected`
    is what its rules are held to from here on, in this transaction: no crash comes in between.
    Refuses: MethodInUse.
    """
    pack: PackDef = compiled.pack
    keep_methods(tx, memory.compiled.pack.payments, pack.payments)
    payload = PackActivated(name=pack.name, label=pack.version, digest=pack.digest, by=by, reason=reason)
    seq, at = memory.enter(PACK_ACTIVATED, msgspec.json.encode(payload), about=f"pack:{pack.name}", cause_seq=None)
    save_activation(tx, seq, at, pack, author=by, reason=reason)
    record(tx, at, by, "pack.activated", pack.digest[:12], {"seq": seq})
    memory.undo.append(memory.lists.set_pack({name: each.entries for name, each in pack.lists.items()}))
    memory.features.switch(tx, compiled.features, seq, filled=filled)
    before, memory.compiled = memory.compiled.pack, compiled
    refit(memory, tx, seq)
    for change in expected:
        expect(memory, tx, change, cause_seq=seq, measured=True)
    _doubt_new_rules(memory, tx, before, seq)
    _stop_used_up(memory, seq, at)
    return Entered(seq=seq)


def activate_with(
    memory: Memory,
    tx: Tx,
    compiled: Compiled,
    permit: Permit,
    *,
    filled: FeatureStore | None = None,
    expected: Sequence[RuleExpected] = (),
) -> Entered:
    """Switch to a version with the permit that was given for it, and close its draft.

    Why here: between permit and switch another version may come into force, or another person close the draft; in the
    decider's own transaction neither can.
    Refuses: DraftStale, DraftMissing, MethodInUse.
    """
    base = memory.compiled.pack.digest
    if permit.base != base:
        raise DraftStale(f"It was made from {permit.base[:12]}, and {base[:12]} decides now. Propose it anew.")
    entered = activate(memory, tx, compiled, by=permit.by, reason=permit.reason, filled=filled, expected=expected)
    at = memory.log_time.peek()
    if permit.draft_id is not None:
        by = permit.approved_by or permit.by
        draft_store.close_draft(tx, permit.draft_id, at, by=by, state="activated")
        record(tx, at, by, "pack.approved", permit.draft_id, {"seq": entered.seq, "ground": permit.ground})
    elif permit.ground == "milder":
        record(tx, at, permit.by, "pack.milder", compiled.pack.digest[:12], {"seq": entered.seq})
    return entered


def expect(
    memory: Memory, tx: Tx, change: RuleExpected, *, cause_seq: int | None = None, measured: bool = False
) -> Entered:
    """Say what is expected of a rule: far above it, it stops by itself. `measured`: Koban found it, no person says it.

    Refuses: RuleMissing, ApprovalMissing: a severe rule may touch more people only with a second person.
    """
    rule = memory.compiled.pack.rules.get(change.rule)
    if rule is None:
        raise RuleMissing(f"The active pack has no rule '{change.rule[:80]}'.")
    said = not measured and change.approved_by is None
    if said and expectation_needs_second(memory.compiled.pack, rule, memory.ceilings.of(rule.name), change):
        raise ApprovalMissing("The rule is under a severe policy. A second person must agree before it may touch more.")
    seq, at = memory.enter(RULE_EXPECTED, msgspec.json.encode(change), about=f"rule:{change.rule}", cause_seq=cause_seq)
    save_expected(tx, seq, at, change)
    memory.undo.append(memory.ceilings.apply(change))
    record(tx, at, change.by, RULE_EXPECTED, f"rule:{change.rule}", {"seq": seq, "ceiling": change.ceiling})
    return Entered(seq=seq)


def _doubt_new_rules(memory: Memory, tx: Tx, before: PackDef, cause_seq: int) -> None:
    """Let rules that come with another pack, live, and of which nothing is known, act a few times only.

    A rule that only changed keeps what was expected of it; the pack that an installation begins with is not doubted.
    """
    for name, rule in memory.compiled.pack.rules.items():
        if name in before.rules or memory.modes.mode(rule).name is not ModeName.LIVE:
            continue
        if memory.ceilings.of(name) is None:
            doubted = RuleExpected(
                rule=name, basis="none", people=0, hours=0, ceiling=UNPROVEN_ACTIONS, counts="actions", by="koban",
                reason="new, live, and without a backtest or a past of its own",
            )  # fmt: skip
            expect(memory, tx, doubted, cause_seq=cause_seq, measured=True)


def _stop_used_up(memory: Memory, seq: int, at: Instant) -> None:
    """Stop rules that harmed more people within the hour than they may from here on: the next one would be too many."""
    for name, rule in memory.compiled.pack.rules.items():
        if memory.modes.mode(rule).name is ModeName.LIVE:
            memory.stop_used_up(name, rule.cap_per_hour, seq, at)


def features_to_fill(memory: Memory, compiled: Compiled) -> frozenset[str]:
    """Name the features of another version that do not carry over and want the log's past."""
    return frozenset(new_features(memory.compiled.features, compiled.features))
