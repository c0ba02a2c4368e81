"""Wiring: the only place that chooses implementations. `open_koban` opens everything, `asgi` puts HTTP in front."""

from koban.app.running import (
    DataFolderUnusable,
    DataOfOtherRelease,
    Koban,
    Periodic,
    open_data,
    open_desk,
    open_koban,
    open_to_read,
    pack_at,
    switch_pack,
)
from koban.app.web import asgi, endpoints_of

__all__ = [
    "DataFolderUnusable",
    "DataOfOtherRelease",
    "Koban",
    "Periodic",
    "asgi",
    "endpoints_of",
    "open_data",
    "open_desk",
    "open_koban",
    "open_to_read",
    "pack_at",
    "switch_pack",
]
