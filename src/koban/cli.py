"""The command line. Heavy parts are imported by the command that needs them, so that `koban --help` is quick."""

import contextlib
import dataclasses
import os
import pathlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from koban.base.settings import Settings

DONE, FAILED, WRONG_USE = 0, 1, 2

app = typer.Typer(
    name="koban",
    help="Koban: an open Trust & Safety platform for consumer-to-consumer marketplaces.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
sim_app = typer.Typer(help="The simulated marketplace.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
token_app = typer.Typer(help="API tokens.", no_args_is_help=True)
archive_app = typer.Typer(help="Entries that left the database.", no_args_is_help=True)
rule_app = typer.Typer(help="Rules on the running server.", no_args_is_help=True)
pack_app = typer.Typer(help="Packs on the running server.", no_args_is_help=True)
app.add_typer(sim_app, name="sim")
app.add_typer(audit_app, name="audit")
app.add_typer(token_app, name="token")
app.add_typer(archive_app, name="archive")
app.add_typer(rule_app, name="rule")
app.add_typer(pack_app, name="pack")

Json = Annotated[bool, typer.Option("--json", help="Print the result for machines.")]


def main() -> None:
    """Run the command line; refusals become one clear message and exit code 2."""
    from koban.base import Refusal, Unavailable

    try:
        app()
    except (Refusal, Unavailable) as refusal:
        _refuse(refusal)


def _refuse(refusal: Exception) -> NoReturn:
    rendered = getattr(refusal, "rendered", "")
    title = getattr(refusal, "title", "Something that this needs is not available.")
    print(f"koban: {title} {refusal}", file=sys.stderr)
    if rendered:
        print(rendered, file=sys.stderr)
    else:
        for problem in getattr(refusal, "problems", ()):
            hint = f" {problem.hint}" if problem.hint else ""
            print(f"  {problem.path}: {problem.detail}{hint}", file=sys.stderr)
    sys.exit(WRONG_USE)


def _settings() -> "Settings":
    from koban.base.settings import read_settings

    return read_settings(os.environ)


def _print_json(document: object) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


@app.command()
def serve() -> None:
    """Start the server: HTTP API and console."""
    from koban.app.serving import serve as run

    _log_to_stderr()
    run(_settings(), ready=_banner)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Seed of the simulated marketplace.")] = 1,
    speed: Annotated[float, typer.Option(help="How many times faster than life it runs.")] = 6.0,
) -> None:
    """Start the server with a simulated marketplace that sends it events."""
    import contextlib as _contextlib

    from koban.app.demo import simulated_marketplace
    from koban.app.serving import serve as run

    _log_to_stderr()
    # The simulated marketplace listens on this machine, and so will whoever tries webhooks out.
    settings = dataclasses.replace(_settings(), allow_private_webhooks=True)

    @contextlib.contextmanager
    def ready(koban: object, url: str, token: str, link: str | None) -> Iterator[None]:
        from koban.app import Koban

        assert isinstance(koban, Koban)
        with _contextlib.ExitStack() as stack:
            stack.enter_context(_banner(koban, url, token, link, simulated=True))
            stack.enter_context(
                simulated_marketplace(
                    koban,
                    url,
                    token,
                    seed=seed,
                    speed=speed,
                    truth=settings.data.parent / f"{settings.data.name}-truth",
                    say=lambda _line: None,
                )
            )
            yield

    run(settings, simulated=True, ready=ready)


@contextlib.contextmanager
def _banner(_koban: object, url: str, _token: str, link: str | None, *, simulated: bool = False) -> Iterator[None]:
    print(f"\n  Koban is at {url}" + ("   (模擬データ / simulated data)" if simulated else ""))
    if link is not None:
        print(f"  First sign-in (once, within 24 hours): {link}")
    print(f"  API: {url}/openapi.json   Stop: Ctrl-C\n", flush=True)
    yield


def _log_to_stderr() -> None:
    import logging

    import structlog

    level = {"debug": 10, "info": 20, "warning": 30, "error": 40}[_settings().log_level]
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False)
            if sys.stderr.isatty()
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@app.command()
def check(pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")]) -> None:
    """Check a pack: every name, type and expression. Exit code 1 when something is wrong."""
    from koban.packs import PackInvalid, load_pack, render_fault
    from koban.rules import check_pack

    try:
        loaded = load_pack(pack)
    except PackInvalid as invalid:
        print(invalid.rendered, file=sys.stderr)
        print(f"koban check: {invalid.detail}", file=sys.stderr)
        sys.exit(FAILED)
    faults = check_pack(loaded)
    for fault in faults:
        print(render_fault(fault, loaded.files), file=sys.stderr)
    if faults:
        print(f"koban check: {len(faults)} to mend", file=sys.stderr)
        sys.exit(FAILED)
    print(
        f"{pack}: {len(loaded.events)} event types, {len(loaded.features)} features, {len(loaded.rules)} rules, "
        f"{len(loaded.lists)} lists, {len(loaded.policies)} policies: nothing to mend"
    )


@app.command("test")
def run_cases_of(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Run the cases of a pack's rules: what must match and what must not. Exit code 1 when one fails."""
    from koban.packs import load_pack
    from koban.rules import describe_failure, run_cases

    loaded = load_pack(pack)
    report = run_cases(loaded)
    if json:
        _print_json(report)
    else:
        for result in report.rules:
            for failed in result.failed:
                print(describe_failure(loaded, failed))
        for fault in report.faults:
            print(
                f"{fault.source.file}:{fault.source.line}: {fault.detail}" + (f"; {fault.hint}" if fault.hint else "")
            )
        print(
            f"{len(report.rules)} rules, {sum(each.must_match + each.must_not_match - len(each.failed) for each in report.rules)} cases passed, "
            f"{sum(len(each.failed) for each in report.rules)} failed"
        )
    sys.exit(DONE if report.passed else FAILED)


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

    settings = _settings()
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
    for name, value in sorted(explained.features.items()):
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

    settings = _settings()
    if suggest:
        print(suggest_map(files[0], load_pack(pack or settings.pack)))
        return
    if mapping is None or log is None:
        raise typer.BadParameter("--map and --log are needed; or --suggest, for a first map.")
    read = load_map(mapping)
    with (
        open_log(settings.data, settings.database_url, log, SystemSecrets(), make=True) as opened,
        _progress(f"importing {files[0].name}", quiet=json) as progress,
    ):
        report = import_files(opened, load_pack(pack or settings.pack), read, files, progress=progress)
    if json:
        _print_json(report)
        return
    print(
        f"{report.rows:,} rows: {report.imported:,} imported, {report.already_there:,} were there, "
        f"{report.unreadable:,} unreadable; {report.harmful:,} harmful, {report.honest:,} honest"
    )
    for each in report.examples:
        print(f"  {each.place}: " + "; ".join(f"{problem.path} {problem.detail}".strip() for problem in each.problems))
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

    settings = _settings()
    with (
        open_log(settings.data, settings.database_url, log, SystemSecrets(), make=False) as opened,
        _progress(f"replaying {log}", quiet=json) as progress,
    ):
        report = run(opened, load_pack(pack or settings.pack), progress=progress)
    if json:
        _print_json(report)
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

    settings = _settings()
    with open_log(settings.data, settings.database_url, log, SystemSecrets(), make=False) as opened:
        evaluation = run(opened.database, log=log)
    if json:
        _print_json(evaluation)
    else:
        print(render(evaluation))


@contextlib.contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far a long work is: a bar on a terminal, elsewhere a line for every tenth."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if quiet:
        yield lambda _done, _of: None
        return
    if not sys.stderr.isatty():
        told = 0

        def tell(done: int, of: int) -> None:
            nonlocal told
            if of and done * 10 // of > told:
                told = done * 10 // of
                print(f"{what}: {done:,} of {of:,}", file=sys.stderr)

        yield tell
        return
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of or None)


@sim_app.command("run")
def sim_run(
    truth: Annotated[pathlib.Path, typer.Option(help="Folder for the truth, which Koban never reads.")],
    seed: Annotated[int, typer.Option(help="Equal seeds give equal evenings.")] = 1,
    minutes: Annotated[int, typer.Option(help="How long the evening is.")] = 60,
    speed: Annotated[float, typer.Option(help="How many times faster than life; 0: as fast as Koban answers.")] = 1.0,
    url: Annotated[str | None, typer.Option(help="Address of Koban; default: the server on this data folder.")] = None,
    token: Annotated[str | None, typer.Option(envvar="KOBAN_TOKEN", help="API token.")] = None,
) -> None:
    """Send a simulated evening to a running Koban."""
    import threading

    from koban.base import SystemClock
    from koban.sim import RunOptions, main_run

    where, secret = _server(url, token)
    options = RunOptions(base_url=where, token=secret, folder=truth, seed=seed, minutes=minutes, speed=speed or None)
    main_run(options, clock=SystemClock(), stop=threading.Event(), say=print)


@sim_app.command("report")
def sim_report(
    truth: Annotated[pathlib.Path, typer.Option(help="Folder that `koban sim run` or `koban demo` wrote.")],
    url: Annotated[str | None, typer.Option(help="Address of Koban; default: the server on this data folder.")] = None,
    token: Annotated[str | None, typer.Option(envvar="KOBAN_TOKEN", help="API token.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Say what was found and missed, by trick and by name, and which honest people were hurt."""
    from koban.sim import Target, main_report, render

    where, secret = _server(url, token)
    report = main_report(Target(base_url=where, token=secret), truth)
    if json:
        _print_json(report)
    else:
        print(render(report))


def _server(url: str | None = None, token: str | None = None) -> tuple[str, str]:
    from koban.app.remote import find_server

    return find_server(_settings().data, url, token)


@token_app.command("issue")
def token_issue(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: Annotated[list[str], typer.Option(help="Permission; may be given several times.")],
    days: Annotated[int, typer.Option(help="How long it is good.")] = 90,
) -> None:
    """Issue an API token; its secret is printed this one time."""
    from koban.app.remote import call

    issued = call(_server(), "POST", "/v1/tokens", {"name": name, "scopes": scope, "days": days})
    print(issued["secret"])


@rule_app.command("mode")
def rule_mode(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    mode: Annotated[str, typer.Argument(help="off, shadow, review, live, or 'pack' to follow the pack again.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it next.")],
    percent: Annotated[float, typer.Option(help="Share of accounts for which it is live.")] = 100.0,
) -> None:
    """Switch a rule's mode on the running server."""
    from koban.app.remote import call

    body = {"mode": None if mode == "pack" else mode, "reason": reason, "basis_points": round(percent * 100)}
    entered = call(_server(), "POST", f"/v1/rules/{rule}/mode", body)
    print(f"{rule}: {mode} from log entry {entered['seq']} on")


@rule_app.command("undo")
def rule_undo(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    minutes: Annotated[int, typer.Option(help="How far back.")] = 60,
) -> None:
    """Take back everything a rule did to people lately."""
    from koban.app.remote import call
    from koban.base import MINUTE, Instant, SystemClock, to_rfc3339

    since = to_rfc3339(Instant(SystemClock().now() - minutes * MINUTE))
    done = call(_server(), "POST", f"/v1/rules/{rule}/undo", {"since": since, "reason": reason})
    print(f"{rule}: {len(done['sanction_ids'])} sanctions taken back")  # type: ignore[arg-type]  # JSON


@rule_app.command("review-all")
def rule_review_all(
    switch: Annotated[str, typer.Argument(help="on or off")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Put every rule to review, or back."""
    from koban.app.remote import call

    entered = call(_server(), "POST", "/v1/review-all", {"on": switch == "on", "reason": reason})
    print(f"all rules to review: {switch}, from log entry {entered['seq']} on")


@pack_app.command("push")
def pack_push(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Check a pack on the running server and switch to it."""
    from koban.app.remote import call
    from koban.packs import files_of

    done = call(_server(), "POST", "/v1/packs", {"files": dict(files_of(pack)), "reason": reason})
    print(f"{str(done['digest'])[:12]} decides from log entry {done['seq']} on")


@pack_app.command("history")
def pack_history() -> None:
    """Say which versions decided."""
    from koban.app.remote import call

    for one in call(_server(), "GET", "/v1/packs/activations")["items"]:  # type: ignore[attr-defined]  # JSON
        print(f"{one['seq']:>12}  {one['digest'][:12]}  {one['activated_at']}  {one['author']}  {one['reason']}")


@pack_app.command("rollback")
def pack_rollback(
    digest: Annotated[str, typer.Argument(help="Digest of a version that was active before.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Switch back to a version that was active before."""
    from koban.app.remote import call

    where = _server()
    items = call(where, "GET", "/v1/packs/activations")["items"]
    whole = next((one["digest"] for one in items if one["digest"].startswith(digest)), digest)  # type: ignore[attr-defined]  # JSON
    done = call(where, "POST", "/v1/packs/activate", {"digest": whole, "reason": reason})
    print(f"{str(done['digest'])[:12]} decides from log entry {done['seq']} on")


@pack_app.command("reference")
def pack_reference_page(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
) -> None:
    """Print a reference page of a pack's events, features, rules, policies and lists."""
    from koban.packs import load_pack
    from koban.rules import pack_reference

    print(pack_reference(load_pack(pack)))


@archive_app.command("run")
def archive_run(
    json: Json = False,  # noqa: FBT002 - a flag
    quietly: Annotated[bool, typer.Option(help="Give way to other processes; what the server itself calls.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Move old entries to the archive and let go of what is past its retention. A server may run meanwhile."""
    from koban.app import archiving, open_data
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = _settings()
    if quietly:
        archiving.step_back()
    database, vault = open_data(settings, SystemSecrets())
    with contextlib.closing(database), _progress("archiving", quiet=json or quietly) as progress:
        pack = archiving.pack_in_force(settings, database)
        report = archiving.run_archive(
            settings, database, vault, SystemClock(), pack, progress=lambda count: progress(count, 0)
        )
    if json:
        _print_json(report)
        return
    print(
        f"{report.archived:,} entries archived in {report.files} files; {report.deleted_rows:,} rows left the database; "
        f"{report.expired_entries:,} entries past their retention went with {report.expired_files} files"
    )
    if report.held_files:
        print(f"{report.held_files} files past their retention are kept by a legal hold")


@archive_app.command("status")
def archive_status(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say what is archived, how much, and whether a run is due."""
    from koban.app import archiving, open_to_read
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = _settings()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        pack = archiving.pack_in_force(settings, database)
        with database.read() as tx:
            found = archiving.status(tx, SystemClock().now(), pack)
    if json:
        _print_json(found)
    else:
        print(archiving.render_status(found))


@app.command()
def retention(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say how long each kind of event is kept, what would go now, and what goes next."""
    from koban.app import archiving, open_to_read
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = _settings()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        pack = archiving.pack_in_force(settings, database)
        with database.read() as tx:
            found = archiving.retention(tx, SystemClock().now(), pack)
    if json:
        _print_json(found)
    else:
        print(archiving.render_retention(found))


@app.command()
def backup(
    folder: Annotated[pathlib.Path, typer.Argument(help="A new or empty folder.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Write a backup, while the server runs or not. It never holds a key: keep vault.key and audit.key elsewhere."""
    from koban.app import open_to_read
    from koban.app.backup import take_backup
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = _settings()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database), _progress("backing up", quiet=json) as progress:
        manifest = take_backup(
            settings, database, SystemSecrets(), SystemClock(), folder, progress=lambda rows: progress(rows, 0)
        )
    if json:
        _print_json(manifest)
        return
    size = sum(file.bytes for file in manifest.files)
    rows = sum(file.rows or 0 for file in manifest.files)
    print(
        f"{folder}: {rows:,} rows in {len(manifest.files)} files, {size / 1_000_000:,.1f} MB, up to entry {manifest.last_seq}"
    )
    print("The keys are not in it. Without vault.key no personal field in it can be read, by anybody.")


@app.command()
def restore(
    folder: Annotated[pathlib.Path, typer.Argument(help="Folder that 'koban backup' wrote.")],
    key: Annotated[pathlib.Path | None, typer.Option(help="The vault.key of the installation, kept apart.")] = None,
    erasures: Annotated[
        pathlib.Path | None,
        typer.Option(help="Where erasures made after the backup stand: the data folder given up, or a file."),
    ] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Make an empty data folder from a backup. Sequence numbers and webhook-ids go on in a new epoch."""
    from koban.app.backup import read_erasures
    from koban.app.backup import restore as run
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    repeated = read_erasures(erasures) if erasures is not None else []
    with _progress("restoring", quiet=json) as progress:
        done = run(
            _settings(),
            SystemSecrets(),
            SystemClock(),
            folder,
            key=key,
            erasures=repeated,
            progress=lambda rows: progress(rows, 0),
        )
    if json:
        _print_json(done)
        return
    print(
        f"{done.rows:,} rows and {done.archive_files} archive files restored, up to entry {done.last_seq}; epoch {done.epoch}; "
        f"{done.sent_again} actions will be sent again, {done.erased_again} people were erased again"
    )
    if erasures is None:
        print("No erasures were given: people who were erased after the backup can be read again. See --erasures.")


@app.command()
def erase(
    account: Annotated[str, typer.Argument(help="Id of the account whose person is to be forgotten.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Forget a person for good: nothing personal of them can be read again, here, in the archive or in named logs."""
    import random
    import secrets

    from koban.access import SYSTEM
    from koban.app.people import erase_from_outside
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    randomness = random.Random(secrets.randbits(128))  # noqa: S311 - ids; secrets have their own seam
    done = erase_from_outside(_settings(), SystemSecrets(), SystemClock(), randomness, account, by=SYSTEM.id)
    if json:
        _print_json(done)
    elif done["had_data"]:
        print(f"{account}: the key is destroyed. Backups made before still hold its salt: let them age out.")
    else:
        print(f"{account}: nothing personal was kept.")


@app.command()
def hold(
    account: Annotated[str, typer.Argument(help="Id of the account.")],
    reference: Annotated[str, typer.Option(help="Number of the request or order behind it.")],
) -> None:
    """Place a legal hold: the person's data is neither erased nor let go at its retention."""
    from koban.access import SYSTEM
    from koban.app.people import hold_from_outside
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    hold_from_outside(_settings(), SystemSecrets(), SystemClock(), account, by=SYSTEM.id, reference=reference)
    print(f"{account}: held under {reference}")


@app.command()
def release(account: Annotated[str, typer.Argument(help="Id of the account.")]) -> None:
    """Lift a legal hold."""
    from koban.access import SYSTEM
    from koban.app.people import release_from_outside
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    release_from_outside(_settings(), SystemSecrets(), SystemClock(), account, by=SYSTEM.id)
    print(f"{account}: no longer held")


@audit_app.command("verify")
def audit_verify(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Prove that the audit trail is whole. Exit code 1 and the first broken row when it is not."""
    from koban.app import open_to_read
    from koban.app.running import AUDIT_KEY, CHECKPOINTS
    from koban.audit import SigningKey, SystemSecrets, read_checkpoints, verify

    settings = _settings()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        key = SigningKey.open(settings.data / AUDIT_KEY, SystemSecrets())
        with database.read() as tx:
            report = verify(tx, read_checkpoints(settings.data / CHECKPOINTS), key.public)
    if json:
        _print_json(report)
    elif report.broken is None:
        print(f"The audit trail is whole: {report.sealed} entries sealed, {report.unsealed} waiting.")
    else:
        print(f"The audit trail is broken at position {report.broken.position}: {report.broken.detail}")
    sys.exit(DONE if report.broken is None else FAILED)


if __name__ == "__main__":
    main()
