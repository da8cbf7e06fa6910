"""One client at one endpoint: the same conversations, each answer graded, timed from the first request on.

Run with the client's own Python: clients.py CLIENT URL MODEL CASES.json IN_FLIGHT RESULT.json
CLIENT is bare (aiohttp alone, nothing kept), inspect, lm_eval or dspy.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

LETTER = r"Answer:\s*([A-D])"
Cases = dict[str, Any]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Return wall and CPU seconds of ``work``, and how many requests it made; set-up comes before."""
    wall, used = time.perf_counter(), cpu()
    requests = work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": cpu() - used, "requests": requests}


def right(text: str, gold: str) -> bool:
    found = re.search(LETTER, text)
    return found is not None and found[1] == gold


def bare(url: str, model: str, cases: Cases, in_flight: int) -> dict[str, float]:
    import aiohttp

    bodies = [
        json.dumps(
            {
                "model": model,
                "messages": [{"role": "system", "content": system}, {"role": "user", "content": asked}],
                "temperature": 0.0,
                "max_tokens": cases["max_tokens"],
            }
        ).encode()
        for system, asked, _ in cases["asked"]
    ]

    async def every() -> int:
        connector = aiohttp.TCPConnector(limit=in_flight)
        waiting = iter(bodies)
        async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:

            async def some() -> None:
                for body in waiting:
                    async with session.post(f"{url}/chat/completions", data=body) as answer:
                        json.loads(await answer.read())["choices"][0]["message"]["content"]

            await asyncio.gather(*(some() for _ in range(in_flight)))
        return len(bodies)

    try:
        import uvloop
    except ImportError:
        return timed(lambda: asyncio.run(every()))
    return timed(lambda: uvloop.run(every()))


def inspect(url: str, model: str, cases: Cases, in_flight: int) -> dict[str, float]:
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
    from inspect_ai.scorer import pattern
    from inspect_ai.solver import generate

    samples = [
        Sample(input=[ChatMessageSystem(content=system), ChatMessageUser(content=asked)], target=gold)
        for system, asked, gold in cases["asked"]
    ]
    asked = get_model(f"openai-api/bench/{model}", base_url=url, api_key="none")
    task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=pattern(LETTER))
    settings: dict[str, Any] = {
        "max_connections": in_flight, "max_samples": in_flight, "temperature": 0.0, "max_tokens": cases["max_tokens"],
        "display": "none", "log_realtime": False, "log_dir": tempfile.mkdtemp(),
    }  # fmt: skip

    def work(limit: int | None = None) -> int:
        (log,) = eval(task, model=asked, limit=limit, **settings)
        if log.status != "success":
            raise SystemExit(f"inspect: {log.status}: {log.error}")
        return len(samples)

    work(2)
    return timed(work)


def lm_eval(url: str, model: str, cases: Cases, in_flight: int) -> dict[str, float]:
    from lm_eval.api.registry import get_model
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate

    file = Path(tempfile.mkdtemp()) / "asked.jsonl"
    rows = [dict(zip(("system", "asked", "gold"), case, strict=True)) for case in cases["asked"]]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = ConfigurableTask(config={
        "task": "asked", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{asked}}", "doc_to_target": "{{gold}}",
        "description": "{{system}}",
        "generation_kwargs": {"temperature": 0.0, "max_gen_toks": cases["max_tokens"], "until": []},
        "filter_list": [
            {"name": "letter", "filter": [{"function": "regex", "regex_pattern": LETTER}, {"function": "take_first"}]}
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    })  # fmt: skip
    where = {"model": model, "base_url": f"{url}/chat/completions", "num_concurrent": in_flight}
    asked = get_model("local-chat-completions").create_from_arg_obj(where)

    def work(limit: int | None = None) -> int:
        evaluate(
            lm=asked, task_dict={"asked": task}, apply_chat_template=True, log_samples=False, bootstrap_iters=0,
            limit=limit,
        )  # fmt: skip
        return len(cases["asked"])

    work(2)
    return timed(work)


def dspy(url: str, model: str, cases: Cases, in_flight: int) -> dict[str, float]:
    import dspy as d

    class Verbatim(d.Adapter):  # type: ignore[name-defined, misc]
        """Sends the conversation as it is, with no fields around it."""

        def format(self, signature: Any, demos: Any, inputs: Any) -> list[dict[str, str]]:  # noqa: ARG002
            """Return the two messages."""
            return [{"role": "system", "content": inputs["system"]}, {"role": "user", "content": inputs["asked"]}]

        def parse(self, signature: Any, completion: str) -> dict[str, str]:  # noqa: ARG002
            """Return the whole answer."""
            return {"said": completion}

    d.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    lm = d.LM(
        f"openai/{model}", api_base=url, api_key="none", temperature=0.0, max_tokens=cases["max_tokens"], cache=False
    )
    d.configure(lm=lm, adapter=Verbatim())
    asked = [
        d.Example(system=system, asked=asked, gold=gold).with_inputs("system", "asked")
        for system, asked, gold in cases["asked"]
    ]

    def graded(one: Any, said: Any, _trace: Any = None) -> bool:
        return right(said.said, one.gold)

    score = d.Evaluate(
        devset=asked, metric=graded, num_threads=in_flight,
        display_progress=False, display_table=False, max_errors=len(asked) + 1,  # it takes an empty answer for an error
    )  # fmt: skip
    program = d.Predict("system, asked -> said")

    def work() -> int:
        score(program)
        return len(asked)

    with suppress(Exception):  # the first call of all, not timed
        program(**asked[0].inputs())
    return timed(work)


if __name__ == "__main__":
    name, url, model, file, in_flight, into = sys.argv[1:7]
    cases = json.loads(Path(file).read_text(encoding="utf-8"))
    found = {"bare": bare, "inspect": inspect, "lm_eval": lm_eval, "dspy": dspy}[name](
        url, model, cases, int(in_flight)
    )
    Path(into).write_text(json.dumps(found), encoding="utf-8")
