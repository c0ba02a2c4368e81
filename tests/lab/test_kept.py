"""What was kept of backtests: the newest whole one of each version, and which rules of a switch it speaks of."""

import msgspec
import pytest
from tests.lab.test_severity import FILES, OLD

from koban.base import Instant
from koban.db import Database
from koban.insight import Measured, Share
from koban.lab import Report, RuleFigures, Sample, Total, kept
from koban.lab.kept import keep_report, kept_report, kept_run, touched_rules
from koban.packs import parse_files, save_activation

NOTHING = Share(hits=0, of=0, value=None, low=None, high=None)
MEASURED = Measured(
    name="any rule", flagged=1, true=0, false=0, unknown=1, precision=NOTHING, recall=NOTHING, false_alarms=NOTHING
)
SAMPLE = Sample(seq=1, event_id="e1", type="message.sent", at="", acting="a1", truth="unknown", rules=(), fields={})


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("rules/rules.yaml", "mentions(text, 'lures') AND NOT", "mentions(text, 'lures') OR NOT", {"lure"}),
        ("rules/rules.yaml", "mode: shadow", "mode: live", {"many_recipients"}),
        ("rules/rules.yaml", "[hide, {warn: recipient}]", "[hide, block]", {"lure"}),
        ("rules/rules.yaml", "- rule: big_payout", "- rule: large_payout", {"large_payout"}),
        ("rules/rules.yaml", "cap: 5 per hour", "cap: 6 per hour", set()),
        ("rules/rules.yaml", "a large payout", "a very large payout", set()),
        ("definitions.yaml", "messages_1h >= 3", "messages_1h >= 1", {"lure_again"}),
        ("features.yaml", "within: 1 hour", "within: 2 hours", {"lure_again"}),  # through `often`
        ("policies.yaml", "freeze_payout: 72 hours", "freeze_payout: 73 hours", set()),
    ],
)
def test_the_rules_that_a_change_touches(file: str, old: str, new: str, found: set[str]) -> None:
    assert old in FILES[file], old
    assert touched_rules(OLD, parse_files(FILES | {file: FILES[file].replace(old, new, 1)})) == found


def test_a_report_is_kept_without_its_samples_and_the_next_takes_its_place(database: Database) -> None:
    report = reported("a" * 64)
    with database.write() as tx:
        keep_report(tx, Instant(1), "run_1", report)
        assert kept_report(tx, "b" * 64) is None
        assert kept_run(tx, "run_2") is None
    with database.write() as tx:
        found = kept_report(tx, "a" * 64)
        assert found == kept_run(tx, "run_1")
        assert found == kept.Kept(run_id="run_1", report=msgspec.structs.replace(report, caught_samples=()))
        keep_report(tx, Instant(2), "run_2", msgspec.structs.replace(report, hours=99))
        assert kept_run(tx, "run_1") is None
        again = kept_report(tx, "a" * 64)
    assert again is not None
    assert (again.run_id, again.report.hours) == ("run_2", 99)


@pytest.mark.parametrize(("rules", "hours", "newest"), [(("a", "b"), 24, 2), (("a",), 99, 1), (("a", "b"), 23, 1)])
def test_a_backtest_that_tells_less_takes_no_place(
    database: Database, rules: tuple[str, ...], hours: int, newest: int
) -> None:
    first = msgspec.structs.replace(reported("a" * 64), rules=(figures("a"), figures("b")))
    second = msgspec.structs.replace(first, hours=hours, rules=tuple(figures(each) for each in rules))
    with database.write() as tx:
        keep_report(tx, Instant(1), "run_1", first)
        keep_report(tx, Instant(2), "run_2", second)
        found = kept_report(tx, "a" * 64)
    assert found is not None
    assert found.run_id == f"run_{newest}"


def test_what_was_only_tried_goes_and_what_came_into_force_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "UNUSED_MAX", 2)
    with database.write() as tx:
        save_activation(tx, 1, Instant(1), OLD, author="a", reason="b")
        keep_report(tx, Instant(0), "run_0", reported(OLD.digest))
        for number in range(1, 5):
            keep_report(tx, Instant(number), f"run_{number}", reported(str(number) * 64))
        assert [number for number in range(5) if kept_run(tx, f"run_{number}")] == [0, 3, 4]


def figures(rule: str) -> RuleFigures:
    return RuleFigures(
        rule=rule, mode="live", changed="added", engine="sql", why_live="", measured=MEASURED, people=1, honest_people=0,
        person_hours=1, also_old=0, overlaps=(), before=None,
    )  # fmt: skip


def reported(digest: str) -> Report:
    """A report of one version over 30 hours."""
    return Report(
        log="", pack=digest, against=None, since="", until="", days=1.25, hours=30, events=1, harmful=0, honest=0,
        engines={}, before=None, test_part=None, rules=(), removed=(), left_out={}, work=(), per_day=(),
        total=Total(hits=1, measured=MEASURED, people=1, honest_people=0, harmful_people=NOTHING, caught=()),
        caught_samples=(SAMPLE,), freed_samples=(), harm_from="nothing", bounded=False, took_s=0.1,
    )  # fmt: skip
