"""Tables with given rows, written as a dialect writes them."""

from collections.abc import Mapping, Sequence

from koban.language import Dialect, Type, Value, in_quotes, literal

AT_ONCE = 50  # rows of one statement


def filled(dialect: Dialect, name: str, columns: Mapping[str, Type], rows: Sequence[Mapping[str, Value]]) -> list[str]:
    """Return the statements that make a table of these rows."""
    kept = {path: kind for path, kind in columns.items() if dialect.arrays or kind is not Type.TEXTS}
    shown = ", ".join(f"{in_quotes(dialect, path)} {dialect.types[kind]}" for path, kind in kept.items())
    ending = " ENGINE = Memory" if dialect.name == "clickhouse" else ""
    made = [f"CREATE TABLE {name} ({shown}){ending}"]
    texts = [
        "(" + ", ".join(_constant(dialect, row.get(path), kind) for path, kind in kept.items()) + ")" for row in rows
    ]
    made += [
        f"INSERT INTO {name} VALUES {', '.join(texts[place : place + AT_ONCE])}"
        for place in range(0, len(texts), AT_ONCE)
    ]
    return made


def _constant(dialect: Dialect, value: Value, kind: Type) -> str:
    if not isinstance(value, tuple):
        return literal(dialect, value, kind)
    inside = ", ".join(literal(dialect, each, Type.TEXT) for each in value)
    array = f"array({inside})" if dialect.name == "spark" else f"ARRAY[{inside}]"
    return f"CAST({array} AS {dialect.types[kind]})"
