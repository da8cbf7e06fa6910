"""What a reader found in an answer, and the answer's text without its typographic dress."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

# Full-width forms, the ideographic space, enclosed letters and the mathematical alphabets have plain twins.
# Superscripts do as well, but folding "10²" to "102" would change a number, so only these ranges are folded.
_FOLDABLE = re.compile("[\u3000\uff01-\uff5e\uffe0-\uffe6\u2460-\u24ff\U0001d400-\U0001d7ff]")
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛`´′", "'"),
        **dict.fromkeys("“”„‟″«»", '"'),
        **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
    }
)
_GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_HIDDEN = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.S | re.I)
_HIDDEN_HEADLESS = re.compile(r"\A.*</think(?:ing)?>", re.S | re.I)
_TEXT_MACRO = re.compile(r"\\(?:text(?:bf|it|rm|tt|sf)?|math(?:bf|rm|it|sf|tt)|operatorname|mbox|rm|bf)\s*\{([^{}]*)\}")
_LATEX_SPACING = re.compile(r"\\[,;:! ]|\\q?quad\b|\\left(?=[(\[])|\\right(?=[)\]])")
_LATEX_FENCE = re.compile(r"\\[()\[\]]")
_BOLD = re.compile(r"(?<!\d)\*\*|\*\*(?!\d)|__|(?<![\w*])\*(?=[\w(\"'])([^*\n]*)(?<=[\w.)\"'])\*(?![\w*])")


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """One attempt to read an answer.

    Attributes:
        value: what the answer says, or None when it says nothing readable.
        tier: where it was read ("answer line", "boxed", ...), or why nothing was ("contradictory", "no answer").
    """

    value: T | None
    tier: str


def plain(text: str) -> str:
    r"""Return the visible answer in ASCII dress: no hidden reasoning, markdown emphasis, LaTeX fences or curly quotes.

    ``\boxed{...}`` stays, since it marks a final answer. Digits of other scripts become ASCII digits. An unclosed
    reasoning block hides everything after it.
    """
    text = _HIDDEN_HEADLESS.sub("", _HIDDEN.sub("", text))
    text = _GROUPED.sub("", text)
    text = _FOLDABLE.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)
    text = text.translate(_TYPOGRAPHY)
    text = _LATEX_FENCE.sub("", _LATEX_SPACING.sub(" ", text))
    unwrapped = _TEXT_MACRO.sub(r"\1", text)
    while unwrapped != text:
        text, unwrapped = unwrapped, _TEXT_MACRO.sub(r"\1", unwrapped)
    text = text.replace("\\$", "").replace("$", "").replace("{,}", ",")
    return _BOLD.sub(lambda found: found.group(1) or "", text).strip()
