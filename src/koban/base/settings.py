"""Settings, read once from the environment. Every one has a default that is safe on one machine."""

import dataclasses
import pathlib
import zoneinfo
from collections.abc import Mapping
from typing import Final

from koban.base.refusals import Refusal


class SettingInvalid(Refusal):
    """An environment variable holds something that cannot be used."""

    code = "setting_invalid"
    title = "A setting cannot be used."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What an installation may choose. `SETTING_NOTES` says the same in words, for the reference page."""

    data: pathlib.Path
    database_url: str
    pack: pathlib.Path
    host: str
    port: int
    public_url: str
    strict: bool
    allow_private_webhooks: bool
    zone: str
    smtp_url: str
    mail_from: str
    log_level: str
    payment_providers: str = ""
    share_core: bool = True


SETTING_NOTES: Final[Mapping[str, str]] = {
    "KOBAN_DATA": "Folder of the data: database, archive, keys. Default: `data` in the working directory.",
    "KOBAN_DATABASE_URL": "`postgresql://…` to keep the log there; default is SQLite in the data folder.",
    "KOBAN_PACK": "Folder of the pack to start with. Default: `packs/starter`.",
    "KOBAN_HOST": "Address to listen on. Default: 127.0.0.1.",
    "KOBAN_PORT": "Port to listen on; `0` lets the machine choose a free one. Default: 8420.",
    "KOBAN_PUBLIC_URL": "Address under which people reach the console; with https, cookies are marked secure.",
    "KOBAN_STRICT": "`1` refuses events with undeclared fields. Default: they are kept, unread and reported.",
    "KOBAN_SHARE_CORE": "`0` lets the event loop and the decider run on different cores; together they answer quicker. "
    "Default: `1`, Linux alone.",
    "KOBAN_ALLOW_PRIVATE_WEBHOOKS": "`1` lets webhooks go to private and loopback addresses. Default: refused.",
    "KOBAN_ZONE": "Time zone of mornings, shifts and the console. Default: Asia/Tokyo.",
    "KOBAN_SMTP_URL": "Where pages are handed in as mail: `smtp://user:password@host:587?starttls=1` or `smtps://…`. Default: no mail.",
    "KOBAN_MAIL_FROM": "The sender of such mail. Default: koban@localhost.",
    "KOBAN_PAYMENT_PROVIDERS": "JSON file that lists the payment providers. Default: none; a demo simulates one.",
    "KOBAN_URL": "Address of the server that commands speak to, from anywhere. Default: the one on the data folder.",
    "KOBAN_TOKEN": "API token with which commands speak to a server. Default: the folder owner's, on its own machine.",
    "KOBAN_LOG_LEVEL": "debug, info, warning or error. Default: info.",
}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from `environment`.

    Refuses: SettingInvalid, naming the variable and what it may be.
    """
    data = pathlib.Path(environment.get("KOBAN_DATA", "data"))
    host = environment.get("KOBAN_HOST", "127.0.0.1")
    port = _port(environment.get("KOBAN_PORT", "8420"))
    url = environment.get("KOBAN_DATABASE_URL", f"sqlite:///{data}/koban.db")
    if not url.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise SettingInvalid("KOBAN_DATABASE_URL must begin with postgresql:// or sqlite:///.")
    level = environment.get("KOBAN_LOG_LEVEL", "info").lower()
    if level not in {"debug", "info", "warning", "error"}:
        raise SettingInvalid(f"KOBAN_LOG_LEVEL is {level!r}; it may be debug, info, warning or error.")
    return Settings(
        data=data,
        database_url=url,
        pack=pathlib.Path(environment.get("KOBAN_PACK", "packs/starter")),
        host=host,
        port=port,
        public_url=environment.get("KOBAN_PUBLIC_URL", _url_of(host, port)).rstrip("/"),
        strict=_flag(environment, "KOBAN_STRICT"),
        allow_private_webhooks=_flag(environment, "KOBAN_ALLOW_PRIVATE_WEBHOOKS"),
        zone=_zone(environment.get("KOBAN_ZONE", "Asia/Tokyo")),
        smtp_url=environment.get("KOBAN_SMTP_URL", ""),
        mail_from=environment.get("KOBAN_MAIL_FROM", "koban@localhost"),
        log_level=level,
        payment_providers=environment.get("KOBAN_PAYMENT_PROVIDERS", ""),
        share_core=_flag(environment, "KOBAN_SHARE_CORE", default=True),
    )


def on_port(settings: Settings, port: int) -> Settings:
    """Return the settings of a server that listens on `port`: with KOBAN_PORT=0 the machine chooses it.

    Links that people are sent go there too, unless KOBAN_PUBLIC_URL says where they go.
    """
    is_default = settings.public_url == _url_of(settings.host, settings.port)
    public_url = _url_of(settings.host, port) if is_default else settings.public_url
    return dataclasses.replace(settings, port=port, public_url=public_url)


def own_url(settings: Settings) -> str:
    """Return where the server itself is reached, without a slash at the end."""
    return _url_of(settings.host, settings.port)


def _url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingInvalid(f"KOBAN_ZONE is {name!r}; it must be a zone such as Asia/Tokyo or Europe/Paris.") from None
    return name


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise SettingInvalid(f"KOBAN_PORT is {text!r}; it must be a number between 0 and 65535.")
    return int(text)


def _flag(environment: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = environment.get(name, "1" if default else "0").lower()
    if value not in {"0", "1", "true", "false", "yes", "no", ""}:
        raise SettingInvalid(f"{name} is {value!r}; it may be 1 or 0.")
    return value in {"1", "true", "yes"}
