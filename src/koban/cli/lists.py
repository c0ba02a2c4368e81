"""Lists: what is on them now or was at any moment, their versions, the way back, what expires soon."""

import urllib.parse
from typing import Annotated, Any

import typer

from koban.cli.frame import Json, print_json, running_server

app = typer.Typer()
list_app = typer.Typer(help="Lists on the running server.", no_args_is_help=True)
app.add_typer(list_app, name="list")

Name = Annotated[str, typer.Argument(help="Name of the list.")]


def _ask(method: str, path: str, body: dict[str, object] | None = None, **query: object) -> Any:  # Any: JSON
    from koban.base.remote import call

    wanted = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
    return call(running_server(), method, f"{path}?{wanted}" if wanted else path, body)


def _path(name: str, rest: str) -> str:
    return f"/v1/lists/{urllib.parse.quote(name, safe='')}/{rest}"


@list_app.command("show")
def list_show(
    name: Name,
    at: Annotated[str | None, typer.Option(help="A moment; otherwise now.")] = None,
    seq: Annotated[int | None, typer.Option(help="After this entry of the log.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Print what is on a list, or was at a moment."""
    found = _ask("GET", _path(name, "members"), at=at, seq=seq, limit=1_000)
    values = list(found["values"])
    while found["next_after"] is not None:
        found = _ask("GET", _path(name, "members"), at=at, seq=seq, limit=1_000, after=found["next_after"])
        values.extend(found["values"])
    if json:
        print_json(values)
        return
    for one in values:
        ends = f"  until {one['expires_at']}" if one["expires_at"] else ""
        print(f"{one['value']}  {one['by'] or 'pack'}{ends}  {one['note']}".rstrip())


@list_app.command("all")
def list_all(
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Print every list of the pack in force, and who answers for it."""
    found = _ask("GET", "/v1/lists")["items"]
    if json:
        print_json(found)
        return
    for one in found:
        print(f"{one['name']}  {one['kind']}  {one['from_pack']} from the pack  {one['owner'] or 'nobody'}")


@list_app.command("add")
def list_add(
    name: Name,
    values: Annotated[list[str], typer.Argument(help="Values to put on it.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    until: Annotated[str | None, typer.Option(help="12h, 7d, 2w, or a moment; otherwise for good.")] = None,
) -> None:
    """Put values on a list; one that is on already gets the new reason and end."""
    from koban.app.lab import parse_until
    from koban.base import SystemClock, to_rfc3339

    end = None if until is None else to_rfc3339(parse_until(until, SystemClock().now()))
    entered = _ask("POST", _path(name, "entries"), {"values": values, "note": reason, "expires_at": end})
    print(f"{name}: {len(values)} on from log entry {entered['seq']} on")


@list_app.command("remove")
def list_remove(
    name: Name,
    value: Annotated[str, typer.Argument(help="Value to take off it.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Take a value off a list, also one that the pack brings."""
    entered = _ask("POST", _path(name, "remove"), {"value": value, "note": reason})
    print(f"{name}: off from log entry {entered['seq']} on")


@list_app.command("preview")
def list_preview(
    name: Name,
    values: Annotated[list[str], typer.Argument(help="Values that it is to have had from the start.")],
    since: Annotated[str | None, typer.Option(help="90d, 12h, 2w or a moment.")] = "30d",
    off: Annotated[bool, typer.Option("--off", help="As if the values had never been on it.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Print what the rules that read a list would have hit with further values, or without some; nothing is changed."""
    from koban.app.lab import cap_memory, open_for_lab, pack_in_force, parse_since, with_values
    from koban.audit import SystemSecrets
    from koban.base import SystemClock
    from koban.cli.frame import settings_of_environment
    from koban.lab import NothingToTest, Question, backtest, render_report
    from koban.lists import check_declared
    from koban.packs import readers_of_lists

    cap_memory()
    with open_for_lab(settings_of_environment(), SystemSecrets(), None) as opened:
        pack = pack_in_force(opened.tx)
        check_declared(() if pack is None else pack.lists, name)
        assert pack is not None, "a list is declared by a pack"
        rules = tuple(rule.name for rule in readers_of_lists(pack)[name])
        if not rules:
            raise NothingToTest(f"No rule reads the list {name!r}.")
        written = [f"{name}={value}" for value in values]
        changed = with_values(pack, [] if off else written, opened.vault, without=written if off else [])
        start = None if since is None else parse_since(since, SystemClock().now())
        report = backtest(opened, Question(pack=changed, against=pack, since_at=start, rules=rules))
    print(render_report(report, samples=0))


@list_app.command("owner")
def list_owner(
    name: Name,
    person: Annotated[str | None, typer.Argument(help="Id or e-mail address; 'nobody' for none.")] = None,
    reason: Annotated[str, typer.Option(help="Why; needed to change it.")] = "",
) -> None:
    """Print who answers for a list and who did, or make somebody of the staff answer for it."""
    if person is not None:
        body: dict[str, object] = {"owner": None if person == "nobody" else person, "reason": reason}
        print(f"{name}: {_ask('PUT', _path(name, 'owner'), body)['owner'] or 'nobody'}")
        return
    for one in _ask("GET", _path(name, "owner"))["items"]:
        print(f"{one['set_at']}  {one['owner'] or 'nobody'}  set by {one['set_by']}  {one['reason']}")


@list_app.command("versions")
def list_versions(
    name: Name,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Print every change of a list, the newest first."""
    found = _ask("GET", _path(name, "versions"))["items"]
    if json:
        print_json(found)
        return
    for one in found:
        by = f"pack {one['by']}" if one["kind"] == "pack" else one["by"]
        print(f"{one['seq']}  {one['at']}  +{one['added']} -{one['removed']}  {by}  {one['note']}".rstrip())


@list_app.command("rollback")
def list_rollback(
    name: Name,
    seq: Annotated[int, typer.Argument(help="As it was after this entry of the log; see `versions`.")],
    reason: Annotated[str, typer.Option(help="Why; without it, what would change is only shown.")] = "",
) -> None:
    """Make a list again what it was."""
    if reason:
        found = _ask("POST", _path(name, "rollback"), {"seq": seq, "note": reason})
    else:
        found = _ask("GET", _path(name, "rollback"), seq=seq)
    for value in found["added"]:
        print(f"+ {value}")
    for value in found["removed"]:
        print(f"- {value}")
    count = f"{len(found['added'])} on, {len(found['removed'])} off"
    print(f"{name}: {count}" if reason else f"{name}: would be {count}; give --reason to do it")


@list_app.command("expiring")
def list_expiring(
    days: Annotated[int, typer.Option(help="Within so many days.", min=1, max=366)] = 7,
    mine: Annotated[bool, typer.Option("--mine", help="Only what this token's owner put there.")] = False,  # noqa: FBT002 - a flag
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Print what leaves its list by itself soon."""
    found = _ask("GET", "/v1/lists-expiring", days=days, mine="true" if mine else None)["items"]
    if json:
        print_json(found)
        return
    for one in found:
        print(f"{one['expires_at']}  {one['list']}  {one['value']}  {one['by']}  {one['note']}".rstrip())
