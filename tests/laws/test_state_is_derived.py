"""Law 4: state follows from sanctions; overturning gives the state as if it had never been, and never a harsher one."""

import dataclasses
import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from koban.base import DAY, HOUR, Instant
from koban.enforcement import (
    Applied,
    Change,
    LiveSanctions,
    Occasion,
    Sanction,
    SubjectRef,
    SubjectState,
    decode_change,
    derive_state,
    encode_change,
    expire,
    plan_actions,
)
from koban.enforcement.logic import is_at_most, lift, withdraw
from koban.packs import Action, FreezePayout, LadderStep, PolicyDef, Restrict, Source, Strike, Suspend, Warn

START = 1_792_584_000_000_000
SELLER = SubjectRef(kind="account", id="a1")
TEXT = {"en": "text", "ja": "文"}
# Each step takes what the one before takes and stands at least as long; a warning stands for a day. On a ladder that
# does not rise, who joined whom can depend on an earlier strike; there the promise is only: never harsher.
RISING = (
    Warn(target="author"),
    Restrict(scope="messaging", for_us=24 * HOUR),
    Restrict(scope="messaging", for_us=36 * HOUR),
    Suspend(for_us=3 * DAY),
    Suspend(for_us=None),
)

durations = st.integers(min_value=1, max_value=96).map(lambda hours: hours * HOUR)
steps = st.one_of(
    st.just(Warn(target="author")),
    st.builds(Restrict, scope=st.sampled_from(["messaging", "listing"]), for_us=durations),
    st.builds(FreezePayout, for_us=durations),
    st.builds(Suspend, for_us=st.none() | durations),
)
any_ladder = st.lists(steps, max_size=5).map(tuple)


def policy(name: str, ladder: Sequence[Action], within_us: int | None) -> PolicyDef:
    return PolicyDef(
        name=name,
        title=TEXT,
        text=TEXT,
        severity="high",
        ladder=tuple(LadderStep(action=step) for step in ladder),  # type: ignore[arg-type]  # drawn from `steps`
        strikes_within_us=within_us,
        source=Source(file="policies.yaml", line=1),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Firing:
    """One rule that acts: after a pause, under a policy, with one action."""

    pause_us: int
    rule: str
    policy: str
    action: Action


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overturning:
    """A person overturns the sanction at this place, counted over all there are."""

    place: int


firings = st.builds(
    Firing,
    pause_us=st.integers(min_value=1, max_value=60).map(lambda hours: hours * HOUR),
    rule=st.sampled_from(["one", "two", "three"]),
    policy=st.sampled_from(["p", "q"]),
    action=st.one_of(
        st.just(Strike()),
        st.just(Strike()),
        st.builds(Restrict, scope=st.sampled_from(["messaging", "listing"]), for_us=durations),
        st.builds(FreezePayout, for_us=durations),
        st.builds(Suspend, for_us=st.none() | durations),
    ),
)
# Ladders are where overturning is hard, so most of what fires here are strikes, some of them joining others.
strikes = st.builds(
    Firing,
    pause_us=st.sampled_from([1, 5, 30, 80]).map(lambda hours: hours * HOUR),
    rule=st.sampled_from(["one", "two"]),
    policy=st.just("p"),
    action=st.just(Strike()),
)
mostly_strikes = st.lists(st.one_of(strikes, strikes, strikes, firings), min_size=4, max_size=14)
climbing_ladder = st.lists(steps, min_size=2, max_size=5).map(tuple)
withdrawals = st.tuples(st.integers(0, 12), st.none() | st.sampled_from(["one", "two"]))
overturnings = st.builds(Overturning, place=st.integers(min_value=0, max_value=30))
windows = st.none() | st.integers(min_value=1, max_value=20).map(lambda days: days * DAY)


@dataclasses.dataclass(kw_only=True)
class World:
    """The decider's view of one account, and which firing went into which sanction."""

    policies: dict[str, PolicyDef]
    live: LiveSanctions = dataclasses.field(default_factory=LiveSanctions)
    at: int = START
    seq: int = 0
    changes: list[Change] = dataclasses.field(default_factory=list)
    went_into: list[str] = dataclasses.field(default_factory=list)

    def state(self, at: int) -> SubjectState:
        return self.live.state(SELLER, Instant(at))

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.live.apply(change)
            self.changes.append(change)

    def pass_time(self, to: int) -> None:
        """Let every sanction end that ends until then, as timers do."""
        self.at = to
        for sanction in self.live.of_subject(SELLER):
            ended = expire(sanction, Instant(to))
            self.apply(() if ended is None else (ended,))

    def fire(self, firing: Firing) -> None:
        self.seq += 1
        self.pass_time(self.at + firing.pause_us)
        one = Applied(rule=firing.rule, policy=firing.policy, because=TEXT, actions=(firing.action,))
        occasion = Occasion(
            event_id=f"e{self.seq}", event_type="message.sent", acting=SELLER, recipient=None, content=None
        )
        plan = plan_actions([one], occasion, self.policies, self.live.of_subject, at=Instant(self.at), seq=self.seq)
        self.apply(plan.changes)
        self.went_into.append(self._taken_up_by(firing))

    def overturn(self, place: int) -> str | None:
        found = self.live.of_subject(SELLER)
        if not found:
            return None
        chosen = found[place % len(found)].id
        self.withdraw(chosen)
        return chosen

    def withdraw(self, sanction_id: str, *, rule: str | None = None) -> None:
        self.apply(
            withdraw(
                self.live.of_subject(SELLER),
                lambda sanction, ground: sanction.id == sanction_id and rule in (None, ground.rule),
                at=Instant(self.at),
                by="staff_1",
                reason="it was wrong",
            )
        )

    def _taken_up_by(self, firing: Firing) -> str:
        kind = "strike" if isinstance(firing.action, Strike) else str(firing.action.__struct_config__.tag)
        scope = firing.action.scope if isinstance(firing.action, Restrict) else None
        standing = [
            each
            for each in self.live.in_force(SELLER, Instant(self.at))
            if each.policy == firing.policy and each.kind == kind and scope in (None, each.measure.scope)
        ]
        assert len(standing) == 1, "a sanction is joined, never repeated"
        return standing[0].id


def essence(sanction: Sanction) -> tuple[object, ...]:
    """What a sanction is, without the order in which people got there."""
    return (
        sanction.id,
        sanction.status == "overturned",
        sanction.measure if sanction.status != "overturned" else None,
        (sanction.starts_at, sanction.ends_at) if sanction.status != "overturned" else None,
        frozenset(sanction.counted) if sanction.status != "overturned" else None,
        frozenset(ground.cause_seq for ground in sanction.grounds),
    )


def moments(world: World) -> list[int]:
    """Moments worth a look: now, and around every end still to come."""
    ends = {
        each.ends_at for each in world.live.of_subject(SELLER) if each.ends_at is not None and each.ends_at > world.at
    }
    return sorted({world.at, *ends, *(end - 1 for end in ends), world.at + 400 * DAY})


def strikes_apart(world: World, firing: Firing) -> bool:
    """Whether the firing, if a strike, comes when no strike of its policy stands."""
    if not isinstance(firing.action, Strike):
        return True
    at = Instant(world.at + firing.pause_us)
    return not any(
        each.kind == "strike" and each.policy == firing.policy and each.stands_at(at)
        for each in world.live.of_subject(SELLER)
    )


@given(
    history=st.lists(st.one_of(strikes, firings, overturnings), min_size=4, max_size=24),
    p_window=windows,
    q_window=windows,
)
@settings(max_examples=500, deadline=None)
def test_overturning_gives_the_state_as_if_it_had_never_been(
    history: list[Firing | Overturning], p_window: int | None, q_window: int | None
) -> None:
    policies = {"p": policy("p", RISING, p_window), "q": policy("q", RISING, q_window)}
    actual = World(policies=policies)
    done: list[Firing] = []
    overturned: set[str] = set()
    for item in history:
        if isinstance(item, Overturning):
            chosen = actual.overturn(item.place)
            overturned |= {chosen} if chosen is not None else set()
        elif strikes_apart(actual, item):
            actual.fire(item)
            done.append(item)
    never = World(policies=policies)
    idle = 0
    for firing, went_into in zip(done, actual.went_into, strict=True):
        if went_into in overturned:
            idle += firing.pause_us
            never.seq += 1
            continue
        never.fire(dataclasses.replace(firing, pause_us=firing.pause_us + idle))
        idle = 0
    never.pass_time(actual.at)
    for at in moments(actual):
        assert actual.state(at) == never.state(at)


@given(
    history=mostly_strikes,
    ladder=climbing_ladder,
    window=windows,
    choice=st.lists(withdrawals, min_size=1, max_size=5),
)
@settings(max_examples=500, deadline=None)
def test_overturning_never_makes_anything_harsher(
    history: list[Firing],
    ladder: tuple[Action, ...],
    window: int | None,
    choice: list[tuple[int, str | None]],
) -> None:
    world = World(policies={"p": policy("p", ladder, window), "q": policy("q", RISING, None)})
    for firing in history:
        world.fire(firing)
    known = [each.id for each in world.live.of_subject(SELLER)]
    for place, rule in choice if known else ():
        before = {at: world.state(at) for at in moments(world)}
        imposed = {each.id for each in world.live.of_subject(SELLER)}
        world.withdraw(known[place % len(known)], rule=rule)
        assert {each.id for each in world.live.of_subject(SELLER)} == imposed, "nothing is newly created"
        for at, state in before.items():
            assert is_at_most(world.state(at), state)


@given(
    history=mostly_strikes,
    ladder=climbing_ladder,
    window=windows,
    choice=st.lists(withdrawals, min_size=2, max_size=3),
)
@settings(max_examples=400, deadline=None)
def test_the_order_of_several_overturnings_does_not_matter(
    history: list[Firing],
    ladder: tuple[Action, ...],
    window: int | None,
    choice: list[tuple[int, str | None]],
) -> None:
    results = []
    for order in itertools.permutations(choice):
        world = World(policies={"p": policy("p", ladder, window), "q": policy("q", RISING, None)})
        for firing in history:
            world.fire(firing)
        known = [each.id for each in world.live.of_subject(SELLER)]
        for place, rule in order:
            world.withdraw(known[place % len(known)], rule=rule)
        results.append([essence(each) for each in world.live.of_subject(SELLER)])
    assert all(result == results[0] for result in results)


@given(history=st.lists(firings | overturnings, max_size=16), ladder=any_ladder, lifted=st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_replaying_the_changes_gives_the_same_sanctions(
    history: list[Firing | Overturning], ladder: tuple[Action, ...], lifted: int
) -> None:
    world = World(policies={"p": policy("p", ladder, None), "q": policy("q", RISING, None)})
    for item in history:
        if isinstance(item, Overturning):
            world.overturn(item.place)
        else:
            world.fire(item)
    standing = world.live.in_force(SELLER, Instant(world.at))
    if standing:
        chosen = standing[lifted % len(standing)]
        world.apply((lift(chosen, at=Instant(world.at), by="staff_1", reason="enough"),))
        assert chosen.id not in [each.id for each in world.live.in_force(SELLER, Instant(world.at))]
    replayed = LiveSanctions()
    for change in world.changes:
        replayed.apply(decode_change(encode_change(change)))
    assert replayed.of_subject(SELLER) == world.live.of_subject(SELLER)
    assert derive_state(replayed.of_subject(SELLER), Instant(world.at)) == world.state(world.at)
