"""The detection lab: what a pack would have done."""

from typing import Annotated

import typer

from koban.cli.frame import Json, print_json, settings_of_environment

app = typer.Typer()


@app.command()
def backtest(
    pack: Annotated[str, typer.Option(help="Folder of the pack, or digest of a version.")],
    against: Annotated[
        str | None, typer.Option(help="Folder or digest to compare with; 'none'. Otherwise the version in force.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="90d, 12h, 2w or a moment; otherwise from the first event.")] = None,
    log: Annotated[str | None, typer.Option(help="A named log in place of the live one.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; may be given again.")] = None,
    engine: Annotated[str, typer.Option(help="auto, sql or live.")] = "auto",
    newest: Annotated[int | None, typer.Option(help="Only so many of the newest events.", min=1)] = None,
    samples: Annotated[int, typer.Option(help="Events to show.", min=0, max=20)] = 20,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Say what a pack would have done: hits, precision and recall, harm caught, honest people touched, work. Changes nothing."""
    from koban.app.lab import cap_memory, open_for_lab, pack_in_force, pack_named, parse_since
    from koban.audit import SystemSecrets
    from koban.base import SystemClock
    from koban.lab import Question, render_report, touch_times
    from koban.lab import backtest as run

    if engine not in {"auto", "sql", "live"}:
        raise typer.BadParameter("--engine is auto, sql or live.")
    cap_memory()
    settings = settings_of_environment()
    with open_for_lab(settings, SystemSecrets(), log) as opened:
        other = None
        if against is None:
            other = pack_in_force(opened.tx)
        elif against != "none":
            other = pack_named(opened.tx, against)
        question = Question(
            pack=pack_named(opened.tx, pack),
            against=other,
            since_at=None if since is None else parse_since(since, SystemClock().now()),
            rules=rule or None,
            newest=newest,
            engine=engine,  # type: ignore[arg-type]  # one of the three, as checked above
            touch_s=touch_times(opened.tx),
        )
        report = run(opened, question)
    if json:
        print_json(report)
    else:
        print(render_report(report, samples=samples))
