"""How a page is looked at: what axe finds on it, and which of its words are of another language."""

import pathlib
import re
from collections.abc import Sequence

from playwright.sync_api import Page
from tests.console.scene import NAMES

AXE = (pathlib.Path(__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# Every piece of text that somebody sees or hears, without what is nobody's language: ids, names, a pack's own texts.
TEXTS = """
() => {
  const told = [];
  const mine = (node) => {
    const held = node.closest("[lang]");
    return !node.closest("[translate=no], script, style, noscript") && held === document.documentElement;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.textContent.trim() && mine(node.parentElement)) told.push(node.textContent.trim());
  }
  for (const node of document.querySelectorAll("[aria-label], [placeholder], [title]")) {
    if (!mine(node)) continue;
    for (const name of ["aria-label", "placeholder", "title"]) {
      if (node.hasAttribute(name)) told.push(node.getAttribute(name));
    }
  }
  if (!document.querySelector("head > title[translate=no]")) told.push(document.title);
  return told;
}
"""
# Names and units that Japanese readers read in Latin letters too. Ids, keys and formats are marked on the page.
LATIN = (
    r"(?<![A-Za-z])(Koban|Webhook|JSON|API|JST|ID|IP|ms|URL|JPY|CSV|TSV|Lines|Parquet|gzip|UTF-8|Shift_JIS)(?![A-Za-z])"
)
FIRST_NAME = "Administrator"  # what the first administrator is called until they say who they are
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def is_foreign(text: str, language: str) -> bool:
    """Tell whether a text of a page is in the other language."""
    for name in (*NAMES.values(), FIRST_NAME):
        text = text.replace(name, "")
    if language == "en":
        return JAPANESE.search(text) is not None
    return re.search("[A-Za-z]{2}", re.sub(LATIN, "", text)) is not None


def axe(page: Page, *, only: Sequence[str] = ()) -> list[str]:
    """Return what axe has against the page, each with the first place; `only` some of its rules."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    what = {"type": "rule", "values": list(only)} if only else {"type": "tag", "values": TAGS}
    result = page.evaluate("(what) => axe.run({runOnly: what, resultTypes: ['violations']})", what)
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in result["violations"]]
