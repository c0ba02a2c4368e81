"""A decision under another version of the pack: which rules would match, why not, and what its features would have read."""

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Refusal
from koban.console.contributing import Part, parts_of
from koban.console.filters import seq_of
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import page
from koban.console.traces import RuleTrace, shown_features, traces_of
from koban.console.words import language_of
from koban.db import Tx
from koban.decisions import DecisionMissing, DecisionRecord, Inputs
from koban.events import Entry
from koban.events import store as event_store
from koban.lab import FeatureUnknown
from koban.packs import Activation, PackDef, PackVersionMissing, activations, draft_store

KEY_CHARS_MAX = 200
DIGEST_CHARS_MAX = 64


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One version that a decision can be explained under; `number` is 0 for a proposal."""

    digest: str
    number: int
    name: str


class FeatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """A feature's value under a version; `then` is what the decision read, where it read the feature."""

    key: str
    value: str
    was_read: bool
    then: str


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/decisions/{seq}/under", "decisions.read", lambda call: _under(kit, call),
                 summary="A decision under another version of the pack", page=True,
                 raises=(DecisionMissing, PackVersionMissing)),
        endpoint("GET", "/decisions/{seq}/features/{key}", "decisions.read", lambda call: _feature(kit, call),
                 summary="The events behind a feature", page=True, raises=(DecisionMissing, PackVersionMissing)),
    )  # fmt: skip


def choices(tx: Tx) -> list[Choice]:
    """Return the versions to choose from: those that were in force, newest first, then open proposals."""
    found: dict[str, Choice] = {}
    history = activations(tx)
    for place, each in enumerate(history):
        found.setdefault(each.digest, Choice(digest=each.digest, number=len(history) - place, name=_named(each)))
    for draft in draft_store.read_drafts(tx):
        if draft.state == "open":
            found.setdefault(draft.digest, Choice(digest=draft.digest, number=0, name=draft.reason))
    return list(found.values())


def sealed_fields(pack: PackDef, event_type: str) -> frozenset[str]:
    """Return the fields of an event that hold what people wrote, and are shown to nobody without a purpose."""
    declared = pack.events.get(event_type)
    fields = declared.fields if declared is not None else {}
    return frozenset(path for path, field in fields.items() if field.personal is not None and not field.joined)


def _named(activation: Activation) -> str:
    return f"{activation.name} {activation.label}".strip()


def _stored(kit: ConsoleKit, call: Call) -> tuple[Entry, DecisionRecord, Inputs, list[Choice]]:
    seq = seq_of(call.path["seq"])
    if seq is None:
        raise DecisionMissing(f"There is no decision {call.path['seq'][:40]!r}.")
    with kit.database.read() as tx:
        entry, inputs, record = kit.stored(tx, seq)
        return entry, record, inputs, choices(tx)


def _has_left(kit: ConsoleKit, seq: int) -> bool:
    """Tell whether a decision is no longer in the database, but in the archive."""
    with kit.database.read() as tx:
        return event_store.read_entry(tx, seq) is None


def read_then(kit: ConsoleKit, inputs: Inputs, formats: Formats) -> dict[str, str]:
    """Return the features that a decision read, by the types of the version that made it, or else of the one in force."""
    try:
        pack = _pack(kit, inputs.pack) if inputs.pack else kit.pack()
    except Refusal:  # a later Koban no longer reads that version
        pack = kit.pack()
    return shown_features(pack, inputs.features, formats)


def _pack(kit: ConsoleKit, beginning: str) -> PackDef:
    current = kit.pack()
    return current if current.digest == beginning else kit.version(beginning)


def _under(kit: ConsoleKit, call: Call) -> Answer:
    entry, record, inputs, offered = _stored(kit, call)
    pack = _pack(kit, call.query.get("pack", "")[:DIGEST_CHARS_MAX] or kit.pack().digest)
    formats = Formats(language_of(call.language), kit.zone, call.at)
    traces: dict[str, RuleTrace] = {}
    features: list[FeatureLine] = []
    problem: Refusal | None = None
    try:
        explained = kit.explain(entry.seq, pack)
    except Refusal as refusal:  # the version may not know the event
        problem = refusal
    else:
        then_read = read_then(kit, inputs, formats)
        sealed = sealed_fields(pack, record.type) | sealed_fields(kit.pack(), record.type)
        traces = traces_of(explained, sealed, formats)
        features = [
            FeatureLine(key=key, value=value, was_read=key in then_read, then=then_read.get(key, ""))
            for key, value in sorted(shown_features(pack, explained.features, formats).items())
        ]
    then = {signal.rule for signal in record.signals}
    return page(
        kit,
        call,
        "under.html",
        entry=entry,
        archived=_has_left(kit, entry.seq),
        record=record,
        under=pack,
        own=pack.digest == inputs.pack,
        choices=offered,
        chosen=next((each for each in offered if each.digest == pack.digest), None),
        decided_by=inputs.pack,
        matched=[trace for trace in traces.values() if trace.matched],
        unmatched=sorted(
            (each for each in traces.values() if not each.matched), key=lambda each: each.rule not in then
        ),
        then=then,
        newly=[name for name, trace in traces.items() if trace.matched and name not in then],
        no_longer=sorted(then - {name for name, trace in traces.items() if trace.matched}),
        features=features,
        problem=problem,
        pack=kit.pack(),
    )


def _feature(kit: ConsoleKit, call: Call) -> Answer:
    entry, record, inputs, offered = _stored(kit, call)
    key = call.path["key"][:KEY_CHARS_MAX]
    asked = call.query.get("pack", "")[:DIGEST_CHARS_MAX]
    pack = _pack(kit, asked or inputs.pack or kit.pack().digest)
    if key not in inputs.features and key.partition("@")[0] not in pack.features:
        raise DecisionMissing(f"Decision {entry.seq} read no feature {key!r}.")
    value = ""
    formats = Formats(language_of(call.language), kit.zone, call.at)
    parts: list[Part] | None = None
    try:
        found = kit.explain_feature(entry.seq, key, None if pack.digest == inputs.pack else pack)
    except FeatureUnknown:
        pass  # the page says that this version has no such feature
    else:
        value = shown_features(pack, {key: found.value}, formats)[key]
        with kit.database.read() as tx:
            parts = list(parts_of(tx, pack, found.parts))
    return page(
        kit,
        call,
        "contributing.html",
        entry=entry,
        record=record,
        key=key,
        value=value,
        parts=parts,
        feature=pack.features.get(key.partition("@")[0]),
        under=pack,
        own=pack.digest == inputs.pack,
        then=read_then(kit, inputs, formats).get(key, ""),
        was_read=key in inputs.features,
        choices=offered,
        decided_by=inputs.pack,
        pack=kit.pack(),
    )
