"""The sections about money: the chart of books, posting templates, limits and worked examples."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from koban.base import SECOND
from koban.ledger import (
    Account,
    BookKind,
    Cap,
    Chart,
    EntryDef,
    LedgerCase,
    LedgerDef,
    LedgerStep,
    Leg,
    LimitDef,
    Linear,
    Parameter,
    ParameterType,
    PostingCode,
    Side,
    Tells,
    Template,
    check_template,
    read_linear,
)
from koban.packs import reading
from koban.packs.documents import Entries, Items, Node, Scalar
from koban.packs.faults import Fault, nearest
from koban.packs.reading import DOTTED, NAME, Record
from koban.packs.types import EventType, Source

MAX_ENTRIES: Final = 20
MAX_LEGS: Final = 12
MAX_STEPS: Final = 50
MAX_PARAMETERS: Final = 24

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_KINDS: Final = ("post", "hold", "settle", "release")


class _Read:
    """What was read so far, with where it stands."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        self.kinds: dict[str, BookKind] = {}
        self.templates: dict[str, Template] = {}
        self.limits: dict[str, LimitDef] = {}
        self.cases: list[LedgerCase] = []
        self.levels: tuple[str, ...] = ()
        self.time_zone = "Asia/Tokyo"
        self.places: dict[str, Source] = {}
        self.entry_places: dict[str, list[Source]] = {}
        self.case_places: list[Source] = []


def read_ledger(
    nodes: list[Node], postings: list[Node], examples: list[Node], faults: list[Fault], events: Mapping[str, EventType]
) -> LedgerDef:
    """Read everything that a pack says about money, and prove its templates."""
    read = _Read(faults)
    for node in nodes:
        _read_item(node, read)
    for node in postings:
        _read_template(node, read)
    for node in examples:
        _read_case(node, read)
    ledger = LedgerDef(
        chart=Chart(kinds=read.kinds, time_zone=read.time_zone),
        levels=read.levels,
        templates=read.templates,
        limits=read.limits,
        cases=tuple(read.cases),
    )
    faults.extend(_check(read, ledger, events))
    return ledger


def _key(node: Node, *known: str) -> str:
    if isinstance(node, Entries):
        for key, _ in node.pairs:
            if key.text in known:
                return key.text
    return known[0]


def _declare(read: _Read, what: str, name: str, at: Source) -> bool:
    place = f"{what} {name}"
    if place in read.places:
        first = read.places[place]
        detail = f"the {what} '{name}' is declared twice; first in {first.file} on line {first.line}"
        read.faults.append(Fault(source=at, detail=detail))
        return False
    read.places[place] = at
    return bool(name)


def _read_item(node: Node, read: _Read) -> None:
    match _key(node, "book", "limit", "ledger"):
        case "limit":
            _read_limit(node, read)
        case "ledger":
            _read_settings(node, read)
        case _:
            _read_book(node, read)


def _read_settings(node: Node, read: _Read) -> None:
    record = reading.open_record(
        node, read.faults, what="the ledger", required=("ledger", "time_zone"), optional=("levels",)
    )
    if record is None or not _declare(read, "ledger", reading.name(record, "ledger"), record.at):
        return
    import zoneinfo

    zone = reading.text(record, "time_zone")
    if zone and zone not in zoneinfo.available_timezones():
        record.fault(record.at_of("time_zone"), f"there is no time zone '{zone}'", "as in Asia/Tokyo")
        zone = ""
    read.time_zone = zone or read.time_zone
    read.levels = tuple(name for name, _ in reading.names(record, "levels", NAME))


def _currencies(record: Record) -> tuple[str, ...]:
    found = []
    for node in reading.items(record.value("currencies"), record.faults, what="'currencies'", most=50):
        text = reading.scalar_text(node, record.faults, what="a currency")
        if text and not _CURRENCY.fullmatch(text):
            record.fault(node.at, f"'{text[:20]}' is no currency", "three capital letters, as in JPY")
        found.append(text)
    if not found:
        record.fault(record.at, "at least one currency is needed")
    return tuple(found)


def _read_book(node: Node, read: _Read) -> None:
    record = reading.open_record(
        node,
        read.faults,
        what="a book of the chart",
        required=("book", "title", "grows", "backing", "currencies"),
        optional=("owner", "may_overdraw", "most_minor", "account"),
    )
    if record is None:
        return
    code = reading.name(record, "book")
    # The casts narrow words that `one_of` has just checked.
    kind = BookKind(
        code=code,
        grows=cast("Side", reading.one_of(record, "grows", ("debit", "credit"), "credit")),
        backing=reading.one_of(record, "backing", ("outside", "people", "own"), "own"),  # type: ignore[arg-type]  # checked
        owner=reading.optional_name(record, "owner"),
        currencies=_currencies(record),
        title=reading.texts(record, "title"),
        may_overdraw=reading.boolean(record, "may_overdraw", default=False),
        most_minor=reading.integer(record, "most_minor", low=0, high=2**62, default=0)
        if "most_minor" in record.fields
        else None,
        account=_read_account(record),
    )
    if _declare(read, "book", code, record.at):
        read.kinds[code] = kind


def _read_account(record: Record) -> Account | None:
    node = record.value("account")
    if node is None:
        return None
    account = reading.open_record(
        node, record.faults, what="an account", required=("code", "name"), optional=("tax", "by_owner")
    )
    if account is None:
        return None
    return Account(
        code=reading.text(account, "code"),
        name=reading.text(account, "name"),
        tax=reading.text(account, "tax") if "tax" in account.fields else "",
        by_owner=reading.boolean(account, "by_owner", default=False),
    )


def _read_limit(node: Node, read: _Read) -> None:
    record = reading.open_record(
        node,
        read.faults,
        what="a limit",
        required=("limit", "about", "on", "of", "amount", "currency", "within", "levels"),
        optional=("amounts",),
    )
    if record is None:
        return
    name = reading.name(record, "limit")
    within = record.value("within")
    levels: dict[str, Cap] = {}
    node_levels = record.value("levels")
    if isinstance(node_levels, Entries):
        for key, value in node_levels.pairs:
            cap = reading.open_record(
                value, read.faults, what="a level", required=(), optional=("count", "amount_minor")
            )
            if cap is not None:
                levels[key.text] = Cap(
                    count=reading.integer(cap, "count", low=0, high=1_000_000, default=0)
                    if "count" in cap.fields
                    else None,
                    amount_minor=reading.integer(cap, "amount_minor", low=0, high=2**62, default=0)
                    if "amount_minor" in cap.fields
                    else None,
                )
    elif node_levels is not None:
        record.fault(node_levels.at, "'levels' maps each level to count and amount_minor")
    limit = LimitDef(
        name=name,
        about=reading.texts(record, "about"),
        on=tuple(each for each, _ in reading.names(record, "on", NAME)),
        of=reading.name(record, "of"),
        amount=reading.name(record, "amount"),
        currency=reading.text(record, "currency"),
        within_us=reading.duration(within, read.faults, what="'within'") if within is not None else SECOND,
        levels=levels,
        amounts=_read_amounts(record),
    )
    if _declare(read, "limit", name, record.at):
        read.limits[name] = limit


def _read_amounts(record: Record) -> dict[str, str]:
    node = record.value("amounts")
    if node is not None and not isinstance(node, Entries):
        record.fault(node.at, "'amounts' maps a posting to the parameter that says how much")
    return {
        key.text: reading.checked_name(value, record.faults, NAME, what="the parameter")
        for key, value in (node.pairs if isinstance(node, Entries) else ())
    }


def _read_template(node: Node, read: _Read) -> None:
    record = reading.open_record(
        node,
        read.faults,
        what="a posting",
        required=("posting", "about", "currencies", "parameters", "entries"),
        optional=(
            "order",
            "payment",
            "cause",
            "evidence",
            "undone_by",
            "followed_by",
            "final",
            "tells",
            "needs",
            "once",
            "adjusts",
        ),
    )
    if record is None:
        return
    name = reading.name(record, "posting")
    entries: list[EntryDef] = []
    places: list[Source] = []
    for item in reading.items(record.value("entries"), read.faults, what="'entries'", most=MAX_ENTRIES):
        entry = _read_entry(item, read.faults)
        if entry is not None:
            entries.append(entry)
            places.append(item.at)
    if not entries:
        record.fault(record.at, "a posting has at least one entry")
    template = Template(
        name=name,
        about=reading.texts(record, "about"),
        currencies=_currencies(record),
        parameters=_read_parameters(record),
        entries=tuple(entries),
        order=reading.optional_name(record, "order"),
        payment=reading.optional_name(record, "payment"),
        cause=reading.optional_name(record, "cause"),
        evidence=reading.optional_name(record, "evidence"),
        undone_by=reading.optional_name(record, "undone_by"),
        followed_by=tuple(each for each, _ in reading.names(record, "followed_by", NAME)),
        final=reading.texts(record, "final") if "final" in record.fields else None,
        tells=_read_tells(record),
        needs=_read_needs(record),
        once=tuple(sorted(each for each, _ in reading.names(record, "once", NAME))),
        adjusts=reading.boolean(record, "adjusts", default=False),
    )
    if _declare(read, "posting", name, record.at):
        read.templates[name] = template
        read.entry_places[name] = places


def _read_needs(record: Record) -> tuple[Leg, ...]:
    node = record.value("needs")
    if node is None:
        return ()
    needs = []
    for item in reading.items(node, record.faults, what="'needs'", most=MAX_LEGS):
        need = reading.open_record(item, record.faults, what="a need", required=("book", "at_most"), optional=("of",))
        if need is not None:
            code, of = reading.name(need, "book"), reading.optional_name(need, "of")
            needs.append(Leg(code=code, of=of, amount=_linear(need, "at_most")))
    return tuple(needs)


def _read_tells(record: Record) -> Tells | None:
    node = record.value("tells")
    if node is None:
        return None
    tells = reading.open_record(node, record.faults, what="'tells'", required=("event", "data"))
    if tells is None:
        return None
    data: dict[str, str] = {}
    mapping = tells.value("data")
    if isinstance(mapping, Entries):
        for key, value in mapping.pairs:
            data[key.text] = reading.checked_name(value, record.faults, NAME, what="the parameter")
    elif mapping is not None:
        record.fault(mapping.at, "'data' maps each field of the event to a parameter")
    return Tells(event=reading.name(tells, "event", DOTTED), data=data)


def _read_parameters(record: Record) -> dict[str, Parameter]:
    node = record.value("parameters")
    found: dict[str, Parameter] = {}
    if node is None:
        return found
    if not isinstance(node, Entries) or len(node.pairs) > MAX_PARAMETERS:
        record.fault(node.at, f"'parameters' maps at most {MAX_PARAMETERS} names to what they are")
        return found
    for key, value in node.pairs:
        name = reading.checked_name(key, record.faults, NAME, what="the parameter")
        found[name] = _read_parameter(name, value, record.faults)
    return found


def _read_parameter(name: str, node: Node, faults: list[Fault]) -> Parameter:
    if isinstance(node, Scalar):
        kind = reading.word(node, faults, ("amount", "reference"), "reference", what="a parameter's type")
        return Parameter(name=name, type=cast("ParameterType", kind))
    record = reading.open_record(
        node, faults, what="a parameter", required=(), optional=("amount", "zero", "at_most", "owner", "posting")
    )
    if record is None:
        return Parameter(name=name, type="reference")
    if "owner" in record.fields:
        return Parameter(name=name, type="owner", owner=reading.name(record, "owner"))
    if "posting" in record.fields:
        return Parameter(name=name, type="posting", template=reading.name(record, "posting"))
    return Parameter(
        name=name,
        type="amount",
        zero=reading.boolean(record, "zero", default=False),
        at_most=_linear(record, "at_most") if "at_most" in record.fields else None,
    )


def _linear(record: Record, key: str) -> Linear:
    text = reading.text(record, key)
    found = read_linear(text)
    if found is None:
        record.fault(record.at_of(key), f"'{text[:60]}' is no sum of amounts", "as in price - fee, or 2 * unit + 100")
        return Linear()
    return found


def _read_entry(node: Node, faults: list[Fault]) -> EntryDef | None:
    record = reading.open_record(
        node,
        faults,
        what="an entry",
        required=(),
        optional=("debit", "credit", "hold", "for", "currency", "settle", "release", "leg", "amount"),
    )
    if record is None:
        return None
    kind = next((each for each in ("settle", "release") if each in record.fields), "")
    if kind:
        return EntryDef(
            kind="settle" if kind == "settle" else "release",
            held=reading.name(record, kind),
            nth=reading.integer(record, "leg", low=1, high=MAX_ENTRIES * MAX_LEGS, default=1),
            amount=_linear(record, "amount") if "amount" in record.fields else None,
        )
    length = record.value("for")
    holds = reading.boolean(record, "hold", default=False)
    if length is not None and not holds:
        record.fault(length.at, "'for' says how long a hold lasts, and this entry holds nothing", "hold: true")
    currency = reading.text(record, "currency") if "currency" in record.fields else None
    return EntryDef(
        kind="hold" if holds else "post",
        debits=_read_legs(record, "debit"),
        credits=_read_legs(record, "credit"),
        timeout_s=reading.duration(length, faults, what="'for'") // SECOND if length is not None else 0,
        currency=currency,
    )


def _read_legs(record: Record, key: str) -> tuple[Leg, ...]:
    node = record.value(key)
    if node is None:
        return ()
    legs = []
    for item in node.items if isinstance(node, Items) else (node,):
        leg = reading.open_record(item, record.faults, what="a leg", required=("book", "amount"), optional=("of",))
        if leg is not None:
            legs.append(
                Leg(code=reading.name(leg, "book"), of=reading.optional_name(leg, "of"), amount=_linear(leg, "amount"))
            )
    if len(legs) > MAX_LEGS:
        record.fault(node.at, f"an entry has at most {MAX_LEGS} legs on a side")
    return tuple(legs)


def _read_case(node: Node, read: _Read) -> None:
    record = reading.open_record(
        node, read.faults, what="a worked example", required=("example", "steps", "balances"), optional=("pending",)
    )
    if record is None:
        return
    steps = tuple(
        step
        for number, item in enumerate(
            reading.items(record.value("steps"), read.faults, what="'steps'", most=MAX_STEPS), start=1
        )
        if (step := _read_step(number, item, read)) is not None
    )
    read.cases.append(
        LedgerCase(
            name=reading.text(record, "example"),
            steps=steps,
            balances=_read_sums(record, "balances"),
            pending=_read_sums(record, "pending"),
        )
    )
    read.case_places.append(record.at)


def _read_sums(record: Record, key: str) -> dict[str, int]:
    node = record.value(key)
    found: dict[str, int] = {}
    if node is not None and not isinstance(node, Entries):
        record.fault(node.at, f"'{key}' maps books to whole numbers")
    for name, value in node.pairs if isinstance(node, Entries) else ():
        number = reading.as_integer(value)
        if number is None:
            record.fault(value.at, "a balance is a whole number of minor units")
        found[name.text] = number or 0
    return found


def _read_step(number: int, node: Node, read: _Read) -> LedgerStep | None:
    record = reading.open_record(
        node,
        read.faults,
        what="a step",
        required=("posting", "with"),
        optional=("id", "currency", "level", "expect", "after"),
    )
    if record is None:
        return None
    given: dict[str, str | int] = {}
    values = record.value("with")
    for key, value in values.pairs if isinstance(values, Entries) else ():
        whole = reading.as_integer(value)
        given[key.text] = whole if whole is not None else reading.scalar_text(value, read.faults, what="a parameter")
    after = record.value("after")
    return LedgerStep(
        posting=reading.name(record, "posting"),
        id=reading.text(record, "id", f"step{number}"),
        parameters=given,
        currency=reading.text(record, "currency", "JPY"),
        level=reading.optional_name(record, "level"),
        expect=reading.one_of(record, "expect", tuple(each.value for each in PostingCode), "posted"),
        after_us=reading.duration(after, read.faults, what="'after'") if after is not None else 0,
    )


def _check(read: _Read, ledger: LedgerDef, events: Mapping[str, EventType]) -> Iterator[Fault]:
    for template in ledger.templates.values():
        at = read.places[f"posting {template.name}"]
        for fault in check_template(template, ledger.chart, ledger.templates):
            place = at if fault.entry is None else read.entry_places[template.name][fault.entry]
            yield Fault(source=place, detail=f"posting {template.name}: {fault.detail}", hint=fault.hint)
        yield from _check_tells(at, template, events)
    for limit in ledger.limits.values():
        yield from _check_limit(read.places[f"limit {limit.name}"], limit, ledger)
    for case, at in zip(ledger.cases, read.case_places, strict=True):
        for step in case.steps:
            if step.posting not in ledger.templates:
                detail = f"there is no posting '{step.posting}'"
                yield Fault(source=at, detail=detail, hint=nearest(step.posting, ledger.templates))


def _check_tells(at: Source, template: Template, events: Mapping[str, EventType]) -> Iterator[Fault]:
    tells = template.tells
    if tells is None:
        return
    event = events.get(tells.event)
    if event is None:
        detail = f"posting {template.name}: there is no event type '{tells.event}'"
        yield Fault(source=at, detail=detail, hint=nearest(tells.event, events))
        return
    for path, name in tells.data.items():
        parameter = template.parameters.get(name)
        if parameter is None and name not in {"posting", "level", "currency"}:
            detail = f"posting {template.name}: '{name}' is no parameter of it"
            yield Fault(source=at, detail=detail, hint="a parameter, or posting, level, currency")
            continue
        field = event.fields.get(path)
        wanted = "int" if parameter is not None and parameter.type == "amount" else "text"
        if field is None or field.type != wanted:
            detail = f"posting {template.name}: {tells.event} has no field '{path}' of type {wanted}"
            yield Fault(source=at, detail=detail, hint=nearest(path, event.fields))
        elif field.personal is not None:
            detail = f"posting {template.name}: '{path}' is personal, and the ledger holds nothing personal"
            yield Fault(source=at, detail=detail)


def _check_limit(at: Source, limit: LimitDef, ledger: LedgerDef) -> Iterator[Fault]:
    for name in limit.on:
        template = ledger.templates.get(name)
        if template is None:
            detail = f"limit {limit.name}: there is no posting '{name}'"
            yield Fault(source=at, detail=detail, hint=nearest(name, ledger.templates))
            continue
        much = limit.amount_of(name)
        of, amount = template.parameters.get(limit.of), template.parameters.get(much)
        if of is None or of.type not in {"owner", "reference"}:
            yield Fault(source=at, detail=f"limit {limit.name}: '{limit.of}' is nobody in the posting '{name}'")
        if amount is None or amount.type != "amount":
            yield Fault(source=at, detail=f"limit {limit.name}: '{much}' is no amount of the posting '{name}'")
        if limit.currency not in template.currencies:
            yield Fault(source=at, detail=f"limit {limit.name}: '{name}' is not posted in {limit.currency}")
    for name in limit.amounts:
        if name not in limit.on:
            detail = f"limit {limit.name}: 'amounts' names '{name}', which it does not count"
            yield Fault(source=at, detail=detail, hint=nearest(name, limit.on))
    for level in ledger.levels:
        if level not in limit.levels:
            yield Fault(source=at, detail=f"limit {limit.name} says nothing about the level '{level}'")
    for level in limit.levels:
        if level not in ledger.levels:
            detail = f"limit {limit.name}: there is no level '{level}'"
            yield Fault(source=at, detail=detail, hint=nearest(level, ledger.levels))
