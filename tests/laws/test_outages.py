"""Law 1 while the database is away: nobody waits for ever, nothing is answered that is not stored, and it goes on after."""

import concurrent.futures
import contextlib
import json
import pathlib
import time
from collections.abc import Iterator

import pytest
from tests.laws.town import Flaky, Town, message, open_town

from koban.base import Unavailable
from koban.db import Database, Tx
from koban.events import decode
from koban.events.routes import Decided


class Away(Flaky):
    """A database that lets nobody in for a while."""

    is_away = False

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """Write, unless it is away."""
        if self.is_away:
            raise ConnectionError("the server closed the connection")
        with super().write() as tx:
            yield tx


def _take_away(town: Town) -> Away:
    away = Away(town.real)
    town.desk.database = away
    town.desk.decider._database = away
    return away


def _submit(town: Town, event: dict[str, object]) -> "concurrent.futures.Future[list[object]]":
    items = decode(json.dumps(event).encode(), "application/json")
    return town.desk.submit(items, town.clock.now(), False)  # type: ignore[return-value]  # results are read as objects


def test_an_outage_is_said_at_once_and_survived(database: Database, tmp_path: pathlib.Path) -> None:
    with open_town(database, tmp_path) as town:
        away = _take_away(town)
        town.send([message("before", town.clock.now(), sender__id="a1", text="x")])
        away.is_away = True
        for number in range(3):
            with pytest.raises(Unavailable):
                _submit(town, message(f"during{number}", town.clock.now(), sender__id="a1")).result(timeout=60)
        away.is_away = False
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(Unavailable):
                result = _submit(town, message("after", town.clock.now(), sender__id="a1", text="x")).result(timeout=60)
                break
            assert time.monotonic() < until
        assert isinstance(result[0], Decided)
        assert town.desk.decider.failed is None
        last = max(town.decisions().items())[1]
        assert last[1]["messages_1h"] == 2
        assert town.rows("SELECT count(*) FROM decisions") == [(2,)]
