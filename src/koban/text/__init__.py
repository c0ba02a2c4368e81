"""Text: normalise, find phrases, contacts and addresses. Pure and deterministic; knows nothing of events or rules.

Guarantees: a text and its archived `base` form give the same answers; the time taken grows linearly with the text.
"""

from koban.text.contacts import contacts
from koban.text.lookalike import BrandIndex, Likeness
from koban.text.many import normalise_many
from koban.text.normalise import Normalised, fold, normalise
from koban.text.patterns import BadPattern, PatternSet, check_pattern, fold_pattern
from koban.text.phrases import PhraseList, PhraseMatcher
from koban.text.tables import VERSION
from koban.text.urls import registered_domain, urls

__all__ = [
    "VERSION",
    "BadPattern",
    "BrandIndex",
    "Likeness",
    "Normalised",
    "PatternSet",
    "PhraseList",
    "PhraseMatcher",
    "check_pattern",
    "contacts",
    "fold",
    "fold_pattern",
    "normalise",
    "normalise_many",
    "registered_domain",
    "urls",
]
