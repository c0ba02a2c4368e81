"""Personal fields: sealed under a key per person, joined by keyed pseudonyms, forgotten by destroying a salt.

Owns the tables vault_people, vault_erasures, vault_holds, vault_dated_keys, vault_disclosures and vault_checks, and the master key file.
Guarantees: without the key file nothing opens; an erased person's fields open as None; a legal hold refuses erasure.
"""

from koban.vault.actions import (
    erase,
    forget_days,
    held_people,
    let_go,
    lift_hold,
    place_hold,
    preserve,
    repeat_erasures,
)
from koban.vault.store import erased_since, insert_disclosure, last_erasure, newest_erasure, open_paths
from koban.vault.types import (
    Disclosure,
    Erasure,
    Hold,
    HoldMissing,
    MasterKeyMissing,
    MasterKeyWrong,
    PersonOnLegalHold,
    SealBroken,
    Sealed,
)
from koban.vault.vault import Vault

__all__ = [
    "Disclosure",
    "Erasure",
    "Hold",
    "HoldMissing",
    "MasterKeyMissing",
    "MasterKeyWrong",
    "PersonOnLegalHold",
    "SealBroken",
    "Sealed",
    "Vault",
    "erase",
    "erased_since",
    "forget_days",
    "held_people",
    "insert_disclosure",
    "last_erasure",
    "let_go",
    "lift_hold",
    "newest_erasure",
    "open_paths",
    "place_hold",
    "preserve",
    "repeat_erasures",
]
