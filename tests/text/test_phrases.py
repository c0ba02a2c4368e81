import pytest

from koban.text import PhraseList, PhraseMatcher, normalise

LURES = PhraseList(
    name="lures",
    phrases=("直取引", "LINE", "ライン", "振込", "direct deal", "whatsapp", "PayPal", "ペイペイ"),
    unless=("Aライン", "ラインストーン", "オンライン", "ラインナップ", "PayPayドーム"),
)
MATCHER = PhraseMatcher([LURES])

DENIED = (
    "直取引はお断りします",
    "直取引不可",
    "直取引は不可です",
    "直取引はできません",
    "直取引はご遠慮ください",
    "直取引はしません",
    "直取引は致しません",
    "直取引NG",
    "直取引は一切お断りしております",
    "直取引、LINE交換はお断りします",
    "直取引や値下げ交渉はお断りします",
    "LINEやメールでのやりとりはできません",
    "直取引を希望される方はご遠慮ください",
    "直取引のご相談はお受けできません",
    "直取引は規約違反です",
    "直取引には応じられません",
    "直取引を持ちかける方は通報します",
    "直取引は禁止されています",
    "禁止事項：直取引",
    "×直取引",
    "直取引詐欺にご注意ください",
    "直取引は行っておりません",
    "直取引などは考えていません",
    "申し訳ありませんが、直取引はお受けしておりません",
    "直取引はやめてください",
    "直取引しないでください",
    "直取引はダメです",
    "直取引なしでお願いします",
    "LINEは教えられません",
    "LINEは使っていません",
    "振込は対応しておりません",
    "直取引等のお誘いは固くお断りいたします",
    "no direct deals",
    "No direct deal please",
    "I do not accept direct deals",
    "please do not ask for direct deal",
    "don't ask me for whatsapp",
    "we never use PayPal",
    "direct deals are not allowed",
    "direct deals will be ignored",
    "WhatsApp is not possible",
    "no whatsapp, no paypal",
    "Direct deals strictly prohibited.",
    "Please don't contact me on WhatsApp",
    "直 取 引 は お 断 り し ま す",
    "チョクトリヒキじゃなく直取引はお断りです！",
    "直取引はいたしかねます",
    "当方、直取引は一切行っておりません",
    "LINEは持っていません",
    "LINEやTwitterのDMでのご連絡はお控えください",
    "直取引を求める方はブロックします",
    "振込先は教えられません",
    "直取引の提案はおやめください",
    "We will never ask you to use WhatsApp",
    "Sorry, no direct deals.",
    "I can't do direct deals",
)

LURING = (
    "直取引しませんか",
    "直取引しませんか？",
    "直取引できませんか？",
    "直取引は可能ですか",
    "値下げ不可ですが直取引なら",
    "値下げ不可ですが直取引ならOKです",
    "値下げはできませんが、直取引はいかがですか",
    "直取引でお願いします",
    "直取引なら手数料分お安くします",
    "直取引以外お断り",
    "直取引でも問題ありません",
    "直取引で構いません",
    "直取引は禁止ですが、内緒でどうですか",
    "直取引がダメなら振込で",
    "直取引は不可ですか？",
    "直取引はお断りしませんよ",
    "直取引OKです",
    "返品不可。直取引でお得に",
    "手数料が無駄なので直取引で",
    "LINE交換しましょう",
    "ＬＩＮＥ教えて",
    "L1NEで連絡ください",
    "キャンセル不可 直取引希望",
    "直取引しか受け付けません",
    "直取引のみ",
    "値下げ不可直取引なら",
    "direct deal possible?",
    "no problem, direct deal is fine",
    "why not direct deal",
    "no fees with direct deal",
    "not a problem direct deal ok",
    "contact me on whatsapp",
    "do not reply here, whatsapp me",
    "I can't talk here. WhatsApp me",
    "sorry no discount but direct deal ok",
    "直取引は値下げ可",
    "ここでは話せないので LINE ください",
    "コメントはできないのでLINEで",
    "在庫なし、直取引で入荷",
    "直取引が可能な方",
    "お断りしますが直取引なら考えます",
    "振込でお願いできますか",
    "直取引、値下げ不可",
    "LINEの方が早いので",
    "直取引はダメですか",
    "直取引って無理ですかね？",
    "do you accept direct deal?",
    "don't worry, direct deal is safe",
    "if you can, direct deal",
)

OTHER_WORDS = (
    "Aラインのスカートです",
    "ラインストーン付き",
    "オンラインで購入",
    "ストラインナップ",
    "ガイドラインに沿って",
    "LINEN シャツ",
    "線のラインナップ",
)


def _found(text: str, matcher: PhraseMatcher = MATCHER) -> dict[str, tuple[str, ...]]:
    return matcher.find(normalise(text))


@pytest.mark.parametrize("text", DENIED)
def test_a_denied_mention_is_no_hit(text: str) -> None:
    assert _found(text) == {}


@pytest.mark.parametrize("text", LURING)
def test_a_lure_is_a_hit(text: str) -> None:
    assert "lures" in _found(text)


@pytest.mark.parametrize("text", OTHER_WORDS)
def test_a_longer_word_is_no_hit(text: str) -> None:
    assert _found(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "直 取 引 しませんか",
        "直✨取✨引しよう",
        "ﾗｲﾝで",
        "L1NEで",
        "Ｌ.Ｉ.Ｎ.Ｅ",
        "LІNE",
        "P@yPalで",
        "line",
        "らいん教えて",
        "🅻🅸🅽🅴 で",
        "wha\u200btsapp",
    ],
)
def test_disguised_mentions_are_hits(text: str) -> None:
    assert "lures" in _found(text)


def test_different_phrases_are_counted_once_each() -> None:
    assert _found("LINEかWhatsAppで。LINEが早い") == {"lures": ("LINE", "whatsapp")}


def test_all_lists_are_found_in_one_pass_and_judged_by_their_own_settings() -> None:
    matcher = PhraseMatcher(
        [
            PhraseList(name="strict", phrases=("コピー",), unless=("コピー用紙", "コピー機")),
            PhraseList(name="loose", phrases=("コピー",), whole_word=False, negatable=False),
        ]
    )
    assert _found("スーパーコピーです", matcher) == {"loose": ("コピー",)}
    assert _found("コピー用紙", matcher) == {"loose": ("コピー",)}
    assert _found("コピーではありません", matcher)["loose"] == ("コピー",)
    assert _found("コピー品です", matcher) == {"strict": ("コピー",), "loose": ("コピー",)}


def test_an_empty_matcher_finds_nothing() -> None:
    assert _found("直取引", PhraseMatcher()) == {}
    assert _found("", MATCHER) == {}


def test_phrases_that_are_only_marks_are_left_out() -> None:
    assert _found("a\u200bb", PhraseMatcher([PhraseList(name="x", phrases=("\u200b", " "))])) == {}
