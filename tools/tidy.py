"""What linters cannot hold: sizes, front doors, bans with the replacement named. `python tools/tidy.py` in `make check`.

Each rule is a row with a good and a bad example; tests/tools/test_tidy.py runs them all. There is no ignore list: a
ban names the one file where its subject lives.
"""

import ast
import dataclasses
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 800
FILE_BYTES_MAX = 1_000_000
FRONT_DOOR_NAMES_MAX = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing to mend."""

    path: str
    line: int
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule over one Python module: which paths it holds for, what it finds, and an example of each kind."""

    name: str
    holds_for: Callable[[str], bool]
    find: Callable[[str, ast.Module, str], Iterator[tuple[int, str]]]
    good: str
    bad: str


def _in_src(path: str) -> bool:
    return path.startswith("src/koban/")


def _banned_calls(names: dict[str, str]) -> Callable[[str, ast.Module, str], Iterator[tuple[int, str]]]:
    def find(_path: str, tree: ast.Module, _text: str) -> Iterator[tuple[int, str]]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in names:
                    yield node.lineno, f"{called}() is not used here: {names[called]}"

    return find


def _long_functions(_path: str, tree: ast.Module, _text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines; {FUNCTION_LINES_MAX} is the most"


def _long_module(_path: str, _tree: ast.Module, text: str) -> Iterator[tuple[int, str]]:
    lines = text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield 1, f"{lines} lines; {MODULE_LINES_MAX} is the most: make it a package of the same name, split by noun"


def _float_money(_path: str, tree: ast.Module, _text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if name.endswith("_minor") and "float" in ast.unparse(node.annotation):
                yield node.lineno, f"{name} is money in minor units: an int, never a float"


def _private_doors(path: str, tree: ast.Module, _text: str) -> Iterator[tuple[int, str]]:
    room = path.split("/")[2].removesuffix(".py")
    if "/" not in path.removeprefix("src/koban/"):
        return  # the wiring at the top may know every module
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("koban."):
            parts = node.module.split(".")
            if (
                len(parts) > 2
                and parts[1] != room
                and parts[1] != "base"
                and room not in {"pipeline", "console", "app", "cli"}
            ):
                yield node.lineno, f"{node.module} is inside another room: import from koban.{parts[1]}"


def _front_door(path: str, tree: ast.Module, _text: str) -> Iterator[tuple[int, str]]:
    if not path.endswith("/__init__.py"):
        return
    if not ast.get_docstring(tree):
        yield 1, "a front door begins with a docstring: what the room owns, publishes and guarantees"
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            count = len(ast.literal_eval(node.value))
            if count > FRONT_DOOR_NAMES_MAX:
                yield node.lineno, f"{count} names at the front door; {FRONT_DOOR_NAMES_MAX} is the most"


def _sql_in_its_place(path: str, tree: ast.Module, _text: str) -> Iterator[tuple[int, str]]:
    if path.endswith("store.py") or path.startswith(("src/koban/db/", "src/koban/language/")):
        return
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"many", "rows"}
            and node.args
            and isinstance(node.args[0], ast.Constant | ast.JoinedStr)
        ):
            yield node.lineno, "SQL of the database lives in store.py"


def _marks(_path: str, _tree: ast.Module, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"\b(TO" + "DO|FIX" + "ME|X" + "XX|HA" + r"CK)\b", line):
            yield number, "a left-over mark: do it, or write down why not"


RULES = (
    Rule(
        name="clock",
        holds_for=lambda path: _in_src(path) and path != "src/koban/base/clock.py",
        find=_banned_calls(
            {
                "datetime.datetime.now": "take the Clock that is passed in",
                "datetime.now": "take the Clock that is passed in",
                "time.time": "take the Clock that is passed in",
                "time.time_ns": "take the Clock that is passed in",
            }
        ),
        good="at = clock.now()",
        bad="at = time.time()",
    ),
    Rule(
        name="randomness",
        holds_for=_in_src,
        find=_banned_calls(
            {
                f"random.{name}": "take the random.Random that is passed in"
                for name in ("random", "choice", "randint", "shuffle", "uniform", "getrandbits", "sample", "choices")
            }
        ),
        good="randomness.choice(items)",
        bad="random.choice(items)",
    ),
    Rule(
        name="function size",
        holds_for=lambda path: not path.startswith("src/koban/db/migrations/versions/"),
        find=_long_functions,
        good="def f():\n    pass",
        bad="def f():\n" + "    pass\n" * 80,
    ),
    Rule(
        name="module size",
        holds_for=lambda path: _in_src(path) and not path.startswith("src/koban/db/migrations/versions/"),
        find=_long_module,
        good="pass",
        bad="pass\n" * 900,
    ),
    Rule(
        name="money",
        holds_for=lambda _: True,
        find=_float_money,
        good="amount_minor: int = 0",
        bad="amount_minor: float = 0.0",
    ),
    Rule(
        name="doors",
        holds_for=_in_src,
        find=_private_doors,
        good="from koban.lists import LiveLists",
        bad="from koban.lists.store import x",
    ),
    Rule(name="front door", holds_for=_in_src, find=_front_door, good='"""What it owns."""', bad="import os"),
    Rule(
        name="sql",
        holds_for=_in_src,
        find=_sql_in_its_place,
        good="store.insert(tx, rows)",
        bad='tx.many("INSERT INTO x", rows)',
    ),
    Rule(
        name="marks",
        holds_for=lambda path: path != "tools/tidy.py",
        find=_marks,
        good="# Why: so",
        bad="# TO" + "DO later",
    ),
)


def check_module(path: str, text: str) -> list[Finding]:
    """Return what the rules find in one Python module."""
    tree = ast.parse(text, path)
    return [
        Finding(path=path, line=line, message=f"{rule.name}: {message}")
        for rule in RULES
        if rule.holds_for(path)
        for line, message in rule.find(path, tree, text)
    ]


def check_tree() -> list[Finding]:
    """Return what the rules find in every tracked file."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    findings: list[Finding] = []
    for path in filter(None, listed.split("\0")):
        file = ROOT / path
        if not file.is_file():
            continue
        if file.stat().st_size > FILE_BYTES_MAX:
            findings.append(Finding(path=path, line=1, message=f"larger than {FILE_BYTES_MAX:,} bytes"))
        if path.endswith(".py"):
            findings.extend(check_module(path, file.read_text(encoding="utf-8")))
    return findings


def main() -> int:
    """Print every finding; return how the process ends."""
    findings = check_tree()
    for finding in findings:
        print(f"{finding.path}:{finding.line}: {finding.message}")
    print(f"tidy: {len(findings)} to mend" if findings else "tidy: nothing to mend")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
