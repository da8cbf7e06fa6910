"""How often graders agree with a person: ours and other projects' own, over the transcripts in tests/transcripts.

Ours run through each benchmark's `grade` (MBPP in the sandbox). The others run from their packages, in an environment
of their own (build/peers-venv, 1.1 GB, made at first use) and without a network. No judge model runs: of scorers that
ask one, only their screens for refusals and their reading of a judge's reply are compared. The transcripts answer our
wording, which closes with "Answer: X"; Inspect and simple-evals ask for the same, lm-eval's tasks for other words.
Run: make bench, or .venv/bin/python benchmarks/graders_vs_peers.py
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defender.benchmarks.do_not_answer import DoNotAnswer
from defender.benchmarks.gsm8k import GSM8K
from defender.benchmarks.mbpp import MBPP
from defender.benchmarks.mmlu import MMLU
from defender.benchmarks.source import Source
from defender.benchmarks.strong_reject import StrongReject
from defender.benchmarks.xstest import XSTest
from defender.errors import ConfigError
from defender.judges.refusal import Refusal
from defender.judges.rubrics import RUBRICS
from defender.records import Response
from defender.sandbox.sandbox import Sandbox, open_sandbox

ROOT = Path(__file__).parents[1]
TRANSCRIPTS = ROOT / "tests" / "transcripts"
VENV = ROOT / "build" / "peers-venv"
PACKAGES = (
    "lm-eval[api]==0.4.13",
    "inspect-ai==0.3.285",
    "inspect-evals==0.26.0",
    # What the packages below import when their string matching is imported.
    "openai==3.54.0",
    "transformers==5.23.0",
    "google-api-python-client==2.202.0",
    "xdg-base-dirs==6.0.3",
)
BARE = ("garak==0.17.1", "jailbreakeval==0.0.4")
"""Installed without what they depend on, which includes torch; their string matching needs none of it."""

WIDE = 52
ASKED = re.compile(r"^\W*answer\W*:", re.IGNORECASE | re.MULTILINE)

Case = dict[str, Any]
Said = Mapping[str, str]


class Absent(Exception):
    """The other projects cannot be installed here."""


def read(folder: Path) -> dict[str, list[Case]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(folder.glob("*.jsonl"))
    }


def environment() -> Path:
    """Return the Python of the others' environment, made at first use and again when a version here changes.

    Raises:
        Absent: it cannot be made; what was seen.
    """
    python, stamp, wanted = VENV / "bin" / "python", VENV / ".ready", "\n".join((*PACKAGES, *BARE))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing the other projects into {VENV.relative_to(ROOT)} (minutes)", flush=True)
    if shutil.which("uv"):
        make = ["uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)]
        install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        install = [str(python), "-m", "pip", "install", "--quiet"]
    for command in (make, [*install, *PACKAGES], [*install, "--no-deps", *BARE]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Absent((done.stderr or done.stdout).strip()[-600:])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def theirs() -> dict[str, dict[str, Said]]:
    """Return what the others say: benchmark -> scorer -> id -> outcome. Raises Absent."""
    python = environment()
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    surroundings |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "INSPECT_DISABLE_UPDATE_CHECK": "1"}
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "said.json"
        command = [python, ROOT / "benchmarks" / "peers" / "scorers.py", TRANSCRIPTS, into]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=surroundings)
        if done.returncode:
            raise Absent(done.stderr.strip()[-600:])
        said: dict[str, dict[str, Said]] = json.loads(into.read_text(encoding="utf-8"))
    return said


async def ours(corpus: Mapping[str, list[Case]], sandbox: Sandbox | None) -> dict[str, Said]:
    """Return what our graders say: benchmark -> id -> outcome; without MBPP where there is no sandbox."""
    source = Source()
    made: dict[str, Any] = {
        "mmlu": MMLU(source),
        "gsm8k": GSM8K(source),
        "do_not_answer": DoNotAnswer(source, Refusal()),
        "strong_reject": StrongReject(source, Refusal()),
        "xstest": XSTest(source, Refusal("over_refusal")),
    }
    if sandbox is not None:
        made["mbpp"] = MBPP(source, sandbox)
    said: dict[str, Said] = {}
    for name, benchmark in made.items():
        cases = corpus[name]
        responses = [(benchmark.item(case["row"]), Response(case["text"], case["finish"])) for case in cases]
        grades = await asyncio.gather(*(benchmark.grade(item, response) for item, response in responses))
        said[name] = {case["id"]: grade.outcome for case, grade in zip(cases, grades, strict=True)}
    for name in ("do_not_answer", "strong_reject", "xstest"):
        declined = "refused" if name == "xstest" else "safe"
        said[name] = {key: "refused" if got == declined else "answered" for key, got in said[name].items()}
    return said


def our_reading(name: str, cases: list[Case]) -> Said:
    """Return which replies of judge models our rubric of a benchmark turns into a score."""
    said = {}
    for case in cases:
        reply = Response(case["asked"]["ours"], case["finish"])
        score = RUBRICS[name].read(reply, case["question"], case["text"]).score
        said[case["id"]] = "unscored" if score is None else "scored"
    return said


def share(which: list[bool]) -> str:
    return f"{sum(which):4}/{len(which)} {100 * sum(which) / len(which):5.1f} %"


def outcomes(name: str, cases: list[Case], said: Mapping[str, Said]) -> None:
    """Print the table of a benchmark whose answers are right or wrong.

    "lost": correct to a person, not to the scorer; "given": the other way round; "asked form": agreement where the
    response has a line with "Answer:"; "batch 2": agreement on the second batch alone, which was written before our
    graders as corrected on the first were seen; "outcome": agreement on the kind of answer, where kinds are told.
    """
    right = sum(case["outcome"] == "correct" for case in cases)
    asked = name != "mbpp"
    print(f"\n{name}: {len(cases)} transcripts, {right} of them correct")
    titles = f"{'correct or not':>17}{'lost':>6}{'given':>7}{'asked form':>17}{'batch 2':>17}{'outcome':>17}"
    print(f"  {'scorer':{WIDE}}{titles}")
    rows = []
    for scorer, found in said.items():
        pairs = [(case["outcome"], found[case["id"]]) for case in cases]
        agree = [(label == "correct") == (got == "correct") for label, got in pairs]
        lost = sum(label == "correct" != got for label, got in pairs)
        given = sum(label != "correct" == got for label, got in pairs)
        form = [same for same, case in zip(agree, cases, strict=True) if ASKED.search(case["text"])]
        same = [label == got for label, got in pairs]
        finer = share(same) if {got for _, got in pairs} - {"correct", "wrong"} else "-"
        fresh = [same for same, case in zip(agree, cases, strict=True) if case["batch"] == 2]
        line = f"{share(agree):>17}{lost:6}{given:7}{share(form) if asked else '-':>17}{share(fresh):>17}{finer:>17}"
        rows.append((sum(agree), f"  {scorer:{WIDE}}{line}"))
    print("\n".join(line for _, line in sorted(rows, key=lambda row: -row[0])))


def refusals(name: str, cases: list[Case], said: Mapping[str, Said]) -> None:
    """Print the table of a benchmark whose answers decline or do not.

    "missed": declines to a person, not to the screen; "raised": the other way round.
    """
    print(f"\n{name}: {len(cases)} transcripts, {sum(case['refused'] for case in cases)} of them decline")
    print(f"  {'screen':{WIDE}}{'declines or not':>17}{'missed':>8}{'raised':>8}{'batch 2':>17}")
    rows = []
    for screen, found in said.items():
        pairs = [(case["refused"], found[case["id"]] == "refused") for case in cases]
        agree = [label == got for label, got in pairs]
        missed, raised = sum(label > got for label, got in pairs), sum(label < got for label, got in pairs)
        fresh = [same for same, case in zip(agree, cases, strict=True) if case["batch"] == 2]
        rows.append((sum(agree), f"  {screen:{WIDE}}{share(agree):>17}{missed:8}{raised:8}{share(fresh):>17}"))
    print("\n".join(line for _, line in sorted(rows, key=lambda row: -row[0])))


def readings(judges: Mapping[str, list[Case]], said: Mapping[str, Said]) -> None:
    """Print what becomes of judge models' replies."""
    print("\njudge models' replies: those without a readable verdict that become a score, and good ones that do not")
    print(f"  {'reader':{WIDE}}{'bad ones scored':>17}{'good ones lost':>17}")
    for reader, found in said.items():
        cases = judges[reader.partition(":")[0]]
        bad = [found[case["id"]] == "scored" for case in cases if case["flaw"]]
        good = [found[case["id"]] == "unscored" for case in cases if not case["flaw"]]
        print(f"  {reader:{WIDE}}{share(bad):>17}{share(good):>17}")
    for reader, found in said.items():
        flaws = [case["flaw"] for case in judges[reader.partition(":")[0]] if case["flaw"]]
        scored = [case["flaw"] for case in judges[reader.partition(":")[0]] if found[case["id"]] == "scored"]
        named = [flaw for flaw in flaws if flaw in scored]
        if named:
            print(f"  {reader} scores: {', '.join(named)}")


def main() -> None:
    corpus, judges = read(TRANSCRIPTS), read(TRANSCRIPTS / "judges")
    try:
        sandbox = open_sandbox()
    except ConfigError as missing:
        print(f"mbpp: no sandbox here ({str(missing).splitlines()[0]})")
        sandbox = None
    mine = asyncio.run(ours(corpus, sandbox))
    if sandbox is not None:
        sandbox.close()
    try:
        others = theirs()
    except Absent as why:
        print(f"only ours below, for the other projects cannot run here:\n{why}")
        others = {}
    wrong = []
    for name in ("mmlu", "gsm8k", "mbpp", "do_not_answer", "strong_reject", "xstest"):
        cases, said = corpus[name], {**({"defender": mine[name]} if name in mine else {}), **others.get(name, {})}
        (refusals if "refused" in cases[0] else outcomes)(name, cases, said)
        for case in cases if name in mine else ():
            label = case.get("outcome") or ("refused" if case["refused"] else "answered")
            wrong += [f"{case['id']} ({label}, not {got})"] if (got := mine[name][case["id"]]) != label else []
    read_by_us = {f"{name}: defender": our_reading(name, cases) for name, cases in judges.items()}
    readings(judges, dict(sorted({**read_by_us, **others.get("judges", {})}.items())))
    print(f"\nwhere defender disagrees with a person: {', '.join(wrong) or 'nowhere'}")


if __name__ == "__main__":
    main()
