import re
import tomllib

from tests.docs.pages import ROOT


def test_every_dependency_has_a_line_of_why() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    needed = {re.split(r"[\[<>=;~ ]", each)[0] for group in groups for each in group}
    page = (ROOT / "docs" / "decisions" / "0003-dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Za-z0-9-]+)` \| \S", page, re.MULTILINE)) == needed


def test_decision_records_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
