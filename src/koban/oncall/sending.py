"""The seam that reaches people: signed webhooks, Slack-compatible webhooks, mail by SMTP."""

import email.message
import email.utils
import smtplib
import ssl
import urllib.parse
from collections.abc import Callable
from typing import Final

import msgspec

from koban.base import Clock, Refusal
from koban.oncall import logic
from koban.oncall.types import Contact, Page
from koban.webhooks import Outgoing, SecretBox, Send, sign

SMTP_TIMEOUT_S: Final = 10.0

Mail = Callable[[str, str, str], str]  # to, subject, text; returns what went wrong


class MailSettingInvalid(Refusal):
    """The mail setting cannot be used."""

    code = "mail_setting_invalid"
    title = "KOBAN_SMTP_URL cannot be used."


class SmtpAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where mail is handed in, read from `smtp://user:password@host:port?starttls=1` or `smtps://…`."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    starttls: bool


def read_smtp(url: str) -> SmtpAddress:
    """Read the setting.

    Refuses: MailSettingInvalid.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise MailSettingInvalid(f"It is no URL: {error}") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise MailSettingInvalid("It must be smtp://host:port or smtps://host:port.")
    wanted = urllib.parse.parse_qs(parts.query)
    return SmtpAddress(
        host=parts.hostname,
        port=port or (465 if parts.scheme == "smtps" else 587),
        user=urllib.parse.unquote(parts.username or ""),
        password=urllib.parse.unquote(parts.password or ""),
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp" and wanted.get("starttls", ["0"])[-1] in {"1", "true", "yes"},
    )


def mail_by(address: SmtpAddress, sender: str) -> Mail:
    """Return what hands a mail to an SMTP server; certificates are checked wherever TLS is spoken."""

    def send(to: str, subject: str, text: str) -> str:
        message = email.message.EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, to, subject
        message["Message-ID"] = email.utils.make_msgid(domain=sender.rpartition("@")[2] or "koban")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            with _connection(address) as connection:
                if address.starttls:
                    connection.starttls(context=ssl.create_default_context())
                if address.user:
                    connection.login(address.user, address.password)
                connection.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    return send


def no_mail(_to: str, _subject: str, _text: str) -> str:
    """Say that no mail server is set."""
    return "no mail server is set: KOBAN_SMTP_URL"


def deliver_by(send: Send, box: SecretBox, clock: Clock, mail: Mail) -> Callable[[Contact, Page, str], str]:
    """Return what delivers a page to a contact; webhooks keep the rules of our others: checked addresses, no redirects."""

    def deliver(contact: Contact, page: Page, link: str) -> str:
        match contact.kind:
            case "mail":
                return mail(contact.address, logic.title_of(page), logic.text_of(page, link))
            case "slack":
                body, headers = logic.slack_body(page, link), {}
            case "webhook":
                secret = box.open(contact.id, contact.secret)
                if secret is None:
                    return "the contact's secret was sealed under another key; make the contact anew"
                body = logic.webhook_body(page, contact.staff_id, link)
                headers = sign(f"{page.id}.{page.level}", body, (secret,), clock.now())
        outgoing = Outgoing(
            url=contact.address,
            body=body,
            headers={"content-type": "application/json", "user-agent": "koban-on-call", **headers},
            allow_private=contact.allow_private,
        )
        return send(outgoing).error

    return deliver


def _connection(address: SmtpAddress) -> smtplib.SMTP:
    if address.tls:
        return smtplib.SMTP_SSL(
            address.host, address.port, timeout=SMTP_TIMEOUT_S, context=ssl.create_default_context()
        )
    return smtplib.SMTP(address.host, address.port, timeout=SMTP_TIMEOUT_S)
