"""Propose rules and thresholds from labelled events: few conditions, readable, measured on a part that was held out.

Conditions are made from what the event type declares and from what labelled events of the train part hold, tried as rules
by the backtest itself, and joined by AND in a beam search that asks for a wanted precision on the train part. What is told
is measured on the test part, which nothing has looked at before. Nothing is switched on: a proposal is a draft with its
evidence.
"""

import collections
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy

from koban.base import DAY
from koban.events import archive as archives
from koban.events import make_preparer
from koban.insight import Measured, measure, wilson
from koban.lab import measure as measuring
from koban.lab.backtest import open_run
from koban.lab.types import TOUCH_S, Log, NothingToTest, Question, Ran
from koban.language import LanguageErrors, Type, check
from koban.packs import EventType, Mode, ModeName, PackDef, Review, RuleDef
from koban.rules import features_of, scope_of

DEPTH_MAX: Final = 3
BEAM: Final = 24
WORDS_MAX: Final = 80
VALUES_MAX: Final = 12
WORD_PEOPLE_MIN: Final = 5  # a word that fewer people wrote is about them, not about a trick
CANDIDATES_MAX: Final = 400
SUPPORT_MIN: Final = 3
NEARLY_ALL: Final = 0.98  # a condition that this share of events meets tells nothing apart
LOOKS_SIGMA: Final = 3.0  # hundreds of conditions are looked at, so that one of them is good by chance at two
LADDER: Final = (1, 2, 3, 5, 10, 20, 50)
DAYS: Final = (1, 7, 30, 180)
_WORD: Final = re.compile(r"[a-z]{3,20}|[ァ-ヴー]{2,12}|[一-龥]{2,8}")
_MARKUP: Final = frozenset(
    {
        "amp",
        "com",
        "div",
        "font",
        "href",
        "html",
        "http",
        "https",
        "img",
        "lt",
        "gt",
        "nbsp",
        "net",
        "org",
        "quot",
        "www",
    }
)
_ANY: Final = (
    "hour_of_day(time, 'UTC') >= 12"  # a condition that any event type has, to learn what is known of its events
)


class Suggested(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that is proposed: its condition, and how it did where it was found and where it was not."""

    name: str
    when: str
    train: Measured
    test: Measured
    text: str  # as it would stand in a pack


class Suggestions(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are proposed, and what they come to together."""

    event_type: str
    candidates: int
    wanted_precision: float
    rules: tuple[Suggested, ...]
    train: Measured
    test: Measured


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold: what lies at or above it."""

    at: str
    train: Measured
    test: Measured
    per_day: float
    hours_per_day: float


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of an expression, and the one that does what was wanted; none may."""

    expression: str
    chosen: Step | None
    steps: tuple[Step, ...]


class _Table:
    """Which labelled events each candidate hits, as columns of truth values."""

    def __init__(self, ran: Ran, conditions: Mapping[str, str], event_type: str) -> None:
        rows = ran.connection.execute(
            f"SELECT seq, harmful, is_test, log_at FROM scope WHERE type = '{event_type}' ORDER BY seq"
        ).fetchnumpy()
        self.seqs = rows["seq"]
        known = numpy.ma.filled(rows["harmful"], -1) if numpy.ma.isMaskedArray(rows["harmful"]) else rows["harmful"]
        self.harmful = known == 1
        self.honest = known == 0
        self.test = rows["is_test"] == 1
        if self.test.all() or not self.test.any():  # no part of its own: the last fifth of the time is held out
            self.test = numpy.arange(len(self.seqs)) >= len(self.seqs) * 4 // 5
        span = int(rows["log_at"][-1] - rows["log_at"][0]) if len(self.seqs) else 0
        self.days = max(span / DAY, 1 / 24)
        self.texts = dict(conditions)
        hits = ran.connection.execute("SELECT h.seq, r.name FROM hits h JOIN rule_of r ON r.rule = h.rule").fetchall()
        places = {int(seq): place for place, seq in enumerate(self.seqs)}
        self.columns: dict[str, numpy.ndarray] = {name: numpy.zeros(len(self.seqs), bool) for name in conditions}
        for seq, name in hits:
            if seq in places:
                self.columns[name][places[seq]] = True

    def known_in_train(self) -> dict[int, bool]:
        """Return the labelled events of the train part, each with whether it was harmful."""
        chosen = ~self.test & (self.harmful | self.honest)
        return dict(zip(self.seqs[chosen].tolist(), self.harmful[chosen].tolist(), strict=True))

    def measured(self, name: str, hit: numpy.ndarray, *, test: bool) -> Measured:
        part = self.test if test else ~self.test
        return measure(
            name,
            true=int((hit & self.harmful & part).sum()),
            false=int((hit & self.honest & part).sum()),
            unknown=int((hit & ~self.harmful & ~self.honest & part).sum()),
            harmful=int((self.harmful & part).sum()),
            honest=int((self.honest & part).sum()),
        )


class _Known:
    """What is known of events of one type: only of the train part, so that nothing is made from what measures later."""

    def __init__(self, log: Log, event: EventType, harmful: Mapping[int, bool]) -> None:
        self.event = event
        self.harmful = harmful
        self._log = log

    def rows(self, *paths: str) -> Iterator[tuple[bool, Mapping[str, object]]]:
        """Walk what is known, with some fields: whether it was harmful, and the fields."""
        found = archives.read_typed(
            self._log.tx, self._log.archive, self._log.vault, make_preparer(self.event), paths=set(paths) - {""},
            upto_seq=1 << 62, wanted=self.harmful.keys(),
        )  # fmt: skip
        return ((self.harmful[seq], row) for seq, _, row in found)


def suggest_rules(
    log: Log,
    pack: PackDef,
    event_type: str,
    *,
    precision: float = 0.9,
    most: int = 5,
    newest: int | None = None,
    without: Collection[str] = (),
) -> Suggestions:
    """Propose rules for an event type that reach a precision on the train part, each finding what the others miss.

    `without` names fields and features that must not be used: what says the outcome itself, or comes after it.

    Refuses: NothingToTest.
    """
    event = pack.events.get(event_type)
    if event is None:
        raise NothingToTest(f"The pack has no event type {event_type[:80]!r}.")
    unknown = sorted(set(without) - {*event.fields, *pack.features})
    if unknown:
        raise NothingToTest(f"{event_type} has no field or feature {unknown[0][:80]!r} to leave out.")
    harmful = _try(log, pack, event, [_ANY], newest).known_in_train()
    if sum(harmful.values()) < SUPPORT_MIN or all(harmful.values()):
        raise NothingToTest(
            f"Of {len(harmful):,} labelled events of {event_type} outside the part held out, {sum(harmful.values()):,} are harmful:"
            f" it takes at least {SUPPORT_MIN}, and honest ones to tell them from."
        )
    texts = list(dict.fromkeys(_candidates(pack, _Known(log, event, harmful), set(without))))[:CANDIDATES_MAX]
    table = _try(log, pack, event, texts, newest)
    telling = _telling(table)
    left = table.harmful & ~table.test
    found: list[Suggested] = []
    together = numpy.zeros(len(table.seqs), bool)
    while len(found) < most:
        names, hit = _best(table, telling, left, precision)
        if not names or int((hit & left).sum()) < SUPPORT_MIN:
            break
        when = _joined([table.texts[name] for name in names])
        name = f"suggested_{len(found) + 1}"
        found.append(
            Suggested(
                name=name,
                when=when,
                train=table.measured(name, hit, test=False),
                test=table.measured(name, hit, test=True),
                text=_draft(pack, event, name, when),
            )
        )
        together |= hit
        left &= ~hit
    return Suggestions(
        event_type=event_type,
        candidates=len(table.columns),
        wanted_precision=precision,
        rules=tuple(found),
        train=table.measured("together", together, test=False),
        test=table.measured("together", together, test=True),
    )


def suggest_threshold(
    log: Log,
    pack: PackDef,
    event_type: str,
    expression: str,
    *,
    precision: float | None = None,
    hours_per_day: float | None = None,
    touch_s: int = TOUCH_S,
) -> Threshold:
    """Propose a threshold for an expression: the lowest that keeps a precision, or that fits the hours at hand.

    Refuses: NothingToTest, LanguageErrors.
    """
    event = pack.events.get(event_type)
    if event is None:
        raise NothingToTest(f"The pack has no event type {event_type[:80]!r}.")
    scope = scope_of(pack, event, features_of(pack))
    kind = check(expression, scope).type
    if kind is Type.INT and expression not in event.fields:
        points: Sequence[str | int] = LADDER
    else:
        harmful = _try(log, pack, event, [_ANY], None).known_in_train()
        points = _quantiles(_Known(log, event, harmful), expression)
    texts = [f"{expression} >= {point}" for point in points]
    table = _try(log, pack, event, texts, None)
    steps = []
    for name, text in table.texts.items():
        hit = table.columns[name]
        per_day = float(hit.sum()) / table.days
        steps.append(
            Step(
                at=text.rpartition(">= ")[2],
                train=table.measured(text, hit, test=False),
                test=table.measured(text, hit, test=True),
                per_day=round(per_day, 2),
                hours_per_day=round(per_day * touch_s / 3_600, 2),
            )
        )
    fitting = [
        step
        for step in steps
        if step.train.flagged
        and (precision is None or (step.train.precision.low or 0) >= precision)
        and (hours_per_day is None or step.hours_per_day <= hours_per_day)
    ]
    return Threshold(
        expression=expression, chosen=max(fitting, key=lambda step: step.train.true, default=None), steps=tuple(steps)
    )


def _telling(table: _Table) -> dict[str, numpy.ndarray]:
    """Return the conditions that tell some of what is known from the rest: neither nearly all of it nor next to nothing."""
    train = ~table.test & (table.harmful | table.honest)
    most = NEARLY_ALL * int(train.sum())
    return {
        name: column
        for name, column in table.columns.items()
        if int((column & train).sum()) <= most and int((column & train & table.harmful).sum()) >= SUPPORT_MIN
    }


def _best(
    table: _Table, telling: Mapping[str, numpy.ndarray], left: numpy.ndarray, precision: float
) -> tuple[tuple[str, ...], numpy.ndarray]:
    """Search conjunctions for the one that finds most of what is left at the wanted precision, and above what is usual."""
    train = ~table.test
    honest = table.honest & train
    usual = int((table.harmful & train).sum()) / max(1, int(((table.harmful | table.honest) & train).sum()))
    beam: list[tuple[tuple[str, ...], numpy.ndarray]] = [((), numpy.ones(len(table.seqs), bool))]
    best: tuple[float, tuple[str, ...], numpy.ndarray] = (0.0, (), numpy.zeros(len(table.seqs), bool))
    for _ in range(DEPTH_MAX):
        grown: dict[tuple[str, ...], tuple[float, numpy.ndarray]] = {}
        for names, hit in beam:
            for name, column in telling.items():
                key = tuple(sorted({*names, name}))
                if name in names or key in grown:
                    continue
                both = hit & column
                true, false = int((both & left).sum()), int((both & honest).sum())
                if true < SUPPORT_MIN or (names and int((both & train).sum()) == int((hit & train).sum())):
                    continue
                low = wilson(true, true + false, sigma=LOOKS_SIGMA).low or 0.0
                grown[key] = (low * true**0.5, both)
                # One condition more must earn its place: it is worth a twentieth of what is found.
                worth = true * (1 - 0.05 * len(names))
                if low >= precision and low > usual and worth > best[0]:
                    best = (worth, key, both)
        chosen = sorted(grown.items(), key=lambda item: (-item[1][0], item[0]))[:BEAM]
        beam = [(names, hit) for names, (_, hit) in chosen]
    return best[1], best[2]


def _try(log: Log, pack: PackDef, event: EventType, texts: Sequence[str], newest: int | None) -> _Table:
    """Run conditions as rules over the log."""
    scope = scope_of(pack, event, features_of(pack))
    rules: dict[str, RuleDef] = {}
    policy, queue = next(iter(pack.policies)), next(iter(pack.queues))
    for text in dict.fromkeys(texts):
        try:
            check(text, scope, expect=Type.BOOL)
        except LanguageErrors:
            continue
        name = f"c{len(rules)}"
        rules[name] = RuleDef(
            name=name, policy=policy, on=(event.name,), when=text, then=(Review(queue=queue),),
            mode=Mode(name=ModeName.SHADOW), cap_per_hour=1, because={"en": "", "ja": ""}, source=event.source,
        )  # fmt: skip
    if not rules:
        raise NothingToTest("No condition could be made from that.")
    trial = msgspec.structs.replace(pack, rules=rules, cases=())
    with open_run(log, Question(pack=trial, newest=newest)) as ran:
        measuring.make_facts(ran)
        return _Table(ran, {name: rule.when for name, rule in rules.items()}, event.name)


def _candidates(pack: PackDef, known: _Known, without: set[str]) -> Iterator[str]:
    """Make conditions from what an event type declares and what its events of the train part hold."""
    event = known.event
    sealed = {path for path, field in event.fields.items() if field.personal is not None and not field.joined}
    for path, field in event.fields.items():
        if path in without:
            continue
        match field.type:
            case "bool":
                yield path
                yield f"NOT {path}"
            case "timestamp":
                yield from (f"days_between({path}, time) < {days}" for days in DAYS)
            case "int" | "decimal":
                for point in _quantiles(known, path):
                    yield f"{path} >= {point}"
                    yield f"{path} <= {point}"
            case "text" if path in sealed:
                lists = [name for name, each in pack.lists.items() if each.kind == "phrases"]
                yield f"has_contact({path})"
                yield f"array_length(urls({path})) >= 1"
                yield from (f"length({path}) {sign} {length}" for length in (40, 120) for sign in (">=", "<"))
                yield from (f"mentions({path}, '{name}')" for name in lists)
                yield from (_has_word(path, word) for word in _words(known, path))
            case "text":
                yield from (f"{path} = '{value}'" for value in _values(known, path))
    for name, info in features_of(pack).items():
        if info.type is Type.INT and name not in without and event.name in pack.features[name].by:
            points = LADDER if info.bound is None else tuple(point for point in LADDER if point <= info.bound)
            yield from (f"{name} >= {point}" for point in points)


def _has_word(path: str, word: str) -> str:
    """Ask for a word: between spaces where it has such, so that no shoe is taken for a hoe; anywhere in Japanese."""
    return f"matches({path}, '\\b{word}\\b')" if word.isascii() else f"contains({path}, '{word}')"


def _quantiles(known: _Known, path: str) -> list[str]:
    """Return where a value's quantiles lie, to two digits: nobody reads a meaning into 98,765."""
    found = (row.get(path) for _, row in known.rows(path))
    values = sorted(value for value in found if isinstance(value, int))
    if not values:
        return []
    chosen = dict.fromkeys(
        _two_digits(values[min(len(values) - 1, len(values) * part // 100)])
        for part in (1, 5, 10, 25, 50, 75, 90, 95, 99)
    )
    if path in known.event.fields and known.event.fields[path].type == "decimal":
        return [f"{value / 1_000_000:.6f}".rstrip("0") + ("0" if value % 1_000_000 == 0 else "") for value in chosen]
    return [str(value) for value in chosen]


def _two_digits(value: int) -> int:
    step: int = 10 ** max(0, len(str(abs(value))) - 2)
    return round(value / step) * step


def _values(known: _Known, path: str) -> list[str]:
    if path in known.event.subjects:
        return []
    rows = ((harmful, row.get(path), place) for place, (harmful, row) in enumerate(known.rows(path)))
    seen = ((harmful, (value,), str(place)) for harmful, value, place in rows if isinstance(value, str) and value)
    found = _most_telling(seen, SUPPORT_MIN, lambda value: value.isprintable())
    return [value.replace("'", "''") for value in found[:VALUES_MAX]]


def _words(known: _Known, path: str) -> list[str]:
    """Return words that several people wrote, those first that tell harmful from honest events best."""
    person = known.event.acting or ""
    rows = (
        (harmful, row.get(path), str(row.get(person, place)))
        for place, (harmful, row) in enumerate(known.rows(path, person))
    )
    seen = ((harmful, set(_WORD.findall(text.lower())), who) for harmful, text, who in rows if isinstance(text, str))
    found = _most_telling(seen, WORD_PEOPLE_MIN, lambda word: word not in _MARKUP)
    return found[: WORDS_MAX * 3]


def _most_telling(
    seen: Iterator[tuple[bool, Collection[str], str]], least: int, fits: Callable[[str], bool]
) -> list[str]:
    """Order what harmful events hold by how surely it is theirs and how many of them it finds; counted once a person."""
    people: tuple[dict[str, set[str]], dict[str, set[str]]] = (
        collections.defaultdict(set),
        collections.defaultdict(set),
    )
    for harmful, words, who in seen:
        for word in words:
            people[harmful][word].add(who)
    honest, bad = people
    worth = {
        word: (wilson(len(who), len(who) + len(honest.get(word, ()))).low or 0.0) * len(who) ** 0.5
        for word, who in bad.items()
        if len(who) >= least and fits(word)
    }
    return sorted(worth, key=lambda word: (-worth[word], word))


def _joined(conditions: Sequence[str]) -> str:
    """Join conditions as a person would write them: at least 100 and at most 100 is 100."""
    left = list(dict.fromkeys(conditions))
    for each in conditions:
        other = each.replace(" >= ", " <= ")
        if " >= " in each and other in left:
            left[left.index(each)] = each.replace(" >= ", " = ")
            left.remove(other)
    return " AND ".join(left)


def _draft(pack: PackDef, event: EventType, name: str, when: str) -> str:
    """Write a proposal as it would stand in a pack, under the policy and for the queue that most rules on such events have."""
    beside = [rule for rule in pack.rules.values() if event.name in rule.on]
    policies = collections.Counter(rule.policy for rule in beside)
    queues = collections.Counter(action.queue for rule in beside for action in rule.then if isinstance(action, Review))
    policy = max(pack.policies, key=lambda each: policies[each])
    queue = max(pack.queues, key=lambda each: queues[each])
    return (
        f"- rule: {name}\n  policy: {policy} # choose\n  on: [{event.name}]\n  when: >-\n    {when}\n"
        f"  then: [{{review: {queue}}}] # choose\n  mode: shadow\n"
        '  because: {en: "proposed from labelled events", ja: "ラベル付きのイベントから提案"}\n'
    )
