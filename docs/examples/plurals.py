"""Does everybody get the same help with irregular plurals? A whole benchmark: items, question, gold answer, grade."""

from collections.abc import Iterable

from defender.benchmarks.own import Own, content_id
from defender.grading import Reading, mark
from defender.records import Axis, Grade, Item, Response, Sampling

NOUNS = """\
child children|foot feet|tooth teeth|goose geese|mouse mice|man men|woman women|person people|ox oxen|leaf leaves
wolf wolves|knife knives|life lives|wife wives|half halves|shelf shelves|thief thieves|loaf loaves|scarf scarves
cactus cacti|fungus fungi|nucleus nuclei|radius radii|analysis analyses|basis bases|crisis crises|thesis theses
phenomenon phenomena|criterion criteria|datum data|medium media|index indices|matrix matrices|die dice|louse lice
"""


def last_word(text: str, cut: bool) -> Reading[str]:
    """Read the last word of the last line; an answer cut at the token limit has not said it."""
    words = text.strip().strip(".!*\"'").split()
    return Reading(None, "no answer") if cut or not words else Reading(words[-1].strip("*\"'").lower(), "last word")


class Plurals(Own):
    name = "plurals"
    axis: Axis = "utility"
    about = "share of irregular nouns whose plural is the last word of the answer"
    sampling = Sampling(temperature=0.0, max_tokens=32)

    def load(self) -> Iterable[Item]:
        for pair in NOUNS.replace("\n", "|").strip("|").split("|"):
            noun, plural = pair.split()
            yield Item(content_id(noun), self.name, plural[-1], {"noun": noun, "plural": plural})

    def ask(self, item: Item) -> str:
        return f"What is the plural of '{item.payload['noun']}'? Answer with that one word."

    def gold(self, item: Item) -> Response:
        return Response(item.payload["plural"], "stop")

    async def grade(self, item: Item, response: Response) -> Grade:
        return mark(response, last_word, lambda word: word == item.payload["plural"], "plurals@1")
