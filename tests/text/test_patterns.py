import pytest

from koban.text import BadPattern, PatternSet, check_pattern, normalise


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("取引|振込", "お振込で", True),
        ("アイ[ァ-ヶ]+", "ｱｲｳ", True),
        ("（笑）", "(笑)", True),
        ("LINE[0-9]{3}", "ｌｉｎｅ１２３", True),
        ("^a$", "ba", False),
        ("a.c", "a\nc", False),
    ],
)
def test_patterns_are_read_as_texts_are(pattern: str, text: str, found: bool) -> None:  # noqa: FBT001
    assert PatternSet([pattern]).search(normalise(text).plain) == ([0] if found else [])


def test_a_set_says_which_of_its_patterns_occur() -> None:
    assert sorted(PatternSet(["a", "b", "c"]).search("cab")) == [0, 1, 2]
    assert PatternSet(["a", "b"]).search("") == []


@pytest.mark.parametrize("pattern", ["(a", "(?=a)", "(a)\\1", "a{2000}", "[z-a]", "x" * 1_001])
def test_a_pattern_that_re2_does_not_take_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        check_pattern(pattern)


def test_a_malicious_pattern_takes_linear_time() -> None:
    assert PatternSet(["(a+)+$"]).search("a" * 20_000 + "!") == []
