import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koban.text import normalise, normalise_many
from koban.text.many import TOGETHER_MIN
from koban.text.together import _tables

# Everything that some step of normalising looks at, and characters beyond the tables.
PIECES = st.one_of(
    st.characters(codec=None),
    st.sampled_from("ｶﾞﾊﾟ゛゜\u3099ァーぁっャ力口工夕〇①１Ａａ\u200b\u0301🅰🇯ІＩℓĲ㌔﷽ﬁ\U00020b9f\ufa6c한ᄀ\u1161"),
    st.sampled_from(" ・.,/|-_~〜@01!|$3375、。\n\r\t×→az"),
    st.sampled_from(
        ["直取引", "直 取 引", "メルカリ", "メル力リ", "L.I.N.E", "l1ne", "p4yp4l", "g00d", "a@b", "らーー~め", "東/京"]
    ),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(st.lists(TEXTS, min_size=TOGETHER_MIN, max_size=TOGETHER_MIN + 8))
@settings(max_examples=300)
def test_texts_that_are_normalised_together_are_what_they_are_alone(texts: list[str]) -> None:
    assert normalise_many(texts) == [normalise(text) for text in texts]


@pytest.mark.parametrize("count", [0, 1, TOGETHER_MIN - 1, TOGETHER_MIN, 700])
def test_any_number_of_texts_is_answered_in_order(count: int) -> None:
    texts = [f"{'ネコ' * (number % 90)} {number} l1ne" for number in range(count)]
    assert [each.base for each in normalise_many(texts)] == [f"{'ネコ' * (n % 90)} {n} l1ne" for n in range(count)]
    assert normalise_many(texts) == [normalise(text) for text in texts]


def test_more_text_than_is_looked_up_at_once_is_cut_between_texts() -> None:
    texts = ["ｶﾀｶﾅ" * 9_000, "直 取 引", *(["あ" * 40_000] * 20), ""]
    assert normalise_many(texts) == [normalise(text) for text in texts]


def test_what_was_normalised_before_the_first_batch_does_not_keep_it_from_being_made() -> None:
    """The tables of single texts remember characters beyond those that are looked up together: 𠮷 is in many names."""
    normalise("𠮷野家 吉𠮷 𩸽")
    _tables.cache_clear()
    texts = [f"𠮷野家で{number}" for number in range(TOGETHER_MIN)]
    assert normalise_many(texts) == [normalise(text) for text in texts]
