"""Stored pack versions: read again by digest, and which one decides at a log entry."""

import pathlib

import pytest

from koban.base import Instant
from koban.db import Database
from koban.packs import (
    PackVersionMissing,
    activations,
    active_at,
    files_of,
    load_version,
    parse_files,
    save_activation,
)

AT = Instant(1_768_446_000_000_000)
FILES = files_of(pathlib.Path(__file__).parent / "small")
FIRST = parse_files(FILES)
SECOND = parse_files({**FILES, "pack.yaml": FILES["pack.yaml"].replace('"1"', '"2"')})


def test_a_stored_version_is_read_again_as_it_was(database: Database) -> None:
    with database.write() as tx:
        save_activation(tx, 1, AT, FIRST, author="staff_1", reason="start")
    with database.read() as tx:
        assert load_version(tx, FIRST.digest) == FIRST


def test_an_unknown_digest_is_refused(database: Database) -> None:
    with database.read() as tx, pytest.raises(PackVersionMissing):
        load_version(tx, "0" * 64)


def test_rolling_back_activates_the_same_version_again(database: Database) -> None:
    with database.write() as tx:
        for seq, pack in ((10, FIRST), (20, SECOND), (30, FIRST)):
            save_activation(tx, seq, AT, pack, author="staff_1", reason=f"at {seq}")
    with database.read() as tx:
        assert [(row.seq, row.label, row.reason) for row in activations(tx)] == [
            (30, "1", "at 30"),
            (20, "2", "at 20"),
            (10, "1", "at 10"),
        ]
        found = [active_at(tx, seq) for seq in (10, 11, 20, 21, 31)]
    assert [None if row is None else row.label for row in found] == [None, "1", "1", "2", "1"]
