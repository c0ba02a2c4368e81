"""A database of each kind that a server process can be pointed at, and a pack whose rules go on acting."""

import pathlib
import shutil
from collections.abc import Iterator

import pytest
from tests.conftest import fresh_address

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
    with fresh_address(request, str(request.param), tmp_path / "data") as address:
        yield address
