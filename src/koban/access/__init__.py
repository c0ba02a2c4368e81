"""Who may do what: the border of the HTTP API, principals, roles, tokens, sessions, and the one permission check.

Owns the tables staff, sessions, staff_links, api_tokens and sign_in_failures. Guarantees: every request passes
`authorise` once, and nothing is allowed that no grant allows; secrets are stored hashed; a session's changes carry a
CSRF token; every error is problem+json. Its routes are in `koban.access.routes`, which the application mounts.
"""

from koban.access.actions import (
    create_first_admin,
    issue_token,
    person_behind,
    require_second,
    revoke_leftovers,
    revoke_token,
    second_fault,
)
from koban.access.answering import ProblemBody, Sent, problem_of
from koban.access.directory import StaffDirectory
from koban.access.logic import SYSTEM, Rate, authorise
from koban.access.once import Once, forget_keys
from koban.access.openapi import openapi
from koban.access.permissions import CATALOGUE, MACHINES, PUBLIC, ROLE_TITLES, ROLES, SIGNED_IN
from koban.access.routes import AccessKit, endpoints
from koban.access.shortcut import Serve, ShortWay, short_ways
from koban.access.signing_in import change_account, sign_in
from koban.access.store import list_staff
from koban.access.types import (
    Answer,
    Call,
    Cookie,
    Endpoint,
    Page,
    PageQuery,
    Principal,
    Shortcut,
    Staff,
    endpoint,
    redirect,
)
from koban.access.web import Gate, Guarded, build_routes, problem_handlers

__all__ = [
    "CATALOGUE",
    "MACHINES",
    "PUBLIC",
    "ROLES",
    "ROLE_TITLES",
    "SIGNED_IN",
    "SYSTEM",
    "AccessKit",
    "Answer",
    "Call",
    "Cookie",
    "Endpoint",
    "Gate",
    "Guarded",
    "Once",
    "Page",
    "PageQuery",
    "Principal",
    "ProblemBody",
    "Rate",
    "Sent",
    "Serve",
    "ShortWay",
    "Shortcut",
    "Staff",
    "StaffDirectory",
    "authorise",
    "build_routes",
    "change_account",
    "create_first_admin",
    "endpoint",
    "endpoints",
    "forget_keys",
    "issue_token",
    "list_staff",
    "openapi",
    "person_behind",
    "problem_handlers",
    "problem_of",
    "redirect",
    "require_second",
    "revoke_leftovers",
    "revoke_token",
    "second_fault",
    "short_ways",
    "sign_in",
]
