"""Cases and appeals on the running server: what waits, how long it takes, letting clocks run, moving, answering."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from koban.cli.frame import Json, print_json, running_server

app = typer.Typer()
case_app = typer.Typer(help="Cases on the running server.", no_args_is_help=True)
appeal_app = typer.Typer(help="Appeals on the running server.", no_args_is_help=True)
app.add_typer(case_app, name="case")
app.add_typer(appeal_app, name="appeal")


@case_app.command("queues")
def queues(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """List queues with what waits in them."""
    rows = _ask("GET", "/v1/queues")["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        due = f", next due {row['next_due_at']}" if row["next_due_at"] else ""
        print(f"{row['queue']}: {row['open']} open, {row['overdue']} overdue, {row['paused']} paused{due}")


@case_app.command("list")
def list_cases(
    queue: Annotated[str, typer.Option(help="Only of this queue.")] = "",
    closed: Annotated[bool, typer.Option("--closed", help="Closed ones.")] = False,  # noqa: FBT002 - a flag
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List cases, the ones due first first."""
    path = f"/v1/cases?status={'closed' if closed else 'open'}&limit=200" + (f"&queue={queue}" if queue else "")
    rows = _ask("GET", path)["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        state = row["outcome"] or ("overdue" if row["overdue"] else f"due {row['due_at']}")
        print(f"{row['id']}  {row['queue']}  {row['subject']['kind']} {row['subject']['id']}  {state}")


@case_app.command("show")
def show(case: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Show a case, why it is where it is, and what happened to it."""
    print_json({**_ask("GET", f"/v1/cases/{case}"), "history": _ask("GET", f"/v1/cases/{case}/history")})


@case_app.command("figures")
def figures(
    days: Annotated[int, typer.Option(help="Of how many days.")] = 7,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Say how long cases waited, and how long hands were on them, by queue."""
    rows = _ask("GET", f"/v1/queues/figures?days={days}")["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['queue']}: {row['closed']} closed, {row['late']} late")
        for what in ("waited", "touched", "decided", "acted"):
            if (spread := row[what]) is not None:
                print(f"  {what}: {spread['p50_s']:.0f} / {spread['p90_s']:.0f} / {spread['p99_s']:.0f} s")


@case_app.command("resume")
def resume(case: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Let the clock of a case run again."""
    print(f"{case}: due {_ask('POST', f'/v1/cases/{case}/resume')['due_at']}")


@case_app.command("move")
def move(
    case: Annotated[str, typer.Argument(help="Its id.")],
    queue: Annotated[str, typer.Argument(help="Where it goes.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    owner: Annotated[str, typer.Option(help="Id of the one who alone is given it.")] = "",
) -> None:
    """Move a case to another queue, under a clock of its own."""
    body = {"queue": queue, "reason": reason, "owner": owner or None}
    print(f"{case}: {queue}, due {_ask('POST', f'/v1/cases/{case}/move', body)['due_at']}")


@appeal_app.command("list")
def list_appeals(
    status: Annotated[str, typer.Option(help="open, upheld or overturned.")] = "",
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List appeals, newest first."""
    rows = _ask("GET", "/v1/appeals?limit=200" + (f"&status={status}" if status else ""))["items"]
    if json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['id']}  {row['status']}  {row['sanction_id']}  filed {row['filed_at']}  case {row['case_id']}")


@appeal_app.command("file")
def file(
    sanction: Annotated[str, typer.Argument(help="Id of the sanction.")],
    text: Annotated[str, typer.Option(help="What the person says.")],
    language: Annotated[str, typer.Option(help="ja or en: in which it is written.")] = "ja",
) -> None:
    """Hand in what a person says against a sanction."""
    filed = _ask("POST", "/v1/appeals", {"sanction_id": sanction, "text": text, "language": language})
    print(f"{filed['id']}: case {filed['case_id']}")


def _ask(method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:  # Any: JSON of the server
    from koban.base.remote import call

    return call(running_server(), method, path, body)
