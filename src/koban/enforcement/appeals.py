"""Appeals without I/O: signed links, what an appeal is, who may not judge it, what is answered to whom.

An appeal has two answers: uphold or overturn. Anything else would be a new decision, and is one.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from koban.base import DAY, SECOND, Instant, Refusal
from koban.enforcement.logic import appeal_until
from koban.enforcement.types import Sanction, SubjectRef
from koban.packs import Texts

AppealStatus = Literal["open", "upheld", "overturned"]
AppealVerb = Literal["uphold", "overturn"]
Channel = Literal["link", "api"]

PER_SUBJECT: Final = 10  # appeals of one account within a day: enough for honest anger, too few for a flood
PER_SUBJECT_WITHIN: Final = DAY
TEXT_CHARS_MAX: Final = 4_000
_MAC_BYTES: Final = 18
_TOKEN: Final = re.compile(r"([0-9a-f]{16,24})\.([0-9a-f]{8,12})\.([0-9a-f]{36})")
_PREFIX: Final = "sanction_"


class Appeal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody says that a sanction was wrong. What they wrote is sealed under the key of the account."""

    id: str
    sanction_id: str
    subject: SubjectRef
    account: SubjectRef | None  # who is behind the subject, and whose words they are
    channel: Channel
    language: str
    filed_by: str  # the account by its link, or the token that filed it
    filed_at: Instant
    case_id: str
    status: AppealStatus = "open"
    decided_at: Instant | None = None
    decided_by: str | None = None
    answer: Texts = {}


class FileAppeal(msgspec.Struct, frozen=True, kw_only=True, tag="file_appeal"):
    """A person's word against a sanction, by a signed link or through the marketplace."""

    sanction_id: str
    text: str
    channel: Channel
    language: str
    by: str


class DecideAppeal(msgspec.Struct, frozen=True, kw_only=True, tag="decide_appeal"):
    """A colleague's command: let the sanction stand, or treat it as if it had never been."""

    case_id: str
    fence: int
    verb: AppealVerb
    answer: Texts
    note: str
    by: str


class AppealOpened(msgspec.Struct, frozen=True, kw_only=True, tag="appeal.opened"):
    """An appeal came in. Log entry `appeal.opened`."""

    appeal_id: str
    sanction_id: str
    subject: SubjectRef
    channel: Channel


class AppealDecided(msgspec.Struct, frozen=True, kw_only=True, tag="appeal.decided"):
    """An appeal was decided. Log entry `appeal.decided`; what was overturned follows as entries of its own."""

    appeal_id: str
    sanction_id: str
    subject: SubjectRef
    status: AppealStatus
    by: str


AppealText = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARS_MAX)]


class AppealMissing(Refusal):
    """No such appeal."""

    code = "appeal_missing"
    status = 404
    title = "There is no such appeal."


class AppealLinkInvalid(Refusal):
    """The link was altered, is cut off, or its time is over."""

    code = "appeal_link_invalid"
    status = 404
    title = "This link does not open an appeal."


class AppealOpenAlready(Refusal):
    """An appeal against this sanction is being looked at."""

    code = "appeal_open"
    status = 409
    title = "Your appeal is being looked at."


class AppealDecidedAlready(Refusal):
    """An appeal against this sanction was decided by a second person; that was the last look."""

    code = "appeal_decided"
    status = 409
    title = "This appeal has been answered."


class NothingToAppeal(Refusal):
    """The sanction was taken back or lifted: there is nothing left to appeal, and nothing to do."""

    code = "nothing_to_appeal"
    status = 409
    title = "This has already been taken back."


class AppealTooLate(Refusal):
    """The time within which this could be appealed is over."""

    code = "appeal_too_late"
    status = 410
    title = "The time for an appeal is over."


class TooManyAppeals(Refusal):
    """The account has filed as many appeals as it may within a day."""

    code = "too_many_appeals"
    status = 429
    title = "Please wait before you appeal again."


def link_token(key: bytes, sanction_id: str, expires_at: Instant) -> str:
    """Return the part of a link that lets whoever holds it appeal one sanction until a moment, and nothing else."""
    body = f"{sanction_id.removeprefix(_PREFIX)}.{expires_at // SECOND:x}"
    return f"{body}.{_mac(key, body)}"


def read_token(key: bytes, token: str, at: Instant) -> str:
    """Return the sanction that a link is for.

    Refuses: AppealLinkInvalid.
    """
    match = _TOKEN.fullmatch(token)
    if match is None or not hmac.compare_digest(_mac(key, f"{match[1]}.{match[2]}"), match[3]):
        raise AppealLinkInvalid("Open the link in the message as it is, without leaving anything out.")
    if int(match[2], 16) * SECOND <= at:
        raise AppealLinkInvalid("The time within which this could be appealed is over.")
    return _PREFIX + match[1]


def check_appealable(sanction: Sanction, earlier: Sequence[Appeal], recent: int, at: Instant) -> None:
    """Check that a sanction can be appealed now.

    Refuses: NothingToAppeal, AppealOpenAlready, AppealDecidedAlready, AppealTooLate, TooManyAppeals.
    """
    if is_taken_back(sanction):
        raise NothingToAppeal("It no longer has any effect and needs no appeal.")
    for appeal in earlier:
        if appeal.status == "open":
            raise AppealOpenAlready("A colleague is looking at it; the answer will come by itself.")
        raise AppealDecidedAlready("A colleague who had no part in the decision has looked at it.")
    if at >= appeal_until(sanction):
        raise AppealTooLate("An appeal was possible for six months.")
    if recent >= PER_SUBJECT:
        raise TooManyAppeals(f"At most {PER_SUBJECT} appeals within a day.")


def is_taken_back(sanction: Sanction) -> bool:
    """Return whether a sanction was overturned or lifted, so that an appeal would have nothing to change."""
    return sanction.status == "overturned" or (sanction.closing is not None and sanction.closing.how == "lifted")


def _mac(key: bytes, body: str) -> str:
    return hmac.new(key, body.encode(), hashlib.sha256).digest()[:_MAC_BYTES].hex()
