"""Which texts say something, and which only look as if somebody had written them."""

import pytest

from koban.base.characters import says_something


@pytest.mark.parametrize("text", ["x", "誤検知", "  a shop of ours ", "50 %", "…", "👍", "か\u3099", "ᄒ"])
def test_a_text_with_anything_to_be_seen_says_something(text: str) -> None:
    assert says_something(text)


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "\u3000", "\u200b\u200d\ufeff", "\u2800", "\u3164\uffa0\u115f", "\u3099", "\ufe0f\u00ad"]
)
def test_a_text_of_nothing_to_be_seen_says_nothing(text: str) -> None:
    assert not says_something(text)
