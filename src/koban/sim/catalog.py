"""What honest people sell: goods with their usual prices and weights, and how they describe them."""

from typing import Final

import msgspec


class Good(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of thing: `median_minor` is the usual price of its category in yen, `weight_g` as shipped."""

    category: str
    brand: str
    ja: str
    en: str
    median_minor: int
    weight_g: int


_GOODS: Final = (
    ("fashion/ladies", "", "Aラインワンピース", "A-line dress", 2_800, 420),
    ("fashion/ladies", "ユニクロ", "カシミヤセーター ネイビー", "Cashmere sweater, navy", 2_400, 380),
    ("fashion/ladies", "GU", "プリーツスカート", "Pleated skirt", 1_100, 340),
    ("fashion/ladies", "", "ノーブランド ざっくりニット", "Chunky knit, no brand", 1_300, 520),
    ("fashion/ladies", "ロペピクニック", "春コート ベージュ", "Spring coat, beige", 4_500, 900),
    ("fashion/ladies", "", "浴衣セット 朝顔柄", "Yukata set, morning glory", 3_600, 1_100),
    ("fashion/mens", "ノースフェイス", "ナイロンジャケット", "Nylon jacket", 9_800, 600),
    ("fashion/mens", "無印良品", "オーガニックコットンシャツ", "Organic cotton shirt", 1_200, 300),
    ("fashion/mens", "リーバイス", "501 デニム W32", "501 jeans W32", 4_200, 750),
    ("fashion/mens", "", "ハンドメイドの革ベルト", "Handmade leather belt", 2_900, 260),
    ("shoes", "ナイキ", "エアフォース1 26.5cm", "Air Force 1, 26.5 cm", 8_900, 1_250),
    ("shoes", "ニューバランス", "996 グレー 24.0cm", "996 grey, 24 cm", 7_200, 1_100),
    ("shoes", "コンバース", "オールスター 黒", "All Star, black", 3_100, 1_000),
    ("kids", "西松屋", "子ども服まとめ売り 100サイズ", "Kids' clothes bundle, size 100", 1_800, 1_300),
    ("kids", "ファミリア", "デニムバッグ", "Denim bag", 9_200, 380),
    ("kids", "", "手押し車 木製", "Wooden baby walker", 3_400, 3_200),
    ("kids", "ボーネルンド", "積み木セット", "Building blocks", 4_100, 1_600),
    ("kids", "アップリカ", "ベビーカー", "Stroller", 9_500, 6_400),
    ("kids", "", "入園グッズ 手作り5点", "Handmade kindergarten set", 3_000, 420),
    ("bags", "コーチ", "ショルダーバッグ", "Shoulder bag", 14_000, 820),
    ("bags", "ポーター", "2wayブリーフケース", "2-way briefcase", 16_500, 1_200),
    ("bags", "ルイ・ヴィトン", "モノグラム 長財布", "Monogram long wallet", 38_000, 340),
    ("bags", "グレゴリー", "デイパック", "Day pack", 9_000, 780),
    ("watch", "セイコー", "プレサージュ SARX035", "Presage SARX035", 52_000, 420),
    ("watch", "カシオ", "G-SHOCK DW-5600", "G-Shock DW-5600", 8_400, 260),
    ("watch", "オメガ", "スピードマスター 並行輸入", "Speedmaster, parallel import", 410_000, 640),
    ("jewelry", "", "ラインストーンのヘアピン 3本", "Rhinestone hair pins, set of 3", 900, 90),
    ("jewelry", "スタージュエリー", "K10 ネックレス", "K10 necklace", 12_000, 120),
    ("jewelry", "", "天然石ブレスレット 手作り", "Handmade stone bracelet", 1_500, 80),
    ("cards", "ポケモンカード", "リザードンex SAR", "Charizard ex SAR", 24_000, 60),
    ("cards", "ポケモンカード", "ノーマルカード 200枚まとめ", "200 common cards", 900, 420),
    ("cards", "遊戯王", "青眼の白龍 レリーフ", "Blue-Eyes, relief", 9_800, 60),
    ("cards", "ワンピースカード", "リーダーパラレル", "Leader, parallel", 6_400, 60),
    ("hobby", "バンダイ", "ガンプラ MG 未組立", "MG model kit, unbuilt", 4_600, 1_000),
    ("hobby", "", "フィギュア 箱あり", "Figure with box", 3_200, 700),
    ("hobby", "サンリオ", "ぬいぐるみ LINEフレンズとのコラボ", "Plush, LINE FRIENDS collab", 2_100, 280),
    ("hobby", "カトー", "Nゲージ 4両セット", "N gauge, 4 cars", 8_700, 480),
    ("games", "任天堂", "Nintendo Switch 有機EL 本体", "Nintendo Switch OLED", 27_500, 1_900),
    ("games", "任天堂", "スーパーファミコンソフト 5本", "5 SNES cartridges", 3_300, 420),
    ("games", "ソニー", "PS5 本体 CFI-2000", "PS5 CFI-2000", 55_000, 4_800),
    ("games", "", "ボードゲーム カタン", "Catan board game", 2_600, 1_300),
    ("phones", "アップル", "iPhone 14 128GB SIMフリー", "iPhone 14 128GB, unlocked", 62_000, 420),
    ("phones", "アップル", "AirPods Pro 第2世代", "AirPods Pro 2", 21_000, 180),
    ("phones", "グーグル", "Pixel 8a", "Pixel 8a", 42_000, 380),
    ("phones", "", "スマホケース 手帳型", "Phone case, folio", 800, 90),
    ("electronics", "ソニー", "ミラーレスカメラ α6400", "Mirrorless camera a6400", 78_000, 1_300),
    ("electronics", "ダイソン", "コードレス掃除機 V10", "V10 cordless vacuum", 19_800, 4_100),
    ("electronics", "ボーズ", "ノイズキャンセリングヘッドホン", "Noise cancelling headphones", 17_500, 700),
    ("electronics", "エプソン", "プリンター 純正インク6色", "Printer ink, 6 colours", 3_900, 380),
    ("electronics", "キヤノン", "コピー機用トナー", "Toner for a copier", 6_200, 1_800),
    ("home", "無印良品", "アロマディフューザー", "Aroma diffuser", 2_300, 520),
    ("home", "ニトリ", "カラーボックス 2段", "Shelf, two tiers", 1_400, 5_200),
    ("home", "イッタラ", "マグカップ 2個", "Two mugs", 3_500, 900),
    ("home", "バーミキュラ", "ライスポット", "Rice pot", 38_000, 7_800),
    ("home", "", "コピー用紙 A4 500枚×3", "Copy paper, 3 reams", 1_500, 7_000),
    ("home", "", "多肉植物 寄せ植え", "Succulents", 1_600, 900),
    ("books", "", "鬼滅の刃 全巻セット", "Demon Slayer, complete set", 6_800, 4_300),
    ("books", "", "TOEIC 公式問題集 7・8", "TOEIC practice tests 7 and 8", 2_200, 1_400),
    ("books", "", "家庭菜園の本 3冊", "Three books on vegetable gardens", 1_300, 1_100),
    ("books", "", "文庫本 10冊まとめ", "Ten paperbacks", 1_000, 1_500),
    ("music", "", "シティポップのレコード 3枚", "Three city pop records", 5_400, 1_100),
    ("music", "ヤマハ", "アコースティックギター FG800", "FG800 acoustic guitar", 16_000, 4_600),
    ("music", "", "推しのアクリルスタンド", "Acrylic stand", 1_300, 70),
    ("sports", "モンベル", "ダウン寝袋 #3", "Down sleeping bag #3", 13_500, 1_000),
    ("sports", "スノーピーク", "焚火台 M", "Fire pit M", 8_800, 3_900),
    ("sports", "ミズノ", "軟式グローブ", "Baseball glove", 4_400, 800),
    ("sports", "", "ヨガマット 6mm", "Yoga mat 6 mm", 1_100, 1_200),
    ("sports", "", "ユニフォーム PayPayドーム限定", "Uniform, PayPay Dome limited", 3_900, 320),
    ("beauty", "資生堂", "美容液 未開封", "Serum, unopened", 4_800, 220),
    ("beauty", "", "アイライナー 2本", "Two eyeliners", 1_000, 60),
    ("beauty", "パナソニック", "ナノケア ドライヤー", "Nanocare hair dryer", 9_900, 900),
    ("food", "", "新米 コシヒカリ 5kg", "New rice, 5 kg", 3_300, 5_200),
    ("food", "", "紀州の梅干し 家庭用", "Umeboshi", 1_700, 1_100),
    ("craft", "", "ビーズとラインストーン詰め合わせ", "Beads and rhinestones", 1_200, 340),
    ("craft", "", "羊毛フェルトの柴犬", "Felted shiba", 2_500, 100),
    ("craft", "ブラザー", "電子ミシン", "Sewing machine", 11_000, 6_900),
    ("car", "", "ドライブレコーダー", "Dash cam", 5_600, 480),
    ("car", "トヨタ", "純正フロアマット", "Genuine floor mats", 4_900, 3_000),
)

GOODS: Final = tuple(
    Good(category=category, brand=brand, ja=ja, en=en, median_minor=median_minor, weight_g=weight_g)
    for category, brand, ja, en, median_minor, weight_g in _GOODS
)

TITLE_TAILS: Final[dict[str, tuple[str, ...]]] = {
    "ja": (
        "",
        "",
        " 美品",
        " 送料込み",
        " 値下げ中",
        " 箱あり",
        " 未使用に近い",
        "【匿名配送】",
        " まとめ割あり",
        " 即購入OK",
        " 24時間以内発送",
    ),
    "en": ("", "", " (mint)", " - free shipping", ", price drop", ", barely used", ", with box"),
}

DESCRIPTIONS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "ja": (
        (
            "ご覧いただきありがとうございます。",
            "数ある中からご覧いただきありがとうございます。",
            "家の片付けで出てきました。",
            "引っ越しのため出品します。",
            "サイズが合わなくなったので手放します。",
            "買い替えのため出品いたします。",
            "贈り物でいただきましたが、使う機会がありませんでした。",
            "コレクション整理のためお譲りします。",
            "",
        ),
        (
            "{item}です。",
            "{item}になります。購入は一昨年です。",
            "{item}を出品します。管理用の番号は{model}です。",
            "{item}。ラインナップの中でいちばん人気の色でした。",
            "{item}です。定価の半分ほどにしました。",
            "去年オンラインで購入した{item}です。",
            "百貨店で購入した{item}です。数回使いました。",
            "{item}。自宅保管です。",
        ),
        (
            "目立つ傷や汚れはありません。",
            "角に少しスレがあります。写真をご確認ください。",
            "薄いシミが一か所ありますが、着ると見えません。",
            "動作確認済みです。",
            "新品未開封です。",
            "使用感はありますが、まだまだお使いいただけます。",
            "素人採寸で縦{n}cmほどです。",
            "購入時の箱に入れてお送りします。",
            "電池やケーブルなどの付属品は写真の通りです。",
            "保管していたため、多少のにおいはあるかもしれません。",
            "ペット、喫煙者はおりません。",
        ),
        (
            "即購入OKです。",
            "お値下げはご遠慮ください。",
            "匿名配送で、二日以内に発送します。",
            "中古品にご理解のある方のみお願いします。",
            "簡易包装で失礼します。",
            "直取引や専用出品はお断りしています。",
            "ほかの商品とまとめて購入で100円引きします。",
            "気になることはコメントで聞いてください。",
            "オンラインで見つけた方もお気軽にどうぞ。",
            "",
        ),
    ),
    "en": (
        (
            "Moving sale.",
            "My daughter has outgrown it.",
            "From my own collection.",
            "Bought last year, rarely used.",
            "Decluttering.",
            "",
        ),
        ("{item}, model {model}.", "This is a {item}.", "Selling my {item}.", "{item}, bought online in Japan."),
        (
            "No visible damage.",
            "Small scuff on one corner, see photos.",
            "Tested and working.",
            "Unopened.",
            "About {n} cm.",
        ),
        ("Ships within two days.", "Ask me anything.", "No direct deals, please.", "Price includes shipping.", ""),
    ),
}

CARRIERS: Final[dict[str, tuple[str, ...]]] = {
    "ja": ("ヤマト運輸", "日本郵便", "佐川急便", "ゆうパケット"),
    "en": ("Yamato", "Japan Post", "Sagawa", "Yu-Packet"),
}

DAYS: Final[dict[str, tuple[str, ...]]] = {
    "ja": ("明日", "明後日", "金曜日", "今週末", "25日", "来週の月曜", "12月3日"),
    "en": ("tomorrow", "Friday", "the weekend", "Monday", "the 25th", "3 December"),
}

STREAM_TITLES: Final[dict[str, tuple[str, ...]]] = {
    "ja": (
        "【生配信】秋物古着まつり",
        "週末ヴィンテージ時計オークション",
        "ポケカ開封と一円スタート",
        "ハンドメイド作家のアトリエから",
        "レコードを聴きながら値付けします",
        "北欧食器、今夜かぎり",
        "スニーカー倉庫ツアー",
        "農家直送!りんごの試食会",
    ),
    "en": ("Vintage cameras, live from Kobe", "Friday record auction", "Handmade ceramics studio"),
}

NICKNAMES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "ja": (
        (
            "まめ", "さくら", "ゆうたん", "みかん", "こはる", "はるまき", "しろくま", "たけし", "ひろ", "なつ", "あおい", "りんご",
            "もなか", "くるみ", "けんじ", "そら", "ちびまま", "おもち", "ののか", "つばさ", "よしこ", "かずえ", "らて", "きなこ",
            "とらじろう", "えり", "まさと", "すず", "ふく", "いちご", "ぽん", "さとみ",
        ),
        (
            "", "", "*プロフ必読", "ショップ", "🌷", "@即購入OK", "ママ", "の部屋", "1985", "_0723", "☆値下げ中", "商店", "さん", "55", "★土日発送",
        ),
    ),
    "en": (
        ("Emma", "jake", "Olivia", "Noah", "mika", "Tom", "Priya", "Lucas", "Hana", "Ben", "sofia", "Leo"),
        ("", " in Tokyo", "_retro", "92", "'s closet", ".k", "_jp", " & co"),
    ),
}  # fmt: skip
