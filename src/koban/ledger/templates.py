"""Posting templates: what happens on a marketplace, written as a bookkeeper writes it, and proved before it is used.

A template is entries of debits and credits whose amounts are linear in the template's parameters. So the proofs here hold
for every value of the parameters: debits equal credits, no amount can be negative, an undoing really undoes, and money
enters only from outside with the fact that brought it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from koban.ledger.types import Chart

ParameterType = Literal["amount", "reference", "owner", "posting"]
EntryKind = Literal["post", "hold", "settle", "release"]

ENTRIES_MAX: Final = 20
_TERM: Final = re.compile(r"\s*([+-]?)\s*(?:(\d{1,18})\s*(?:\*\s*([a-z][a-z0-9_]*))?|([a-z][a-z0-9_]*))\s*")
_PROOF_DEPTH: Final = 8


class Linear(msgspec.Struct, frozen=True, kw_only=True):
    """A whole number that is linear in parameters: `price - fee` is {price: 1, fee: -1} and no constant."""

    constant: int = 0
    terms: tuple[tuple[str, int], ...] = ()  # sorted by name, no zero

    def value(self, given: Mapping[str, int]) -> int:
        """Return what it comes to."""
        return self.constant + sum(factor * given[name] for name, factor in self.terms)

    def plus(self, other: "Linear", times: int = 1) -> "Linear":
        """Return the sum with another one, taken `times`."""
        sums = dict(self.terms)
        for name, factor in other.terms:
            sums[name] = sums.get(name, 0) + factor * times
        kept = tuple(sorted((name, factor) for name, factor in sums.items() if factor))
        return Linear(constant=self.constant + other.constant * times, terms=kept)

    def __str__(self) -> str:
        """Write it as it would be written in a pack."""
        parts = [
            ("-" if factor < 0 else "+", f"{abs(factor)} * {name}" if abs(factor) > 1 else name)
            for name, factor in sorted(self.terms, key=lambda term: term[1] < 0)
        ]
        if self.constant or not parts:
            parts.append(("-" if self.constant < 0 else "+", str(abs(self.constant))))
        return " ".join(f"{sign} {text}" for sign, text in parts).removeprefix("+ ")


ZERO: Final = Linear()


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """What a posting must be given. `owner` names whose book it is; `template` what the earlier posting was."""

    name: str
    type: ParameterType
    zero: bool = False  # an amount that may be nothing
    at_most: Linear | None = None
    owner: str | None = None
    template: str | None = None


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an entry: a book of a code (of whom, where books of that code belong to somebody), and how much."""

    code: str
    of: str | None
    amount: Linear


class EntryDef(msgspec.Struct, frozen=True, kw_only=True):
    """Debits and credits that belong together.

    `post` moves at once, `hold` reserves; `settle` posts and `release` voids the `nth` reserved leg of the posting that
    the parameter `held` names, whose debit and credit book follow from it.
    """

    kind: EntryKind
    debits: tuple[Leg, ...] = ()
    credits: tuple[Leg, ...] = ()
    timeout_s: int = 0
    currency: str | None = None
    held: str | None = None
    nth: int = 0
    amount: Linear | None = None


class Tells(msgspec.Struct, frozen=True, kw_only=True):
    """The event of source `koban:ledger` that a posting brings about, so that rules see it."""

    event: str
    data: Mapping[str, str]  # path in the event -> parameter, or `posting`, `level`, `currency`


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can happen to money."""

    name: str
    about: Mapping[str, str]
    currencies: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    entries: tuple[EntryDef, ...]
    order: str | None = None
    payment: str | None = None
    cause: str | None = None
    evidence: str | None = None
    undone_by: str | None = None
    followed_by: tuple[str, ...] = ()
    final: Mapping[str, str] | None = None
    tells: Tells | None = None
    needs: tuple[Leg, ...] = ()  # books that must not hold more than so much, pending included, or it is refused
    once: tuple[str, ...] = ()  # references whose values together prove one posting, of whatever template, and no other
    adjusts: bool = False  # only where one person proposed it and another approved


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how much; none: no bound."""

    count: int | None = None
    amount_minor: int | None = None


class LimitDef(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how much somebody may do something within a time, per level of verification."""

    name: str
    about: Mapping[str, str]
    on: tuple[str, ...]  # templates that count
    of: str  # the parameter that says who
    amount: str  # the parameter that says how much
    currency: str
    within_us: int
    levels: Mapping[str, Cap]
    amounts: Mapping[str, str] = {}  # template -> the parameter that says how much, where it is another one

    def amount_of(self, template: str) -> str:
        """Return which parameter of a template says how much."""
        return self.amounts.get(template, self.amount)


class LedgerStep(msgspec.Struct, frozen=True, kw_only=True):
    """One posting of a worked example, and what must become of it."""

    posting: str
    id: str
    parameters: Mapping[str, str | int]
    currency: str
    level: str | None
    expect: str
    after_us: int  # time that passes before it


class LedgerCase(msgspec.Struct, frozen=True, kw_only=True):
    """A worked example: postings one after the other, and what the books then hold (on the side on which they grow)."""

    name: str
    steps: tuple[LedgerStep, ...]
    balances: Mapping[str, int]
    pending: Mapping[str, int] = {}


class LedgerDef(msgspec.Struct, frozen=True, kw_only=True):
    """What a pack says about money: the chart of books, the templates, limits and worked examples."""

    chart: Chart = Chart(kinds={})
    levels: tuple[str, ...] = ()
    templates: Mapping[str, Template] = {}
    limits: Mapping[str, LimitDef] = {}
    cases: tuple[LedgerCase, ...] = ()


class TemplateFault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a template: in which entry (from 0), or in the template as a whole."""

    entry: int | None
    detail: str
    hint: str = ""


def read_linear(text: str) -> Linear | None:
    """Read `price - fee`, `2 * unit + 100`; None where it is something else."""
    found = ZERO
    position = 0
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None or (position > 0 and not term[1]) or term.end() == position:
            return None
        sign = -1 if term[1] == "-" else 1
        name = term[3] or term[4]
        number = int(term[2]) if term[2] else 1
        part = Linear(terms=((name, number),)) if name else Linear(constant=number)
        found = found.plus(part, sign)
        position = term.end()
    return found if text.strip() else None


def is_at_least(expression: Linear, least: int, parameters: Mapping[str, Parameter], depth: int = 0) -> bool:
    """Prove that an amount can never be below `least`, from what the parameters may be.

    Why so: a negative term is taken away with its declared bound (p <= B makes E + p - B a lower bound of E) until only
    positive ones are left, whose least values are known.
    """
    negative = [name for name, factor in expression.terms if factor < 0]
    if not negative:
        low = expression.constant
        for name, factor in expression.terms:
            low += factor * (0 if parameters[name].zero else 1)
        return low >= least
    if depth >= _PROOF_DEPTH:
        return False
    for name in negative:
        bound = parameters[name].at_most
        if bound is not None:
            lower = expression.plus(Linear(terms=((name, 1),))).plus(bound, -1)
            if is_at_least(lower, least, parameters, depth + 1):
                return True
    return False


def legs_of(template: Template) -> list[tuple[int, EntryDef, Leg, Leg, Linear]]:
    """Return the transfers of a template, from 1: number, entry, debit leg, credit leg, amount.

    An entry has one leg on one side at least, so each leg of the other side is one transfer.
    """
    found = []
    number = 0
    for entry in template.entries:
        if entry.kind in {"settle", "release"}:
            number += 1
            continue
        many = entry.debits if len(entry.debits) > 1 else entry.credits
        for leg in many:
            number += 1
            debit = leg if many is entry.debits else entry.debits[0]
            credit = leg if many is entry.credits else entry.credits[0]
            found.append((number, entry, debit, credit, leg.amount))
    return found


def check_template(template: Template, chart: Chart, templates: Mapping[str, Template]) -> Iterator[TemplateFault]:
    """Prove a template for all values of its parameters, or say what cannot be proved."""
    names_fault = False
    for fault in _check_names(template, chart, templates):
        names_fault = True
        yield fault
    if names_fault:
        return  # nothing can be proved about what is not known
    for index, entry in enumerate(template.entries):
        yield from _check_entry(index, entry, template)
    yield from _check_money_enters(template, chart, templates)
    yield from _check_what_follows(template, templates)


def _check_names(template: Template, chart: Chart, templates: Mapping[str, Template]) -> Iterator[TemplateFault]:
    parameters = template.parameters
    for key in ("order", "payment", "cause", "evidence"):
        name = getattr(template, key)
        if name is not None and (name not in parameters or parameters[name].type not in {"reference", "owner"}):
            yield TemplateFault(entry=None, detail=f"'{key}' names no parameter that is a reference: '{name}'")
    for name in template.once:
        if name not in parameters or parameters[name].type != "reference":
            yield TemplateFault(entry=None, detail=f"'once' names no parameter that is a reference: '{name}'")
    for each in parameters.values():
        amounts = [name for name, _ in each.at_most.terms] if each.at_most is not None else []
        if any(name not in parameters or parameters[name].type != "amount" for name in amounts):
            yield TemplateFault(
                entry=None, detail=f"'at_most' of '{each.name}' reads what is no amount of this template"
            )
        if each.template is not None and each.template not in templates:
            yield TemplateFault(entry=None, detail=f"there is no posting '{each.template}'")
    for need in template.needs:
        yield from _check_leg(None, template.currencies, need, template, chart)
    for index, entry in enumerate(template.entries):
        yield from _check_held(index, entry, template, templates)
        for leg in (*entry.debits, *entry.credits):
            currencies = (entry.currency,) if entry.currency is not None else template.currencies
            yield from _check_leg(index, currencies, leg, template, chart)
        if entry.amount is not None:
            yield from _check_amount(index, entry.amount, parameters)


def _check_held(
    index: int, entry: EntryDef, template: Template, templates: Mapping[str, Template]
) -> Iterator[TemplateFault]:
    if entry.kind not in {"settle", "release"}:
        if not entry.debits or not entry.credits:
            yield TemplateFault(entry=index, detail="an entry has a debit and a credit")
        return
    parameter = template.parameters.get(entry.held or "")
    if parameter is None or parameter.type != "posting":
        yield TemplateFault(entry=index, detail=f"'{entry.held}' is no parameter of type posting")
        return
    held = templates.get(parameter.template or "")
    if held is not None and not any(number == entry.nth and of.kind == "hold" for number, of, *_ in legs_of(held)):
        yield TemplateFault(
            entry=index, detail=f"leg {entry.nth} of '{held.name}' reserves nothing that could be settled or released"
        )


def _check_leg(
    index: int | None, currencies: Sequence[str], leg: Leg, template: Template, chart: Chart
) -> Iterator[TemplateFault]:
    kind = chart.kinds.get(leg.code)
    if kind is None:
        known = ", ".join(sorted(chart.kinds)[:8])
        yield TemplateFault(entry=index, detail=f"the chart has no book '{leg.code}'", hint=f"it has {known}, …")
        return
    for currency in currencies:
        if currency not in kind.currencies:
            yield TemplateFault(entry=index, detail=f"the chart does not keep '{leg.code}' in {currency}")
    parameter = template.parameters.get(leg.of or "")
    if kind.owner is None and leg.of is not None:
        yield TemplateFault(entry=index, detail=f"'{leg.code}' is one book and belongs to nobody")
    elif kind.owner is not None and (parameter is None or parameter.type != "owner" or parameter.owner != kind.owner):
        yield TemplateFault(
            entry=index,
            detail=f"books of '{leg.code}' belong to a {kind.owner}, and 'of' names no parameter that is one",
        )
    yield from _check_amount(index, leg.amount, template.parameters)


def _check_amount(index: int | None, amount: Linear, parameters: Mapping[str, Parameter]) -> Iterator[TemplateFault]:
    for name, _ in amount.terms:
        if name not in parameters or parameters[name].type != "amount":
            yield TemplateFault(entry=index, detail=f"'{name}' is no amount of this template")


def _check_entry(index: int, entry: EntryDef, template: Template) -> Iterator[TemplateFault]:
    if entry.kind in {"settle", "release"}:
        yield from _check_settled(index, entry, template)
        return
    if len(entry.debits) > 1 and len(entry.credits) > 1:
        yield TemplateFault(
            entry=index,
            detail="several debits against several credits",
            hint="split it, so that it is plain which amount goes from where to where",
        )
        return
    difference = ZERO
    for leg in entry.debits:
        difference = difference.plus(leg.amount)
    for leg in entry.credits:
        difference = difference.plus(leg.amount, -1)
    if difference != ZERO:
        yield TemplateFault(
            entry=index, detail=f"debits and credits differ by {difference}", hint="they must be equal for all amounts"
        )
    least = 1 if entry.kind == "hold" else 0
    for leg in (*entry.debits, *entry.credits):
        if not is_at_least(leg.amount, least, template.parameters):
            below = "below zero" if least == 0 else "nothing, and nothing cannot be reserved"
            yield TemplateFault(
                entry=index,
                detail=f"{leg.amount} could be {below}",
                hint="say what bounds it: at_most on the parameter that is taken off",
            )
    books = {(leg.code, leg.of) for leg in entry.debits} & {(leg.code, leg.of) for leg in entry.credits}
    for code, _ in sorted(books, key=str):
        yield TemplateFault(entry=index, detail=f"'{code}' is debited and credited by the same entry")


def _check_settled(index: int, entry: EntryDef, template: Template) -> Iterator[TemplateFault]:
    if entry.kind == "release" and entry.amount is not None:
        yield TemplateFault(entry=index, detail="a release gives everything back and has no amount")
    if entry.amount is not None and not is_at_least(entry.amount, 1, template.parameters):
        yield TemplateFault(entry=index, detail=f"{entry.amount} could be nothing, and nothing cannot be settled")


Effect = dict[tuple[str, str | None, str], Linear]


def effect_of(template: Template, templates: Mapping[str, Template]) -> Effect:
    """Return what a template does to each book: (code, of, posted or pending) -> debits less credits."""
    effect: Effect = {}

    def add(leg: Leg, what: str, amount: Linear, times: int) -> None:
        key = (leg.code, leg.of, what)
        effect[key] = effect.get(key, ZERO).plus(amount, times)

    for _, entry, debit, credit, amount in legs_of(template):
        what = "pending" if entry.kind == "hold" else "posted"
        add(debit, what, amount, 1)
        add(credit, what, amount, -1)
    for entry in template.entries:
        if entry.kind not in {"settle", "release"}:
            continue
        reserved = _reserved(entry, template, templates)
        if reserved is None:
            continue  # that is a fault of its own, told where it stands
        debit, credit, amount = reserved
        add(debit, "pending", amount, -1)
        add(credit, "pending", amount, 1)
        if entry.kind == "settle":
            settled = entry.amount if entry.amount is not None else amount
            add(debit, "posted", settled, 1)
            add(credit, "posted", settled, -1)
    return {key: amount for key, amount in effect.items() if amount != ZERO}


def _reserved(entry: EntryDef, template: Template, templates: Mapping[str, Template]) -> tuple[Leg, Leg, Linear] | None:
    """Return debit, credit and amount of the leg that an entry settles or releases."""
    parameter = template.parameters.get(entry.held or "")
    held = templates.get(parameter.template or "") if parameter is not None else None
    legs = legs_of(held) if held is not None else []
    return next((each[2:] for each in legs if each[0] == entry.nth), None)


def _check_money_enters(template: Template, chart: Chart, templates: Mapping[str, Template]) -> Iterator[TemplateFault]:
    """Hold that no path creates money.

    What raises a claim on the outside needs the outside's fact; what we give away needs a reason, or a book that was
    funded before.
    """
    for index, code in _debited(template, templates):
        kind = chart.kinds.get(code)
        if kind is None:
            continue
        if kind.backing == "outside" and (kind.grows == "debit" or kind.may_overdraw) and template.evidence is None:
            yield TemplateFault(
                entry=index,
                detail=f"it debits '{code}', so money would come in that nobody outside sent",
                hint="evidence: the parameter that names the payment or the line of the bank",
            )
        elif kind.backing == "own" and (kind.may_overdraw or kind.grows == "debit") and template.cause is None:
            yield TemplateFault(
                entry=index,
                detail=f"it debits '{code}', which nothing bounds, so money would be given away for no reason",
                hint="cause: the parameter that names the claim, grant or order behind it",
            )
        elif kind.backing == "people" and kind.grows == "debit" and kind.most_minor is None and template.cause is None:
            yield TemplateFault(
                entry=index,
                detail=f"it debits '{code}', a claim on somebody that nothing bounds, so money would be made by owing it",
                hint="cause: the parameter that names the bill or claim behind it; or most_minor on the chart",
            )
        elif kind.backing == "people" and kind.grows == "credit" and kind.may_overdraw:
            yield TemplateFault(
                entry=index,
                detail=f"it debits '{code}', which is owed to people and may be overdrawn: their claim could go below zero",
                hint="take may_overdraw off the chart; a credit line is a limit of the single book",
            )


def _debited(template: Template, templates: Mapping[str, Template]) -> Iterator[tuple[int, str]]:
    for index, entry in enumerate(template.entries):
        if entry.kind == "settle":
            reserved = _reserved(entry, template, templates)
            if reserved is not None:
                yield index, reserved[0].code
        for leg in entry.debits:
            yield index, leg.code


def _check_what_follows(template: Template, templates: Mapping[str, Template]) -> Iterator[TemplateFault]:
    """Hold that every template's inverse or follow-up is known, and that an undoing leaves nothing behind."""
    if template.undone_by is None and not template.followed_by and template.final is None:
        yield TemplateFault(
            entry=None,
            detail="nothing says what may follow",
            hint="undone_by: a posting that takes it back; followed_by: [postings]; or final: why nothing follows",
        )
    for name in (*template.followed_by, *((template.undone_by,) if template.undone_by is not None else ())):
        if name not in templates:
            yield TemplateFault(entry=None, detail=f"there is no posting '{name}'")
    undoing = templates.get(template.undone_by or "")
    if undoing is None:
        return
    rest: Effect = effect_of(template, templates)
    for key, amount in effect_of(undoing, templates).items():
        rest[key] = rest.get(key, ZERO).plus(amount)
    left: Sequence[str] = [f"{code} {amount}" for (code, _, _), amount in rest.items() if amount != ZERO]
    if left:
        yield TemplateFault(entry=None, detail=f"'{undoing.name}' does not take it back: it leaves {', '.join(left)}")
