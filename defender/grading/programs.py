"""Finding the program in an answer: the last block that defines the tested name, with what it needs from the others.

What counts as code follows the field's practice: code that is there but does not parse, or defines other names, is
handed on and fails when it is run; only an answer without any code has no program. An answer is loaded as a module the
tests import, so what stands under ``if __name__ == "__main__":`` is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from defender.grading.reading import Reading, visible
from defender.grading.sources import bound, longest, needed, parsed, without_main

_FENCE = re.compile(
    r"^[ \t>]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<tag>[\w+.#-]*)[^\n`]*\n(?P<code>.*?)"
    r"(?:^[ \t>]*(?P=mark)[`~]*[ \t]*(?:\n|\Z)|(?P<open>\Z))",
    re.S | re.M,
)
_TAGGED = re.compile(
    r"(?:\[(?P<tag>BEGIN|PYTHON|CODE)\]|<(?P<angle>code|python|answer)>|"
    r"\\begin\{(?P<latex>\w{4,12})\})[ \t]*\n?(?P<code>.*?)"
    r"(?:\[(?:DONE|END|/PYTHON|/CODE)\]|</(?:code|python|answer)>|\\end\{\w{4,12}\}|(?P<open>\Z))",
    re.S | re.I,
)
_INLINE = re.compile(r"(?<!`)`([^`\n]{8,400})`(?!`)")
_PROMPTED = re.compile(r"^[ \t]*(?:>>>|\.\.\.|In \[\d+\]:)(?: |$)", re.M)
_BEGINS = re.compile(r"[ \t]*(?:(?:def|class|async def|import|from)\s+\w|@\w|[A-Za-z_]\w*\s*(?::[^=\n]{1,60})?=[^=])")
_DEFINES = re.compile(r"^[ \t]*(?:async\s+)?(?:def|class)\s+\w+\s*[(:]", re.M)
_FOREIGN = re.compile(r"[{};]\s*$|\b(?:function|public|static|const|let|var|fn|func|#include|return)\b|=>", re.M)
_PROSE_TAGS = frozenset(
    {"text", "txt", "plaintext", "bash", "sh", "shell", "console", "output", "markdown", "md", "json"}
)
_MISTAKEN = re.compile(
    r"\b(?:mistakes?|wrong|incorrect(?:ly)?|buggy|broken|(?:don't|do not|never) (?:write|do|use)|(?:this|which|"
    r"it) fails|will fail|bad|pitfall|(?:won't|would not|doesn't|does not) work)\b",
    re.I,
)
_REPAIRED = re.compile(
    r"\b(?:right|correct(?:ed|ion)?|fix(?:es|ed)?|better|improved|instead|avoids?|prevents?|works)\b", re.I
)
_SENTENCE_END = re.compile(r"[.!?]\s+")
OPEN = "open code"
"""The tier of a program that the answer ends in."""
MAX_STARTS, MAX_BLOCKS = 20, 40
"""Where the search gives up: lines tried as the first of bare code, and blocks looked at, from the end."""


@dataclass(frozen=True, slots=True)
class _Block:
    code: str
    tag: str
    introduced: str
    """The last line of text before it."""
    open: bool
    """Whether the answer ends before it does."""

    @property
    def mistaken(self) -> bool:
        """Whether it is shown as what not to write."""
        first = self.code.lstrip().split("\n", 1)[0]
        words = (_SENTENCE_END.split(self.introduced)[-1], first if first.startswith("#") else "")
        return any(_MISTAKEN.search(said) and not _REPAIRED.search(said) for said in words)


def read_program(text: str, name: str) -> Reading[str]:
    """Find the source that defines ``name`` (a function or class the tests call).

    Tiers: "fenced block", the last one that defines it and is not shown as a mistake; "joined blocks", the same with
    other blocks that define what it uses; "bare lines", the longest run of unfenced lines that parses and defines it;
    "inline code". Where nothing defines it: "other code", the last code there is, which fails when run. "open code":
    any of these that goes on to the answer's end, so that a cut may have taken part of it. Hidden reasoning holds no
    program; prompts of an interactive session are taken off.
    """
    said = visible(text)
    blocks = _blocks(said)
    defining = [block for block in blocks if name in bound(block.code)]
    for block in [b for b in reversed(defining) if not b.mistaken] or defining[::-1]:
        whole = _completed(block, blocks)
        tier = OPEN if block.open else "fenced block" if whole == block.code else "joined blocks"
        return Reading(without_main(whole), tier)
    if (bare := _bare(said, name)) is not None:
        return Reading(without_main(bare), OPEN if said.rstrip().endswith(bare[-40:]) else "bare lines")
    for found in _INLINE.finditer(said):
        if name in bound(found[1]):
            return Reading(found[1], "inline code")
    return _other(said, blocks)


def _blocks(said: str) -> list[_Block]:
    """Return the fenced blocks of an answer, or else those in other brackets."""
    found_all = list(_FENCE.finditer(said)) or list(_TAGGED.finditer(said))
    blocks = []
    for found in found_all[-MAX_BLOCKS:]:
        code = _dedented(found["code"])
        if ">>>" in code and parsed(code) is None:
            code = _unprompted(code)
        if found["open"] is not None and parsed(code) is None:
            code = longest(code.splitlines()) or code
        before = said[max(0, found.start() - 400) : found.start()].rstrip().rsplit("\n", 1)[-1]
        blocks.append(_Block(code.rstrip(), (found["tag"] or "").lower(), before, found["open"] is not None))
    return blocks


def _completed(block: _Block, blocks: list[_Block]) -> str:
    """Put in front of a block the other blocks that define what it uses and lacks; the nearest earlier one counts."""
    place = next(index for index, other in enumerate(blocks) if other is block)
    chosen = [block]
    nearest = [*blocks[:place][::-1], *blocks[place + 1 :]]
    lacking = needed(block.code)
    while lacking:
        giver = next((b for b in nearest if b not in chosen and not b.mistaken and lacking & bound(b.code)), None)
        if giver is None:
            break
        chosen.insert(0, giver)
        lacking = (lacking | needed(giver.code)) - bound(giver.code)
    return "\n\n".join(part.code for part in chosen)


def _bare(said: str, name: str) -> str | None:
    """Return the run of unfenced lines that defines the name, with what comes before it as far as that parses."""
    lines = (_unprompted(said) if _PROMPTED.search(said) else said).splitlines()
    starts = [index for index, line in enumerate(lines) if _BEGINS.match(line)]
    for start in starts[:MAX_STARTS]:
        margin = len(lines[start]) - len(lines[start].lstrip())
        run = []
        for line in lines[start:]:
            if line.strip() and len(line) - len(line.lstrip()) < margin:
                break
            run.append(line[margin:])
        span = longest(run)
        if name in bound(span):
            return span
    return None


def _other(said: str, blocks: list[_Block]) -> Reading[str]:
    """Return code that does not define the name: a block that defines or computes anything, or bare definitions."""
    for block in reversed(blocks):
        tree = parsed(block.code)
        if block.code.strip() and (bound(block.code) if tree else block.tag not in _PROSE_TAGS and _is_code(block)):
            return Reading(block.code, OPEN if block.open else "other code")
    found = _DEFINES.search(said)
    if found is None or blocks:
        return Reading(None, "no program")
    return Reading(said[found.start() :], OPEN)


def _is_code(block: _Block) -> bool:
    return bool(block.tag or _DEFINES.search(block.code) or _FOREIGN.search(block.code))


def _unprompted(code: str) -> str:
    """Take the prompts off an interactive session, and the results it printed."""
    kept, inside = [], False
    for line in code.splitlines():
        prompted = _PROMPTED.match(line)
        # What follows a prompt without one of its own is what was printed, up to an empty line.
        inside = bool(prompted) or (inside and bool(line.strip()))
        if prompted:
            kept.append(line[prompted.end() :])
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _dedented(block: str) -> str:
    lines = [line.removeprefix("> ") if line.startswith("> ") else line for line in block.splitlines()]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines)
