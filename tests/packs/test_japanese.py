"""Whatever can be wrong with a pack is said in Japanese too: every text of a fault in the sources has a sentence of its own.

The texts are read from the code, so that a fault added without its Japanese sentence fails here. In place of a part that is filled
in stands a token; a sentence that is taken for another, more general one shows by the English words that are left in it.
"""

import ast
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

import pytest

import koban
from koban.language import in_japanese
from koban.packs import PackInvalid, files_of, parse_files
from koban.packs.faults import place, said_in

ROOT = pathlib.Path(koban.__file__).parent
FILES = sorted(
    path
    for room in ("packs", "features", "language")
    for path in (ROOT / room).glob("*.py")
    if path.name not in {"routes.py", "store.py", "draft_store.py"}
)
FILES += [ROOT / "ledger" / "templates.py", *(ROOT / "rules" / f"{name}.py" for name in ("advice", "cases", "scope"))]
PLACES: Mapping[str, tuple[int | None, int | None]] = {  # which arguments by position are the detail and the hint
    "Fault": (None, None),
    "TemplateFault": (None, None),
    "fault": (1, 2),
    "_Wrong": (0, 2),
    "SyntaxRefused": (0, None),
    "_refused": (0, None),
    "_must_be": (2, None),
}
TABLES = {"_HINTS", "_SIGNS", "_WORDS", "BANNED"}  # tables whose values are hints …
HINTING = {"nearest", "_meant"}  # … and functions that return one, as do those of `hints`
CODE = re.compile(r"`[^`]*`|\{[^}]*\}|'[^']*'|[a-z_]+\([^)]*\)|[a-z_.]+: [a-z_.]+")
ENGLISH = re.compile(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}")
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龥]")


def texts(node: ast.expr, names: Mapping[str, Sequence[ast.expr]]) -> Iterator[str]:
    """Yield each text that an expression can be, with {} where a value is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*texts(node.body, names), *texts(node.orelse, names))
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from texts(value, names)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (before + after for before in texts(node.left, names) for after in texts(node.right, names))
    elif isinstance(node, ast.Name) and node.id in names:
        rest = {key: value for key, value in names.items() if key != node.id}
        for value in names[node.id]:
            yield from texts(value, rest)
    else:
        yield "{}"


def assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(node.value)
    return found


def said(path: pathlib.Path) -> Iterator[str]:
    """Yield the text of every detail and hint that a file can give."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    outside = {name: values for name, values in assigned(tree).items() if name.isupper()}
    for takes in outside.get("_TAKES", ()):  # what each aggregate takes, the beginning of one sentence
        for node in ast.walk(takes):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield f"{node.value}, and '{{}}' is {{}}"
    for table in (value for name in TABLES for value in outside.get(name, ())):
        yield from (text for value in getattr(table, "values", ()) for text in texts(value, {}))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = outside | assigned(function)
        if path.name == "hints.py" or function.name in HINTING:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from texts(node.value, names)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name not in PLACES:
                continue
            places = [place for place in PLACES[name] if place is not None and place < len(call.args)]
            given = [call.args[place] for place in places]
            given += [each.value for each in call.keywords if each.arg in {"detail", "hint"}]
            ending = ", but this is {}" if name == "_must_be" else ""
            for each in given:
                yield from (text + ending for text in texts(each, names) if text != "{}, but this is {}")


def needs_words(text: str) -> bool:
    """Tell words from names, numbers and code, which are the same in every language."""
    return re.search(r"[a-z]{3,} [a-z]{2,}|^[a-z ]{4,}$", CODE.sub("", text)) is not None


def filled(text: str) -> str:
    count = iter(range(1, 100))
    return re.sub(r"\{\}", lambda _: f"X{next(count)}", text)


SAID = sorted({(path.parent.name, path.name, text) for path in FILES for text in said(path)})


@pytest.mark.parametrize(("room", "file"), sorted({(room, file) for room, file, _ in SAID}))
def test_every_fault_of_a_file_is_said_in_japanese(room: str, file: str) -> None:
    english = []
    for _, _, text in (each for each in SAID if each[:2] == (room, file)):
        if not needs_words(text):
            continue
        told = in_japanese(filled(text))
        if not JAPANESE.search(told) or ENGLISH.search(CODE.sub("", told)):
            english.append(f"{text!r}: {told!r}")
    assert english == []


def test_the_walk_sees_the_faults() -> None:
    assert len(SAID) > 300
    assert {
        ("packs", "rule_sections.py", "'then' must not be empty"),
        ("packs", "reading.py", "{} has {} entries; at most {} are allowed"),
        ("ledger", "templates.py", "an entry has a debit and a credit"),
        ("language", "check.py", "IN does not take {}"),
    } <= set(SAID)


def test_a_pack_of_bad_form_is_told_in_japanese_line_by_line() -> None:
    files = {
        **files_of(pathlib.Path(__file__).parent / "small"),
        "queues.yaml": "- queue: scams\n  title: {en: Scams}\n  due: soon\n  escalates_to: scams\n",
        "rules/more.yaml": (
            "- rule: Loud\n  policy: fraud\n  on: []\n  when: 'true'\n  then: [shout, {hold: 3 days}]\n  mode: loud\n"
            "  because: {en: x, ja: y}\n"
        ),
        "extras.yaml": "[]",
    }
    with pytest.raises(PackInvalid) as caught:
        parse_files(files)

    told = [
        f"{place(fault.source)} {fault.detail} {fault.hint}".rstrip() for fault in said_in("ja", caught.value.faults)
    ]

    assert told[0].startswith(
        "extras.yaml:1:1 ルールパックにこの名前の部分はありません pack.yaml, events.yaml or events/*.yaml, "
    )
    assert told[1:] == [
        "queues.yaml:1:3 キューの引き上げ先を自分自身にはできません",
        "queues.yaml:2:10 「title」にはキー「ja」が必要です",
        "queues.yaml:3:8 「due」は期間として読めません 数と単位を 10 年まで書きます：90 seconds, 10 minutes, 72 hours, 7 days, 2 weeks",
        "rules/more.yaml:1:9 「rule」の「Loud」は名前として使えません 英小文字、数字、_ だけを使い、英字で始め、80 文字までにします",
        "rules/more.yaml:3:7 「on」にはイベント種別を一つ以上書きます",
        "rules/more.yaml:5:10 措置「shout」はありません 使えるもの：block, challenge, freeze_payout, hide, hold, restrict, review, strike, suspend, warn",
        "rules/more.yaml:5:17 措置「hold」にはキー「becomes」が必要です 例：{hold: 72 hours, becomes: block}",
        "rules/more.yaml:6:9 「mode」を読めません retired、off、shadow、review、live、または {live: 10%}（0% を超え 100% まで）と書きます",
    ]
