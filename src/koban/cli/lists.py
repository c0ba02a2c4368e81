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
    from koban.app.remote import call

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
