"""Write checked expressions as Python source.

Each condition has two forms besides its value: *true*, which holds exactly when it is TRUE, and *false*, exactly when it is
FALSE. A condition under NOT is written in the other form, so that most tests for NULL vanish: `None in {…}`, `None == 'x'`
and any comparison with NaN are false by themselves. Conditions have no effects, so operands are asked cheapest first.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from koban.language import values
from koban.language.helpers import PLAIN
from koban.language.nodes import make
from koban.language.types import DECIMAL_MAX, INT_MAX, INT_MIN, SCALE, Checked, Node, Type, of_key
from koban.text import Normalised, PatternSet, contacts, normalise, urls

UNSET = object()  # a local that was not computed yet; None is a value
_NUMBERS = frozenset({Type.INT, Type.DECIMAL, Type.TIMESTAMP, Type.INTERVAL})
_SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_DENIED = {"eq": "ne", "ne": "eq", "lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}
_STRICT = frozenset({*_SYMBOLS, "in", "like", "ilike"})
_SPANS = {"days_between": 86_400_000_000, "hours_between": 3_600_000_000, "minutes_between": 60_000_000}
_CONNECTIVES = frozenset({"and", "or", "not", "is_true", "is_false"})


class Emitted(msgspec.Struct, frozen=True, kw_only=True):
    """An expression as Python source, to be put into a function of one's own.

    `prologue` lines go before it, `constants` into the function's globals. The code reads `at`, and `env` only when the
    expression asks lists or labels.
    """

    code: str
    prologue: tuple[str, ...]
    constants: Mapping[str, object]


def normalise_field(texts: dict[str, Normalised], path: str, text: str | None) -> Normalised | None:
    """Normalise a field at most once an event; `texts` is shared by all programs that see the event."""
    found = texts.get(path)
    if found is None and text is not None:
        found = texts[path] = normalise(text)
    return found


def normalise_value(text: str | None) -> Normalised | None:
    """Normalise a computed text."""
    return None if text is None else normalise(text)


def any_in_list(items: Iterable[str], entries: Mapping[str, int], at: int) -> bool:
    """Say whether any of the items is in a list at a moment."""
    return any(entries.get(item, INT_MIN) > at for item in items)


def count_in_list(items: Iterable[str], entries: Mapping[str, int], at: int) -> int:
    """Count the items that are in a list at a moment."""
    return sum(1 for item in items if entries.get(item, INT_MIN) > at)


RUNTIME: dict[str, object] = {
    "UNSET": UNSET,
    "EMPTY": {},
    "NAN": math.nan,
    "NO": INT_MIN,
    "normalise_field": normalise_field,
    "normalise_value": normalise_value,
    "any_in_list": any_in_list,
    "count_in_list": count_in_list,
    **{f"plain_{name}": plain.function for name, plain in PLAIN.items()},
    "contacts": contacts,
    "urls": urls,
    **{
        each.__name__: each
        for each in (
            values.cut,
            values.divide_ints,
            values.int_divide,
            values.remainder,
            values.multiply_decimals,
            values.round_decimal,
            values.floor_decimal,
            values.ceil_decimal,
            values.absolute,
            values.least,
            values.greatest,
            values.text_to_int,
            values.text_to_decimal,
            values.text_to_bool,
            values.decimal_to_text,
            values.hour_of_day,
            values.day_of_week,
            values.whole,
            values.fraction,
            values.like,
        )
    },
}


def emit_value(checked: Checked, load: Callable[[str], str], prefix: str = "x") -> Emitted:
    """Return the expression's value as Python source. `load` gives the source that reads a name (None for NULL)."""
    emitter = Emitter(load, prefix=prefix)
    return emitter.finish(emitter.value(checked.core))


def emit_truth(checked: Checked, load: Callable[[str], str], prefix: str = "x") -> Emitted:
    """Return source that holds exactly when the condition is TRUE: false for NULL."""
    emitter = Emitter(load, prefix=prefix)
    return emitter.finish(emitter.true(checked.core))


def key_of(node: Node) -> str:
    """Return the name under which a `name` or `feature` part is read."""
    if node.op == "feature" and isinstance(node.value, tuple):
        feature, path = node.value
        return feature if path is None else of_key(feature, path)
    return str(node.value)


class Emitter:
    """Gathers the source of one function: temporaries, constants, and what is computed once."""

    def __init__(
        self,
        load: Callable[[str], str],
        *,
        prefix: str = "",
        nan: Callable[[str], str] | None = None,
        texts: str = "{}",
    ) -> None:
        """Read names with `load`; `nan`, if given, names a local that holds NaN in place of NULL; `texts` is a cache."""
        self._load = load
        self._nan = nan
        self._texts = texts
        self._prefix = prefix
        self._temporaries = 0
        self.constants: dict[str, object] = {}
        self.prologue: list[str] = []
        self.known: dict[str, str] = {}  # key of a part -> local that already holds its value
        self.shared: Counter[tuple[str, str]] = Counter()  # (form, key) -> how often it is asked
        self._hoisted: dict[tuple[str, str], str] = {}
        self._lazy: dict[tuple[str, str], str] = {}
        self._patterns: dict[str, tuple[str, list[str]]] = {}
        self._lists: dict[str, str] = {}

    def finish(self, code: str) -> Emitted:
        """Return the source with what it needs."""
        for name, patterns in self._patterns.values():
            self.constants[name] = PatternSet(patterns)
        return Emitted(code=code, prologue=tuple(self.prologue), constants=self.constants)

    def count(self, node: Node, *, denied: bool = False) -> None:
        """Count what is asked how often, so that common parts are computed once."""
        match node.op:
            case "and" | "or" | "is_true":
                for arg in node.args:
                    self.count(arg, denied=denied)
            case "not" | "is_false":
                self.count(node.args[0], denied=not denied)
            case _:
                self.shared["false" if denied else "true", node.key] += 1
                for arg in node.args:
                    self._count_value(arg)

    def _count_value(self, node: Node) -> None:
        self.shared["value", node.key] += 1
        if self.shared["value", node.key] == 1:
            for arg in node.args:
                self._count_value(arg)

    def true(self, node: Node) -> str:
        """Return source that holds exactly when a condition is TRUE."""
        return self._form("true", node)

    def false(self, node: Node) -> str:
        """Return source that holds exactly when a condition is FALSE."""
        return self._form("false", node)

    def _form(self, form: str, node: Node) -> str:
        write = self._write_true if form == "true" else self._write_false
        if node.op in _CONNECTIVES or node.op == "const":
            return write(node)
        if node.key in self.known:
            return f"({self.known[node.key]} is {form == 'true'})"
        if (form, node.key) in self._hoisted:
            return self._hoisted[form, node.key]
        asked = self.shared[form, node.key]
        simple = all(arg.op in {"const", "name", "feature"} for arg in node.args)
        if asked >= 3 and node.cost <= 3 and simple and node.args:
            local = self._temporary()
            self._hoisted[form, node.key] = local
            self.prologue.append(f"{local} = {write(node)}")
            return local
        if asked >= 2 and node.cost > 3:
            return self._once(form, node.key, lambda: f"(True if {write(node)} else False)")
        return write(node)

    def _write_true(self, node: Node) -> str:
        match node.op:
            case "const":
                return str(node.value is True)
            case "and" | "or":
                return self._joined(node.op, node.args, self.true)
            case "not" | "is_false":
                return self.false(node.args[0])
            case "is_true":
                return self.true(node.args[0])
            case "is_null" | "is_not_null":
                if node.args[0].op == "const":
                    return str((node.args[0].value is None) == (node.op == "is_null"))
                return f"({self.value(node.args[0])} is {'' if node.op == 'is_null' else 'not '}None)"
            case "name" | "feature":
                return f"({self.value(node)} is True)"
            case "case":
                return self._case(node, self.true)
            case "distinct" | "not_distinct":
                return self.value(node)
        test = self._test(node, denied=False)
        return test if test is not None else f"({self._write_value(node)} is True)"

    def _write_false(self, node: Node) -> str:
        match node.op:
            case "const":
                return str(node.value is False)
            case "and" | "or":
                return self._joined("or" if node.op == "and" else "and", node.args, self.false)
            case "not":
                return self.true(node.args[0])
            case "is_true" | "is_false" | "is_null" | "is_not_null" | "distinct" | "not_distinct":
                return f"(not {self.true(node)})"
            case "name" | "feature":
                return f"({self.value(node)} is False)"
            case "case":
                return self._case(node, self.false)
        test = self._test(node, denied=True)
        return test if test is not None else f"({self._write_value(node)} is False)"

    def _joined(self, word: str, args: Sequence[Node], form: Callable[[Node], str]) -> str:
        ordered = sorted(args, key=lambda arg: arg.cost)
        return "(" + f" {word} ".join(form(arg) for arg in ordered) + ")"

    def _case(self, node: Node, form: Callable[[Node], str]) -> str:
        *pairs, last = node.args
        source = form(last)
        for place in range(len(pairs) - 2, -1, -2):
            source = f"({form(pairs[place + 1])} if {self.true(pairs[place])} else {source})"
        return source

    def _test(self, node: Node, *, denied: bool) -> str | None:
        """Write a test whose operands may be NULL so that it is false when one is."""
        if any(arg.op == "const" and arg.value is None for arg in node.args) and node.op in _STRICT:
            return "False"
        if node.op in _SYMBOLS:
            return self._comparison(_DENIED[node.op] if denied else node.op, *node.args)
        if node.op == "between":
            value, low, high = (self._plain(arg) for arg in node.args)
            if value and low and high:
                return f"({low} <= {value} <= {high})" if not denied else f"({value} < {low} or {value} > {high})"
            both = _both_bounds(node)
            return self._write_false(both) if denied else self._write_true(both)
        if node.op == "in":
            chosen = self._constant(frozenset(node.value if isinstance(node.value, tuple) else ()))
            if not denied:
                return f"({self.value(node.args[0])} in {chosen})"
        if node.op in _TESTS:
            first, later = self._bind(self._subject(node))
            answer = _TESTS[node.op](self, node, later)
            if first == "None":
                return "False"
            return f"({first} is not None and {'not ' if denied else ''}{answer})"
        return None

    def _comparison(self, op: str, left: Node, right: Node) -> str:
        symbol = _SYMBOLS[op]
        if left.type in _NUMBERS:
            one, two = self._plain(left), self._plain(right)
            if one and two:
                if op != "ne":
                    return f"({one} {symbol} {two})"
                return f"({one} < {two} or {one} > {two})"
        if op == "eq" and "const" in {left.op, right.op}:
            return f"({self.value(left)} == {self.value(right)})"
        (first, a), (second, b) = self._bind_node(left), self._bind_node(right)
        tests = [f"{each} is not None" for node, each in ((left, first), (right, second)) if node.op != "const"]
        return f"({' and '.join([*tests, f'{a} {symbol} {b}'])})"

    def _plain(self, node: Node) -> str | None:
        """Return a local or constant that compares without a test for NULL, where there is one."""
        if node.op == "const" and node.value is not None:
            return repr(node.value)
        if (
            self._nan is not None
            and node.op in {"name", "feature"}
            and node.type in _NUMBERS
            and node.key not in self.known
        ):
            return "at" if node.value == "time" else self._nan(key_of(node))
        return None

    def value(self, node: Node) -> str:
        """Return source of a part's value, None for NULL."""
        if node.key in self.known:
            return self.known[node.key]
        if node.op == "const":
            return repr(node.value)
        if node.op in {"name", "feature"}:
            return "at" if node.op == "name" and node.value == "time" else self._load(key_of(node))
        if self.shared["value", node.key] >= 2 and node.cost > 3:
            return self._once("value", node.key, lambda: self._write_value(node))
        return self._write_value(node)

    def _write_value(self, node: Node) -> str:
        if node.op in {"and", "or"}:
            return self._logic(node)
        if node.op == "case":
            return self._case(node, self.value)
        if node.op in _CONNECTIVES or node.op in {"is_null", "is_not_null"}:
            if node.op == "not":
                first, later = self._bind_node(node.args[0])
                return f"(None if {first} is None else not {later})"
            return self._write_true(node)
        if node.op in {"distinct", "not_distinct"}:
            one, two = (self.value(arg) for arg in node.args)
            return f"({one} {'!=' if node.op == 'distinct' else '=='} {two})"
        if node.op == "between":
            return self._logic(_both_bounds(node))
        if node.op == "coalesce":
            return self._coalesce(node)
        if node.op == "nullif":
            first, later = self._bind_node(node.args[0])
            return f"(None if {first} == {self.value(node.args[1])} else {later})"
        if node.op in _TESTS:
            first, later = self._bind(self._subject(node))
            if first == "None":
                return "None"
            return f"(None if {first} is None else {_TESTS[node.op](self, node, later)})"
        if node.op in PLAIN:
            return self._plain_call(node)
        if node.op == "mul" and node.type == Type.DECIMAL:
            return f"multiply_decimals({', '.join(self.value(arg) for arg in node.args)})"
        if node.op in _CALLS:
            name = _CALLS[node.op]
            extra = [repr(each) for each in node.value] if isinstance(node.value, tuple) else []
            if node.op == "round" and not extra:
                extra = ["0"]
            return f"{name}({', '.join([self.value(arg) for arg in node.args] + extra)})"
        return self._strict(node)

    def _plain_call(self, node: Node) -> str:
        """Write a function of `helpers`: NULL when an argument is, its first text normalised where it wants it so."""
        if any(arg.op == "const" and arg.value is None for arg in node.args):
            return "None"
        bound: list[tuple[str, str]] = []
        tests: list[str] = []
        for place, arg in enumerate(node.args):
            normal = PLAIN[node.op].normal and place == 0
            bound.append(self._bind(self._analysis("n", arg)) if normal else self._bind_node(arg))
            if normal or arg.op != "const":
                tests.append(f"{bound[-1][0]} is None")
        constants = [repr(each) for each in _constants_of(node)]
        call = f"plain_{node.op}({', '.join([*(later for _, later in bound), *constants])})"
        return f"(None if {' or '.join(tests)} else {call})" if tests else f"({call})"

    def _logic(self, node: Node) -> str:
        decides = "False" if node.op == "and" else "True"
        bound = [self._bind_node(arg) for arg in sorted(node.args, key=lambda arg: arg.cost)]
        decided = " or ".join(f"{first} is {decides}" for first, _ in bound)
        unknown = " or ".join(f"{later} is None" for _, later in bound)
        return f"({decides} if {decided} else None if {unknown} else {decides == 'False'})"

    def _coalesce(self, node: Node) -> str:
        source = "None"
        for arg in reversed(node.args):
            if arg.op == "const":
                source = repr(arg.value) if arg.value is not None else source
                continue
            first, later = self._bind_node(arg)
            source = f"({later} if {first} is not None else {source})"
        return source

    def _strict(self, node: Node) -> str:
        """Write a part that is NULL when an operand is."""
        if any(arg.op == "const" and arg.value is None for arg in node.args):
            return "None"
        bound = [self._bind_node(arg) for arg in node.args]
        names = [later for _, later in bound]
        tests = " or ".join(
            f"{first} is None" for (first, _), arg in zip(bound, node.args, strict=True) if arg.op != "const"
        )
        body = self._operation(node, names)
        return f"(None if {tests} else {body})" if tests else f"({body})"

    def _operation(self, node: Node, names: list[str]) -> str:
        match node.op:
            case "eq" | "ne" | "lt" | "le" | "gt" | "ge":
                return f"{names[0]} {_SYMBOLS[node.op]} {names[1]}"
            case "array_contains":
                return f"{names[1]} in {names[0]}"
            case "in":
                return f"{names[0]} in {self._constant(frozenset(node.value if isinstance(node.value, tuple) else ()))}"
            case "add" | "sub":
                return self._fit(f"{names[0]} {'+' if node.op == 'add' else '-'} {names[1]}", node.type)
            case "mul":
                return self._fit(f"{names[0]} * {names[1]}", node.type)
            case "neg":
                return self._fit(f"-{names[0]}", node.type)
            case "concat":
                return f"{names[0]} + {names[1]}"
            case "days_between" | "hours_between" | "minutes_between":
                return f"cut({names[1]} - {names[0]}, {_SPANS[node.op]})"
            case "cast":
                return self._cast(node, names[0])
            case _:
                raise AssertionError(f"no Python for {node.op}")

    def _fit(self, source: str, kind: Type) -> str:
        local = self._temporary()
        low, high = (-DECIMAL_MAX, DECIMAL_MAX) if kind == Type.DECIMAL else (INT_MIN, INT_MAX)
        return f"({local} if {low} <= ({local} := {source}) <= {high} else None)"

    def _cast(self, node: Node, name: str) -> str:
        match node.args[0].type, node.type:
            case Type.INT, Type.DECIMAL:
                return f"fraction({name} * {SCALE})"
            case Type.DECIMAL, Type.INT:
                return f"cut({name}, {SCALE})"
            case Type.TEXT, kind:
                return f"text_to_{kind}({name})"
            case Type.BOOL, Type.TEXT:
                return f"('true' if {name} else 'false')"
            case Type.DECIMAL, Type.TEXT:
                return f"decimal_to_text({name})"
            case Type.BOOL, Type.INT:
                return f"int({name})"
            case _:
                return f"str({name})"

    def _subject(self, node: Node) -> str:
        """Return source of what a text test looks at, computed once per text: None for NULL."""
        arg = node.args[0]
        match node.op:
            case "mentions" | "mention_count":
                found = self._analysis("n", arg)
                return self._once("hits", arg.key, lambda: self._over(found, "env.phrases.find({})"))
            case "contacts" | "has_contact":
                found = self._analysis("n", arg)
                return self._once("contacts", arg.key, lambda: self._over(found, "contacts({})"))
            case "urls":
                found = self._analysis("n", arg)
                return self._once("urls", arg.key, lambda: self._over(found, "urls({})"))
            case "contains":
                return self._plain_text(arg)
            case "lookalike" | "lookalike_brand":
                found, name = self._analysis("n", arg), str(_constants_of(node)[0])
                shape = f"env.likeness({{}}, {self.value(arg)}, {name!r}, at)"
                return self._once(f"likeness {name}", arg.key, lambda: self._over(found, shape))
            case "matches":
                patterns = self._patterns.setdefault(arg.key, (f"{self._prefix}P{len(self._patterns)}", []))
                pattern = str(node.value[0]) if isinstance(node.value, tuple) else ""
                if pattern not in patterns[1]:
                    patterns[1].append(pattern)
                return self._once(
                    "matched", arg.key, lambda: self._over(self._plain_text(arg), f"{patterns[0]}.search({{}})")
                )
            case _:
                return self.value(arg)

    def _plain_text(self, arg: Node) -> str:
        return self._once("plain", arg.key, lambda: self._over(self._analysis("n", arg), "{}.plain"))

    def _analysis(self, form: str, arg: Node) -> str:
        if arg.op == "name":
            path = str(arg.value)
            return self._once(form, arg.key, lambda: f"normalise_field({self._texts}, {path!r}, {self.value(arg)})")
        return self._once(form, arg.key, lambda: f"normalise_value({self.value(arg)})")

    def _over(self, source: str, shape: str) -> str:
        first, later = self._bind(source)
        return f"(None if {first} is None else {shape.format(later)})"

    def pattern_index(self, node: Node) -> int:
        """Return the place of a matches() pattern in the set of its text."""
        pattern = str(node.value[0]) if isinstance(node.value, tuple) else ""
        return self._patterns[node.args[0].key][1].index(pattern)

    def list_source(self, name: str) -> str:
        """Return source of a values list, looked up once a call."""
        if name not in self._lists:
            local = f"{self._prefix}L{len(self._lists)}"
            self._lists[name] = local
            self.prologue.append(f"{local} = env.values.get({name!r}, EMPTY)")
        return self._lists[name]

    def _once(self, form: str, key: str, write: Callable[[], str]) -> str:
        """Return source that computes something at the first time it is asked in a call."""
        if (form, key) not in self._lazy:
            local = self._temporary()
            source = write()
            self.prologue.append(f"{local} = UNSET")
            self._lazy[form, key] = f"({local} if {local} is not UNSET else ({local} := {source}))"
        return self._lazy[form, key]

    def _bind_node(self, node: Node) -> tuple[str, str]:
        return self._bind(self.value(node), constant=node.op == "const")

    def _bind(self, source: str, *, constant: bool = False) -> tuple[str, str]:
        """Return source for the first use and for later uses of a value, which is computed once."""
        if constant or source.isidentifier():
            return source, source
        local = self._temporary()
        return f"({local} := {source})", local

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"{self._prefix}t{self._temporaries}"

    def _constant(self, value: object) -> str:
        for name, known in self.constants.items():
            if type(known) is type(value) and known == value:
                return name
        name = f"{self._prefix}K{len(self.constants)}"
        self.constants[name] = value
        return name


def _both_bounds(node: Node) -> Node:
    value, low, high = node.args
    return make(
        "and",
        Type.BOOL,
        (make("ge", Type.BOOL, (value, low), at=node), make("le", Type.BOOL, (value, high), at=node)),
        at=node,
    )


@functools.cache
def _plain_constant(part: str) -> str:
    return normalise(part).plain


def _constants_of(node: Node) -> tuple[object, ...]:
    return node.value if isinstance(node.value, tuple) else ()


def _mentions(_: Emitter, node: Node, hits: str) -> str:
    name, *least = _constants_of(node)
    return f"(len({hits}.get({name!r}, ())) >= {least[0]})" if least else f"({name!r} in {hits})"


def _has_contact(_: Emitter, node: Node, kinds: str) -> str:
    given = _constants_of(node)
    return f"({given[0]!r} in {kinds})" if given else f"(True if {kinds} else False)"


def _in_list(emitter: Emitter, node: Node, value: str) -> str:
    entries = emitter.list_source(str(_constants_of(node)[0]))
    if node.args[0].type == Type.TEXTS:
        return f"any_in_list({value}, {entries}, at)"
    return f"({entries}.get({value}, NO) > at)"


def _like(_: Emitter, node: Node, value: str) -> str:
    pattern = str(node.value)
    if node.op == "ilike":
        value, pattern = f"{value}.lower()", pattern.lower()
    parts = pattern.split("%")
    if "_" not in pattern:
        match parts:
            case [whole]:
                return f"({value} == {whole!r})"
            case [start, ""]:
                return f"{value}.startswith({start!r})"
            case ["", end]:
                return f"{value}.endswith({end!r})"
            case ["", part, ""]:
                return f"({part!r} in {value})"
    return f"like({value}, {tuple(parts)!r})"


_TESTS: dict[str, Callable[[Emitter, Node, str], str]] = {
    "mentions": _mentions,
    "mention_count": lambda _, node, hits: f"len({hits}.get({_constants_of(node)[0]!r}, ()))",
    "has_contact": _has_contact,
    "contacts": lambda _, __, found: found,
    "urls": lambda _, __, found: found,
    "contains": lambda _, node, plain: f"({_plain_constant(str(_constants_of(node)[0]))!r} in {plain})",
    "matches": lambda emitter, node, found: f"({emitter.pattern_index(node)} in {found})",
    "in_list": _in_list,
    "list_count": lambda emitter, node, items: (
        f"count_in_list({items}, {emitter.list_source(str(_constants_of(node)[0]))}, at)"
    ),
    "lookalike": lambda _, __, found: f"{found}.score",
    "lookalike_brand": lambda _, __, found: f"({found}.brand or None)",
    "has_label": lambda _, node, value: f"(env.labels.get(({value}, {_constants_of(node)[0]!r}), NO) > at)",
    "starts_with": lambda _, node, value: f"{value}.startswith({_constants_of(node)[0]!r})",
    "ends_with": lambda _, node, value: f"{value}.endswith({_constants_of(node)[0]!r})",
    "like": _like,
    "ilike": _like,
    "length": lambda _, __, value: f"len({value})",
    "lower": lambda _, __, value: f"{value}.lower()",
    "array_length": lambda _, __, value: f"len({value})",
}
_CALLS = {
    "div": "divide_ints",
    "int_div": "int_divide",
    "mod": "remainder",
    "abs": "absolute",
    "round": "round_decimal",
    "floor": "floor_decimal",
    "ceil": "ceil_decimal",
    "least": "least",
    "greatest": "greatest",
    "hour_of_day": "hour_of_day",
    "day_of_week": "day_of_week",
}
