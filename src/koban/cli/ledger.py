"""The ledger on the command line: prove it, look at books, post."""

import contextlib
import pathlib
import sys
from typing import Annotated

import typer

from koban.cli.frame import DONE, FAILED, Json, print_json, running_server, settings_of_environment

app = typer.Typer()
ledger_app = typer.Typer(help="Books and transfers.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")
Url = Annotated[str | None, typer.Option(help="Address of a server; otherwise the one on this data folder.")]
Token = Annotated[str | None, typer.Option(help="Token of your own.", envvar="KOBAN_TOKEN")]


@ledger_app.command("verify")
def ledger_verify(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Prove every balance from the ledger's log. Exit code 1 and the first broken row when it does not hold."""
    from koban.app import open_to_read
    from koban.app.money import prove
    from koban.app.running import AUDIT_KEY
    from koban.audit import SigningKey, SystemSecrets

    settings = settings_of_environment()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        report = prove(database, settings.data, SigningKey.read(settings.data / AUDIT_KEY).public)
    if json:
        print_json(report)
    elif report.broken is None:
        print(
            f"Every balance is proved: {report.transfers:,} transfers over {report.books:,} books, {report.pending:,} "
            f"pending, {report.signed:,} signed checkpoints."
        )
    else:
        broken = report.broken
        print(f"The ledger is broken at position {broken.position} ({broken.what}) {broken.about}: {broken.detail}")
    sys.exit(DONE if report.broken is None else FAILED)


@ledger_app.command("totals")
def ledger_totals(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say where every yen sits."""
    from koban.app import open_to_read
    from koban.audit import SystemSecrets
    from koban.ledger import read_totals

    database, _vault = open_to_read(settings_of_environment(), SystemSecrets())
    with contextlib.closing(database), database.read() as tx:
        totals = read_totals(tx)
    if json:
        print_json(totals)
        return
    for each in totals:
        net = each.credits_posted_minor - each.debits_posted_minor
        side = "credit" if net >= 0 else "debit"
        print(f"{each.currency} {each.code:<24} {abs(net):>18,} {side:<6}  {each.books:>10,} books")


@ledger_app.command("statement")
def ledger_statement(
    book: Annotated[str, typer.Argument(help="Id of the book, as in wallet.JPY:a1.")],
    at: Annotated[str | None, typer.Option(help="A past moment, RFC 3339.")] = None,
    lines: Annotated[int, typer.Option(help="How many lines.")] = 20,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Show a book as it stood at a moment, with its newest lines up to then."""
    from koban.app import open_to_read
    from koban.audit import SystemSecrets
    from koban.base import to_rfc3339
    from koban.ledger import statement
    from koban.ledger.routes import moment

    database, _vault = open_to_read(settings_of_environment(), SystemSecrets())
    with contextlib.closing(database), database.read() as tx:
        found = statement(tx, book, at=moment(at), limit=lines)
    if json:
        print_json(found)
        return
    balance = found.balance
    print(
        f"{book} ({balance.code}, {balance.currency}): credits less debits {balance.net_credit_minor:,}; "
        f"pending debits {balance.debits_pending_minor:,}, pending credits {balance.credits_pending_minor:,}"
    )
    for line in found.lines:
        sign = "-" if line.side == "debit" else "+"
        print(
            f"{to_rfc3339(line.at)}  {sign}{line.amount_minor:>14,}  {line.reason:<28} {line.other_book:<32} {line.transfer}"
        )


@ledger_app.command("post")
def ledger_post(
    file: Annotated[pathlib.Path, typer.Argument(help="JSON file of one posting: id, template, parameters, …")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a posting with a machine's token (scope ledger.post); people propose. Exit code 1 when it was refused."""
    import msgspec

    from koban.base.remote import call

    answer = call(running_server(url, token), "POST", "/v1/ledger/postings", msgspec.json.decode(file.read_bytes()))
    print_json(answer)
    sys.exit(DONE if answer["code"] in {"posted", "exists"} else FAILED)


@ledger_app.command("propose")
def ledger_propose(
    file: Annotated[
        pathlib.Path, typer.Argument(help="JSON file: id, reason, wants (a posting, transfers, or limits of a book).")
    ],
    url: Url = None,
    token: Token = None,
) -> None:
    """Propose a posting, transfers or limits of a book; a second person approves. Nothing is booked before."""
    import msgspec

    from koban.base.remote import call

    print_json(call(running_server(url, token), "POST", "/v1/ledger/bookings", msgspec.json.decode(file.read_bytes())))


@ledger_app.command("bookings")
def ledger_bookings(
    status: Annotated[str, typer.Option(help="waiting, approved, declined or all.")] = "waiting",
    json: Json = False,  # noqa: FBT002 - a flag
    url: Url = None,
    token: Token = None,
) -> None:
    """List what people want booked, newest first."""
    import urllib.parse

    from koban.base.remote import call

    query = urllib.parse.urlencode({"status": status, "limit": 200})
    answer = call(running_server(url, token), "GET", f"/v1/ledger/bookings?{query}")
    if json:
        print_json(answer)
        return
    items = answer["items"]
    assert isinstance(items, list)
    for each in items:
        moved = sum(one["amount_minor"] or 0 for one in each["transfers"])
        what = each["wants"].get("template", each["wants"]["kind"])
        print(
            f"{each['at']}  {each['status']:<9} {what:<28} {moved:>14,}  {each['by']}  {each['id']}  {each['reason']}"
        )
    print(f"{len(items):,} shown." + (" There are more." if answer["next_cursor"] else ""))


@ledger_app.command("decide")
def ledger_decide(
    booking: Annotated[str, typer.Argument(help="Id of the booking.")],
    do: Annotated[str, typer.Argument(help="approve or decline.")],
    reason: Annotated[str, typer.Option(help="Why it is declined.")] = "",
    url: Url = None,
    token: Token = None,
) -> None:
    """Approve or decline a colleague's booking, with a token of one's own: the folder owner's approves nothing."""
    import urllib.parse

    from koban.base.remote import call

    if do not in {"approve", "decline"}:
        raise typer.BadParameter("say approve or decline")
    path = f"/v1/ledger/bookings/{urllib.parse.quote(booking, safe='')}/{do}"
    answer = call(running_server(url, token), "POST", path, {"reason": reason})
    print(f"{answer['id']} is {answer['status']}.")


@ledger_app.command("close")
def ledger_close(
    through: Annotated[str, typer.Argument(help="Last booking date of the period, YYYY-MM-DD.")],
    note: Annotated[str, typer.Option(help="What is to be remembered about this close.")] = "",
    despite_open: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option(help="Close although exceptions are open; say why with --note.")
    ] = False,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Close the books for booking dates up to a date, on the running server."""
    from koban.base.remote import call

    answer = call(
        running_server(),
        "POST",
        "/v1/ledger/periods/close",
        {"through": through, "note": note, "despite_open": despite_open},
    )
    print_json(answer) if json else print(f"The books are closed through {answer['closed_through']}.")


@ledger_app.command("reopen")
def ledger_reopen(
    reason: Annotated[str, typer.Option(help="Why; it stands in the ledger's log for ever.")],
    through: Annotated[str | None, typer.Argument(help="Date up to which they stay closed; none: open all.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Open a closed period again, on the running server."""
    from koban.base.remote import call

    answer = call(running_server(), "POST", "/v1/ledger/periods/reopen", {"through": through, "reason": reason})
    print_json(answer) if json else print(f"The books are closed through {answer['closed_through'] or 'no date'}.")


@ledger_app.command("periods")
def ledger_periods(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say up to when the books are closed, and how that came about."""
    from koban.app import open_to_read
    from koban.audit import SystemSecrets
    from koban.base import to_rfc3339
    from koban.ledger import period_store

    database, _vault = open_to_read(settings_of_environment(), SystemSecrets())
    with contextlib.closing(database), database.read() as tx:
        through, changes = period_store.closed_through(tx), period_store.list_period_changes(tx, limit=200)
    if json:
        print_json({"closed_through": through or None, "changes": changes})
        return
    print(f"The books are closed through {through or 'no date'}.")
    for each in changes:
        print(f"{to_rfc3339(each.at)}  {each.kind:<9} through {each.through or 'no date':<10}  {each.by}  {each.note}")


@ledger_app.command("trial")
def ledger_trial(
    first: Annotated[str, typer.Argument(help="First booking date, YYYY-MM-DD.")],
    last: Annotated[str, typer.Argument(help="Last booking date, YYYY-MM-DD.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Print the trial balance of a period: opening, debits, credits and closing of every code."""
    from koban.app import open_to_read
    from koban.audit import SystemSecrets
    from koban.ledger import period_store
    from koban.ledger.period_routes import trial_view

    database, _vault = open_to_read(settings_of_environment(), SystemSecrets())
    with contextlib.closing(database), database.read() as tx:
        lines = period_store.trial_lines(tx, first, last)
    if json:
        print_json([trial_view(each) for each in lines])
        return
    print(f"{'':<28} {'opening':>18} {'debits':>18} {'credits':>18} {'closing':>18}   (balances: credits less debits)")
    for each in lines:
        print(
            f"{each.currency} {each.code:<24} {each.opening_minor:>18,} {each.debits_minor:>18,} "
            f"{each.credits_minor:>18,} {each.closing_minor:>18,}"
        )


@ledger_app.command("journal")
def ledger_journal(
    first: Annotated[str, typer.Argument(help="First booking date, YYYY-MM-DD.")],
    last: Annotated[str, typer.Argument(help="Last booking date, YYYY-MM-DD.")],
    out: Annotated[pathlib.Path, typer.Option("--out", "-o", help="File to write.")],
    layout: Annotated[str, typer.Option(help="generic, or yayoi for 弥生会計.")] = "generic",
    by: Annotated[str, typer.Option(help="day: summed up by day and account; posting: each one.")] = "day",
) -> None:
    """Write the journal of a period for the company's own books, checked against the ledger's sums."""
    import msgspec

    from koban.app import open_to_read
    from koban.app.money import active_ledger
    from koban.audit import SystemSecrets
    from koban.ledger.period_routes import JournalQuery, write_journal

    asked = msgspec.convert({"first": first, "last": last, "layout": layout, "by": by}, JournalQuery)
    settings = settings_of_environment()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        found, parts = write_journal(database, active_ledger(settings, database), asked)
        with out.open("wb") as file:
            file.writelines(parts)
    state = "closed" if found.closed else "still open: more may be booked"
    print(f"{found.count:,} entries from {first} to {last} ({state}) are in {out}. Debits equal credits.")
    if found.unmapped:
        print(f"No account in the pack's chart, so exported under code and title: {', '.join(found.unmapped)}")
