"""Which engines the dialects are run on: two always, all four by `make warehouse-test`."""

import os
import pathlib
from collections.abc import Iterator

import pytest
from tests.archive.conftest import SMALL_PACK, Station, open_station

from koban.base import ManualClock
from koban.db import Database
from koban.packs import load_pack

ENGINES = ("duckdb", "postgres", *(("clickhouse", "spark") if os.environ.get("KOBAN_WAREHOUSE") else ()))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Name an engine that is there."""
    return str(request.param)


@pytest.fixture
def station(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Station]:
    """A desk that has just been opened for the first time."""
    with open_station(database, clock, tmp_path, first=True, pack=load_pack(SMALL_PACK)) as opened:
        yield opened
