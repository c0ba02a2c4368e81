"""A whole Koban in this process, over a data folder of its own, on SQLite or in a PostgreSQL database of its own."""

import contextlib
import dataclasses
import json
import pathlib
import random
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy

from koban.app import Koban, open_koban
from koban.audit import SeededSecrets
from koban.base import ManualClock, limits, to_rfc3339
from koban.base.settings import Settings, read_settings
from koban.events import decode
from koban.events.routes import Decided

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """Where a Koban lives, and a clock for it."""

    settings: Settings
    clock: ManualClock
    seed: int = 11

    @property
    def secrets(self) -> SeededSecrets:
        return SeededSecrets(self.seed)

    @contextlib.contextmanager
    def open(self) -> Iterator[Koban]:
        with open_koban(self.settings, self.clock, random.Random(3), self.secrets, durable=False) as opened:
            yield opened

    def event(self, event_id: str, text: str = "こんにちは", sender: str = "a1", **data: object) -> dict[str, object]:
        return {
            "specversion": "1.0",
            "id": event_id,
            "source": "shop",
            "type": "message.sent",
            "time": to_rfc3339(self.clock.now()),
            "data": {
                "sender": {"id": sender},
                "recipient": {"id": "b1"},
                "message": {"id": f"m-{event_id}"},
                "text": text,
                **data,
            },
        }


def send(koban: Koban, event: dict[str, object]) -> bytes:
    """Send an event and return its answer."""
    assert isinstance(koban.clock, ManualClock)
    koban.clock.advance(1_000)
    items = decode(json.dumps(event).encode(), "application/json")
    result = koban.desk.submit(items, koban.clock.now(), asynchronous=False).result(timeout=60)[0]
    assert isinstance(result, Decided), result
    return bytes(result.body)


@contextlib.contextmanager
def records_wait(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have feature records written back one at a time, and only with events: by nothing that comes between them.

    Leave it before a Koban is closed, which writes back until nothing is left.
    """
    with monkeypatch.context() as patched:
        patched.setattr(limits, "FEATURE_SLICE_MAX", 1)
        patched.setattr(limits, "FEATURE_SLICE_IDLE_MAX", 0)
        yield


MakeSite = Callable[[str], Site]


@pytest.fixture(params=["sqlite", "postgresql"])
def site_of(request: pytest.FixtureRequest, tmp_path: pathlib.Path, clock: ManualClock) -> Iterator[MakeSite]:
    """Make sites by name, each with an empty folder and database."""
    made: list[str] = []
    engine = None
    if request.param == "postgresql":
        server = sqlalchemy.make_url(request.getfixturevalue("postgres_url"))
        engine = sqlalchemy.create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")

    def make(name: str) -> Site:
        data = tmp_path / name / "data"
        environment = {"KOBAN_DATA": str(data), "KOBAN_PACK": str(SMALL_PACK)}
        if engine is not None:
            database = f"t_{random.getrandbits(48):x}"
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(f"CREATE DATABASE {database}"))
            made.append(database)
            url = engine.url.set(drivername="postgresql", database=database)
            environment["KOBAN_DATABASE_URL"] = url.render_as_string(hide_password=False)
        return Site(settings=read_settings(environment), clock=clock)

    yield make
    if engine is not None:
        with engine.connect() as connection:
            for database in made:
                connection.execute(sqlalchemy.text(f"DROP DATABASE {database} WITH (FORCE)"))
        engine.dispose()
