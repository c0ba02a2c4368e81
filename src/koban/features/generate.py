"""Write the Python function that one event type's features run as: update the subjects' records, read the values.

A record is a list `[layout version, first unsaved sequence number or 0, cell, cell, …]`. Before a generated function
changes a place in a record it puts record, index and old value on the undo list; a cell that is changed itself puts
cell, kind of change and amount there. Taking them back in reverse order undoes an entry exactly.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import koban.language
from koban.base import DAY
from koban.features import cells, subjects, values
from koban.features.expressions import check_argument, check_condition
from koban.features.plan import SLOTS, CellPlan, FeaturePlan, Plan, part_path, resolve_key
from koban.language import Environment, Value, compile_program, compile_value
from koban.packs import EventType, subject_kind
from koban.text import Normalised

HEAD: Final = 2  # places of a record before its first cell
VERSION: Final = 0
UNSAVED: Final = 1

# On the undo list, a negative index says how to take back a change that was made to the cell itself.
SAME_SLOT: Final = -1
NEW_SLOT: Final = -2
AVERAGE_SAME_SLOT: Final = -3
AVERAGE_NEW_SLOT: Final = -4
NEW_VALUE: Final = -5
NEW_DISTINCT: Final = -6

Row = Mapping[str, Value]
Texts = dict[str, Normalised]
Apply = Callable[[Row, int, int, Texts | None], dict[str, Value]]
Standing = Callable[[str, str, int], bool]  # kind, id, log time: whether a sanction stands on the subject
Bind = Callable[[Mapping[str, Callable[[str], list[Any]]], list[Any], Callable[[Any], None], Standing], Apply]

_HELPERS: Final[dict[str, object]] = {
    name: getattr(module, name)
    for module, names in (
        (
            cells,
            (
                "expire_totals",
                "expire_average",
                "expire_head",
                "push_min",
                "push_max",
                "see",
                "count_in",
                "sum_in",
                "average_in",
                "head_in",
                "distinct_in",
                "see_deviation",
                "deviation_in",
                "see_frequent",
                "frequent_in",
                "see_step",
                "sequences_in",
                "count_standing",
                "linked_age",
            ),
        ),
        (values, ("divide", "digest")),
        (subjects, ("pair_id",)),
        (koban.language, ("deviation",)),
    )
    for name in names
}


class _Writer:
    """The function being written: its lines with their indentation, and what its names mean."""

    def __init__(self, plan: Plan, event: EventType) -> None:
        self.plan = plan
        self.event = event
        self.namespace: dict[str, Any] = dict(_HELPERS)  # Any: functions, and constants of all kinds
        self.conditions: list[str] = []  # in the order in which the conditions' program answers
        self.lines: list[str] = []
        self.depth = 2
        self.kinds: list[str] = []  # of subjects, in the order of their touches

    def put(self, *lines: str) -> None:
        """Add lines at the current depth; leading spaces in them go deeper."""
        self.lines += ["    " * self.depth + line for line in lines]


def generate(plan: Plan, event: EventType, keys: Iterable[str]) -> tuple[Bind, str]:
    """Return the function for one event type, to be bound to a store's records, and its source.

    Names in the source: `k0` the id at a path, `r0` its record, `s60`, `f60` the current and the oldest slot of 60 µs,
    `c` the cell at hand, `x0` an argument, `v0` the value of a key.
    """
    reads = [(key, *resolve_key(plan, event, key)) for key in sorted(set(keys))]
    updates: dict[str, list[CellPlan]] = {}
    for kind in sorted(plan.layouts):
        for fingerprint in plan.layouts[kind]:
            cell = plan.cells[fingerprint]
            if event.name in cell.by:
                updates.setdefault(cell.by[event.name], []).append(cell)
    asked = {
        str(part_path(feature, part, path, event)) for _, feature, path in reads for part in plan.parts(feature.name)
    }
    paths = sorted({*updates, *(path for _, _, path in reads), *asked})
    records = {path: f"r{number}" for number, path in enumerate(paths)}
    # Records of linked subjects are read for their ages only; whether a sanction stands on them is asked elsewhere.
    linked = {feature.linked_kind for _, feature, _ in reads if feature.through is not None}
    kinds = sorted({*(str(subject_kind(event, path)) for path in paths), *linked})
    writer = _Writer(plan, event)
    writer.kinds = kinds
    _write_clock(writer, updates, reads)
    for number, path in enumerate(paths):
        touch = f"touch_{kinds.index(str(subject_kind(event, path)))}"
        read = subjects.python_subject(path)
        writer.put(f"k{number} = {read}", f"r{number} = None if k{number} is None else {touch}(k{number})")
    early = [read for read in reads if any(part.excluding_current for part in plan.parts(read[1].name))]
    for key, feature, path in early:
        _write_read(writer, feature, path, records, f"v{_at(reads, key)}", before=True)
    _write_conditions(writer, updates)
    for path, planned in updates.items():
        _write_updates(writer, paths.index(path), planned)
    for key, feature, path in reads:
        _write_read(writer, feature, path, records, f"v{_at(reads, key)}", before=False)
    answer = ", ".join(f"{key!r}: v{_at(reads, key)}" for key, _, _ in reads)
    source = "\n".join(
        [
            "def bind(touches, log, unsaved, standing):",
            *(f"    touch_{number} = touches[{kind!r}]" for number, kind in enumerate(kinds)),
            "    def apply(row, at, seq, texts):",
            "        get = row.get",
            "        undo = log",
            *writer.lines,
            f"        return {{{answer}}}",
            "    return apply",
        ]
    )
    exec(compile(source, f"<features of {event.name}>", "exec"), writer.namespace)  # noqa: S102  # our own generated text
    bind: Bind = writer.namespace["bind"]
    return bind, source


def take_back(undo: list[Any], mark: int) -> int:  # Any: records and cells
    """Undo all changes noted after `mark`; returns how many records became saved again by it."""
    saved = 0
    while len(undo) > mark:
        old, index, target = undo.pop(), undo.pop(), undo.pop()
        if index >= 0:
            target[index] = old
            saved += index == UNSAVED
        elif index == NEW_VALUE:
            del target[-2:]
        elif index == NEW_DISTINCT:
            del target[old]
        else:
            _take_back_totals(target, index, old)
    return saved


def _take_back_totals(cell: cells.Cell, change: int, part: int) -> None:
    cell[0] -= part
    if change == SAME_SLOT:
        cell[-1] -= part
    elif change == NEW_SLOT:
        del cell[-2:]
    else:
        cell[1] -= 1
        if change == AVERAGE_SAME_SLOT:
            cell[-2] -= part
            cell[-1] -= 1
        else:
            del cell[-3:]


def _at(reads: Sequence[tuple[str, FeaturePlan, str]], key: str) -> int:
    return next(index for index, read in enumerate(reads) if read[0] == key)


def _index(plan: Plan, cell: CellPlan) -> int:
    return HEAD + plan.layouts[cell.kind].index(cell.fingerprint)


def _write_clock(
    writer: _Writer, updates: Mapping[str, list[CellPlan]], reads: Iterable[tuple[str, FeaturePlan, str]]
) -> None:
    """Compute the current and the oldest slot of every width in use, once."""
    used = [cell for planned in updates.values() for cell in planned]
    plan = writer.plan
    used += [plan.cells[str(part.cell)] for _, feature, _ in reads for part in plan.parts(feature.name)]
    for slot_us in sorted({cell.slot_us for cell in used if cell.slot_us is not None}):
        writer.put(f"s{slot_us} = at // {slot_us}", f"f{slot_us} = s{slot_us} - {SLOTS - 1}")


def _write_conditions(writer: _Writer, updates: Mapping[str, list[CellPlan]]) -> None:
    """Ask all conditions at once, as rules are asked, so that texts are read once."""
    writer.conditions = sorted(
        {cell.where for planned in updates.values() for cell in planned if cell.where is not None}
    )
    if writer.conditions:
        checks = [check_condition(text, writer.event) for text in writer.conditions]
        writer.namespace |= {"conditions": compile_program(checks).run, "nothing": {}, "no_lists": Environment()}
        writer.put("true = conditions(row, nothing, at, no_lists, texts)")


def _write_updates(writer: _Writer, number: int, planned: Sequence[CellPlan]) -> None:
    """Update every cell of one subject; cells with the same condition share its answer and their arguments."""
    writer.put(f"if r{number} is not None:")
    writer.depth += 1
    writer.put("before = len(undo)")
    for where in sorted({cell.where for cell in planned}, key=lambda text: text or ""):
        if where is not None:
            writer.put(f"if {writer.conditions.index(where)} in true:")
            writer.depth += 1
        arguments: dict[str, str] = {}
        for cell in (cell for cell in planned if cell.where == where):
            if cell.argument is not None and cell.argument not in arguments:
                arguments[cell.argument] = f"x{len(arguments)}"
                writer.put(f"{arguments[cell.argument]} = {_argument(writer, cell.argument)}")
            _write_update(writer, cell, f"r{number}", arguments.get(cell.argument or "", ""))
        if where is not None:
            writer.depth -= 1
    kind = planned[0].kind
    writer.put(
        f"if len(undo) != before and not r{number}[{UNSAVED}]:",
        f"    undo += r{number}, {UNSAVED}, 0",
        f"    r{number}[{UNSAVED}] = seq",
        f"    unsaved(({kind!r}, k{number}, seq))",
    )
    writer.depth -= 1


def _argument(writer: _Writer, text: str) -> str:
    """Write what an aggregate is applied to; a plain field is read in place."""
    if text == "time":
        return "at"
    if text in writer.event.fields:
        return f"get({text!r})"
    name = f"value_{len(writer.namespace)}"
    writer.namespace[name] = compile_value(check_argument(text, writer.event))
    return f"{name}(row, at, texts=texts)"


def _write_update(writer: _Writer, cell: CellPlan, record: str, x: str) -> None:
    index = _index(writer.plan, cell)
    place = f"{record}[{index}]"
    lines = [f"c = {place}"]
    if cell.function in {"stddev", "most_frequent", "sequence"}:
        lines += _update_copied(cell, place, f"undo += {record}, {index}, c", x, event=writer.event.name)
    elif cell.slot_us is None:
        lines += _update_ever(cell, place, record, index, x)
    else:
        slot, floor = f"s{cell.slot_us}", f"f{cell.slot_us}"
        lines += _update_window(cell, place, f"undo += {record}, {index}, c", x, slot=slot, floor=floor)
    if cell.argument is None:
        writer.put(*lines)
    else:
        writer.put(f"if {x} is not None:", *("    " + line for line in lines))


def _kept(cell: CellPlan, x: str) -> str:
    """Write what a distinct count keeps of a value, or first() and last() of a text."""
    if cell.argument_type != "text":
        return x
    if cell.function not in {"count_distinct", "linked"}:
        return f"{x}[:{values.TEXT_CHARS_KEPT}]"
    if cell.function == "linked":
        return x  # an id, which is short, and is asked for by itself
    return f"digest({x})" if cell.sealed else f"({x} if len({x}) <= {values.DISTINCT_CHARS_KEPT} else digest({x}))"


def _update_copied(cell: CellPlan, place: str, keep: str, x: str, *, event: str) -> list[str]:
    """Change a copy of the cell; what never expires lives in slot 0."""
    slot, floor = ("0", "0") if cell.slot_us is None else (f"s{cell.slot_us}", f"f{cell.slot_us}")
    match cell.function:
        case "stddev":
            return [keep, f"{place} = see_deviation(c, {x}, {slot}, {floor})"]
        case "most_frequent":
            return [keep, f"{place} = see_frequent(c, {_kept(cell, x)}, {slot}, {floor}, {cell.bound})"]
        case _:
            matched = tuple(number for number, step in enumerate(cell.steps) if step.event == event)
            withins = tuple(step.within_us or 0 for step in cell.steps)
            return [
                f"y = see_step(c, {matched!r}, at, {withins!r}, slot={slot}, floor={floor})",
                "if y is not None:",
                f"    {keep}",
                f"    {place} = y",
            ]


def _update_ever(cell: CellPlan, place: str, record: str, index: int, x: str) -> list[str]:
    keep = f"undo += {record}, {index}, c"
    match cell.function:
        case "count" | "count_of":
            return [keep, f"{place} = 1 if c is None else c + 1"]
        case "sum":
            return [keep, f"{place} = {x} if c is None else c + {x}"]
        case "avg":
            return [keep, f"{place} = [{x}, 1] if c is None else [c[0] + {x}, c[1] + 1]"]
        case "min" | "max":
            sign = "<" if cell.function == "min" else ">"
            return [f"if c is None or {x} {sign} c:", f"    {keep}", f"    {place} = {x}"]
        case "first":
            return ["if c is None:", f"    {keep}", f"    {place} = {_kept(cell, x)}"]
        case "last":
            return [keep, f"{place} = {_kept(cell, x)}"]
        case "age_days":
            return ["if c is None:", f"    {keep}", f"    {place} = at"]
        case "linked":
            return [
                f"if c is None or next(reversed(c)) != {x}:",
                f"    {keep}",
                f"    {place} = see(c or {{}}, {x}, 0, 0, {cell.bound})",
            ]
        case "count_distinct":
            return [
                f"y = {_kept(cell, x)}",
                "if c is None:",
                f"    {keep}",
                f"    {place} = {{y: 0}}",
                f"elif y not in c and len(c) < {cell.bound}:",
                "    c[y] = 0",
                f"    undo += c, {NEW_DISTINCT}, y",
            ]
        case _:
            raise AssertionError(f"{cell.function} has lines of its own, or no cell")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Window:
    """How a windowed cell is changed: where its oldest and newest slots stand, and the lines for each case."""

    oldest: str
    newest: str
    fresh: str
    expire: list[str]
    change: list[str]


def _update_window(cell: CellPlan, place: str, keep: str, x: str, *, slot: str, floor: str) -> list[str]:
    """Start afresh where the newest slot has left the window; change a copy where old slots have; else in place."""
    match cell.function:
        case "last":
            return [keep, f"{place} = [{slot}, {_kept(cell, x)}]"]
        case "linked":
            return [
                f"if c is None or next(reversed(c)) != {x} or c[{x}] != {slot}:",
                f"    {keep}",
                f"    {place} = see(c or {{}}, {x}, {slot}, {floor}, {cell.bound})",
            ]
        case "count_distinct":
            return [
                f"y = {_kept(cell, x)}",
                "if c is None:",
                f"    {keep}",
                f"    {place} = {{y: {slot}}}",
                f"elif y not in c and len(c) < {cell.bound} and c[next(iter(c))] >= {floor}:",
                f"    c[y] = {slot}",
                f"    undo += c, {NEW_DISTINCT}, y",
                f"elif c.get(y) != {slot}:",
                f"    {keep}",
                f"    {place} = see(c, y, {slot}, {floor}, {cell.bound})",
            ]
        case "age_days" | "ratio":
            raise AssertionError(f"{cell.function} has no window")
    copy = [keep, f"c = {place} = c.copy()"]
    totals = cell.function in {"count", "count_of", "sum", "avg"}
    window = (_window_of_totals if totals else _window_of_order)(cell, copy, x, slot=slot, floor=floor)
    return [
        f"if c is None or {window.newest} < {floor}:",
        f"    {keep}",
        f"    {place} = {window.fresh}",
        "else:",
        f"    if {window.oldest} < {floor}:",
        *("        " + line for line in window.expire),
        *("    " + line for line in window.change),
    ]


def _window_of_totals(cell: CellPlan, copy: list[str], x: str, *, slot: str, floor: str) -> _Window:
    """Keep counts, sums and averages: a running total in front, then what each slot added."""
    if cell.function == "avg":
        return _Window(
            oldest="c[2]",
            newest="c[-3]",
            fresh=f"[{x}, 1, {slot}, {x}, 1]",
            expire=[*copy, f"expire_average(c, {floor})"],
            change=[
                f"c[0] += {x}",
                "c[1] += 1",
                f"if c[-3] == {slot}:",
                f"    c[-2] += {x}",
                "    c[-1] += 1",
                f"    undo += c, {AVERAGE_SAME_SLOT}, {x}",
                "else:",
                f"    c += ({slot}, {x}, 1)",
                f"    undo += c, {AVERAGE_NEW_SLOT}, {x}",
            ],
        )
    part = "1" if cell.function != "sum" else x
    return _Window(
        oldest="c[1]",
        newest="c[-2]",
        fresh=f"[{part}, {slot}, {part}]",
        expire=[*copy, f"expire_totals(c, {floor})"],
        change=[
            f"c[0] += {part}",
            f"if c[-2] == {slot}:",
            f"    c[-1] += {part}",
            f"    undo += c, {SAME_SLOT}, {part}",
            "else:",
            f"    c += ({slot}, {part})",
            f"    undo += c, {NEW_SLOT}, {part}",
        ],
    )


def _window_of_order(cell: CellPlan, copy: list[str], x: str, *, slot: str, floor: str) -> _Window:
    """Keep smallest, largest and first values: candidates in the order of their slots."""
    expire = [*copy, f"expire_head(c, {floor})"]
    if cell.function == "first":
        kept = _kept(cell, x)
        change = [f"if c[-2] != {slot}:", f"    c += ({slot}, {kept})", f"    undo += c, {NEW_VALUE}, None"]
        return _Window(oldest="c[0]", newest="c[-2]", fresh=f"[{slot}, {kept}]", expire=expire, change=change)
    assert cell.function in {"min", "max"}, "every other function has lines of its own"
    sign = "<=" if cell.function == "min" else ">="
    return _Window(
        oldest="c[0]",
        newest="c[-2]",
        fresh=f"[{slot}, {x}]",
        expire=expire,
        change=[
            f"if {x} {sign} c[-1]:",
            f"    if {x} != c[-1] or c[-2] != {slot}:",
            *("        " + line for line in copy),
            f"        push_{cell.function}(c, {slot}, {x})",
            f"elif c[-2] != {slot}:",
            f"    c += ({slot}, {x})",
            f"    undo += c, {NEW_VALUE}, None",
        ],
    )


def _write_read(
    writer: _Writer, feature: FeaturePlan, path: str, records: Mapping[str, str], into: str, *, before: bool
) -> None:
    """Read a feature into a variable; features that exclude the current event are read before the update."""
    plan = writer.plan
    parts = plan.parts(feature.name)
    names = [f"{into}_{number}" for number in range(len(parts))] if feature.operands else [into]
    for part, name in zip(parts, names, strict=True):
        if part.excluding_current == before:
            cell = plan.cells[str(part.cell)]
            record = records[str(part_path(feature, part, path, writer.event))]
            lines = _read_cell(cell, name) if part.linked is None else _read_linked(writer, part, cell, name)
            writer.put(
                f"if {record} is None: {name} = None",
                "else:",
                f"    c = {record}[{_index(plan, cell)}]",
                *("    " + line for line in lines),
            )
    if feature.operands is not None and not before:
        missing = " or ".join(f"{name} is None" for name in names)
        top, bottom = composed(feature, parts, names)
        writer.put(f"{into} = None if {missing} else divide({top}, {bottom})")


def composed(feature: FeaturePlan, parts: Sequence[FeaturePlan], names: Sequence[str]) -> tuple[str, str]:
    """Write what is divided by what; the same text is Python and SQL."""
    scales = ["" if part.type == "decimal" else f" * {values.SCALE}" for part in parts[:2]]
    if scales[0] == scales[1]:
        scales = ["", ""]
    factors = [f" * {factor}" if factor != 1 else "" for factor in feature.factors]
    members = f" * {names[2]}" if feature.function == "peers" else ""
    return f"{names[0]}{scales[0]}{factors[0]}{members}", f"{names[1]}{scales[1]}{factors[1]}"


def _read_linked(writer: _Writer, feature: FeaturePlan, cell: CellPlan, into: str) -> list[str]:
    floor = "0" if cell.slot_us is None else f"f{cell.slot_us}"
    if feature.linked == "sanctioned":
        kind = feature.linked_kind
        return [f"{into} = 0 if c is None else count_standing(c, {floor}, standing, {kind!r}, at)"]
    age = writer.plan.cells[str(writer.plan.features[str(feature.through)].cell)]
    touch = f"touch_{writer.kinds.index(feature.linked_kind)}"
    place, youngest = _index(writer.plan, age), feature.linked == "youngest"
    return [f"{into} = None if c is None else linked_age(c, {floor}, {touch}, {place}, at, youngest={youngest})"]


def _read_cell(cell: CellPlan, into: str) -> list[str]:
    floor = f"f{cell.slot_us}"
    ever = cell.slot_us is None
    scale = f" * {values.SCALE}" if cell.argument_type == "decimal" else ""
    match cell.function:
        case "count" | "count_of":
            if ever:
                return [f"{into} = 0 if c is None else c"]
            return [f"{into} = 0 if c is None else c[0] if c[1] >= {floor} else count_in(c, {floor})"]
        case "sum":
            most = values.DECIMAL_MAX if cell.argument_type == "decimal" else values.INT_MAX
            least = -values.DECIMAL_MAX if cell.argument_type == "decimal" else values.INT_MIN
            read = "c" if ever else f"None if c is None else c[0] if c[1] >= {floor} else sum_in(c, {floor})"
            return [f"{into} = {read}", f"if {into} is not None and not {least} <= {into} <= {most}: {into} = None"]
        case "avg" if ever:
            return [f"{into} = None if c is None else divide(c[0], c[1]{scale})"]
        case "avg":
            return [
                f"if c is None: {into} = None",
                "else:",
                f"    c = c if c[2] >= {floor} else average_in(c, {floor})",
                f"    {into} = divide(c[0], c[1]{scale})",
            ]
        case "min" | "max" | "first" if not ever:
            return [f"{into} = None if c is None else c[1] if c[0] >= {floor} else head_in(c, {floor})"]
        case "last" if not ever:
            return [f"{into} = c[1] if c is not None and c[0] >= {floor} else None"]
        case "min" | "max" | "first" | "last":
            return [f"{into} = c"]
        case "age_days":
            return [f"{into} = None if c is None else (at - c) // {DAY}"]
        case "count_distinct":
            if ever:
                return [f"{into} = 0 if c is None else len(c)"]
            whole = f"len(c) if c[next(iter(c))] >= {floor} else distinct_in(c, {floor})"  # the oldest comes first
            return [f"{into} = 0 if c is None else {whole}"]
        case "stddev":
            read = "c" if ever else f"deviation_in(c, {floor})"
            scaled = cell.argument_type == "decimal"
            return [f"{into} = None if c is None else deviation(*{read}[:3], scaled={scaled})"]
        case "most_frequent":
            return [f"{into} = None if c is None else frequent_in(c, {'0' if ever else floor})"]
        case "sequence":
            return [f"{into} = 0 if c is None else sequences_in(c, {len(cell.steps)}, {'0' if ever else floor})"]
        case _:
            raise AssertionError(f"{cell.function} is read elsewhere, or has no cell")
