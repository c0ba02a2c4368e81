"""Who is linked with an account, through what, and how strongly that speaks."""

from collections.abc import Mapping
from typing import Final

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.finding import store

THINGS_MAX: Final = 200  # things of an account that are looked at, latest first
USERS_MAX: Final = 50  # accounts behind one thing that are named; more make it a crowd
NEIGHBOURS_MAX: Final = 60
_WEIGHTS: Final[Mapping[str, int]] = {
    "bank": 6, "card": 6, "phone": 5, "address": 4, "device": 4, "image": 2, "code": 1, "ip": 1
}  # fmt: skip


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that two accounts used."""

    kind: str
    subject: str
    own_times: int
    their_times: int
    last_at: Instant


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """An account that shares something, with what it shares."""

    account: str
    links: tuple[Link, ...]
    weight: int
    effects: tuple[str, ...]  # of its sanctions in force


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an account used, and how many others did."""

    kind: str
    subject: str
    times: int
    first_at: Instant
    last_at: Instant
    others: int
    is_crowd: bool  # more than can be named: a shared line, a shop's device


class Neighbourhood(msgspec.Struct, frozen=True, kw_only=True):
    """What an account used and with whom it shares it, the strongest first."""

    things: tuple[Thing, ...]
    neighbours: tuple[Neighbour, ...]
    left_off: int


def neighbourhood(tx: Tx, account: str) -> Neighbourhood:
    """Return the accounts that share a device, an address, a way to pay, a number or a picture with one."""
    things: list[Thing] = []
    shared: dict[str, list[Link]] = {}
    for kind, subject, times, first_at, last_at in store.read_links(tx, account, limit=THINGS_MAX):
        users = [each for each in store.read_users(tx, kind, subject, limit=USERS_MAX + 1) if each[0] != account]
        is_crowd = len(users) >= USERS_MAX
        things.append(
            Thing(
                kind=kind, subject=subject, times=times, first_at=Instant(first_at), last_at=Instant(last_at),
                others=len(users), is_crowd=is_crowd,
            )
        )  # fmt: skip
        if is_crowd:
            continue  # what everybody uses links nobody
        for other, their_times, _, their_last in users:
            link = Link(
                kind=kind, subject=subject, own_times=times, their_times=their_times,
                last_at=Instant(max(last_at, their_last)),
            )  # fmt: skip
            shared.setdefault(other, []).append(link)
    ranked = sorted(shared.items(), key=lambda item: (-_weight(item[1]), item[0]))
    kept = ranked[:NEIGHBOURS_MAX]
    effects = store.suspended_among(tx, [other for other, _ in kept])
    return Neighbourhood(
        things=tuple(things),
        neighbours=tuple(
            Neighbour(account=other, links=tuple(links), weight=_weight(links), effects=effects.get(other, ()))
            for other, links in kept
        ),
        left_off=len(ranked) - len(kept),
    )


def _weight(links: list[Link]) -> int:
    return sum(_WEIGHTS.get(link.kind, 1) for link in links)
