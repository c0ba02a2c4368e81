import pytest
from tests.language.ground import ENV, NOON, SCOPE, checked

from koban.language import (
    NEVER,
    Environment,
    LanguageErrors,
    Type,
    check,
    compile_program,
    compile_trace,
    compile_traces,
    compile_value,
    emit_truth,
    emit_value,
    show,
)
from koban.language.emit import RUNTIME
from koban.language.syntax import Syntax, parse
from koban.text import Normalised, PhraseList, PhraseMatcher, normalise


def test_a_program_returns_the_indexes_of_what_is_true() -> None:
    program = compile_program([checked("a > 1"), checked("a > 5"), checked("NOT a > 5"), checked("a IS NULL")])
    assert program.run({"a": 3}, {}, NOON, ENV, None) == (0, 2)
    assert program.run({"a": 6}, {}, NOON, ENV, None) == (0, 1)
    assert program.run({}, {}, NOON, ENV, None) == (3,)
    assert compile_program([]).run({}, {}, NOON, ENV, None) == ()


def test_common_conditions_are_computed_once_and_patterns_share_a_set() -> None:
    texts = ["matches(s, 'a') AND a > 5", "matches(s, 'b') AND a > 5", "matches(s, 'a') AND matches(t, 'c') AND a > 5"]
    program = compile_program([checked(text) for text in texts])
    assert program.source.count("> 5") == 1
    assert program.run({"s": "ab", "t": "c", "a": 6}, {}, NOON, ENV, None) == (0, 1, 2)
    assert program.run({"s": "b", "t": "c", "a": 6}, {}, NOON, ENV, None) == (1,)
    assert "P1" in program.source
    assert "P2" not in program.source


def test_a_field_is_normalised_once_only_when_needed_and_the_result_is_shared() -> None:
    program = compile_program([checked("a > 1 AND contains(s, 'x')"), checked("mentions(s, 'lures') AND a > 1")])
    texts: dict[str, Normalised] = {}
    program.run({"a": 0, "s": "直取引"}, {}, NOON, ENV, texts)
    assert texts == {}
    assert program.run({"a": 2, "s": "直取引"}, {}, NOON, ENV, texts) == (1,)
    assert texts == {"s": normalise("直取引")}
    assert program.run({"a": 2, "s": "ignored"}, {}, NOON, ENV, {"s": normalise("x")}) == (0,)


def test_programs_see_lists_and_labels_as_they_are_now() -> None:
    env = Environment(values={"trusted": {}}, labels={})
    program = compile_program(
        [checked("in_list(s, 'trusted')"), checked("mentions(t, 'lures')"), checked("has_label(s, 'vip')")]
    )
    row = {"s": "s1", "t": "内緒で"}
    assert program.run(row, {}, NOON, env, None) == ()
    env.values = {"trusted": {"s1": NOON + 1}}
    env.phrases = PhraseMatcher([PhraseList(name="lures", phrases=("内緒",))])
    env.labels = {("s1", "vip"): NEVER}
    assert program.run(row, {}, NOON, env, None) == (0, 1, 2)
    assert program.run(row, {}, NOON + 1, env, None) == (1, 2)


def test_a_trace_shows_every_part_with_its_value_and_what_mattered() -> None:
    expression = checked("(a > 5 OR s = 'x') AND days_between(at1, time) < 7")
    tree = compile_trace(expression)({"a": 9, "s": "y", "at1": NOON}, {}, NOON, ENV)
    assert (tree.op, tree.value, tree.mattered) == ("and", True, True)
    either, age = tree.parts
    assert [(part.text, part.value, part.mattered) for part in either.parts] == [
        ("a > 5", True, True),
        ("s = 'x'", False, False),
    ]
    assert [(part.text, part.value) for part in age.parts] == [("days_between(at1, time)", 0), ("7", 7)]
    assert either.text == "(a > 5 OR s = 'x')"


def test_a_trace_of_a_failed_condition_marks_what_failed() -> None:
    tree = compile_trace(checked("a > 5 AND p"))({"a": 1, "p": True}, {}, NOON, ENV)
    assert [(part.value, part.mattered) for part in tree.parts] == [(False, True), (True, False)]
    branches = compile_trace(checked("CASE WHEN a > 5 THEN b WHEN a > 0 THEN c ELSE 3 END"))(
        {"a": 1, "c": 8}, {}, NOON, ENV
    )
    assert [part.mattered for part in branches.parts] == [True, False, True, True, False]
    assert branches.value == 8


def test_traces_share_one_function() -> None:
    traces = compile_traces([checked("a > 5"), checked("a > 5 AND sent_1h > 2")])
    raw = traces.run({"a": 6}, {"sent_1h": 3}, NOON, ENV, None)
    assert raw[0][0] is True
    assert traces.tree(1, raw[1]).parts[1].parts[0].value == 3


def test_an_emitted_expression_runs_inside_another_function() -> None:
    value = emit_value(checked("coalesce(a, 2) * 3 + length(s)"), lambda name: f"row.get({name!r})", prefix="f1_")
    truth = emit_truth(
        checked("matches(s, 'b+') OR in_list(s, 'trusted')"), lambda name: f"row.get({name!r})", prefix="f2_"
    )
    lines = [*value.prologue, *truth.prologue, f"return ({value.code}, {truth.code})"]
    scope = {**RUNTIME, **value.constants, **truth.constants}
    exec("def both(row, at, env):\n" + "".join(f"    {line}\n" for line in lines), scope)  # noqa: S102
    both = scope["both"]
    assert callable(both)
    assert both({"s": "ab"}, NOON, ENV) == (8, True)
    assert both({"s": "s1", "a": 1}, NOON, ENV) == (5, True)
    assert both({}, NOON, ENV) == (None, False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(" * 39 + "a > 1" + ")" * 39, False),
        ("NOT " * 38 + "(a = 1)", True),
        ("a" + " + 1" * 38 + " = 5", False),
        ("a" + " + 1" * 38 + " = 39", True),
        ("coalesce(" * 18 + "a" + ", b + 1)" * 18 + " = 1", True),
        ("CASE WHEN p THEN " * 18 + "a" + " ELSE b * 2 END" * 18 + " > 0", True),
        ("(" * 18 + "p" + " = q)" * 18, True),
        ("a // (" * 18 + "b" + ")" * 18 + " > 1", None),
    ],
)
def test_the_deepest_expressions_that_are_taken_compile(text: str, value: bool | None) -> None:  # noqa: FBT001 # of a table
    expression = checked(text)
    row = {"a": 1, "b": 2, "p": True, "q": True}
    assert compile_value(expression)(row, NOON) is value
    assert compile_program([expression]).run(row, {}, NOON, ENV, None) == ((0,) if value else ())
    (trace,) = compile_traces([expression]).run(row, {}, NOON, ENV, None)
    assert trace[0] is value


@pytest.mark.parametrize("value", ["it's", 'a"b', "a\\b", "\n", "'''", "{x}", "%s", "日本", "\x00"])
def test_constants_are_only_constants(value: str) -> None:
    quoted = value.replace("'", "''")
    expression = checked(f"s = '{quoted}' OR starts_with(t, '{quoted}')")
    assert compile_program([expression]).run({"s": value}, {}, NOON, ENV, None) == (0,)
    assert compile_program([expression]).run({"s": "other", "t": value + "x"}, {}, NOON, ENV, None) == (0,)


def test_what_an_expression_reads_is_listed() -> None:
    found = checked(
        "mentions(s, 'lures') AND of(sent_1h, recipient.id) > receivers_1h AND in_list(sender.id, 'trusted') "
        "AND has_label(sender.id, 'vip') AND days_between(at1, time) < 3"
    )
    assert found.reads == {"s", "sender.id", "at1"}
    assert found.features == {"receivers_1h"}
    assert found.features_of == {("sent_1h", "recipient.id")}
    assert found.lists == {"lures", "trusted"}
    assert found.labels == {"vip"}
    assert found.texts == {"s"}
    assert found.calls == {"mentions", "of", "in_list", "has_label", "days_between"}


def test_an_expression_of_another_type_is_refused_where_a_condition_is_needed() -> None:
    assert check("a + 1", SCOPE).type == Type.INT
    with pytest.raises(LanguageErrors):
        check("a + 1", SCOPE, expect=Type.BOOL)


def test_values_are_shown_as_people_read_them() -> None:
    assert show(1_500_000, Type.DECIMAL) == "1.5"
    assert show(2_000_000, Type.DECIMAL) == "2"
    assert show(None, Type.INT) == "NULL"
    assert show(True, Type.BOOL) == "true"
    assert show("あ", Type.TEXT) == "'あ'"
    assert show(("a", "b"), Type.TEXTS) == "{a, b}"
    assert show(90_000_000, Type.INTERVAL) == "90 s"


_SYMBOLS = {
    "and": "AND",
    "or": "OR",
    "eq": "=",
    "ne": "<>",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "mod": "%",
    "like": "LIKE",
    "concat": "||",
}


def _in_parentheses(text: str, tree: Syntax) -> str:
    """Write our reading of an expression with every pair of parentheses there is."""
    args = [_in_parentheses(text, arg) for arg in tree.args]
    match tree.op:
        case "not":
            return f"(NOT {args[0]})"
        case "neg":
            return f"(-{args[0]})"
        case "is_null":
            return f"({args[0]} IS NULL)"
        case "between":
            return f"({args[0]} BETWEEN {args[1]} AND {args[2]})"
        case "in":
            return f"({args[0]} IN ({', '.join(args[1:])}))"
        case op if op in _SYMBOLS:
            return "(" * (len(args) - 1) + args[0] + "".join(f" {_SYMBOLS[op]} {arg})" for arg in args[1:])
        case _:
            return text[tree.start : tree.end]


@pytest.mark.parametrize(
    "text",
    [
        "a + b * c - a % b > 1 OR NOT p AND q",
        "NOT a = b AND p OR q",
        "NOT a IN (1, 2) OR a BETWEEN b + 1 AND c AND p",
        "a - b - c < -a * b",
        "NOT a + 1 IS NULL AND NOT NOT p",
        "a > b IS NULL",
        "s LIKE 'a%' AND a NOT BETWEEN 1 AND 2 OR a NOT IN (1)",
        "p OR q OR r AND p AND q",
        "s || t = 'x' AND coalesce(a, 1) >= length(s)",
        "CASE WHEN p OR q THEN a ELSE b END + 1 > 2",
    ],
)
def test_sqlglot_reads_the_same_structure(text: str) -> None:
    import sqlglot
    from sqlglot import exp

    def bare(written: str) -> str:
        tree = sqlglot.parse_one(written, read="duckdb").unnest()
        while (pair := tree.find(exp.Paren)) is not None:
            pair.replace(pair.unnest())
        return repr(tree)

    assert bare(text) == bare(_in_parentheses(text, parse(text)))
