"""Who did what: audit entries, sealed into a hash chain whose checkpoints are signed and leave the database.

Owns the tables audit_entries, audit_head and audit_salts, and the seam `Secrets`. Guarantees: an entry stands in the
transaction that did the thing; after sealing, no single entry can be altered, removed, moved or cut off unseen.
"""

from koban.audit.actions import (
    CHECKPOINT_EVERY_US,
    AuditKeyMissing,
    SigningKey,
    append_checkpoint,
    chain_end,
    check_checkpoints,
    checkpoint,
    last_checkpoint,
    proves,
    read_checkpoints,
    record,
    seal,
    sync_folder,
    verify,
)
from koban.audit.secrets import Secrets, SeededSecrets, SystemSecrets
from koban.audit.store import list_entries
from koban.audit.types import AuditEntry, Broken, Checkpoint, Report, Sealed

__all__ = [
    "CHECKPOINT_EVERY_US",
    "AuditEntry",
    "AuditKeyMissing",
    "Broken",
    "Checkpoint",
    "Report",
    "Sealed",
    "Secrets",
    "SeededSecrets",
    "SigningKey",
    "SystemSecrets",
    "append_checkpoint",
    "chain_end",
    "check_checkpoints",
    "checkpoint",
    "last_checkpoint",
    "list_entries",
    "proves",
    "read_checkpoints",
    "record",
    "seal",
    "sync_folder",
    "verify",
]
