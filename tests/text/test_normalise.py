import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koban.text import fold, normalise

STRANGE = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("ｶﾞﾊﾟ゛゜\u3099ァーぁっ力口〇①１Ａａ\u200b\u0301🅰🇯ІＩℓĲ㌔﷽ﬁ ・.-@01!|$"),
    ),
    max_size=24,
)


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("ＬＩＮＥ　ＩＤ", "line id"),
        ("ﾒﾙｶﾘ", "メルカリ"),
        ("ﾊﾟｿｺﾝ ｶﾞｲﾄﾞ", "パソコン ガイド"),
        ("か゛き", "がき"),
        ("①②③ 1️⃣2️⃣ ⓿❶", "123 12 01"),
        ("直\u200b取\u2060引", "直取引"),
        ("\u202eabc\u202c", "abc"),
        ("аррle", "apple"),
        ("𝐋𝐈𝐍𝐄 ℓ", "line l"),
        ("🅻🅸🅽🅴", "line"),
        ("pàypäl", "paypal"),
        ("l̶i̶n̶e̶", "line"),
        ("カレーとラーメンっぽい", "カレーとラーメンっぽい"),
        ("㌔", "キロ"),
        ("×直取引", "×直取引"),
    ],
)
def test_disguises_fold_to_what_a_reader_sees(written: str, base: str) -> None:
    assert fold(written) == base


@pytest.mark.parametrize(
    ("written", "tight"),
    [
        ("直 取 引 しませんか", "直取引しませんか"),
        ("直.取.引", "直取引"),
        ("直✨取✨引", "直取引"),
        ("直/取引", "直取引"),
        ("直取引🍎おねがい", "直取引おねがい"),
        ("L.I.N.E おしえて", "line おしえて"),
        ("L1NE", "line"),
        ("p@ypal", "paypal"),
        ("foo@bar.com", "foo@bar.com"),
        ("メル力リ", "めるかり"),
        ("ラ〜イン", "らーいん"),
        ("チョクトリヒキ", "ちよくとりひき"),
        ("10% OFF A4サイズ 090-1234-5678", "10% off a4さいず 090-1234-5678"),
        ("値下げ不可。直取引", "値下げ不可。直取引"),
    ],
)
def test_phrases_are_looked_for_in_a_tight_form(written: str, tight: str) -> None:
    assert normalise(written).tight == tight


def test_one_is_read_as_i_and_as_l() -> None:
    found = normalise("te1egram")
    assert found.tight == "teiegram"
    assert found.other == ("telegram", "telegram")


@settings(max_examples=400, derandomize=True, deadline=None)
@given(STRANGE)
def test_an_archived_text_normalises_as_the_text_itself(text: str) -> None:
    found = normalise(text)
    assert normalise(found.base) == found
    assert len(found.base) == len(found.plain)
    assert len(found.tight) == len(found.shape)


@pytest.mark.parametrize(
    "text", ["あ" * 20_000, "a " * 10_000, "直 " * 10_000, "1a" * 10_000, "/" * 20_000, "~" * 20_000, "゛" * 9_999]
)
def test_long_texts_take_time_in_proportion(text: str) -> None:
    assert normalise(text).base
