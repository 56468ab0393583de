"""Turns templates into answers. In: a template's name and what it shows. Out: HTML. Everything shown is escaped."""

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from starlette.templating import Jinja2Templates

from trunkline import __version__
from trunkline.web import format, uptime
from trunkline.web.session import places_of, reader_of

FILTERS = (
    "count",
    "exact",
    "usd",
    "exact_usd",
    "duration",
    "rate",
    "figure",
    "percent",
    "bar_hour",
    "hour",
    "day",
    "iso",
    "moment",
)
TITLES = {
    400: "This cannot be shown",
    403: "Not open to everyone",
    404: "There is no such page",
    405: "This cannot be done here",
    500: "Something broke here",
    503: "Not now",
}


class Pages:
    """The templates, compiled once. Lives as long as the app."""

    def __init__(self, folder: Path) -> None:
        self._templates = Jinja2Templates(directory=folder)
        self._templates.env.globals["version"] = __version__
        self._templates.env.trim_blocks = self._templates.env.lstrip_blocks = True
        for name in FILTERS:
            self._templates.env.filters[name] = getattr(format, name)
        for draw in (uptime.day_bars, uptime.hour_bars, uptime.strip_paths):
            self._templates.env.filters[draw.__name__] = draw

    def names(self) -> list[str]:
        """Of all templates."""
        return self._templates.env.list_templates(extensions=["html"])

    def load(self, name: str) -> None:
        """Compile one, if nobody has asked for it yet."""
        self._templates.get_template(name)

    def page(self, request: Request, template: str, shown: dict[str, Any], status: int = 200) -> Response:
        """A whole page; never kept by caches, since it shows the state of now."""
        headers = {"cache-control": "no-store"}
        reader = reader_of(request)
        shown = {"reader": reader, "places": places_of(reader), **shown}
        return self._templates.TemplateResponse(request, template, shown, status_code=status, headers=headers)

    def message(self, request: Request, status: int, text: str) -> Response:
        """A page that only says what went wrong."""
        shown = {"status": status, "title": TITLES.get(status, "This did not work"), "text": text}
        return self.page(request, "message.html", shown, status)


def pages_of(request: Request) -> Pages:
    """The process's."""
    pages = request.app.state.pages
    assert isinstance(pages, Pages)
    return pages
