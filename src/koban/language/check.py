"""Give every part of an expression its type, and say everything that is wrong with it at once."""

import functools
import zoneinfo
from collections.abc import Iterable, Sequence
from decimal import Decimal

from koban.base import MINOR_DIGITS
from koban.language import hints, reason
from koban.language.catalogue import CONTACT_KINDS, FUNCTIONS, OPERATORS, Function, Param
from koban.language.helpers import PLAIN, json_steps
from koban.language.hints import nearest
from koban.language.nodes import const, define, make, put_in_place, walk
from koban.language.syntax import Syntax, SyntaxRefused, parse
from koban.language.tables import BANNED, CASTS, NUMERIC, ORDERED, RESULTS, TYPE_NAMES
from koban.language.types import (
    DECIMAL_MAX,
    DEPTH_LIMIT,
    INT_MAX,
    INT_MIN,
    NODE_LIMIT,
    SCALE,
    SCORE,
    Checked,
    LanguageError,
    LanguageErrors,
    Node,
    Origin,
    Position,
    Scope,
    Type,
    score_key,
)
from koban.language.values import parse_interval, parse_timestamp
from koban.text import BadPattern, check_pattern

_TEXT_READERS = frozenset({"mentions", "mention_count", "contacts", "has_contact", "urls", "matches", "contains"})
_TEXT_READERS |= {"lookalike", "lookalike_brand"} | {name for name, plain in PLAIN.items() if plain.normal}
_LIST_READERS = frozenset({"mentions", "mention_count", "in_list", "list_count", "lookalike", "lookalike_brand"})
_IN_LIMIT = 1_000
_TOO_MANY = f"with its definitions, the expression has more than {NODE_LIMIT:,} parts, or nests too deep"
_UNIT_GIVEN = {"to_major": "minor", "to_minor": "major"}
_CENTURY = {"days": 36_525, "hours": 876_600, "minutes": 52_596_000, "seconds": 3_155_760_000}


class _Wrong(Exception):
    """A part has no type because of what is said here; raised inside the checker and gathered by it."""

    def __init__(self, detail: str, place: Syntax | Node, hint: str = "", *, of_definition: bool = False) -> None:
        super().__init__(detail)
        self.of_definition = of_definition  # it says already whose definition it is about
        self.detail = detail
        self.start = place.start
        self.end = place.end
        self.hint = hint


def check(text: str, scope: Scope, *, source: Origin | None = None, expect: Type | None = None) -> Checked:
    """Parse and type an expression in a scope.

    `source` is where its first character stands; `expect` is the type it must have.
    Refuses: LanguageErrors, with everything that is wrong.
    """
    origin = source if source is not None else Position()
    try:
        tree = parse(text)
    except SyntaxRefused as error:
        hint = error.hint or hints.of_unreadable(text, error.start, error.end)
        wrong = _error(text, origin, error.detail, (error.start, error.end), hint)
        raise LanguageErrors((wrong,)) from error
    checker = _Checker(scope)
    root = checker.try_check(tree, expect)
    if root is not None and expect is not None and root.type != expect:
        what = "a condition" if expect == Type.BOOL else f"a value of type {expect}"
        hint = hints.of_condition(root.type, text.strip()) if expect == Type.BOOL else ""
        checker.wrong.append(_Wrong(f"{what} is needed here, but this is {_a(root.type)}", tree, hint))
    core = put_in_place(root) if root is not None else None
    if core is not None and not checker.wrong:
        checker.wrong += [_Wrong(found.detail, found.node, found.hint) for found in reason.contradictions(core, scope)]
    if checker.wrong or root is None or core is None:
        ordered = sorted(checker.wrong, key=lambda wrong: wrong.start)
        raise LanguageErrors(
            tuple(_error(text, origin, each.detail, (each.start, each.end), each.hint) for each in ordered)
        )
    return _checked(text, root, core)


def _checked(text: str, root: Node, core: Node) -> Checked:
    reads: set[str] = set()
    bare: set[str] = set()
    of: set[tuple[str, str]] = set()
    lists: set[str] = set()
    labels: set[str] = set()
    calls: set[str] = set()
    texts: set[str] = set()
    scores: set[tuple[str, str]] = set()
    for node in walk(core):
        match node.op, node.value:
            case "name", str(path):
                reads.add(path)
            case "feature", (str(feature), str(path)) if feature.startswith(SCORE):
                scores.add((feature.removeprefix(SCORE), path))
            case "feature", (str(feature), str(path)):
                of.add((feature, path))
            case "feature", (str(feature), None):
                bare.add(feature)
            case op, (str(name), *_) if op in _LIST_READERS:
                lists.add(name)
            case "has_label", (str(label), *_):
                labels.add(label)
        if node.op in FUNCTIONS or node.op == "feature":
            calls.add(("score" if scores and _is_score(node) else "of") if node.op == "feature" else node.op)
        if node.op in _TEXT_READERS and node.args[0].op == "name":
            texts.add(str(node.args[0].value))
    reads.discard("time")
    return Checked(
        text=text,
        type=root.type,
        root=root,
        core=core,
        reads=frozenset(reads),
        features=frozenset(bare),
        features_of=frozenset(of),
        lists=frozenset(lists),
        labels=frozenset(labels),
        calls=frozenset(calls - ({"of"} if not of else set())),
        texts=frozenset(texts),
        scores=frozenset(scores),
        definitions=frozenset(
            str(node.value[0]) for node in walk(root) if node.op == "define" and isinstance(node.value, tuple)
        ),
    )


def _is_score(node: Node) -> bool:
    return isinstance(node.value, tuple) and str(node.value[0]).startswith(SCORE)


def _error(text: str, origin: Origin, detail: str, place: tuple[int, int], hint: str) -> LanguageError:
    start, end = place
    start = min(start, len(text))
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    last = len(text) if last < 0 else last
    line = text.count("\n", 0, start)
    column = start - first + 1
    return LanguageError(
        detail=detail,
        file=origin.file,
        line=origin.line + line,
        column=column + (origin.column - 1 if line == 0 else 0),
        length=max(1, min(end, last) - start),
        text_line=text[first:last],
        text_column=column,
        hint=hint,
    )


def _a(kind: Type) -> str:
    return _article(kind.value)


def _article(word: str) -> str:
    return ("an " if word[0] in "aeio" else "a ") + word


_parsed_once = functools.lru_cache(maxsize=1_000)(parse)  # a definition is read wherever it is named


class _Checker:
    """One pass over the tree; `wrong` gathers what is refused."""

    def __init__(
        self,
        scope: Scope,
        within: tuple[str, ...] = (),
        budget: list[int] | None = None,
        read: "dict[str, Node | _Wrong] | None" = None,
    ) -> None:
        self.scope = scope
        self.read = {} if read is None else read  # definitions that were read in this scope: once is enough
        self.wrong: list[_Wrong] = []
        self.within = within  # the definitions that are being read
        self.budget = [NODE_LIMIT] if budget is None else budget  # parts that definitions may still bring

    def try_check(self, tree: Syntax, expect: Type | None = None) -> Node | None:
        """Type a part, or note why it has no type and return None."""
        try:
            return self.check(tree, expect)
        except _Wrong as wrong:
            self.wrong.append(wrong)
            return None

    def all(self, trees: Iterable[Syntax], expect: Type | None = None) -> list[Node]:
        """Type several parts; what is wrong in any of them is noted before the first is raised."""
        nodes: list[Node] = []
        failed: list[_Wrong] = []
        for tree in trees:
            try:
                nodes.append(self.check(tree, expect))
            except _Wrong as wrong:
                failed.append(wrong)
        if failed:
            self.wrong += failed[:-1]
            raise failed[-1]
        return nodes

    def check(self, tree: Syntax, expect: Type | None = None) -> Node:
        """Type a part. `expect` gives NULL and whole numbers their type where the context knows it."""
        match tree.op:
            case "integer" | "fraction" | "string" | "true" | "false" | "null" | "interval" | "timestamp":
                return self._literal(tree, expect)
            case "name":
                return self._name(tree)
            case "call":
                return self._call(tree, expect)
            case "and" | "or" | "not" | "is_true" | "is_false":
                return self._logic(tree)
            case "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "between" | "distinct" | "not_distinct":
                return self._compare(tree)
            case "is_null" | "is_not_null":
                return make(tree.op, Type.BOOL, (self.check(tree.args[0]),), at=tree)
            case "in":
                return self._in(tree)
            case "like" | "ilike":
                return self._like(tree)
            case "neg":
                return self._negate(tree, expect)
            case "concat":
                args = self.all(tree.args, Type.TEXT)
                for arg in args:
                    self._must_be(arg, Type.TEXT, "|| joins texts")
                return make("concat", Type.TEXT, args, at=tree)
            case "case":
                return self._case(tree, expect)
            case "cast":
                return self._cast(tree)
            case _:
                return self._arithmetic(tree, expect)

    def _literal(self, tree: Syntax, expect: Type | None) -> Node:
        match tree.op:
            case "integer":
                whole = int(tree.value)
                if expect == Type.DECIMAL:
                    return self._decimal(whole * SCALE, tree)
                if whole > INT_MAX:
                    raise _Wrong("this number does not fit into 64 bits", tree)
                return const(Type.INT, whole, tree)
            case "fraction":
                return self._decimal(int(Decimal(tree.value) * SCALE), tree)
            case "string":
                return const(Type.TEXT, tree.value, tree)
            case "true" | "false":
                return const(Type.BOOL, tree.op == "true", tree)
            case "interval":
                span = parse_interval(tree.value)
                if span is None:
                    hint = (
                        "months and years have no fixed length: write days"
                        if "mon" in tree.value or "y" in tree.value.replace("day", "")
                        else ""
                    )
                    raise _Wrong(
                        "this is no interval: write INTERVAL '7 days' (seconds, minutes, hours, days, weeks)",
                        tree,
                        hint,
                    )
                return const(Type.INTERVAL, span, tree)
            case "timestamp":
                moment = parse_timestamp(tree.value)
                if moment is None:
                    raise _Wrong(
                        "this is no timestamp: write TIMESTAMP '2026-01-31 12:00:00' (UTC) or with +09:00", tree
                    )
                return const(Type.TIMESTAMP, moment, tree)
            case _:
                if expect is None:
                    raise _Wrong("NULL has no type here", tree)
                return const(expect, None, tree)

    def _decimal(self, scaled: int, tree: Syntax) -> Node:
        if scaled > DECIMAL_MAX:
            raise _Wrong("this number does not fit into decimal(18,6)", tree)
        return const(Type.DECIMAL, scaled, tree)

    def _name(self, tree: Syntax) -> Node:
        path = tree.value
        if path == "time":
            return make("name", Type.TIMESTAMP, (), path, at=tree)
        if path in self.scope.names:
            return make("name", self.scope.names[path], (), path, at=tree)
        feature = self.scope.features.get(path)
        if feature is not None:
            if feature.bare:
                return make("feature", feature.type, (), (path, None), at=tree)
            paths = [each for each, kind in self.scope.subjects.items() if kind == feature.kind]
            hint = f"write of({path}, {paths[0]})" if paths else f"this event names no {feature.kind}"
            raise _Wrong(f"'{path}' belongs to a subject that must be named here", tree, hint)
        if path in self.scope.definitions:
            return self._definition(tree)
        if path in FUNCTIONS:
            raise _Wrong(f"'{path}' is a function", tree, f"write {FUNCTIONS[path].signature.split(' ->')[0]}")
        known = [*self.scope.names, *self.scope.features, *self.scope.definitions, "time"]
        quoted = tree.end - tree.start == len(path) + 2 and "." not in path
        of_list = self.scope.lists[path].kind if path in self.scope.lists else ""
        meant = hints.of_name(path, quoted=quoted, kind_of_list=of_list) or nearest(path, known)
        raise _Wrong(f"there is no field or feature '{path}' here", tree, meant)

    def _read_once(self, tree: Syntax, name: str, text: str) -> Node:
        """Read a definition, or say again what is wrong with it: in one scope that does not change."""
        known = self.read.get(name)
        if known is None:
            try:
                known = self._read_definition(tree, name, text)
            except _Wrong as wrong:
                known = wrong
            self.read[name] = known
        if isinstance(known, _Wrong):
            raise _Wrong(known.detail, tree, known.hint, of_definition=known.of_definition)
        return known

    def _read_definition(self, tree: Syntax, name: str, text: str) -> Node:
        inner = _Checker(self.scope, (*self.within, name), self.budget, self.read)
        try:
            parsed = _parsed_once(text)
        except SyntaxRefused as refused:
            raise _Wrong(f"the definition '{name}' cannot be read: {refused.detail}", tree, refused.hint) from refused
        root = inner.try_check(parsed)
        if root is None or inner.wrong:
            first = min(inner.wrong, key=lambda wrong: wrong.start)
            detail = f"the definition '{name}' does not hold here: {first.detail}"
            raise _Wrong(first.detail if first.of_definition else detail, tree, first.hint, of_definition=True)
        return root

    def _definition(self, tree: Syntax) -> Node:
        """Read what a name stands for, in the same scope as what names it."""
        name = tree.value
        text = self.scope.definitions[name]
        if name in self.within:
            raise _Wrong(
                f"'{name}' is defined by itself: {' -> '.join([*self.within, name])}", tree, of_definition=True
            )
        # Why here: parts of one level are all looked at, so what has grown too large must not be entered again.
        if self.budget[0] < 0 or len(self.within) >= DEPTH_LIMIT:
            self.budget[0] = -1
            raise _Wrong(_TOO_MANY, tree, of_definition=True)
        root = self._read_once(tree, name, text)
        self.budget[0] -= root.size
        if self.budget[0] < 0:
            raise _Wrong(_TOO_MANY, tree, of_definition=True)
        if root.op == "const":
            return const(root.type, root.value, tree)
        return define(name, text, root, at=tree)

    def _logic(self, tree: Syntax) -> Node:
        args = self.all(tree.args, Type.BOOL)
        for arg in args:
            word = tree.op.upper().replace("_", " ")
            self._must_be(arg, Type.BOOL, f"{word} takes conditions")
        return make(tree.op, Type.BOOL, args, at=tree)

    def _must_be(self, node: Node, kind: Type, why: str) -> None:
        if node.type != kind:
            raise _Wrong(f"{why}, but this is {_a(node.type)}", node, hints.of_cast(node, kind))

    def _together(self, trees: Sequence[Syntax], expect: Type | None = None) -> list[Node]:
        """Type parts that must share a type; NULL and whole numbers take it from the others."""
        kinds: list[Type | None] = []
        typed = [each for each in trees if each.op != "null"]
        first = self.all(typed, expect) if typed else []
        kinds = [each.type for each in first if not _adapts(each)]
        kind = kinds[0] if kinds else first[0].type if first else expect
        if not kinds and any(each.type == Type.DECIMAL for each in first):
            kind = Type.DECIMAL
        nodes = {id(tree): node for tree, node in zip(typed, first, strict=True)}
        result: list[Node] = []
        for tree in trees:
            node = nodes.get(id(tree))
            if node is None or (kind == Type.DECIMAL and node.type == Type.INT and _adapts(node)):
                node = self.check(tree, kind)
            result.append(node)
        return result

    def _compare(self, tree: Syntax) -> Node:
        if tree.op not in {"distinct", "not_distinct"}:
            for arg in tree.args:
                if arg.op == "null":
                    raise _Wrong("comparing with NULL is never true", arg, "write IS NULL or IS NOT NULL")
        args = self._together(tree.args)
        for other in args[1:]:
            self._comparable(args[0], other)
        kind = args[0].type
        if tree.op not in {"eq", "ne", "distinct", "not_distinct"} and kind not in ORDERED:
            raise _Wrong(f"{kind} values have no order", tree, "compare them with = or <>")
        if kind == Type.TEXTS:
            raise _Wrong("text[] values are not compared", tree, "use array_contains(values, value)")
        if all(arg.op == "const" for arg in args):
            raise _Wrong("this compares only constants", tree)
        if tree.op == "eq":
            self._same_case(args[0], args[1:])
            self._same_case(args[1], args[:1])
        self._bounds(tree.op, args)
        self._plausible(args)
        return make(tree.op, Type.BOOL, args, at=tree)

    def _comparable(self, left: Node, right: Node) -> None:
        if left.type != right.type:
            raise _Wrong(
                f"{_a(left.type)} is not compared with {_a(right.type)}", right, hints.of_mismatch(left, right)
            )
        self._same_unit(left, right)

    def _same_unit(self, left: Node, right: Node) -> None:
        one, two = self._unit(left), self._unit(right)
        if one and two and one != two:
            raise _Wrong(f"these are different units: {one} and {two}", right)

    def _unit(self, node: Node) -> str:
        if node.op == "name":
            return self.scope.units.get(str(node.value), "")
        if node.op == "feature" and isinstance(node.value, tuple):
            return self.scope.features[node.value[0]].unit if node.value[0] in self.scope.features else ""
        if node.op in FUNCTIONS and FUNCTIONS[node.op].unit:
            return FUNCTIONS[node.op].unit
        if node.op in {"cast", "round", "floor", "ceil", "define"}:
            return self._unit(node.args[0])
        if node.op in {"add", "sub", "neg", "abs", "coalesce", "least", "greatest"}:
            return next((unit for arg in node.args if (unit := self._unit(arg))), "")
        return ""

    def _bounds(self, op: str, args: Sequence[Node]) -> None:
        """Refuse comparing a bounded distinct count with more than it can count."""
        for place, arg in enumerate(args):
            if arg.op != "feature" or not isinstance(arg.value, tuple) or arg.value[0] not in self.scope.features:
                continue
            bound = self.scope.features[arg.value[0]].bound
            for other in [*args[:place], *args[place + 1 :]] if bound is not None else []:
                top = other.value if other.op == "const" and isinstance(other.value, int) else None
                if top is None or bound is None:
                    continue
                above = op == "gt" if place == 0 else op == "lt"
                if top > bound or (top == bound and above and len(args) == 2):
                    raise _Wrong(
                        f"'{arg.value[0]}' counts only up to {bound}", other, "raise its bound in features.yaml"
                    )

    def _same_case(self, node: Node, written: Sequence[Node]) -> None:
        """Refuse comparing lower(…) with capital letters: it was meant, and can never be true."""
        for each in written:
            why = hints.of_case(node, each.value) if each.op == "const" and isinstance(each.value, str) else ""
            if why:
                raise _Wrong("this can never be true", each, why)

    def _plausible(self, args: Sequence[Node]) -> None:
        """Refuse comparing a length of time with a constant of more than a hundred years: it was meant in another unit."""
        for arg in args:
            unit = self._unit(arg)
            most = _CENTURY.get(unit)
            for other in args if most is not None and arg.op != "const" else ():
                size = other.value if other.op == "const" and isinstance(other.value, int) else 0
                size = size // SCALE if other.type == Type.DECIMAL else size
                if most is not None and size > most:
                    years = size * 100 // most
                    raise _Wrong(f"these are {unit}, and {size:,} of them are {years:,} years", other, "another unit?")

    def _in(self, tree: Syntax) -> Node:
        if len(tree.args) > _IN_LIMIT:
            raise _Wrong(f"IN takes at most {_IN_LIMIT:,} constants", tree, "use a list: in_list(value, 'name')")
        for given in tree.args[1:]:
            if given.op == "null":
                raise _Wrong("comparing with NULL is never true", given, "write IS NULL or IS NOT NULL")
        args = self._together(tree.args)
        values: list[object] = []
        for arg in args[1:]:
            if arg.op != "const":
                raise _Wrong("IN takes constants", arg, "write = … OR = … to compare with fields")
            self._comparable(args[0], arg)
            values.append(arg.value)
        if args[0].type in {Type.BOOL, Type.TEXTS}:
            raise _Wrong(f"IN does not take {args[0].type}", args[0])
        self._same_case(args[0], args[1:])
        self._bounds("eq", [args[0], *args[1:]])
        return make("in", Type.BOOL, args[:1], tuple(dict.fromkeys(values)), at=tree)

    def _like(self, tree: Syntax) -> Node:
        args = self.all(tree.args, Type.TEXT)
        for arg in args:
            self._must_be(arg, Type.TEXT, "LIKE compares texts")
        if args[1].op != "const" or not isinstance(args[1].value, str):
            raise _Wrong("the pattern of LIKE must be a constant", args[1])
        if "\\" in args[1].value:
            raise _Wrong("LIKE patterns of Koban SQL have no escapes", args[1], "use contains() or matches()")
        if tree.op == "like":
            self._same_case(args[0], args[1:])
        return make(tree.op, Type.BOOL, args[:1], args[1].value, at=tree)

    def _negate(self, tree: Syntax, expect: Type | None) -> Node:
        if tree.args[0].op == "integer" and int(tree.args[0].value) == -INT_MIN and expect != Type.DECIMAL:
            return const(Type.INT, INT_MIN, tree)
        arg = self.check(tree.args[0], expect)
        if arg.type not in {Type.INT, Type.DECIMAL, Type.INTERVAL}:
            raise _Wrong(f"{_a(arg.type)} has no negative", arg)
        if arg.op == "const" and isinstance(arg.value, int):
            return const(arg.type, -arg.value, tree)
        return make("neg", arg.type, (arg,), at=tree)

    def _arithmetic(self, tree: Syntax, expect: Type | None) -> Node:
        number = expect if expect in NUMERIC else None
        if tree.op == "div":
            left, right = self._together(tree.args)
            if left.type == right.type and left.type in NUMERIC:
                return make("div", Type.DECIMAL, (left, right), at=tree)
        else:
            left, right = self._operands(tree, number)
        kinds = (left.type, right.type)
        result = RESULTS.get((tree.op, *kinds))
        if result is None:
            hint = hints.of_cast(right, left.type) if left.type in NUMERIC else ""
            symbol = OPERATORS[tree.op].symbol.split()[1]
            raise _Wrong(f"'{symbol}' does not take {_a(left.type)} and {_a(right.type)}", tree, hint)
        if tree.op in {"add", "sub"}:
            self._same_unit(left, right)
        return make(tree.op, result, (left, right), at=tree)

    def _operands(self, tree: Syntax, number: Type | None) -> tuple[Node, Node]:
        left, right = self.all(tree.args, number)
        if left.type == Type.DECIMAL and _adapts(right):
            right = self.check(tree.args[1], Type.DECIMAL)
        elif right.type == Type.DECIMAL and _adapts(left):
            left = self.check(tree.args[0], Type.DECIMAL)
        elif number == Type.DECIMAL and {left.type, right.type} == NUMERIC:
            left, right = self.all(tree.args)
        return left, right

    def _case(self, tree: Syntax, expect: Type | None) -> Node:
        pairs = len(tree.args) // 2
        conditions = self.all((tree.args[2 * each] for each in range(pairs)), Type.BOOL)
        for condition in conditions:
            self._must_be(condition, Type.BOOL, "WHEN takes a condition")
        results = [tree.args[2 * each + 1] for each in range(pairs)] + ([tree.args[-1]] if len(tree.args) % 2 else [])
        values = self._together(results, expect)
        for value in values[1:]:
            if value.type != values[0].type:
                raise _Wrong(
                    f"all values of CASE have one type, but this is {_a(value.type)} and the first {_a(values[0].type)}",
                    value,
                )
        if len(tree.args) % 2 == 0:
            values.append(const(values[0].type, None, tree))
        args: list[Node] = []
        for condition, value in zip(conditions, values, strict=False):
            args += [condition, value]
        return make("case", values[0].type, [*args, values[-1]], at=tree)

    def _cast(self, tree: Syntax) -> Node:
        kind = TYPE_NAMES.get(tree.value)
        if kind is None:
            raise _Wrong(f"there is no type '{tree.value}'", tree, nearest(tree.value, TYPE_NAMES))
        arg = self.check(tree.args[0], kind if tree.args[0].op == "null" else None)
        if arg.type == kind:
            return arg
        if (arg.type, kind) not in CASTS:
            raise _Wrong(f"{_a(arg.type)} cannot be cast to {kind}", tree)
        return make("cast", kind, (arg,), at=tree)

    def _call(self, tree: Syntax, expect: Type | None) -> Node:
        function = FUNCTIONS.get(tree.value)
        if function is None:
            banned = BANNED.get(tree.value, "")
            raise _Wrong(f"there is no function '{tree.value}'", tree, banned or nearest(tree.value, FUNCTIONS))
        self._count(function, tree)
        if function.name == "of":
            return self._of(tree)
        if function.name == "score":
            return self._score(tree)
        if function.name in {"coalesce", "nullif", "least", "greatest"}:
            return self._same_types(function, tree, expect)
        args: list[Node] = []
        values: list[object] = []
        failed: list[_Wrong] = []
        for param, given in zip(_spread(function, len(tree.args)), tree.args, strict=True):
            try:
                node = self._argument(function, param, given)
            except _Wrong as wrong:
                failed.append(wrong)
                continue
            if _is_constant(param):
                values.append(node.value)
            else:
                args.append(node)
        if failed:
            self.wrong += failed[:-1]
            raise failed[-1]
        result = function.result if function.result is not None else args[0].type
        return make(function.name, result, args, tuple(values) or None, at=tree)

    def _count(self, function: Function, tree: Syntax) -> None:
        least = sum(1 for param in function.params if not param.optional)
        most = 99 if function.params[-1].many else len(function.params)
        if not least <= len(tree.args) <= most:
            raise _Wrong(
                f"{function.name} does not take {len(tree.args)} arguments", tree, f"write {function.signature}"
            )

    def _argument(self, function: Function, param: Param, given: Syntax) -> Node:
        if _is_constant(param) and given.op == "name":
            is_known = given.value in self.scope.names or given.value in self.scope.features
            hint = f"write {function.signature}" if is_known else f"a text stands in single quotes: '{given.value}'"
            if given.value in self.scope.lists and param.role not in {"values", "phrases"}:
                hint = hints.of_name(given.value, quoted=False, kind_of_list=self.scope.lists[given.value].kind)
            if given.value not in self.scope.definitions:
                raise _Wrong(f"'{param.name}' of {function.name} must be a constant", given, hint)
        node = self.check(given, param.types[0] if param.types else None)
        if node.type not in param.types:
            wanted = " or ".join(param.types)
            raise _Wrong(
                f"{function.name} needs {wanted} for '{param.name}', but this is {_a(node.type)}",
                node,
                hints.of_cast(node, param.types[0]),
            )
        if _is_constant(param) and (node.op != "const" or node.value is None):
            raise _Wrong(f"'{param.name}' of {function.name} must be a constant", node)
        if param.role and node.op == "const":
            self._meaning(param, node)
        if function.name in _UNIT_GIVEN and param is function.params[0]:
            self._given_unit(function, node)
        return node

    def _meaning(self, param: Param, node: Node) -> None:
        """Check that a constant names something that exists."""
        name = str(node.value)
        match param.role:
            case "values" | "phrases":
                info = self.scope.lists.get(name)
                if info is None:
                    raise _Wrong(f"there is no list '{name}'", node, nearest(name, self.scope.lists))
                if info.kind != param.role:
                    asked = "in_list(value, …)" if info.kind == "values" else "mentions(text, …)"
                    raise _Wrong(f"'{name}' is a list of {info.kind}", node, f"ask it with {asked}")
            case "label":
                if self.scope.labels is not None and name not in self.scope.labels:
                    raise _Wrong(f"there is no label '{name}'", node, nearest(name, self.scope.labels))
            case "pattern":
                try:
                    check_pattern(name)
                except BadPattern as error:
                    raise _Wrong(f"RE2 does not take this pattern: {error}", node, hints.of_pattern(name)) from error
            case "zone":
                if name not in zoneinfo.available_timezones():
                    raise _Wrong(
                        f"there is no time zone '{name}'", node, hints.of_zone(name, zoneinfo.available_timezones())
                    )
            case "json":
                if json_steps(name) is None:
                    raise _Wrong("this is no path into JSON", node, "write $.items[0].name")
            case "currency":
                if name not in MINOR_DIGITS:
                    raise _Wrong(f"there is no currency '{name}'", node, nearest(name, MINOR_DIGITS))
            case "kind":
                if name not in CONTACT_KINDS:
                    raise _Wrong(f"there is no kind of contact '{name}'", node, nearest(name, CONTACT_KINDS))
            case _:
                self._within(param, node)

    def _within(self, param: Param, node: Node) -> None:
        if not isinstance(node.value, int):
            if node.value == "" and not param.empty:
                raise _Wrong(f"'{param.name}' must not be empty", node)
            return
        if param.low is not None and node.value < param.low:
            raise _Wrong(f"'{param.name}' is at least {param.low}", node)
        if param.high is not None and node.value > param.high:
            raise _Wrong(f"'{param.name}' is at most {param.high}", node)

    def _given_unit(self, function: Function, node: Node) -> None:
        """Refuse to_major() of what is in whole units already, and to_minor() of what is in minor units."""
        wanted, unit = _UNIT_GIVEN[function.name], self._unit(node)
        if unit and unit != wanted:
            raise _Wrong(f"{function.name} takes {wanted} units, but this is in {unit}", node)

    def _of(self, tree: Syntax) -> Node:
        feature_tree, path_tree = tree.args
        if feature_tree.op != "name" or path_tree.op != "name":
            raise _Wrong("of takes a feature's name and a field", tree, "write of(feature, recipient.id)")
        feature = self.scope.features.get(feature_tree.value)
        if feature is None:
            raise _Wrong(
                f"there is no feature '{feature_tree.value}'",
                feature_tree,
                nearest(feature_tree.value, self.scope.features),
            )
        path = path_tree.value
        if path not in self.scope.names:
            raise _Wrong(f"there is no field '{path}' here", path_tree, nearest(path, self.scope.names))
        kind = self.scope.subjects.get(path)
        if kind is None:
            raise _Wrong(f"'{path}' names no subject", path_tree, nearest(path, self.scope.subjects))
        if feature.kind and kind != feature.kind:
            fitting = [each for each, of in self.scope.subjects.items() if of == feature.kind]
            hint = f"'{fitting[0]}' names one" if fitting else ""
            raise _Wrong(
                f"'{feature_tree.value}' belongs to {feature.kind} subjects, but '{path}' names {_article(kind)}",
                path_tree,
                hint,
            )
        return make("feature", feature.type, (), (feature_tree.value, path), at=tree)

    def _score(self, tree: Syntax) -> Node:
        given = tree.args[0]
        if given.op != "string":
            raise _Wrong("'name' of score must be a constant", given, "write score('name')")
        info = self.scope.scores.get(given.value)
        if info is None:
            raise _Wrong(f"there is no score '{given.value}'", given, nearest(given.value, self.scope.scores))
        paths = [path for path, kind in self.scope.subjects.items() if kind == info.kind]
        if len(tree.args) == 1:
            if info.path is None:
                hint = f"write score('{given.value}', {paths[0]})" if paths else f"this event names no {info.kind}"
                raise _Wrong(f"'{given.value}' belongs to a subject that must be named here", given, hint)
            path = info.path
        elif tree.args[1].op != "name" or tree.args[1].value not in paths:
            hint = "one of " + ", ".join(paths) if paths else f"this event names no {info.kind}"
            raise _Wrong(f"the score '{given.value}' belongs to {info.kind} subjects", tree.args[1], hint)
        else:
            path = tree.args[1].value
        return make("feature", Type.DECIMAL, (), (score_key(given.value), path), at=tree)

    def _same_types(self, function: Function, tree: Syntax, expect: Type | None) -> Node:
        args = self._together(tree.args, expect)
        for arg in args[1:]:
            if arg.type != args[0].type:
                raise _Wrong(
                    f"all arguments of {function.name} have one type, but this is {_a(arg.type)} and the first {_a(args[0].type)}",
                    arg,
                    hints.of_cast(arg, args[0].type),
                )
            self._same_unit(args[0], arg)
        allowed = function.params[0].types
        if allowed and args[0].type not in allowed:
            raise _Wrong(f"{function.name} does not take {args[0].type}", tree)
        if function.name == "nullif" and args[0].type == Type.TEXTS:
            raise _Wrong("nullif does not take text[]", tree)
        return make(function.name, args[0].type, args, at=tree)


def _is_constant(param: Param) -> bool:
    return bool(param.role) and param.role != "currency"


def _adapts(node: Node) -> bool:
    """Say whether a part is made of whole-number constants only, so that it may as well be a decimal."""
    if node.op == "const":
        return node.type == Type.INT
    return node.op in {"neg", "add", "sub", "mul"} and node.type == Type.INT and all(_adapts(arg) for arg in node.args)


def _spread(function: Function, count: int) -> list[Param]:
    params = list(function.params[:count])
    while len(params) < count:
        params.append(function.params[-1])
    return params
