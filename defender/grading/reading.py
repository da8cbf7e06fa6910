"""What a reader found in an answer, and the answer's text without reasoning, control tokens and typographic dress."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

WEAK_TIERS = frozenset({"last number", "option text"})
"""Tiers that no word of the answer marks as its conclusion; a refusal outweighs them."""

_THINK = r"(?:seed:)?(?:think(?:ing)?|thoughts?|scratchpad|inner_monologue)"
_OPEN, _CLOSE = rf"[<\[◁]{_THINK}[>\]▷]", rf"[<\[◁]/{_THINK}[>\]▷]"
_HIDDEN = re.compile(rf"{_OPEN}.*?(?:{_CLOSE}|\Z)", re.S | re.I)
_HIDDEN_HEADLESS = re.compile(rf"\A.*{_CLOSE}", re.S | re.I)
_CHANNEL = re.compile(r"<\|channel\|>(\w+)[^<\n]{0,40}<\|message\|>")
_ROLE = re.compile(
    r"\A(?:\s|<s>|<\|begin_of_text\|>|<\|start\|>assistant|<\|im_start\|>assistant|<start_of_turn>model|"
    r"<\|start_header_id\|>assistant<\|end_header_id\|>|\[/INST\]|<\|assistant\|>|<[|｜]Assistant[|｜]>)+"
)
_STOP = re.compile(
    r"<[|｜](?:im_end|im_start|eot_id|eom_id|endoftext|end_of_text|end|return|start|user|system|assistant|User|"
    r"Assistant|start_header_id|END_OF_TURN_TOKEN|end▁of▁sentence)[|｜]>|</?s>|<end_of_turn>|<start_of_turn>|<eos>|"
    r"\[/?INST\]"
)
# Full-width forms, the ideographic space, enclosed letters and the mathematical alphabets have plain twins.
# Superscripts do as well, but folding "10²" to "102" would change a number, so only these ranges are folded.
_FOLDABLE = re.compile("[\u3000\uff01-\uff5e\uffe0-\uffe6\u2460-\u24ff\U0001d400-\U0001d7ff\U0001f130-\U0001f149]")
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛`´′", "'"),
        **dict.fromkeys("“”„‟″«»「」『』", '"'),
        **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\ufe0f\u20e3", ""),
        **{"【": "(", "】": ")", "。": ".", "،": ",", "٬": ",", "٫": ".", "…": "..."},
        # Letters on a coloured square or disc.
        **{chr(first + i): chr(65 + i) for first in (0x1F150, 0x1F170) for i in range(26)},
    }
)
_FLAG = "[\U0001f1e6-\U0001f1ff]"
_LONE_INDICATOR = re.compile(f"(?<!{_FLAG}){_FLAG}(?!{_FLAG})")
_DIGIT = re.compile(r"(?![0-9])\d")
_GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[\w+.-]*[ \t]*$\n?", re.M)
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|h\d)>", re.I)
_HTML = re.compile(r"</?(?:p|b|strong|i|em|u|div|span|li|ul|ol|code|pre|h\d|sup|sub|mark|center)(?:\s[^<>\n]{0,80})?>")
_TEXT_MACRO = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf|normal)?|math(?:bf|rm|it|sf|tt|bb)|bm|boldsymbol|operatorname|mbox|underline|rm|bf)"
    r"\s*\{([^{}]*)\}"
)
_LATEX_SPACING = re.compile(
    r"\\[,;: ]|\\q?quad\b|\\left(?=[(\[])|\\right(?=[)\]])|\\(?:displaystyle|large|Large|bigl?)\b"
)
_LATEX_FENCE = re.compile(r"\\[()\[\]]|\\(?:begin|end)\{[a-z]{1,12}\*?\}")
_BOLD = re.compile(r"(?<!\d)\*\*|\*\*(?!\d)|__|(?<![\w*])\*(?=[\w(\"'-])([^*\n]{1,200})(?<=[\w.)\"'])\*(?![\w*])")
MOST_NESTED = 8
"""How many macros around one another are unwrapped; answers that loop would otherwise take quadratic time."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """One attempt to read an answer.

    Attributes:
        value: what the answer says, or None when it says nothing readable.
        tier: where it was read ("answer line", "boxed", ...), or why nothing was ("contradictory", "no answer").
    """

    value: T | None
    tier: str


def visible(text: str) -> str:
    """Return what a user sees of an answer: no hidden reasoning, nothing after a control token that ends the turn.

    An unclosed reasoning block hides everything after it; of an answer in channels only the final one is seen. What a
    model writes after its own end-of-turn token is no longer its answer.
    """
    if "<" not in text and "[" not in text and "◁" not in text:
        return text
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [found for found in channels if found[1] == "final"]
        text = text[final[-1].end() :] if final else ""
    text = _HIDDEN_HEADLESS.sub("", _HIDDEN.sub("", text))
    text = _ROLE.sub("", text)
    stop = _STOP.search(text)
    # The line break says that what stands before the token is complete.
    return f"{text[: stop.start()]}\n" if stop else text


def plain(text: str) -> str:
    r"""Return the `visible` answer in ASCII dress: no markdown emphasis, LaTeX or HTML fences, curly quotes.

    ``\boxed{...}`` stays, since it marks a final answer. Digits of other scripts become ASCII digits.
    """
    text = visible(text)
    if not text.isascii():
        text = _ascii_dress(text)
    if "<" in text:
        text = _HTML.sub("", _BREAK.sub("\n", text))
    if "```" in text or "~~~" in text:
        text = _FENCE.sub("", text)
    text = text.replace("`", "'")
    if "\\" in text:
        text = text.replace("\\!", "")
        text = _LATEX_FENCE.sub(" ", _LATEX_SPACING.sub(" ", text))
        for _ in range(MOST_NESTED):
            text, wrapped = _TEXT_MACRO.subn(r"\1", text)
            if not wrapped:
                break
        text = text.replace("\\$", "").replace("\\%", "%")
    text = text.replace("$", "").replace("{,}", ",")
    if "*" in text or "__" in text:
        text = _BOLD.sub(lambda found: found.group(1) or "", text)
    return text.strip()


def ends_open(text: str) -> bool:
    """Say whether an answer cut at the token limit may have been cut within its last word."""
    return not visible(text)[-1:].isspace()


def _ascii_dress(text: str) -> str:
    text = _GROUPED.sub("", unicodedata.normalize("NFC", text))
    text = _FOLDABLE.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)
    text = _LONE_INDICATOR.sub(lambda found: chr(ord(found.group()) - 0x1F1E6 + 65), text)
    text = _DIGIT.sub(lambda found: str(unicodedata.decimal(found.group())), text)
    return text.translate(_TYPOGRAPHY)


def lowered(text: str) -> str:
    """Return ``text`` in small letters, every character in its place."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
