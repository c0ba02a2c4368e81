"""The life of a rule, newest first: the modes that people gave it, and the versions that brought it, changed it or took it out."""

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
import sqlalchemy

from koban.base import Instant
from koban.db import Tx
from koban.events import store as event_store
from koban.packs import Mode, activations, version_files
from koban.rules import MODE_CHANGED, ModeChanged

_MODES_READ_MAX: Final = 2_000  # changes of mode, of all rules together
_VERSIONS_READ_MAX: Final = 40  # the newest; each takes a few milliseconds the first time
_STEPS_MAX: Final = 30
_entries: Final = event_store.log_entries
_RULE: Final = re.compile(r"^- +rule: *['\"]?([a-z0-9_]+)['\"]? *$", re.MULTILINE)
_ASIDE: Final = re.compile(r"^ *(#.*)?\n?", re.MULTILINE)  # lines that say nothing, and how far others are set in


class LifeStep(msgspec.Struct, frozen=True, kw_only=True):
    """A mode that somebody gave a rule (None: it follows its pack again), or a version that changed what it says."""

    at: Instant
    mode: Mode | None = None
    version: str = ""  # digest; empty where only the mode was switched
    kind: Literal["", "added", "changed", "removed"] = ""
    by: str
    approved_by: str | None = None
    reason: str


def life_of_rule(tx: Tx, rule: str) -> list[LifeStep]:
    """Return the steps of a rule's life that are worth a line, the newest first."""
    steps = sorted([*_switched(tx, rule), *_written(tx, rule)], key=lambda step: step.at, reverse=True)
    return steps[:_STEPS_MAX]


def _switched(tx: Tx, rule: str) -> list[LifeStep]:
    statement = (
        sqlalchemy.select(_entries.c.log_at, _entries.c.data)
        .where(_entries.c.type == MODE_CHANGED)
        .order_by(_entries.c.seq.desc())
        .limit(_MODES_READ_MAX)
    )
    found = ((row.log_at, msgspec.json.decode(row.data, type=ModeChanged)) for row in tx.execute(statement))
    return [
        LifeStep(at=Instant(at), mode=change.mode, by=change.by, approved_by=change.approved_by, reason=change.reason)
        for at, change in found
        if change.rule == rule
    ]


def _written(tx: Tx, rule: str) -> list[LifeStep]:
    """Return the versions whose text of the rule is another than that of the version before.

    The oldest version of all brought what it holds; the oldest that is looked at, where there are older ones, says nothing.
    """
    history = activations(tx, limit=_VERSIONS_READ_MAX + 1)
    texts = [_texts(tx, each.digest).get(rule) for each in history]
    older = [*texts[1:], None]
    if len(history) > _VERSIONS_READ_MAX:
        history, texts = history[:-1], texts[:-1]
    steps = []
    for each, now, before in zip(history, texts, older, strict=False):
        if now != before:
            kind: Literal["added", "changed", "removed"] = "removed" if now is None else "changed"
            kind = "added" if before is None else kind
            step = LifeStep(at=each.activated_at, version=each.digest, kind=kind, by=each.author, reason=each.reason)
            steps.append(step)
    return steps


def _texts(tx: Tx, digest: str) -> Mapping[str, int]:
    """Return a print of each rule's text in a version, which never changes."""
    found = _PRINTS.get(digest)
    if found is None:
        found = _PRINTS[digest] = _prints(version_files(tx, digest))
        while len(_PRINTS) > 2 * _VERSIONS_READ_MAX:
            _PRINTS.pop(next(iter(_PRINTS)), None)
    return found


_PRINTS: Final[dict[str, Mapping[str, int]]] = {}


def _prints(files: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, text in files.items():
        if name.startswith("rules"):
            _, *parts = _RULE.split(text)
            for rule, said in zip(parts[::2], parts[1::2], strict=True):
                found[rule] = hash(_ASIDE.sub("", said))
    return found
