"""What a pack says, as frozen data: event types, features, policies, rules, lists and queues.

Every struct here is the checked form of one YAML document of a pack. Names are checked against each other by
`packs.load`; expressions stay text here and are compiled by `rules` and `features`.
"""

import enum
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from koban.base import Instant
from koban.ledger import LedgerDef

FieldType = Literal["text", "int", "decimal", "bool", "timestamp", "text[]"]
Texts = Mapping[str, str]  # language ("en", "ja") -> text; both are always there
HarmClass = Literal["none", "child", "sexual", "violence", "self_harm", "hate"]
Likeness = Literal["text", "account"]
Span = tuple[int, int]  # minutes of a day by the wall clock, start and end; past 1440: on the next day

# 2026-01-15T12:00:00+09:00, a Thursday: the log time of a test case that names none.
CASE_TIME: Final = Instant(1_768_446_000_000_000)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a pack something was written; lines and columns count from 1."""

    file: str
    line: int
    column: int = 1


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One declared field of an event type, addressed by its dotted path under `data`."""

    path: str
    type: FieldType
    personal: str | None = None  # path of the account id whose data this is; then it is sealed under that person's key
    joined: bool = False  # a personal field that is joined or counted: kept as a keyed pseudonym instead
    unit: str | None = None  # minor, days, seconds, grams, …: for humans now, for unit checks later
    about: Texts = {}


class SubjectRole(msgspec.Struct, frozen=True, kw_only=True):
    """A field that names a subject: `seller.id` names an account."""

    path: str
    kind: str  # account, listing, order, message, comment, device, stream, payment, …


class LossRole(msgspec.Struct, frozen=True, kw_only=True):
    """An event type that tells of money lost: the field that says how much, and the account that caused it."""

    amount: str
    by: str


class MoneyRole(msgspec.Struct, frozen=True, kw_only=True):
    """The amount that an event moves, in the minor units of the currency that its `currency` field names."""

    kind: Literal["order", "payment", "payout"]
    path: str


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of one event type."""

    name: str
    fields: Mapping[str, Field]
    subjects: Mapping[str, SubjectRole]  # path -> role, in the order declared
    acting: str | None  # path of the account that did it: whom sanctions fall on
    recipient: str | None  # path of the account it is addressed to: whom `warn: recipient` warns
    content: str | None  # path of the subject that `hide` hides
    within_ms: int
    fallback: str  # the verdict's name when the answer would come later than `within_ms`
    retention_days: int
    texts: tuple[str, ...]  # fields that text functions read: normalised once, archived normalised
    about: Texts
    source: Source
    loss: LossRole | None = None  # what backtests count as harm that was caught, or was not
    reported: str | None = None  # of a report: path of the account it is about; who acts is then the reporter
    money: MoneyRole | None = None  # what waits while such an event is held, or a payout frozen


EVERYONE: Final = "everyone"  # path and kind of the one subject that all events share


def subject_kind(event: EventType, path: str) -> str | None:
    """Return the kind of the subject that a path names; `buyer.id+seller.id` names a pair, of kind `account+account`."""
    if path == EVERYONE:
        return EVERYONE
    kinds = [event.subjects[part].kind if part in event.subjects else None for part in path.split("+")]
    return None if None in kinds else "+".join(kind for kind in kinds if kind is not None)


class FeatureDef(msgspec.Struct, frozen=True, kw_only=True):
    """One windowed value per subject. `by` gives, per event type it counts, the path that names its subject."""

    name: str
    kind: str  # kind of subject it belongs to
    by: Mapping[
        str, str
    ]  # event type -> path; the keys are the event types that feed it; a pair of paths is joined by +
    value: str  # one aggregate, as koban.features.values reads it
    where: str | None
    within_us: int | None  # None: ever
    excluding_current: bool
    bound: int | None  # K: how many values are kept; a distinct count is exact up to it, and K means "K or more"
    about: Texts
    source: Source
    value_at: Source | None = None  # where the text of `value` starts
    where_at: Source | None = None


class Hide(msgspec.Struct, frozen=True, kw_only=True, tag="hide"):
    """Take the event's content away from everyone but its author; verdict block."""


class Block(msgspec.Struct, frozen=True, kw_only=True, tag="block"):
    """Refuse the event; verdict block."""


class Hold(msgspec.Struct, frozen=True, kw_only=True, tag="hold"):
    """Keep the event waiting for `for_us`, then let it become `becomes`."""

    for_us: int
    becomes: Literal["allow", "block"]


class Challenge(msgspec.Struct, frozen=True, kw_only=True, tag="challenge"):
    """Let the event through only after the person proves something."""

    kind: Literal["passkey", "ekyc", "three_d_secure", "photo"]


class Warn(msgspec.Struct, frozen=True, kw_only=True, tag="warn"):
    """Let the event through and warn its author or its recipient."""

    target: Literal["author", "recipient", "both"]


class Restrict(msgspec.Struct, frozen=True, kw_only=True, tag="restrict"):
    """Take one ability (`scope`: messaging, listing, commenting, buying, live) from the acting account for a while."""

    scope: str
    for_us: int


class FreezePayout(msgspec.Struct, frozen=True, kw_only=True, tag="freeze_payout"):
    """Stop payouts of the acting account for a while."""

    for_us: int


class Suspend(msgspec.Struct, frozen=True, kw_only=True, tag="suspend"):
    """Suspend the acting account; `for_us` None means until a person decides."""

    for_us: int | None


class Strike(msgspec.Struct, frozen=True, kw_only=True, tag="strike"):
    """Take the next step of the policy's ladder against the acting account."""


class Review(msgspec.Struct, frozen=True, kw_only=True, tag="review"):
    """Open a case in a queue; `of` the reporter: about who filed the report, and not about what it names."""

    queue: str
    of: Literal["subject", "reporter"] = "subject"


Action = Hide | Block | Hold | Challenge | Warn | Restrict | FreezePayout | Suspend | Strike | Review


class ModeName(enum.StrEnum):
    """Whether a rule's signals act."""

    RETIRED = "retired"  # had its day: as off, kept with its history and out of the way, and can be brought back
    OFF = "off"
    SHADOW = "shadow"
    REVIEW = "review"  # acts only by opening cases: where a tripped budget or the all-to-review switch puts it
    LIVE = "live"

    @property
    def is_asked(self) -> bool:
        """Tell whether a rule in this mode gives signals at all."""
        return self not in {ModeName.OFF, ModeName.RETIRED}


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's mode; `basis_points` is the live share in hundredths of a percent (10000: everyone)."""

    name: ModeName
    basis_points: int = 10_000


class RuleDef(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: a condition over an event and features, and what follows."""

    name: str
    policy: str
    on: tuple[str, ...]
    when: str
    then: tuple[Action, ...]
    mode: Mode
    cap_per_hour: int  # distinct accounts that its signals may harm per hour before it drops to review (law 8)
    because: Texts
    source: Source
    when_at: Source | None = None  # where the text of `when` starts, so that an error in it can be pointed at
    places: Mapping[str, Source] = {}  # where its other names stand: `policy`, `on NAME`, `then PLACE`

    def at(self, part: str) -> Source:
        """Return where a name of the rule stands, or the rule itself."""
        return self.places.get(part, self.source)


class LadderStep(msgspec.Struct, frozen=True, kw_only=True):
    """What the n-th strike under a policy brings."""

    action: Warn | Restrict | FreezePayout | Suspend


class PolicyDef(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the policy tree, `fraud/item_switch`, with the texts that the person judged reads."""

    name: str
    title: Texts
    text: Texts
    severity: Literal["low", "medium", "high", "severe"]
    ladder: tuple[LadderStep, ...]
    strikes_within_us: int | None  # strikes older than this no longer count; None: they always do
    source: Source
    second_person: bool = False  # a measure decided in a case waits for a second person's approval


class ListDef(msgspec.Struct, frozen=True, kw_only=True):
    """A named list: plain values compared whole, or phrases looked for in text. `entries` are its initial content."""

    name: str
    kind: Literal["values", "phrases"]
    of: str | None  # what kind of subject or thing its values are: account, device, domain, brand
    entries: tuple[str, ...]
    unless: tuple[str, ...]  # phrases only: a hit inside one of these is no hit (word context)
    negatable: bool  # phrases only: a negated mention (「直取引はお断り」) is no hit
    whole_word: bool  # phrases only: Latin and katakana phrases must not be part of a longer word
    about: Texts
    source: Source
    left_out: frozenset[str] = frozenset()  # in a trial: values that count at no moment, whoever put them on


class DefinitionDef(msgspec.Struct, frozen=True, kw_only=True):
    """A name for an expression that rules share: `new_seller` for `seller_age_days < 7`."""

    name: str
    text: str
    about: Texts
    source: Source
    text_at: Source | None = None  # where the text of `as` starts


class ScoreDef(msgspec.Struct, frozen=True, kw_only=True):
    """A score from outside, 0 to 1, that is recorded for subjects of one kind and read by `score('name')`."""

    name: str
    kind: str
    about: Texts
    source: Source


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """When a clock runs, in one time zone. A span belongs to the day on which it starts, also where it ends on the next."""

    zone: str
    weekly: tuple[tuple[Span, ...], ...]  # Monday first
    days: tuple[tuple[str, tuple[Span, ...]], ...] = ()  # dates with spans of their own, instead; a holiday has none


class CalendarDef(msgspec.Struct, frozen=True, kw_only=True):
    """A business calendar. Due times that were given under an older version stay as they are."""

    name: str
    title: Texts
    hours: Hours
    source: Source


class QueueDef(msgspec.Struct, frozen=True, kw_only=True):
    """A review queue and the time within which its cases are due."""

    name: str
    title: Texts
    due_in_s: int
    source: Source
    calendar: str = ""  # whose open hours `due_in_s` is counted in; empty: around the clock
    harm: HarmClass = "none"  # what looking at its cases does to people
    exposure_min: int = 0  # minutes of it within a day that one person is given; 0: no limit
    two_people: bool = False  # every judgement waits for a second person
    preserve: bool = False  # what its cases are about is kept from erasure and retention until somebody was honest
    escalates_to: str = ""
    alike: tuple[
        Likeness, ...
    ] = ()  # what makes further content part of an open case: nearly the same text, one account


class RuleCase(msgspec.Struct, frozen=True, kw_only=True):
    """One test of a rule: an event and given features, and whether the rule must match.

    `data` is a row as rules see it: dotted path -> value, decimals scaled by 10^6, times in microseconds.
    `features` are as written (int, bool, text, `decimal.Decimal`, None), because their types come from expressions.
    """

    rule: str
    matches: bool
    event_type: str
    data: Mapping[str, object]
    features: Mapping[str, object] = {}
    lists: Mapping[str, tuple[str, ...]] = {}
    why: str = ""
    family: str = ""  # the trick or kind of near miss that the line belongs to; for counting coverage
    at: Instant = CASE_TIME
    source: Source
    rule_at: Source | None = None  # where the rule's name stands, which the lines of a table share


OutageRule = Literal["refuse", "queue"]


class MethodDef(msgspec.Struct, frozen=True, kw_only=True):
    """A way to pay an order. Without a provider it is paid inside the ledger."""

    name: str
    title: Texts
    provider: bool
    proves: str  # the challenge that it can prove: three_d_secure; empty: none
    retired: bool  # nothing new is paid by it; what was begun goes on, and what was taken can be given back
    postings: Mapping[str, str]  # role -> posting template
    source: Source


class OutageDef(msgspec.Struct, frozen=True, kw_only=True):
    """What holds when a provider (or `any`) does not answer."""

    name: str
    after: int  # calls without an answer in a row
    rest_us: int  # for which it is left alone before one call tries it again
    then: OutageRule  # what becomes of new payments meanwhile
    queue_for_us: int
    source: Source


class PaymentsDef(msgspec.Struct, frozen=True, kw_only=True):
    """What a pack says about payments; without a name: nothing, and none can be made."""

    name: str = ""
    decides: str = ""  # the event type that is decided before anything is tried
    decides_payout: str = ""
    tells_chargeback: str = ""
    tells_paid_twice: str = ""
    lapses_after_us: int = 0
    payout: Mapping[str, str] = {}
    chargeback: Mapping[str, str] = {}
    methods: Mapping[str, MethodDef] = {}
    outages: Mapping[str, OutageDef] = {}
    source: Source | None = None


class PackDef(msgspec.Struct, frozen=True, kw_only=True):
    """A whole pack whose structure and names are checked; `rules` and `features` check its expressions."""

    name: str
    version: str  # the author's own label
    digest: str  # sha256 over the sorted file names and contents, in hex: what an activation names
    events: Mapping[str, EventType]
    features: Mapping[str, FeatureDef]
    policies: Mapping[str, PolicyDef]
    rules: Mapping[str, RuleDef]
    lists: Mapping[str, ListDef]
    queues: Mapping[str, QueueDef]
    cases: tuple[RuleCase, ...]
    calendars: Mapping[str, CalendarDef] = {}
    about: Texts = {}
    ledger: LedgerDef = LedgerDef()
    payments: PaymentsDef = PaymentsDef()
    definitions: Mapping[str, DefinitionDef] = {}
    scores: Mapping[str, ScoreDef] = {}
    files: Mapping[str, str] = {}  # the text of every file it was read from: for carets, and to store the version

    def __repr__(self) -> str:
        """Show which pack it is; its content would fill pages of a logged traceback."""
        return f"PackDef({self.name!r}, {self.version!r}, {self.digest[:12]!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # Any: as msgspec says
        """Show the same where a traceback is drawn."""
        return [("name", self.name), ("version", self.version), ("digest", self.digest[:12])]
