"""What a crash left half made in the first moment must not keep a server from starting."""

import contextlib
import pathlib
import random

import pytest

from koban.app import open_koban
from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock, Unavailable
from koban.base.settings import read_settings
from koban.db import Database

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


@pytest.mark.parametrize("name", ["vault.key", "audit.key.part"])
def test_an_empty_key_file_is_made_anew_while_nothing_depends_on_it(tmp_path: pathlib.Path, name: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / name).touch()
    settings = read_settings({"KOBAN_DATA": str(data), "KOBAN_PACK": str(SMALL_PACK)})
    for _ in range(2):
        with open_koban(settings, ManualClock(Instant(1)), random.Random(1), SeededSecrets(1), durable=False) as koban:
            assert koban.memory.last_seq == 1
    assert all((data / made).stat().st_size > 0 for made in ("vault.key", "audit.key"))


def test_a_reader_who_keeps_deleted_rows_on_the_disk_is_noticed(tmp_path: pathlib.Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/koban.db", durable=False)
    with contextlib.closing(database):
        with database.write() as tx:
            tx.many("CREATE TABLE t (x)", [()])
        with database.read() as reading:
            reading.rows("SELECT * FROM t")
            with database.write() as tx:
                tx.many("INSERT INTO t VALUES (?)", [("secret",)])
                tx.rows("PRAGMA busy_timeout=50")
            with pytest.raises(Unavailable, match="long read"):
                database.forget_deleted()
        database.forget_deleted()
        assert (tmp_path / "koban.db-wal").stat().st_size == 0
