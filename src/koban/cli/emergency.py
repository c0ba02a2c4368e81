"""An emergency from the command line: a rule for an hour, its preview, and taking back what rules did."""

import sys
from typing import Annotated, Any

import typer

from koban.cli.frame import FAILED, Json, print_json, running_server

app = typer.Typer()
emergency_app = typer.Typer(
    help="Emergency rules on the running server: for an hour, capped, previewed.", no_args_is_help=True
)
app.add_typer(emergency_app, name="emergency")

When = Annotated[str, typer.Argument(help="The condition, in Koban SQL.")]
On = Annotated[list[str], typer.Option("--on", help="Event type; may be given several times.")]
Then = Annotated[
    list[str],
    typer.Option(
        "--then", help="hide, hold:MINUTES, mute:SCOPE:MINUTES (messaging, commenting, live) or freeze:MINUTES."
    ),
]
Policy = Annotated[str, typer.Option(help="Policy that people who are touched read.")]
Name = Annotated[str, typer.Option(help="A short name; emergency. is put before it.")]
Cap = Annotated[int, typer.Option(help="People an hour, at most.")]
Minutes = Annotated[int, typer.Option(help="How long it lives, 60 at most.")]


@emergency_app.command("preview")
def preview(
    when: When,
    on: On,
    then: Then,
    policy: Policy,
    name: Name = "preview",
    cap: Cap = 50,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Show what a rule would have done in the last two hours. Nothing is changed."""
    from koban.base.remote import call

    body = _body(when, on, then, policy=policy, name=name, cap=cap)
    made = call(running_server(), "POST", "/v1/emergency/preview", body)
    if json:
        print_json(made)
        return
    _show(made)


@emergency_app.command("start")
def start(
    when: When,
    on: On,
    then: Then,
    policy: Policy,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for whoever reviews it in the morning.")],
    cap: Cap = 50,
    minutes: Minutes = 60,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask after the preview.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Preview a rule, ask, and start it."""
    from koban.base.remote import call

    where = running_server()
    body = _body(when, on, then, policy=policy, name=name, cap=cap) | {"minutes": minutes, "reason": reason}
    made = call(where, "POST", "/v1/emergency/preview", body)
    _show(made)
    if not yes and not typer.confirm("Start it?"):
        sys.exit(FAILED)
    started = call(where, "POST", "/v1/emergency", body | {"preview": made["id"]})
    print(f"{started['name']} decides until {started['ends_at']}; its review is due {started['review_due_at']}")


@emergency_app.command("list")
def list_rules(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say which emergency rules stand, and which did of late."""
    from koban.base.remote import call

    found: Any = call(running_server(), "GET", "/v1/emergency")  # Any: JSON
    if json:
        print_json(found["items"])
        return
    for one in found["items"]:
        state = (
            "stands until " + one["ends_at"]
            if one["stands"]
            else f"{one['ended_how'] or 'over'} {one['ended_at'] or ''}"
        )
        print(f"{one['name']}  {state}  {one['started_by']}  {one['when']}")


@emergency_app.command("extend")
def extend(
    name: Annotated[str, typer.Argument(help="Name of the rule.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    minutes: Minutes = 60,
) -> None:
    """Let a rule that somebody else started live longer, once."""
    from koban.base.remote import call

    done = call(running_server(), "POST", f"/v1/emergency/{name}/extend", {"reason": reason, "minutes": minutes})
    print(f"{name} decides until {done['ends_at']}")


@emergency_app.command("end")
def end(
    name: Annotated[str, typer.Argument(help="Name of the rule.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """End a rule now."""
    from koban.base.remote import call

    call(running_server(), "POST", f"/v1/emergency/{name}/end", {"reason": reason})
    print(f"{name} is over")


@app.command("undo")
def undo(
    reason: Annotated[str, typer.Option(help="Why; without it the list is only shown.")] = "",
    rule: Annotated[str, typer.Option(help="Only what this rule did.")] = "",
    account: Annotated[str, typer.Option(help="Only what was done to this account.")] = "",
    since: Annotated[str, typer.Option(help="From when on, RFC 3339.")] = "",
    until: Annotated[str, typer.Option(help="Until when, RFC 3339.")] = "",
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List what rules did to people, and take it back where a reason is given."""
    import urllib.parse

    from koban.base.remote import call

    where = running_server()
    wanted = {
        name: value
        for name, value in (("rule", rule), ("account", account), ("since", since), ("until", until))
        if value
    }
    if not reason:
        found: Any = call(where, "GET", f"/v1/undo?{urllib.parse.urlencode(wanted)}")  # Any: JSON
        if json:
            print_json(found)
            return
        for line in found["items"]:
            print(
                f"{line['at']}  {line['rule']}  {line['what']}  {line['account'] or line['subject']['id']}  {line['state']}"
            )
        print(f"{found['standing']['lines']} of {len(found['items'])} stand; give --reason to take them back")
        return
    done = call(where, "POST", "/v1/undo", wanted | {"reason": reason})
    if json:
        print_json(done)
        return
    print(
        f"taken back: {done['sanctions']} sanctions, {done['notices']} notices, {done['verdicts']} verdicts, {done['accounts']} accounts"
    )


def _body(when: str, on: list[str], then: list[str], *, policy: str, name: str, cap: int) -> dict[str, object]:
    return {
        "name": name,
        "policy": policy,
        "on": on,
        "when": when,
        "then": [_measure(each) for each in then],
        "cap_per_hour": cap,
    }


def _measure(text: str) -> dict[str, object]:
    kind, *rest = text.split(":")
    body: dict[str, object] = {"kind": kind}
    if kind == "mute" and rest:
        body["scope"] = rest.pop(0)
    if rest:
        body["minutes"] = int(rest[0]) if rest[0].isdigit() else rest[0]
    return body


def _show(made: dict[str, Any]) -> None:  # Any: JSON
    print(f"{made['hits']} of {made['events']} events since {made['since']}, {made['hits_per_hour']} an hour")
    print(
        f"{made['people']} people: {made['fraud']} known as fraud, {made['honest']} known as honest, "
        f"{made['clean']} without any trouble, {made['unknown']} others; {made['already_caught']} hits were acted on before"
    )
    if made["unread_features"]:
        print(f"not kept with those events, so unknown to the preview: {', '.join(made['unread_features'])}")
    for sample in made["samples"][:10]:
        print(f"  {sample['at']}  {sample['type']}  {sample['account']}  {sample['standing']}  {sample['verdict']}")
