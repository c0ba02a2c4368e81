"""What the vault answers, and what it refuses."""

import msgspec

from koban.base import Instant, Refusal


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Ciphertext as it was stored, with what is needed to open it."""

    person: str
    context: str
    blob: bytes


class Disclosure(msgspec.Struct, frozen=True, kw_only=True):
    """A personal field that somebody may see for a while, for a case."""

    id: str
    staff: str
    seq: int
    path: str
    case_id: str
    opened_at: Instant
    until_at: Instant


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """That a person was forgotten; `had_data` is false where nothing was ever sealed, or everything erased before."""

    pseudonym: str
    erased_at: Instant
    had_data: bool


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A legal hold: while it stands, the person cannot be erased."""

    pseudonym: str
    placed_at: Instant
    placed_by: str
    reference: str


class MasterKeyMissing(Refusal):
    """The key file is gone while data sealed under it is there: making a new one would lose everything silently."""

    code = "master_key_missing"
    status = 503
    title = "The vault's key file is missing."


class MasterKeyWrong(Refusal):
    """The key file belongs to another installation, or is damaged."""

    code = "master_key_wrong"
    status = 503
    title = "The vault's key file is not the one that this data was sealed under."


class PersonOnLegalHold(Refusal):
    """A court or an authority asked for this person's data to be kept."""

    code = "legal_hold"
    status = 409
    title = "This person's data is under legal hold and cannot be erased."


class HoldMissing(Refusal):
    """There is no hold to lift."""

    code = "hold_missing"
    status = 404
    title = "There is no legal hold on this person."


class SealBroken(Exception):
    """Ciphertext that its own key does not open: altered, or moved from another row."""
