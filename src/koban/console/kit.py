"""What the console is given by the application: one frozen kit, so that its views can be read without the wiring."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from koban.access import AccessKit
from koban.access.types import OpenedSession
from koban.banking import BankDesk
from koban.base import Clock, Instant
from koban.board import HeldMoney, RuleTally
from koban.cases import Workbench
from koban.db import Database, Tx
from koban.decisions import DecisionRecord, FeatureValue, Inputs
from koban.emergency import Emergencies
from koban.enforcement import AppealDesk, Command, Outcome
from koban.events import Entry
from koban.finding import DiscloseBody, DisclosedField, SealedFound, SealedQuery
from koban.insight.types import LogDesk
from koban.lab import Behind, Report, Suggestions
from koban.lab.drafts import VersionDesk
from koban.lab.mode_drafts import ModeDesk
from koban.ledger import LedgerReport
from koban.ledger.booking_routes import BookingCommands
from koban.ledger.period_routes import PeriodCommands
from koban.lists import ListChange
from koban.oncall import OncallKit
from koban.packs import PackDef
from koban.payments.routes import Commands
from koban.reconciliation.routes import ReconciliationDesk
from koban.rules import TraceNode
from koban.sim.story import StoryNow
from koban.webhooks import SecretBox


class Figures(Protocol):
    """What the decider counts in memory; `koban.pipeline` makes it."""

    @property
    def per_second(self) -> tuple[int, ...]:
        """Events decided in each of the last 60 full seconds, oldest first."""
        ...

    @property
    def last_minute(self) -> Mapping[str, int]:
        """Decisions of the last minute by verdict."""
        ...

    @property
    def p50_us(self) -> int:
        """Median of arrival to decision, in microseconds."""
        ...

    @property
    def p99_us(self) -> int:
        """99th percentile of the same."""
        ...


class RuleExplained(Protocol):
    """One rule over one event."""

    @property
    def rule(self) -> str:
        """Its name."""
        ...

    @property
    def matched(self) -> bool:
        """Whether its condition held."""
        ...

    @property
    def trace(self) -> TraceNode:
        """Its condition with the value of every part."""
        ...


class Explained(Protocol):
    """A decision computed again; `koban.pipeline` makes it."""

    @property
    def rules(self) -> Sequence[RuleExplained]:
        """Every rule that reads such an event, those that matched first."""
        ...


class ExplainedUnder(Explained, Protocol):
    """A decision computed again, with the features that a version reads."""

    @property
    def features(self) -> Mapping[str, FeatureValue]:
        """Every feature that a rule of the version reads, with its value at the event."""
        ...


class FeatureBehind(Protocol):
    """What a feature of a decision was made of; `koban.pipeline` makes it."""

    @property
    def value(self) -> FeatureValue:
        """Its value at the event."""
        ...

    @property
    def parts(self) -> Sequence[Behind]:
        """The events behind it, by the parts that it is read from."""
        ...


class Opener(Protocol):
    """Opens what people wrote, for a case and a purpose; `koban.app` makes it."""

    def entries_of(self, tx: Tx, case_id: str, *, limit: int) -> list[Entry]:
        """Return the newest events that brought a case about, oldest first."""
        ...

    def around(self, tx: Tx, entries: Sequence[Entry], accounts: Sequence[str]) -> list[Entry]:
        """Return the events of the same conversation."""
        ...

    def open(
        self, case_id: str, entries: Sequence[Entry], *, purpose: str, by: str, at: Instant
    ) -> Mapping[int, Mapping[str, object]]:
        """Return personal fields by place; the trail knows of each before it is shown."""
        ...


class StoryDesk(Protocol):
    """The demonstration's evening; `koban.app.demo` makes it, and only for `koban demo`."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that open with one click; none where others can reach the console."""
        ...

    def now(self) -> StoryNow | None:
        """Return where the story is."""
        ...

    def steer(self, do: str, *, by: str) -> bool:
        """Pause, resume, restart or leave; False for anything else."""
        ...

    def open_role(self, role: str) -> OpenedSession:
        """Open a session for a role.

        Refuses: RoleUnknown.
        """
        ...


class BacktestRun(Protocol):
    """A backtest that the server started; `koban.app` makes it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def state(self) -> str:
        """Running, done, failed or stopped."""
        ...

    @property
    def kind(self) -> str:
        """Backtest or suggest."""
        ...

    @property
    def suggested(self) -> Suggestions | None:
        """What a search for rules found; None of a backtest."""
        ...

    @property
    def kept(self) -> bool:
        """Whether it was read again from the database, without its samples."""
        ...

    @property
    def report(self) -> Report | None:
        """What it found, once it is done."""
        ...

    @property
    def problem(self) -> str:
        """Why it failed."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConsoleKit:
    """The parts of the application that the console shows and moves. Commands raise the rooms' refusals."""

    database: Database
    clock: Clock
    access: AccessKit
    pack: Callable[[], PackDef]
    figures: Callable[[], Figures]
    stored: Callable[[Tx, int], tuple[Entry, Inputs, DecisionRecord]]  # a decision, wherever it is kept now
    explain: Callable[[int, PackDef | None], ExplainedUnder]  # place, version; without it: the one that decided
    explain_feature: Callable[[int, str, PackDef | None], FeatureBehind]  # place, feature, version
    version: Callable[[str], PackDef]  # the beginning of a digest
    modes: ModeDesk
    sanction: Callable[[Command], Outcome]
    change_list: Callable[[ListChange], object]
    bench: Workbench
    appeals: AppealDesk
    appeal_key: bytes  # of the links that people get
    opener: Opener
    replay: Callable[[str, str], object]  # quarantine id, by
    emergencies: Emergencies
    oncall: OncallKit
    contacts_box: SecretBox
    may_allow_private: bool = False  # whether contacts may lie inside the own network
    logs: LogDesk | None = None  # None: a console without own data, in tests of other pages
    truth: pathlib.Path | None = None  # where a demonstration's truth lies; only the truth page reads it
    story: StoryDesk | None = None  # a demonstration's evening, and its one-click roles
    prove_ledger: Callable[[], LedgerReport]  # proves every balance from the log
    periods: PeriodCommands
    bookings: BookingCommands
    reconciliation: ReconciliationDesk
    versions: VersionDesk
    payments: Commands | None = None  # None: a console without payments, in tests of other pages
    start_backtest: Callable[[Mapping[str, str], Sequence[str]], BacktestRun]  # files, further arguments
    find_backtest: Callable[[str], BacktestRun]
    suggest: Callable[[Instant, str, str, float, Sequence[str]], BacktestRun]  # when, event, log, precision, left out
    stop_backtest: Callable[[str], object]
    backtest_of: Callable[
        [str], BacktestRun | None
    ]  # digest -> the newest whole one of that version, where one was run
    feature_value: Callable[[str, str], Sequence[Behind]]  # feature, subject -> what is counted now
    money: HeldMoney
    is_honest: Callable[[str, Instant], bool]  # account, log time: whether it is labelled so
    disclose: Callable[[Instant, str, int, DiscloseBody], DisclosedField]  # when, by, entry, what
    disclosed: Callable[[Tx, Instant, str, Entry], Mapping[str, tuple[str | None, Instant]]]
    search_sealed: Callable[[Instant, str, SealedQuery], SealedFound]
    bank: BankDesk | None = None  # None: a console without banks, in tests of other pages
    committed_at: Callable[[int], Instant | None] = lambda _seq: None  # when an entry became durable, while remembered
    stopping: Callable[[], bool] = lambda: False  # whether the server is on its way down
    simulated: bool = False  # a banner says that what is shown is simulated traffic
    zone: str = "Asia/Tokyo"

    @functools.cached_property
    def tally(self) -> RuleTally:
        """What rules did within a day, counted once for all pages."""
        return RuleTally(self.is_honest)
