"""Find web addresses, hidden ones too, and name their registered domains. tldextract is imported here alone.

The public suffix list is the snapshot inside tldextract; nothing is ever downloaded.
"""

import functools
import re
from typing import TYPE_CHECKING

from koban.text.normalise import Normalised

if TYPE_CHECKING:
    import tldextract

_MAX_HOSTS = 50  # addresses of one text that are looked at

_DOT = re.compile(
    r"\s?[\[({<【「『]\s?(?:\.|dot|ドット|点|どっと)\s?[\])}>】」』]\s?"
    r"|(?<=[a-z0-9])\s?(?:ドット|どっと|。|(?<=\s)dot(?=\s))\s?(?=[a-z0-9])"
)
_HIDDEN = re.compile(r"[\[({<【「『]\s?(?:\.|dot|ドット|点|どっと)|ドット|どっと|。\s?[a-z0-9]|\sdot\s")
_SPACED = re.compile(
    r"(?<=[a-z0-9])(?: \. ?|\. )(?=(?:com|net|org|jp|co\.jp|info|xyz|shop|top|site|online|io|cc|biz)(?![a-z0-9]))"
)
_SCHEME = re.compile(r"h(?:tt|xx|\*\*|++)p(s?)\s?[:：]?\s?/\s?/\s?".replace("++", r"\+\+"))
_HOST = re.compile(
    r"(?:(?P<scheme>https?://)(?:[^\s/@]{1,80}@)?(?P<any>[^\s/?#:「」『』()\[\]<>\"'、。,]{1,253})"
    r"|(?<![a-z0-9@._%+-])(?P<bare>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24})(?![a-z0-9@-]))(?P<path>:[0-9]{2,5}|/)?"
)
# Suffixes taken without a scheme or a path. Words of English and endings of file names are not among them.
_COMMON = frozenset(
    [
        "com",
        "net",
        "org",
        "jp",
        "io",
        "info",
        "biz",
        "xyz",
        "site",
        "online",
        "shop",
        "top",
        "cc",
        "tv",
        "ru",
        "cn",
        "kr",
        "tw",
        "hk",
        "vn",
        "ph",
        "th",
        "uk",
        "de",
        "fr",
        "eu",
        "ca",
        "au",
        "nz",
        "br",
        "mx",
        "ly",
        "gg",
        "app",
        "dev",
        "page",
        "store",
        "club",
        "vip",
        "fun",
        "icu",
        "click",
        "link",
        "live",
        "tech",
        "space",
        "pw",
        "ee",
        "cloud",
        "website",
        "world",
        "today",
        "life",
        "asia",
        "mobi",
        "pro",
        "win",
        "bid",
        "loan",
        "cyou",
        "sbs",
        "buzz",
        "rest",
        "quest",
        "monster",
        "lol",
        "cfd",
        "bond",
        "work",
        "tokyo",
        "blog",
        "news",
        "one",
        "email",
        "support",
        "chat",
        "co",
        "id",
    ]
)


def urls(text: Normalised) -> tuple[str, ...]:
    """Return the registered domains of all addresses in a text, each once, in order of appearance."""
    hosts = find_hosts(text.base)
    domains = (domain for host, _ in hosts if (domain := registered_domain(host)))
    return tuple(dict.fromkeys(domains))


def find_hosts(base: str) -> list[tuple[str, str]]:
    """Return each host in a `base` form with up to 40 characters of what follows it."""
    if "." not in base and "。" not in base and "ドット" not in base and "dot" not in base and "どっと" not in base:
        return []
    if _HIDDEN.search(base) is not None:
        base = _DOT.sub(".", base)
    if " ." in base or ". " in base:
        base = _SPACED.sub(".", base)
    if "//" in base or "/ /" in base:
        base = _SCHEME.sub(r"http\1://", base)
    found: list[tuple[str, str]] = []
    for match in _HOST.finditer(base):
        host = (match["any"] or match["bare"]).strip(".-")
        after = base[match.end() : match.end() + 40] if match["path"] == "/" else ""
        if match["bare"] and not match["path"] and not _credible(host):
            continue
        found.append((host, after))
        if len(found) >= _MAX_HOSTS:
            break
    return found


def _credible(host: str) -> bool:
    """Say whether a bare name is an address rather than a file name or a missing space."""
    *labels, suffix = host.split(".")
    if labels[0] == "www":
        return True
    return suffix in _COMMON and not labels[-1].isdigit()


@functools.lru_cache(maxsize=4_096)
def registered_domain(host: str) -> str:
    """Return what was registered: `example.co.jp` of `www.example.co.jp`; an address in numbers stays; "" for none."""
    parts = _extract()(host)
    if parts.ipv4:
        return str(parts.ipv4)
    return str(parts.top_domain_under_public_suffix)


@functools.cache
def _extract() -> "tldextract.TLDExtract":
    import tldextract

    return tldextract.TLDExtract(
        suffix_list_urls=(), cache_dir=None, fallback_to_snapshot=True, include_psl_private_domains=True
    )
