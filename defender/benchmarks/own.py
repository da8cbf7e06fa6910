"""A benchmark of one's own: a Python file with one class, named where a shipped benchmark would be."""

from __future__ import annotations

import inspect
import runpy
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from defender.benchmarks.deck import Deck, content_id, kin_of
from defender.contracts import Benchmark, Judge
from defender.errors import ConfigError, DataMissing, DefenderError
from defender.records import Axis, Grade, Item, Response, Sampling, Split, digest_of

__all__ = ["Own", "content_id", "load_own", "own_class"]

SHOWN_DIGITS = 12


class Own(ABC):
    """Base of a benchmark that ships with its user: says the items, the question, the gold answer and the grade.

    A subclass sets ``name`` (a word no shipped benchmark has), ``axis`` and ``about`` (what is estimated, in words),
    and may set ``sampling``. Its constructor takes nothing, or one ``judge`` where answers are to be read by the run's;
    ``rubric`` then says by which rubric a judge model reads (None: StrongREJECT's for safety, else XSTest's).
    ``defender doctor --benchmarks FILE`` proves it.
    """

    name: str
    axis: Axis
    about: str
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=256)
    judge: Judge | None = None
    rubric: str | None = None

    @abstractmethod
    def load(self) -> Iterable[Item]:
        """Yield the items, always the same: ``Item(content_id(...), self.name, stratum, payload)``."""

    @abstractmethod
    def ask(self, item: Item) -> str:
        """Return the user message that poses the item; it must not depend on who asks."""

    @abstractmethod
    async def grade(self, item: Item, response: Response) -> Grade:
        """Grade one response, higher is better: ``grading.mark`` keeps wrong, refused, cut and unreadable apart."""

    def gold(self, item: Item) -> Response | None:  # noqa: ARG002 - not every question has one right answer
        """Return a response that must be graded 1, or None where there is none."""
        return None

    @cached_property
    def deck(self) -> Deck:
        """All items by split. Questions that differ in case and punctuation only never lie in two splits."""
        try:
            found = list(self.load())
        except DefenderError:
            raise
        except Exception as error:
            raise DataMissing(f"benchmark '{self.name}': its items cannot be loaded: {_place(error)}") from error
        for item in found:
            if not isinstance(item, Item) or item.benchmark != self.name:
                raise DataMissing(
                    f"benchmark '{self.name}': expected load() to yield Item(id, '{self.name}', stratum, payload), got "
                    f"{item!r:.120}"
                )
        return Deck.deal(found, lambda item: kin_of(self.ask(item)))

    @property
    def protocol(self) -> str:
        """``about``, and which items these are."""
        said = digest_of(sorted((item.id, self.ask(item)) for item in self.deck.rows))
        return f"{self.about}; {len(self.deck.rows)} rows, sha256 of ids and questions {said[:SHOWN_DIGITS]}"

    def items(self, split: Split) -> Sequence[Item]:
        """Return the items of a split; any prefix is stratified. Raises DataMissing."""
        return self.deck.by_split[split]

    def rows(self) -> Sequence[Item]:
        """Return an item for every row, repeats included. Raises DataMissing."""
        return self.deck.rows


def own_class(path: Path) -> type[Own]:
    """Run a Python file and return the one benchmark it defines.

    Raises:
        ConfigError: no such file, an error in it (with its line), or not exactly one class that is whole.
    """
    if not path.is_file():
        raise ConfigError(f"no benchmark file {path}; give a Python file that defines one (docs/extending.md)")
    name = f"defender_own_{path.stem}"
    try:
        said = runpy.run_path(str(path), run_name=name)
    except Exception as error:
        raise ConfigError(f"benchmark file {path}: {_place(error, path)}") from error
    found = [v for v in said.values() if isinstance(v, type) and issubclass(v, Own) and v.__module__ == name]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        raise ConfigError(
            f"benchmark file {path}: expected one class that derives from defender.benchmarks.own.Own, got {names}"
        )
    lacking = [key for key in ("name", "axis", "about") if not getattr(found[0], key, "")]
    lacking += sorted(getattr(found[0], "__abstractmethods__", ()))
    if lacking:
        raise ConfigError(f"benchmark file {path}: class {found[0].__name__} lacks {', '.join(lacking)}")
    return found[0]


def load_own(path: Path, hand: Callable[[type[Own]], Judge]) -> Benchmark:
    """Make the benchmark of a file; ``hand`` gives the judge where its constructor asks for one. Raises ConfigError."""
    made = own_class(path)
    try:
        benchmark = made(hand(made)) if "judge" in inspect.signature(made).parameters else made()  # type: ignore[call-arg]
    except DefenderError:
        raise
    except Exception as error:
        raise ConfigError(f"benchmark file {path}: {made.__name__}() failed: {_place(error, path)}") from error
    return benchmark


def _place(error: Exception, path: Path | None = None) -> str:
    """Return an error in one line, with the line of the user's file it came from."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is None or frame.filename == str(path)]
    where = f"{Path(own[-1].filename).name} line {own[-1].lineno}: " if own else ""
    return f"{where}{type(error).__name__}: {error}"
