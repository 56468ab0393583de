"""`/platform/usage`: tokens and requests, by what the rollups know. In: a query (see `use_query`). Out: a page, or what it shows as CSV (`format=csv`)."""

from fastapi import APIRouter, Request, Response

from trunkline.api.management.access import ConsoleOf
from trunkline.api.management.scope import scope_of
from trunkline.web import format
from trunkline.web.columns import Column
from trunkline.web.render import pages_of
from trunkline.web.session import PlatformReader, demand
from trunkline.web.use import KINDS, Group, Shown, change, part, shown
from trunkline.web.use_page import SHARE, answer, common, label_column
from trunkline.web.use_query import Choices, asked

CHOICES = Choices(
    path="/platform/usage",
    by={"model": "Model", "provider": "Provider", "key": "API key", "protocol": "Protocol", "type": "Token type"},
    metrics={
        "tokens": "Tokens",
        "input": "Input tokens",
        "cached": "Tokens read from a cache",
        "output": "Output tokens",
        "requests": "Requests",
    },
)

router = APIRouter(include_in_schema=False)


@router.api_route("/platform/usage", methods=["GET", "HEAD"], response_class=Response)
async def usage(request: Request, console: ConsoleOf, reader: PlatformReader) -> Response:
    """The page."""
    query = dict(request.query_params)
    if query.get("by") == "type":
        # Requests have no token type, and a part of the tokens by type is a part by type.
        query["metric"] = "tokens"
    demand(reader, "use")
    wanted = asked(query, CHOICES, int(console.now_ms() // 1000), await scope_of(console, reader.actor))
    found = await shown(console, wanted)
    columns = type_columns(found) if wanted.by == "type" else group_columns(found)
    file = answer(query, "usage", found, columns)
    if file is not None:
        return file
    kinds = [(words, getattr(found.total, kind), getattr(found.before, kind)) for kind, words in KINDS.items()]
    view = {
        "kinds": [kind for kind in kinds if kind[1] or kind[2]],
        "unit": "requests" if wanted.metric == "requests" else "tokens",
        **await common(console, found, columns, format.count),
    }
    return pages_of(request).page(request, "usage.html", view)


def group_columns(found: Shown) -> list[Column[Group]]:
    """Of a dimension."""
    return [
        label_column(found),
        *_share_columns(found),
        Column("Input", lambda row: row.use.total_input_tokens, lambda row: format.count(row.use.total_input_tokens)),
        Column("Cached", lambda row: row.use.cache_read_tokens, lambda row: format.count(row.use.cache_read_tokens), "Of the input, read from a cache"),
        Column("Output", _output, lambda row: format.count(_output(row)), "Reasoning included"),
        Column("Requests", lambda row: row.use.requests, lambda row: format.count(row.use.requests)),
        Column("Failed", lambda row: row.use.failed, lambda row: format.count(row.use.failed), "Requests that ended in an error"),
        Column("Estimated", lambda row: row.use.estimated, lambda row: format.count(row.use.estimated), "Attempts whose tokens are our own guess"),
        _change_column(found),
    ]  # fmt: skip


def type_columns(found: Shown) -> list[Column[Group]]:
    """Of the kinds of tokens."""
    return [label_column(found), *_share_columns(found), _change_column(found)]


def _share_columns(found: Shown) -> list[Column[Group]]:
    count, whole = found.count, found.whole
    return [
        Column(
            found.asked.choices.metrics[found.asked.metric],
            lambda row: count(row.use),
            lambda row: format.count(count(row.use)),
        ),
        Column(SHARE, lambda row: part(count(row.use), whole), lambda row: format.percent(part(count(row.use), whole))),
    ]


def _change_column(found: Shown) -> Column[Group]:
    count = found.count
    return Column(
        "Before",
        lambda row: count(row.before),
        lambda row: change(count(row.use), count(row.before)),
        "Against the time before, as long",
        "Change",
    )


def _output(row: Group) -> int:
    return row.use.total_tokens - row.use.total_input_tokens
