"""A marketplace that is paid, on both databases."""

import logging
import pathlib
from collections.abc import Iterator

import pytest
import structlog
from tests.payments.world import World, open_world, simulated

from koban.base import ManualClock
from koban.db import Database


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing below critical."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[World]:
    with open_world(database, clock, tmp_path, simulated(clock)) as opened:
        yield opened
