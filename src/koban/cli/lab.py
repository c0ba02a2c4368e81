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
    since: Annotated[
        str | None,
        typer.Option(
            help="90d, 12h, 2w or a moment; otherwise from the first event. A named log is counted back from its last."
        ),
    ] = None,
    log: Annotated[str | None, typer.Option(help="A named log in place of the live one.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Only this rule; may be given again.")] = None,
    engine: Annotated[str, typer.Option(help="auto, sql or live.")] = "auto",
    newest: Annotated[int | None, typer.Option(help="Only so many of the newest events.", min=1)] = None,
    list_add: Annotated[
        list[str] | None,
        typer.Option(help="LIST=VALUE: as if the list had held the value from the start; may be given again."),
    ] = None,
    list_remove: Annotated[
        list[str] | None,
        typer.Option(help="LIST=VALUE: as if the value had never been on the list; may be given again."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Events to show.", min=0, max=20)] = 20,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Say what a pack would have done: hits, precision and recall, harm caught, honest people touched, work. Changes nothing."""
    from koban.app.lab import cap_memory, end_of, open_for_lab, pack_in_force, pack_named, parse_since, with_values
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
            pack=with_values(pack_named(opened.tx, pack), list_add or [], opened.vault, without=list_remove or []),
            against=other,
            since_at=None if since is None else parse_since(since, end_of(opened, SystemClock().now())),
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


@app.command()
def suggest(
    event: Annotated[str, typer.Argument(help="Event type.")],
    pack: Annotated[str, typer.Option(help="Folder of the pack, or digest of a version.")],
    log: Annotated[str | None, typer.Option(help="A named log in place of the live one.")] = None,
    precision: Annotated[float, typer.Option(help="Precision that is wanted on the train part.", min=0, max=1)] = 0.9,
    most: Annotated[int, typer.Option(help="Rules at most.", min=1, max=20)] = 5,
    threshold: Annotated[
        str | None, typer.Option(help="An expression to find a threshold for, in place of rules.")
    ] = None,
    hours: Annotated[float | None, typer.Option(help="With --threshold: review hours a day at hand.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="A field or feature to leave out: one that says the outcome itself.")
    ] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Propose rules, or a threshold, from labelled events; each with its figures on a part that was held out."""
    from koban.app.lab import cap_memory, open_for_lab, pack_named
    from koban.audit import SystemSecrets
    from koban.insight import render_share
    from koban.lab import suggest_rules, suggest_threshold

    cap_memory()
    with open_for_lab(settings_of_environment(), SystemSecrets(), log) as opened:
        loaded = pack_named(opened.tx, pack)
        if threshold is not None:
            found = suggest_threshold(
                opened, loaded, event, threshold, precision=precision if hours is None else None, hours_per_day=hours
            )
            if json:
                print_json(found)
                return
            for step in found.steps:
                mark = "*" if step == found.chosen else " "
                print(f"{mark} {threshold} >= {step.at:<12} {step.per_day:,.1f} a day, {step.hours_per_day:.2f} h")
                for part, one in (("train", step.train), ("test", step.test)):
                    print(f"    {part}: precision {render_share(one.precision)}; recall {render_share(one.recall)}")
            if found.chosen is None:
                print("None of them does what is wanted.")
            return
        rules = suggest_rules(opened, loaded, event, precision=precision, most=most, without=without or ())
    if json:
        print_json(rules)
        return
    for rule in rules.rules:
        print(rule.text)
        for part, one in (("train", rule.train), ("test", rule.test)):
            print(f"#   {part}: precision {render_share(one.precision)}; recall {render_share(one.recall)}")
    print(f"# {len(rules.rules)} rules from {rules.candidates} conditions, together:")
    for part, one in (("train", rules.train), ("test", rules.test)):
        print(f"#   {part}: precision {render_share(one.precision)}; recall {render_share(one.recall)}")


@app.command("sql")
def rule_as_sql(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    dialect: Annotated[
        str, typer.Option(help="bigquery, clickhouse, duckdb, postgres, snowflake or spark.", show_default=False)
    ],
    pack: Annotated[
        str | None, typer.Option(help="Folder of the pack, or digest of a version; otherwise the version in force.")
    ] = None,
    tables: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--tables", help="Print the tables that the query reads instead.")
    ] = False,
    spans: Annotated[
        str | None,
        typer.Option(help="Write into this folder since when and until when values were on lists and labels counted."),
    ] = None,
    log: Annotated[str | None, typer.Option(help="With --spans: a named log in place of the live one.")] = None,
) -> None:
    """Print a rule as one query for a warehouse: the events that it hits. What a dialect cannot say is refused by name."""
    import pathlib

    from koban.app.lab import open_for_lab, pack_in_force, pack_named, write_spans
    from koban.audit import SystemSecrets
    from koban.lab import rule_sql, tables_sql
    from koban.language import DIALECTS
    from koban.packs import PackVersionMissing, load_pack

    if dialect not in DIALECTS:
        raise typer.BadParameter(f"--dialect is one of {', '.join(sorted(DIALECTS))}.")
    write = tables_sql if tables else rule_sql
    if pack is not None and spans is None and pathlib.Path(pack).is_dir():
        print(write(load_pack(pathlib.Path(pack)), rule, dialect))
        return
    with open_for_lab(settings_of_environment(), SystemSecrets(), log) as opened:
        loaded = pack_in_force(opened.tx) if pack is None else pack_named(opened.tx, pack)
        if loaded is None:
            raise PackVersionMissing("No pack is in force here. Name a folder with --pack.")
        print(write(loaded, rule, dialect))
        if spans is not None:
            for each in write_spans(opened, loaded, pathlib.Path(spans)):
                print(f"-- wrote {each}")
