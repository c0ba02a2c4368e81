"""What needs a second person, and what only makes things milder: a table of changes to a small pack."""

import pathlib

import msgspec
import pytest
from tests.app.conftest import SMALL_PACK

from koban.lab.severity import is_severe, only_milder, severe_changes
from koban.packs import files_of, parse_files

FILES = dict(files_of(SMALL_PACK))
FILES["policies.yaml"] = FILES["policies.yaml"].replace("severity: medium", "severity: severe")
FILES["definitions.yaml"] = (
    "- define: often\n  as: messages_1h >= 3\n  about: {en: Writes often, ja: 頻繁に送信}\n"
    "- define: rarely_used\n  as: amount_minor > 5\n  about: {en: Large, ja: 高額}\n"
)
FILES["rules/rules.yaml"] = FILES["rules/rules.yaml"].replace("AND messages_1h >= 3", "AND often")
OLD = parse_files(FILES)


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("rules/rules.yaml", "mentions(text, 'lures') AND NOT", "mentions(text, 'lures') OR NOT", ("rules lure", False)),
        ("rules/rules.yaml", "mode: live", "mode: shadow", ("rules lure", True)),
        ("rules/rules.yaml", "mode: live", "mode: {live: 10%}", ("rules lure", True)),
        ("rules/rules.yaml", "mode: shadow", "mode: review", ("rules many_recipients", False)),
        ("rules/rules.yaml", "cap: 5 per hour", "cap: 4 per hour", ("rules lure", True)),
        ("rules/rules.yaml", "cap: 5 per hour", "cap: 6 per hour", ("rules lure", False)),
        ("rules/rules.yaml", "[hide, {warn: recipient}]", "[{warn: recipient}]", ("rules lure", True)),
        ("rules/rules.yaml", "[hide, {warn: recipient}]", "[hide, block]", ("rules lure", False)),
        ("rules/rules.yaml", "policy: fraud/lure", "policy: fraud/money", ("rules lure", False)),
        ("rules/rules.yaml", "amount_minor >= 100000", "amount_minor >= 1", None),
        ("policies.yaml", "restrict: messaging, for: 24 hours", "restrict: messaging, for: 1 hour",
         ("policies fraud/lure", False)),
        ("policies.yaml", "severity: severe", "severity: low", ("policies fraud/lure", False)),
        ("policies.yaml", "freeze_payout: 72 hours", "freeze_payout: 73 hours", None),
        ("definitions.yaml", "messages_1h >= 3", "messages_1h >= 1", ("definitions often", False)),
        ("definitions.yaml", "amount_minor > 5", "amount_minor > 6", None),
        ("features.yaml", "within: 1 hour", "within: 2 hours", ("features messages_1h", False)),  # through `often`
        ("features.yaml", "sum(amount_minor)", "max(amount_minor)", None),
    ],
)  # fmt: skip
def test_a_change(file: str, old: str, new: str, found: tuple[str, bool] | None) -> None:
    assert old in FILES[file], old
    pack = parse_files(FILES | {file: FILES[file].replace(old, new, 1)})
    changes = severe_changes(OLD, pack)
    assert [(f"{each.section} {each.name}", each.milder) for each in changes] == ([] if found is None else [found])
    assert is_severe(OLD, pack) is (found is not None)
    assert only_milder(changes) is (found is None or found[1])


def test_a_list_entry_that_a_severe_rule_reads_is_severe_and_a_new_field_is_not() -> None:
    pack = parse_files(FILES)
    lists = dict(pack.lists)
    lists["lures"] = msgspec.structs.replace(lists["lures"], entries=(*lists["lures"].entries, "振込"))
    assert [str(each) for each in severe_changes(OLD, msgspec.structs.replace(pack, lists=lists))] == [
        "changed lists lures"
    ]
    events = dict(pack.events)
    sent = events["message.sent"]
    extra = {**sent.fields, "channel": msgspec.structs.replace(next(iter(sent.fields.values())), path="channel")}
    events["message.sent"] = msgspec.structs.replace(sent, fields=extra)
    assert severe_changes(OLD, msgspec.structs.replace(pack, events=events)) == ()
    fewer = {path: field for path, field in sent.fields.items() if path != "text"}
    events["message.sent"] = msgspec.structs.replace(sent, fields=fewer)
    assert [str(each) for each in severe_changes(OLD, msgspec.structs.replace(pack, events=events))] == [
        "changed events message.sent"
    ]


STARTER = files_of(pathlib.Path(__file__).parents[2] / "packs" / "starter")


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("postings.yaml", "fee: {zero: true, at_most: amount}", "fee: {at_most: amount - 1}", ["changed postings order_completed"]),
        ("postings.yaml", "An order was paid by card", "Paid by card", []),
        ("ledger.yaml", "phone: {count: 5,", "phone: {count: 4,", ["changed limits cash_in_day"]),
        ("ledger.yaml", "most_minor: 1000000", "most_minor: 2000000", ["changed books wallet"]),
        ("ledger.yaml", "Bank account", "Our bank", []),
        ("ledger.yaml", "time_zone: Asia/Tokyo", "time_zone: UTC", ["changed ledger time_zone"]),
    ],
)  # fmt: skip
def test_where_money_goes_and_how_much_may_go_needs_a_second_person(
    file: str, old: str, new: str, found: list[str]
) -> None:
    assert old in STARTER[file], old
    changes = severe_changes(parse_files(STARTER), parse_files({**STARTER, file: STARTER[file].replace(old, new, 1)}))
    assert [str(each) for each in changes] == found
    assert only_milder(changes) is (not found)
