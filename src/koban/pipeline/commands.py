"""Changes that people make: each is one entry of the log, made by the decider between events.

Every function here has the shape that `Desk.command` wants once its first arguments are bound: it gets the memory and the
transaction, enters the change, stores it and makes memory follow.
"""

import msgspec

from koban import enforcement
from koban.audit import record
from koban.db import Tx
from koban.features import FeatureStore, new_features
from koban.labels import LABEL_SET, LabelSet, set_label
from koban.lists import ENTRIES_ADDED, ENTRY_REMOVED, EntriesAdded, EntryRemoved, ListMissing, add_entries, remove_entry
from koban.packs import PackDef, save_activation
from koban.pipeline.memory import Compiled, Memory
from koban.rules import PACK_ACTIVATED, ModeChange, ModeChanged, PackActivated, change_mode, mode_entry_type

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
    definition = memory.compiled.pack.lists.get(change.list)
    if definition is None:
        raise ListMissing(f"The active pack declares no list '{change.list[:80]}'.")
    kind = definition.of
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


def set_mode(memory: Memory, tx: Tx, change: ModeChange) -> Entered:
    """Set a rule's mode, snooze it for an account, or put all rules to review.

    Refuses: RuleMissing, ModeInvalid.
    """
    kind = mode_entry_type(change)
    about = f"rule:{change.rule}" if hasattr(change, "rule") else "rules"
    seq, at = memory.enter(kind, msgspec.json.encode(change), about=about, cause_seq=None)
    change_mode(tx, seq, at, change, rules=memory.compiled.pack.rules)
    by = change.by if hasattr(change, "by") else "koban"
    record(tx, at, by, kind, about, {"seq": seq})
    memory.undo.append(memory.modes.apply(seq, change))
    if isinstance(change, ModeChanged):
        memory.undo.append(memory.budgets.restart(change.rule))
    return Entered(seq=seq)


def sanction(memory: Memory, tx: Tx, command: enforcement.Command) -> enforcement.Outcome:
    """Impose, lift, overturn or undo by a person's hand.

    Refuses: SanctionMissing, SanctionNotInForce, PolicyUnknown, SanctionUnfit.
    """
    kind = str(command.__struct_config__.tag).replace("_", ".", 1)
    seq, at = memory.enter(f"command.{kind}", msgspec.json.encode(command), about=None, cause_seq=None)
    outcome = enforcement.carry_out(memory.sanctions, tx, command, memory.compiled.pack.policies, at=at, seq=seq)
    recorded = tuple(memory.enter_change(change, seq) for change in outcome.plan.changes)
    for notice in outcome.plan.notices:
        memory.tell_notice(notice)
    for notice in outcome.plan.withdrawn:
        memory.tell_withdrawal(notice, seq, at)
    memory.tell_states(recorded)
    record(tx, at, command.by, f"command.{kind}", ",".join(outcome.sanction_ids[:5]), {"seq": seq})
    return outcome


def activate(
    memory: Memory, tx: Tx, compiled: Compiled, *, by: str, reason: str, filled: FeatureStore | None = None
) -> Entered:
    """Switch to another version of the pack at one place in the log; runs alone in its batch.

    `filled` holds the new features, computed over the log up to here; unchanged ones carry over.
    """
    pack: PackDef = compiled.pack
    payload = PackActivated(name=pack.name, label=pack.version, digest=pack.digest, by=by, reason=reason)
    seq, at = memory.enter(PACK_ACTIVATED, msgspec.json.encode(payload), about=f"pack:{pack.name}", cause_seq=None)
    save_activation(tx, seq, at, pack, author=by, reason=reason)
    record(tx, at, by, "pack.activated", pack.digest[:12], {"seq": seq})
    memory.undo.append(memory.lists.set_pack({name: each.entries for name, each in pack.lists.items()}))
    memory.features.switch(tx, compiled.features, seq, filled=filled)
    memory.compiled = compiled
    return Entered(seq=seq)


def features_to_fill(memory: Memory, compiled: Compiled) -> frozenset[str]:
    """Name the features of another version that do not carry over and want the log's past."""
    return frozenset(new_features(memory.compiled.features, compiled.features))
