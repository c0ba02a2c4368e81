"""What the newest whole backtest of each version said, kept beside the versions: a restart forgets none of it.

A version that comes into force is held to what its own backtest said (`expected_of_version`), however long ago and on
whichever server that was run. Samples are let go: they show single events, and those have a retention of their own.
"""

import zlib
from typing import Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata, upsert
from koban.lab.types import Report
from koban.packs import PackDef, compare_packs, read_by
from koban.rules import RuleExpected, ceiling_of

UNUSED_MAX: Final = 200  # versions that were tried, are not proposed and never came into force
HOURS_MIN: Final = 24  # hours of a log below which a backtest has not seen a day

_TOLD: Final = frozenset({"when", "on", "then", "mode"})  # fields of a rule on which hangs whom it touches
_READ: Final = frozenset({"events", "features", "definitions", "lists", "scores"})

_backtests: Final = Table(
    "pack_backtests",
    metadata,
    Column("digest", Text, primary_key=True, comment="version that was tried"),
    Column("run_id", Text, nullable=False, comment="run_… id"),
    Column("started_at", BigInteger, nullable=False, comment="when, in microseconds"),
    Column("report", LargeBinary, nullable=False, comment="what it said, without samples: JSON, zlib-compressed"),
    comment="The newest whole backtest over the live log of each version: what the version is held to in force.",
)

_PRUNE: Final = """DELETE FROM pack_backtests WHERE digest IN (SELECT digest FROM (
    SELECT digest FROM pack_backtests WHERE digest NOT IN (SELECT digest FROM pack_files)
    AND digest NOT IN (SELECT digest FROM pack_drafts WHERE state = 'open')
    ORDER BY started_at DESC, digest LIMIT ? OFFSET ?) unused)"""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest that was kept."""

    run_id: str
    report: Report


def keep_report(tx: Tx, at: Instant, run_id: str, report: Report) -> None:
    """Keep what a whole backtest of the live log said, in place of an earlier one of the same version.

    One that tells less than the earlier stands back: else whoever may try rules could take a ceiling away. Of versions that nobody proposed and that never came into force the newest two hundred stay.
    """
    earlier = kept_report(tx, report.pack)
    if earlier is not None and _tells_less(report, earlier.report):
        return
    bare = msgspec.structs.replace(report, caught_samples=(), freed_samples=())
    row = {
        "digest": report.pack,
        "run_id": run_id,
        "started_at": at,
        "report": zlib.compress(msgspec.json.encode(bare)),
    }
    upsert(tx, _backtests, [row], keys=["digest"], update=["run_id", "started_at", "report"])
    tx.many(_PRUNE, [(UNUSED_MAX, UNUSED_MAX)])


def _tells_less(report: Report, earlier: Report) -> bool:
    """Tell whether a backtest leaves out a rule that an earlier one tried, or has not seen a day where that one had."""
    rules = {each.rule for each in report.rules}
    return any(each.rule not in rules for each in earlier.rules) or report.hours < min(earlier.hours, HOURS_MIN)


def kept_report(tx: Tx, digest: str) -> Kept | None:
    """Return the newest whole backtest of a version; None where nobody ran one."""
    return _read(tx, _backtests.c.digest == digest)


def kept_run(tx: Tx, run_id: str) -> Kept | None:
    """Return a backtest by its id; None where it is not kept."""
    return _read(tx, _backtests.c.run_id == run_id)


def _read(tx: Tx, condition: sqlalchemy.ColumnElement[bool]) -> Kept | None:
    row = tx.execute(sqlalchemy.select(_backtests.c.run_id, _backtests.c.report).where(condition)).one_or_none()
    if row is None:
        return None
    return Kept(run_id=row.run_id, report=msgspec.json.decode(zlib.decompress(row.report), type=Report))


def expected_of_version(tx: Tx, current: PackDef, pack: PackDef, *, by: str) -> tuple[RuleExpected, ...]:
    """Return what is expected of each rule that a switch brings or changes, as the version's own backtest said.

    A rule that stays as it is keeps what is expected of it: somebody may have said that since. Nothing is expected
    where the log of the backtest held less than a day.
    """
    kept = kept_report(tx, pack.digest)
    if kept is None or kept.report.hours < HOURS_MIN:
        return ()
    report, touched = kept.report, touched_rules(current, pack)
    reason = f"backtest of this version over {report.hours} hours, {report.since[:10]} to {report.until[:10]}"
    return tuple(
        RuleExpected(
            rule=each.rule, basis="backtest", people=each.person_hours, hours=report.hours,
            ceiling=ceiling_of(each.person_hours, report.hours), counts="people", by=by, reason=reason,
        )
        for each in report.rules
        if each.rule in touched
    )  # fmt: skip


def touched_rules(old: PackDef, new: PackDef) -> frozenset[str]:
    """Name the rules of a version that touch other people, or otherwise, than those of another: new, or changed.

    Changed is also a rule that reads something which changed, to the end: a feature of a feature's condition.
    """
    differences = compare_packs(old, new)
    rules = {each.name: each for each in differences if each.section == "rules"}
    read = {each.name for each in differences if each.section in _READ}
    return frozenset(
        name
        for name, rule in new.rules.items()
        if (name in rules and (rules[name].kind == "added" or not _TOLD.isdisjoint(rules[name].fields)))
        or (read and not read.isdisjoint({*read_by(new, [rule]), *rule.on}))
    )
