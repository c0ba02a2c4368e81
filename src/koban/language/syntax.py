"""Read the text of an expression into a plain tree with positions. sqlglot is imported here alone.

The tokens are sqlglot's, in DuckDB flavour; the tree is our own, because sqlglot's does not keep where a literal or an
operator stood, and every error and every line of a trace needs that. A test holds that sqlglot reads the same structure.
"""

import functools
import re
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from koban.language.types import DEPTH_LIMIT, NODE_LIMIT, TEXT_LIMIT

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token
    from sqlglot.tokens import Tokenizer


_SMALLER: Final = "put phrases and values on a list (mentions, in_list), or make several rules of it"


class Syntax(msgspec.Struct, frozen=True):
    """One part of an expression as written; `op` says what it is, `value` holds a name or the text of a literal."""

    op: str
    args: tuple["Syntax", ...]
    start: int
    end: int
    value: str = ""
    depth: int = 1


class SyntaxRefused(Exception):
    """The text is no expression of the subset: where and why."""

    def __init__(self, detail: str, start: int, end: int, hint: str = "") -> None:
        """Point at the characters from `start` to `end`."""
        super().__init__(detail)
        self.detail = detail
        self.start = start
        self.end = end
        self.hint = hint


COMPARISONS = {"=": "eq", "==": "eq", "<>": "ne", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_SUMS = {"+": "add", "-": "sub", "||": "concat"}
_PRODUCTS = {"*": "mul", "/": "div", "//": "int_div", "%": "mod"}
RESERVED = frozenset(
    (
        *("and", "or", "not", "in", "is", "null", "between", "like", "ilike", "case", "when", "then", "else", "end"),
        *("true", "false", "cast", "try_cast", "as", "select", "exists"),
    )
)
_WORD = re.compile(r"[^\W\d]\w*\Z")
_WHOLE = re.compile(r"[0-9]+\Z")
_FRACTION = re.compile(r"[0-9]*\.[0-9]{1,6}\Z")


class _Own(threading.local):
    """One tokenizer per thread: it keeps the text that it reads in itself, and packs are checked while rules decide."""

    def __init__(self) -> None:
        from sqlglot.dialects.duckdb import DuckDB

        self.tokenizer: Tokenizer = DuckDB().tokenizer()


@functools.cache
def _own() -> _Own:
    return _Own()


def parse(text: str) -> Syntax:
    """Read one expression; raises SyntaxRefused."""
    from sqlglot.errors import SqlglotError

    if len(text) > TEXT_LIMIT:
        raise SyntaxRefused(f"the expression is longer than {TEXT_LIMIT:,} characters", 0, 1, _SMALLER)
    try:
        tokens = list(_own().tokenizer.tokenize(text))
    except SqlglotError as error:
        quote = text.rfind("'" if text.count("'") % 2 else '"')
        if quote >= 0 and text.count(text[quote]) % 2:
            raise SyntaxRefused("this quote is not closed", quote, quote + 1) from error
        raise SyntaxRefused("this cannot be read as SQL", 0, len(text)) from error
    if not tokens:
        raise SyntaxRefused("the expression is empty", 0, 1)
    reader = _Reader(text, tokens)
    tree = reader.expression()
    reader.finish()
    return tree


class _Reader:
    """A recursive descent over the tokens; one method per level of precedence, loosest first."""

    def __init__(self, text: str, tokens: "list[Token]") -> None:
        self.text = text
        self.tokens = tokens
        self.at = 0
        self.nested = 0
        self.parts = 0

    def expression(self) -> Syntax:
        return self._chain("or", self._conjunction)

    def finish(self) -> None:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            word = token.text.lower()
            if word in {"select", "where", "group", "order", "having", "limit", "union", "join"}:
                raise self._refused(f"{word.upper()} does not belong here: write one condition or value, not a query")
            if token.text == ";":
                raise self._refused("';' does not belong here: write one expression")
            if self.at > 0 and self._word() not in RESERVED and self._word():
                raise self._refused(
                    f"'{token.text}' was not expected here: an operator such as AND is missing before it"
                )
            raise self._refused(f"'{token.text}' was not expected here")

    def _chain(self, word: str, below: "_Level") -> Syntax:
        first = below()
        if self._word() != word:
            return first
        args = [first]
        while self._take(word):
            args.append(below())
        return self._node(word, tuple(args), first.start, args[-1].end)

    def _conjunction(self) -> Syntax:
        return self._chain("and", self._negation)

    def _negation(self) -> Syntax:
        start = self._start()
        if not self._take("not"):
            return self._predicate()
        self._enter(start)
        arg = self._negation()
        self.nested -= 1
        return self._node("not", (arg,), start, arg.end)

    def _predicate(self) -> Syntax:
        left = self._comparison()
        while self._word() == "is":
            left = self._is(left)
        return left

    def _is(self, left: Syntax) -> Syntax:
        self._take("is")
        denied = self._take("not")
        if self._take("null"):
            return self._node("is_not_null" if denied else "is_null", (left,), left.start, self._end())
        if self._word() in {"true", "false"}:
            op = "is_true" if self._take("true") else "is_false"
            if op == "is_false":
                self._take("false")
            tested = self._node(op, (left,), left.start, self._end())
            return self._node("not", (tested,), left.start, self._end()) if denied else tested
        if self._take("distinct"):
            self._need("from")
            right = self._comparison()
            return self._node("not_distinct" if denied else "distinct", (left, right), left.start, right.end)
        raise self._refused("after IS comes NULL, NOT NULL, TRUE, FALSE or [NOT] DISTINCT FROM")

    def _comparison(self) -> Syntax:
        left = self._range()
        op = COMPARISONS.get(self._symbol())
        if op is None:
            return left
        self.at += 1
        right = self._range()
        node = self._node(op, (left, right), left.start, right.end)
        if self._symbol() in COMPARISONS:
            raise self._refused("comparisons do not chain: write a < b AND b < c")
        return node

    def _range(self) -> Syntax:
        left = self._sum()
        denied = False
        if self._word() == "not" and self._word(1) in {"in", "between", "like", "ilike"}:
            self.at += 1
            denied = True
        node = self._range_test(left)
        if node is None:
            return left
        return self._node("not", (node,), left.start, node.end) if denied else node

    def _range_test(self, left: Syntax) -> Syntax | None:
        if self._take("in"):
            self._need("(")
            args = self._arguments()
            if len(args) == 0:
                raise self._refused("IN needs at least one value")
            return self._node("in", (left, *args), left.start, self._end())
        if self._take("between"):
            low = self._sum()
            self._need("and")
            high = self._sum()
            return self._node("between", (left, low, high), left.start, high.end)
        for word in ("like", "ilike"):
            if self._take(word):
                pattern = self._sum()
                return self._node(word, (left, pattern), left.start, pattern.end)
        return None

    def _sum(self) -> Syntax:
        return self._left(_SUMS, self._product)

    def _product(self) -> Syntax:
        return self._left(_PRODUCTS, self._unary)

    def _left(self, ops: dict[str, str], below: "_Level") -> Syntax:
        left = below()
        while (op := ops.get(self._symbol())) is not None:
            self.at += 1
            right = below()
            left = self._node(op, (left, right), left.start, right.end)
        return left

    def _unary(self) -> Syntax:
        start = self._start()
        symbol = self._symbol()
        if symbol not in {"-", "+"}:
            return self._cast_suffix(self._primary())
        self.at += 1
        self._enter(start)
        arg = self._unary()
        self.nested -= 1
        return arg if symbol == "+" else self._node("neg", (arg,), start, arg.end)

    def _cast_suffix(self, node: Syntax) -> Syntax:
        while self._symbol() in {"::", "["}:
            self.at += 1
            if self.tokens[self.at - 1].text == "[":
                place = self.expression()
                self._need("]")
                node = self._node("call", (node, place), node.start, self._end(), "element_at")
                continue
            kind = self._type_name()
            node = self._node("cast", (node,), node.start, self._end(), kind)
        return node

    def _primary(self) -> Syntax:
        if self.at >= len(self.tokens):
            end = len(self.text)
            raise SyntaxRefused("the expression ends too early", max(0, end - 1), end)
        token = self.tokens[self.at]
        start, end = token.start, token.end + 1
        kind = token.token_type.name
        if kind == "STRING":
            self.at += 1
            return self._node("string", (), start, end, token.text)
        if kind == "NUMBER" or (token.text == "." and self._kind(1) == "NUMBER"):
            return self._number()
        if token.text == "(":
            self._enter(start)
            self.at += 1
            inner = self.expression()
            self._need(")")
            self.nested -= 1
            return msgspec.structs.replace(inner, start=start, end=self._end())
        word = self._word()
        if word in {"true", "false", "null"}:
            self.at += 1
            return self._node(word, (), start, end)
        if word == "case":
            return self._case()
        if word in {"cast", "try_cast"}:
            return self._cast()
        if word in {"interval", "timestamp", "date"} and self._kind(1) in {"STRING", "NUMBER"}:
            return self._timed(word)
        if kind == "IDENTIFIER" or (word and word not in RESERVED):
            return self._name_or_call()
        if word in {"select", "exists"}:
            raise self._refused(f"{word.upper()} does not belong here: write one condition or value, not a query")
        raise self._refused(f"a value was expected here, not '{token.text}'")

    def _number(self) -> Syntax:
        start = self._start()
        text = ""
        while self._kind() == "NUMBER" or self._symbol() == ".":
            text += self.tokens[self.at].text
            self.at += 1
        end = self._end()
        text = self.text[start:end].replace("_", "")
        if _WHOLE.match(text):
            return self._node("integer", (), start, end, text)
        if _FRACTION.match(text):
            return self._node("fraction", (), start, end, text)
        if re.match(r"[0-9]*\.[0-9]+\Z", text):
            raise SyntaxRefused("a decimal has at most six digits after the point", start, end)
        raise SyntaxRefused("this is no number of Koban SQL: write 100 or 0.25", start, end)

    def _timed(self, word: str) -> Syntax:
        start = self._start()
        self.at += 1
        value = self.tokens[self.at].text
        self.at += 1
        if word == "interval" and self.at < len(self.tokens) and self._word() not in RESERVED and self._word():
            value = f"{value} {self._word()}"
            self.at += 1
        return self._node("timestamp" if word == "date" else word, (), start, self._end(), value)

    def _case(self) -> Syntax:
        start = self._start()
        self._enter(start)
        self._take("case")
        operand = None if self._word() == "when" else self.expression()
        args: list[Syntax] = []
        while self._take("when"):
            condition = self.expression()
            if operand is not None:
                condition = self._node("eq", (operand, condition), condition.start, condition.end)
            self._need("then")
            args += [condition, self.expression()]
        if not args:
            raise self._refused("CASE needs at least one WHEN … THEN …")
        if self._take("else"):
            args.append(self.expression())
        self._need("end")
        self.nested -= 1
        return self._node("case", tuple(args), start, self._end())

    def _cast(self) -> Syntax:
        start = self._start()
        self.at += 1
        self._need("(")
        self._enter(start)
        arg = self.expression()
        self._need("as")
        kind = self._type_name()
        self._need(")")
        self.nested -= 1
        return self._node("cast", (arg,), start, self._end(), kind)

    def _type_name(self) -> str:
        name = self._word()
        if not name:
            raise self._refused("a type was expected here: bool, int, decimal, text or timestamp")
        self.at += 1
        if self._symbol() == "(":
            while self.at < len(self.tokens) and not self._take(")"):
                self.at += 1
        return name

    def _name_or_call(self) -> Syntax:
        start = self._start()
        quoted = self._kind() == "IDENTIFIER"
        parts = [self.tokens[self.at].text]
        self.at += 1
        if self._symbol() == "(" and not quoted:
            self.at += 1
            self._enter(start)
            args = self._arguments()
            self.nested -= 1
            return self._node("call", args, start, self._end(), parts[0].lower())
        while self._symbol() == ".":
            self.at += 1
            if self._kind() != "IDENTIFIER" and not self._word(raw=True):
                raise self._refused("a name was expected after '.'")
            parts.append(self.tokens[self.at].text)
            self.at += 1
        return self._node("name", (), start, self._end(), ".".join(parts))

    def _arguments(self) -> tuple[Syntax, ...]:
        """Read what stands between parentheses; the opening one is already taken."""
        if self._take(")"):
            return ()
        if self._symbol() == "*":
            raise self._refused("'*' does not belong here")
        args = [self.expression()]
        while self._take(","):
            args.append(self.expression())
        self._need(")")
        return tuple(args)

    def _node(self, op: str, args: tuple[Syntax, ...], start: int, end: int, value: str = "") -> Syntax:
        self.parts += 1
        if self.parts > NODE_LIMIT:
            raise SyntaxRefused(f"the expression has more than {NODE_LIMIT:,} parts", start, end, _SMALLER)
        depth = 1 + max((arg.depth for arg in args), default=0)
        if depth > DEPTH_LIMIT:
            raise SyntaxRefused(f"the expression nests deeper than {DEPTH_LIMIT}", start, end)
        return Syntax(op, args, start, end, value, depth)

    def _enter(self, start: int) -> None:
        self.nested += 1
        if self.nested > DEPTH_LIMIT:
            raise SyntaxRefused(f"the expression nests deeper than {DEPTH_LIMIT}", start, start + 1)

    def _start(self) -> int:
        return self.tokens[self.at].start if self.at < len(self.tokens) else len(self.text)

    def _end(self) -> int:
        return self.tokens[self.at - 1].end + 1

    def _kind(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place].token_type.name if place < len(self.tokens) else ""

    def _symbol(self) -> str:
        if self.at >= len(self.tokens) or self._kind() in {"STRING", "IDENTIFIER", "NUMBER"}:
            return ""
        return self.tokens[self.at].text

    def _word(self, ahead: int = 0, *, raw: bool = False) -> str:
        """Return the word at the place in lower case, or nothing where no word stands."""
        place = self.at + ahead
        if place >= len(self.tokens) or self._kind(ahead) in {"STRING", "IDENTIFIER", "NUMBER"}:
            return ""
        text = self.tokens[place].text
        if not _WORD.match(text):
            return ""
        return text if raw else text.lower()

    def _take(self, word: str) -> bool:
        if self._symbol().lower() != word:
            return False
        self.at += 1
        return True

    def _need(self, word: str) -> None:
        if self._take(word):
            return
        if self.at >= len(self.tokens):
            end = len(self.text)
            raise SyntaxRefused(f"the expression ends too early: {word.upper()} is missing", max(0, end - 1), end)
        raise self._refused(f"{word.upper()} was expected here, not '{self.tokens[self.at].text}'")

    def _refused(self, detail: str) -> SyntaxRefused:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            return SyntaxRefused(detail, token.start, token.end + 1)
        end = len(self.text)
        return SyntaxRefused(detail, max(0, end - 1), end)


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    _Level: TypeAlias = Callable[[], Syntax]
