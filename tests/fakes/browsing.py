"""A real browser (Debian's Chromium, by Playwright) before a page, and what every page must keep to.

`Faults` collects what no page may do: errors on the console (a breach of the content security policy is one), exceptions, requests to other hosts.
The functions take a Playwright page and fail with what they found.
"""

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import BrowserContext, Page, Request

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
"""A usual phone, in CSS pixels."""
PATIENCE_MS = 20_000
MAX_PAGE_BYTES = 250_000
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
GRAVE = ("serious", "critical")
# https://github.com/dequelabs/axe-core/blob/develop/doc/API.md#options-parameter: WCAG 2.2 A and AA, and what is good practice.
AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}


class Faults(list[str]):
    """What went wrong on a page so far. `allow` lets pass what a test brings about on purpose."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host
        self._allowed: list[str] = []

    def watch(self, context: BrowserContext) -> None:
        """All pages of this context, workers and frames too."""
        context.on("console", lambda message: self._note("console", message.text, message.type in ("error", "warning")))
        context.on("weberror", lambda error: self._note("exception", str(error.error), True))
        context.on("request", self._asked)

    def allow(self, pattern: str) -> None:
        """From now on and before: faults in which this regular expression is found are none."""
        self._allowed.append(pattern)

    @property
    def left(self) -> list[str]:
        """Those that were not allowed."""
        return [fault for fault in self if not any(re.search(pattern, fault) for pattern in self._allowed)]

    def _note(self, kind: str, text: str, is_fault: bool) -> None:
        if is_fault:
            self.append(f"{kind}: {text}")

    def _asked(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme not in ("data", "blob") and where.netloc != self._host:
            self.append(f"another host: {request.url}")


def axe(page: Page, within: str | None = None) -> None:
    """No accessibility fault that axe calls serious or critical, on the page or in what a selector finds."""
    found = graves(page, within)
    assert not found, "\n".join(found)


def graves(page: Page, within: str | None = None) -> list[str]:
    """Such faults in words: the rule, what it is about, and the elements."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(f"() => {{ {AXE} }}")
    found: dict[str, Any] = page.evaluate(
        "([within, options]) => axe.run(within ?? document, options)", [within, AXE_OPTIONS]
    )
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {node['target']} {node['html'][:160]} {_why(node)}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


def _why(node: Any) -> str:
    return "; ".join(check["message"] for check in node["any"][:1])


def no_sideways_scroll(page: Page) -> None:
    """The page is no wider than the window. What is wide scrolls in a region of its own."""
    found = page.evaluate(SIDEWAYS)
    assert not found, "\n".join(found)


# The elements that reach over the edge, but not those within a region that scrolls.
SIDEWAYS = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const clipped = (one) => {
    for (let above = one.parentElement; above && above !== document.body; above = above.parentElement) {
      if (getComputedStyle(above).overflowX !== "visible") return true;
    }
    return false;
  };
  return [`${document.documentElement.scrollWidth} px of ${width}`, ...[...document.body.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > width + 1 && !clipped(one))
    .slice(0, 5)
    .map((one) => `<${one.tagName.toLowerCase()} class="${one.className}"> ${one.textContent.trim().slice(0, 60)}`)];
}"""


def nameless(page: Page) -> list[str]:
    """Buttons, links and fields for which a screen reader has no word (HTML of each)."""
    names: list[str] = page.evaluate(NAMELESS)
    return names


NAMELESS = """() => [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, summary")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => !(one.ariaLabel || one.getAttribute("aria-labelledby") || one.textContent.trim() || one.title || one.labels?.length
    || one.alt || (["submit", "reset"].includes(one.type) && one.value)))
  .map((one) => one.outerHTML.slice(0, 200))"""


def not_reached_by_tab(page: Page) -> list[str]:
    """Walk the page with the Tab key from its start: the controls on which the focus never stood, or stood unseen (HTML of each).

    Of a list of tabs and of a group of radio buttons one is enough: arrow keys lead to the others.
    """
    page.evaluate(MARK_CONTROLS)
    page.evaluate(START_OVER)
    awaiting: list[str] = page.evaluate(AWAITING)
    while awaiting:
        # Regions that scroll have stops of their own, so more than one a control may be needed.
        for _ in awaiting:
            page.keyboard.press("Tab")
        before, awaiting = awaiting, page.evaluate(AWAITING)
        if awaiting == before:
            break
    return awaiting


# One control of a group carries the others; what is hidden or off needs no key. A focus that shows nothing (no outline, no shadow) does not count.
MARK_CONTROLS = """() => {
  const controls = "button, a[href], input:not([type=hidden]), select, textarea, summary";
  const moved = "[role=tab], [role=menuitem], [role=option]";
  const groups = new Set();
  for (const one of document.querySelectorAll(controls + ", [tabindex]")) {
    if (!one.checkVisibility({ visibilityProperty: true }) || one.disabled) continue;
    if (one.tabIndex < 0 && (one.matches(moved) || !one.matches(controls))) continue;
    // Unseen, behind a button that opens it.
    if (one.tabIndex < 0 && one.type === "file" && getComputedStyle(one).clipPath !== "none") continue;
    if (one.type === "radio") {
      const group = [...document.getElementsByName(one.name)];
      if (groups.has(one.name) || (group.some((other) => other.checked) && !one.checked)) continue;
      groups.add(one.name);
    }
    one.dataset.awaitsFocus = "";
  }
  document.addEventListener("focusin", ({ target }) => {
    const style = getComputedStyle(target);
    if (style.outlineStyle !== "none" || style.boxShadow !== "none") delete target.dataset.awaitsFocus;
  });
}"""
# Where the focus was, the walk would go on from there: https://html.spec.whatwg.org/#sequential-focus-navigation-starting-point
START_OVER = """() => {
  const first = document.createElement("span");
  first.tabIndex = -1;
  document.body.prepend(first);
  first.focus();
  first.remove();
}"""
AWAITING = """() => [...document.querySelectorAll("[data-awaits-focus]")].map((one) => one.outerHTML.slice(0, 200))"""


def weight(page: Page, path: str) -> int:
    """Bytes that a first visit of this path brings, as sent (pages, styles, scripts, pictures)."""
    sizes: list[int] = []

    def add(request: Request) -> None:
        sizes.append(request.sizes()["responseBodySize"])

    page.on("requestfinished", add)
    page.goto(path)
    settled(page)
    page.remove_listener("requestfinished", add)
    return sum(sizes)


def settled(page: Page) -> None:
    """The page is loaded, what htmx brings at once is there, and charts are drawn."""
    page.wait_for_load_state("load")
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chart')].every((box) => !box.querySelector('script') || box.querySelector('canvas') || !box.clientWidth)"
    )
