import pytest

from koban.text import BrandIndex, normalise
from koban.text.measure import hidden_characters, likeness, longest_run, mixes_scripts, url_signs

BRANDS = {"mercari.com": 10, "amazon.co.jp": 10, "eki-net.com": 10, "rakuten": 10, "line.me": 10, "expired.com": 1}
INDEX = BrandIndex(BRANDS)
CASES = (
    ("https://www.mercari.com/", None, 0),
    ("https://jp.mercari.com/item/1", None, 0),
    ("https://example.com/", None, 0),
    ("https://mercari.shop/", "mercari.com", 900_000),
    ("https://rnercari.com/", "mercari.com", 900_000),
    ("https://mеrcari.com/", "mercari.com", 900_000),  # a Cyrillic letter
    ("https://ｍercari[.]com/ は本物", None, 0),
    ("https://amazon.co.jp.signin.evil.cn/", "amazon.co.jp", 950_000),
    ("https://amazon-co-jp.evil.cn/", "amazon.co.jp", 950_000),
    ("https://www.eki-net.evil.cn/", "eki-net.com", 800_000),
    ("https://rakuten-card-update.top/", "rakuten", 850_000),
    ("https://rakutem.top/", "rakuten", 750_000),
    ("https://r4kut3n.top/", "rakuten", 900_000),
    ("https://myrakutenlogin.top/", "rakuten", 700_000),
    ("https://online.example.org/", None, 0),  # `line` is too short to be looked for inside words
    ("https://expired.shop/", None, 0),
    ("https://203.0.113.9/", None, 0),
)


@pytest.mark.parametrize(("text", "brand", "score"), CASES)
def test_an_address_is_scored_by_how_it_imitates(text: str, brand: str | None, score: int) -> None:
    found = INDEX.likeness(normalise(text), text, BRANDS, 5)
    assert (found.score if found else 0) == score
    if score:
        assert found is not None
        assert found.brand == brand


def test_punycode_is_read_as_readers_see_it() -> None:
    host = "xn--mrcari-" + "mërcari".encode("punycode").decode().rpartition("-")[2] + ".top"
    found = INDEX.likeness(normalise(f"https://{host}/"), f"https://{host}/", BRANDS, 5)
    assert found is not None
    assert (found.brand, found.score) == ("mercari.com", 900_000)


def test_ten_thousand_brands_are_asked_as_quickly_as_one() -> None:
    many = {f"brand{number:05d}.example": 10 for number in range(10_000)} | {"mercari.com": 10}
    text = "https://mercari-pay.top/ " * 400
    found = BrandIndex(many).likeness(normalise(text), text, many, 5)
    assert found is not None
    assert found.brand == "mercari.com"


def test_what_is_counted_of_texts() -> None:
    assert likeness("abc", "abd") == 666_666
    assert longest_run("aabbbb") == 4
    assert hidden_characters("a\u200bb") == 1
    assert mixes_scripts("раypal")
    assert not mixes_scripts("ガンダムHGとPG")
    assert url_signs(normalise("http://1.2.3.4/x")) == ("ip",)
