"""Labels: who says what, and whose word counts."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import HOUR, Instant
from koban.db import Database
from koban.labels import LabelInvalid, LabelSet, LabelSource, LiveLabels, all_labels, labels_of, set_label
from koban.language import NEVER

AT = Instant(1_768_446_000_000_000)
PERSON, IMPORT, AUTOMATION = LabelSource.PERSON, LabelSource.IMPORT, LabelSource.AUTOMATION


def label(
    value: str | None, source: LabelSource = PERSON, *, subject: str = "acct_1", expires_at: int | None = None
) -> LabelSet:
    return LabelSet(
        subject_kind="account",
        subject_id=subject,
        label="truth",
        value=value,
        source=source,
        by="staff_1",
        expires_at=None if expires_at is None else Instant(expires_at),
    )


def truth(live: LiveLabels, at: int = AT) -> str | None:
    return live.value("account", "acct_1", "truth", at)


@pytest.mark.parametrize(
    ("changes", "at", "expected"),
    [
        ([], AT, None),
        ([label("fraud", AUTOMATION)], AT, "fraud"),
        ([label("honest", PERSON), label("fraud", AUTOMATION)], AT, "honest"),
        ([label("fraud", AUTOMATION), label("honest", IMPORT)], AT, "honest"),
        ([label("honest", IMPORT), label("fraud", PERSON)], AT, "fraud"),
        ([label("honest"), label("fraud")], AT, "fraud"),
        ([label("honest"), label("fraud", AUTOMATION), label(None)], AT, None),
        ([label("honest"), label(None), label("fraud", AUTOMATION)], AT, "fraud"),
        ([label("honest"), label(None, AUTOMATION)], AT, "honest"),
        ([label("honest", expires_at=AT + HOUR), label("fraud", AUTOMATION)], AT + HOUR - 1, "honest"),
        ([label("honest", expires_at=AT + HOUR), label("fraud", AUTOMATION)], AT + HOUR, None),
        ([label("honest", expires_at=AT - 1), label("fraud", AUTOMATION)], AT, "fraud"),
        ([label("honest"), label(None)], AT, None),
        ([label(None)], AT, None),
    ],
)
def test_a_word_stands_until_a_source_as_strong_speaks_or_it_expires(
    changes: list[LabelSet], at: int, expected: str | None
) -> None:
    live = LiveLabels()
    for change in changes:
        live.apply(change, AT)
    assert truth(live, at) == expected


_changes = st.builds(
    lambda value, source, subject, expiry: label(value, source, subject=subject, expires_at=expiry),
    st.sampled_from(["fraud", "honest", None]),
    st.sampled_from(list(LabelSource)),
    st.sampled_from(["acct_1", "acct_2"]),
    st.none() | st.integers(AT, AT + 5),
)


@given(st.lists(_changes, max_size=10), st.integers(0, 10), st.integers(AT, AT + 5))
def test_undoing_in_reverse_order_gives_the_state_before(changes: list[LabelSet], kept: int, at: int) -> None:
    whole, part = LiveLabels(), LiveLabels()
    undos = [whole.apply(change, AT) for change in changes]
    for undo in reversed(undos[kept:]):
        undo()
    for change in changes[:kept]:
        part.apply(change, AT)
    assert whole._standing == part._standing
    assert whole.words == part.words
    assert truth(whole, at) == truth(part, at)


def test_the_table_gives_the_same_view_as_the_entries(database: Database) -> None:
    live = LiveLabels()
    changes = [label("fraud", AUTOMATION), label("honest"), label("fraud", subject="acct_2"), label(None)]
    with database.write() as tx:
        for seq, change in enumerate(changes, start=1):
            set_label(tx, seq, AT, change)
            live.apply(change, AT)
    loaded = LiveLabels()
    with database.read() as tx:
        loaded.load(tx)
        newest = labels_of(tx, "account", "acct_1")
    assert loaded._standing == live._standing
    assert loaded.words == live.words == {("acct_2", "fraud"): NEVER}
    assert truth(loaded) is None
    assert [(row.seq, row.value, row.source) for row in newest] == [
        (4, None, PERSON),
        (2, "honest", PERSON),
        (1, "fraud", AUTOMATION),
    ]


def test_rules_read_the_values_of_account_labels_alone() -> None:
    live = LiveLabels()
    live.apply(label("fraud", expires_at=AT + HOUR), AT)
    live.apply(msgspec.structs.replace(label("fraud"), label="chargebacks"), AT)
    live.apply(msgspec.structs.replace(label("fraud", subject="order_1"), subject_kind="order"), AT)
    assert live.words == {("acct_1", "fraud"): NEVER}
    live.apply(msgspec.structs.replace(label(None), label="chargebacks"), AT)
    assert live.words == {("acct_1", "fraud"): AT + HOUR}
    live.apply(label("honest"), AT)
    assert live.words == {("acct_1", "honest"): NEVER}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (label("guilty"), "/value"),
        (label("Fraud"), "/value"),
        (label("fraud", subject=""), "/subject_id"),
        (label("fraud", subject="a\nb"), "/subject_id"),
        (label("fraud", expires_at=AT), "/expires_at"),
    ],
)
def test_a_label_that_cannot_be_used_is_refused_and_changes_nothing(
    database: Database, change: LabelSet, path: str
) -> None:
    with database.write() as tx, pytest.raises(LabelInvalid) as caught:
        set_label(tx, 1, AT, change)
    assert path in [problem.path for problem in caught.value.problems]
    with database.read() as tx:
        assert list(all_labels(tx)) == []
