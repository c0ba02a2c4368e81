"""A database of each kind that a server process can be pointed at, and a pack whose rules go on acting."""

import os
import pathlib
import random
import shutil
from collections.abc import Iterator

import pytest
import sqlalchemy

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


@pytest.fixture
def pack(tmp_path: pathlib.Path) -> pathlib.Path:
    """The small pack with a budget that is never used up, so that sanctions go on to the end."""
    folder = tmp_path / "pack"
    shutil.copytree(SMALL_PACK, folder)
    rules = folder / "rules" / "rules.yaml"
    text = rules.read_text(encoding="utf-8")
    assert "cap: 5 per hour" in text
    rules.write_text(text.replace("cap: 5 per hour", "cap: 100000 per hour"), encoding="utf-8")
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[str]:
    """Address of an empty database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/koban.db"
        return
    address = sqlalchemy.make_url(request.getfixturevalue("postgres_url"))
    name = f"crash_{os.getpid()}_{random.getrandbits(40):x}"
    admin = sqlalchemy.create_engine(address.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()
