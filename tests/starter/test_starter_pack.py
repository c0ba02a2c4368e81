"""The starter pack keeps what its page promises; its figures stand in docs/starter-pack-results.md."""

import os
import pathlib
import unicodedata
from typing import TYPE_CHECKING

import pytest

from koban.packs import FreezePayout, ModeName, PackDef, Restrict, Strike, Suspend
from koban.rules import check_pack, describe_failure, run_cases

if TYPE_CHECKING:
    from tests.starter.conftest import Measured

RESULTS = pathlib.Path(__file__).parents[2] / "docs" / "starter-pack-results.md"


def test_every_expression_of_the_pack_is_sound(pack: PackDef) -> None:
    assert check_pack(pack) == ()


def test_every_case_goes_as_it_must(pack: PackDef) -> None:
    report = run_cases(pack)
    told = [describe_failure(pack, failure) for result in report.rules for failure in result.failed]
    assert report.faults == ()
    assert told == []


def test_the_pack_is_as_large_as_promised(pack: PackDef) -> None:
    assert len(pack.rules) >= 75
    assert len(pack.features) >= 55
    assert len(pack.policies) >= 50
    assert sum(rule.mode.name is ModeName.LIVE for rule in pack.rules.values()) >= 70


def test_what_is_severe_never_ends_in_a_mere_notice(pack: PackDef) -> None:
    parents = {name.rpartition("/")[0] for name in pack.policies}
    severe = [each for each in pack.policies.values() if each.severity == "severe" and each.name not in parents]
    assert {"safety/child", "safety/threat", "goods/drugs", "account/mule", "fraud/phishing"} <= {
        each.name for each in severe
    }
    first = {each.name: each.ladder[0].action if each.ladder else None for each in severe}
    assert [name for name, action in first.items() if not isinstance(action, Suspend | Restrict | FreezePayout)] == []
    assert first["safety/child"] == Suspend(for_us=None)
    assert [each.name for each in severe if not each.second_person] == []


# The forty rules of the first day of a marketplace in Japan, by number, and what the pack calls them.
FIRST_DAY = {
    1: ("off_platform_payment", "off_platform_repeated"), 2: ("outside_contact", "contact_in_profile"),
    3: ("split_contact",), 4: ("prepayment",), 5: ("extra_charge",), 6: ("early_rating",), 7: ("rating_extortion",),
    8: ("empty_ship_notice", "empty_ship_payout"), 9: ("direct_return",), 10: ("fake_claim",),
    11: ("triangulation_scan", "triangulation_report"), 12: ("senyo_empty",), 13: ("not_for_sale",), 14: ("no_stock",),
    15: ("newline_trick",), 16: ("copy_words", "copy_words_repeated"), 17: ("hedge_brand",), 18: ("tcg_proxy",),
    19: ("cash_listing",), 20: ("gift_codes", "gift_codes_message"), 21: ("cash_out_credit",), 22: ("medicine",),
    23: ("drugs", "drugs_listing"), 24: ("adult_used",), 25: ("child_safety", "minor_host_contact", "known_bad_image"),
    26: ("ticket_resale",), 27: ("recalled_goods",), 28: ("account_rental",), 29: ("yami_baito",),
    30: ("takeover_payout",), 31: ("takeover_burst",), 32: ("staff_impersonation", "staff_in_profile"),
    33: ("card_test", "chargeback_cluster"), 34: ("self_dealing_order", "self_dealing_rating", "self_dealing_ring"),
    35: ("live_raid", "live_devices"), 36: ("live_contact", "live_contact_repeat"), 37: ("shill_bid", "shill_bid_watch"),
    38: ("oripa_gamble", "live_gambling"), 39: ("return_mismatch",), 40: ("serial_claimant",),
}  # fmt: skip


def test_all_forty_rules_of_the_first_day_are_there_with_cases_and_a_policy(pack: PackDef) -> None:
    assert sorted(FIRST_DAY) == list(range(1, 41))
    named = [rule for rules in FIRST_DAY.values() for rule in rules]
    assert [rule for rule in named if rule not in pack.rules] == []
    matching = {case.rule for case in pack.cases if case.matches}
    sparing = {case.rule for case in pack.cases if not case.matches}
    assert [rule for rule in named if rule not in matching & sparing] == []
    live = {number for number, rules in FIRST_DAY.items()
            if any(pack.rules[rule].mode.name is ModeName.LIVE for rule in rules)}  # fmt: skip
    assert set(FIRST_DAY) - live == {3}, "a number cut into pieces is only watched until you have seen its hits"


def test_there_are_enough_lines_and_hard_negatives(pack: PackDef, held_out: PackDef, held_out_last: PackDef) -> None:
    texts: dict[tuple[str, bool], set[str]] = {}
    for each in (pack, held_out, held_out_last):
        for case in each.cases:
            if case.family:
                line = " ".join(str(case.data.get(path, "")) for path in each.events[case.event_type].texts)
                texts.setdefault((_language(line), case.matches), set()).add(line)
    for language, wanted in (("ja", 2_000), ("en", 1_000)):
        lines = len(texts[language, True] | texts[language, False])
        assert lines >= wanted
        assert len(texts[language, False]) >= 0.4 * lines


def test_no_held_out_line_is_also_a_line_of_the_pack(pack: PackDef, held_out: PackDef, held_out_last: PackDef) -> None:
    def lines(of: PackDef) -> set[tuple[str, str]]:
        return {
            (case.rule, unicodedata.normalize("NFKC", str(case.data[path])).lower())
            for case in of.cases
            if case.family
            for path in of.events[case.event_type].texts
            if path in case.data
        }

    assert lines(pack) & (lines(held_out) | lines(held_out_last)) == set()


def test_people_are_addressed_in_both_languages(pack: PackDef) -> None:
    for policy in pack.policies.values():
        assert policy.title["ja"] != policy.title["en"]
        assert _language(policy.title["ja"]) == _language(policy.text["ja"]) == "ja"
        assert _language(policy.title["en"]) == _language(policy.text["en"]) == "en"
    for rule in pack.rules.values():
        assert _language(rule.because["ja"]) == "ja"
        assert _language(rule.because["en"]) == "en"


def test_a_phrase_alone_never_touches_an_account(pack: PackDef) -> None:
    touching = {
        rule.name
        for rule in pack.rules.values()
        if any(isinstance(action, Strike | Restrict | Suspend | FreezePayout) for action in rule.then)
    }
    for case in pack.cases:
        if case.rule in touching and case.matches:
            assert case.features, f"{case.source.file}:{case.source.line}: {case.rule} matches without any history"


def test_every_policy_that_strikes_has_mild_first_steps(pack: PackDef) -> None:
    for policy in pack.policies.values():
        if policy.ladder and policy.severity != "severe":
            first = policy.ladder[0].action
            assert not isinstance(first, Suspend), policy.name


def test_honest_lines_pass_every_live_rule(measured: "Measured") -> None:
    flagged = [f"{rule}: {case.data} ({case.source.file}:{case.source.line})" for case, rule in measured.flagged]
    assert flagged == []


def test_held_out_lines_are_found_and_honest_ones_spared(
    measured_strictly: "Measured", measured_last: "Measured"
) -> None:
    """Floors a little under what was measured, so that a change of the language or the lists cannot lose it unseen."""
    for measured, language, recall, alarms in (
        (measured_strictly, "ja", 0.7, 0.05),
        (measured_strictly, "en", 0.55, 0.15),
        (measured_last, "ja", 0.8, 0.03),
        (measured_last, "en", 0.7, 0.04),
    ):
        figures = measured.languages[language]
        assert figures.found / figures.lures >= recall
        assert figures.flagged_by_any / figures.honest <= alarms


def test_the_published_figures_are_those_measured(
    pack: PackDef,
    measured: "Measured",
    measured_held_out: "Measured",
    measured_strictly: "Measured",
    measured_last: "Measured",
) -> None:
    """Set KOBAN_REWRITE=1 to write the page anew."""
    page = _page(pack, (measured, measured_held_out, measured_strictly, measured_last))
    if os.environ.get("KOBAN_REWRITE"):
        RESULTS.write_text(page, encoding="utf-8")
    if not RESULTS.exists():
        pytest.fail(f"{RESULTS.name} is missing: run with KOBAN_REWRITE=1")
    assert RESULTS.read_text(encoding="utf-8") == page


def _language(text: str) -> str:
    return "ja" if any("ぁ" <= each <= "ヺ" or "一" <= each <= "鿿" or "ｦ" <= each <= "ﾟ" for each in text) else "en"


def _page(pack: PackDef, sets: tuple["Measured", "Measured", "Measured", "Measured"]) -> str:
    names = (
        "written with the rules",
        "held out, written before",
        "the same, lower bound",
        "held out, written after",
    )
    lines = [
        "# Starter pack: figures",
        "",
        "Written by `KOBAN_REWRITE=1 pytest tests/starter`; a test holds it to what is measured.",
        "",
        f"{len(pack.rules)} rules, {len(pack.features)} features, {len(pack.policies)} policies, {len(pack.lists)} lists.",
        "",
        "| lines | language | lures | found | honest | flagged by their rule | flagged by any live rule |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for what, measured in zip(names, sets, strict=True):
        for language, name in (("ja", "Japanese"), ("en", "English")):
            each = measured.languages[language]
            lines.append(
                f"| {what} | {name} | {each.lures} | {_share(each.found, each.lures)} | {each.honest} "
                f"| {_share(each.flagged_by_own, each.honest)} | {_share(each.flagged_by_any, each.honest)} |"
            )
    for name, count, honest in _totals(sets):
        lines += ["", f"In all {count:,} {name} lines, {_share(honest, count)} of them honest ones that come near."]
    lines += [
        "",
        "Lines held out before the rules were written, rule by rule (not the lower bound):",
        "",
        "| rule | lures | found | honest | flagged by it |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {rule} | {each.lures} | {each.found} | {each.honest} | {each.flagged_by_own} |"
        for rule, each in sets[1].rules.items()
    ]
    return "\n".join(lines) + "\n"


def _totals(sets: tuple["Measured", "Measured", "Measured", "Measured"]) -> list[tuple[str, int, int]]:
    """Return how many lines there are in each language, and how many of them are honest; the lower bound has no own."""
    told = []
    for language, name in (("ja", "Japanese"), ("en", "English")):
        each = [measured.languages[language] for measured in (sets[0], sets[1], sets[3])]
        told.append((name, sum(one.lures + one.honest for one in each), sum(one.honest for one in each)))
    return told


def _share(part: int, whole: int) -> str:
    return f"{part} ({part * 100 / whole:.1f} %)" if whole else "–"
