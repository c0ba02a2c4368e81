"""Damaged packs: whatever stands in the files, a pack is read or refused with faults that have a place."""

import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koban.packs import PackInvalid, files_of, parse_files

FILES = files_of(pathlib.Path(__file__).parent / "small")
PIECES = ["", "-", ":", "{", "}", "[", "]", '"', "'", "\n", "\n  ", "\t", "#", "|", ">", "&a ", "*a", "!!int ", "~"]
PIECES += [
    "\x00",
    "\u2028",
    "\ufeff",
    "\U0001f600",
    "？",
    "- - ",
    "? ",
    "<<: ",
    "%",
    "99999999999999999999",
    "of(",
    "%YAML 1.1\n---\n",
]


def refusal_of(files: dict[str, str]) -> PackInvalid | None:
    try:
        parse_files(files)
    except PackInvalid as refused:
        return refused
    return None


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_pack_is_read_or_refused_with_places(data: st.DataObject) -> None:
    files = dict(FILES)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(files)))
        text = files[name]
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        files[name] = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    refused = refusal_of(files)
    if refused is not None:
        assert refused.faults
        assert refused.rendered
        assert all(fault.source.line >= 1 and fault.source.column >= 1 and fault.detail for fault in refused.faults)


@pytest.mark.parametrize("name", ["../x.yaml", "/etc/x.yaml", "rules/.yaml", "rules//x.yaml", "x.py", "Rules.yaml", ""])
def test_a_file_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(PackInvalid, match="no file of a pack has such a name"):
        parse_files({**FILES, name: "[]"})


def test_half_a_surrogate_pair_is_refused_with_its_line() -> None:
    with pytest.raises(PackInvalid) as caught:
        parse_files({**FILES, "queues.yaml": "[]\n# \ud800"})
    assert [(fault.source.file, fault.source.line) for fault in caught.value.faults] == [("queues.yaml", 2)]


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(PackInvalid, match="more than 4194304 bytes"):
        parse_files({**FILES, "lists/big.txt": "あ" * 1_500_000})
