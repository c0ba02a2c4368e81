"""A drawing of linked accounts: the account, what it shares, and with whom, in three columns. A table stands beside it."""

from typing import Final

import msgspec

from koban.finding import Neighbourhood

ROW: Final = 34
TOP: Final = 22
COLUMNS: Final = (20, 330, 660)
WIDTH: Final = 960
THINGS_MAX: Final = 14
NEIGHBOURS_MAX: Final = 14
LABEL_CHARS_MAX: Final = 30


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A point with its label and where it leads."""

    x: int
    y: int
    label: str
    kind: str
    id: str
    is_sanctioned: bool = False


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A curve from a point to another."""

    path: str


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the picture shows, and how much it left off."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    left_off: int


def draw_links(account: str, around: Neighbourhood) -> Drawing:
    """Return the picture of a neighbourhood: deterministic, so that it looks the same to everybody who discusses it."""
    shown = around.neighbours[:NEIGHBOURS_MAX]
    things: list[tuple[str, str]] = []
    for neighbour in shown:
        for link in neighbour.links:
            if (link.kind, link.subject) not in things and len(things) < THINGS_MAX:
                things.append((link.kind, link.subject))
    rows = max(len(things), len(shown), 1)
    height = 2 * TOP + (rows - 1) * ROW
    middle = height // 2
    start = Node(x=COLUMNS[0], y=middle, label=_short(account), kind="account", id=account)
    thing_nodes = {
        thing: Node(
            x=COLUMNS[1], y=_spread(place, len(things), height), label=_short(thing[1]), kind=thing[0], id=thing[1]
        )
        for place, thing in enumerate(things)
    }
    nodes, edges = [start, *thing_nodes.values()], [_edge(start, node) for node in thing_nodes.values()]
    for place, neighbour in enumerate(shown):
        node = Node(
            x=COLUMNS[2], y=_spread(place, len(shown), height), label=_short(neighbour.account), kind="account",
            id=neighbour.account, is_sanctioned=bool(neighbour.effects),
        )  # fmt: skip
        nodes.append(node)
        edges += [
            _edge(thing_nodes[link.kind, link.subject], node)
            for link in neighbour.links
            if (link.kind, link.subject) in thing_nodes
        ]
    left_off = len(around.neighbours) - len(shown) + around.left_off
    return Drawing(width=WIDTH, height=height, nodes=tuple(nodes), edges=tuple(edges), left_off=left_off)


def _spread(place: int, count: int, height: int) -> int:
    if count <= 1:
        return height // 2
    return TOP + round(place * (height - 2 * TOP) / (count - 1))


def _edge(one: Node, other: Node) -> Edge:
    x1, x2 = one.x + (0 if one.x == COLUMNS[0] else 6), other.x - 6
    bend = (x1 + x2) // 2
    return Edge(path=f"M{x1} {one.y}C{bend} {one.y} {bend} {other.y} {x2} {other.y}")


def _short(text: str) -> str:
    return text if len(text) <= LABEL_CHARS_MAX else text[: LABEL_CHARS_MAX - 1] + "…"
