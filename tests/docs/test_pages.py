import pathlib
import re
import unicodedata

import pytest
from tests.docs.pages import PAGES, ROOT, blocks_of

_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_PICTURE = re.compile(r"!\[[^\]\n]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|Users)/[\w.]|localhost:(?!8420)\d{4}|[A-Z]:\\\\")
_LEFT_OVER = re.compile(r"\b(TO" + "DO|FIX" + "ME|TB" + r"D)\b")


def _prose(path: pathlib.Path) -> str:
    return _FENCED.sub("", path.read_text(encoding="utf-8"))


def _anchors(path: pathlib.Path) -> set[str]:
    """Return the anchors of a page's headings, made as code hosts make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", _prose(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        kept = (each for each in plain if each in " -_" or unicodedata.category(each)[0] in "LNM")
        found.add("".join(kept).replace(" ", "-"))
    return found


def _broken(path: pathlib.Path) -> list[str]:
    broken = []
    text = _prose(path)
    for target in _LINK.findall(text) + _PICTURE.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        if (
            not file.exists()
            or not file.is_relative_to(ROOT)
            or (anchor and file.suffix == ".md" and anchor not in _anchors(file))
        ):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: pathlib.Path) -> None:
    assert _broken(path) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_page_names_a_place_on_one_machine_or_something_left_to_do(path: pathlib.Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert _MACHINE.findall(text) == []
    assert _LEFT_OVER.findall(text) == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[pathlib.Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in _LINK.findall(_prose(page)):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.is_file():
                waiting.append(file)
            elif file.is_dir() and file.is_relative_to(ROOT / "docs"):
                waiting.extend(file.glob("*.md"))
    assert {page.relative_to(ROOT).as_posix() for page in PAGES} - {
        page.relative_to(ROOT).as_posix() for page in reached
    } == set()


def test_readme_and_tutorial_have_blocks_that_run() -> None:
    assert len(blocks_of(ROOT / "README.md")) >= 2
    assert len(blocks_of(ROOT / "docs" / "tutorial" / "README.md")) >= 10
