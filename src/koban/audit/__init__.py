"""Who did what: audit rows, sealed into a chain that cannot be changed unseen."""

from koban.audit.secrets import Secrets, SeededSecrets, SystemSecrets

__all__ = ["Secrets", "SeededSecrets", "SystemSecrets"]
