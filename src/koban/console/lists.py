"""Lists: what is on them or was, who put it there, changing them with the hits shown, and going back."""

from collections.abc import Sequence
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import DAY, Instant, Refusal
from koban.console.filters import VALUE_CHARS_MAX, seq_of
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, done, page
from koban.console.refused import refusal_said
from koban.console.words import language_of
from koban.lab import lists as in_time
from koban.lists import EntriesAdded, EntryRemoved, ListMissing, ListOwnerInvalid, check_declared, owners_now, owners_of
from koban.lists import store as list_store
from koban.lists.types import NOTE_CHARS_MAX, VALUES_PER_ENTRY_MAX
from koban.packs import ListDef, PackDef, readers_of_lists

CHANGES_READ_MAX: Final = 5_000
SPANS: Final = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY}
SOON: Final = {"1": 1, "7": 7, "30": 30}  # days
VERSIONS_SHOWN: Final = 20
BACK_SHOWN: Final = 100


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/lists", "lists.read", lambda call: _index(kit, call), summary="Lists", page=True),
        endpoint("GET", "/lists/{name}", "lists.read", lambda call: _one(kit, call), summary="A list", page=True,
                 raises=(ListMissing,)),
        endpoint("POST", "/lists/{name}", "lists.write", lambda call: _change(kit, call), summary="Change a list",
                 accepts="form", page=True, raises=(ListMissing,)),
        endpoint("POST", "/lists/{name}/owner", "lists.write", lambda call: _own(kit, call),
                 summary="Make somebody answer for a list", accepts="form", page=True, raises=(ListMissing,)),
        endpoint("GET", "/lists/{name}/back", "lists.write", lambda call: _back_form(kit, call),
                 summary="What a way back changes", page=True, raises=(ListMissing,)),
        endpoint("POST", "/lists/{name}/back", "lists.write", lambda call: _back(kit, call),
                 summary="Make a list again what it was", accepts="form", page=True, raises=(ListMissing,)),
    )  # fmt: skip


def _index(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    days = SOON.get(call.query.get("soon", ""), 7)
    mine = call.query.get("mine") == "1"
    lines = []
    with kit.database.read() as tx:
        for name, declared in pack.lists.items():
            rows = list_store.entries_of(tx, name, limit=CHANGES_READ_MAX)
            newest = max((row.added_at for row in rows), default=None)
            lines.append((declared, len(in_time.members(tx, pack, name, at=call.at)), newest))
        by = call.principal.actor if mine else None
        owned = owners_now(tx)
        soon = in_time.expiring(tx, pack, at=call.at, until=Instant(call.at + days * DAY), by=by)
    return page(
        kit,
        call,
        "lists.html",
        lines=lines,
        owned=owned,
        soon=soon,
        days=days,
        spans=tuple(SOON.values()),
        mine=mine,
    )


def _one(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "", run: str = "", off: str = "") -> Answer:
    """Show a list; `run` is the backtest of what somebody typed, or of the list without a value, `off`."""
    pack = kit.pack()
    declared = _list(pack, call)
    formats = Formats(language_of(call.language), kit.zone, call.at)
    moment = formats.read_field(call.query.get("at", ""))
    with kit.database.read() as tx:
        if moment is None:
            members = in_time.members(tx, pack, declared.name, at=call.at)
        else:
            members = in_time.members_then(tx, pack, declared.name, moment)
        versions = in_time.versions(tx, pack, declared.name)
        owners = owners_of(tx, declared.name)
        staff = in_time.active_staff(tx)
    values = list(members.values())
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
        moment=moment,
        owners=owners,
        staff=staff,
        versions=versions[:VERSIONS_SHOWN],
        more_versions=len(versions) > VERSIONS_SHOWN,
        rules=readers_of_lists(pack)[declared.name],
        spans=tuple(SPANS),
        problem=problem,
        detail=detail,
        typed=call.form,
        run=run,
        off=off,
    )


def _back_form(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    pack = kit.pack()
    declared = _list(pack, call)
    seq = seq_of(call.form.get("seq") or call.query.get("seq", ""))
    if seq is None:
        return _one(kit, call, problem="in_time.unknown")
    with kit.database.read() as tx:
        try:
            wanted = in_time.way_back(tx, pack, declared.name, seq=seq, at=call.at)
        except in_time.PlaceUnknown:
            return _one(kit, call, problem="in_time.unknown")
        version = next((each for each in in_time.versions(tx, pack, declared.name) if each.seq == seq), None)
    return page(
        kit, call, "list_back.html", status=422 if problem else 200, declared=declared, seq=seq, version=version,
        wanted=wanted, problem=problem, detail=detail, shown=BACK_SHOWN,
    )  # fmt: skip


def _back(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    declared, seq = _list(pack, call), seq_of(call.form.get("seq", ""))
    note = call.form.get("reason", "").strip()
    if seq is None or not 0 < len(note) <= NOTE_CHARS_MAX:
        return _back_form(kit, call, problem="form.reason_missing")
    try:
        with kit.database.read() as tx:
            in_time.go_back(
                tx, pack, declared.name, seq=seq, at=call.at, by=call.principal.actor, note=note,
                change=kit.change_list,
            )  # fmt: skip
    except Refusal as refusal:
        return _back_form(kit, call, problem="lists.problem", detail=refusal_said(call.language, refusal))
    return done(call, f"/lists/{declared.name}", "list_back")


def _own(kit: ConsoleKit, call: Call) -> Answer:
    pack = kit.pack()
    declared = _list(pack, call)
    owner, reason = call.form.get("owner", "").strip() or None, call.form.get("reason", "").strip()
    try:
        with kit.database.write() as tx:
            in_time.give_owner(tx, call.at, pack, declared.name, owner, by=call.principal.actor, reason=reason)
    except ListOwnerInvalid:
        return _one(kit, call, problem="owner.problem")
    return done(call, f"/lists/{declared.name}", "list_owner_set")


def _change(kit: ConsoleKit, call: Call) -> Answer:
    declared, form = _list(kit.pack(), call), call.form
    note, by = form.get("note", "").strip(), call.principal.actor
    try:
        if form.get("remove"):
            kit.change_list(EntryRemoved(list=declared.name, value=form["remove"], note=note, by=by))
            return done(call, f"/lists/{declared.name}", "list_removed")
        if form.get("try_off"):
            return _preview(kit, call, declared, (form["try_off"],), off=True)
        values = tuple(dict.fromkeys(line.strip() for line in form.get("values", "").splitlines() if line.strip()))
        if values and form.get("do") == "preview" and len(values) <= VALUES_PER_ENTRY_MAX:
            return _preview(kit, call, declared, values)
        if not values or len(values) > VALUES_PER_ENTRY_MAX or not note:
            return _one(kit, call, problem="lists.problem_empty")
        span = SPANS.get(form.get("until", ""))
        expires_at = None if span is None else Instant(call.at + span)
        kit.change_list(EntriesAdded(list=declared.name, values=values, note=note, by=by, expires_at=expires_at))
    except Refusal as refusal:
        return _one(kit, call, problem="lists.problem", detail=refusal_said(call.language, refusal))
    return done(call, f"/lists/{declared.name}", "list_added")


def _preview(kit: ConsoleKit, call: Call, declared: ListDef, values: Sequence[str], *, off: bool = False) -> Answer:
    """Start a backtest of the rules that read a list, as if it had held further values from the start, or never some."""
    pack = kit.pack()
    rules = [rule.name for rule in readers_of_lists(pack)[declared.name]]
    if not rules:
        return _one(kit, call, problem="lab.no_reader")
    arguments = ["--since", "30d", *(part for name in rules for part in ("--rule", name))]
    option = "--list-remove" if off else "--list-add"
    arguments += [part for value in values for part in (option, f"{declared.name}={value}")]
    return _one(kit, call, run=kit.start_backtest(pack.files, arguments).id, off=values[0] if off else "")


def _list(pack: PackDef, call: Call) -> ListDef:
    check_declared(pack.lists, call.path["name"])
    return pack.lists[call.path["name"]]
