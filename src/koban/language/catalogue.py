"""Every operator and function of Koban SQL, one row each: the reference page and the checker read the same table.

A row without conformance cases in `tests/language` fails the tests, so that both compilers stay held to it.
"""

from koban.language.library import LIBRARY
from koban.language.rows import Function, Operator, Param
from koban.language.types import Type

__all__ = ["CONTACT_KINDS", "FUNCTIONS", "OPERATORS", "Function", "Operator", "Param"]

_T, _I, _D, _B = Type.TEXT, Type.INT, Type.DECIMAL, Type.BOOL
_AT, _SPAN, _TS = Type.TIMESTAMP, Type.INTERVAL, Type.TEXTS
_TEXT = Param("text", (_T,))
_ORDERED = (_I, _D, _AT, _SPAN, _T)

CONTACT_KINDS = (
    "discord",
    "email",
    "instagram",
    "kakao",
    "line",
    "messenger",
    "phone",
    "qr",
    "signal",
    "telegram",
    "twitter",
    "wechat",
    "whatsapp",
)

_FUNCTIONS = (
    Function(
        name="mentions",
        params=(_TEXT, Param("list", (_T,), "phrases"), Param("min_terms", (_I,), "constant", optional=True, low=1)),
        result=_B,
        en="True when the text mentions a phrase of the list (or at least min_terms different ones); disguised writing "
        "is seen through, denied mentions and words that merely contain a phrase do not count.",
        ja="リストの語句に言及していれば真（min_terms を書けば、その数以上の異なる語句）。表記ゆれや偽装を見抜き、"
        "否定された言及や別の語の一部は数えない。",
        cost=120,
    ),
    Function(
        name="mention_count",
        params=(_TEXT, Param("list", (_T,), "phrases")),
        result=_I,
        en="How many different phrases of the list the text mentions.",
        ja="リストの語句のうち、いくつの異なる語句に言及しているか。",
        cost=120,
        low=0,
    ),
    Function(
        name="contacts",
        params=(_TEXT,),
        result=_TS,
        en="The kinds of contact in the text, sorted: phone, email, line, whatsapp, telegram, kakao, instagram, qr and others.",
        ja="本文に含まれる連絡先の種類（phone、email、line、whatsapp、telegram、kakao、instagram、qr など）を辞書順に返す。",
        cost=200,
    ),
    Function(
        name="has_contact",
        params=(_TEXT, Param("kind", (_T,), "kind", optional=True)),
        result=_B,
        en="True when the text holds a contact (of the kind).",
        ja="連絡先（指定した種類）が含まれていれば真。",
        cost=200,
    ),
    Function(
        name="urls",
        params=(_TEXT,),
        result=_TS,
        en="The registered domains of all web addresses in the text, hidden ones too, in order of appearance.",
        ja="本文の URL（隠した書き方も含む）の登録ドメインを出現順に返す。",
        cost=200,
    ),
    Function(
        name="matches",
        params=(_TEXT, Param("pattern", (_T,), "pattern")),
        result=_B,
        en="True when the RE2 pattern occurs anywhere in the normalised text; case, width and kana do not matter. `\\d`, `\\w` and "
        "`\\b` know ASCII alone, as RE2 has it: between 語 and a is a boundary, and `\\p{L}` is any letter.",
        ja="正規化した本文に RE2 のパターンが現れれば真。大文字小文字、全角半角、かなカナは区別しない。`\\d`、`\\w`、`\\b` は RE2 に従い"
        "ASCII だけを見るので、「語」と a の間は境界。どの文字でもよいときは `\\p{L}`。",
        cost=100,
    ),
    Function(
        name="contains",
        params=(_TEXT, Param("part", (_T,), "constant")),
        result=_B,
        en="True when the normalised text contains the part; case, width and kana do not matter.",
        ja="正規化した本文に part が含まれれば真。大文字小文字、全角半角、かなカナは区別しない。",
        cost=60,
    ),
    Function(
        name="in_list",
        params=(Param("value", (_T, _TS)), Param("list", (_T,), "values")),
        result=_B,
        en="True when the value is in the list now; for text[], when any of its values is.",
        ja="値がいまリストに入っていれば真。text[] ならどれか一つでも入っていれば真。",
        cost=8,
    ),
    Function(
        name="has_label",
        params=(Param("subject", (_T,)), Param("label", (_T,), "label")),
        result=_B,
        en="True when the subject carries the label now.",
        ja="対象にいまそのラベルが付いていれば真。",
        cost=10,
    ),
    Function(
        name="of",
        params=(Param("feature", (), "feature"), Param("path", (_T,), "path")),
        result=None,
        en="The feature of the subject that the path names; NULL when the event names none.",
        ja="path が指す対象の特徴量。イベントに対象がなければ NULL。",
        cost=1,
        null="own",
    ),
    Function(
        name="score",
        params=(Param("name", (_T,), "score"), Param("path", (_T,), "path", optional=True)),
        result=_D,
        en="The newest score of that name that was recorded for the event's subject (or the one that the path names), "
        "0 to 1; NULL where none was recorded, or it has expired.",
        ja="イベントの対象（path を書けばその対象）について記録された最新のスコア（0〜1）。記録がないか期限切れなら NULL。",
        cost=1,
        null="own",
        low=0,
        high=1_000_000,
    ),
    Function(
        name="starts_with",
        params=(_TEXT, Param("part", (_T,), "constant")),
        result=_B,
        en="True when the text, as it was sent, begins with the part.",
        ja="送られたままの本文が part で始まれば真。",
        cost=4,
    ),
    Function(
        name="ends_with",
        params=(_TEXT, Param("part", (_T,), "constant")),
        result=_B,
        en="True when the text, as it was sent, ends with the part.",
        ja="送られたままの本文が part で終われば真。",
        cost=4,
    ),
    Function(
        name="length",
        params=(_TEXT,),
        result=_I,
        en="The number of characters (code points).",
        ja="文字数（コードポイント数）。",
        cost=3,
        low=0,
    ),
    Function(name="lower", params=(_TEXT,), result=_T, en="The text in lower case.", ja="小文字にする。", cost=6),
    Function(
        name="abs",
        params=(Param("x", (_I, _D, _SPAN)),),
        result=None,
        en="The absolute value; NULL for the one integer that has none.",
        ja="絶対値。表せない整数は NULL。",
        cost=4,
    ),
    Function(
        name="round",
        params=(Param("x", (_D,)), Param("digits", (_I,), "constant", optional=True, low=0, high=6)),
        result=_D,
        en="Rounded to so many digits (0 when not given), half away from zero.",
        ja="指定した桁（省略時 0）に四捨五入する。",
        cost=8,
    ),
    Function(name="floor", params=(Param("x", (_D,)),), result=_I, en="The next whole number below.", ja="切り捨て。"),
    Function(name="ceil", params=(Param("x", (_D,)),), result=_I, en="The next whole number above.", ja="切り上げ。"),
    Function(
        name="least",
        params=(Param("x", _ORDERED), Param("y", _ORDERED, many=True)),
        result=None,
        en="The smallest value that is not NULL.",
        ja="NULL でない値のうち最小のもの。",
        null="own",
    ),
    Function(
        name="greatest",
        params=(Param("x", _ORDERED), Param("y", _ORDERED, many=True)),
        result=None,
        en="The largest value that is not NULL.",
        ja="NULL でない値のうち最大のもの。",
        null="own",
    ),
    Function(
        name="coalesce",
        params=(Param("x"), Param("y", many=True)),
        result=None,
        en="The first value that is not NULL.",
        ja="NULL でない最初の値。",
        null="own",
        cost=2,
    ),
    Function(
        name="nullif",
        params=(Param("x"), Param("y")),
        result=None,
        en="NULL when both are equal, else the first.",
        ja="両者が等しければ NULL、そうでなければ x。",
        null="own",
        cost=2,
    ),
    Function(
        name="days_between",
        params=(Param("earlier", (_AT,)), Param("later", (_AT,))),
        result=_I,
        en="Whole days of 24 hours from earlier to later; negative when later is before.",
        ja="earlier から later までの丸一日（24 時間）の数。逆順なら負。",
        cost=5,
        unit="days",
    ),
    Function(
        name="hours_between",
        params=(Param("earlier", (_AT,)), Param("later", (_AT,))),
        result=_I,
        en="Whole hours from earlier to later; negative when later is before.",
        ja="earlier から later までの時間数（端数切り捨て）。逆順なら負。",
        cost=5,
        unit="hours",
    ),
    Function(
        name="minutes_between",
        params=(Param("earlier", (_AT,)), Param("later", (_AT,))),
        result=_I,
        en="Whole minutes from earlier to later; negative when later is before.",
        ja="earlier から later までの分数（端数切り捨て）。逆順なら負。",
        cost=5,
        unit="minutes",
    ),
    Function(
        name="hour_of_day",
        params=(Param("time", (_AT,)), Param("zone", (_T,), "zone")),
        result=_I,
        en="The hour, 0 to 23, on the clocks of the time zone.",
        ja="その時間帯の時計での時（0〜23）。",
        cost=60,
        low=0,
        high=23,
    ),
    Function(
        name="day_of_week",
        params=(Param("time", (_AT,)), Param("zone", (_T,), "zone")),
        result=_I,
        en="The day of the week in the time zone: 1 is Monday, 7 is Sunday.",
        ja="その時間帯での曜日。1 が月曜、7 が日曜。",
        cost=60,
        low=1,
        high=7,
    ),
    Function(
        name="array_contains",
        params=(Param("values", (_TS,)), Param("value", (_T,))),
        result=_B,
        en="True when one of the values equals the value.",
        ja="値のどれかが value と等しければ真。",
    ),
    Function(
        name="array_length",
        params=(Param("values", (_TS,)),),
        result=_I,
        en="How many values there are.",
        ja="値の個数。",
        low=0,
    ),
)

_OPERATORS = (
    Operator(
        op="and", symbol="a AND b", en="True when both are; false when either is; else NULL.", ja="両方とも真なら真。"
    ),
    Operator(
        op="or", symbol="a OR b", en="True when either is; false when both are; else NULL.", ja="どちらかが真なら真。"
    ),
    Operator(op="not", symbol="NOT a", en="True when false, false when true, NULL when NULL.", ja="真偽を逆にする。"),
    Operator(op="eq", symbol="a = b", en="Equal.", ja="等しい。"),
    Operator(op="ne", symbol="a <> b", en="Not equal.", ja="等しくない。"),
    Operator(op="lt", symbol="a < b", en="Less; texts by code point.", ja="より小さい（文字列はコードポイント順）。"),
    Operator(op="le", symbol="a <= b", en="Less or equal.", ja="以下。"),
    Operator(op="gt", symbol="a > b", en="Greater.", ja="より大きい。"),
    Operator(op="ge", symbol="a >= b", en="Greater or equal.", ja="以上。"),
    Operator(op="is_null", symbol="a IS NULL", en="True when there is no value; never NULL.", ja="値がなければ真。"),
    Operator(op="is_not_null", symbol="a IS NOT NULL", en="True when there is a value.", ja="値があれば真。"),
    Operator(op="is_true", symbol="a IS TRUE", en="True when true, else false.", ja="真のときだけ真（NULL は偽）。"),
    Operator(op="is_false", symbol="a IS FALSE", en="True when false, else false.", ja="偽のときだけ真（NULL は偽）。"),
    Operator(
        op="distinct",
        symbol="a IS DISTINCT FROM b",
        en="Not equal, NULL counted as a value.",
        ja="NULL も一つの値とみて異なる。",
    ),
    Operator(
        op="not_distinct",
        symbol="a IS NOT DISTINCT FROM b",
        en="Equal, NULL counted as a value.",
        ja="NULL も一つの値とみて等しい。",
    ),
    Operator(op="in", symbol="a IN (1, 2)", en="Equal to one of the constants.", ja="定数のどれかに等しい。"),
    Operator(op="between", symbol="a BETWEEN b AND c", en="a >= b AND a <= c.", ja="b 以上 c 以下。", cost=2),
    Operator(
        op="like",
        symbol="a LIKE '%b_'",
        en="The text as sent fits the constant pattern: % any part, _ one character.",
        ja="送られたままの本文が定数パターンに合う（% は任意、_ は一文字）。",
        cost=5,
    ),
    Operator(
        op="ilike",
        symbol="a ILIKE '%b_'",
        en="As LIKE, without regard to case.",
        ja="大文字小文字を区別しない LIKE。",
        cost=10,
    ),
    Operator(
        op="add",
        symbol="a + b",
        en="Sum; NULL on overflow. Also timestamp + interval.",
        ja="和。あふれは NULL。",
        cost=5,
    ),
    Operator(
        op="sub",
        symbol="a - b",
        en="Difference; NULL on overflow. timestamp - timestamp is an interval.",
        ja="差。日時どうしの差は間隔。",
        cost=5,
    ),
    Operator(
        op="mul",
        symbol="a * b",
        en="Product, cut at six digits; NULL on overflow. Also interval * int.",
        ja="積（小数は 6 桁で切り捨て）。",
        cost=6,
    ),
    Operator(
        op="div",
        symbol="a / b",
        en="Quotient as a decimal, cut at six digits; NULL when b is 0 or on overflow.",
        ja="商（小数、6 桁で切り捨て）。0 で割れば NULL。",
        cost=8,
    ),
    Operator(
        op="int_div",
        symbol="a // b",
        en="Whole quotient of integers, towards zero; NULL when b is 0.",
        ja="整数の商（ゼロに向けて切り捨て）。",
        cost=8,
    ),
    Operator(
        op="mod",
        symbol="a % b",
        en="Remainder with the sign of a; NULL when b is 0.",
        ja="余り（符号は a と同じ）。",
        cost=8,
    ),
    Operator(op="neg", symbol="-a", en="Negated; NULL on overflow.", ja="符号を逆にする。", cost=3),
    Operator(op="concat", symbol="a || b", en="Both texts, one after the other.", ja="文字列をつなぐ。", cost=4),
    Operator(
        op="case",
        symbol="CASE WHEN a THEN b ELSE c END",
        en="The value of the first condition that is true.",
        ja="最初に真になった条件の値。",
        cost=2,
    ),
    Operator(
        op="cast",
        symbol="CAST(a AS int)",
        en="Explicit conversion; NULL when the value does not fit. int and decimal into each other (cut towards zero), text into int, "
        "decimal or bool, int, decimal and bool into text, bool into int.",
        ja="明示的な型変換。変換できなければ NULL。",
        cost=6,
    ),
)

FUNCTIONS: dict[str, Function] = {each.name: each for each in (*_FUNCTIONS, *LIBRARY)}
OPERATORS: dict[str, Operator] = {each.op: each for each in _OPERATORS}
