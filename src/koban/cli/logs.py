"""Logs: why an event was decided so, files of one's own as named logs, and what a pack makes of them."""

import contextlib
import pathlib
import textwrap
from typing import Annotated

import typer

from koban.cli.frame import Json, print_json, progress_of, settings_of_environment

app = typer.Typer()


@app.command()
def explain(
    event_id: Annotated[str, typer.Argument(help="Id of the event.")],
    source: Annotated[str | None, typer.Option(help="Its source, where several use the same id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show rules that did not match in full, too.")] = False,  # noqa: FBT002 - a flag
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Explain the decision on an event: every condition with its value; what people wrote stays sealed."""
    import koban.events.store as event_store
    from koban.app import open_to_read
    from koban.app.archiving import archive_of
    from koban.audit import SystemSecrets
    from koban.events import EventMissing
    from koban.pipeline.explain import as_json
    from koban.pipeline.explain import explain as run
    from koban.rules import render_trace

    settings = settings_of_environment()
    archive = archive_of(settings)
    database, vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        with database.read() as tx:
            entry = event_store.find_event(tx, source, event_id)
            if entry is None and (archived := archive.find_event(tx, event_id, source)) is not None:
                entry = archived.entry
        if entry is None:
            raise EventMissing(f"No event {event_id!r} is in the log.")
        explained = run(database, vault, entry.seq, archive=archive)
    if json:
        print(as_json(explained))
        return
    decision = explained.decision
    print(f"{decision.id}  {decision.type}  entry {decision.seq}  {decision.decided_at}")
    print(f"verdict: {decision.verdict}   pack {explained.pack[:12]}")
    for signal in decision.signals:
        state = "applied" if signal.applied else "withheld"
        why = f" ({signal.withheld})" if signal.withheld else ""
        print(f"  {signal.rule}  {signal.policy}  {state}{why}  {', '.join(signal.actions)}")
    print("features:")
    for name, value in sorted(explained.shown.items()):
        print(f"  {name} = {value}")
    print("rules:")
    for rule in explained.rules:
        print(f"  {'MATCH' if rule.matched else 'no   '} {rule.rule}")
        if rule.matched or every:
            print(textwrap.indent(render_trace(rule.trace), "        "))
    if not every:
        print("(--all shows every condition of the rules that did not match, too)")


@app.command("import")
def import_log(
    files: Annotated[list[pathlib.Path], typer.Argument(help="CSV, JSON lines or Parquet; gzip too.")],
    mapping: Annotated[pathlib.Path | None, typer.Option("--map", help="How its rows become events, YAML.")] = None,
    log: Annotated[str | None, typer.Option(help="Name of the log.")] = None,
    suggest: Annotated[bool, typer.Option("--suggest", help="Print a first map for the file and stop.")] = False,  # noqa: FBT002 - a flag
    pack: Annotated[pathlib.Path | None, typer.Option(help="Pack that declares the event type.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Turn files into a named log, and what they say of their rows into labels. Nothing has consequences."""
    from koban.audit import SystemSecrets
    from koban.insight import load_map, suggest_map
    from koban.packs import load_pack
    from koban.pipeline.logs import import_files, open_log

    settings = settings_of_environment()
    if suggest:
        print(suggest_map(files[0], load_pack(pack or settings.pack)))
        return
    if mapping is None or log is None:
        raise typer.BadParameter("--map and --log are needed; or --suggest, for a first map.")
    read = load_map(mapping)
    with (
        open_log(settings.data, settings.database_url, log, SystemSecrets(), make=True) as opened,
        progress_of(f"importing {files[0].name}", quiet=json) as progress,
    ):
        report = import_files(opened, load_pack(pack or settings.pack), read, files, progress=progress)
    if json:
        print_json(report)
        return
    print(
        f"{report.rows:,} rows: {report.imported:,} imported, {report.already_there:,} were there, "
        f"{report.unreadable:,} unreadable; {report.harmful:,} harmful, {report.honest:,} honest"
    )
    for each in report.examples:
        said = (f"{problem.path} {problem.detail} {problem.hint}".strip() for problem in each.problems)
        print(f"  {each.place}: " + "; ".join(said))
    if report.unreadable > len(report.examples):
        print(f"  … and {report.unreadable - len(report.examples):,} more")


@app.command()
def replay(
    log: Annotated[str, typer.Argument(help="Name of the log.")],
    pack: Annotated[pathlib.Path | None, typer.Option(help="Pack to run.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Run a pack over a named log and keep the decisions. Nothing has consequences."""
    from koban.audit import SystemSecrets
    from koban.packs import load_pack
    from koban.pipeline.logs import open_log
    from koban.pipeline.logs import replay as run

    settings = settings_of_environment()
    with (
        open_log(settings.data, settings.database_url, log, SystemSecrets(), make=False) as opened,
        progress_of(f"replaying {log}", quiet=json) as progress,
    ):
        report = run(opened, load_pack(pack or settings.pack), progress=progress)
    if json:
        print_json(report)
        return
    print(f"{report.events:,} events decided, {report.skipped:,} of types that the pack does not declare")
    print("  " + "  ".join(f"{name} {count:,}" for name, count in report.verdicts.items()))
    for rule, count in report.rules.items():
        print(f"  {rule}: {count:,}")


@app.command()
def evaluate(
    log: Annotated[str, typer.Argument(help="Name of the log.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Compare the last run over a named log with its labels: precision, recall, false alarms, per rule and policy."""
    from koban.audit import SystemSecrets
    from koban.insight import evaluate as run
    from koban.insight import render
    from koban.pipeline.logs import open_log

    settings = settings_of_environment()
    with open_log(settings.data, settings.database_url, log, SystemSecrets(), make=False) as opened:
        evaluation = run(opened.database, log=log)
    if json:
        print_json(evaluation)
    else:
        print(render(evaluation))
