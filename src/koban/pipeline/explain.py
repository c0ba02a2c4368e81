"""Explain a decision: every condition with its value, recomputed from the stored inputs and the state as of then."""

import collections
import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import msgspec

import koban.decisions.store as decision_store
import koban.emergency.store as emergency_store
import koban.events.store as event_store
from koban.base import Instant, Refusal, to_rfc3339
from koban.db import Database, Tx
from koban.decisions import DecisionMissing, DecisionRecord, FeatureValue, Inputs
from koban.emergency import rule_of
from koban.events import Entry, decode_document, make_preparer, read_row
from koban.events.archive import Archive
from koban.features import types_read
from koban.lab import Behind, Log, WhyNot, behind, values_at, why_not
from koban.lab.drafts import find_version, load_any
from koban.labels import LABEL_SET, LabelSet, LiveLabels
from koban.language import Environment, Type, show, walk
from koban.lists import ENTRIES_ADDED, ENTRY_REMOVED, EntriesAdded, EntryRemoved, LiveLists
from koban.packs import PackDef, RuleDef
from koban.pipeline.sealing import open_entry
from koban.rules import CompiledRules, LivePhrases, RuleMissing, TraceNode, compile_rules
from koban.vault import Vault


class RuleExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One rule over one event: what it says, whether it matched, and every condition with its value."""

    rule: str
    policy: str
    when: str
    matched: bool
    trace: TraceNode
    because: Mapping[str, str]


class FeatureBehind(msgspec.Struct, frozen=True, kw_only=True):
    """The events behind one feature of a decision, by the parts that it is read from."""

    key: str
    value: FeatureValue
    shown: str  # the value as people read it: in `value` a decimal is a whole number of millionths
    parts: tuple[Behind, ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A decision with everything behind it. Text of people is left out: conditions show what was found, not what was said."""

    decision: DecisionRecord
    pack: str
    log_time: str
    features: Mapping[str, FeatureValue]
    shown: Mapping[str, str]  # the same as people read them: in `features` a decimal is a whole number of millionths
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
        entry, inputs, record = stored_decision(tx, seq, archive)
        key = event_store.event_key(entry.source, entry.event_id)
        personal = open_entry(tx, vault, key, entry)
        own = pack is None or pack.digest == inputs.pack
        pack = pack or _pack(tx, inputs.pack)
        if entry.type not in pack.events:
            raise EventUndeclared(f"Version {pack.digest[:12]} declares no event type {entry.type!r}.")
        row = read_row(make_preparer(pack.events[entry.type]), decode_document(entry.data), personal)
        rules = [_typed_rules(pack, entry.type)]
        if own and inputs.emergency:
            started = emergency_store.read_versions(tx, inputs.emergency)
            rules.append(_typed(pack, entry.type, {each.name: rule_of(each.started) for each in started}))
        environment = _as_of(database, tx, pack, rules, entry)
        values = inputs.features
        if not own and archive is not None:
            log = Log(tx=tx, archive=archive, vault=vault)
            reads = frozenset().union(*(each.reads for each in rules))
            values = values_at(log, pack, entry.type, row, reads, seq=seq, at=entry.log_at)
    sealed_paths = frozenset(
        path for path, field in pack.events[entry.type].fields.items() if field.personal and not field.joined
    )
    explained = []
    for compiled in rules:
        for rule in compiled.rules:
            trace = _masked(compiled.explain(rule.name, row, values, entry.log_at, environment), sealed_paths)
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
        features=values,
        shown=_shown(pack, values),
        rules=tuple(sorted(explained, key=lambda one: not one.matched)),
        personal_gone=entry.sealed is not None and not personal,
    )


def explain_why_not(
    database: Database,
    vault: Vault,
    seq: int,
    rule: str,
    *,
    pack: PackDef | None = None,
    archive: Archive | None = None,
) -> WhyNot:
    """Say what would have to be otherwise for a rule to match an event, under the pack that decided it or another.

    Refuses: DecisionMissing, RuleMissing.
    """
    explained = explain(database, vault, seq, pack=pack, archive=archive)
    for each in explained.rules:
        if each.rule == rule:
            return why_not(rule, each.trace)
    raise RuleMissing(f"No rule {rule[:80]!r} of that version reads {explained.decision.type}.")


def version_of(database: Database, beginning: str) -> PackDef:
    """Return the version whose digest begins so: one that was in force, or an open draft.

    Refuses: PackVersionMissing; PackInvalid, when a later Koban no longer reads it.
    """
    with database.read() as tx:
        return _pack(tx, find_version(tx, beginning))


def explain_feature(
    database: Database, vault: Vault, seq: int, key: str, *, archive: Archive, pack: PackDef | None = None
) -> FeatureBehind:
    """Return the events behind a feature of a decision.

    Refuses: DecisionMissing, FeatureUnknown.
    """
    with database.read() as tx:
        entry, inputs, _ = stored_decision(tx, seq, archive)
        personal = open_entry(tx, vault, event_store.event_key(entry.source, entry.event_id), entry)
        own = pack is None or pack.digest == inputs.pack
        pack = pack or _pack(tx, inputs.pack)
        if entry.type not in pack.events:
            raise EventUndeclared(f"Version {pack.digest[:12]} declares no event type {entry.type!r}.")
        row = read_row(make_preparer(pack.events[entry.type]), decode_document(entry.data), personal)
        log = Log(tx=tx, archive=archive, vault=vault)
        parts = behind(log, pack, entry.type, row, key, seq=seq, at=entry.log_at)
        value = inputs.features.get(key)
        if not own or key not in inputs.features:
            value = values_at(log, pack, entry.type, row, {key}, seq=seq, at=entry.log_at)[key]
        sealed = {path for path, field in pack.events[entry.type].fields.items() if field.personal and not field.joined}
    hidden = isinstance(value, str) and bool(sealed)
    shown = MASK if hidden else _shown(pack, {key: value})[key]
    return FeatureBehind(key=key, value=MASK if hidden else value, shown=shown, parts=parts)


MASK = "(sealed)"
KEPT_MAX: Final = 24
PACKS_KEPT_MAX: Final = 4
TYPED_KEPT_MAX: Final = 40 * PACKS_KEPT_MAX  # about as many as the event types of those packs

_Key = TypeVar("_Key")
_Made = TypeVar("_Made")


class EventUndeclared(Refusal):
    """A version that does not know an event's type."""

    code = "event_undeclared"
    status = 422
    title = "That version does not know this type of event."


def _shown(pack: PackDef, values: Mapping[str, FeatureValue]) -> dict[str, str]:
    kinds = types_read(pack, values)
    return {key: show(value, kinds.get(key, Type.INT)) for key, value in values.items()}


def _masked(node: TraceNode, sealed: frozenset[str]) -> TraceNode:
    """Hide what people wrote: the value of a sealed field, and every text that was made from one."""
    hidden = _reads(node, sealed) and isinstance(node.value, str | tuple)
    return msgspec.structs.replace(
        node, value=MASK if hidden else node.value, parts=tuple(_masked(part, sealed) for part in node.parts)
    )


def _reads(node: TraceNode, sealed: frozenset[str]) -> bool:
    return node.text in sealed or any(_reads(part, sealed) for part in node.parts)


def stored_decision(tx: Tx, seq: int, archive: Archive | None) -> tuple[Entry, Inputs, DecisionRecord]:
    """Read an entry with its decision, from the database or, when it has left that, from the archive.

    Refuses: DecisionMissing.
    """
    entry = event_store.read_entry(tx, seq)
    inputs = decision_store.read_inputs(tx, seq)
    records = decision_store.read_bodies(tx, [seq])
    if entry is not None and inputs is not None and seq in records:
        return entry, inputs, records[seq]
    found = archive.find(tx, [seq]).get(seq) if archive is not None else None
    if found is None or found.answer is None or found.inputs is None:
        raise DecisionMissing(
            f"There is no decision {seq}, or no longer: its event may have been kept for as long as it may."
        )
    return (
        found.entry,
        msgspec.json.decode(found.inputs, type=Inputs),
        msgspec.json.decode(found.answer, type=DecisionRecord),
    )


class _Kept(Generic[_Key, _Made]):
    """The last few of what is made slowly: a page after another asks for the same."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._made: collections.OrderedDict[_Key, _Made] = collections.OrderedDict()

    def get(self, key: _Key, make: Callable[[], _Made]) -> _Made:
        with self._lock:  # one makes it, the others wait: it is the same work, and the decider wants the processor too
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]


class _Phrases:
    """Phrase lists over the lists of one place in the log; two explanations at once may ask as of two moments."""

    def __init__(self, live: LivePhrases) -> None:
        self._live = live
        self._lock = threading.Lock()

    def beside(self, labels: LiveLabels, at: Instant) -> Environment:
        with self._lock:
            return self._live.environment(at).beside(labels.words)


class _Ground:
    """What one log's rules read: what stands at a place of one log is not what stands there in another."""

    def __init__(self) -> None:
        self.phrases: _Kept[tuple[str, int], _Phrases] = _Kept(KEPT_MAX)  # by pack and the last change of a list
        self.labels: _Kept[int, LiveLabels] = _Kept(KEPT_MAX)  # by the last change of a label


# A digest names its content for ever, so neither a pack nor its typed rules ever change.
_PACKS: Final[_Kept[str, PackDef]] = _Kept(PACKS_KEPT_MAX)
_TYPED: Final[_Kept[tuple[str, str], CompiledRules]] = _Kept(TYPED_KEPT_MAX)
_GROUNDS: Final[weakref.WeakKeyDictionary[Database, _Ground]] = weakref.WeakKeyDictionary()
_GROUNDS_LOCK: Final = threading.Lock()
_OF_LISTS: Final = (ENTRIES_ADDED, ENTRY_REMOVED)
_OF_LABELS: Final = (LABEL_SET,)


def _pack(tx: Tx, digest: str) -> PackDef:
    return _PACKS.get(digest, lambda: load_any(tx, digest))


def _typed_rules(pack: PackDef, event_type: str) -> CompiledRules:
    """Return the rules of a type; only those that read it are typed: explaining must not hold up the decider beside it."""

    def make() -> CompiledRules:
        return _typed(pack, event_type, {name: rule for name, rule in pack.rules.items() if event_type in rule.on})

    return _TYPED.get((pack.digest, event_type), make)


def _typed(pack: PackDef, event_type: str, rules: Mapping[str, RuleDef]) -> CompiledRules:
    reading = msgspec.structs.replace(pack, rules=dict(rules))
    return compile_rules(reading, LiveLists(), LiveLabels(), to_decide=False, tell=lambda _faults: None)[event_type]


def _as_of(database: Database, tx: Tx, pack: PackDef, rules: Sequence[CompiledRules], entry: Entry) -> Environment:
    """Return lists and labels as of an entry (design §6: a decision reads only what came before); what is kept is shared.

    Why labels apart: every case that closes sets one, and a phrase matcher takes longer than all else.
    """
    with _GROUNDS_LOCK:
        ground = _GROUNDS.setdefault(database, _Ground())

    def make_phrases() -> _Phrases:
        lists = LiveLists()
        lists.set_pack({name: each.entries for name, each in pack.lists.items()})
        for change in event_store.read_changes(tx, _OF_LISTS, before_seq=entry.seq):
            if change.type == ENTRIES_ADDED:
                lists.apply(msgspec.json.decode(change.data, type=EntriesAdded))
            else:
                lists.apply(msgspec.json.decode(change.data, type=EntryRemoved))
        return _Phrases(rules[0].phrases.over(lists, LiveLabels()))

    def make_labels() -> LiveLabels:
        labels = LiveLabels()
        for change in event_store.read_changes(tx, _OF_LABELS, before_seq=entry.seq):
            labels.apply(msgspec.json.decode(change.data, type=LabelSet), change.log_at)
        return labels

    phrases = ground.phrases.get(
        (pack.digest, event_store.last_change(tx, _OF_LISTS, before_seq=entry.seq)), make_phrases
    )
    labels = LiveLabels()
    if any(each.op == "has_label" for typed in rules for rule in typed.typed for each in walk(rule.checked.core)):
        labels = ground.labels.get(event_store.last_change(tx, _OF_LABELS, before_seq=entry.seq), make_labels)
    return phrases.beside(labels, entry.log_at)


def as_json(explained: Explained) -> str:
    """Write an explanation for machines."""
    return json.dumps(msgspec.to_builtins(explained), ensure_ascii=False, indent=2)
