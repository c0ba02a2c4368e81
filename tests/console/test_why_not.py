"""A decision's page says what would have to be otherwise for a rule to match, and tells nothing of what people wrote."""

import dataclasses

from tests.console.conftest import Visitor
from tests.console.scene import Scene
from tests.language.ground import ENV, NOON, checked

from koban.base import Instant
from koban.console.formats import Formats
from koban.console.traces import Otherwise, traces_of
from koban.language import compile_trace
from koban.rules import TraceNode


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule over one event."""

    rule: str
    matched: bool
    trace: TraceNode


@dataclasses.dataclass(frozen=True)
class Told:
    """A decision computed again."""

    rules: tuple[Rule, ...]


def test_how_far_off_a_condition_was_tells_nothing_of_a_sealed_field() -> None:
    trace = compile_trace(checked("a >= 5 AND length(s) > 9"))({"a": 3, "s": "abc"}, {}, NOON, ENV)
    formats = Formats("en", "Asia/Tokyo", Instant(NOON))
    told = Told(rules=(Rule(rule="r", matched=False, trace=trace),))
    assert traces_of(told, (), formats)["r"].otherwise == (
        Otherwise(text="a >= 5", wanted="true", by="+2"),
        Otherwise(text="length(s) > 9", wanted="true", by="+7"),
    )
    assert [each.by for each in traces_of(told, ("s",), formats)["r"].otherwise] == ["+2", ""]


def test_a_decisions_page_names_the_conditions_that_would_have_to_be_otherwise(scene: Scene, admin: Visitor) -> None:
    record = scene.message("why-not", "こんにちは")
    english = admin.get(f"/decisions/{record.seq}").text
    assert "For this rule to match, the fewest conditions that would have to be otherwise:" in english
    assert "would have to hold" in english
    japanese = Visitor(scene, "ja").sign_in().get(f"/decisions/{record.seq}").text
    assert "が成り立つ必要があります" in japanese
