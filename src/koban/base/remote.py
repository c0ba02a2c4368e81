"""Command-line verbs against a running server: over the same HTTP API as everybody, with the folder owner's token."""

import json
import pathlib
from collections.abc import Mapping

import httpx

from koban.base import Problem, Refusal, Unavailable


class ServerRefused(Refusal):
    """The server said no; what it said is passed on."""

    code = "server_refused"
    status = 422
    title = "The server refused."

    def __init__(self, detail: str, *, problems: tuple[Problem, ...] = (), said_code: str = "") -> None:
        """Say what the server said, and by which code it named that."""
        super().__init__(detail, problems=problems)
        self.said_code = said_code


def find_server(data: pathlib.Path, url: str | None, token: str | None) -> tuple[str, str]:
    """Return where Koban is and a token for it: as given, or of the server that runs on this data folder.

    Raises Unavailable where no server runs there.
    """
    if url is not None and token is not None:
        return url, token
    note = data / "server.json"
    if not note.is_file():
        raise Unavailable(
            "server", 0, f"No server runs on {data}: start one with 'koban serve', or give --url and --token."
        )
    said = json.loads(note.read_text(encoding="utf-8"))
    return url or said["url"], token or said["token"]


def call(where: tuple[str, str], method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
    """Send one request and return its JSON.

    Refuses: ServerRefused. Raises Unavailable when nobody answers.
    """
    answer = _answer(where, method, path, json=body)
    found = answer.json() if answer.content else {}
    return found if isinstance(found, dict) else {"items": found}


def send(where: tuple[str, str], method: str, path: str, content: bytes) -> bytes:
    """Send bytes and return the bytes that come back.

    Refuses: ServerRefused. Raises Unavailable when nobody answers.
    """
    return _answer(where, method, path, content=content).content


def _answer(
    where: tuple[str, str],
    method: str,
    path: str,
    *,
    json: Mapping[str, object] | None = None,
    content: bytes | None = None,
) -> httpx.Response:
    url, token = where
    headers = {"authorization": f"Bearer {token}"}
    try:
        answer = httpx.request(
            method, url + path, json=json, content=content, headers=headers, timeout=60.0, trust_env=False
        )
    except httpx.HTTPError as error:
        raise Unavailable("server", 1, f"{url} does not answer: {error}") from error
    if answer.is_success:
        return answer
    found = answer.json() if answer.content else {}
    problems = tuple(
        Problem(path=one.get("path", ""), detail=one.get("detail", ""), hint=one.get("hint", ""))
        for one in found.get("errors", ())
    )
    raise ServerRefused(
        f"{found.get('title', answer.reason_phrase)} {found.get('detail', '')}",
        problems=problems,
        said_code=str(found.get("code", "")),
    )
