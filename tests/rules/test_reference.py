"""The reference page of a pack names everything that it declares, in both languages."""

import pathlib

import pytest

from koban.base import DAY, HOUR, MINUTE, SECOND
from koban.packs import Mode, ModeName, load_pack
from koban.rules import duration_words, mode_words, pack_reference

PACK = load_pack(pathlib.Path(__file__).parents[1] / "packs" / "small")
PAGE = pack_reference(PACK)


def test_everything_that_is_declared_is_on_the_page() -> None:
    for section in (PACK.events, PACK.features, PACK.policies, PACK.rules, PACK.lists, PACK.queues):
        for name in section:
            assert f"`{name}`" in PAGE
    for rule in PACK.rules.values():
        assert rule.because["en"] in PAGE
        assert rule.because["ja"] in PAGE


def test_a_rule_is_shown_with_its_condition_actions_and_cases() -> None:
    start = PAGE.index("### `off_platform`")
    assert PAGE[start : PAGE.index("### `many_recipients`")].strip() == (
        "### `off_platform`\n\n"
        "asks to pay outside\n\n"
        "取引外での支払いを求めています\n\n"
        "```sql\nmentions(text, 'lures') AND messages_1h > 3\n```\n\n"
        "Then: hide the content; warn recipient; hold for 3 days, then block; challenge with passkey; strike; "
        "open a case in `scams`.\n\n"
        "Policy `fraud/off_platform`; on message.sent; mode live 10%; at most 50 people an hour; "
        "cases that match: 2, that do not: 1."
    )


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (90 * SECOND, "90 seconds"),
        (MINUTE, "1 minute"),
        (36 * HOUR, "36 hours"),
        (72 * HOUR, "3 days"),
        (DAY, "1 day"),
        (5, "5 microseconds"),
    ],
)
def test_durations_are_written_in_their_largest_whole_unit(length: int, words: str) -> None:
    assert duration_words(length) == words


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (Mode(name=ModeName.LIVE), "live"),
        (Mode(name=ModeName.LIVE, basis_points=1_050), "live 10.5%"),
        (Mode(name=ModeName.SHADOW), "shadow"),
    ],
)
def test_modes_are_written_as_in_a_pack(mode: Mode, words: str) -> None:
    assert mode_words(mode) == words
