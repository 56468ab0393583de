"""The auto model: how hard a request looks, and which of several models should answer it. In: texts, facts, models. Out: `AutoChoice`, with the reason.

Pure, no network, a bounded slice of the prompt. The rules, and what they are worth on a labelled set, are in docs/auto-model.md.
Preferences as in https://docs.zenmux.ai/guide/advanced/model-routing.html.
"""

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from trunkline.catalog.types import Model, Offer
from trunkline.ir.facts import RequestFacts
from trunkline.ir.parts import Media, Text, Turn
from trunkline.ir.request import Request
from trunkline.ir.wish import Preference
from trunkline.routing.auto_words import LISTS, PIECES, STEMS
from trunkline.routing.rating import rates

HEAD_CHARS, TAIL_CHARS = 2000, 1000
"""So much of the question is looked at: its beginning and its end."""
BYTES_PER_TOKEN = 3
"""Low on purpose: better a model that is too large than one that the prompt does not fit into."""

MEDIUM_FROM, HARD_FROM = 0.21, 0.46
"""From these scores on a request is called medium, or hard."""
NEEDED = ((0.0, 0.30), (MEDIUM_FROM, 0.55), (HARD_FROM, 0.78))
"""(score, capability that it asks for), steps."""
DOUBT = {"price": 0.03, "balanced": 0.0}
"""What a preference takes off the score: with `price`, what lies close above a step is given to the smaller model. `performance` takes the most capable."""
BEST_WITHIN = 0.03
"""For `performance`: models so close to the most capable count as equal, and the cheapest of them is taken."""


class Features(msgspec.Struct, frozen=True, gc=False):
    """What of a request tells its difficulty. Counts of marks are of the slices that were looked at."""

    question_chars: int
    prompt_bytes: int = 0
    max_output_tokens: int | None = None
    turns: int = 1
    jargon: int = 0
    """Abbreviations, and words with capitals or figures inside."""
    numbers: int = 0
    """Figures that are given: most often conditions to keep."""
    code: int = 0
    """Marks of program text."""
    maths: int = 0
    proof_words: int = 0
    hard_words: int = 0
    expert_words: int = 0
    medium_words: int = 0
    easy_words: int = 0
    parts: int = 0
    """Questions and list items: how many things are asked for at once."""
    scripts: tuple[str, ...] = ()
    """`latin`, `cyrillic`, `cjk`, `kana`, `hangul`, `arabic`, `devanagari`."""
    tools: int = 0
    schema: bool = False
    images: int = 0
    modalities: frozenset[str] = frozenset({"text"})
    needs: tuple[str, ...] = ()
    reasoning: bool = False
    """Asked for."""


class Scored(msgspec.Struct, frozen=True, gc=False):
    score: float
    """0 to 1."""
    reasons: tuple[str, ...]

    @property
    def level(self) -> str:
        return "hard" if self.score >= HARD_FROM else "medium" if self.score >= MEDIUM_FROM else "easy"


class Rated(msgspec.Struct, frozen=True):
    """A model that may be chosen."""

    model: Model
    price_usd: float | None
    """Blended, per million tokens; None: unpriced."""
    capability: float
    """0 to 1, see `capability`."""


class AutoChoice(msgspec.Struct, frozen=True):
    """Slugs, the chosen model first, the others as fallbacks behind it."""

    models: tuple[str, ...]
    reason: str
    score: float = 0.0


# --- what a request looks like

_CODE = re.compile(
    r"```|^\s*(?:def|class|import|from|func|fn|public|private|SELECT|CREATE|#include)\b|[;{}]\s*$|=>|->|::|</\w+>|Traceback|\b\w+\([^)\n]{0,80}\)[;:{]"
    r"|\b\w+Error\b|\bat 0x|\bstd\b",
    re.MULTILINE,
)
_MATHS = re.compile(
    r"\\(?:frac|int|sum|sqrt|lim|mathbb|begin)|[∫∑∏√∞∈∀∃≤≥≠≡⊂∪∩∂∇πλθσ]|\$[^$\n]+\$|\b[a-zA-Z]\^\d|\d\s*[+*/^=]\s*\d|\b[a-z]\s*=\s*[-\d(]|\bmod\b|\bO\("
)
_PARTS = re.compile(r"[??؟]|^\s*(?:[-*•]|\d{1,2}[.)、])\s", re.MULTILINE)
_WORD = re.compile(r"[^\s\d.,;:!?()\[\]{}<>\"'«»„“”‘’।؟،/=+*|]+")
"""Not `\\w`, which parts the vowel signs of Indic scripts from their letters."""
_JARGON = re.compile(r"\b(?:[A-Z]{2,}\w*(?:-\w+)?|[a-z]+[A-Z]\w*|\d+e\d+|§)")
_NUMBER = re.compile(r"(?<![\w.])\d[\d.,]*")
_SCRIPTS = (
    ("latin", re.compile("[A-Za-zÀ-ɏ]")),
    ("cyrillic", re.compile("[Ѐ-ӿ]")),
    ("arabic", re.compile("[؀-ۿ]")),
    ("devanagari", re.compile("[ऀ-ॿ]")),
    ("kana", re.compile("[぀-ヿ]")),
    ("hangul", re.compile("[가-힯]")),
    ("cjk", re.compile("[一-鿿]")),
)
_UNSPACED = frozenset({"kana", "hangul", "cjk"})
_LATIN_PER_UNSPACED = 2.5
"""So many letters say what one character of these scripts does."""
_SHORT_CHARS = 80
_LONGEST_STEM = max(map(len, STEMS))
_EASY = LISTS.index("easy")
_FIRST_WORDS = 6
"""Words of simple tasks count only where a task is named, at the beginning: `who` in the middle asks nothing."""


def features(
    question: str, facts: RequestFacts, *, turns: int = 1, tools: int | None = None, images: int | None = None
) -> Features:
    """Of the caller's last own words and the facts of the request. `tools` and `images` are numbers; None: as the facts say, at least one."""
    text = question if len(question) <= HEAD_CHARS + TAIL_CHARS else question[:HEAD_CHARS] + question[-TAIL_CHARS:]
    scripts = tuple([name for name, pattern in _SCRIPTS if pattern.search(text)])
    proof, hard, expert, medium, easy = _words(text, scripts)
    return Features(
        len(question),
        facts.prompt_bytes,
        facts.max_output_tokens,
        turns,
        len(_JARGON.findall(text)),
        len(_NUMBER.findall(text)),
        len(_CODE.findall(text)),
        len(_MATHS.findall(text)),
        proof,
        hard,
        expert,
        medium,
        easy,
        len(_PARTS.findall(text)),
        scripts,
        int("tools" in facts.needs) if tools is None else tools,
        "response_format" in facts.needs,
        int("image" in facts.modalities) if images is None else images,
        facts.modalities,
        facts.needs,
        "reasoning" in facts.needs,
    )


def features_of(request: Request, facts: RequestFacts) -> Features:
    """Of a request in canonical form: the last turn that holds words of the caller's own is the question."""
    images = sum(type(part) is Media and part.kind == "image" for turn in request.turns for part in turn.parts)
    spoken = sum(turn.role in ("user", "assistant") for turn in request.turns)
    return features(_question(request.turns), facts, turns=spoken, tools=len(request.tools), images=images)


def _question(turns: Sequence[Turn]) -> str:
    for turn in reversed(turns):
        if turn.role == "user":
            texts = [part.text for part in turn.parts if type(part) is Text]
            if texts:
                return "\n".join(texts)
    return ""


def _words(text: str, scripts: tuple[str, ...]) -> list[int]:
    """How many different words there are of each list in `LISTS`."""
    found: list[set[str]] = [set() for _ in LISTS]
    words = _WORD.findall(text.lower())
    first = set(words[:_FIRST_WORDS])
    for word in set(words):
        for stem in [word[:chars] for chars in range(2, min(_LONGEST_STEM, len(word)) + 1)]:
            place = STEMS.get(stem)
            if place is not None and _is_stem(stem, word) and (place != _EASY or word in first):
                found[place].add(stem)
    if not _UNSPACED.isdisjoint(scripts):
        for piece, place in PIECES.items():
            if piece in text:
                found[place].add(piece)
    return [len(words) for words in found]


def _is_stem(stem: str, word: str) -> bool:
    """Short words count only as they stand: `hi` is not in `history`."""
    return len(stem) >= 5 or len(word) <= len(stem) + 1


# --- how hard it is


def difficulty(found: Features) -> Scored:
    """A sum of what each feature adds, held between 0 and 1, with what added to it."""
    chars = found.question_chars * (1 if _UNSPACED.isdisjoint(found.scripts) else _LATIN_PER_UNSPACED)
    length = min(0.38, 0.11 * max(0.0, math.log2((chars + 30) / 60)))
    easy = found.easy_words and (
        chars < _SHORT_CHARS or not (found.proof_words or found.hard_words or found.medium_words)
    )
    parts = [
        (0.12, "any request"),
        (min(length, 0.1) if easy else length, f"{found.question_chars} characters"),
        (min(0.44, 0.32 * found.proof_words), f"{found.proof_words} words of proof"),
        (min(0.44, 0.17 * found.hard_words), f"{found.hard_words} words of hard tasks"),
        (min(0.36, 0.13 * found.expert_words), f"{found.expert_words} words of expert subjects"),
        (min(0.16, 0.1 * found.medium_words), f"{found.medium_words} words of work"),
        (-min(0.3, 0.16 * found.easy_words) if easy else 0.0, f"{found.easy_words} words of simple tasks"),
        (min(0.16, 0.035 * max(0, found.jargon - 1)), f"{found.jargon} abbreviations"),
        (min(0.12, 0.03 * max(0, found.numbers - 1)), f"{found.numbers} figures"),
        (min(0.1, 0.03 * found.code), f"{found.code} marks of code"),
        (min(0.24, 0.08 * found.maths), f"{found.maths} marks of mathematics"),
        (min(0.12, 0.04 * max(0, found.parts - 1)), f"{found.parts} questions or items"),
        (min(0.12, 0.03 * found.tools), f"{found.tools} tools"),
        (0.06 if found.images else 0.0, f"{found.images} images"),
        (0.03 if found.schema else 0.0, "a schema for the answer"),
        (min(0.2, 0.015 * max(0, found.turns - 4)), f"{found.turns} turns"),
        (min(0.2, 0.045 * max(0.0, math.log2(max(1, found.prompt_bytes) / 8192))), f"a prompt of {found.prompt_bytes} bytes"),
        (0.3 if found.reasoning else 0.0, "reasoning was asked for"),
    ]  # fmt: skip
    score = min(1.0, max(0.0, sum(weight for weight, _ in parts)))
    return Scored(round(score, 3), tuple([words for weight, words in parts[1:] if abs(weight) >= 0.03]))


# --- what a model can do

_CHEAPER_EACH_YEAR = 4.0
"""What a given capability costs falls about so many times a year, so a newer model gives more for its price."""
_EPOCH_YEAR = 2024.0
_UNDATED = 2025.5
_REASONING = 2.0
"""A model that reasons counts as one of so many times its price."""
_LOG_LOW, _LOG_SPAN = -1.0, 3.6
UNPRICED_CAPABILITY = 0.2
"""Of models without a price, e.g. on this machine: they are taken for small until the operator rates them."""


def rate(models: Sequence[Model], ratings: Mapping[str, float] | None = None) -> tuple[Rated, ...]:
    """Each model with its best price and its capability. `ratings` (slug -> 0 to 1) are the operator's own and win."""
    known = ratings or {}
    made = []
    for model in models:
        price = best_price_usd(model.offers)
        made.append(Rated(model, price, known.get(model.slug, capability(model, price))))
    return tuple(made)


def capability(model: Model, price_usd: float | None) -> float:
    """An estimate from 0 to 1 out of what the catalog knows: vendors price their models by what they can do, newer ones do more for it.

    Nobody measured it; docs/auto-model.md holds it against published rankings.
    """
    if not price_usd:
        return UNPRICED_CAPABILITY
    year = _UNDATED if model.released_on is None else _year(model.released_on)
    worth = price_usd * _CHEAPER_EACH_YEAR ** (year - _EPOCH_YEAR) * (_REASONING if model.reasoning else 1.0)
    return round(min(1.0, max(0.0, (math.log10(worth) - _LOG_LOW) / _LOG_SPAN)), 3)


def best_price_usd(offers: Sequence[Offer]) -> float | None:
    """The lowest blended price per million tokens, three of the prompt to one of the answer; None where none has both."""
    blended = [price for price in (rates(offer).blended for offer in offers) if price is not None]
    return min(blended, default=None)


def _year(iso_date: str) -> float:
    return int(iso_date[:4]) + (int(iso_date[5:7]) - 1) / 12


# --- which one


def choose(found: Features, candidates: Sequence[Rated], preference: Preference = "balanced") -> AutoChoice:
    """Models best first. Those that cannot do what is needed are left out, unless none can: then the plan says why."""
    scored = difficulty(found)
    able = [one for one in candidates if _is_able(found, one.model)] or list(candidates)
    if not able:
        return AutoChoice((), "no model to choose from", scored.score)
    needed = 0.0
    if preference == "performance":
        top = max(one.capability for one in able) - BEST_WITHIN
        ranked = sorted(
            able, key=lambda one: (one.capability < top, _cost(one) if one.capability >= top else -one.capability)
        )
    else:
        score = max(0.0, scored.score - DOUBT[preference])
        needed = [asked for start, asked in NEEDED if score >= start][-1]
        ranked = sorted(able, key=lambda one: _rank(one, needed))
    return AutoChoice(
        tuple([one.model.slug for one in ranked]), _told(ranked[0], scored, preference, needed), scored.score
    )


def _rank(one: Rated, needed: float) -> tuple[bool, float]:
    """Those that are capable enough, the cheapest first; then the others, the most capable first."""
    enough = one.capability >= needed
    return not enough, _cost(one) if enough else -one.capability


def _cost(one: Rated) -> float:
    return one.price_usd or 0.0


def _is_able(found: Features, model: Model) -> bool:
    tokens = found.prompt_bytes // BYTES_PER_TOKEN + (found.max_output_tokens or 0)
    if "text" not in model.output or (model.context_tokens and tokens > model.context_tokens):
        return False
    if found.reasoning and not model.reasoning:
        return False
    return found.modalities.issubset(model.input) and _supports(found.needs, model)


def _supports(needs: tuple[str, ...], model: Model) -> bool:
    asked = [need for need in needs if need != "reasoning"]
    return not asked or any(
        offer.supported_parameters is None or all(need in offer.supported_parameters for need in asked)
        for offer in model.offers
    )


def _told(one: Rated, scored: Scored, preference: Preference, needed: float) -> str:
    price = "unpriced" if one.price_usd is None else f"{one.price_usd:.2f} USD per million tokens"
    why = "; ".join(scored.reasons) or "nothing that would make it hard"
    need = "the most capable was wished" if preference == "performance" else f"{needed:.2f} needed"
    return f"{one.model.slug} chosen ({preference}): difficulty {scored.score:.2f}, {scored.level} ({why}); capability {one.capability:.2f}, {need}; {price}"
