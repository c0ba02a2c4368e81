"""The border for packs: which version decides, which ones did, and switching between them."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.base import Problem, Refusal, to_rfc3339
from koban.db import Database
from koban.packs import store
from koban.packs.faults import PackInvalid
from koban.packs.load import parse_files
from koban.packs.store import Activation, PackVersionMissing
from koban.packs.types import PackDef

Switch = Callable[[PackDef, str, str], int]  # pack, by, reason -> where in the log it was switched
Check = Callable[[PackDef], tuple[Problem, ...]]

FILES_MAX = 500
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class PackRefused(Refusal):
    """A pack that has faults is not activated."""

    code = "pack_refused"
    status = 422
    title = "The pack has faults and was not activated."


class ActivationView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the history."""

    seq: int
    digest: str
    name: str
    label: str
    author: str
    reason: str
    activated_at: str


class PushBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole pack as files."""

    files: Annotated[dict[Name, str], msgspec.Meta(min_length=1, max_length=FILES_MAX)]
    reason: Reason


class ActivateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version that was active before, by its digest."""

    digest: Annotated[str, msgspec.Meta(min_length=64, max_length=64, pattern="^[0-9a-f]*$")]
    reason: Reason


class Activated(msgspec.Struct, frozen=True, kw_only=True):
    """From which entry on the version decides."""

    digest: str
    seq: int


def endpoints(database: Database, switch: Switch, check: Check) -> list[Endpoint]:
    """Describe the routes; `check` compiles a pack and returns what is wrong, `switch` activates it."""

    def history(_call: Call) -> list[ActivationView]:
        with database.read() as tx:
            return [_view(one) for one in store.activations(tx)]

    def files(call: Call) -> Mapping[str, str]:
        with database.read() as tx:
            return store.load_version(tx, call.path["digest"]).files

    def push(call: Call) -> Activated:
        body = call.body_as(PushBody)
        return activate(parse_files(body.files), call, body.reason)

    def back(call: Call) -> Activated:
        body = call.body_as(ActivateBody)
        with database.read() as tx:
            pack = store.load_version(tx, body.digest)
        return activate(pack, call, body.reason)

    def activate(pack: PackDef, call: Call, reason: str) -> Activated:
        problems = check(pack)
        if problems:
            raise PackRefused(f"{len(problems)} faults stand in the pack.", problems=problems)
        return Activated(digest=pack.digest, seq=switch(pack, call.principal.actor, reason))

    return [
        endpoint(
            "GET", "/v1/packs/activations", "packs.read", history, summary="See which versions decided",
            returns=list[ActivationView],
        ),
        endpoint(
            "GET", "/v1/packs/{digest}/files", "packs.read", files, summary="Read the files of a version",
            returns=dict[str, str], raises=(PackVersionMissing,),
        ),
        endpoint(
            "POST", "/v1/packs", "packs.activate", push, summary="Check a pack and switch to it", body=PushBody,
            returns=Activated, raises=(PackInvalid, PackRefused), max_bytes=4 * 1024 * 1024,
        ),
        endpoint(
            "POST", "/v1/packs/activate", "packs.activate", back, summary="Switch to a version that was active before",
            body=ActivateBody, returns=Activated, raises=(PackVersionMissing, PackInvalid, PackRefused),
        ),
    ]  # fmt: skip


def _view(one: Activation) -> ActivationView:
    return ActivationView(
        seq=one.seq,
        digest=one.digest,
        name=one.name,
        label=one.label,
        author=one.author,
        reason=one.reason,
        activated_at=to_rfc3339(one.activated_at),
    )
