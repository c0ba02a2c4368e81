import pathlib

from tests.docs.pages import ROOT, blocks_of, difference, free_port, lay_out, run_blocks, server


def test_what_readme_and_tutorial_show_is_what_happens(tmp_path: pathlib.Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    lay_out(clone)
    blocks = [*blocks_of(ROOT / "README.md"), *blocks_of(ROOT / "docs" / "tutorial" / "README.md")]
    port = free_port()
    with server(clone, port):
        printed = run_blocks(blocks, clone, {":8420": f":{port}", "8429": str(free_port())})
    assert len(printed) == len(blocks)
    wrong = [difference(block, output) for block, output in zip(blocks, printed, strict=True)]
    assert not any(wrong), "\n".join(filter(None, wrong))
