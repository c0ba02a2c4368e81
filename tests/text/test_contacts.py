import pytest

from koban.text import contacts, normalise, urls

CONTACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("090-1234-5678 まで", ("phone",)),
    ("Please call me at 0494 92 82 32", ("phone",)),
    ("Phone: 451 5986", ("phone",)),
    ("電話で1234567円と聞きました", ()),
    ("phone case 1234567890123456", ()),
    ("０９０−１２３４−５６７８", ("phone",)),
    ("〇九〇一二三四五六七八", ("phone",)),
    ("①⓪⓪", ()),
    ("0️⃣9️⃣0️⃣1️⃣2️⃣3️⃣4️⃣5️⃣6️⃣7️⃣8️⃣", ("phone",)),
    ("o9o-1234-5678", ("phone",)),
    ("090の1234の5678です", ("phone",)),
    ("090 1234 5678", ("phone",)),
    ("09012345678", ("phone",)),
    ("+81 90-1234-5678", ("phone",)),
    ("電話は03-1234-5678です", ("phone",)),
    ("ぜろきゅうぜろ いち に さん よん ご ろく なな はち", ("phone",)),
    ("call me 415-555-2671", ("phone",)),
    ("(415) 555-2671", ("phone",)),
    ("価格は12,000円 送料1,200円", ()),
    ("サイズ 090cm 120 130", ()),
    ("追跡番号 123456789012", ()),
    ("伝票番号 1234-5678-9012", ()),
    ("2026-11-22 12:30:45", ()),
    ("ISBN 978-4-06-519981-7", ()),
    ("JAN 4901234567894", ()),
    ("〒150-0002 東京都", ()),
    ("型番 WH-1000XM4 090", ()),
    ("abc@example.com", ("email",)),
    ("abc＠gmail.com", ("email",)),
    ("abc(at)gmail(dot)com", ("email",)),
    ("taro.yamada アットマーク gmail ドット com", ("email",)),
    ("abc123 at gmail dot com", ("email",)),
    ("taro☆docomo.ne.jp", ("email",)),
    ("メアドは taro_99 です", ("email",)),
    ("メールアドレス：taro99x", ("email",)),
    ("見た目は良い at home", ()),
    ("LINE ID: abc123", ("line",)),
    ("LINEのIDは taro_y です", ("line",)),
    ("ラインID→taroyama", ("line",)),
    ("L1NE:abc_123", ("line",)),
    ("ﾗｲﾝ abc123", ("line",)),
    ("らいん abc123", ("line",)),
    ("abc123 ←LINE", ("line",)),
    ("LINE交換しませんか", ("line",)),
    ("LINEで友だち追加してください", ("line",)),
    ("LINE教えて", ()),
    ("LINEはしません", ()),
    ("LINE IDは教えられません", ()),
    ("Aライン ワンピース m1234", ()),
    ("ラインストーン 100個", ()),
    ("オンライン ID abc123", ()),
    ("LINEフレンズ ブラウン 2020年", ()),
    ("LINE friends cony2019", ()),
    ("ガイドライン v2.0.1", ()),
    ("https://line.me/ti/p/abcdef", ("line",)),
    ("lin.ee/abc123", ("line",)),
    ("WhatsApp +81 90 1234 5678", ("phone", "whatsapp")),
    ("whatsapp me 08012345678", ("phone", "whatsapp")),
    ("telegram @scammer99", ("telegram",)),
    ("テレグラム：scam_er", ("telegram",)),
    ("t.me/scam99", ("telegram",)),
    ("カカオ 70%チョコ", ()),
    ("カカオID kakao123", ("kakao",)),
    ("インスタ @my_shop", ("instagram",)),
    ("インスタで見ました", ()),
    ("insta: myshop2020", ("instagram",)),
    ("discord: foo_bar1", ("discord",)),
    ("QRコードを読み取ってください", ("qr",)),
    ("QRコード送ります", ("qr",)),
    ("発送用QRコードを表示", ()),
    ("ヤマトのQRコードを送ってください", ()),
    ("QRコード決済", ()),
    ("コンビニでQRコードを読み取って", ()),
    ("微信 wx12345", ("wechat",)),
    ("iPhone 12 Pro 256GB 090", ()),
    ("price $1,299.00 for 3 days", ()),
    ("Windows 10 line 2024", ()),
    ("1000-2000-3000円", ()),
    ("合計 3,000+1,200=4,200円", ()),
    ("09/12/2026 10:30", ()),
    ("0120-444-444", ("phone",)),
    ("型番0801234567890", ()),
    ("line up", ()),
    ("Twitter @foo_bar", ("twitter",)),
)
URLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("https://www.example.co.jp/a", ("example.co.jp",)),
    ("example[.]com", ("example.com",)),
    ("example．ｃｏｍ", ("example.com",)),
    ("example ドット com", ("example.com",)),
    ("hxxps://evil[.]example[.]net/x", ("example.net",)),
    ("見て→ foo.bar.shop/abc", ("bar.shop",)),
    ("bit.ly/abc", ("bit.ly",)),
    ("abc@gmail.com", ()),
    ("3.14 です。e.g. this", ()),
    ("thanks.in advance", ()),
    ("image.jpg readme.md", ()),
    ("http://192.168.0.1/x", ("192.168.0.1",)),
    ("http://日本語.jp/", ("日本語.jp",)),
    ("価格は1.5万。comの", ()),
    ("foo.github.io", ("foo.github.io",)),
    ("a.com b.com a.com", ("a.com", "b.com")),
    ("example . com", ("example.com",)),
    ("終了しました。next time", ()),
    ("www.foo.me", ("foo.me",)),
)


@pytest.mark.parametrize(("text", "kinds"), CONTACTS)
def test_contacts_are_found_and_other_numbers_are_not(text: str, kinds: tuple[str, ...]) -> None:
    assert contacts(normalise(text)) == kinds


@pytest.mark.parametrize(("text", "kinds"), CONTACTS)
def test_an_archived_text_has_the_same_contacts(text: str, kinds: tuple[str, ...]) -> None:
    assert contacts(normalise(normalise(text).base)) == kinds


@pytest.mark.parametrize(("text", "domains"), URLS)
def test_addresses_are_found_and_named_by_what_was_registered(text: str, domains: tuple[str, ...]) -> None:
    assert urls(normalise(text)) == domains


@pytest.mark.parametrize(
    "text",
    ["0" * 20_000, "0-" * 10_000, "a." * 10_000, "http://" * 3_000, "line " * 4_000, "@" * 20_000, "a" * 20_000 + "@"],
)
def test_hostile_texts_end_soon(text: str) -> None:
    contacts(normalise(text))
    urls(normalise(text))
