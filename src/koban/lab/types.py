"""What a backtest is asked, what it finds, and what is refused."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import duckdb
import msgspec

from koban.base import Instant, Refusal
from koban.db import Tx
from koban.events import archive as archives
from koban.features import Plan
from koban.insight import Measured, Share
from koban.packs import PackDef, RuleDef
from koban.rules import CheckedRule
from koban.vault import Vault

NEW: Final = "new"
OLD: Final = "old"

Engine = Literal["auto", "sql", "live"]

MEMORY_MAX: Final = "2500MB"  # of DuckDB; what Python holds beside it stays well under the rest of 4 GiB
SAMPLES: Final = 20
THREADS: Final = 2
TOUCH_S: Final = 180  # a case takes three minutes where nobody has measured it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """A log to be read, as of one moment: the live one, or a named one."""

    tx: Tx
    archive: archives.Archive
    vault: Vault
    name: str = ""  # empty: the live log


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are judged: those after `after_seq` up to `upto_seq`. Features look back beyond it."""

    after_seq: int
    upto_seq: int
    since_at: int
    until_at: int


class NotInSql(Exception):
    """Something that SQL cannot say; `what` names it."""

    def __init__(self, what: str) -> None:
        """Name what it is."""
        super().__init__(what)
        self.what = what


class EngineUnfit(Refusal):
    """The engine that was asked for cannot run this pack."""

    code = "engine_unfit"
    status = 422
    title = "SQL cannot say everything in this pack."


class NothingToTest(Refusal):
    """A backtest without events or without rules."""

    code = "nothing_to_test"
    status = 422
    title = "There is nothing to test."


class TooLarge(Refusal):
    """A backtest that needs more memory than it may have."""

    code = "backtest_too_large"
    status = 422
    title = "The backtest needs more memory than it may have."


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """The harm that was caught, in one currency. `first_hit` takes everything after a person's first hit as prevented."""

    currency: str
    of_minor: int  # all harm in the scope
    all_hits_minor: int
    first_hit_minor: int


class RuleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule of a pack did in the scope."""

    rule: str
    mode: str
    changed: Literal["added", "changed", "same"]
    engine: Literal["sql", "live"]
    why_live: str  # what of it SQL cannot say; empty where SQL ran it
    measured: Measured
    people: int
    honest_people: int
    person_hours: int  # people of each hour, added up
    also_old: int  # hits on events that a rule of the other pack hits, too
    overlaps: tuple[tuple[str, int], ...]  # the other pack's rules that share most hits
    before: int | None  # hits of the rule of this name in the other pack


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """New work in one queue: cases more or fewer than under the other pack, and what they take."""

    queue: str
    cases: int
    more_cases: int
    more_hours: float
    more_hours_per_day: float
    touch_s: int
    measured: bool  # false: nobody has measured, the stated default counts


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One event to read."""

    seq: int
    event_id: str
    type: str
    at: str
    acting: str | None
    truth: Literal["harmful", "honest", "unknown"]
    rules: tuple[str, ...]
    fields: Mapping[str, object]


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole pack did in the scope."""

    hits: int  # events that at least one rule hit
    measured: Measured
    people: int
    honest_people: int
    harmful_people: Share  # of all people behind harmful events
    caught: tuple[Caught, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a pack would have done."""

    log: str
    pack: str
    against: str | None
    since: str
    until: str
    days: float
    hours: int  # in which anything happened
    events: int  # in the scope, of the types that the pack's rules read
    harmful: int
    honest: int
    engines: Mapping[str, str]  # what was run by what: sql, live; with why
    total: Total
    before: Total | None
    test_part: Measured | None  # a named log's test part alone
    rules: tuple[RuleFigures, ...]
    removed: tuple[str, ...]  # rules that only the other pack has
    left_out: Mapping[str, str]  # rules of either pack that no engine can run over the past -> why
    work: tuple[Workload, ...]
    per_day: tuple[tuple[str, int, int], ...]  # day, hits, hits under the other pack
    caught_samples: tuple[Sample, ...]
    freed_samples: tuple[Sample, ...]
    harm_from: Literal["losses", "amounts", "nothing"]
    bounded: bool  # only the newest events were looked at
    took_s: float
    caveat: str = (
        "What people would have done after a block is not known: events after a first hit may not have been prevented, "
        "and people who are stopped try something else."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a log."""

    pack: PackDef
    against: PackDef | None = None
    since_at: Instant | None = None  # None: from the first event
    rules: Collection[str] | None = None  # None: all of the pack's that are not off
    newest: int | None = None  # look at this many of the newest events only
    engine: Engine = "auto"
    zone_us: int = 9 * 3_600_000_000  # what a day is
    touch_s: Mapping[str, int] = dataclasses.field(default_factory=dict)  # per queue, as measured
    threads: int = THREADS
    memory: str = MEMORY_MAX


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One of the packs in question with the rules that are run, each with a number of its own."""

    which: str  # new or old
    pack: PackDef
    plan: Plan
    rules: Mapping[str, RuleDef]
    typed: Mapping[str, Sequence[CheckedRule]]
    numbers: Mapping[str, int]
    engines: dict[str, str]  # rule -> why it is run live; empty: as SQL
    copied: Mapping[str, str]  # rules that say the same in the other pack -> their name there
    unfit: Mapping[str, str]  # rules that no engine can run over the past -> why; they are left out
    rest: Collection[str] = frozenset()  # rules of the other pack that stay as they are, whatever is asked about

    def read_by(self, rule: str) -> tuple[set[str], set[str]]:
        """Name the features and the lists that a rule's condition reads."""
        typed = [each for rules in self.typed.values() for each in rules if each.rule.name == rule]
        features = {key.partition("@")[0] for each in typed for key in each.feature_keys}
        return features, {name for each in typed for name in each.checked.lists}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that is done: the connection holds `hits` (entry, rule), `rule_of` (rule, pack, name, rest) and `queue_of`."""

    connection: duckdb.DuckDBPyConnection
    log: Log
    question: Question
    new: Judged
    old: Judged | None
    scope: Scope
