"""The demonstration: the bar that tells the evening on every page, its steering, and signing in with one click.

None of these pages exists where no demonstration runs.
"""

from typing import Final

from koban.access import PUBLIC, SIGNED_IN, Answer, Call, Cookie, Endpoint, endpoint, redirect
from koban.access.actions import SESSION_LIFE_US
from koban.access.types import NotAllowed, RoleUnknown
from koban.access.web import session_cookie_name
from koban.base import SECOND
from koban.console.kit import ConsoleKit, StoryDesk
from koban.console.pages import local_path, page

HERE: Final = ("127.0.0.1", "localhost", "[::1]")  # a page of another name that leads here is somebody's trick


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    story = kit.story
    if story is None:
        return ()
    return (
        endpoint("GET", "/story/bar", SIGNED_IN, lambda call: page(kit, call, "story_bar.html"),
                 summary="Where the evening is", page=True),
        endpoint("POST", "/story", "simulation.steer", lambda call: _steer(story, call),
                 summary="Pause, restart or leave the evening", accepts="form", page=True),
        endpoint("POST", "/sign-in/as", PUBLIC, lambda call: _sign_in_as(kit, story, call),
                 summary="Sign in with one click", accepts="form", page=True, raises=(RoleUnknown, NotAllowed)),
    )  # fmt: skip


def _steer(story: StoryDesk, call: Call) -> Answer:
    story.steer(call.form.get("do", ""), by=call.principal.id)
    return redirect(local_path(call.form.get("next", "")))


def _sign_in_as(kit: ConsoleKit, story: StoryDesk, call: Call) -> Answer:
    host = call.headers.get("host", "")
    if (host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host) not in HERE:
        raise NotAllowed("one-click roles open on this machine alone")
    if call.form.get("role", "") not in story.roles:
        raise RoleUnknown("this demonstration has no such role")
    session = story.open_role(call.form["role"])
    cookie = Cookie(
        name=session_cookie_name(secure=kit.access.secure_cookies),
        value=session.secret,
        max_age_s=SESSION_LIFE_US // SECOND,
    )
    return redirect(local_path(call.form.get("next", "")), cookies=(cookie,))
