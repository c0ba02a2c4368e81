"""Reading files with maps: what is wrong is named, what cannot be read is counted, nothing else of the disk is read."""

import gzip
import pathlib

import duckdb
import pytest

from koban.insight import FileUnreadable, Map, MapInvalid, MappedRow, Truth, load_map, open_mapped

TYPES = {"text": "text", "price_minor": "int", "ok": "bool", "at": "timestamp", "rate": "decimal"}


def read(mapping: Map, *files: pathlib.Path) -> list[MappedRow]:
    with open_mapped(mapping, files, TYPES, files[0].parent) as mapped:
        return [row for chunk in mapped.chunks() for row in chunk]


def a_map(**changes: object) -> Map:
    given: dict[str, object] = {"about": "x", "source": "x", "event": "message.sent", "data": {"text": "text"}}
    return Map(**{**given, **changes})  # type: ignore[arg-type]  # the tests' own words


def write(path: pathlib.Path, content: str | bytes) -> pathlib.Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("about: [", "bad.yaml:1:9", "expected"),
        ("about: x\nsource: x\nevent: e\n", "bad.yaml", "missing required field `data`"),
        ("about: x\nsource: x\nevent: e\ndata: {a: b}\nnonsense: 1\n", "bad.yaml", "unknown field `nonsense`"),
        ("about: x\nsource: x\nevent: e\ndata: {a: b}\nsplit: half\n", "split", "hash, time, own, none"),
        ("about: x\nsource: x\nevent: e\ndata: {a: b}\nsplit: own\n", "test", "belong together"),
        ("about: x\nsource: x\nevent: [e, f]\ndata: {a: b}\n", "event_of", "belong together"),
        ("about: x\nsource: x\nevent: e\ndata: {}\n", "data", "fills no field"),
        ("about: x\nsource: x\nevent: e\ndata: {a: b}\nbeside: {rows: x}\n", "beside.rows", "is not file or rows"),
    ],
)
def test_what_is_wrong_with_a_map_is_named_with_its_place(
    tmp_path: pathlib.Path, text: str, place: str, says: str
) -> None:
    with pytest.raises(MapInvalid) as caught:
        load_map(write(tmp_path / "bad.yaml", text))
    (problem,) = caught.value.problems
    assert problem.path.endswith(place)
    assert says in problem.detail


def test_an_unknown_column_is_named_with_the_columns_that_there_are(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "who,text\nann,hello\n")
    with pytest.raises(MapInvalid) as caught:
        read(a_map(data={"text": "txt"}, time="lowr(who)"), file)
    time, text = caught.value.problems
    assert time.path == "time"
    assert "lowr does not exist" in time.detail
    assert 'Did you mean "lower"' in time.detail
    assert text.path == "data.text"
    assert '"txt" not found' in text.detail
    assert "Columns of the file: who, text." in text.hint
    assert "txt" in text.hint


def test_a_column_with_the_name_of_an_sql_word_is_told_how_to_be_written(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text,at\nhello,1\n")
    with pytest.raises(MapInvalid) as caught:
        read(a_map(id="at"), file)
    assert 'text, "at"' in caught.value.problems[0].hint


def test_wrong_sql_is_shown_with_the_message_of_the_database(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text\nhello\n")
    with pytest.raises(MapInvalid) as caught:
        read(a_map(where="text text)"), file)
    assert caught.value.problems[0].path == "where"
    assert "syntax error" in caught.value.problems[0].detail


def test_rows_of_csv_are_typed_by_what_the_fields_are(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text,price,ok,at,rate\nhello,12,true,2026-01-02T03:04:05+09:00,0.25\n")
    data = {"text": "text", "price_minor": "price", "ok": "ok", "at": '"at"', "rate": "rate"}
    (row,) = read(a_map(data=data, time="'2026-01-01'"), file)
    at = 1_767_290_645_000_000
    assert row.data == {"text": "hello", "price_minor": 12, "ok": True, "at": at, "rate": 0.25}
    assert row.at == 1_767_225_600_000_000
    assert row.id == "a-1"


def test_lines_of_csv_that_are_no_rows_are_counted_with_their_line(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", b"who,text\nann,one\nbob\ncid,two,more\ndan,b\xffd\neve,three\n")
    with open_mapped(a_map(), [file], TYPES, tmp_path) as mapped:
        rows = [row.data["text"] for chunk in mapped.chunks() for row in chunk]
        assert rows == ["one", "three"]
        assert mapped.rejected == 3
        assert [each.place for each in mapped.rejects] == ["line 3", "line 4", "line 5"]
        assert "Found: 1" in mapped.rejects[0].problems[0].detail
        assert "Found: 3" in mapped.rejects[1].problems[0].detail
        hints = ["encoding: cp932" in each.problems[0].hint for each in mapped.rejects]
        assert hints == [False, False, True], "bytes that are no UTF-8 have an encoding that can be named"
        assert "bob" not in str(mapped.rejects)  # what a line holds is not repeated


def test_lines_that_are_no_json_are_named(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"text":"one"}\n{"text":\n{"text":"two"}\n')
    rows = read(a_map(), file)
    assert [row.data["text"] for row in rows] == ["one", None, "two"]
    assert [[problem.path for problem in row.problems] for row in rows] == [[], ["row"], []]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('[{"text":"one"},{"text":"two"}]', ["one", "two"]),
        ('[\n  {"text": "one"},\n  {"text": "two"}\n]\n', ["one", "two"]),
        ('{"text":"one"}\n{"text":\n{"text":"two"}\n', ["one", None, "two"]),
    ],
)
def test_a_json_file_may_hold_an_array_or_lines(tmp_path: pathlib.Path, content: str, found: list[str | None]) -> None:
    assert [row.data["text"] for row in read(a_map(), write(tmp_path / "a.json", content))] == found


def test_a_text_file_has_one_column_and_a_row_for_each_line(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.txt", 'one, "two"\tthree\n\nfour; five\n')
    found = read(a_map(data={"text": "line"}, where="line IS NOT NULL"), file)
    assert [row.data["text"] for row in found] == ['one, "two"\tthree', "four; five"]


def test_a_column_of_json_with_mixed_types_is_read_as_text(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.jsonl", '{"text":"one"}\n{"text":2}\n{"text":null,"n":1}\n')
    assert [row.data["text"] for row in read(a_map(), file)] == ["one", "2", None]


def test_an_expression_that_fails_for_one_row_stops_no_other(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text,price\na,1\nb,many\nc,\nd,4\n")
    rows = read(a_map(data={"text": "text", "price_minor": "CAST(price AS INTEGER) * 2"}), file)
    assert [row.data["price_minor"] for row in rows] == [2, None, None, 8]
    assert [[problem.path for problem in row.problems] for row in rows] == [[], ["data.price_minor"], [], []]
    assert "CAST(price AS INTEGER) * 2" in rows[1].problems[0].detail


def test_one_failing_expression_in_two_fields_stops_no_other_row(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text,day\na,2026-01-01\nb, \nc,2026-01-03\n")
    rows = read(a_map(data={"text": "text", "at": "strptime(day, '%Y-%m-%d')"}, time="strptime(day, '%Y-%m-%d')"), file)
    assert sorted((str(row.data["text"]), len(row.problems)) for row in rows) == [("a", 0), ("b", 2), ("c", 0)]


def test_rows_come_in_order_of_time_and_the_last_fifth_is_the_test_part(tmp_path: pathlib.Path) -> None:
    lines = "".join(f"t{number},2026-01-{number:02d}\n" for number in (3, 1, 5, 2, 4))
    rows = read(a_map(time="day", split="time"), write(tmp_path / "a.csv", "text,day\n" + lines))
    assert [row.data["text"] for row in rows] == ["t1", "t2", "t3", "t4", "t5"]
    assert [row.is_test for row in rows] == [False, False, False, False, True]


def test_a_set_with_a_split_of_its_own_keeps_it(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text,part\na,train\nb,test\nc,\n")
    assert [row.is_test for row in read(a_map(split="own", test="part = 'test'"), file)] == [False, True, False]


def test_several_event_types_several_files_and_a_table_beside_them(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path / "a.csv", "text,who\none,ann\n")
    second = tmp_path / "b.csv.gz"
    second.write_bytes(gzip.compress(b"text,who\ntwo,bob\n"))
    write(tmp_path / "bad.csv", "name\nbob\n")
    mapping = a_map(
        event=("message.sent", "comment.posted"),
        event_of="CASE WHEN who = 'ann' THEN 'message.sent' ELSE 'comment.posted' END",
        read="read_csv(?, all_varchar=true, header=true)",
        beside={"bad": "SELECT * FROM read_csv('$FOLDER/bad.csv', header=true)"},
        truth=Truth(harmful="who IN (SELECT name FROM bad)", what="bad people", kind="who"),
    )
    found = [(row.event, row.data["text"], row.harmful, row.kind) for row in read(mapping, first, second)]
    assert found == [("message.sent", "one", False, "ann"), ("comment.posted", "two", True, "bob")]


def test_a_file_in_another_encoding_is_read(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text\n取引\n".encode("cp932"))
    assert [row.data["text"] for row in read(a_map(encoding="cp932"), file)] == ["取引"]
    with pytest.raises(MapInvalid, match="no encoding"):
        read(a_map(encoding="klingon"), file)


def test_parquet_is_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.parquet"
    duckdb.execute(f"COPY (SELECT 'hello' AS text, 7 AS n) TO '{file}' (FORMAT parquet)")
    (row,) = read(a_map(data={"text": "text", "price_minor": "n"}), file)
    assert row.data == {"text": "hello", "price_minor": 7}


def test_a_column_called_row_steps_aside(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text,row\nhello,99\n")
    (row,) = read(a_map(data={"text": "text || row || row_of_file"}), file)
    assert row.data == {"text": "hello199"}


def test_a_map_reads_no_other_folder(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    write(tmp_path / "secret.csv", "a\n1\n")
    file = write(folder / "a.csv", "text\nhello\n")
    with pytest.raises(MapInvalid) as caught:
        read(a_map(beside={"other": f"SELECT * FROM read_csv('{tmp_path}/secret.csv')"}), file)
    assert "Cannot access file" in caught.value.problems[0].detail


@pytest.mark.parametrize(
    ("name", "content", "says"), [("a.xlsx", "x", "not clear from the ending"), ("a.csv", None, "is no file")]
)
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: pathlib.Path, name: str, content: str | None, says: str
) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises((FileUnreadable, MapInvalid), match=says):
        read(a_map(), tmp_path / name)


def test_the_spool_is_gone_afterwards(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "a.csv", "text\nhello\n")
    read(a_map(), file)
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]


def test_every_map_of_the_examples_can_be_loaded() -> None:
    folder = pathlib.Path(__file__).parents[2] / "examples" / "maps"
    maps = {path.stem: load_map(path) for path in folder.glob("*.yaml")}
    assert len(maps) >= 20
    assert all(each.source and each.about for each in maps.values())
