"""A filter that no index helps walks the log page by page, over the gap that a restored log leaves, too."""

import pytest
from tests.events.entries import bare_entry

from koban.console import decisions
from koban.console.filters import Filters
from koban.db import Database
from koban.events.store import first_seq, insert_entries
from koban.finding import Span


def test_every_entry_is_walked_once_and_the_gap_between_two_epochs_in_one_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "WALK_MAX", 100)
    seqs = [*range(1, 251), *range(first_seq(1), first_seq(1) + 120)]
    with database.write() as tx:
        insert_entries(tx, [bare_entry(seq, f"e{seq}") for seq in seqs])
    walked: list[int] = []
    cursor, pages = "", 0
    with database.read() as tx:
        while True:
            filters = Filters(given={"source": "nobody"}, span=Span(), cursor=cursor, unread=())
            part = decisions._span(tx, filters, is_indexed=False)
            walked += [seq for seq in seqs if part.since_seq <= seq < part.until_seq]
            pages, cursor = pages + 1, part.rest
            if not cursor:
                break
    assert sorted(walked) == seqs
    assert pages == 5
