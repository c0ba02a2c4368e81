"""Laws 1 and 5 of the ledger under a deterministic simulator; `KOBAN_SIM_SEEDS=1000` is the nightly form.

A failure names its seed; `KOBAN_SIM_FIRST=<seed> KOBAN_SIM_SEEDS=1` plays it again. In the nightly form the figures are
printed with `-s`.
"""

import collections
import os
import pathlib
import random

import pytest
import sqlalchemy
from tests.sim_ledger.world import Story, open_world, run_seed

SEEDS = int(os.environ.get("KOBAN_SIM_SEEDS", "10"))
FIRST = int(os.environ.get("KOBAN_SIM_FIRST", "1"))
IS_LONG = "KOBAN_SIM_SEEDS" in os.environ
PER_SEED = 1_200 if IS_LONG else 350
pytestmark = pytest.mark.timeout(14_400 if IS_LONG else 300)
ON_POSTGRESQL = max(2, SEEDS // 50) if IS_LONG else 2


def test_the_ledger_holds_on_sqlite(tmp_path: pathlib.Path) -> None:
    stories = []
    for seed in range(FIRST, FIRST + SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with open_world(folder) as world:
            stories.append(run_seed(seed, world, transfers=PER_SEED))
    _tell("SQLite", stories)
    seen = collections.Counter(code for story in stories for code in story.codes)
    if FIRST == 1 and SEEDS >= 10:
        # A simulator that meets none of these proves nothing about them.
        assert {
            "created", "exists", "id_already_failed", "linked_event_failed", "exceeds_credits", "exceeds_debits",
            "pending_transfer_already_posted", "pending_transfer_already_voided", "pending_transfer_expired",
            "debit_book_already_closed", "precondition_failed", "exists_with_different_reason",
        } <= set(seen)  # fmt: skip
        assert sum(story.crashes for story in stories) >= SEEDS
        assert sum(story.expired for story in stories) >= SEEDS


def test_the_ledger_holds_on_postgresql(postgres_url: str, tmp_path: pathlib.Path) -> None:
    stories = []
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(postgres_url).set(drivername="postgresql+psycopg"))
    for seed in range(FIRST, FIRST + ON_POSTGRESQL):
        schema = f"sim_{os.getpid()}_{random.getrandbits(40):x}"
        with engine.begin() as connection:
            connection.execute(sqlalchemy.schema.CreateSchema(schema))
        try:
            with open_world(tmp_path, postgres_url, schema) as world:
                stories.append(run_seed(seed, world, transfers=PER_SEED))
        finally:
            with engine.begin() as connection:
                connection.execute(sqlalchemy.schema.DropSchema(schema, cascade=True))
    engine.dispose()
    _tell("PostgreSQL", stories)


def test_a_seed_plays_the_same_again(tmp_path: pathlib.Path) -> None:
    stories = []
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with open_world(folder) as world:
            stories.append(run_seed(42, world, transfers=120))
    assert stories[0] == stories[1]


def _tell(where: str, stories: list[Story]) -> None:
    planned = collections.Counter[str]()
    for story in stories:
        planned.update(story.planned)
    print(
        f"{where}: {len(stories):,} seeds, {sum(each.transfers for each in stories):,} transfers stand, "
        f"{sum(each.replies for each in stories):,} replies checked, {sum(each.crashes for each in stories):,} crashes, "
        f"{sum(each.expired for each in stories):,} expired; planned {dict(planned)}"
    )


if __name__ == "__main__":
    pytest.main([__file__, "-s"])
