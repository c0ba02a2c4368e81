"""Comparing versions: what was added, removed and changed, and nothing that only moved."""

import pathlib

import pytest

from koban.ledger import Chart, LedgerDef
from koban.packs import Difference, PackDef, compare_packs, files_of, parse_files

FILES = files_of(pathlib.Path(__file__).parent / "small")
OLD = parse_files(FILES)


def test_a_pack_does_not_differ_from_itself_moved_down_a_line() -> None:
    assert (
        compare_packs(
            OLD, parse_files({name: text if name.endswith("txt") else "\n" + text for name, text in FILES.items()})
        )
        == ()
    )


def test_what_was_added_removed_and_changed_is_listed_by_section_and_name() -> None:
    files = dict(FILES)
    files["features.yaml"] = files["features.yaml"].replace("within: 1 hour", "within: 2 hours")
    files["lists/lures.txt"] += "アマギフ\n"
    files["queues.yaml"] += "- {queue: goods, title: {en: Goods, ja: 商品}, due: 1 day}\n"
    start = files["rules/scams.yaml"].index("- rule: many_recipients")
    files["rules/scams.yaml"] = (
        files["rules/scams.yaml"][:start].replace("{live: 10%}", "live").replace("50 per", "60 per")
    )
    start = files["cases/scams.yaml"].index("- rule: many_recipients")
    files["cases/scams.yaml"] = files["cases/scams.yaml"][:start]
    assert compare_packs(OLD, parse_files(files)) == (
        Difference(section="features", name="messages_1h", kind="changed", fields=("within_us",)),
        Difference(section="lists", name="lures", kind="changed", fields=("entries",)),
        Difference(section="queues", name="goods", kind="added"),
        Difference(section="rules", name="many_recipients", kind="removed"),
        Difference(section="rules", name="off_platform", kind="changed", fields=("mode", "cap_per_hour")),
    )


STARTER = files_of(pathlib.Path(__file__).parents[2] / "packs" / "starter")
WHOLE = parse_files(STARTER)


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("ledger.yaml", "time_zone: Asia/Tokyo", "time_zone: UTC", ("ledger", "time_zone", ())),
        ("ledger.yaml", "levels: [none, phone, identity]", "levels: [none, identity, phone]",
         ("ledger", "levels", ())),
        ("ledger.yaml", "most_minor: 1000000", "most_minor: 2000000", ("books", "wallet", ("most_minor",))),
        ("ledger.yaml", "phone: {count: 5,", "phone: {count: 6,", ("limits", "cash_in_day", ("levels",))),
        ("postings.yaml", "{book: escrow, of: order, amount: amount}", "{book: escrow,  of: order, amount: amount}", None),
        ("postings.yaml", "An order was paid by card", "Paid by card", ("postings", "order_paid_card", ("about",))),
        ("postings.yaml", "fee: {zero: true, at_most: amount}", "fee: {at_most: amount - 1}", ("postings", "order_completed", ("parameters",))),
    ],
)  # fmt: skip
def test_a_change_of_money_is_a_change(
    file: str, old: str, new: str, found: tuple[str, str, tuple[str, ...]] | None
) -> None:
    assert old in STARTER[file], old
    differences = compare_packs(WHOLE, parse_files({**STARTER, file: STARTER[file].replace(old, new, 1)}))
    assert [(each.section, each.name, each.fields) for each in differences] == ([found] if found else [])


def test_nothing_that_a_pack_says_is_left_out_of_the_comparison() -> None:
    compared = {"events", "features", "definitions", "scores", "policies", "lists", "calendars", "queues", "rules"}
    assert set(PackDef.__struct_fields__) == compared | {"ledger", "payments"} | {
        "name", "version", "digest", "files",  # which version it is, not what it says
        "about", "cases",  # change nothing of what is decided
    }  # fmt: skip
    assert set(LedgerDef.__struct_fields__) == {"chart", "levels", "templates", "limits", "cases"}
    assert set(Chart.__struct_fields__) == {"kinds", "time_zone"}
