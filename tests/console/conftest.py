"""One scene for the tests of this folder, and a browser without a network that keeps cookies."""

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from tests.conftest import START, fresh_database
from tests.console.scene import PASSWORD, Scene, open_scene

from koban.base import ManualClock


class Visitor:
    """Somebody at the console: keeps cookies, follows nothing by itself, sends forms with the page's CSRF token."""

    def __init__(self, scene: Scene, language: str = "en") -> None:
        self.scene = scene
        self.cookies: dict[str, str] = {}
        self.language = language

    def request(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.scene.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test") as client:
                sent = {"accept": "text/html", "accept-language": self.language}
                if self.cookies:
                    sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
                return await client.request(method, path, data=form, headers=sent)

        answer = asyncio.run(call())
        self.cookies.update({name: value for name, value in answer.cookies.items() if value})
        return answer

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def send(self, page: str, path: str, /, **form: str) -> httpx.Response:
        """Send a form as it stands on a page: with that page's CSRF token."""
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get(page).text)
        assert found is not None, f"{page} has no form"
        return self.request("POST", path, {"csrf": found[1], **form})

    def sign_in(self, role: str = "admin") -> "Visitor":
        answer = self.request("POST", "/v1/sign-in", {"email": self.scene.email(role), "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return self


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A console over six minutes of traffic, once per module and database; tests of one module share it."""
    folder = tmp_path_factory.mktemp("scene")
    with (
        fresh_database(request, str(request.param), folder) as database,
        open_scene(database, ManualClock(START), folder) as opened,
    ):
        yield opened


@pytest.fixture
def visitor(scene: Scene) -> Visitor:
    """Somebody who is not signed in yet."""
    return Visitor(scene)


@pytest.fixture
def admin(scene: Scene) -> Visitor:
    """An administrator who is signed in."""
    return Visitor(scene).sign_in()
