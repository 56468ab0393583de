"""What models write becomes elements (static/markdown.js), and what the wire brings becomes answers (static/stream.js), in Chromium's own engine."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.fakes.gateway import GatewayProcess

SHOWN = """async ([pieces]) => {
  const { Prose } = await import("/static/markdown.js");
  const place = document.createElement("div");
  const prose = new Prose(place);
  for (const piece of pieces) prose.show(piece);
  return place.innerHTML;
}"""
FOLDED = """async ([chunks]) => {
  const { addChunk, measured, newAnswer } = await import("/static/stream.js");
  const answer = newAnswer();
  for (const [at, chunk] of chunks.entries()) addChunk(answer, chunk, 100 + at * 100);
  return { ...answer, ...measured(answer, 50) };
}"""
PARSED = """async ([text, size]) => {
  const { eventParser } = await import("/static/stream.js");
  const found = [];
  const feed = eventParser((data) => found.push(data));
  for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size));
  return found;
}"""


@pytest.fixture(scope="module")
def blank(browser: Browser, gateway: GatewayProcess) -> Iterator[Page]:
    """Any page of this address, for all of these tests: the modules are imported into it and leave nothing behind."""
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{gateway.port}/sign-in")
    yield page
    page.close()


def shown(page: Page, *pieces: str) -> str:
    html: str = page.evaluate(SHOWN, [pieces])
    return html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
        ("# A\n### B", "<h3>A</h3><h5>B</h5>"),
        (
            "**a** *b* ~~c~~ __d__ _e_",
            "<p><strong>a</strong> <em>b</em> <del>c</del> <strong>d</strong> <em>e</em></p>",
        ),
        ("***a*** and *a **b***", "<p><em><strong>a</strong></em> and <em>a <strong>b</strong></em></p>"),
        ("snake_case_name 2 * 3 * 4 ** no", "<p>snake_case_name 2 * 3 * 4 ** no</p>"),
        ("`a ** b` ``c ` d``", "<p><code>a ** b</code> <code>c ` d</code></p>"),
        ("**`a**b`**", "<p><strong><code>a**b</code></strong></p>"),
        ("\\*no\\* \\(x_1 + y_1\\)", '<p>*no* <code class="math">\\(x_1 + y_1\\)</code></p>'),
        ("a  \nb", "<p>a<br>b</p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        ("1. a\n  - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
        ("- a\n\t- b", "<ul><li>a<ul><li>b</li></ul></li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("1. a\n\n2. b", "<ol><li><p>a</p></li><li><p>b</p></li></ol>"),
        ("text\n- a\nlazy", "<p>text</p><ul><li>a\nlazy</li></ul>"),
        ("- [ ] a\n- [x] b", '<ul><li class="task">☐ a</li><li class="task">☑ b</li></ul>'),
        ("> a\n> > b", "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>"),
        ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
        ("$$\na_1 * b *\n$$", '<pre class="math" tabindex="0">$$\na_1 * b *\n$$</pre>'),
        ("In 2024. a", "<p>In 2024. a</p>"),
        ("", ""),
    ],
)
def test_markdown_as_models_write_it(blank: Page, text: str, html: str) -> None:
    assert shown(blank, text) == html


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("[a](https://example.com/b_(c))", "https://example.com/b_(c)"),
        ("see https://example.com/x.", "https://example.com/x"),
        ("<mailto:alice@example.com>", "mailto:alice@example.com"),
        ("![a](https://example.com/a.png)", "https://example.com/a.png"),
        ("[a](javascript:alert(1))", None),
        ("[a](data:text/html,x)", None),
        ("[a](JaVaScRiPt:alert)", None),
        ("[a](/sign-out)", None),
        ("[a](//example.com)", None),
    ],
)
def test_links_lead_to_the_web_alone_and_pictures_are_links(blank: Page, text: str, link: str | None) -> None:
    html = shown(blank, text)
    assert "<img" not in html
    assert (f'href="{link}"' in html) if link else ("<a" not in html)
    assert not link or 'rel="noopener noreferrer nofollow"' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<b onclick=x>y</b>",
        "```<i>\n<u>\n```",
        "| <s> |\n|---|\n| <s> |",
        "# <h1>",
        "`<k>`",
        "[<q>](https://example.com/<q>)",
    ],
)
def test_no_text_becomes_html(blank: Page, text: str) -> None:
    made = {
        "p",
        "figure",
        "figcaption",
        "span",
        "button",
        "pre",
        "code",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "h3",
        "a",
    }
    found = blank.evaluate(
        "([html]) => [...new DOMParser().parseFromString(html, 'text/html').body.querySelectorAll('*')].map((one) => one.localName)",
        [shown(blank, text)],
    )
    assert set(found) <= made


def test_code_has_its_language_and_keeps_its_spaces(blank: Page) -> None:
    html = shown(blank, "```python title\nif a:\n\treturn  1\n```\nafter")
    assert "<span>python</span>" in html
    assert ">if a:\n\treturn  1</code>" in html
    assert html.endswith("<p>after</p>")


def test_a_table_has_its_sides(blank: Page) -> None:
    html = shown(blank, "| a | b |\n|:--|--:|\n| 1 \\| 2 | **3** |")
    assert '<th scope="col">a</th><th scope="col" class="number">b</th>' in html
    assert '<td>1 | 2</td><td class="number"><strong>3</strong></td>' in html


def test_text_that_grows_ends_as_if_it_had_come_whole(blank: Page) -> None:
    text = "# T\n\nA **b** c\n\n- x\n  - y\n\n```js\nlet a;\n```\n\n| a |\n|---|\n| 1 |\n\nend"
    pieces = [text[:at] for at in range(1, len(text) + 1)]
    plain = "(html) => html.replace(/code-[0-9]+/g, 'code')"
    assert blank.evaluate(plain, shown(blank, *pieces)) == blank.evaluate(plain, shown(blank, text))


def test_what_has_not_changed_stays_the_same_element(blank: Page) -> None:
    script = """async () => {
      const { Prose } = await import("/static/markdown.js");
      const place = document.createElement("div");
      const prose = new Prose(place);
      prose.show("first\\n\\nsec");
      const first = place.firstChild;
      prose.show("first\\n\\nsecond");
      return [place.firstChild === first, place.textContent];
    }"""
    assert blank.evaluate(script) == [True, "firstsecond"]


@pytest.mark.parametrize("unit", ["*", "_a ", "[", "`", "**a ", "> ", "- ", "[a](", "``", "|", "\\(", "<", "~~a"])
def test_what_never_ends_costs_no_more_than_its_length(blank: Page, unit: str) -> None:
    html = shown(blank, unit * (40_000 // len(unit)))
    assert "<script" not in html


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_are_the_same_however_they_are_cut(blank: Page, size: int, end: str) -> None:
    text = end.join(
        [
            ": hello",
            "",
            'data: {"a":1}',
            "",
            "event: x",
            "data:b",
            "data:  c",
            "id: 7",
            "",
            "data: [DONE]",
            "",
            "data: never ended",
        ]
    )
    assert blank.evaluate(PARSED, [text, size]) == ['{"a":1}', "b\n c", "[DONE]"]


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def test_a_stream_adds_up_to_an_answer_with_its_figures(blank: Page) -> None:
    chunks = [
        delta(role="assistant", content=""),
        delta(reasoning="Hm", reasoning_content="Hm"),
        delta(reasoning_details=[{"index": 0, "type": "reasoning.text", "text": "a"}]),
        delta(reasoning_details=[{"index": 0, "type": "reasoning.text", "text": "b", "signature": "s"}]),
        delta(content="One "),
        delta(content="two"),
        delta(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 12, "cost": 0.25}},
    ]
    found = blank.evaluate(FOLDED, [chunks])
    assert (found["text"], found["reasoning"], found["finish"]) == ("One two", "Hm", "tool_calls")
    assert found["calls"] == [{"id": "c1", "name": "f", "arguments": "{}"}]
    assert found["details"] == [{"index": 0, "type": "reasoning.text", "text": "ab", "signature": "s"}]
    assert (found["input"], found["output"], found["costUsd"]) == (7, 12, 0.25)
    assert found["firstMs"] == 150, "the first delta with something in it"
    assert found["tokensPerS"] == pytest.approx(12 / 0.6)


def test_what_was_not_told_is_not_made_up(blank: Page) -> None:
    found = blank.evaluate(FOLDED, [[delta(content="One")]])
    assert [found[name] for name in ("tokensPerS", "input", "output", "cached", "thought", "costUsd")] == [None] * 6
