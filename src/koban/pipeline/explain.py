"""Explain a decision: every condition with its value, recomputed from the stored inputs and the state as of then."""

import json
from collections.abc import Mapping

import msgspec

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban.base import to_rfc3339
from koban.db import Database, Tx
from koban.decisions import DecisionMissing, DecisionRecord, FeatureValue, Inputs
from koban.events import Entry, decode_document, make_preparer, read_row
from koban.events.archive import Archive
from koban.labels import LABEL_SET, LabelSet, LiveLabels
from koban.lists import ENTRIES_ADDED, ENTRY_REMOVED, EntriesAdded, EntryRemoved, LiveLists
from koban.packs import PackDef, load_version
from koban.pipeline.sealing import open_entry
from koban.rules import TraceNode, compile_rules
from koban.vault import Vault


class RuleExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One rule over one event: what it says, whether it matched, and every condition with its value."""

    rule: str
    policy: str
    when: str
    matched: bool
    trace: TraceNode
    because: Mapping[str, str]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with everything behind it. Text of people is left out: conditions show what was found, not what was said."""

    decision: DecisionRecord
    pack: str
    log_time: str
    features: Mapping[str, FeatureValue]
    rules: tuple[RuleExplained, ...]
    personal_gone: bool


def explain(
    database: Database, vault: Vault, seq: int, *, pack: PackDef | None = None, archive: Archive | None = None
) -> Explained:
    """Explain the decision on entry `seq`, under the pack that made it or under another.

    `archive` is where it is looked for when it has left the database.

    Refuses: DecisionMissing.
    Invariant: under its own pack it names the rules that the decision names, unless a person was erased since.
    """
    with database.read() as tx:
        entry, inputs, record = _stored(tx, seq, archive)
        key = event_store.event_key(entry.source, entry.event_id)
        personal = open_entry(tx, vault, key, entry)
        pack = pack or load_version(tx, inputs.pack)
        lists, labels = _as_of(tx, pack, seq)
    sealed_paths = frozenset(
        path for path, field in pack.events[entry.type].fields.items() if field.personal and not field.joined
    )
    row = read_row(make_preparer(pack.events[entry.type]), decode_document(entry.data), personal)
    # Only the rules that read this type are compiled: explaining must not hold up the decider beside it.
    reading = {name: rule for name, rule in pack.rules.items() if entry.type in rule.on}
    compiled = compile_rules(msgspec.structs.replace(pack, rules=reading), lists, labels).get(entry.type)
    explained = []
    for rule in compiled.rules if compiled is not None else ():
        assert compiled is not None
        trace = _masked(compiled.explain(rule.name, row, inputs.features, entry.log_at), sealed_paths)
        explained.append(
            RuleExplained(
                rule=rule.name,
                policy=rule.policy,
                when=rule.when,
                matched=trace.value is True,
                trace=trace,
                because=rule.because,
            )
        )
    return Explained(
        decision=record,
        pack=pack.digest,
        log_time=to_rfc3339(entry.log_at),
        features=inputs.features,
        rules=tuple(sorted(explained, key=lambda one: not one.matched)),
        personal_gone=entry.sealed is not None and not personal,
    )


MASK = "(sealed)"


def _masked(node: TraceNode, sealed: frozenset[str]) -> TraceNode:
    """Hide what people wrote: the value of a sealed field, and every text that was made from one."""
    hidden = _reads(node, sealed) and isinstance(node.value, str | tuple)
    return msgspec.structs.replace(
        node, value=MASK if hidden else node.value, parts=tuple(_masked(part, sealed) for part in node.parts)
    )


def _reads(node: TraceNode, sealed: frozenset[str]) -> bool:
    return node.text in sealed or any(_reads(part, sealed) for part in node.parts)


def _stored(tx: Tx, seq: int, archive: Archive | None) -> tuple[Entry, Inputs, DecisionRecord]:
    """Read an entry with its decision, from the database or from the archive."""
    entry = event_store.read_entry(tx, seq)
    inputs = decision_store.read_inputs(tx, seq)
    records = decision_store.read_bodies(tx, [seq])
    if entry is not None and inputs is not None and seq in records:
        return entry, inputs, records[seq]
    found = archive.find(tx, [seq]).get(seq) if archive is not None else None
    if found is None or found.answer is None or found.inputs is None:
        raise DecisionMissing(f"There is no decision {seq}.")
    return (
        found.entry,
        msgspec.json.decode(found.inputs, type=Inputs),
        msgspec.json.decode(found.answer, type=DecisionRecord),
    )


def _as_of(tx: Tx, pack: PackDef, seq: int) -> tuple[LiveLists, LiveLabels]:
    """Fold lists and labels over the entries before `seq` (design §6: a decision reads only what came before)."""
    lists, labels = LiveLists(), LiveLabels()
    lists.set_pack({name: each.entries for name, each in pack.lists.items()})
    for entry in event_store.read_changes(tx, (ENTRIES_ADDED, ENTRY_REMOVED, LABEL_SET), before_seq=seq):
        if entry.type == ENTRIES_ADDED:
            lists.apply(msgspec.json.decode(entry.data, type=EntriesAdded))
        elif entry.type == ENTRY_REMOVED:
            lists.apply(msgspec.json.decode(entry.data, type=EntryRemoved))
        else:
            labels.apply(msgspec.json.decode(entry.data, type=LabelSet), entry.log_at)
    return lists, labels


def as_json(explained: Explained) -> str:
    """Write an explanation for machines."""
    return json.dumps(msgspec.to_builtins(explained), ensure_ascii=False, indent=2)
