"""What is wrong with a pack, said in Japanese: one sentence for each English one, in which the same parts stand.

Why a table of sentences: an error is made far from whoever reads it, as English, with names already in it; files, logs and
golden files hold that. A sentence that is not in the table stays English rather than being guessed at.
"""

import functools
import re
import string
from typing import Final

from koban.language.japanese_forms import SENTENCES, WORDS

_WORDS: Final = WORDS | {
    "a text": "text", "an int": "int", "a decimal": "decimal", "a bool": "bool", "a timestamp": "timestamp",
    "an interval": "interval", "a text[]": "text[]", "phrases": "語句", "values": "値", "grams": "グラム",
    "hours": "時間", "days": "日", "seconds": "秒", "minutes": "分", "weeks": "週", "years": "年",
    "milliseconds": "ミリ秒", "minor": "最小単位", "major": "主単位", "AND": "AND", "OR": "OR", "a condition": "条件",
    "account": "アカウント", "device": "端末", "listing": "出品", "feature": "特徴量", "definition": "定義", "list": "リスト",
    "score": "スコア", "rule": "ルール", "event": "イベント", "policy": "ポリシー", "queue": "キュー", "constants": "定数",
}  # fmt: skip

# `{}` stands for a part that is taken over, in order; braces that are meant stand doubled.
_AROUND: Final[tuple[tuple[str, str], ...]] = (
    ("rule {} on {}: {}", "ルール {0}（{1}）：{2}"),
    ("definition {} on {}: {}", "定義 {0}（{1}）：{2}"),
    ("posting {}: {}", "仕訳 {0}：{1}"),
    ("the definition '{}' does not hold here: {}", "定義「{0}」はここでは成り立ちません：{1}"),
    ("the definition '{}' cannot be read: {}", "定義「{0}」を読めません：{1}"),
    ("rule {}: {}", "ルール {0}：{1}"),
    ("limit {}: {}", "限度 {0}：{1}"),
    ("score {}: {}", "スコア {0}：{1}"),
    ("list {}: {}", "リスト {0}：{1}"),
)
_SENTENCES: Final[tuple[tuple[str, str], ...]] = (
    # names
    ("there is no field or feature '{}' here", "フィールドまたは特徴量「{0}」はここにはありません"),
    ("there is no field '{}' here", "フィールド「{0}」はここにはありません"),
    ("there is no field '{}'", "フィールド「{0}」はありません"),
    ("there is no function '{}'", "関数「{0}」はありません"),
    ("there is no feature '{}'", "特徴量「{0}」はありません"),
    ("there is no list '{}'", "リスト「{0}」はありません"),
    ("there is no label '{}'", "ラベル「{0}」はありません"),
    ("there is no score '{}'", "スコア「{0}」はありません"),
    ("there is no type '{}'", "型「{0}」はありません"),
    ("there is no time zone '{}'", "タイムゾーン「{0}」はありません"),
    ("there is no currency '{}'", "通貨「{0}」はありません"),
    ("there is no kind of contact '{}'", "連絡先の種類「{0}」はありません"),
    ("there is no event type '{}'", "イベント種別「{0}」はありません"),
    ("there is no policy '{}'", "ポリシー「{0}」はありません"),
    ("there is no queue '{}'", "キュー「{0}」はありません"),
    ("there is no posting '{}'", "仕訳「{0}」はありません"),
    ("there is no file '{}' in the pack", "ルールパックにファイル「{0}」はありません"),
    ("'{}' is a list of {}", "「{0}」は{1}のリストです"),
    ("'{}' is a function", "「{0}」は関数です"),
    ("'{}' names no subject", "「{0}」は対象を指していません"),
    ("'{}' belongs to a subject that must be named here", "「{0}」はどの対象のものかを、ここで示す必要があります"),
    ("'{}' belongs to {} subjects, but '{}' names {}", "「{0}」は{1}に属しますが、「{2}」が指すのは{3}です"),
    ("the score '{}' belongs to {} subjects", "スコア「{0}」は{1}に属します"),
    ("'{}' is defined by itself: {}", "「{0}」は自分自身で定義されています：{1}"),
    ("{} has no field '{}'", "{0} にフィールド「{1}」はありません"),
    # types
    ("all arguments of {} have one type, but this is {} and the first {}",
     "{0} の引数はすべて同じ型ですが、これは {1} で、最初は {2} です"),
    ("all values of CASE have one type, but this is {} and the first {}",
     "CASE の値はすべて同じ型ですが、これは {0} で、最初は {1} です"),
    ("a value of type {} is needed here, but this is {}", "ここには型 {0} の値が必要ですが、これは {1} です"),
    ("{} is needed here, but this is {}", "ここには{0}が必要ですが、これは {1} です"),
    ("{} needs {} for '{}', but this is {}", "{0} の「{2}」には {1} が必要ですが、これは {3} です"),
    ("{} takes {} units, but this is in {}", "{0} が受け取るのは{1}の値ですが、これは{2}です"),
    ("{} takes conditions, but this is {}", "{0} が受け取るのは条件ですが、これは {1} です"),
    ("WHEN takes a condition, but this is {}", "WHEN が受け取るのは条件ですが、これは {0} です"),
    ("LIKE compares texts, but this is {}", "LIKE が比べるのは text ですが、これは {0} です"),
    ("|| joins texts, but this is {}", "|| がつなぐのは text ですが、これは {0} です"),
    ("text[] values are not compared", "text[] の値は比べられません"),
    ("{} is not compared with {}", "{0} は {1} と比べられません"),
    ("{} values have no order", "{0} の値に大小はありません"),
    ("'{}' does not take {} and {}", "「{0}」は {1} と {2} の組み合わせでは使えません"),
    ("{} does not take {} arguments", "{0} の引数は {1} 個ではありません"),
    ("nullif does not take text[]", "nullif に text[] は使えません"),
    ("IN takes at most {} constants", "IN に書ける定数は {0} 個までです"),
    ("IN does not take {}", "IN に {0} は使えません"),
    ("IN takes constants", "IN には定数を書きます"),
    ("IN needs at least one value", "IN には値が一つ以上必要です"),
    ("{} does not take {}", "{0} に {1} は使えません"),
    ("{} has no negative", "{0} に負の値はありません"),
    ("{} cannot be cast to {}", "{0} は {1} に変換できません"),
    # units
    ("these are different units: {} and {}", "単位が違います：{0}と{1}"),
    ("these are {}, and {} of them are {} years", "単位は{0}で、{1}{0}は{2}年になります"),
    ("'{}' counts only up to {}", "「{0}」が数えるのは {1} までです"),
    ("'{}' is at least {}", "「{0}」は {1} 以上です"),
    ("'{}' is at most {}", "「{0}」は {1} 以下です"),
    # always and never
    ("under NOT this can never be true: its parts exclude each other", "NOT の下では決して真になりません：条件どうしが両立しません"),
    ("this can never be true: its parts exclude each other", "決して真になりません：条件どうしが両立しません"),
    ("this can never be true", "決して真になりません"),
    ("this is true for every value", "どの値でも真になります"),
    ("this compares a value with itself", "値を自分自身と比べています"),
    ("this compares only constants", "定数だけを比べています"),
    ("comparing with NULL is never true", "NULL との比較は決して真になりません"),
    ("NULL has no type here", "ここでは NULL の型が決まりません"),
    # what is written
    ("a name was expected after '.'", "「.」の後には名前が必要です"),
    ("a value was expected here, not '{}'", "ここには値が必要です。「{0}」は書けません"),
    ("a type was expected here: bool, int, decimal, text or timestamp", "ここには型が必要です：bool、int、decimal、text、timestamp"),
    ("'{}' was not expected here: an operator such as AND is missing before it", "ここに「{0}」は書けません：前に AND などの演算子がありません"),
    ("'{}' was not expected here", "ここに「{0}」は書けません"),
    ("{} was expected here, not '{}'", "ここには {0} が必要です。「{1}」は書けません"),
    ("';' does not belong here: write one expression", "「;」は書けません：式は一つだけです"),
    ("'{}' does not belong here", "「{0}」はここには書けません"),
    ("{} does not belong here: write one condition or value, not a query", "{0} は書けません：問い合わせではなく、条件か値を一つ書いてください"),
    ("after IS comes NULL, NOT NULL, TRUE, FALSE or [NOT] DISTINCT FROM", "IS の後は NULL、NOT NULL、TRUE、FALSE、[NOT] DISTINCT FROM のどれかです"),
    ("CASE needs at least one WHEN … THEN …", "CASE には WHEN … THEN … が一つ以上必要です"),
    ("comparisons do not chain: write a < b AND b < c", "比較は続けて書けません：a < b AND b < c のように書いてください"),
    ("the expression ends too early: {} is missing", "式が途中で終わっています：{0} がありません"),
    ("the expression ends too early", "式が途中で終わっています"),
    ("the expression is empty", "式が空です"),
    ("put phrases and values on a list (mentions, in_list), or make several rules of it",
     "語句や値はリストに入れるか（mentions、in_list）、複数のルールに分けてください"),
    ("the expression is longer than {} characters", "式が {0} 文字を超えています"),
    ("the expression has more than {} parts", "式の要素が {0} 個を超えています"),
    ("the expression nests deeper than {}", "式の入れ子が {0} 段を超えています"),
    ("with its definitions, the expression has more than {} parts, or nests too deep", "定義を含めると、式の要素が {0} 個を超えるか、入れ子が深すぎます"),
    ("this cannot be read as SQL", "SQL として読めません"),
    ("this quote is not closed", "引用符が閉じられていません"),
    ("this is no number of Koban SQL: write 100 or 0.25", "Koban SQL の数ではありません：100 や 0.25 のように書いてください"),
    ("a decimal has at most six digits after the point", "小数点以下は 6 桁までです"),
    ("this number does not fit into 64 bits", "この数は 64 ビットに収まりません"),
    ("this number does not fit into decimal(18,6)", "この数は decimal(18,6) に収まりません"),
    ("this is no interval: write INTERVAL '7 days' (seconds, minutes, hours, days, weeks)", "期間として読めません：INTERVAL '7 days' のように書いてください（seconds、minutes、hours、days、weeks）"),
    ("this is no timestamp: write TIMESTAMP '2026-01-31 12:00:00' (UTC) or with +09:00", "日時として読めません：TIMESTAMP '2026-01-31 12:00:00'（UTC）、または +09:00 を付けて書いてください"),
    ("this is no path into JSON", "JSON の中の場所として読めません"),
    ("RE2 does not take this pattern: {}", "RE2 はこの正規表現を受け付けません：{0}"),
    ("LIKE patterns of Koban SQL have no escapes", "Koban SQL の LIKE にエスケープはありません"),
    ("the pattern of LIKE must be a constant", "LIKE の型は定数で書きます"),
    ("'{}' of {} must be a constant", "{1} の「{0}」は定数で書きます"),
    ("of takes a feature's name and a field", "of には特徴量の名前とフィールドを書きます"),
    # packs
    ("no rule reads the {} '{}'", "どのルールも{0}「{1}」を読んでいません"),
    ("the {} '{}' says LIKE without % or _: it compares the whole text",
     "{0}「{1}」の LIKE に % も _ もないため、文章全体と比べます"),
    ("write '%{}%' where a part of it is meant, and = where the whole is",
     "一部を探すなら '%{0}%'、全体と比べるなら = と書いてください"),
    ("rule {} adds nothing: wherever it matches, rule {} matches too and does as much",
     "ルール {0} は不要です：これが一致する所では必ずルール {1} も一致し、同じ以上のことをします"),
    ("rule {} has no case", "ルール {0} にテストケースがありません"),
    ("'{}' must be a whole number from {} to {}", "「{0}」は {1} から {2} までの整数です"),
    ("'{}' must be true or false", "「{0}」は true か false です"),
    ("'{}' must not be empty", "「{0}」は空にできません"),
    ("'{}' must be of type {}", "「{0}」は型 {1} でなければなりません"),
    ("'{}' is given twice", "「{0}」が二度書かれています"),
    ("the {} '{}' is declared twice", "{0}「{1}」が二度宣言されています"),
    ("'{}' is listed twice; first in {} on line {}", "「{0}」が二度書かれています。最初は {1} の {2} 行目です"),
    ("'{}' is not a text field of {}", "「{0}」は {1} の text フィールドではありません"),
    ("'on' must name at least one event type", "「on」にはイベント種別を一つ以上書きます"),
    ("'mode' cannot be read", "「mode」を読めません"),
    ("'cap' must say how many people an hour", "「cap」には 1 時間に何人までかを書きます"),
    ("{} needs the key '{}'", "{0} にはキー「{1}」が必要です"),
    ("{} must be a mapping", "{0} はキーと値の組で書きます"),
    ("{} must be a text", "{0} は文字列で書きます"),
    ("{} has no key '{}'", "{0} にキー「{1}」はありません"),
    ("{} cannot be '{}'", "{0} に「{1}」は指定できません"),
    ("{} is not a duration", "{0} は期間として読めません"),
    ("the item has {} characters, and {} is the most here", "この項目は {0} 文字あり、ここでの上限は {1} 文字です"),
    ("edit its file, and bring it with koban pack push", "ファイルを編集し、koban pack push で反映してください"),
    ("{} is longer than {} characters", "{0} が {1} 文字を超えています"),
    ("not valid YAML: {}", "YAML として読めません：{0}"),
    ("pack.yaml is empty", "pack.yaml が空です"),
    ("a pack needs the file pack.yaml", "ルールパックには pack.yaml が必要です"),
    ("a list entry must not be empty", "リストの値は空にできません"),
    # hints
    ("did you mean '{}' or '{}'?", "「{0}」または「{1}」ではありませんか"),
    ("did you mean '{}'?", "「{0}」ではありませんか"),
    ("known: {}", "使えるもの：{0}"),
    ("one of {}", "次のどれか：{0}"),
    ("keys: {}", "使えるキー：{0}"),
    ("a text stands in single quotes", "文字列は一重引用符で囲みます"),
    ("a text stands in single quotes: '{}'", "文字列は一重引用符で囲みます：'{0}'"),
    ("a text stands in straight single quotes: 'text'", "文字列は半角の一重引用符で囲みます：'text'"),
    ("a text stands in single quotes; length(…) says how long one is", "文字列は一重引用符で囲みます。長さは length(…) で調べます"),
    ("these are full-width characters: write {}", "全角文字です：{0} と半角で書きます"),
    ("a number has no commas: write {}", "数にコンマは入れません：{0} と書きます"),
    ("a number stands without quotes: {}", "数は引用符なしで書きます：{0}"),
    ("a share is a number from 0 to 1: 10 % is 0.1", "割合は 0 から 1 の数で書きます：10 % は 0.1"),
    ("compare it with a whole number, as in {}", "整数と比べます（例：{0}）"),
    ("compare it, as in {}", "値と比べます（例：{0}）"),
    ("it is a list: write {}", "リストです：{0} と書きます"),
    ("write TRUE without quotes", "引用符なしで TRUE と書きます"),
    ("write {} without quotes", "引用符なしで {0} と書きます"),
    ("write = or <> to compare with a value", "値と比べるには = か <> と書きます"),
    ("write < or >", "< か > と書きます"),
    ("write {}, or another unit", "{0}（または別の単位）と書きます"),
    ("write LIKE, with % for any part", "LIKE と書き、任意の部分を % で表します"),
    ("write IN ('a', 'b'), or in_list(value, '{}') for a list", "IN ('a', 'b') と書くか、リストなら in_list(value, '{0}') と書きます"),
    ("lower() leaves no capital letters: write the text in small ones", "lower() の後に大文字は残りません：小文字で書いてください"),
    ("upper() leaves no small letters: write the text in capital ones", "upper() の後に小文字は残りません：大文字で書いてください"),
    ("a text with ': ' in it stands in quotes, or under '|' on lines of its own", "「: 」を含む文字列は引用符で囲むか、| の下の行に書きます"),
    ("mapping values are not allowed in this context", "ここに「: 」は書けません"),
    ("found a tab character that violates indentation", "字下げにタブがあります"),
    ("did not find expected ',' or ']'", "「,」か「]」がありません"),
    ("did not find expected ',' or '}}'", "「,」か「}}」がありません"),
    ("did not find expected key", "キーがありません"),
    ("did not find expected '-' indicator", "「-」で始まる項目がありません"),
    ("found unexpected end of stream", "途中で終わっています"),
    ("could not find expected ':'", "「:」がありません"),
    ("found character that cannot start any token", "ここに書けない文字です"),
    ("scores are declared in scores.yaml", "スコアは scores.yaml で宣言します"),
    ("indent with spaces", "字下げには空白を使います"),
    ("a text that begins with such a character stands in quotes", "この文字で始まる文字列は引用符で囲みます"),
    ("a text that begins with * stands in quotes", "* で始まる文字列は引用符で囲みます"),
    ("something was opened and not closed: a quote, [ or {{", "引用符、[、{{ のどれかが閉じられていません"),
    ("an event that no rule stops is allowed; leave the action out", "どのルールも止めないイベントは許可されます。この措置は書きません"),
    ("sums are features: declare one in features.yaml", "合計は特徴量です：features.yaml で宣言してください"),
    ("averages are features: declare one in features.yaml", "平均は特徴量です：features.yaml で宣言してください"),
    ("an expression gives the same value each time", "式の値は毎回同じでなければなりません"),
    ("another unit?", "単位が違いませんか"),
    ("ask it with {}", "{0} で調べます"),
    ("compare them with = or <>", "= か <> で比べます"),
    ("convert it with CAST(… AS {})", "CAST(… AS {0}) で変換します"),
    ("convert the other side with CAST(… AS {})", "もう一方を CAST(… AS {0}) で変換します"),
    ("counts are features: declare one in features.yaml", "件数は特徴量です：features.yaml で宣言してください"),
    ("it is never below {}", "{0} より小さくなることはありません"),
    ("it lies between {} and {}", "値は {0} から {1} の間です"),
    ("months and years have no fixed length: write days", "月と年は長さが決まりません：日数で書いてください"),
    ("raise its bound in features.yaml", "features.yaml で上限（bound）を上げてください"),
    ("the moment of the event is called time", "イベントの時刻は time と書きます"),
    ("this event names no {}", "このイベントは{0}を指していません"),
    ("use a list: in_list(value, 'name')", "リストを使います：in_list(value, 'name')"),
    ("use array_contains(values, value)", "array_contains(values, value) を使います"),
    ("use contains() or matches()", "contains() か matches() を使います"),
    ("write IS NOT NULL to ask whether there is a value", "値の有無を調べるには IS NOT NULL と書きます"),
    ("write IS NULL or IS NOT NULL", "IS NULL か IS NOT NULL と書きます"),
    ("write = … OR = … to compare with fields", "フィールドと比べるには = … OR = … と書きます"),
    ("write {} -> the same type", "{0} -> 同じ型 と書きます"),
    ("write {}", "{0} と書きます"),
    ("RE2 knows no back-references", "RE2 に後方参照はありません"),
    ("RE2 knows no look-around", "RE2 に先読みと後読みはありません"),
    ("it is kept up to date at a cost; take it out, or read it in a rule", "更新に費用がかかります。外すか、ルールで読んでください"),
    ("the other stands in {}", "もう一方は {0} にあります"),
    ("add one to cases/", "cases/ に追加してください"),
)  # fmt: skip


_HOLE: Final = re.compile(r"(?<!\{)\{\}(?!\})")
_INSIDE: Final = re.compile(
    r"(.+) \(in ([a-z0-9_.]+)\)", re.DOTALL
)  # an error of a feature that several event types feed
_ACTION: Final = re.compile(r"the action '([^']*)'")
_WIDE: Final = re.compile(r"[「」ぁ-んァ-ヶー一-龥（）]")
_QUOTED: Final = re.compile(r"'[^']*'")


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], tuple[str, ...], str], ...]:
    """Return what encloses other sentences first, then the sentence that says most in words of its own."""
    most = sorted((*_SENTENCES, *SENTENCES), key=lambda pair: -len(pair[0].replace("{}", "")))
    found = []
    for english, japanese in (*_AROUND, *most):
        parts = tuple(part.replace("{{", "{").replace("}}", "}") for part in _HOLE.split(english))
        holes = ["(.+?)"] * (len(parts) - 1)
        if (english, japanese) in _AROUND:
            holes[:-1] = [r"(\S+?)"] * (len(holes) - 1)  # names, so that no sentence with a colon is taken for one
        written = re.escape(parts[0]) + "".join(
            hole + re.escape(part) for hole, part in zip(holes, parts[1:], strict=True)
        )
        found.append((re.compile(written, re.DOTALL), parts, japanese))
    return tuple(found)


def in_japanese(text: str) -> str:
    """Return an error or a hint in Japanese; one that is not known stays as it is."""
    inside = _INSIDE.fullmatch(text)
    if inside is not None:
        return f"{in_japanese(inside[1])}（{inside[2]}）"
    for pattern, before, japanese in _patterns():
        found = pattern.fullmatch(text)
        if found is not None:
            parts = [_part(part, before[number], before[number + 1 :]) for number, part in enumerate(found.groups())]
            return _filled(japanese, parts)
    return text


def _filled(sentence: str, parts: list[str]) -> str:
    """Fill a sentence in. The space that stands beside a name or number goes where Japanese meets Japanese."""
    out = ""
    for literal, hole, _, _ in string.Formatter().parse(sentence):
        wide = _WIDE.match(out[-1:]) is not None
        out += literal.removeprefix(" ") if wide else literal
        if hole is not None:
            part = parts[int(hole)]
            out = (out.removesuffix(" ") if _WIDE.match(part) else out) + part
    return out


def _part(part: str, before: str, rest: tuple[str, ...]) -> str:
    """Say a part: a name in quotes is taken over, a sentence behind a colon is said in full, a word of ours is translated."""
    if before.endswith("'"):
        return part
    if before.endswith(": ") and rest == ("",):
        return in_japanese(part)
    action = _ACTION.fullmatch(part)
    if action is not None:
        return f"措置「{action[1]}」"
    return f"「{part[1:-1]}」" if _QUOTED.fullmatch(part) else _WORDS.get(part, part)
