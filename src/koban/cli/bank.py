"""Banks on the running server: our accounts, batches and their files, statements, lines that wait, banking days."""

import pathlib
import urllib.parse
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from koban.cli.frame import Json, print_json, running_server

app = typer.Typer()
bank_app = typer.Typer(help="Banks on the running server.", no_args_is_help=True)
batch_app = typer.Typer(help="Batches of cash-outs and their files.", no_args_is_help=True)
line_app = typer.Typer(help="Lines of statements, and what is proposed about them.", no_args_is_help=True)
app.add_typer(bank_app, name="bank")
bank_app.add_typer(batch_app, name="batch")
bank_app.add_typer(line_app, name="line")

Batch = Annotated[str, typer.Argument(help="Its id, as in T000001.")]


@bank_app.command("accounts")
def accounts(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """List our accounts at banks."""
    rows = _ask("GET", "/v1/bank/accounts")["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        place = row["originator"]
        closed = "  closed" if row["closed_at"] is not None else ""
        print(
            f"{row['id']}  {row['title']}  {place['bank']}-{place['branch']} {place['number']}  {row['format']}{closed}"
        )


@bank_app.command("add-account")
def add_account(
    file: Annotated[
        pathlib.Path, typer.Argument(help="JSON file: id, title, bank, branch, number, name, consignor, …")
    ],
) -> None:
    """Propose one of our accounts at a bank; a second person approves it."""
    import msgspec

    print_json(_ask("POST", "/v1/bank/accounts", msgspec.json.decode(file.read_bytes())))


@bank_app.command("change-account")
def change_account(
    file: Annotated[pathlib.Path, typer.Argument(help="JSON file: all of the account as it is to be.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Propose how one of our accounts is to be from now on; a second person approves it."""
    import msgspec

    account = msgspec.json.decode(file.read_bytes())
    path = f"/v1/bank/accounts/{urllib.parse.quote(str(account['id']), safe='')}/change"
    print_json(_ask("POST", path, {"account": account, "reason": reason}))


@bank_app.command("close-account")
def close_account(
    account: Annotated[str, typer.Argument(help="Its id.")], reason: Annotated[str, typer.Option(help="Why.")]
) -> None:
    """Propose that one of our accounts is closed; a second person approves it."""
    print_json(_ask("POST", f"/v1/bank/accounts/{urllib.parse.quote(account, safe='')}/close", {"reason": reason}))


@bank_app.command("cash-outs")
def cash_outs(
    state: Annotated[str, typer.Option(help="waiting, drafted, sent, paid, returned, failed, cancelled, lapsed.")] = "",
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List cash-outs, newest first."""
    rows = _ask("GET", "/v1/bank/cash-outs?limit=200" + (f"&state={state}" if state else ""))["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        why = f"  left out: {row['left_out']}" if row["left_out"] else ""
        print(f"{row['id']}  {row['amount_minor']:>12,} {row['currency']}  {row['state']}  {row['batch'] or '-'}{why}")


@bank_app.command("expected")
def expected(
    state: Annotated[str, typer.Option(help="waiting, met, cancelled or all.")] = "waiting",
    owner: Annotated[str, typer.Option(help="The order, or the account whose wallet it is.")] = "",
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List what money is expected to come in, newest first."""
    query = urllib.parse.urlencode({"limit": 200, "state": state, "owner": owner})
    rows = _ask("GET", f"/v1/bank/expected?{query}")["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        amount = "any amount" if row["amount_minor"] is None else f"{row['amount_minor']:,}"
        until = f"  until {row['until']}" if row["until"] else ""
        line = f"  {row['line']}" if row["line"] else ""
        print(
            f"{row['id']}  {row['reference']}  {amount:>14} {row['currency']}  {row['kind']} {row['owner']}  {row['state']}"
            f"{line}{until}"
        )


@bank_app.command("import")
def import_statement(
    file: Annotated[pathlib.Path, typer.Argument(help="Zengin 03 or 01, camt.053 or camt.054.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Bring in a statement or notice of a bank; the same file again changes nothing."""
    from koban.base.remote import send

    path = f"/v1/bank/statements?name={urllib.parse.quote(file.name)}"
    found = send(running_server(), "POST", path, file.read_bytes())
    import msgspec

    rows = msgspec.json.decode(found)
    if json:
        print_json(rows)
        return
    for row in rows:
        print(
            f"{row['id']}  {row['account']}  {row['format']} {row['from_on']} to {row['to_on']}: {row['done']:,} lines"
        )


@bank_app.command("calendar")
def banking_days(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say which days banks are open, and when the money of a file that leaves now would be there."""
    found = _ask("GET", "/v1/bank/calendar")
    if json:
        print_json(found)
        return
    print(f"a file that leaves now is taken on {found['taken_on']}; payees have the money on {found['value_on']}")
    for row in found["days"]:
        print(f"{row['day']}  {'until ' + row['cut_off'] if row['is_open'] else 'closed'}")


@batch_app.command("list")
def list_batches(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """List batches, newest first."""
    rows = _ask("GET", "/v1/bank/batches?limit=200")["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        print(
            f"{row['id']}  {row['account']}  {row['state']}  {row['count']:,}  {row['total_minor']:,}  {row['value_on']}"
        )


@batch_app.command("propose")
def propose(account: Annotated[str, typer.Argument(help="From which of our accounts.")]) -> None:
    """Draft a batch of what waits; a second person approves it."""
    row = _ask("POST", "/v1/bank/batches", {"account": account})
    print(
        f"{row['id']}: {row['count']:,} cash-outs, {row['total_minor']:,}, on {row['value_on']}; somebody else approves it"
    )


@batch_app.command("show")
def show(batch: Batch) -> None:
    """Show a batch with its cash-outs."""
    found = _ask("GET", f"/v1/bank/batches/{batch}/cash-outs?limit=200")
    print_json({**_ask("GET", f"/v1/bank/batches/{batch}"), "cash_outs": found["items"]})


@batch_app.command("approve")
def approve(batch: Batch) -> None:
    """Let a batch leave, as a second person."""
    row = _ask("POST", f"/v1/bank/batches/{batch}/approve")
    print(
        f"{row['id']}: {row['state']}, {row['count']:,} cash-outs, {row['total_minor']:,}, {row['file_name'] or 'no file'}"
    )


@batch_app.command("decline")
def decline(batch: Batch, reason: Annotated[str, typer.Option(help="Why.")]) -> None:
    """Decline a batch; its cash-outs wait again."""
    print(f"{batch}: {_ask('POST', f'/v1/bank/batches/{batch}/decline', {'reason': reason})['state']}")


@batch_app.command("file")
def take_file(
    batch: Batch,
    to: Annotated[pathlib.Path | None, typer.Option(help="Where to; without it, the file's own name here.")] = None,
) -> None:
    """Take the file of a batch out."""
    from koban.base.remote import send

    row = _ask("GET", f"/v1/bank/batches/{batch}")
    data = send(running_server(), "POST", f"/v1/bank/batches/{batch}/file", b"")
    path = to or pathlib.Path(str(row["file_name"]))
    path.write_bytes(data)
    print(f"{path}: {len(data):,} bytes, sha256 {row['file_hash']}")


@line_app.command("list")
def list_lines(
    state: Annotated[str, typer.Option(help="matched, exception, resolved, noticed, known.")] = "exception",
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List lines of statements; those that wait for a person unless told otherwise."""
    rows = _ask("GET", f"/v1/bank/lines?limit=200&state={state}")["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        said = row["exception"] or row["matched"] or ""
        print(f"{row['id']}  {row['booked_on']}  {row['amount_minor']:>14,}  {said}  {row['detail']}")


@line_app.command("match")
def match(
    line: Annotated[str, typer.Argument(help="Its id.")],
    target: Annotated[str, typer.Argument(help="A cash-out, a batch, fee, or elsewhere.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Propose what a line is; a second person approves it."""
    row = _ask("POST", f"/v1/bank/lines/{line}/match", {"target": target, "reason": reason})
    print(f"{row['id']}: {line} is {target}; somebody else approves it")


@line_app.command("proposals")
def proposals() -> None:
    """List what waits for a second person."""
    for row in _ask("GET", "/v1/bank/proposals")["items"]:
        print(f"{row['id']}  {row['kind']}  {row['about']}  {row['target']}  {row['reason']}")


@line_app.command("approve")
def approve_proposal(proposal: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Approve a proposal, as a second person."""
    print(f"{proposal}: {_ask('POST', f'/v1/bank/proposals/{proposal}/approve')['state']}")


@line_app.command("decline")
def decline_proposal(proposal: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Decline a proposal."""
    print(f"{proposal}: {_ask('POST', f'/v1/bank/proposals/{proposal}/decline')['state']}")


def _ask(method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:  # Any: JSON of the server
    from koban.base.remote import call

    return call(running_server(), method, path, body)
