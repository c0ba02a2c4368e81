"""Reconciliation on the command line: take files in, compare, look at what does not match.

Adjustments are made in the console or over HTTP, since they need two people.
"""

import pathlib
import urllib.parse
from typing import Annotated

import typer

from koban.cli.frame import Json, print_json, running_server

app = typer.Typer()
reconcile_app = typer.Typer(help="Ledger, provider reports and bank statements, compared.", no_args_is_help=True)
app.add_typer(reconcile_app, name="reconcile")


@reconcile_app.command("load")
def reconcile_load(
    kind: Annotated[str, typer.Argument(help="provider or bank.")],
    source: Annotated[str, typer.Argument(help="The provider, as the ledger's books name it, or the account.")],
    file: Annotated[pathlib.Path, typer.Argument(help="CSV file; its columns are in the page on reconciliation.")],
) -> None:
    """Take a report or a statement in, on the running server. The same rows again are the same rows."""
    import msgspec

    from koban.base.remote import send

    query = urllib.parse.urlencode({"kind": kind, "source": source})
    said = send(running_server(), "POST", f"/v1/reconciliation/files?{query}", file.read_bytes())
    print(f"{msgspec.json.decode(said)['rows']:,} rows of {file.name} are taken in.")


@reconcile_app.command("run")
def reconcile_run(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Compare everything that is open, on the running server. Happens every day by itself."""
    from koban.base.remote import call

    answer = call(running_server(), "POST", "/v1/reconciliation/runs")
    if json:
        print_json(answer)
        return
    print(
        f"{answer['open_before']:,} open rows; {answer['matched']:,} matches, {answer['exceptions']:,} exceptions, "
        f"{answer['cleared']:,} cleared."
    )


@reconcile_app.command("list")
def reconcile_list(
    state: Annotated[str, typer.Option(help="live, open, proposed, resolved, cleared or all.")] = "live",
    type_: Annotated[str, typer.Option("--type", help="As in missing_at_bank.")] = "",
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List exceptions, those due first."""
    from koban.base.remote import call

    query = urllib.parse.urlencode({"state": state, "type": type_, "limit": 200})
    answer = call(running_server(), "GET", f"/v1/reconciliation/exceptions?{query}")
    if json:
        print_json(answer)
        return
    items = answer["items"]
    assert isinstance(items, list)
    for each in items:
        mark = "!" if each["overdue"] else " "
        print(
            f"{mark} {each['due']}  {each['type']:<20} {each['amount_minor']:>14,} {each['currency']}  {each['age_days']:>3} d  "
            f"{each['state']:<9} {each['source']:<12} {each['id']}"
        )
    print(f"{len(items):,} shown." + (" There are more: narrow it down." if answer["next_cursor"] else ""))


@reconcile_app.command("show")
def reconcile_show(exception: Annotated[str, typer.Argument(help="Id of the exception.")]) -> None:
    """Show an exception with the rows of each side, what shares a reference, and its proposals, as JSON."""
    from koban.base.remote import call

    print_json(call(running_server(), "GET", f"/v1/reconciliation/exceptions/{urllib.parse.quote(exception, safe='')}"))


@reconcile_app.command("status")
def reconcile_status() -> None:
    """Say when it was last compared, what matched by which pass, and what is open by age, as JSON."""
    from koban.base.remote import call

    print_json(call(running_server(), "GET", "/v1/reconciliation"))
