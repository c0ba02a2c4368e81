"""Who may do what: the border of the HTTP API, principals, roles, tokens, sessions, and the one permission check.

Guarantees: every request passes `authorise` once, and nothing is allowed that no grant allows; secrets are stored
hashed; a session's changes carry a CSRF token; every error is problem+json.
"""

from koban.access.logic import SYSTEM, Rate, authorise
from koban.access.openapi import openapi
from koban.access.permissions import CATALOGUE, PUBLIC, ROLE_TITLES, ROLES, SIGNED_IN
from koban.access.types import Answer, Call, Cookie, Endpoint, Grant, Page, PageQuery, Principal, endpoint, redirect
from koban.access.web import Gate, Guarded, NobodyKnown, ProblemBody, build_routes, problem_handlers

__all__ = [
    "CATALOGUE",
    "PUBLIC",
    "ROLES",
    "ROLE_TITLES",
    "SIGNED_IN",
    "SYSTEM",
    "Answer",
    "Call",
    "Cookie",
    "Endpoint",
    "Gate",
    "Grant",
    "Guarded",
    "NobodyKnown",
    "Page",
    "PageQuery",
    "Principal",
    "ProblemBody",
    "Rate",
    "authorise",
    "build_routes",
    "endpoint",
    "openapi",
    "problem_handlers",
    "redirect",
]
