"""A ledger with a few books, once for a module and database; each test's changes are taken back."""

import contextlib
import pathlib
from collections.abc import Iterator

import pytest
from tests.conftest import fresh_database
from tests.ledger.ground import open_ground

from koban.db import Database, Tx


class _TakenBack(Exception):
    pass


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder: pathlib.Path = tmp_path_factory.mktemp("ledger")
    with fresh_database(request, str(request.param), folder) as opened:
        with opened.write() as tx:
            open_ground(tx)
        yield opened


@pytest.fixture
def tx(ground: Database) -> Iterator[Tx]:
    with contextlib.suppress(_TakenBack), ground.write() as tx:
        yield tx
        raise _TakenBack
