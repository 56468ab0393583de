"""Sample code for a model. In: this gateway's address, a slug, the name of the variable with the reader's key. Out: texts, and highlighted HTML.

Every sample is run as a test: tests/web/test_samples.py, tests/clients/test_samples.py.
"""

import json
import re
from functools import lru_cache
from string import Template

import msgspec
from markupsafe import Markup

PROMPT = "Say hello in one sentence."
KEY_NAME = "TRUNKLINE_API_KEY"
_KEY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# `%` in place of `$`, which TypeScript and shells have for themselves. What is put in is quoted for the language: JSON strings are strings of them all.


class _Text(Template):
    delimiter = "%"


class Sample(msgspec.Struct, frozen=True):
    """`lexer` is Pygments' name of the language."""

    id: str
    title: str
    lexer: str
    text: str
    needs: str = ""
    """What has to be installed, in words or as a command."""
    note: str = ""


OPENAI_PYTHON = """import os

from openai import OpenAI

client = OpenAI(
  base_url=%chat,
  api_key=os.environ[%key],
)

completion = client.chat.completions.create(
  model=%model,
  messages=[
    {
      "role": "user",
      "content": [
        {
          "type": "text",
          "text": %prompt
        }
      ]
    }
  ]
)
print(completion.choices[0].message.content)
"""
PYTHON = """import os

import requests

response = requests.post(
  "%{root}/api/v1/chat/completions",
  headers={"Authorization": f"Bearer {os.environ['%name']}"},
  json={
    "model": %model,
    "messages": [{"role": "user", "content": %prompt}],
  },
  timeout=600,
)
response.raise_for_status()
print(response.json()["choices"][0]["message"]["content"])
"""
TYPESCRIPT = """const response = await fetch("%{root}/api/v1/chat/completions", {
  method: "POST",
  headers: {
    Authorization: `Bearer ${process.env.%name}`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    model: %model,
    messages: [{ role: "user", content: %prompt }],
  }),
});
if (!response.ok) throw new Error(await response.text());
const completion = await response.json();
console.log(completion.choices[0].message.content);
"""
OPENAI_TYPESCRIPT = """import OpenAI from "openai";

const client = new OpenAI({
  baseURL: %chat,
  apiKey: process.env.%name,
});

const completion = await client.chat.completions.create({
  model: %model,
  messages: [{ role: "user", content: %prompt }],
});
console.log(completion.choices[0].message.content);
"""
CURL = """curl %{root}/api/v1/chat/completions \\
  -H "Authorization: Bearer $%name" \\
  -H "Content-Type: application/json" \\
  -d '{
  "model": %model,
  "messages": [{"role": "user", "content": %prompt}]
}'
"""
ANTHROPIC_PYTHON = """import os

from anthropic import Anthropic

client = Anthropic(
  base_url=%messages,
  api_key=os.environ[%key],
)

message = client.messages.create(
  model=%model,
  max_tokens=4096,
  messages=[{"role": "user", "content": %prompt}],
)
print("".join(block.text for block in message.content if block.type == "text"))
"""
GEMINI_PYTHON = """import os

from google import genai
from google.genai import types

client = genai.Client(
  vertexai=True,
  api_key=os.environ[%key],
  http_options=types.HttpOptions(api_version="v1", base_url=%gemini),
)

response = client.models.generate_content(model=%model, contents=%prompt)
print(response.text)
"""
CLAUDE_CODE = """export ANTHROPIC_BASE_URL=%{root}/api/anthropic
export ANTHROPIC_AUTH_TOKEN=$%name
export ANTHROPIC_API_KEY=
claude --model %slug
"""
CODEX = """# ~/.codex/config.toml
model_provider = "trunkline"
model = %model

[model_providers.trunkline]
name = "Trunkline"
base_url = %chat
env_key = %key
wire_api = "responses"
"""
_SAMPLES = (
    Sample("openai-python", "OpenAI-Python", "python", OPENAI_PYTHON, "pip install openai"),
    Sample("python", "Python", "python", PYTHON, "pip install requests"),
    Sample("typescript", "TypeScript", "typescript", TYPESCRIPT, "", "Runs in Node 18 or newer, as a module."),
    Sample("openai-typescript", "OpenAI-TypeScript", "typescript", OPENAI_TYPESCRIPT, "npm install openai"),
    Sample("curl", "cURL", "bash", CURL),
    Sample("anthropic-python", "Anthropic-Python", "python", ANTHROPIC_PYTHON, "pip install anthropic"),
    Sample("gemini-python", "Gemini-Python", "python", GEMINI_PYTHON, "pip install google-genai"),
    Sample(
        "claude-code",
        "Claude Code",
        "bash",
        CLAUDE_CODE,
        "",
        "The empty variable keeps Claude Code from asking with another key.",
    ),
    Sample(
        "codex", "Codex", "toml", CODEX, "", "Then run codex; it reads the key from the variable that env_key names."
    ),
)


class Shown(msgspec.Struct, frozen=True):
    """A sample as a page shows it."""

    sample: Sample
    html: Markup


def is_key_name(name: str) -> bool:
    """Whether a variable of the environment can be called so."""
    return _KEY_NAME.fullmatch(name) is not None


def samples(root: str, slug: str, key_name: str = KEY_NAME) -> tuple[Sample, ...]:
    """`root` is the gateway's address without a path. ValueError where the key's name is none."""
    if not is_key_name(key_name):
        raise ValueError(f"{key_name!r} is no name of a variable")
    filled = {
        "root": root,
        "name": key_name,
        "slug": slug,
        "chat": json.dumps(f"{root}/api/v1"),
        "messages": json.dumps(f"{root}/api/anthropic"),
        "gemini": json.dumps(f"{root}/api/vertex-ai"),
        "key": json.dumps(key_name),
        "model": json.dumps(slug),
        "prompt": json.dumps(PROMPT),
    }
    return tuple(msgspec.structs.replace(sample, text=_Text(sample.text).substitute(filled)) for sample in _SAMPLES)


@lru_cache(maxsize=128)  # A pure function, and Pygments takes a few ms a page.
def shown(root: str, slug: str, key_name: str = KEY_NAME) -> tuple[Shown, ...]:
    """The same with their HTML: spans whose classes app.css has colours for."""
    # Here, because nothing but these pages needs it, and a start should not wait for it.
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    plain = HtmlFormatter(nowrap=True)
    return tuple(
        Shown(sample, Markup(highlight(sample.text, get_lexer_by_name(sample.lexer), plain)))  # noqa: S704  Pygments escapes what it is given.
        for sample in samples(root, slug, key_name)
    )
