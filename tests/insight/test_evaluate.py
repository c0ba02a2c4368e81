"""What an evaluation says, against counting by hand."""

import random

import pytest

from koban.db import Database, Tx
from koban.insight import NotReplayed, evaluate, render
from koban.insight.store import insert_truth

RULES = {"lure": "fraud", "link": "fraud", "insult": "harassment"}
Labelled = tuple[int, bool | None, bool, tuple[str, ...], tuple[str, ...]]  # number, harmful, test, fired, in shadow


def made_up(randomness: random.Random, count: int) -> list[Labelled]:
    rows: list[Labelled] = []
    for number in range(count):
        harmful = randomness.choice([True, False, False, None])
        fired = tuple(name for name in RULES if randomness.random() < 0.2)
        shadow = tuple(name for name in RULES if name not in fired and randomness.random() < 0.2)
        rows.append((number, harmful, randomness.random() < 0.3, fired, shadow))
    return rows


def fill(tx: Tx, rows: list[Labelled]) -> None:
    tx.many(
        "INSERT INTO log_entries (seq, log_at, received_at, kind, type, source, event_id, event_at, data, flags)"
        " VALUES (?, 1, 1, 'event', 'message.sent', 's', ?, 1, '{}', 0)",
        [(number, f"e{number}") for number, *_ in rows],
    )
    tx.many(
        "INSERT INTO decisions (seq, log_at, type, verdict, took_us, body, inputs) VALUES (?, 1, 'message.sent', 'allow', 0, ?, ?)",
        [(number, "{}", '{"features":{},"pack":"abcdef0123456789"}') for number, *_ in rows],
    )
    tx.many(
        "INSERT INTO signals (seq, rule, log_at, policy, applied, withheld) VALUES (?, ?, 1, ?, ?, ?)",
        [
            (number, name, RULES[name], int(name in fired), "" if name in fired else "shadow")
            for number, _, _, fired, shadow in rows
            for name in (*fired, *shadow)
        ],
    )
    insert_truth(
        tx,
        [
            (f"e{number}", None if harmful is None else int(harmful), "kind" if number % 2 else None, int(test))
            for number, harmful, test, _, _ in rows
        ],
    )


@pytest.mark.parametrize("seed", range(3))
def test_an_evaluation_counts_what_counting_by_hand_counts(database: Database, seed: int) -> None:
    rows = made_up(random.Random(seed), 200)
    with database.write() as tx:
        fill(tx, rows)
    found = evaluate(database, log="made_up")
    assert (found.events, found.decided, found.pack) == (200, 200, "abcdef0123456789")
    for part, is_test in ((found.train, False), (found.test, True)):
        of = [row for row in rows if row[2] is is_test]
        assert part.rows == len(of)
        assert part.harmful == sum(row[1] is True for row in of)
        assert part.honest == sum(row[1] is False for row in of)
        assert part.unlabelled == sum(row[1] is None for row in of)
        flagged = [row for row in of if row[3]]
        assert part.flagged.flagged == len(flagged)
        assert part.flagged.true == sum(row[1] is True for row in flagged)
        assert part.flagged.false == sum(row[1] is False for row in flagged)
        assert part.flagged.recall.of == part.harmful
        assert part.flagged.false_alarms.of == part.honest
        for name in RULES:
            (one,) = [each for each in part.rules if each.name == name]
            assert one.true == sum(row[1] is True for row in of if name in row[3])
            assert one.false == sum(row[1] is False for row in of if name in row[3])
            assert one.unknown == sum(row[1] is None for row in of if name in row[3])
        (fraud,) = [each for each in part.policies if each.name == "fraud"]
        assert fraud.flagged == sum({"lure", "link"} & set(row[3]) != set() for row in of)
    ((kind, share),) = found.test.kinds
    odd = [row for row in rows if row[2] and row[0] % 2]
    assert (kind, share.hits, share.of) == ("kind", sum(bool(row[3]) for row in odd), len(odd))


def test_a_log_that_no_pack_ran_over_has_no_figures(database: Database) -> None:
    with pytest.raises(NotReplayed, match="koban replay nothing"):
        evaluate(database, log="nothing")


def test_the_table_shows_each_share_with_its_interval(database: Database) -> None:
    with database.write() as tx:
        fill(tx, [(1, True, True, ("lure",), ()), (2, True, True, (), ()), (3, False, True, ("insult",), ())])
    text = render(evaluate(database, log="three"))
    assert (
        "| test | 3 | 2 | 1 | 2 | 50.0 % (9.5–90.5), 1/2 | 50.0 % (9.5–90.5), 1/2 | 100.0 % (20.7–100.0), 1/1 |" in text
    )
    assert "| train | 0 | 0 | 0 | 0 | – | – | – |" in text
    assert "| harassment | 1 | 0.0 % (0.0–79.3), 0/1 |" in text
