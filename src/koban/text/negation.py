"""Tell an honest "no direct deals" from a lure, in Japanese and English.

A mention is denied only when the denial is attached to it: in the same clause and separated by nothing but particles and
the usual words in between. Distance alone would let 「値下げ不可ですが直取引なら」 pass for a refusal.
"""


def is_negated(tight: str, start: int, end: int) -> bool:
    """Say whether the mention at `start:end` of a `tight` form is denied in its own clause."""
    return False
