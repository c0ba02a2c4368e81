"""Seeded randomness: every story has a stream of its own, so that one more scammer does not change an honest word."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def stream(seed: int, *names: object) -> random.Random:
    """Make the generator that belongs to these names; the same in every process and on every platform."""
    return random.Random("/".join(str(part) for part in (seed, *names)))  # noqa: S311 - a simulation must repeat


def chance(randomness: random.Random, percent: float) -> bool:
    """Return True in `percent` of 100 draws."""
    return randomness.random() * 100 < percent


def between(randomness: random.Random, low: int, high: int) -> int:
    """Draw a whole number from low to high, both included; cheaper than randint."""
    return low + int(randomness.random() * (high - low + 1))


def pick(randomness: random.Random, items: Sequence[T]) -> T:
    """Draw one of `items`; cheaper than choice."""
    return items[int(randomness.random() * len(items))]
