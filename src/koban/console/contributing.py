"""The events behind a feature's value: which of the log it could have counted for this subject, in its window."""

from typing import Final

import msgspec

from koban import finding
from koban.base import Instant
from koban.console import store
from koban.console.decisions import DecisionLine, with_facts
from koban.db import Tx
from koban.decisions import store as decision_store
from koban.events import Entry
from koban.events import store as event_store
from koban.packs import FeatureDef, PackDef

SHOWN_MAX: Final = 100
LOOKED_AT_MAX: Final = 2_000
SLOTS: Final = 60  # as the features room cuts a window

_DATA: Final = msgspec.json.Decoder(dict[str, object])


class Contributing(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature counted from: its definition and subject, and the events of its types in its window."""

    feature: FeatureDef
    operands: tuple[str, str] | None  # of a ratio: look at these
    kind: str
    subject: str | None
    since_at: Instant | None
    lines: list[DecisionLine]
    more: bool
    condition: str | None  # of `where`: not every line need meet it


def contributing(tx: Tx, pack: PackDef, entry: Entry, key: str) -> Contributing | None:
    """Return the events behind a feature that a decision read; None where the pack no longer has it.

    The window is that of the feature (design: the slot of w/60 and the 59 before it, of the log time). Its `where` is
    shown beside the list and not applied: it may read sealed texts, which nobody opened here.
    """
    name, _, named = key.partition("@")
    feature = pack.features.get(name)
    declared = pack.events.get(entry.type)
    if feature is None or declared is None:
        return None
    paths = [path for path, role in declared.subjects.items() if role.kind == feature.kind]
    path = named or feature.by.get(entry.type) or (paths[0] if len(paths) == 1 else "")
    subject = _at(entry.data, path)
    since_at = None
    if feature.within_us is not None:
        slot = feature.within_us // SLOTS
        since_at = Instant((entry.log_at // slot - (SLOTS - 1)) * slot)
    lines: list[DecisionLine] = []
    more = False
    if subject is not None and feature.by:
        since_seq = event_store.seq_since(tx, since_at) if since_at is not None else 0
        seqs = finding.seqs_of(
            tx, feature.kind, subject, before_seq=entry.seq + (0 if feature.excluding_current else 1),
            since_seq=since_seq, limit=LOOKED_AT_MAX,
        )  # fmt: skip
        rows = store.entries_named(tx, seqs)
        counted = [
            row.seq for row in rows
            if row.type in feature.by and _at(row.data, feature.by[row.type]) == subject
        ]  # fmt: skip
        more = len(counted) > SHOWN_MAX or len(seqs) == LOOKED_AT_MAX
        bodies = decision_store.read_bodies(tx, counted[:SHOWN_MAX])
        lines = with_facts(tx, [bodies[seq] for seq in counted[:SHOWN_MAX] if seq in bodies])
    head, _, inner = feature.value.strip().rstrip(")").partition("(")
    operands = tuple(part.strip() for part in inner.split(",")) if head.strip() == "ratio" else ()
    return Contributing(
        feature=feature,
        operands=(operands[0], operands[1]) if len(operands) == 2 else None,
        kind=feature.kind,
        subject=subject,
        since_at=since_at,
        lines=lines,
        more=more,
        condition=feature.where,
    )


def _at(data: bytes | str, path: str) -> str | None:
    value: object = _DATA.decode(data)
    for step in path.split(".") if path else ():
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None
