"""Which signals act: a table of cases, and the law that a share only grows."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import HOUR
from koban.packs import (
    Block,
    Hide,
    Mode,
    ModeName,
    Restrict,
    Review,
    RuleDef,
    Source,
    Suspend,
    Warn,
)
from koban.rules import (
    Applied,
    Circumstance,
    Disposition,
    Limited,
    LiveModes,
    ModeChanged,
    ReviewAllSwitched,
    Signal,
    SnoozeSet,
    Why,
    Withheld,
    harms,
    in_share,
    select,
)
from koban.rules.types import BudgetTripped, ModeChange

AT = 1_768_446_000_000_000
SCAMS = Review(queue="scams")
DEFAULT = Review(queue="default")
SUSPEND = Suspend(for_us=None)
LIVE, SHADOW, REVIEW, OFF = (
    Mode(name=name) for name in (ModeName.LIVE, ModeName.SHADOW, ModeName.REVIEW, ModeName.OFF)
)
ORDINARY, LATE, OVERDUE, IMPORTED = Circumstance


def rule(mode: Mode = LIVE, *, then: tuple[Hide | Warn | Review | Suspend | Block | Restrict, ...]) -> RuleDef:
    return RuleDef(
        name="lures",
        policy="fraud",
        on=("message.sent",),
        when="true",
        then=then,
        mode=mode,
        cap_per_hour=10,
        because={"en": "x", "ja": "x"},
        source=Source(file="rules/x.yaml", line=1),
    )


def disposed(
    given: RuleDef, *changes: ModeChange, circumstance: Circumstance = ORDINARY, account: str | None = "acct_1"
) -> Disposition | None:
    modes = LiveModes()
    for seq, change in enumerate(changes):
        modes.apply(seq, change)
    signals = select([given], modes, account=account, at=AT, circumstance=circumstance, default_queue="default")
    return signals[0].disposition if signals else None


def to(mode: Mode | None) -> ModeChanged:
    return ModeChanged(rule="lures", mode=mode, by="staff_1", reason="test")


ALL_TO_REVIEW = ReviewAllSwitched(on=True, by="staff_1", reason="test")
TRIPPED = BudgetTripped(rule="lures", harmed=10, cause_seq=7)
SNOOZED = SnoozeSet(rule="lures", subject="acct_1", until=AT + HOUR, by="staff_1", reason="test")  # type: ignore[arg-type]
FULL = (Hide(), SUSPEND, SCAMS)


@pytest.mark.parametrize(
    ("given", "changes", "circumstance", "expected"),
    [
        (rule(then=FULL), [], ORDINARY, Applied(then=FULL)),
        (rule(OFF, then=FULL), [], ORDINARY, None),
        (rule(SHADOW, then=FULL), [], ORDINARY, Withheld(why=Why.SHADOW)),
        (rule(REVIEW, then=FULL), [], ORDINARY, Limited(then=(SCAMS,), why=Why.REVIEW_MODE)),
        (rule(REVIEW, then=(Hide(),)), [], ORDINARY, Limited(then=(DEFAULT,), why=Why.REVIEW_MODE)),
        (rule(SHADOW, then=FULL), [to(LIVE)], ORDINARY, Applied(then=FULL)),
        (rule(then=FULL), [to(OFF)], ORDINARY, None),
        (rule(then=FULL), [to(OFF), to(None)], ORDINARY, Applied(then=FULL)),
        (rule(then=FULL), [ALL_TO_REVIEW], ORDINARY, Limited(then=(SCAMS,), why=Why.REVIEW_ALL)),
        (rule(SHADOW, then=FULL), [ALL_TO_REVIEW], ORDINARY, Withheld(why=Why.SHADOW)),
        (rule(then=FULL), [TRIPPED], ORDINARY, Limited(then=(SCAMS,), why=Why.BUDGET_TRIPPED)),
        (rule(then=FULL), [TRIPPED, to(LIVE)], ORDINARY, Applied(then=FULL)),
        (rule(then=FULL), [TRIPPED, to(OFF)], ORDINARY, None),
        (rule(then=FULL), [SNOOZED], ORDINARY, Withheld(why=Why.SNOOZED)),
        (rule(then=FULL), [], LATE, Limited(then=(Hide(), SCAMS), why=Why.LATE)),
        (rule(then=(Block(), SUSPEND)), [], LATE, Limited(then=(Block(), DEFAULT), why=Why.LATE)),
        (rule(then=(Hide(), SCAMS)), [], LATE, Applied(then=(Hide(), SCAMS))),
        (rule(then=FULL), [], OVERDUE, Limited(then=(SCAMS,), why=Why.OVERDUE)),
        (rule(SHADOW, then=FULL), [], OVERDUE, Withheld(why=Why.SHADOW)),
        (rule(then=FULL), [], IMPORTED, Withheld(why=Why.IMPORTED)),
    ],
)
def test_what_becomes_of_a_signal(
    given: RuleDef, changes: list[ModeChange], circumstance: Circumstance, expected: Disposition | None
) -> None:
    assert disposed(given, *changes, circumstance=circumstance) == expected


def test_a_snooze_is_for_one_account_and_ends() -> None:
    modes = LiveModes()
    modes.apply(1, SNOOZED)
    assert modes.snoozed("lures", "acct_1", AT + HOUR - 1)
    assert not modes.snoozed("lures", "acct_1", AT + HOUR)
    assert not modes.snoozed("lures", "acct_2", AT)


def test_a_snooze_of_a_listing_or_device_is_for_that_kind_alone() -> None:
    modes = LiveModes()
    assert not modes.has_snoozes()
    modes.apply(1, msgspec.structs.replace(SNOOZED, kind="listing", subject="item_1"))
    assert modes.has_snoozes()

    def found(*subjects: tuple[str, str], account: str | None = "acct_1") -> Disposition:
        (signal,) = select(
            [rule(then=FULL)], modes, account=account, at=AT, circumstance=ORDINARY, default_queue="default",
            subjects=subjects,
        )  # fmt: skip
        return signal.disposition

    assert found(("listing", "item_1")) == Withheld(why=Why.SNOOZED)
    assert found(("device", "d"), ("listing", "item_1"), account=None) == Withheld(why=Why.SNOOZED)
    assert found(("listing", "item_2")) == found(("device", "item_1")) == Applied(then=FULL)
    assert found(account="item_1") == Applied(then=FULL)


def test_a_share_leaves_out_who_is_not_in_it_and_events_without_an_account() -> None:
    tenth = rule(Mode(name=ModeName.LIVE, basis_points=1_000), then=FULL)
    found = {account: disposed(tenth, account=account) for account in (f"acct_{n}" for n in range(2_000))}
    inside = [account for account, disposition in found.items() if disposition == Applied(then=FULL)]
    assert set(map(str, found.values())) == {str(Applied(then=FULL)), str(Withheld(why=Why.OUTSIDE_SHARE))}
    assert 150 < len(inside) < 250
    assert disposed(tenth, account=None) == Withheld(why=Why.OUTSIDE_SHARE)
    assert disposed(rule(then=FULL), account=None) == Applied(then=FULL)


def test_who_is_in_a_share_never_changes_between_releases() -> None:
    accounts = [f"acct_{n}" for n in range(20)]
    assert [account for account in accounts if in_share("lures", account, 2_500)] == ["acct_4", "acct_15"]
    assert [account for account in accounts if in_share("other", account, 2_500)] == [
        "acct_0",
        "acct_5",
        "acct_6",
        "acct_7",
        "acct_9",
        "acct_10",
        "acct_14",
        "acct_15",
        "acct_19",
    ]


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_larger_share_holds_every_smaller_one(name: str, account: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert not in_share(name, account, small) or in_share(name, account, large)
    assert in_share(name, account, 10_000)


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        (Applied(then=(Hide(),)), True),
        (Applied(then=(Warn(target="recipient"), SCAMS)), False),
        (Limited(then=(SCAMS,), why=Why.REVIEW_ALL), False),
        (Limited(then=(Hide(), SCAMS), why=Why.LATE), True),
        (Withheld(why=Why.SHADOW), False),
    ],
)
def test_warnings_and_cases_harm_nobody(disposition: Disposition, expected: bool) -> None:  # noqa: FBT001
    assert harms(Signal(rule="lures", policy="fraud", disposition=disposition)) is expected
