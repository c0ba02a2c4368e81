import ast
import re
import tomllib

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "internals" / "architecture.md").read_text(encoding="utf-8")
SOURCES = ROOT / "src" / "koban"


def _names(path: str) -> set[str]:
    """Return the functions, classes and methods of a module: `decide`, `Desk`, `Desk.submit`."""
    found = set()
    for node in ast.parse((SOURCES / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found.update(f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))
    return found


def test_every_file_and_name_on_the_page_exists() -> None:
    for line in PAGE.splitlines():
        paths = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", line)
        paths = [path for path in paths if "/" in path or path == "subscriptions.py"]
        named = [name for name in re.findall(r"`([A-Za-z_]+(?:\.[A-Za-z_]+)?)`", line) if not name.endswith(".py")]
        missing = [path for path in paths if not (SOURCES / path).is_file()]
        assert missing == [], line
        known = set().union(*(_names(path) for path in paths)) if paths else set()
        functions = [name for name in named if "." in name or name[0].isupper() or name in known]
        if paths and line.startswith(("|", "2.")):
            assert [name for name in functions if name not in known] == [], line


def test_methods_named_in_prose_exist() -> None:
    known = set().union(*(_names(path.relative_to(SOURCES).as_posix()) for path in SOURCES.rglob("*.py")))
    named = set(re.findall(r"`([A-Z][A-Za-z]+\.[a-z_]+)`", PAGE))
    assert named - known == set()


def test_every_room_is_in_the_house_and_on_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {room.strip() for layer in layers for room in layer.split("|")}
    table = PAGE.partition("| room | owns |")[2].partition("\n\n")[0]
    assert rooms == {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_thread_on_the_page_is_started_somewhere() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    for name in re.findall(r"`(koban-[a-z-]+)`", PAGE.partition("## Threads")[2].partition("## Recovery")[0]):
        assert name in sources, name
