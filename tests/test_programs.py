"""Programs in answers of many shapes; each is found, run and called."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from defender.grading import read_program
from defender.grading.sources import bound, needed, without_main

SQUARE = "def f(x):\n    return x * x"

FOUND = {
    "python fence": f"```python\n{SQUARE}\n```",
    "py fence": f"```py\n{SQUARE}\n```",
    "Python fence": f"```Python\n{SQUARE}\n```",
    "python3 fence": f"```python3\n{SQUARE}\n```",
    "fence with a title": f"```python title=square.py\n{SQUARE}\n```",
    "fence without a tag": f"```\n{SQUARE}\n```",
    "tildes": f"~~~python\n{SQUARE}\n~~~",
    "four backticks": f"````python\n{SQUARE}\n````",
    "blank before the tag": f"``` python\n{SQUARE}\n```",
    "fence in a quotation": "> ```python\n> def f(x):\n>     return x * x\n> ```",
    "fence in a list": "1. So:\n   ```python\n   def f(x):\n       return x * x\n   ```",
    "windows line ends": f"```python\r\n{SQUARE}\r\n```\r\n".replace("\n    ", "\r\n    "),
    "fence never closed": f"Sure!\n```python\n{SQUARE}",
    "fence never closed, cut in a call": f"```python\n{SQUARE}\n\nprint(f(",
    "fence never closed, then prose": f"```python\n{SQUARE}\n\nThis function squares its argument.",
    "markdown's indented block": "Use this:\n\n    def f(x):\n        return x * x\n\nIt squares x.",
    "bare lines": f"{SQUARE}",
    "bare lines among prose": f"Here you go:\n{SQUARE}\nHope that helps!",
    "begin and done": f"[BEGIN]\n{SQUARE}\n[DONE]",
    "python brackets": f"[PYTHON]\n{SQUARE}\n[/PYTHON]\n[TESTS]\nassert f(2) == 4\n[/TESTS]",
    "code tag": f"<code>\n{SQUARE}\n</code>",
    "answer tag": f"<answer>\n{SQUARE}\n</answer>",
    "inline": "Use `f = lambda x: x * x` for that.",
    "interpreter prompts": "```\n>>> def f(x):\n...     return x * x\n...\n>>> f(3)\n9\n```",
    "bare prompts": ">>> def f(x):\n...     return x * x\n...\n>>> f(3)\n9",
    "thoughts first": f"<think>\n```python\ndef f(x):\n    return 0\n```\n</think>\n```python\n{SQUARE}\n```",
    "control token behind": f"```python\n{SQUARE}\n```<|im_end|>\n<|im_start|>user\n```python\ndef f(x): return 1\n```",
    "a better one last": f"```python\ndef f(x):\n    return 0\n```\nBetter:\n```python\n{SQUARE}\n```",
    "a mistake last": f"```python\n{SQUARE}\n```\nA common mistake:\n```python\ndef f(x):\n    return x * 2\n```",
    "a mistake last, in a comment": f"```python\n{SQUARE}\n```\n```python\n# wrong\ndef f(x):\n    return 0\n```",
    "a mistake first": f"This fails:\n```python\ndef f(x): return 0\n```\nThe right way:\n```python\n{SQUARE}\n```",
    "usage last": f"```python\n{SQUARE}\n```\nUsage:\n```python\nprint(f(4))\n```",
    "tests last": f"```python\n{SQUARE}\n```\n```python\nassert f(2) == 4\n```",
    "shell before": f"```bash\npip install nothing\n```\n```python\n{SQUARE}\n```",
    "output behind": f"```python\n{SQUARE}\n```\nOutput:\n```\n9\n```",
    "helper in an earlier block": (
        "```python\ndef g(x):\n    return x\n```\n```python\ndef f(x):\n    return g(x) * x\n```"
    ),
    "helper in a later block": (
        "```python\ndef f(x):\n    return g(x) * x\n```\n```python\ndef g(x):\n    return x\n```"
    ),
    "helpers of helpers": (
        "```python\nONE = 1\n```\n```python\ndef g(x):\n    return x * ONE\n```\n"
        "```python\ndef f(x):\n    return g(x) * x\n```"
    ),
    "import in a block of its own": (
        "```python\nimport math\n```\n```python\ndef f(x):\n    return math.prod([x, x])\n```"
    ),
    "main guard that asks": f"```python\n{SQUARE}\n\nif __name__ == '__main__':\n    print(f(int(input())))\n```",
    "doctest in the docstring": (
        '```python\ndef f(x):\n    """Square.\n\n    >>> f(3)\n    9\n    """\n    return x * x\n```'
    ),
    "annotated lambda": (
        "```python\nfrom collections.abc import Callable\nf: Callable[[int], int] = lambda x: x * x\n```"
    ),
    "tuple of functions": "```python\nf, g = (lambda x: x * x), (lambda x: x)\n```",
    "import as": "```python\nfrom operator import index as f_\nf = lambda x: f_(x) * x\n```",
    "class called like a function": (
        "```python\nclass f(int):\n    def __new__(cls, x):\n        return int.__new__(cls, x * x)\n```"
    ),
    "under a condition": "```python\nif True:\n    def f(x):\n        return x * x\nelse:\n    f = None\n```",
    "under try": (
        "```python\ntry:\n    from nowhere import f\nexcept ImportError:\n    def f(x):\n        return x * x\n```"
    ),
    "decorated": "```python\nfrom functools import cache\n\n@cache\ndef f(x):\n    return x * x\n```",
    "escape that warns": '```python\nPATTERN = "\\d"\ndef f(x):\n    return x * x\n```',
}


def called(source: str | None) -> Any:
    assert source is not None
    space: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, "<program>", "exec"), space)
    return space["f"](3)


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_the_program_is_found_and_runs(text: str) -> None:
    assert called(read_program(text, "f").value) == 9


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        (FOUND["python fence"], "fenced block"),
        (FOUND["helper in an earlier block"], "joined blocks"),
        (FOUND["fence never closed"], "open code"),
        (FOUND["bare lines"], "open code"),
        (FOUND["bare lines among prose"], "bare lines"),
        (FOUND["inline"], "inline code"),
        ("```python\ndef g(x):\n    return x\n```", "other code"),
        ("```python\ndef f(x)\n    return x\n```", "other code"),
        ("```javascript\nfunction f(x) {\n  return x * x;\n}\n```", "other code"),
        ("```python\nx = int(input())\nprint(x * x)\n```", "other code"),
        ("def f(x)\n    return x", "open code"),
        ("I would multiply x by itself.", "no program"),
        ("```python\nassert f(2) == 4\n```\nThat is what is asked.", "no program"),
        ("```text\nmultiply x by itself\n```", "no program"),
        ("```bash\npython square.py\n```", "no program"),
        ("I'm sorry, but I can't help with that.", "no program"),
        ("<think>\n```python\ndef f(x): return x * x\n```", "no program"),
        ("", "no program"),
    ],
)
def test_the_tier_says_where_the_program_stood(text: str, tier: str) -> None:
    reading = read_program(text, "f")
    assert reading.tier == tier
    assert (reading.value is None) == (tier == "no program")


def test_no_warning_about_a_model_s_source_reaches_the_user() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_program('```python\ndef f(x):\n    return "\\d" is x\n```', "f").value is not None


def test_bound_names_are_those_of_the_module_alone() -> None:
    source = (
        "import os.path, sys as system\nx: int\ny: int = 1\na, (b, *c) = d\nfor i in e:\n    j = 1\n"
        "with m as n:\n    pass\ndef f():\n    k = 1"
    )
    assert bound(source) == {"os", "system", "y", "a", "b", "c", "i", "j", "n", "f"}
    assert bound("def f(:") == frozenset()


def test_needed_names_are_bound_nowhere_and_no_builtins() -> None:
    assert needed("def f(a, *b):\n    try:\n        return len(a) + g(b, h)\n    except E as e:\n        raise e") == {
        "g",
        "h",
        "E",
    }


def test_only_the_main_guard_is_left_out() -> None:
    assert without_main('x = 1\nif "__main__" == __name__:\n    run()\ny = 2') == "x = 1\ny = 2"
    both = "if __name__ == '__main__':\n    x = 1\nelse:\n    x = 2"
    assert without_main(both) == both
