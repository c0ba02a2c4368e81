"""Rules that are off do not run; those that are asked match as they do in the whole program, whatever people switch."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tests.rules.test_compile import AT, FILES

from koban.labels import LiveLabels
from koban.language import Value
from koban.lists import LiveLists
from koban.packs import Mode, ModeName, parse_files
from koban.rules import AwakeRules, CompiledRules, LiveModes, ModeChanged, compile_rules

NUMBERS = range(6)
RULE = """
- rule: r{number}
  policy: fraud/off_platform
  on: [message.sent]
  when: {when}
  then: [hide]
  mode: {mode}
  because: {{en: x, ja: x}}
"""
CONDITIONS = (
    "matches(text, 'line')",
    "text LIKE '%x%' AND messages_1h > 1",
    "matches(text, 'kakao') OR messages_1h = 0",
    "messages_1h > 1",
    "recipients_1d >= 3 AND sender.id = 'a1'",
    "matches(text, 'line') AND NOT sender.id = 'a2'",
)
modes = st.sampled_from((None, *(Mode(name=name) for name in ModeName)))
rows: st.SearchStrategy[dict[str, Value]] = st.fixed_dictionaries(
    {"sender.id": st.sampled_from(("a1", "a2", None)), "text": st.sampled_from(("line x", "kakao", "ok", None))}
)
values: st.SearchStrategy[dict[str, Value]] = st.fixed_dictionaries(
    {"messages_1h": st.integers(0, 3), "recipients_1d": st.integers(0, 5)}
)
steps = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), modes),
    st.just("leave out"),
    st.just("take back"),
    st.tuples(rows, values),
)


def compiled(modes_of_pack: tuple[ModeName, ...] = (ModeName.LIVE,) * len(NUMBERS)) -> CompiledRules:
    rules = "".join(
        RULE.format(number=number, when=CONDITIONS[number], mode=modes_of_pack[number].value) for number in NUMBERS
    )
    pack = parse_files({**FILES, "rules/more.yaml": rules})
    return compile_rules(pack, LiveLists(), LiveLabels())["message.sent"]


WHOLE = compiled((ModeName.OFF, ModeName.LIVE, ModeName.RETIRED, ModeName.SHADOW, ModeName.REVIEW, ModeName.LIVE))


def switched(rule: str, mode: Mode | None) -> ModeChanged:
    return ModeChanged(rule=rule, mode=mode, by="staff_1", reason="test")


@given(lived=st.lists(steps, max_size=30), row=rows, value=values)
def test_the_asked_match_as_in_the_whole_program(
    lived: list[object], row: dict[str, Value], value: dict[str, Value]
) -> None:
    live, awake = LiveModes(), AwakeRules()
    undo: list[Callable[[], None]] = []
    for step in (*lived, (row, value)):
        match step:
            case "leave out":
                awake.leave_out({"message.sent": WHOLE}, live)
            case "take back":
                if undo:
                    undo.pop()()
            case (int(number), Mode() | None as mode):
                undo.append(live.apply(1, switched(f"r{number}", mode)))
            case (dict(event), dict(features)):
                found = awake.matched(WHOLE, live, event, features, AT, texts=None)
                asked = [rule.name for rule in found if live.mode(rule).name.is_asked]
                whole = [WHOLE.rules[place] for place in WHOLE.run(event, features, AT)]
                assert asked == [rule.name for rule in whole if live.mode(rule).name.is_asked]


def test_what_is_off_is_not_computed_until_it_is_switched_on() -> None:
    live, awake = LiveModes(), AwakeRules()
    row: dict[str, Value] = {"sender.id": "a1", "text": "line kakao"}
    features: dict[str, Value] = {"messages_1h": 0, "recipients_1d": 0}

    def names() -> list[str]:
        return [rule.name for rule in awake.matched(WHOLE, live, row, features, AT, texts=None)]

    assert names() == ["r0", "r2", "r5"]
    awake.leave_out({"message.sent": WHOLE}, live)
    assert (names(), awake.left_out(WHOLE, live)) == (["r5"], ("r0", "r2"))
    undo = live.apply(1, switched("r2", Mode(name=ModeName.SHADOW)))
    assert (names(), awake.left_out(WHOLE, live)) == (["r0", "r2", "r5"], ())
    awake.leave_out({"message.sent": WHOLE}, live)
    assert (names(), awake.left_out(WHOLE, live)) == (["r2", "r5"], ("r0",))
    undo()
    assert awake.left_out(WHOLE, live) == ("r0",)
    live.apply(2, switched("r0", Mode(name=ModeName.LIVE)))
    assert names() == ["r0", "r2", "r5"]


def test_another_pack_runs_whole() -> None:
    live, awake = LiveModes(), AwakeRules()
    awake.leave_out({"message.sent": WHOLE}, live)
    other = compiled()
    row: dict[str, Value] = {"sender.id": "a1", "text": "line"}
    found = awake.matched(other, live, row, {"messages_1h": 1}, AT, texts=None)
    assert [rule.name for rule in found] == ["r0", "r5"]
    assert awake.left_out(other, live) == ()


def test_what_lacks_nothing_new_is_not_compiled_again() -> None:
    live, awake = LiveModes(), AwakeRules()
    awake.leave_out({"message.sent": WHOLE}, live)
    before = awake._made["message.sent"]
    live.apply(1, switched("r1", Mode(name=ModeName.REVIEW)))
    awake.leave_out({"message.sent": WHOLE}, live)
    assert awake._made["message.sent"] is before
