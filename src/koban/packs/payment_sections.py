"""The section `payments`: methods with the postings that they make, what is decided, and what holds in an outage."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

from koban.base import DAY, MINUTE, SECOND
from koban.ledger import LedgerDef, Template
from koban.packs import reading
from koban.packs.documents import Entries, Node
from koban.packs.faults import Fault, nearest
from koban.packs.reading import DOTTED, NAME, Record
from koban.packs.types import EventType, MethodDef, OutageDef, OutageRule, PaymentsDef, Source

ANY_PROVIDER: Final = "any"
PROOFS: Final = ("three_d_secure",)
MAX_FAILURES: Final = 1_000

# Role -> the role whose posting it settles or releases; empty: it stands for itself.
LEDGER_ROLES: Final = {"reserve": "", "take": "reserve", "release": "reserve", "give_back": ""}
PROVIDER_ROLES: Final = {
    "reserve": "", "take": "reserve", "take_late": "", "release": "reserve", "give_back": "", "given_back": "give_back",
    "kept": "give_back",
}  # fmt: skip
PAYOUT_ROLES: Final = {"reserve": "", "take": "reserve", "release": "reserve", "came_back": ""}
CHARGEBACK_ROLES: Final = {"in_escrow": "", "after": "", "won_in_escrow": "", "won": ""}
_OWNERS: Final = ("order", "provider", "account")


def read_payments(
    nodes: list[Node], faults: list[Fault], events: Mapping[str, EventType], ledger: LedgerDef
) -> PaymentsDef:
    """Read what a pack says about payments, and check it against its events and postings."""
    head: PaymentsDef | None = None
    methods: dict[str, MethodDef] = {}
    outages: dict[str, OutageDef] = {}
    for node in nodes:
        keys = {key.text for key, _ in node.pairs} if isinstance(node, Entries) else set()
        if "method" in keys:
            _once(methods, _read_method(node, faults), faults, "method")
        elif "outage" in keys:
            _once(outages, _read_outage(node, faults), faults, "outage")
        else:
            read = _read_head(node, faults)
            if read is not None and head is not None:
                faults.append(Fault(source=node.at, detail="'payments' is declared twice"))
            head = read or head
    if head is None:
        if nodes:
            detail = "methods and outages need the item 'payments: NAME' beside them"
            faults.append(Fault(source=nodes[0].at, detail=detail))
        return PaymentsDef()
    found = PaymentsDef(
        name=head.name,
        decides=head.decides,
        decides_payout=head.decides_payout,
        tells_chargeback=head.tells_chargeback,
        tells_paid_twice=head.tells_paid_twice,
        lapses_after_us=head.lapses_after_us,
        payout=head.payout,
        chargeback=head.chargeback,
        methods=methods,
        outages=outages,
        source=head.source,
    )
    faults.extend(_check(found, events, ledger))
    return found


def _once(
    found: dict[str, MethodDef] | dict[str, OutageDef],
    item: MethodDef | OutageDef | None,
    faults: list[Fault],
    what: str,
) -> None:
    if item is None or not item.name:
        return
    if item.name in found:
        faults.append(Fault(source=item.source, detail=f"the {what} '{item.name}' is declared twice"))
    else:
        found[item.name] = item  # type: ignore[assignment]  # each mapping is given items of its own kind


def _read_head(node: Node, faults: list[Fault]) -> PaymentsDef | None:
    record = reading.open_record(
        node, faults, what="the payments", required=("payments", "decides", "lapses_after"),
        optional=("decides_payout", "tells_chargeback", "tells_paid_twice", "payout", "chargeback"),
    )  # fmt: skip
    if record is None:
        return None
    lapses = record.value("lapses_after")
    return PaymentsDef(
        name=reading.name(record, "payments"),
        decides=reading.name(record, "decides", DOTTED),
        decides_payout=reading.name(record, "decides_payout", DOTTED) if "decides_payout" in record.fields else "",
        tells_chargeback=reading.name(record, "tells_chargeback", DOTTED)
        if "tells_chargeback" in record.fields
        else "",
        tells_paid_twice=reading.name(record, "tells_paid_twice", DOTTED)
        if "tells_paid_twice" in record.fields
        else "",
        lapses_after_us=reading.duration(lapses, faults, what="'lapses_after'") if lapses is not None else DAY,
        payout=_read_roles(record, "payout", PAYOUT_ROLES),
        chargeback=_read_roles(record, "chargeback", CHARGEBACK_ROLES),
        source=record.at,
    )


def _read_method(node: Node, faults: list[Fault]) -> MethodDef | None:
    record = reading.open_record(
        node,
        faults,
        what="a payment method",
        required=("method", "title", "postings"),
        optional=("provider", "proves", "retired"),
    )
    if record is None:
        return None
    by_provider = reading.boolean(record, "provider", default=False)
    return MethodDef(
        name=reading.name(record, "method"),
        title=reading.texts(record, "title"),
        provider=by_provider,
        proves=reading.one_of(record, "proves", PROOFS, "") if "proves" in record.fields else "",
        retired=reading.boolean(record, "retired", default=False),
        postings=_read_roles(record, "postings", PROVIDER_ROLES if by_provider else LEDGER_ROLES),
        source=record.at,
    )


def _read_outage(node: Node, faults: list[Fault]) -> OutageDef | None:
    record = reading.open_record(
        node, faults, what="an outage", required=("outage", "after", "rest", "then"), optional=("queue_for",)
    )
    if record is None:
        return None
    rest, queue_for = record.value("rest"), record.value("queue_for")
    then = cast("OutageRule", reading.one_of(record, "then", ("refuse", "queue"), "refuse"))
    if then == "queue" and queue_for is None:
        record.fault(record.at, "a payment that is queued needs 'queue_for'", "as in queue_for: 15 minutes")
    return OutageDef(
        name=reading.name(record, "outage"),
        after=reading.integer(record, "after", low=1, high=MAX_FAILURES, default=5),
        rest_us=reading.duration(rest, faults, what="'rest'") if rest is not None else MINUTE,
        then=then,
        queue_for_us=reading.duration(queue_for, faults, what="'queue_for'") if queue_for is not None else 0,
        source=record.at,
    )


def _read_roles(record: Record, key: str, roles: Mapping[str, str]) -> dict[str, str]:
    node = record.value(key)
    if node is None:
        return {}
    if not isinstance(node, Entries):
        record.fault(node.at, f"'{key}' maps roles to postings: {', '.join(roles)}")
        return {}
    found: dict[str, str] = {}
    for name, value in node.pairs:
        if name.text not in roles:
            record.fault(name.at, f"'{key}' has no role '{name.text[:40]}'", nearest(name.text, tuple(roles)))
        else:
            found[name.text] = reading.checked_name(value, record.faults, NAME, what="the posting")
    for role in roles:
        if role not in found:
            record.fault(node.at, f"'{key}' names no posting for '{role}'")
    return found


def _check(payments: PaymentsDef, events: Mapping[str, EventType], ledger: LedgerDef) -> Iterator[Fault]:
    assert payments.source is not None, "it was read"
    for event in (payments.decides, payments.decides_payout, payments.tells_chargeback, payments.tells_paid_twice):
        if event and event not in events:
            yield Fault(source=payments.source, detail=f"there is no event type '{event}'", hint=nearest(event, events))
    groups = [
        (payments.payout, PAYOUT_ROLES, payments.source),
        (payments.chargeback, CHARGEBACK_ROLES, payments.source),
        *(
            (each.postings, PROVIDER_ROLES if each.provider else LEDGER_ROLES, each.source)
            for each in payments.methods.values()
        ),
    ]
    for postings, roles, source in groups:
        for role, name in postings.items():
            template = ledger.templates.get(name)
            if template is None:
                yield Fault(source=source, detail=f"there is no posting '{name}'", hint=nearest(name, ledger.templates))
                continue
            yield from _check_template(template, role, postings.get(roles[role], ""), source)
            yield from _check_hold(template, payments.lapses_after_us, source)
    if payments.decides_payout and not payments.payout:
        yield Fault(source=payments.source, detail="payouts are decided, and 'payout' says not how they are booked")


def _check_template(template: Template, role: str, settles: str, source: Source) -> Iterator[Fault]:
    """Hold that a posting can be filled from what a payment knows: its order, provider, account, id and one amount."""
    amounts = 0
    for each in template.parameters.values():
        amounts += each.type == "amount"
        if each.type == "owner" and each.owner not in _OWNERS:
            detail = f"'{template.name}' wants a {each.owner} ('{each.name}'), which no payment knows"
            yield Fault(source=source, detail=detail, hint=f"a payment knows {', '.join(_OWNERS)}")
        if each.type == "posting" and each.template != settles:
            detail = f"'{template.name}' is the {role} of '{settles or 'nothing'}', but follows '{each.template}'"
            yield Fault(source=source, detail=detail)
    if amounts > 1:
        yield Fault(source=source, detail=f"'{template.name}' has {amounts} amounts, and a part of a payment one")
    if settles and not any(each.type == "posting" for each in template.parameters.values()):
        yield Fault(
            source=source, detail=f"'{template.name}' settles or releases nothing, and is the {role} of '{settles}'"
        )


def _check_hold(template: Template, lapses_after_us: int, source: Source) -> Iterator[Fault]:
    """Hold that what is reserved stays reserved for as long as a payment may wait."""
    for entry in template.entries:
        if entry.kind == "hold" and 0 < entry.timeout_s * SECOND <= lapses_after_us:
            detail = f"'{template.name}' reserves for less time than a payment may wait ('lapses_after')"
            yield Fault(source=source, detail=detail)
