"""Tell an honest "no direct deals" from a lure, in Japanese and English.

A mention is denied only when the denial is attached to it: in the same clause, with nothing in between but particles and the
usual words of such sentences. Distance alone would let 「値下げ不可ですが直取引なら」 pass for a refusal. A question
(「直取引できませんか」), a double negation (「お断りしません」) and a lure that follows (「禁止ですが内緒で」) undo a denial.
"""

import re

_REACH = 48  # characters before and after a mention that are looked at

# Words that may stand between a mention and its denial without changing what is denied. Kana are already folded: large
# kana stand for small ones, hiragana for katakana.
_FILLER = (
    "(?:は、|も、|先|番号|口座|id|あかうんと|垢||等、|など、|について|に関して|に関する|に関しましては|につきまして|につきましては|自体|全般|一切|絶対に?|"
    "いかなる理由でも|どんな理由でも|理由を問わず|原則として?|基本的に|基本|当方では?|私は|うちでは|こちらでは|当店では|"
    "すべて|全て|固く|かたく|堅く|現在|今回|今後|大変|申し訳ございませんが|申し訳ありませんが|申し訳ないですが|すみませんが|"
    "残念ながら|あいにく|恐れ入りますが|恐縮ですが|ごめんなさい|"
    "の?(?:ご|お)?(?:誘い|さそい|相談|連絡|交換|やりとり|やり取り|提案|要求|要望|話し?|勧誘|誘導|持ちかけ|持ち掛け|依頼|願い|"
    "申し出|申出|申込み?|申し込み|問い?合わせ|問合せ|希望|案内|対応|行為|こめんと|めつせーじ|質問|取引|利用|使用|購入|方法|支払い?)|"
    "(?:を|の|に)?(?:希望|要求|持ちかけ|持ち掛け|誘導|勧誘|提案|誘う|求め|お願い)?(?:する|した|される|された|している|してくる|る)?(?:方|人|かた|ひと|者|場合)|"
    "の?(?:為|ため)|こと|事|もの|等|など|とか|での|への|からの|による|では|には|とは|へは|は|も|を|の|に|が|で|へ|と|"
    "して|し|いたし|致し|する|した|受け|応じ|行い|行つて|行つ|やつて|考えて|対応して|使つて|教えて|送つて|して頂く|していただく|[「」\"' ])"
)
_LISTED = "(?:や|とか|・|、|および|及び|または|又は|or|and|&|/)"  # 「直取引やLINE交換は…」
_STOPS = (
    "なら|ならば|たら|れば|以外|しか|のみ|だけど|けど|けれど|ですが|ますが|ので|から|ok|おーけー|可能|歓迎|大丈夫|お得|お願いし|"
    "ください|下さい|いかが|どうで|ませんか|でき?ます|しよう|しましよう|したい|問題|構い|かまい|差し支え|割引|値引"
)
_STRONG = (  # denials that need no verb
    "お?断り|おことわり|お断わり|拒否|拒絶|不可|ng|えぬじー|禁止|厳禁|(?:規約|るーる|規定|利用規約|規則)?違反|対象外|無効|無し|なし|不要|いりません|要りません|いらない|"
    "いりませ|必要ありません|必要ない|必要なし|無理|だめ|駄目|いけません|いけない|ご?遠慮|お?控え|やめて|辞めて|止めて|おやめ|お止め|"
    "やめましよう|ご容赦|ぶろつく|通報|(?:に|へ)?(?:ご|お)?注意|(?:に)?(?:お)?気をつけ|(?:に)?(?:お)?気を付け|詐欺|危険|怪しい|被害|"
    "断つて|受け付けません|受付けません|受付不可|×|❌|🚫|🙅|⛔"
)
_WEAK = (  # the negative of a verb
    "(?:お|ご)?(?:でき|出来|し|いたし|致し|やら|やり|やれ|行わ|行い|行え|行つて|応じ|応じられ|応じかね|受け|受けられ|受け付け|受付|受けでき|受け出来|"
    "受けし|受けいたし|受け致し|対応し|対応でき|対応いたし|対応致し|使い|使わ|使え|使つて|使用し|利用し|考え|考えて|求め|認め|認められ|教え|教えられ|"
    "教えでき|教えし|送ら|送り|送れ|送つて|払わ|払い|払え|希望し|望み|望ま|許可し|推奨し|勧めし|すすめし|やつて|持つて|持ち|交換し|交換でき|"
    "取引し|取引でき|連絡し|連絡でき|返信し|返信でき|案内し|案内でき|登録し|登録して|やつとり)?(?:て)?(?:い|おり|き|おら)?"
    "(?:ません|ない(?:です|で(?:ください|下さい|ね)?|よう(?:に)?)?|かねます|兼ねます|ぬ(?=[。、!\\s]|$)|まへん|ねえ(?=[。、!\\s]|$))"
)
_AFTER_JA = re.compile(
    f"(?:{_FILLER}){{0,6}}?(?:{_STRONG}|{_WEAK})"
    f"|{_LISTED}(?:(?!{_STOPS}|[。!?\\n]).){{0,22}}?(?:は|も|等|など|を|の)(?:{_FILLER}){{0,4}}?(?:{_STRONG}|{_WEAK})"
)
# What turns a denial round: a question, a second negation, "not a problem".
_UNDONE = re.compile(
    "(?:です|でしよう|ます|なの|なん(?:です|でしよう)|(?:し|いたし|致し|され)て(?:い|おり)?ます|されます|になります|でしたら)?(?:か(?![らねえつけな])|[?？])"
    "|で?は?(?:ない|ありません|無い)(?!か)|じや(?:ない|ありません)|しません|しない|されません|されない|わけではない|とは限ら"
    "|(?:し|いたし|致し)?(?:ません|ない)(?:が|けど)?(?:か|[?？])|以外|(?:の|な|だつた|でした)?(?:なら|場合は?[らライ]*い?ん)|でなければ|だと思"
)
_NOT_A_SCAM = re.compile("(?:では|じや)(?:ない|ありません)")
_BUT_LURE = re.compile(
    "^.{0,8}?(?:けど|けれど|が|のに|ですが|ますが|だが)[、,]?.{0,24}?(?:内緒|ないしよ|こつそり|秘密|ばれな|ばれませ|どうで|いかが|なら|"
    "お得|お安く|安く|値引|しませんか|しましよう|大丈夫|できますか|可能ですか|お願いでき|特別に?|してくれ|あなただけ)"
)
_BEFORE_JA = re.compile(
    "(?:(?:禁止(?:事項|行為)?|ng(?:行為|事項|わーど)?|お断り(?:事項|していること)?|不可|違反(?:行為)?|できないこと)\\s*[:→⇒・】(「『\\]]\\s*|"
    "[×❌🚫⛔🙅]\\s*|(?:のー|no|ng)\\s?)[「『(\"' ]*$"
)

_FILL_EN = (
    "(?:a|an|any|the|more|of|to|do|does|doing|did|accept|accepting|take|taking|ask|asks|asking|for|about|offer|offers|"
    "offering|use|using|want|make|making|try|trying|agree|please|me|us|you|i|we|contact|pay|paying|allow|allowed|allowing|request|requests|"
    "requesting|be|interested|in|into|outside|send|sending|add|respond|reply|replying|via|by|on|with|deal|dealing|share|"
    "sharing|give|giving|exchange|exchanging|your|my|our|or|and|kind|sort|such|buyers|sellers|people|who|will|going|ever|been|asked|trade|trades|trading|sell|sells|selling|sale|sales|buy|buying|been|asked|trade|trades|trading|sell|sells|selling|sale|sales|buy|buying|"
    "anyone|messages?|offers?|talk|chat|meet|transfer|move|through|over|\\w+ or|\\w+, (?:or )?)"
)
_BEFORE_EN = re.compile(
    "(?<![a-z'])(?:no|not|never|don'?t|do not|doesn'?t|won'?t|will not|cannot|can'?t|can not|refuse|refusing|decline|avoid|"
    f"without|beware of|beware|stop|against|nor|neither|isn'?t|aren'?t|zero)(?:\\s+{_FILL_EN}){{0,5}}\\s+[\"']?$"
)
_WHY = re.compile(
    "(?:why|if|or|only|whether|problem|worries|fees?|doubt|cost|trouble|cheaper)\\s+\\S+(?:\\s+\\w+){0,3}\\s*$"
)
_AFTER_EN = re.compile(
    "^(?:s|es|ing)?(?:\\s+(?:or \\w+|and \\w+|requests?|offers?|deals?|payments?|messages?|are|is|will|be|strictly|etc\\.?|scams?|at all|"
    "absolutely|definitely|currently|were|was|please)){0,5}\\s*[:=-]?\\s*"
    "(?:(?:not|never|n'?t|no longer)\\s+(?:be\\s+)?(?:allowed|accept\\w*|possible|permit\\w*|ok|okay|welcome|tolerated|available|"
    "considered|entertained|done|offered|supported|an option|my thing|for me|going to)|isn'?t (?:allowed|ok|possible)|aren'?t (?:allowed|ok|possible|accepted)|prohibited|forbidden|"
    "banned|declined|refused|ignored|reported|blocked|unacceptable|against the rules|scams?(?![a-z0-9_])|no thanks?|no thank you|no!|= ?no|✗|❌|🚫)"
)
_CLAUSE_EN = re.compile(r"[.;!?\n]|,?\s(?:but|however|although|unless|if)\s")


def is_negated(tight: str, start: int, end: int) -> bool:
    """Say whether the mention at `start:end` of a `tight` form is denied in its own clause."""
    before = tight[max(0, start - _REACH) : start]
    after = tight[end : end + _REACH]
    if _denied_after(after) or _BEFORE_JA.search(before.rpartition("\n")[2]):
        return not _BUT_LURE.search(after)
    if _ascii_near(before, after):
        return _denied_in_english(before, after)
    return False


def _denied_after(after: str) -> bool:
    found = _AFTER_JA.match(after)
    if found is None:
        return False
    rest = after[found.end() :]
    denial = found.group()
    if _UNDONE.match(rest):
        return False
    if denial.endswith("詐欺") and _NOT_A_SCAM.match(rest):
        return False
    return not (denial.endswith(("ない", "ません")) and rest[:1] in {"か", "?", "？"})


def _ascii_near(before: str, after: str) -> bool:
    return before[-2:].isascii() and after[:2].isascii() and bool(before or after)


def _denied_in_english(before: str, after: str) -> bool:
    clauses = _CLAUSE_EN.split(before)
    clause = clauses[-1] if clauses else ""
    found = _BEFORE_EN.search(clause)
    if found is not None and not _WHY.search(clause[: found.start()] + found.group().split()[0] + " x"):
        return not before[: len(before) - len(clause)].endswith("why ")
    return bool(_AFTER_EN.match(_CLAUSE_EN.split(after)[0]))
