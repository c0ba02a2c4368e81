"""The library functions of Koban SQL, one row each; `helpers` computes them, and their tests hold them to both compilers."""

from koban.language.rows import Function, Param
from koban.language.types import Type

_T, _I, _D, _B = Type.TEXT, Type.INT, Type.DECIMAL, Type.BOOL
_AT, _SPAN, _TS = Type.TIMESTAMP, Type.INTERVAL, Type.TEXTS
_TEXT = Param("text", (_T,))

LIBRARY = (
    Function(
        name="upper",
        params=(_TEXT,),
        result=_T,
        en="The text in upper case.",
        ja="大文字にする。",
        cost=6,
    ),
    Function(
        name="trim",
        params=(_TEXT,),
        result=_T,
        en="The text without white space at its ends.",
        ja="前後の空白を除く。",
        cost=6,
    ),
    Function(
        name="substring",
        params=(
            _TEXT,
            Param("start", (_I,)),
            Param("length", (_I,)),
        ),
        result=_T,
        en=("So many characters from the place start, counted from 1; NULL for a start below 1 or a negative length."),
        ja="start 文字目（1 から数える）から length 文字。start が 1 未満か length が負なら NULL。",
        cost=8,
    ),
    Function(
        name="left",
        params=(
            _TEXT,
            Param("length", (_I,)),
        ),
        result=_T,
        en="The first characters; NULL for a negative length.",
        ja="先頭の length 文字。負なら NULL。",
        cost=8,
    ),
    Function(
        name="right",
        params=(
            _TEXT,
            Param("length", (_I,)),
        ),
        result=_T,
        en="The last characters; NULL for a negative length.",
        ja="末尾の length 文字。負なら NULL。",
        cost=8,
    ),
    Function(
        name="replace",
        params=(
            _TEXT,
            Param("old", (_T,), "constant"),
            Param("new", (_T,), "constant", empty=True),
        ),
        result=_T,
        en=(
            "The text with every old part replaced by the new one, as it was sent; NULL where it would "
            "grow beyond 20,000 characters."
        ),
        ja="old をすべて new に置き換える。2 万文字を超えるなら NULL。",
        cost=8,
    ),
    Function(
        name="split_part",
        params=(
            _TEXT,
            Param("separator", (_T,), "constant"),
            Param("place", (_I,), "constant", low=1, high=1_000),
        ),
        result=_T,
        en="The part at a place between separators, counted from 1; NULL where there is none.",
        ja="区切り文字で分けた place 番目（1 から）の部分。なければ NULL。",
        cost=8,
    ),
    Function(
        name="split",
        params=(
            _TEXT,
            Param("separator", (_T,), "constant"),
        ),
        result=_TS,
        en="The parts between separators, at most 1,000.",
        ja="区切り文字で分けた配列（1,000 個まで）。",
        cost=12,
    ),
    Function(
        name="position",
        params=(
            _TEXT,
            Param("part", (_T,)),
        ),
        result=_I,
        en="Where the part begins in the text as it was sent, counted from 1; 0 where it does not occur.",
        ja="part が現れる位置（1 から）。なければ 0。",
        cost=6,
        low=0,
    ),
    Function(
        name="regexp_extract",
        params=(
            _TEXT,
            Param("pattern", (_T,), "pattern"),
        ),
        result=_T,
        en=(
            "What the RE2 pattern found first in the normalised text: its first group, or all of it; "
            "NULL where it does not occur."
        ),
        ja="正規化した本文で最初に見つかった部分（グループがあれば最初のグループ）。なければ NULL。",
        cost=150,
    ),
    Function(
        name="regexp_count",
        params=(
            _TEXT,
            Param("pattern", (_T,), "pattern"),
        ),
        result=_I,
        en="How often the RE2 pattern occurs in the normalised text, without overlaps.",
        ja="正規化した本文に RE2 のパターンが現れる回数（重なりは数えない）。",
        cost=200,
        low=0,
    ),
    Function(
        name="normalised",
        params=(_TEXT,),
        result=_T,
        en=(
            "The text as readers see it: case, width, accents and look-alike letters folded, invisible characters gone."
        ),
        ja="読み手に見えるとおりに正規化した本文（大文字小文字、全角半角、似た文字、見えない文字をそろえる）。",
        cost=60,
    ),
    Function(
        name="words",
        params=(_TEXT,),
        result=_TS,
        en="The words of the normalised text, at most 1,000; a run of Japanese letters is one word.",
        ja="正規化した本文の語（1,000 個まで）。日本語の連なりは一語とみなす。",
        cost=100,
    ),
    Function(
        name="word_count",
        params=(_TEXT,),
        result=_I,
        en="How many words the normalised text has, up to 1,000.",
        ja="正規化した本文の語数（1,000 まで）。",
        cost=100,
        low=0,
        high=1000,
    ),
    Function(
        name="digits",
        params=(_TEXT,),
        result=_T,
        en="The digits of the text one after the other, full-width and kanji numerals included.",
        ja="本文の数字だけを並べたもの（全角数字と漢数字を含む）。",
        cost=80,
    ),
    Function(
        name="upper_share",
        params=(_TEXT,),
        result=_D,
        en="The share of letters that are upper case, 0 to 1; 0 where no letter has case.",
        ja="大文字の割合（0〜1）。大小の別がある文字がなければ 0。",
        cost=30,
        low=0,
        high=1000000,
    ),
    Function(
        name="longest_run",
        params=(_TEXT,),
        result=_I,
        en='How often one character stands in a row at most: 5 for "wowwwww".',
        ja="同じ文字が続く最大の長さ。",
        cost=40,
        low=0,
    ),
    Function(
        name="hidden_characters",
        params=(_TEXT,),
        result=_I,
        en=(
            "How many characters of the text nobody sees, or are drawn over others: zero-width letters, stacked marks."
        ),
        ja="見えない文字や重ね書きの記号の数。",
        cost=30,
        low=0,
    ),
    Function(
        name="mixes_scripts",
        params=(_TEXT,),
        result=_B,
        en="True when a word mixes Latin with Cyrillic, Greek or other letters that look alike.",
        ja="一つの語にラテン文字とキリル文字、ギリシャ文字などが混ざっていれば真。",
        cost=20,
    ),
    Function(
        name="edit_distance",
        params=(
            Param("one", (_T,)),
            Param("two", (_T,)),
        ),
        result=_I,
        en=(
            "How many characters must be inserted, deleted or replaced to make one text of the other "
            "(of the first 1,000 each)."
        ),
        ja="一方をもう一方に変えるのに必要な文字の挿入、削除、置換の数（先頭 1,000 文字で比べる）。",
        cost=40,
        low=0,
    ),
    Function(
        name="likeness",
        params=(
            Param("one", (_T,)),
            Param("two", (_T,)),
        ),
        result=_D,
        en="How alike two texts are, 0 to 1: 1 - edit_distance / length of the longer one.",
        ja="二つの文字列の近さ（0〜1）。1 − 編集距離 ÷ 長いほうの長さ。",
        cost=40,
        low=0,
        high=1000000,
    ),
    Function(
        name="hosts",
        params=(_TEXT,),
        result=_TS,
        en=("The host names of all web addresses in the text, hidden ones too, each once, in order of appearance."),
        ja="本文の URL（隠した書き方も含む）のホスト名を出現順に一度ずつ返す。",
        cost=200,
    ),
    Function(
        name="url_host",
        params=(_TEXT,),
        result=_T,
        en="The host name of the first web address in the text; NULL where there is none.",
        ja="本文の最初の URL のホスト名。なければ NULL。",
        cost=200,
    ),
    Function(
        name="url_domain",
        params=(_TEXT,),
        result=_T,
        en="The registered domain of the first web address in the text; NULL where there is none.",
        ja="本文の最初の URL の登録ドメイン。なければ NULL。",
        cost=200,
    ),
    Function(
        name="url_signs",
        params=(_TEXT,),
        result=_TS,
        en=(
            "What is suspicious in the form of the text's addresses, sorted: deep (five labels or "
            "more), digits (a third of it), hyphens (three or more), ip, long (a label of 25 letters "
            "or more), punycode."
        ),
        ja="本文の URL の形の怪しさ（deep、digits、hyphens、ip、long、punycode）を辞書順に返す。",
        cost=220,
    ),
    Function(
        name="email_domain",
        params=(_TEXT,),
        result=_T,
        en="The registered domain of the first e-mail address in the text; NULL where there is none.",
        ja="本文の最初のメールアドレスの登録ドメイン。なければ NULL。",
        cost=80,
    ),
    Function(
        name="lookalike",
        params=(
            _TEXT,
            Param("list", (_T,), "values"),
        ),
        result=_D,
        en=(
            "How much the text's addresses imitate a protected brand of the list, 0 to 1: .95 its "
            "domain as a subdomain, .9 its name under another suffix or in confusable letters, .85 "
            "beside other words, .8 as a subdomain, .75 one edit away, .7 inside a longer name. The "
            "brand's own domains are 0."
        ),
        ja=(
            "本文の URL がリストのブランドにどれだけ似せているか（0〜1）。.95 サブドメインに公式ドメイン、.9 別の末尾や紛らわしい文字の同じ名前、.85 ほかの語と並ぶ名前、.8 "
            "サブドメインに名前、.75 一文字違い、.7 長い名前の一部。公式ドメインは 0。"
        ),
        cost=300,
        low=0,
        high=1000000,
    ),
    Function(
        name="lookalike_brand",
        params=(
            _TEXT,
            Param("list", (_T,), "values"),
        ),
        result=_T,
        en="The brand of the list that the text's addresses imitate most; NULL where they imitate none.",
        ja="本文の URL がもっとも似せているリストのブランド。なければ NULL。",
        cost=300,
    ),
    Function(
        name="list_count",
        params=(
            Param("values", (_TS,)),
            Param("list", (_T,), "values"),
        ),
        result=_I,
        en="How many of the values are in the list now.",
        ja="リストにいま入っている値の数。",
        cost=12,
        low=0,
    ),
    Function(
        name="element_at",
        params=(
            Param("values", (_TS,)),
            Param("place", (_I,)),
        ),
        result=_T,
        en=(
            "The value at a place, from 1, or from the end for a negative place; NULL where there is "
            "none. values[1] is the same."
        ),
        ja="place 番目（1 から、負なら後ろから）の値。なければ NULL。values[1] とも書ける。",
        cost=4,
    ),
    Function(
        name="array_join",
        params=(
            Param("values", (_TS,)),
            Param("separator", (_T,), "constant", empty=True),
        ),
        result=_T,
        en="The values as one text; NULL beyond 20,000 characters.",
        ja="値を区切り文字でつないだ文字列。2 万文字を超えるなら NULL。",
        cost=10,
    ),
    Function(
        name="array_distinct",
        params=(Param("values", (_TS,)),),
        result=_TS,
        en="Each value once, where it stands first.",
        ja="重複を除いた配列（最初の位置に残す）。",
        cost=10,
    ),
    Function(
        name="array_intersects",
        params=(
            Param("values", (_TS,)),
            Param("others", (_TS,)),
        ),
        result=_B,
        en="True when the arrays share a value.",
        ja="二つの配列に同じ値があれば真。",
        cost=10,
    ),
    Function(
        name="json_text",
        params=(
            Param("document", (_T,)),
            Param("path", (_T,), "json"),
        ),
        result=_T,
        en=(
            "A text, number or truth value of a JSON document as text; NULL for anything else, and "
            "where the document is no JSON. Paths are written $.items[0].name."
        ),
        ja="JSON の文字列、数、真偽値を文字列で返す。それ以外や JSON でなければ NULL。パスは $.items[0].name のように書く。",
        cost=60,
    ),
    Function(
        name="json_int",
        params=(
            Param("document", (_T,)),
            Param("path", (_T,), "json"),
        ),
        result=_I,
        en="A whole number of a JSON document; NULL for anything else.",
        ja="JSON の整数。それ以外は NULL。",
        cost=60,
    ),
    Function(
        name="json_decimal",
        params=(
            Param("document", (_T,)),
            Param("path", (_T,), "json"),
        ),
        result=_D,
        en="A number of a JSON document, rounded to six digits; NULL for anything else.",
        ja="JSON の数（小数 6 桁に丸める）。それ以外は NULL。",
        cost=60,
    ),
    Function(
        name="json_bool",
        params=(
            Param("document", (_T,)),
            Param("path", (_T,), "json"),
        ),
        result=_B,
        en="A truth value of a JSON document; NULL for anything else.",
        ja="JSON の真偽値。それ以外は NULL。",
        cost=60,
    ),
    Function(
        name="json_texts",
        params=(
            Param("document", (_T,)),
            Param("path", (_T,), "json"),
        ),
        result=_TS,
        en="An array of texts of a JSON document; NULL where anything in it is no text.",
        ja="JSON の文字列の配列。ほかのものが混ざれば NULL。",
        cost=60,
    ),
    Function(
        name="json_length",
        params=(
            Param("document", (_T,)),
            Param("path", (_T,), "json"),
        ),
        result=_I,
        en="How many items an array of a JSON document has, or members an object.",
        ja="JSON の配列の要素数、またはオブジェクトの項目数。",
        cost=60,
        low=0,
    ),
    Function(
        name="distance_m",
        params=(
            Param("lat", (_D,)),
            Param("lon", (_D,)),
            Param("other_lat", (_D,)),
            Param("other_lon", (_D,)),
        ),
        result=_I,
        en=(
            "Metres between two places along the globe (haversine, mean radius); NULL for a latitude "
            "beyond 90 or a longitude beyond 180 degrees."
        ),
        ja="二点間の地表の距離（メートル、ハーバサイン）。緯度が 90 度、経度が 180 度を超えれば NULL。",
        cost=30,
        low=0,
        high=20015115,
        unit="metres",
    ),
    Function(
        name="minute_of_day",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
        ),
        result=_I,
        en="The minutes since midnight, 0 to 1439, on the clocks of the time zone.",
        ja="その時間帯の時計で 0 時からの分（0〜1439）。",
        cost=60,
        low=0,
        high=1439,
    ),
    Function(
        name="day_of_month",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
        ),
        result=_I,
        en="The day of the month, 1 to 31, in the time zone.",
        ja="その時間帯での日（1〜31）。",
        cost=60,
        low=1,
        high=31,
    ),
    Function(
        name="month_of_year",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
        ),
        result=_I,
        en="The month, 1 to 12, in the time zone.",
        ja="その時間帯での月（1〜12）。",
        cost=60,
        low=1,
        high=12,
    ),
    Function(
        name="year_of",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
        ),
        result=_I,
        en="The year in the time zone.",
        ja="その時間帯での年。",
        cost=60,
        low=1,
        high=9999,
    ),
    Function(
        name="date_text",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
        ),
        result=_T,
        en="The date in the time zone, as 2026-01-31.",
        ja="その時間帯での日付（2026-01-31 の形）。",
        cost=70,
    ),
    Function(
        name="start_of_day",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
        ),
        result=_AT,
        en="The moment at which the day began in the time zone.",
        ja="その時間帯でその日が始まった時刻。",
        cost=80,
    ),
    Function(
        name="within_hours",
        params=(
            Param("time", (_AT,)),
            Param("zone", (_T,), "zone"),
            Param("first", (_I,), "constant", low=0, high=23),
            Param("last", (_I,), "constant", low=0, high=24),
        ),
        result=_B,
        en=(
            "True when the clocks of the time zone show an hour from first until before last; over "
            "midnight where last is less: 22, 6."
        ),
        ja="その時間帯の時計が first 時以降 last 時前なら真。last が小さければ真夜中をまたぐ（22, 6）。",
        cost=60,
    ),
    Function(
        name="seconds_of",
        params=(Param("span", (_SPAN,)),),
        result=_I,
        en="The whole seconds of an interval, cut towards zero.",
        ja="間隔の秒数（端数切り捨て）。",
        cost=5,
        unit="seconds",
    ),
    Function(
        name="minutes_of",
        params=(Param("span", (_SPAN,)),),
        result=_I,
        en="The whole minutes of an interval, cut towards zero.",
        ja="間隔の分数（端数切り捨て）。",
        cost=5,
        unit="minutes",
    ),
    Function(
        name="to_major",
        params=(
            Param("amount_minor", (_I,)),
            Param("currency", (_T,), "currency"),
        ),
        result=_D,
        en=(
            "An amount in whole units of its currency: 12.34 of 1234 cents, 500 of 500 yen; NULL for "
            "an unknown currency."
        ),
        ja="補助単位の金額を通貨の単位に直す（1234 セントは 12.34、500 円は 500）。知らない通貨は NULL。",
        cost=10,
        unit="major",
    ),
    Function(
        name="to_minor",
        params=(
            Param("amount", (_D,)),
            Param("currency", (_T,), "currency"),
        ),
        result=_I,
        en=("An amount in minor units of its currency, rounded half away from zero; NULL for an unknown currency."),
        ja="金額を通貨の補助単位に直す（四捨五入）。知らない通貨は NULL。",
        cost=10,
        unit="minor",
    ),
    Function(
        name="sign",
        params=(Param("x", (_I, _D, _SPAN)),),
        result=_I,
        en="-1, 0 or 1.",
        ja="符号（-1、0、1）。",
        cost=3,
        low=-1,
        high=1,
    ),
)
