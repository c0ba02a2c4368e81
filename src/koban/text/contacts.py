"""Find contacts that lead a trade off the marketplace, however they are written.

Numbers count as telephones by their shape (Japanese and international formats), so that prices, sizes, tracking numbers, dates,
ISBN and JAN codes and postcodes do not. A messenger's name alone is no contact: an id, a number, a link or "add me" must
stand beside it, and the mention must not be denied.
"""

import functools
import re
from collections.abc import Callable

from koban.text import automaton
from koban.text.negation import is_negated
from koban.text.normalise import Normalised
from koban.text.tables import TIGHT
from koban.text.urls import find_hosts

_NUMERALS = str.maketrans("〇零一二三四五六七八九oil", "00123456789011")
_DIGIT = "0-9〇零一二三四五六七八九"
_GAP = r"(?:[^\w\n]{0,3}|ー|の|ノ|_)"
_NUMBER = re.compile(
    f"(?<![{_DIGIT}a-z])[+(]{{0,2}}[{_DIGIT}oil](?:{_GAP}[{_DIGIT}oil]){{6,15}}(?!{_GAP}[{_DIGIT}]|[a-z%円万個件枚人年月日回通])"
)
_REAL = re.compile(f"[{_DIGIT}]")
_MOBILE = re.compile(r"0[5789]0[0-9]{8}\Z")
_JAPAN = re.compile(r"0[1-9][0-9]{8}\Z")
_JAPAN_GROUPS = frozenset({(2, 4, 4), (3, 3, 4), (4, 2, 4), (5, 1, 4), (4, 3, 3), (4, 6), (3, 7), (2, 8), (6, 4)})
_AMERICA = re.compile(r"1?[2-9][0-9]{2}[2-9][0-9]{6}\Z")
_AMERICA_GROUPS = frozenset({(3, 3, 4), (1, 3, 3, 4)})
_GROUP = re.compile(f"[{_DIGIT}oil]+")
_CALL = re.compile(
    r"(?:電話|でんわ|デンワ|tel|phone|call|携帯|ケータイ|けいたい|番号|連絡|☎|📞|📱|sms|ショートメール|text me|cell|mobile)[^\n]{0,10}$"
)
_OTHER_NUMBER = re.compile(
    r"(?:伝票|追跡|問い?合わ?せ番号|tracking|注文|管理番号|型番|品番|isbn|jan|シリアル|serial|口座|会員|整理番号|受付番号|お届け|荷物|ヤマト|佐川|ゆうパック|model|ref|#)[^\n]{0,14}$"
)
_CALLED = re.compile(
    r"(?:電話|でんわ|デンワ|(?<![a-z])tel|phone|call me|text me|ring me|reach me|携帯|ケータイ|☎|📞|messages? to|answering at|sms)[^\n0-9a-z]{0,6}"
    r"(?:[a-z]{2,6}[^\n0-9a-z]{0,3}){0,2}[^\n0-9a-z]{0,8}\n?$"
)
_MONEY = re.compile(r"[¥$€£]\s?$")
_SPOKEN = re.compile(
    r"(?:(?:ぜろ|れい|まる|おー|いち|に|さん|よん|ご|ろく|なな|しち|はち|きゅう|きゆう|[0-9])[\s、,・\-ー]{0,2}){10,13}"
)
_SPOKEN_DIGIT = re.compile(r"ぜろ|れい|まる|おー|いち|に|さん|よん|ご|ろく|なな|しち|はち|きゅう|きゆう|[0-9]")
_SAID = {
    "ぜろ": "0",
    "れい": "0",
    "まる": "0",
    "おー": "0",
    "いち": "1",
    "に": "2",
    "さん": "3",
    "よん": "4",
    "ご": "5",
}
_SAID |= {"ろく": "6", "なな": "7", "しち": "7", "はち": "8", "きゅう": "9", "きゆう": "9"}

_PROVIDERS = (
    "gmail|yahoo|ymail|hotmail|outlook|icloud|docomo|ezweb|softbank|protonmail|proton|aol|live|qq|163|126|naver|"
    "gmx|mail|me|au|i\\.softbank|googlemail|zoho|yandex|rakuten"
)
_AT = r"(?:\s?@\s?|\s?[\[({<【「]\s?(?:@|at|アット(?:マーク)?|あっと(?:まーく)?|☆|★)\s?[\])}>】」]\s?|\s?(?:アット(?:マーク)?|あっと(?:まーく)?)\s?|\s+at\s+|☆|★)"
_DOT = r"(?:\s?\.\s?|\s?[\[({<【「]\s?(?:\.|dot|ドット|点|どっと)\s?[\])}>】」]\s?|\s?(?:ドット|どっと|点)\s?|\s+dot\s+|。)"
_EMAIL = re.compile(r"(?<![a-z0-9])[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}")
_HIDDEN_EMAIL = re.compile(
    f"(?<![a-z0-9])[a-z0-9][a-z0-9._+-]{{1,63}}{_AT}(?:(?:{_PROVIDERS})(?:{_DOT}(?:com|net|jp|co|ne|org|me)|(?![a-z]))"
    f"|[a-z0-9-]{{2,40}}{_DOT}(?:co{_DOT}jp|ne{_DOT}jp|com|net|org|jp|io|me)(?![a-z]))"
)
_PROVIDER_ONLY = re.compile(
    r"(?<![a-z0-9])[a-z0-9][a-z0-9._+-]{3,40}\s?(?:gmail|yahoo|hotmail|outlook|icloud|docomo|ezweb)\s?\.\s?(?:com|co\.jp|ne\.jp|jp)(?![a-z])"
    r"|(?:gメール|ジーメール|gmail|メアド|メールアドレス|email|e-mail)\s?(?:は|が|:|→|=|⇒)\s?(?=[a-z._-]*[0-9])[a-z0-9._-]{5,40}(?![a-z0-9@])"
)
_AT_SIGNS = ("@", " at ", "アット", "あっと", "at)", "at]", "at}", "at】", "☆", "★")
_MAIL_NAMES = ("mail", "yahoo", "outlook", "icloud", "docomo", "ezweb", "メール", "メアド")
_PLACE = re.compile(r"\s+at\s+(?:mail|live|me|au)(?![a-z.])")

_ID = r"@?(?P<id>[a-z0-9][a-z0-9._-]{2,30})"
_MARK = r"(?:の?(?:id|あいでい-?|あいでいー|あいで|ゆーざー名|ゆーざーねーむ|あかうんと|垢|user(?:name)?|name|account|handle))"
_LINK = r"[\s:;=→⇒➡>＞「『(【\[は がをもでの、,~\-☞👉ー|]*"
_AFTER_NAME = re.compile(
    f"(?:やつてます|あぷり|app|とーく|talk)?{_LINK}(?P<mark>{_MARK})?{_LINK}(?:is\\s+|me\\s+(?:at\\s+|on\\s+)?|at\\s+|on\\s+)?{_ID}"
)
_BEFORE_NAME = re.compile(
    r"(?<![a-z0-9._-])(?P<id>@?[a-z0-9][a-z0-9._-]{3,30})\s*(?:←|<-+|<=|\(|⇐|\s|が|は|=|で)\s*(?:私の|わたしの)?$"
)
_ADD = re.compile(
    r"(?:の?(?:id|ID))?[をでにのは、\s]{0,3}(?:友だち|友達|ともだち|友)?(?:に)?(?:追加|検索|登録|交換)(?:して|お願い|おねがい|しませんか|しましょう|しましよう|希望|下さい|ください|できますか|お待ち|よろしく|で$)"
    r"|[をで、\s]{0,2}友(?:だち|達)?(?:追加|登録)"
)
_MEASURE = re.compile(
    r"[0-9]+(?:[.][0-9]+)?(?:cm|mm|m|g|kg|ml|l|yen|pcs|xl|size|inch|gb|tb|p|d|k|days?|hours?|am|pm|st|nd|rd|th|x|%)?\Z"
)
_ID_SEARCH = re.compile(f"(?<![a-z])id\\s*(?:検索|けんさく)?{_LINK}{_ID}")

_MESSENGERS = {
    "line": ("line", "らいん", "緑のあぷり", "緑のやつ", "緑あぷり", "みどりのあぷり"),
    "whatsapp": ("whatsapp", "whats app", "what's app", "わつつあつぷ", "わつあつぷ"),
    "telegram": ("telegram", "てれぐらむ", "てれぐら", "tg"),
    "kakao": ("kakao", "kakaotalk", "kakao talk", "かかお", "かかおとーく", "카카오톡", "카톡"),
    "instagram": ("instagram", "insta", "いんすた", "いんすたぐらむ", "ig"),
    "discord": ("discord", "でいすこ", "でいすこーど"),
    "wechat": ("wechat", "we chat", "weixin", "ういちやつと", "ういーちやつと", "微信", "薇信"),
    "signal": ("signal", "しぐなる"),
    "twitter": ("twitter", "ついつたー", "x垢", "xのdm"),
    "messenger": ("messenger", "めつせんじやー"),
}
_NAMES = tuple((name, kind) for kind, names in _MESSENGERS.items() for name in names)
_NUMBERED = frozenset(
    {"whatsapp", "signal", "telegram", "wechat", "kakao", "line"}
)  # a number beside the name is an id there
_LINKS = (
    (re.compile(r"(?:^|\.)(?:line\.me|lin\.ee|line\.naver\.jp)$"), "line"),
    (re.compile(r"(?:^|\.)(?:wa\.me|whatsapp\.com)$"), "whatsapp"),
    (re.compile(r"(?:^|\.)(?:t\.me|telegram\.me|telegram\.org|telegram\.dog)$"), "telegram"),
    (re.compile(r"(?:^|\.)(?:kakao\.com)$"), "kakao"),
    (re.compile(r"(?:^|\.)(?:instagram\.com|instagr\.am|ig\.me)$"), "instagram"),
    (re.compile(r"(?:^|\.)(?:discord\.gg|discord\.com|discordapp\.com)$"), "discord"),
    (re.compile(r"(?:^|\.)(?:m\.me|messenger\.com)$"), "messenger"),
    (re.compile(r"(?:^|\.)(?:signal\.me|signal\.group)$"), "signal"),
    (re.compile(r"(?:^|\.)(?:twitter\.com|x\.com)$"), "twitter"),
    (re.compile(r"(?:^|\.)(?:weixin\.qq\.com|wechat\.com)$"), "wechat"),
)
_QR = re.compile(r"(?<![a-z])qr(?:こーど|code|\s?code)?(?![a-z])|二次元こーど")
_QR_USE = re.compile(
    r".{0,10}?(?:読み取|読みとつ|読んで|読込|すきやん|scan|送り|送つ|送る|貼|載せ|のせ|画像|写真|から(?:追加|登録|連絡)|で(?:追加|登録|連絡)|見て|見せ|交換|追加|below|here)"
)
_QR_HONEST = re.compile(
    r"(?:発送|配送|こんびに|やまと|らくらく|ゆうゆう|れじ|めるかり便|伝票|pudo|入場|ちけつと|決済|支払|shipping|ticket)[^。\n]{0,14}$"
)
_QR_AFTER = re.compile(r"(?:決済|払い|支払|付き|発行|表示|りーだー|すきやなー|らべる|reader|scanner)")
_STOP_IDS = frozenset(
    [
        "friends",
        "friend",
        "store",
        "pay",
        "shop",
        "music",
        "stamp",
        "official",
        "works",
        "game",
        "news",
        "app",
        "apps",
        "the",
        "and",
        "for",
        "you",
        "message",
        "messages",
        "chat",
        "dm",
        "please",
        "number",
        "available",
        "only",
        "account",
        "accounts",
        "contact",
        "com",
        "jp",
        "net",
        "www",
        "http",
        "https",
        "size",
        "color",
        "black",
        "white",
        "live",
        "post",
        "posts",
        "story",
        "stories",
        "page",
        "photo",
        "photos",
        "video",
        "videos",
        "group",
        "groups",
        "bot",
        "channel",
    ]
)


def contacts(text: Normalised) -> tuple[str, ...]:
    """Return the kinds of contact in a text, sorted."""
    found: set[str] = set()
    base = text.base
    phone = _has_phone(base, text.plain)
    if phone:
        found.add("phone")
    if _has_email(base):
        found.add("email")
    for host, after in find_hosts(base):
        for pattern, kind in _LINKS:
            if pattern.search(host) and (after.strip() or host == "lin.ee"):
                found.add(kind)
    view = text.tight if text.shape == base else base.translate(TIGHT)
    _messengers(view, base, found, phone=phone)
    if text.tight != view:
        _messengers(text.tight, text.shape, found, phone=phone)
    if _has_qr(view) or (text.tight != view and _has_qr(text.tight)):
        found.add("qr")
    return tuple(sorted(found))


def _has_phone(base: str, plain: str) -> bool:
    for match in _NUMBER.finditer(base):
        written = match.group()
        digits = _digits(written)
        if len(_REAL.findall(written)) * 10 < len(digits) * 7 or _MONEY.search(base[: match.start()]):
            continue
        if _is_phone(written, digits, base[max(0, match.start() - 24) : match.start()]):
            return True
    if "ぜろ" in plain or "れい" in plain or "まる" in plain:
        for match in _SPOKEN.finditer(plain):
            said = "".join(_SAID.get(each, each) for each in _SPOKEN_DIGIT.findall(match.group()))
            if re.match(r"0[5789]0[0-9]{8}", said):
                return True
    return False


def _digits(written: str) -> str:
    return "".join(each for each in written.translate(_NUMERALS) if each.isdigit())


def _is_phone(written: str, digits: str, before: str) -> bool:
    groups = tuple(len(group) for group in _GROUP.findall(written))
    other = _OTHER_NUMBER.search(before) is not None
    if written.lstrip("(").startswith("+"):
        return 9 <= len(digits) <= 15
    if digits.startswith("81") and len(digits) == 12 and digits[2] in "5789" and digits[3] == "0":
        return not other
    if _MOBILE.match(digits):
        return not other or groups in {(3, 4, 4), (3, 8), (7, 4)}
    called = _CALL.search(before) is not None
    if 7 <= len(digits) <= 13 and len(groups) <= 5 and not other and "," not in written and _CALLED.search(before):
        return True
    if digits.startswith(("0120", "0800", "0570")) and len(digits) in {10, 11}:
        return len(groups) == 3 or called
    if _JAPAN.match(digits):
        return (groups in _JAPAN_GROUPS and len(groups) == 3 and not other) or (called and not other)
    if _AMERICA.match(digits):
        return (groups in _AMERICA_GROUPS and not other and "," not in written) or (
            called and not other and len(groups) <= 4
        )
    return False


def _has_email(base: str) -> bool:
    if "@" in base and _EMAIL.search(base):
        return True
    if any(sign in base for sign in _AT_SIGNS):
        found = _HIDDEN_EMAIL.search(base)
        if found is not None and not _PLACE.search(found.group()):
            return True
    return any(name in base for name in _MAIL_NAMES) and _PROVIDER_ONLY.search(base) is not None


@functools.cache
def _names() -> Callable[[str], automaton.Found]:
    return automaton.build_longest([name for name, _ in _NAMES])


def _messengers(view: str, shape: str, found: set[str], *, phone: bool) -> None:
    for index, start, end in _names()(view):
        kind = _NAMES[index][1]
        if kind in found or _inside_a_word(shape, start, end, drawn=kind == "line"):
            continue
        if _is_given(view, kind, start, end, phone=phone) and not is_negated(view, start, end):
            found.add(kind)
    if "line" not in found and "id" in view:
        for match in _ID_SEARCH.finditer(view):
            if "検索" in match.group() and _credible(match["id"], marked=True):
                found.add("line")


def _inside_a_word(shape: str, start: int, end: int, *, drawn: bool) -> bool:
    """Say whether a name is part of a longer Latin or katakana word: オンライン, ガイドライン, linen."""
    before = shape[start - 1] if start else ""
    after = shape[end] if end < len(shape) else ""
    if "a" <= shape[start] <= "z" and ("a" <= before <= "z" or "a" <= after <= "z"):
        return not shape[end:].startswith(("id", "dm", "me ", "app"))
    if "ァ" <= shape[start] <= "ヺ":
        if ("ァ" <= before <= "ヺ" or before == "ー") or (drawn and "a" <= before <= "z"):
            return True
        return ("ァ" <= after <= "ヺ" or after == "ー") and not shape[end:].startswith(
            ("アプリ", "アカウント", "トーク")
        )
    if drawn and "ぁ" <= shape[start] <= "ゖ" and "ぁ" <= before <= "ゖ":
        return before in "んどりしすたが"
    return False


def _is_given(view: str, kind: str, start: int, end: int, *, phone: bool) -> bool:
    after = view[end : end + 60]
    match = _AFTER_NAME.match(after)
    if match is not None:
        given = match["id"]
        marked = match["mark"] is not None or f"@{given}" in after or ":" in match.group().split(given)[0]
        if _credible(given, marked=marked) or (kind in _NUMBERED and re.fullmatch(r"[0-9]{7,15}", given)):
            return True
    if kind in {"whatsapp", "signal"} and phone:
        return True
    match = _BEFORE_NAME.search(view[max(0, start - 44) : start])
    if match is not None and _credible(match["id"].lstrip("@"), marked=match["id"].startswith("@")):
        return True
    return kind in {"line", "kakao", "telegram", "instagram", "wechat", "discord"} and _ADD.match(after) is not None


def _credible(given: str, *, marked: bool) -> bool:
    """Say whether a word has the shape of an id. Without a mark such as "ID:" it must hold a digit or an underscore."""
    given = given.strip("._-")
    if len(given) < 4 or given in _STOP_IDS or _MEASURE.match(given):
        return False
    if "." in given and given.rpartition(".")[2] in {"com", "jp", "net"}:
        return False
    if marked:
        return True
    return (any(each.isdigit() for each in given) or "_" in given) and any("a" <= each <= "z" for each in given)


def _has_qr(view: str) -> bool:
    for match in _QR.finditer(view):
        if _QR_HONEST.search(view[max(0, match.start() - 24) : match.start()]) or _QR_AFTER.match(view, match.end()):
            continue
        if _QR_USE.match(view, match.end()) and not is_negated(view, match.start(), match.end()):
            return True
    return False
