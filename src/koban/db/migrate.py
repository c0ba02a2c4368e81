"""Bring a database to the tables that this release knows. Alembic does it, in one transaction."""

import pathlib
from typing import TYPE_CHECKING, Final

import sqlalchemy

from koban.base import Refusal
from koban.db.core import Database

if TYPE_CHECKING:
    import alembic.config
    import alembic.script

_SCRIPTS: Final = pathlib.Path(__file__).parent / "migrations"


class DataTooNew(Refusal):
    """The database was written by a later release."""

    code = "data_too_new"
    status = 409
    title = "This data belongs to a later release of Koban."


class DataForeign(Refusal):
    """The database holds tables that are not Koban's."""

    code = "data_foreign"
    status = 409
    title = "This database does not belong to Koban."


def upgrade(database: Database) -> tuple[str | None, str]:
    """Upgrade to the newest revision; return the revision before (None: it was empty) and the one after.

    Refuses: DataTooNew, DataForeign; nothing is changed then.
    """
    import alembic.command

    config, scripts = _scripts()
    head = newest_revision()
    before = revision(database)
    if before is not None and before not in {script.revision for script in scripts.walk_revisions()}:
        raise DataTooNew(
            f"The data is at revision {before!r}, which this release does not know. Start the release that wrote it, or "
            "restore a backup made by this one."
        )
    if before is None and _has_tables(database):
        raise DataForeign("The database holds tables, but none that says which release of Koban made them.")
    if before != head:
        with database.write() as tx:
            config.attributes["connection"] = tx.connection
            alembic.command.upgrade(config, "head")
    return before, head


def newest_revision() -> str:
    """Return the revision that this release brings data to."""
    head = _scripts()[1].get_current_head()
    assert head is not None, "the first revision ships with the code"
    return head


def _scripts() -> "tuple[alembic.config.Config, alembic.script.ScriptDirectory]":
    import alembic.config
    import alembic.script

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    return config, alembic.script.ScriptDirectory.from_config(config)


def revision(database: Database) -> str | None:
    """Return the revision of a database, None where it has none."""
    with database.read() as tx:
        if not sqlalchemy.inspect(tx.connection).has_table("alembic_version"):
            return None
        found = tx.rows("SELECT version_num FROM alembic_version")
    return str(found[0][0]) if found else None


def _has_tables(database: Database) -> bool:
    with database.read() as tx:
        return bool(sqlalchemy.inspect(tx.connection).get_table_names())
