"""A house with a bank, on both databases."""

import pathlib
from collections.abc import Iterator

import pytest
from tests.banking.ground import House, moment, open_house

from koban.base import ManualClock


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[House]:
    """A Koban on a Wednesday at ten in the morning in Tokyo."""
    yield from open_house(request, str(request.param), tmp_path, ManualClock(moment("2026-10-21T10:00:00+09:00")))


@pytest.fixture
def small(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[House]:
    """The same on SQLite alone, for what no database decides."""
    yield from open_house(request, "sqlite", tmp_path, ManualClock(moment("2026-10-21T10:00:00+09:00")))


@pytest.fixture
def watched(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[House]:
    """The same with the starter pack's rules."""
    clock = ManualClock(moment("2026-10-21T10:00:00+09:00"))
    yield from open_house(request, "sqlite", tmp_path, clock, rules=True)
