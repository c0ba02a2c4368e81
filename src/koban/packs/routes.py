"""The border for packs: which version decides, which ones did, and switching between them."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import Problem, Refusal, to_rfc3339
from koban.db import Database
from koban.packs import store
from koban.packs.draft_store import Switched
from koban.packs.faults import PackInvalid
from koban.packs.load import parse_files
from koban.packs.store import Activation, PackVersionMissing
from koban.packs.types import PackDef


class Bringing(msgspec.Struct, frozen=True, kw_only=True):
    """How a version comes: why, whether it was in force before, and what it was made from where that is known."""

    reason: str
    back: bool = False
    base: str | None = None


Bring = Callable[[PackDef, Call, Bringing], Switched]

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


Digest = Annotated[str, msgspec.Meta(min_length=64, max_length=64, pattern="^[0-9a-f]*$")]


class PushBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole pack as files."""

    files: Annotated[dict[Name, str], msgspec.Meta(min_length=1, max_length=FILES_MAX)]
    reason: Reason
    base: Annotated[
        Digest | None,
        msgspec.Meta(
            description="The version that the files were made from. Where another one decides by now, nothing is done: "
            "what somebody else changed meanwhile would be lost. Without it the files count as they are."
        ),
    ] = None


class ActivateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version that was active before, by its digest."""

    digest: Digest
    reason: Reason


def endpoints(database: Database, bring: Bring, check: Check) -> list[Endpoint]:
    """Describe the routes; `check` compiles a pack and returns what is wrong, `bring` activates or proposes it."""

    def history(_call: Call) -> list[ActivationView]:
        with database.read() as tx:
            return [_view(one) for one in store.activations(tx)]

    def files(call: Call) -> Mapping[str, str]:
        with database.read() as tx:
            return store.load_version(tx, call.path["digest"]).files

    def push(call: Call) -> Answer:
        body = call.body_as(PushBody)
        return activate(parse_files(body.files), call, Bringing(reason=body.reason, base=body.base))

    def back(call: Call) -> Answer:
        body = call.body_as(ActivateBody)
        with database.read() as tx:
            pack = store.load_version(tx, body.digest)
        return activate(pack, call, Bringing(reason=body.reason, back=True))

    def activate(pack: PackDef, call: Call, how: Bringing) -> Answer:
        problems = check(pack)
        if problems:
            raise PackRefused(
                "One fault stands in it." if len(problems) == 1 else f"{len(problems)} faults stand in it.",
                problems=problems,
            )
        switched = bring(pack, call, how)
        return Answer(body=switched, status=200 if switched.draft is None else 202)

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
            "POST", "/v1/packs", "packs.activate", push, summary="Check a pack and switch to it, or propose it where a second person must look", body=PushBody,
            returns=Switched, raises=(PackInvalid, PackRefused), max_bytes=4 * 1024 * 1024,
        ),
        endpoint(
            "POST", "/v1/packs/activate", "packs.activate", back, summary="Switch back to a version, or propose that where a second person must look",
            body=ActivateBody, returns=Switched, raises=(PackVersionMissing, PackInvalid, PackRefused),
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
