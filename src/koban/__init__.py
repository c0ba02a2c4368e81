"""Koban: an open Trust & Safety platform for consumer-to-consumer marketplaces."""

__version__ = "0.1.0"
