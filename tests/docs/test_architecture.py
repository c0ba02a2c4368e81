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


def _everything() -> set[str]:
    return set().union(*(_names(path.relative_to(SOURCES).as_posix()) for path in SOURCES.rglob("*.py")))


def test_every_file_on_the_page_exists_and_holds_what_the_page_says() -> None:
    for line in PAGE.splitlines():
        paths = [path for path in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", line) if "/" in path]
        assert [path for path in paths if not (SOURCES / path).is_file()] == [], line
        step = re.match(r"\| \d+ \| (?P<where>[^|]+) \|", line)
        if step is not None:
            named = {name for name in re.findall(r"`([A-Za-z_.]+)`", step["where"]) if not name.endswith(".py")}
            assert named - set().union(*map(_names, paths)) == set(), line


def test_methods_named_in_prose_exist() -> None:
    named = set(re.findall(r"`([A-Z][A-Za-z]+(?:\.[a-z_]+)?)`", PAGE)) - {"Retry"}
    assert named - _everything() == set()


def test_every_room_is_in_the_house_and_on_the_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    height = {room.strip(): -place for place, layer in enumerate(layers) for room in layer.split("|")}
    table = PAGE.partition("| room | owns |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(height)
    lowest = [min(height[name] for name in re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines()[2:]]
    assert lowest == sorted(lowest), "a room stands on the page above one that it may import"


def test_every_thread_that_a_server_starts_is_on_the_page() -> None:
    page = PAGE.partition("## Threads")[2].partition("## Recovery")[0]
    for path in SOURCES.rglob("*.py"):
        where = path.relative_to(SOURCES).as_posix()
        if where == "payments/server.py" or where.startswith("sim/"):
            continue  # the other side of a wire, for tests and demonstrations
        for name in re.findall(
            r'(?:name|thread_name_prefix)="(koban-[a-z-]+)"|Lookout\(\s*"(koban-[a-z-]+)"',
            path.read_text(encoding="utf-8"),
        ):
            assert f"`{''.join(name)}`" in page, (where, name)


def test_every_thread_on_the_page_is_started_somewhere() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    for name in re.findall(r"`(koban-[a-z-]+)`", PAGE.partition("## Threads")[2].partition("## Recovery")[0]):
        assert name in sources, name


def test_every_seam_that_is_named_exists() -> None:
    page = (ROOT / "docs" / "internals" / "seams.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:koban\.[a-z.]+\.)?([A-Z][A-Za-z]+)`", page))
    sources = "".join(path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py"))
    assert {name for name in named if not re.search(rf"^(?:class )?{name}\b", sources, re.MULTILINE)} == set()


def test_every_variable_that_tests_read_is_described() -> None:
    page = (ROOT / "docs" / "internals" / "testing.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    sources += (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    read = set(re.findall(r'environ(?:\.get\(|\[)"(KOBAN_[A-Z_]+)"', sources))
    assert {name for name in read if f"`{name}`" not in page} == set()
