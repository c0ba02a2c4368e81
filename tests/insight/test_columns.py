"""Looking at files that nobody described: encodings, columns, guesses, and the map that a choice stands for."""

import gzip
import pathlib

import duckdb
import pytest

from koban.base import Instant, from_rfc3339
from koban.insight import FileUnreadable, MapInvalid, open_mapped
from koban.insight.columns import Chosen, Looked, encoding_of, harmful_values, look, map_of
from koban.packs import PackDef, load_pack

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"

JAPANESE = "受信日時,送信者,本文,判定\n2024年1月5日 10時03分,たろう,振込先を教えてください,違反\n2024年1月6日 11時00分,はな,発送ありがとうございます,正常\n"


@pytest.fixture(scope="module")
def pack() -> PackDef:
    return load_pack(STARTER)


def looked(path: pathlib.Path, pack: PackDef) -> Looked:
    return look(path, pack, path.parent)


def chosen(found: Looked, **changes: str) -> Chosen:
    columns = {each.name: each.meaning for each in found.columns} | changes
    return Chosen(event=found.event, encoding=found.encoding, columns=columns, harmful=found.harmful)


@pytest.mark.parametrize(
    ("raw", "encoding", "damaged"),
    [
        ("a,b\n1,日本語".encode(), "utf-8", False),
        ("﻿a,b\n1,日本語".encode(), "utf-8", False),
        (JAPANESE.encode("cp932"), "cp932", False),
        (JAPANESE.encode("shift_jis"), "cp932", False),
        ("①㈱,髙".encode("cp932"), "cp932", False),
        (JAPANESE.encode("euc_jp"), "euc_jp", False),
        (JAPANESE.encode("utf-16"), "utf-16", False),
        (b"a,b\n\xff\xff\xff\x81", "utf-8", True),
    ],
)
def test_encodings_are_told_from_what_is_in_the_file(
    tmp_path: pathlib.Path, raw: bytes, encoding: str, *, damaged: bool
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(raw)
    assert encoding_of(file) == (encoding, damaged)
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(raw))
    assert encoding_of(packed) == (encoding, damaged)


def test_a_character_that_the_sample_cuts_is_no_damage(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"x" + "漢".encode() * 400_000)
    assert encoding_of(file) == ("utf-8", False)


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp", "utf-16"])
def test_a_japanese_file_is_guessed_and_read_whole(tmp_path: pathlib.Path, pack: PackDef, encoding: str) -> None:
    file = tmp_path / "受信.csv"
    file.write_bytes(JAPANESE.encode(encoding))
    found = looked(file, pack)
    assert {each.name: each.meaning for each in found.columns} == {
        "受信日時": "time",
        "送信者": "sender.id",
        "本文": "text",
        "判定": "truth",
    }
    assert found.harmful == ("違反",)
    mapping = map_of(chosen(found), pack, about="x", source="y")
    with open_mapped(mapping, [file], dict.fromkeys(mapping.data, "text"), tmp_path) as mapped:
        rows = [row for chunk in mapped.chunks() for row in chunk]
    assert [(row.data["text"], row.data["sender.id"], row.harmful) for row in rows] == [
        ("振込先を教えてください", "たろう", True),
        ("発送ありがとうございます", "はな", False),
    ]
    assert rows[0].at == from_rfc3339("2024-01-05T10:03:00Z")
    assert not any(row.problems for row in rows)


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2024-01-05T10:03:00+09:00", "2024-01-05T01:03:00Z"),
        ("2024/01/05 10:03", "2024-01-05T10:03:00Z"),
        ("2024年1月5日", "2024-01-05T00:00:00Z"),
        ("1704449000", "2024-01-05T10:03:20Z"),
        ("1704449000123", "2024-01-05T10:03:20.123Z"),
        ("someday", None),
    ],
)
def test_moments_are_read_as_files_write_them(
    tmp_path: pathlib.Path, pack: PackDef, written: str, at: str | None
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"when,text\n{written},はじめまして、よろしくお願いします\n", encoding="utf-8")
    choice = Chosen(event="message.sent", encoding="utf-8", columns={"when": "time", "text": "text"})
    mapping = map_of(choice, pack, about="x", source="y")
    with open_mapped(mapping, [file], dict.fromkeys(mapping.data, "text"), tmp_path) as mapped:
        row = next(row for chunk in mapped.chunks() for row in chunk)
    assert row.at == (None if at is None else Instant(from_rfc3339(at) or 0))


@pytest.mark.parametrize(
    ("written", "amount"), [("1200", 1200), ("1,200円", 1200), ("１，２００", 1200), ("¥-5", -5), ("無料", None)]
)
def test_numbers_are_read_as_people_write_them(
    tmp_path: pathlib.Path, pack: PackDef, written: str, amount: int | None
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f'price,title\n"{written}",自転車を売ります、状態良好\n', encoding="utf-8")
    choice = Chosen(event="listing.created", encoding="utf-8", columns={"price": "price_minor", "title": "title"})
    mapping = map_of(choice, pack, about="x", source="y")
    types = {path: pack.events["listing.created"].fields[path].type for path in mapping.data}
    with open_mapped(mapping, [file], dict(types), tmp_path) as mapped:
        row = next(row for chunk in mapped.chunks() for row in chunk)
    assert row.data["price_minor"] == amount
    assert not row.problems


def test_json_lines_and_parquet_are_looked_at_too(tmp_path: pathlib.Path, pack: PackDef) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"user": "u1", "message": "送料込みでお願いします", "spam": 0}\n' * 20, encoding="utf-8")
    assert {each.name: each.meaning for each in looked(lines, pack).columns} == {
        "user": "sender.id",
        "message": "text",
        "spam": "",
    }
    table = tmp_path / "b.parquet"
    duckdb.sql(f"COPY (SELECT 'u' || i AS account, i * 100 AS amount FROM range(30) t(i)) TO '{table}'")
    found = looked(table, pack)
    assert found.event == "payment.attempted"
    assert {each.name: each.meaning for each in found.columns} == {"account": "buyer.id", "amount": "amount_minor"}


def test_what_cannot_be_is_named(tmp_path: pathlib.Path, pack: PackDef) -> None:
    def problems(**columns: str) -> list[tuple[str, str]]:
        choice = Chosen(event="message.sent", encoding="utf-8", columns=columns)
        with pytest.raises(MapInvalid) as refused:
            map_of(choice, pack, about="x", source="y")
        return [(each.path, each.detail) for each in refused.value.problems]

    assert problems(a="text", b="text") == [("b", "twice")]
    assert problems(a="colour") == [("a", "no_such_field"), ("", "no_field")]
    assert problems(a="") == [("", "no_field")]
    assert problems(a="text", b="truth") == [("b", "no_harmful_value")]
    with pytest.raises(MapInvalid):
        map_of(Chosen(event="no.such", encoding="utf-8", columns={"a": "text"}), pack, about="x", source="y")
    with pytest.raises(FileUnreadable):
        look(tmp_path / "none.csv", pack, tmp_path)


def test_a_column_s_name_is_never_sql(tmp_path: pathlib.Path, pack: PackDef) -> None:
    file = tmp_path / "a.csv"
    name = 'x"; DROP TABLE file; --'
    doubled = name.replace('"', '""')
    file.write_text(f'"{doubled}"\n"手数料分お安くしますので直接取引しませんか"\n', encoding="utf-8")
    found = looked(file, pack)
    assert [each.name for each in found.columns] == [name]
    mapping = map_of(chosen(found, **{name: "text"}), pack, about="x", source="y")
    with open_mapped(mapping, [file], dict.fromkeys(mapping.data, "text"), tmp_path) as mapped:
        row = next(row for chunk in mapped.chunks() for row in chunk)
    assert row.data["text"] == "手数料分お安くしますので直接取引しませんか"


@pytest.mark.parametrize(
    ("values", "harmful"),
    [
        (("0", "1"), ("1",)),
        (("ham", "spam"), ("spam",)),
        (("not_toxic", "toxic"), ("toxic",)),
        (("問題なし", "詐欺"), ("詐欺",)),
        (("悪", "良"), ("悪",)),
        (("clean", "grooming", "threat"), ("grooming", "threat")),
        (("a", "b"), ("b",)),
    ],
)
def test_values_that_look_like_harm(values: tuple[str, ...], harmful: tuple[str, ...]) -> None:
    assert harmful_values(values) == harmful
