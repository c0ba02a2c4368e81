"""On-call: who is called when something is wrong, how, and what happens until somebody has taken it.

Owns `oncall_shifts`, `oncall_overrides`, `oncall_contacts`, `oncall_pages`, `oncall_sends` and `oncall_steps`.
Guarantees: an open alert becomes one page, however often it is raised; a page is sent at least once to every contact of
whoever is on call; nobody there, or nobody who takes it in time, calls the next level; at the end every lead is told;
whoever acknowledges by link, console or API ends the calling; every step is kept.
"""

from koban.oncall.actions import OncallKit, acknowledge, deliver_due, escalate, link_of, open_page, resolve, watch
from koban.oncall.logic import on_call, read_receipt, spans
from koban.oncall.rota import add_contact, add_override, add_shift, remove_line
from koban.oncall.routes import (
    ContactBody,
    OncallView,
    contact_view,
    drop_line,
    endpoints,
    make_contact,
    oncall_view,
    page_detail,
    require_staff,
)
from koban.oncall.sending import Mail, MailSettingInvalid, deliver_by, mail_by, no_mail, read_smtp
from koban.oncall.types import (
    Contact,
    Override,
    Page,
    PageMissing,
    PageOver,
    ReceiptInvalid,
    RotaInvalid,
    RotaMissing,
    Shift,
)

__all__ = [
    "Contact",
    "ContactBody",
    "Mail",
    "MailSettingInvalid",
    "OncallKit",
    "OncallView",
    "Override",
    "Page",
    "PageMissing",
    "PageOver",
    "ReceiptInvalid",
    "RotaInvalid",
    "RotaMissing",
    "Shift",
    "acknowledge",
    "add_contact",
    "add_override",
    "add_shift",
    "contact_view",
    "deliver_by",
    "deliver_due",
    "drop_line",
    "endpoints",
    "escalate",
    "link_of",
    "mail_by",
    "make_contact",
    "no_mail",
    "on_call",
    "oncall_view",
    "open_page",
    "page_detail",
    "read_receipt",
    "read_smtp",
    "remove_line",
    "require_staff",
    "resolve",
    "spans",
    "watch",
]
