"""What other projects' own scorers say of the transcripts. Runs in their environment, never in ours.

Reads the folder of transcripts, writes one JSON object: benchmark -> scorer -> transcript id -> what it said, where
that is "correct", "wrong" or "unparsed" (an answer it marks as not found), "refused" or "answered" (a screen for
refusals), or for judges' replies "scored" or "unscored". Nothing is downloaded and no model is asked.
Run by benchmarks/graders_vs_peers.py.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Case = dict[str, Any]
Said = dict[str, str]
LETTERS = "ABCD"
SECONDS = 10
LM_EVAL_THINK_END = "</think>"
"""What lm-eval is told of reasoning models (its option ``think_end_token``); Inspect's providers know by themselves."""


def room(package: str) -> Path:
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def key_of(case: Case) -> str:
    return str(case["row"]["answer"]).rsplit("####", maxsplit=1)[-1].strip()


def without_thoughts(text: str) -> str:
    from inspect_ai.model._reasoning import parse_content_with_reasoning

    return str(parse_content_with_reasoning(text)[0])


# --- lm-eval: its task files, its filters and metrics, its cutting at stop words


def lm_eval(cases: list[Case], task_file: str, row: Callable[[Case], Case]) -> dict[str, Said]:
    """Run a task of lm-eval over the transcripts; one entry for each of the task's filters."""
    import datasets
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.utils import postprocess_generated_text
    from lm_eval.tasks._yaml_loader import load_yaml

    rows = datasets.Dataset.from_list([row(case) for case in cases])
    config = load_yaml(room("lm_eval") / "tasks" / task_file)
    splits = {config.get(name) for name in ("test_split", "validation_split", "fewshot_split", "training_split")}
    config["custom_dataset"] = lambda **_: {split: rows for split in splits if split}
    config["num_fewshot"] = 0
    task = ConfigurableTask(config=config)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    for instance, case in zip(task.instances, cases, strict=True):
        until = instance.args[1]["until"]
        instance.resps.append(postprocess_generated_text(case["text"], until, LM_EVAL_THINK_END))
    task.apply_filters()
    said: dict[str, Said] = {}
    for instance, case in zip(task.instances, cases, strict=True):
        for name, read in instance.filtered_resps.items():
            right = task.process_results(instance.doc, [read])["exact_match"]
            # What lm-eval's filters answer where they find nothing.
            missing = "[invalid]" in read
            said.setdefault(name, {})[case["id"]] = "correct" if right else "unparsed" if missing else "wrong"
    return said


def lm_eval_programs(cases: list[Case], *, prefilled: bool) -> Said:
    """Extract as `mbpp_instruct` does and run as its metric does.

    The task's file cannot be imported without a network (it fetches its metric from the hub), so its functions are
    taken from it, and the metric's ``exec`` in a process of its own is repeated here.

    Args:
        cases: the transcripts.
        prefilled: what comes before the first fence and its line are taken off, as if the server had continued the
            prefix "```python" that the task puts in the model's mouth.
    """
    extract = functions(room("lm_eval") / "tasks/mbpp/utils.py", "extract_code_blocks")["extract_code_blocks"]
    said = {}
    for case in cases:
        text = case["text"].split(LM_EVAL_THINK_END)[-1].lstrip()
        if prefilled:
            text = "\n" + (text.partition("```")[2].partition("\n")[2] or text)
        program = extract(text) + "\n" + "\n".join(case["row"]["test_list"])
        runner = "import sys\ntry:\n    exec(sys.argv[1], {})\nexcept BaseException:\n    sys.exit(1)\nprint('passed')"
        said[case["id"]] = "correct" if run([sys.executable, "-c", runner, program]).endswith("passed\n") else "wrong"
    return said


def functions(path: Path, *names: str) -> dict[str, Any]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    found: dict[str, Any] = {"re": re}
    exec(compile(tree, str(path), "exec"), found)
    return found


def run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        return done.stdout
    except subprocess.TimeoutExpired:
        return ""


# --- Inspect: whole evaluations with a model that replays the transcripts


def inspect(
    texts: Iterable[tuple[str, str]], samples: list[Any], *, solver: Any, scorer: Any, judge: bool = False
) -> list[Any]:
    """Evaluate; ``texts`` are (text, finish) by sample, of the model or (``judge``) of the model that grades.

    Args:
        texts: what is replayed, in the samples' order.
        samples: what is asked.
        solver: how it is asked; ignored for judges.
        scorer: how it is scored; for judges, a function from the judge's model to the scorer.
        judge: replay the judge instead of the model.
    """
    from inspect_ai import Task, eval
    from inspect_ai.model import get_model

    # The providers take the thoughts off before anything else sees the text.
    outputs = [output(without_thoughts(text), finish) for text, finish in texts]
    replay = get_model("mockllm/model", custom_outputs=outputs, memoize=False)
    if judge:
        from inspect_ai.solver import generate

        said = [output(sample.metadata["text"], "stop") for sample in samples]
        model = get_model("mockllm/model", custom_outputs=said, memoize=False)
        task = Task(dataset=samples, solver=generate(), scorer=scorer(replay), sandbox="local")
    else:
        model, task = replay, Task(dataset=samples, solver=solver, scorer=scorer, sandbox="local")
    log = eval(task, model=model, max_samples=1, display="none", log_dir="logs", log_level="error", score=True)[0]
    assert log.status == "success", log.error and log.error.message
    assert log.samples is not None
    assert [sample.id for sample in log.samples] == [sample.id for sample in samples]
    return [next(iter(sample.scores.values())) for sample in log.samples]


def output(text: str, finish: str) -> Any:
    from inspect_ai.model import ModelOutput, ModelUsage

    made = ModelOutput.from_content("replay", text, "max_tokens" if finish == "length" else "stop")
    # Where the usage is unknown it is counted with a vocabulary from the network.
    made.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return made


def marked(cases: list[Case], scores: list[Any]) -> Said:
    unread = ("no_response", "invalid_response_format")
    return {
        case["id"]: "correct" if score.value == "C" else "unparsed" if score.reason in unread else "wrong"
        for case, score in zip(cases, scores, strict=True)
    }


def inspect_all(corpus: dict[str, list[Case]]) -> dict[str, dict[str, Said]]:
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import answer, choice, match
    from inspect_ai.solver import generate, multiple_choice
    from inspect_evals.mbpp.mbpp import verify

    def texts(name: str) -> list[tuple[str, str]]:
        return [(case["text"], case["finish"]) for case in corpus[name]]

    letters = [
        Sample(input=c["row"]["question"], choices=c["row"]["choices"], target=LETTERS[c["row"]["answer"]], id=c["id"])
        for c in corpus["mmlu"]
    ]
    numbers = [Sample(input=c["row"]["question"], target=key_of(c), id=c["id"]) for c in corpus["gsm8k"]]
    programs = [Sample(input=c["row"]["prompt"], target=c["row"]["test_list"], id=c["id"]) for c in corpus["mbpp"]]
    ask, say = multiple_choice(cot=True), generate()
    runs = {
        "mmlu": {
            "Inspect multiple_choice + choice()": inspect(texts("mmlu"), letters, solver=ask, scorer=choice()),
            'Inspect answer("letter")': inspect(texts("mmlu"), letters, solver=say, scorer=answer("letter")),
        },
        "gsm8k": {
            "Inspect match(numeric=True)": inspect(texts("gsm8k"), numbers, solver=say, scorer=match(numeric=True)),
            'Inspect answer("line")': inspect(texts("gsm8k"), numbers, solver=say, scorer=answer("line")),
        },
        "mbpp": {"Inspect Evals verify()": inspect(texts("mbpp"), programs, solver=say, scorer=verify())},
    }
    return {
        name: {scorer: marked(corpus[name], scores) for scorer, scores in found.items()} for name, found in runs.items()
    }


# --- simple-evals is not on the package index: what its reading is documented to do, in code of our own


def simple_evals_letters(cases: list[Case]) -> Said:
    """Take off bold and LaTeX marks, then the *first* "Answer:" that a letter follows."""
    marks = re.compile(r"\*\*|\\boxed|\\text|\\math(rm|bf)|\\\(|\$|\{|\}(?=\$)")
    said = {}
    for case in cases:
        found = re.search(r"answer[ \t]*:[ \t]*([a-d])", marks.sub("", case["text"]), re.IGNORECASE)
        right = found is not None and found[1].upper() == LETTERS[case["row"]["answer"]]
        said[case["id"]] = "correct" if right else "unparsed" if found is None else "wrong"
    return said


def simple_evals_numbers(cases: list[Case]) -> Said:
    """Return the last unsigned number after the last "Answer", zeros behind the point taken off."""
    said = {}
    for case in cases:
        _, word, rest = case["text"].rpartition("Answer")
        numbers = re.findall(r"\d+\.?\d*", rest.replace(",", "")) if word else []
        number = numbers[-1].rstrip(".") if numbers else ""
        if "." in number:
            number = number.rstrip("0").rstrip(".")
        right = number == key_of(case).replace(",", "")
        said[case["id"]] = "correct" if right else "wrong" if numbers else "unparsed"
    return said


def main() -> None:
    import screens

    folder, into = map(Path, sys.argv[1:3])
    corpus = screens.read(folder)
    judges = screens.read(folder / "judges")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    said = inspect_all(corpus)
    mmlu, gsm8k, mbpp = corpus["mmlu"], corpus["gsm8k"], corpus["mbpp"]
    tasks = {
        "mmlu": {
            "lm-eval mmlu_generative": "mmlu/generative/mmlu_anatomy.yaml",
            "lm-eval mmlu_flan_cot_zeroshot": "mmlu/flan_cot_zeroshot/mmlu_anatomy.yaml",
        },
        "gsm8k": {
            "lm-eval gsm8k": "gsm8k/gsm8k.yaml",
            "lm-eval gsm8k_cot_zeroshot": "gsm8k/gsm8k-cot-zeroshot.yaml",
        },
    }
    for name, files in tasks.items():
        for title, file in files.items():
            for step, found in lm_eval(corpus[name], file, lambda case: case["row"]).items():
                said[name][f"{title}, {step}"] = found
    said["mmlu"]["simple-evals style"] = simple_evals_letters(mmlu)
    said["gsm8k"]["simple-evals style (MGSM)"] = simple_evals_numbers(gsm8k)
    said["mbpp"]["lm-eval mbpp_instruct"] = lm_eval_programs(mbpp, prefilled=False)
    said["mbpp"]["lm-eval mbpp_instruct, fence prefilled"] = lm_eval_programs(mbpp, prefilled=True)
    for name in screens.SAFETY:
        said[name] = screens.refusals(corpus[name], without_thoughts)
    said["judges"] = screens.judged(judges, inspect)
    into.write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
