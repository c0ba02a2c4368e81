"""On-call from the command line: who is called, what is open, taking it, calling somebody; and how rules do."""

from typing import Annotated, Any

import typer

from koban.cli.frame import Json, print_json, running_server

app = typer.Typer()
oncall_app = typer.Typer(help="On-call on the running server.", no_args_is_help=True)
app.add_typer(oncall_app, name="oncall")

PageId = Annotated[str, typer.Argument(help="Id of the page.")]


@oncall_app.command("who")
def who(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say who is on call now, who is next, and where nobody is."""
    from koban.base.remote import call

    view: Any = call(running_server(), "GET", "/v1/oncall")  # Any: JSON
    if json:
        print_json(view)
        return
    for level in view["levels"]:
        after = level["next"]
        then = f"; then {', '.join(after['staff'])} from {after['from_at']}" if after else ""
        print(f"level {level['level']}: {', '.join(level['now']) or 'nobody'}{then}")
        for gap in level["gaps"][:10]:
            print(f"  nobody from {gap['from_at']} until {gap['until_at']}")


@oncall_app.command("pages")
def pages(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """List pages, newest first."""
    from koban.base.remote import call

    found: Any = call(running_server(), "GET", "/v1/oncall/pages")  # Any: JSON
    if json:
        print_json(found["items"])
        return
    for one in found["items"]:
        print(f"{one['id']}  {one['opened_at']}  {one['severity']}  {one['status']}  {one['kind']}  {one['object']}")


@oncall_app.command("take")
def take(page: PageId) -> None:
    """Take a page: nobody else is called about it."""
    from koban.base.remote import call

    call(running_server(), "POST", f"/v1/oncall/pages/{page}/acknowledge")
    print(f"{page} is taken")


@oncall_app.command("resolve")
def resolve(page: PageId) -> None:
    """Say that it is over; the alert behind it is taken note of."""
    from koban.base.remote import call

    call(running_server(), "POST", f"/v1/oncall/pages/{page}/resolve")
    print(f"{page} is over")


@oncall_app.command("call")
def call_somebody(
    detail: Annotated[str, typer.Argument(help="What is wrong.")],
    severity: Annotated[str, typer.Option(help="low, medium, high or critical.")] = "high",
) -> None:
    """Call whoever is on call."""
    from koban.base.remote import call

    made = call(running_server(), "POST", "/v1/oncall/pages", {"detail": detail, "severity": severity})
    print(f"{made['id']}: level {made['level']} is called")


@app.command("rule-health")
def rule_health(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say which rules drifted, stopped by themselves, or match nothing, and which lists are of no use."""
    from koban.base.remote import call

    health: Any = call(running_server(), "GET", "/v1/rule-health")  # Any: JSON
    if json:
        print_json(health)
        return
    for one in health["rules"]:
        said = [
            *(["stopped by itself"] if one["tripped"] else []),
            *(_drifted(each) for each in one["drifts"]),
            *(["nothing matched for 30 days"] if one["dead"] else []),
        ]
        if said:
            print(f"{one['rule']}  {'; '.join(said)}")
    if health["dead_lists"]:
        print(f"lists of no use: {', '.join(health['dead_lists'])}")


def _drifted(each: dict[str, Any]) -> str:  # Any: JSON
    """Say what a test found, with its numbers."""
    shares = each["direction"] == "less_precise"
    what = "sequential test of shares, judged right" if shares else "sequential rate test, people of events"
    now, before, limit = each["now"], each["before"], each["limit"]
    bound = f"{limit:.2f}" if shares else f"{limit:,.0f}"
    return (
        f"{each['direction']}: {each['found']:,.2f}, expected {each['expected']:,.2f} ({what}: {now[0]:,} of {now[1]:,},"
        f" before {before[0]:,} of {before[1]:,}; no surprise until {bound}; evidence {min(each['evidence'], 1e9):,.0f},"
        f" {each['needed']:,.0f} needed)"
    )
