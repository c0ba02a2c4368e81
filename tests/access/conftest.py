"""A browser for the tests of this room: it calls an ASGI application without a network."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from starlette.types import ASGIApp


class Browser:
    """Calls the application and waits for the answer; keeps no cookies, so that each test says what it sends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: object) -> httpx.Response:
        async def call() -> httpx.Response:
            content = options.pop("content", None)
            if content is not None and not isinstance(content, bytes):
                options["content"] = _pieces(content)  # type: ignore[arg-type] # a list of bytes, see the tests
            elif content is not None:
                options["content"] = content
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(self._app), base_url="http://koban.test"
            ) as client:
                return await client.request(method, path, **options)  # type: ignore[arg-type] # passed through

        return asyncio.run(call())

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: object) -> httpx.Response:
        return self.request("POST", path, **options)


async def _pieces(parts: list[bytes]):  # type: ignore[no-untyped-def] # an async iterator of bytes for httpx
    for part in parts:
        yield part


@pytest.fixture
def browse() -> Callable[[ASGIApp], Browser]:
    """Make a browser for an application."""
    return Browser
