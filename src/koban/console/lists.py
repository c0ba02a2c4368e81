"""Lists: what is on them, who put it there, and changing them with the hits shown."""

from collections.abc import Sequence
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import DAY, Instant, Refusal
from koban.console.filters import VALUE_CHARS_MAX
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.lists import EntriesAdded, EntryRemoved, ListEntry, ListMissing
from koban.lists import store as list_store
from koban.lists.types import VALUES_PER_ENTRY_MAX
from koban.packs import ListDef, PackDef

CHANGES_READ_MAX: Final = 5_000
SPANS: Final = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY}


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is on a list now."""

    value: str
    entry: ListEntry | None  # None: it came with the pack


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/lists", "lists.read", lambda call: _index(kit, call), summary="Lists", page=True),
        endpoint("GET", "/lists/{name}", "lists.read", lambda call: _one(kit, call), summary="A list", page=True,
                 raises=(ListMissing,)),
        endpoint("POST", "/lists/{name}", "lists.write", lambda call: _change(kit, call), summary="Change a list",
                 accepts="form", page=True, raises=(ListMissing,)),
    )  # fmt: skip


def _index(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    lines = []
    with kit.database.read() as tx:
        for name, declared in pack.lists.items():
            rows = list_store.entries_of(tx, name, limit=CHANGES_READ_MAX)
            values = _values(declared, rows, call.at)
            newest = max((row.added_at for row in rows), default=None)
            lines.append((declared, len(values), newest))
    return page(kit, call, "lists.html", lines=lines)


def _one(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    declared = _list(kit.pack(), call)
    with kit.database.read() as tx:
        rows = list_store.entries_of(tx, declared.name, limit=CHANGES_READ_MAX)
    values = _values(declared, rows, call.at)
    wanted = call.query.get("q", "").strip()[:VALUE_CHARS_MAX]
    shown = [each for each in values if wanted.casefold() in each.value.casefold()] if wanted else values
    start = call.query.get("cursor", "")
    if start:
        shown = [each for each in shown if each.value > start]
    return page(
        kit,
        call,
        "list.html",
        status=422 if problem else 200,
        declared=declared,
        count=len(values),
        values=shown[:PAGE_ITEMS],
        next_cursor=shown[PAGE_ITEMS - 1].value if len(shown) > PAGE_ITEMS else "",
        cursor=start,
        wanted=wanted,
        rules=[rule for rule in kit.pack().rules.values() if f"'{declared.name}'" in rule.when],
        spans=tuple(SPANS),
        problem=problem,
        detail=detail,
        typed=call.form,
    )


def _change(kit: ConsoleKit, call: Call) -> Answer:
    declared, form = _list(kit.pack(), call), call.form
    note, by = form.get("note", "").strip(), call.principal.actor
    try:
        if form.get("remove"):
            kit.change_list(EntryRemoved(list=declared.name, value=form["remove"], note=note, by=by))
            return done(call, f"/lists/{declared.name}", "list_removed")
        values = tuple(dict.fromkeys(line.strip() for line in form.get("values", "").splitlines() if line.strip()))
        if values and form.get("do") == "preview" and len(values) <= VALUES_PER_ENTRY_MAX:
            return _preview(kit, call, declared, values)
        if not values or len(values) > VALUES_PER_ENTRY_MAX or not note:
            return _one(kit, call, problem="lists.problem_empty")
        span = SPANS.get(form.get("until", ""))
        expires_at = None if span is None else Instant(call.at + span)
        kit.change_list(EntriesAdded(list=declared.name, values=values, note=note, by=by, expires_at=expires_at))
    except Refusal as refusal:
        detail = "; ".join(problem.detail for problem in refusal.problems) or refusal.detail
        return _one(kit, call, problem="lists.problem", detail=detail)
    return done(call, f"/lists/{declared.name}", "list_added")


def _preview(kit: ConsoleKit, call: Call, declared: ListDef, values: Sequence[str]) -> Answer:
    """Start a backtest of the rules that read a list, as if it had held further values from the start."""
    pack = kit.pack()
    rules = [rule.name for rule in pack.rules.values() if f"'{declared.name}'" in rule.when]
    if not rules:
        return _one(kit, call, problem="lab.no_reader")
    arguments = ["--since", "30d", *(part for name in rules for part in ("--rule", name))]
    arguments += [part for value in values for part in ("--list-add", f"{declared.name}={value}")]
    started = kit.start_backtest(pack.files, arguments)
    return done(call, f"/lab/runs/{started.id}", "backtest_started")


def _list(pack: PackDef, call: Call) -> ListDef:
    declared = pack.lists.get(call.path["name"])
    if declared is None:
        raise ListMissing(f"The active pack declares no list {call.path['name'][:80]!r}.")
    return declared


def _values(declared: ListDef, rows: Sequence[ListEntry], at: Instant) -> list[Value]:
    """Return what is on a list at a moment: what the pack brings, changed by people."""
    values = {value: Value(value=value, entry=None) for value in declared.entries}
    for row in rows:
        if row.removed_seq is not None:
            if row.value in values and (values[row.value].entry is None or row.added_by == "pack"):
                del values[row.value]
        elif row.expires_at is not None and row.expires_at <= at:
            values.pop(row.value, None)
        else:
            values[row.value] = Value(value=row.value, entry=row)
    return [values[value] for value in sorted(values)]
