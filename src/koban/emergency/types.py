"""What an emergency rule is, the log entries of its life, what its preview says, and what is refused."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal
from koban.packs import FreezePayout, Hide, Hold, Restrict, Texts

EMERGENCY_STARTED: Final = "emergency.started"
EMERGENCY_EXTENDED: Final = "emergency.extended"
EMERGENCY_ENDED: Final = "emergency.ended"
EMERGENCY_TIMER: Final = "emergency.end"

Measure: TypeAlias = Hide | Hold | Restrict | FreezePayout  # all that an emergency rule may do
HowEnded = Literal["expired", "ended", "unfit"]
Reason: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class EmergencyStarted(msgspec.Struct, frozen=True, kw_only=True, tag="emergency.started"):
    """Payload of `emergency.started`: the whole rule, so that the log alone says what decided."""

    name: str
    policy: str
    on: tuple[str, ...]
    when: str
    then: tuple[Measure, ...]
    cap_per_hour: int
    because: Texts
    lasts_us: int
    ends_at: Instant
    review_due_at: Instant
    by: str
    reason: str


class EmergencyExtended(msgspec.Struct, frozen=True, kw_only=True, tag="emergency.extended"):
    """Payload of `emergency.extended`: a second person let it live longer, once."""

    name: str
    ends_at: Instant
    by: str
    reason: str


class EmergencyEnded(msgspec.Struct, frozen=True, kw_only=True, tag="emergency.ended"):
    """Payload of `emergency.ended`: its time was over, a person ended it, or it no longer fits the pack."""

    name: str
    how: HowEnded
    by: str
    reason: str


EmergencyChange: TypeAlias = EmergencyStarted | EmergencyExtended | EmergencyEnded


class Emergency(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency rule as it stands. `seq` is its version: the entry that started it, which decisions name."""

    started: EmergencyStarted
    seq: int
    started_at: Instant
    ends_at: Instant
    case_id: str
    extended_by: str | None = None
    extended_at: Instant | None = None
    ended_at: Instant | None = None
    ended_by: str | None = None
    ended_how: HowEnded | None = None

    @property
    def name(self) -> str:
        """Return its name, under which signals, sanctions and budgets know it."""
        return self.started.name

    def stands_at(self, at: int) -> bool:
        """Return whether it decides at a log time. Its end is exact, however late the timer's entry comes."""
        return self.ended_at is None and at < self.ends_at


class ExtendEmergency(msgspec.Struct, frozen=True, kw_only=True):
    """A second person's command: let it live longer, once."""

    name: str
    lasts_us: int
    by: str
    reason: str


class EndEmergency(msgspec.Struct, frozen=True, kw_only=True):
    """A person's command: end it now."""

    name: str
    by: str
    reason: str


class PreviewSample(msgspec.Struct, frozen=True, kw_only=True):
    """One event that the rule would have hit. What people wrote is not in it: the decision's page opens that."""

    seq: int
    at: str
    type: str
    event_id: str
    account: str | None
    content: str | None
    verdict: str  # what was decided then
    rules: tuple[str, ...]  # the rules that matched then
    standing: str  # of the account: fraud, honest, clean or unknown


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule would have done to the last events of the log.

    `honest` were labelled honest; `clean` have no label, no sanction ever, and no other rule matched them in the span:
    the two together are the honest people who would have been touched, as far as anybody knows.
    """

    id: str  # of the rule's content; starting it names this
    since: str
    until: str
    whole: bool  # whether the span was walked to its end within the time there is
    events: int
    hits: int
    people: int
    fraud: int
    honest: int
    clean: int
    unknown: int
    hits_per_hour: int
    already_caught: int  # hits that some rule acted on then
    unread_features: tuple[str, ...]  # features that were not kept with those decisions, and count as unknown
    per_minute: tuple[int, ...]  # hits in each minute of the span, oldest first
    samples: tuple[PreviewSample, ...]
    took_ms: int


class EmergencyInvalid(Refusal):
    """The rule cannot be used as an emergency rule."""

    code = "emergency_invalid"
    status = 422
    title = "This cannot be an emergency rule."


class EmergencyMissing(Refusal):
    """No such emergency rule."""

    code = "emergency_missing"
    status = 404
    title = "There is no such emergency rule."


class EmergencyOver(Refusal):
    """The rule's time is over, or it was extended before."""

    code = "emergency_over"
    status = 409
    title = "This emergency rule can no longer be changed so."


class EmergencyNeedsSecond(Refusal):
    """Whoever started a rule cannot extend it."""

    code = "emergency_needs_second"
    status = 409
    title = "A second person has to extend an emergency rule."


class EmergencyNotPreviewed(Refusal):
    """A rule goes live only after its preview was made, a short while ago."""

    code = "emergency_not_previewed"
    status = 409
    title = "Look at the preview first."


EVENTS_OF: Final[Mapping[str, type[EmergencyChange]]] = {
    EMERGENCY_STARTED: EmergencyStarted,
    EMERGENCY_EXTENDED: EmergencyExtended,
    EMERGENCY_ENDED: EmergencyEnded,
}
