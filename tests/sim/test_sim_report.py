"""The report's arithmetic, by hand and against a slow count."""

import hypothesis
import hypothesis.strategies as st

from koban.sim import Decision, SimReport, render, report
from koban.sim.report import Signal
from koban.sim.types import AccountTruth, EventTruth, KeptBack, TruthRow

PEOPLE = [
    AccountTruth(account="h1", name="みかん", language="ja", persona="buyer"),
    AccountTruth(account="h2", name="Emma", language="en", persona="seller"),
    AccountTruth(account="v1", name="くるみ", language="ja", persona="both", stolen=True),
    AccountTruth(account="c1", name="vip", language="ja", persona="scammer", trick="line_contact"),
    AccountTruth(account="c2", name="haru", language="ja", persona="scammer", trick="self_dealing"),
]


def deed(number: int, account: str, trick: str, incident: str, *, planted: int = 0, harm: bool = True) -> EventTruth:
    return EventTruth(
        event_id=f"e{number}", account=account, trick=trick, harm=harm, incident=incident, planted_minor=planted
    )


def plain(number: int, account: str, incident: str | None = None) -> EventTruth:
    return EventTruth(event_id=f"e{number}", account=account, incident=incident)


def said(number: int, verdict: str, *signals: Signal) -> Decision:
    return Decision(id=f"e{number}", verdict=verdict, signals=signals)


def acting(rule: str, *actions: str) -> Signal:
    return Signal(rule=rule, applied=True, actions=actions)


def example() -> SimReport:
    truth: list[TruthRow] = [
        *PEOPLE,
        plain(1, "h1"),
        plain(2, "h1"),
        plain(3, "h2"),
        plain(4, "h2", incident="i9"),
        deed(5, "c1", "line_contact", "i1", planted=9_000),
        deed(6, "c1", "line_contact", "i2", planted=4_000),
        deed(7, "c1", "line_contact", "i3", planted=500),
        deed(8, "c2", "self_dealing", "i4", harm=True),
        deed(9, "c2", "self_dealing", "i4", planted=20_000),
        deed(10, "v1", "account_takeover", "i5", planted=70_000),
        deed(11, "c1", "line_contact", "i6", planted=100),
        plain(12, "v1"),
    ]
    decisions = [
        said(1, "allow"),
        said(2, "block", acting("bad_words", "hide")),
        said(3, "allow", acting("fast_seller", "review:goods")),
        said(4, "hold", acting("new_seller", "hold")),
        said(5, "block", acting("line_contact", "hide", "warn:recipient")),
        said(6, "allow", acting("line_contact", "review:scams")),
        said(7, "allow", Signal(rule="line_contact", withheld="shadow")),
        said(8, "hold", acting("self_dealing", "hold")),
        said(10, "allow"),
        said(12, "warn", acting("odd", "warn:author")),
        said(99, "block"),
    ]
    return report(truth, decisions, [KeptBack(event_id="e9", reason="suspended"), KeptBack(event_id="e11", reason="x")])


def test_wrongs_are_found_missed_prevented_and_shadowed() -> None:
    lines = {line.trick: line for line in example().tricks}
    contact = lines["line_contact"]
    assert (contact.accounts, contact.accounts_found) == (1, 1)
    assert (contact.harms, contact.harms_found, contact.harms_prevented, contact.harms_shadowed) == (3, 2, 1, 1)
    assert (lines["self_dealing"].harms, lines["self_dealing"].harms_prevented) == (1, 1)
    assert (lines["account_takeover"].accounts, lines["account_takeover"].accounts_found) == (1, 0)


def test_yen_is_stopped_reviewed_or_lost() -> None:
    result = example()
    lines = {line.trick: line for line in result.tricks}
    assert result.planted_minor == 103_600
    assert lines["line_contact"].stopped_minor == 9_100
    assert lines["line_contact"].reviewed_minor == 4_000
    assert lines["self_dealing"].stopped_minor == 20_000
    assert lines["account_takeover"].stopped_minor == 0
    assert (result.stopped_minor, result.reviewed_minor) == (29_100, 4_000)


def test_honest_people_hurt_are_named_with_the_rule() -> None:
    result = example()
    assert [(line.account, line.name, line.rules, line.verdicts) for line in result.hurt] == [
        ("h1", "みかん", ("bad_words",), ("block",))
    ]
    assert result.hurt_by_rule == {"bad_words": 1}
    assert (result.honest_hurt, result.honest_warned, result.honest_people, result.honest_events) == (1, 1, 3, 5)


def test_unknown_decisions_and_undecided_events_do_not_count() -> None:
    result = example()
    assert result.events == 12
    assert result.decided == 10
    assert result.prevented == 2
    assert result.verdicts == {"allow": 5, "block": 2, "hold": 2, "warn": 1}


def test_culprits_are_listed_by_name() -> None:
    assert [(line.trick, line.name, line.found, line.rules) for line in example().culprits] == [
        ("account_takeover", "くるみ", False, ()),
        ("line_contact", "vip", True, ("line_contact",)),
        ("self_dealing", "haru", True, ("self_dealing",)),
    ]


def test_a_report_reads_as_tables() -> None:
    text = render(example())
    assert "¥103,600 planted, ¥29,100 stopped, ¥4,000 in review" in text
    assert "Missed by name: 1 of 3" in text
    assert "くるみ" in text
    assert "みかん" in text
    assert "bad_words" in text


def test_a_fallback_finds_nothing_and_still_hinders() -> None:
    truth: list[TruthRow] = [*PEOPLE, plain(1, "h1"), deed(2, "c2", "self_dealing", "i1", planted=500)]
    late = [Decision(id=f"e{number}", verdict="hold", fallback=True) for number in (1, 2)]
    result = report(truth, late)
    assert [(line.harms_found, line.stopped_minor) for line in result.tricks] == [(0, 500)]
    assert result.hurt_by_rule == {"(answered too late)": 1}


def test_an_empty_run_has_a_report() -> None:
    result = report([], [])
    assert (result.decided, result.planted_minor, result.tricks) == (0, 0, [])
    assert render(result)


VERDICTS = ("allow", "warn", "challenge", "hold", "block")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["h1", "h2", "v1", "c1", "c2"]),
        st.booleans(),  # harm
        st.sampled_from([None, "i1", "i2", "i3"]),
        st.integers(0, 90_000),
        st.sampled_from([*VERDICTS, "suspended", "listing_hidden", "undecided"]),
        st.sampled_from([None, (True, "hide"), (True, "review:x"), (True, "strike"), (False, "hide")]),
    ),
    max_size=25,
)


@hypothesis.given(EVENTS)
def test_the_report_equals_a_slow_count(
    drawn: list[tuple[str, bool, str | None, int, str, tuple[bool, str] | None]],
) -> None:
    tricks = {"c1": "line_contact", "c2": "self_dealing"}
    truth: list[TruthRow] = list(PEOPLE)
    decisions: list[Decision] = []
    kept: list[KeptBack] = []
    stopped = reviewed = planted_all = harms = found_harms = 0
    hurt: set[str] = set()
    closed: set[str] = set()
    noticed: set[str] = set()
    for number, (account, harm, incident, planted, fate, signal) in enumerate(drawn):
        trick = tricks.get(account)
        planted = planted if trick else 0
        truth.append(
            EventTruth(
                event_id=f"e{number}",
                account=account,
                trick=trick,
                harm=harm and trick is not None,
                incident=incident,
                planted_minor=planted,
            )
        )
        signals = (Signal(rule="r", applied=signal[0], actions=(signal[1],)),) if signal else ()
        if fate == "undecided":
            continue
        prevented = fate in ("suspended", "listing_hidden")
        if prevented:
            kept.append(KeptBack(event_id=f"e{number}", reason=fate))
        else:
            decisions.append(Decision(id=f"e{number}", verdict=fate, signals=signals))
        applied = not prevented and signal is not None and signal[0]
        found = not prevented and (fate != "allow" or applied)
        stops = fate in ("challenge", "hold", "block")
        halts = prevented or stops
        if halts and incident and not (prevented and trick is None):
            closed.add(incident)
        if found and incident:
            noticed.add(incident)
        planted_all += planted
        if halts or incident in closed:
            stopped += planted
        elif found or incident in noticed:
            reviewed += planted
        if harm and trick and not prevented:
            harms += 1
            found_harms += found
        sanctioned = applied and signal is not None and signal[1] in ("hide", "strike")
        if trick is None and incident is None and (stops or fate == "suspended" or sanctioned):
            hurt.add(account)
    result = report(truth, decisions, kept)
    assert result.planted_minor == planted_all
    assert result.stopped_minor == stopped
    assert result.reviewed_minor == reviewed
    assert sum(line.harms for line in result.tricks) == harms
    assert sum(line.harms_found for line in result.tricks) == found_harms
    assert {line.account for line in result.hurt} == hurt
    assert sum(line.stopped_minor for line in result.culprits) == stopped
