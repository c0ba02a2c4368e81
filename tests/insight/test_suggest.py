"""A first map for a file that nobody described can be loaded and used."""

import pathlib

import pytest

from koban.insight import FileUnreadable, load_map, open_mapped, suggest_map
from koban.packs import load_pack

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


def test_a_suggested_map_reads_the_file_it_was_made_for(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "posts.csv"
    lines = [
        f"{n},ann,2026-01-{n:02d} 10:00:00,this is the text number {n},{'spam' if n % 3 else 'ham'}"
        for n in range(1, 28)
    ]
    file.write_text("id,user,created,body,label\n" + "\n".join(lines))
    path = tmp_path / "map.yaml"
    path.write_text(suggest_map(file, load_pack(SMALL_PACK)))
    mapping = load_map(path)
    assert mapping.data["text"] == "body"
    assert mapping.data["sender.id"] == '"user"' or mapping.data["sender.id"] == "user"
    assert mapping.time == "created"
    assert mapping.id == "id"
    types = dict.fromkeys(mapping.data, "text")
    with open_mapped(mapping, [file], types, tmp_path) as mapped:
        rows = [row for chunk in mapped.chunks() for row in chunk]
    assert [row.harmful for row in rows[:4]] == [True, True, False, True]
    assert rows[0].data["text"] == "this is the text number 1"


def test_no_file_no_map(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileUnreadable):
        suggest_map(tmp_path / "a.csv", load_pack(SMALL_PACK))
