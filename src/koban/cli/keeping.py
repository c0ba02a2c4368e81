"""What is kept, for how long, and who may have it: tokens, archive, backups, erasure, the audit trail."""

import contextlib
import pathlib
import sys
from typing import Annotated

import typer

from koban.cli.frame import DONE, FAILED, Json, print_json, progress_of, running_server, settings_of_environment

app = typer.Typer()
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
token_app = typer.Typer(help="API tokens.", no_args_is_help=True)
archive_app = typer.Typer(help="Entries that left the database.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
app.add_typer(token_app, name="token")
app.add_typer(archive_app, name="archive")


def _named(account: str) -> str:
    """Refuse what names no account, as the server does: under the empty name lies what belongs to nobody known."""
    from koban.base import limits

    if not 0 < len(account) <= limits.ID_CHARS_MAX:
        raise typer.BadParameter(f"the id of an account has 1 to {limits.ID_CHARS_MAX} characters.")
    return account


@token_app.command("issue")
def token_issue(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: Annotated[list[str], typer.Option(help="Permission; may be given several times.")],
    days: Annotated[int, typer.Option(help="How long it is good.")] = 90,
) -> None:
    """Issue an API token; its secret is printed this one time."""
    from koban.base.remote import call

    issued = call(running_server(), "POST", "/v1/tokens", {"name": name, "scopes": scope, "days": days})
    print(issued["secret"])


@archive_app.command("run")
def archive_run(
    json: Json = False,  # noqa: FBT002 - a flag
    quietly: Annotated[bool, typer.Option(help="Give way to other processes; what the server itself calls.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Move old entries to the archive and let go of what is past its retention. A server may run meanwhile."""
    from koban.app import archiving, open_data
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = settings_of_environment()
    if quietly:
        archiving.step_back()
    database, vault = open_data(settings, SystemSecrets())
    with contextlib.closing(database), progress_of("archiving", quiet=json or quietly) as progress:
        pack = archiving.pack_in_force(settings, database)
        report = archiving.run_archive(
            settings, database, vault, SystemClock(), pack, progress=lambda count: progress(count, 0)
        )
    if json:
        print_json(report)
        return
    print(
        f"{report.archived:,} entries archived in {report.files} files; {report.deleted_rows:,} rows left the database; "
        f"{report.expired_entries:,} entries past their retention went with {report.expired_files} files"
    )
    if report.held_files:
        print(f"{report.held_files} files past their retention are kept by a legal hold")
    for name in report.unreadable_files:
        print(f"archive/entries/{name} is past its retention and cannot be read: put it back from a backup")


@archive_app.command("status")
def archive_status(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say what is archived, how much, and whether a run is due."""
    from koban.app import archiving, open_to_read
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = settings_of_environment()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        pack = archiving.pack_in_force(settings, database)
        with database.read() as tx:
            found = archiving.status(tx, SystemClock().now(), pack)
    if json:
        print_json(found)
    else:
        print(archiving.render_status(found))


@app.command()
def retention(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say how long each kind of event is kept, what would go now, and what goes next."""
    from koban.app import archiving, open_to_read
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = settings_of_environment()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        pack = archiving.pack_in_force(settings, database)
        with database.read() as tx:
            found = archiving.retention(tx, SystemClock().now(), pack)
    if json:
        print_json(found)
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

    settings = settings_of_environment()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database), progress_of("backing up", quiet=json) as progress:
        manifest = take_backup(
            settings, database, SystemSecrets(), SystemClock(), folder, progress=lambda rows: progress(rows, 0)
        )
    if json:
        print_json(manifest)
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
    from koban.app.running import AUDIT_KEY
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    settings = settings_of_environment()
    repeated = read_erasures(erasures) if erasures is not None else []
    with progress_of("restoring", quiet=json) as progress:
        done = run(
            settings,
            SystemSecrets(),
            SystemClock(),
            folder,
            key=key,
            erasures=repeated,
            progress=lambda rows: progress(rows, 0),
        )
    if json:
        print_json(done)
        return
    print(
        f"{done.rows:,} rows and {done.archive_files} archive files restored, up to entry {done.last_seq}; epoch {done.epoch}; "
        f"{done.sent_again} actions will be sent again, {done.erased_again} people were erased again"
    )
    if erasures is None:
        print("No erasures were given: people who were erased after the backup can be read again. See --erasures.")
    if not (settings.data / AUDIT_KEY).exists():
        print(
            f"Put audit.key into {settings.data} before the server starts: it makes a new one otherwise, and what the old one"
        )
        print("signed is called false.")


@app.command()
def erase(
    account: Annotated[str, typer.Argument(help="Id of the account whose person is to be forgotten.", callback=_named)],
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
    done = erase_from_outside(
        settings_of_environment(), SystemSecrets(), SystemClock(), randomness, account, by=SYSTEM.id
    )
    if json:
        print_json(done)
    elif done["had_data"]:
        print(f"{account}: the key is destroyed. Backups made before still hold its salt: let them age out.")
    else:
        print(f"{account}: nothing personal was kept.")


@app.command()
def hold(
    account: Annotated[str, typer.Argument(help="Id of the account.", callback=_named)],
    reference: Annotated[str, typer.Option(help="Number of the request or order behind it.")],
) -> None:
    """Place a legal hold: the person's data is neither erased nor let go at its retention."""
    from koban.access import SYSTEM
    from koban.app.people import hold_from_outside
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    hold_from_outside(
        settings_of_environment(), SystemSecrets(), SystemClock(), account, by=SYSTEM.id, reference=reference
    )
    print(f"{account}: held under {reference}")


@app.command()
def release(account: Annotated[str, typer.Argument(help="Id of the account.", callback=_named)]) -> None:
    """Lift a legal hold."""
    from koban.access import SYSTEM
    from koban.app.people import release_from_outside
    from koban.audit import SystemSecrets
    from koban.base import SystemClock

    release_from_outside(settings_of_environment(), SystemSecrets(), SystemClock(), account, by=SYSTEM.id)
    print(f"{account}: no longer held")


@audit_app.command("verify")
def audit_verify(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Prove that the audit trail is whole. Exit code 1 and the first broken row when it is not."""
    from koban.app import open_to_read
    from koban.app.running import AUDIT_KEY, CHECKPOINTS
    from koban.audit import SigningKey, SystemSecrets, read_checkpoints, verify

    settings = settings_of_environment()
    database, _vault = open_to_read(settings, SystemSecrets())
    with contextlib.closing(database):
        key = SigningKey.read(settings.data / AUDIT_KEY)
        with database.read() as tx:
            report = verify(tx, read_checkpoints(settings.data / CHECKPOINTS), key.public)
    if json:
        print_json(report)
    elif report.broken is None:
        print(f"The audit trail is whole: {report.sealed} entries sealed, {report.unsealed} waiting.")
    else:
        print(f"The audit trail is broken at position {report.broken.position}: {report.broken.detail}")
    sys.exit(DONE if report.broken is None else FAILED)
