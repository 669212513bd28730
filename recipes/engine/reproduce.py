"""`reproduce.json`: what a run was made from and with, and what its steps came to.

`kormo verify` replays the first steps and a later window of a run, and compares.
"""

import hashlib
import os
import platform
import sys
import time
from collections.abc import Mapping
from email import message_from_string
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data_recipes.common.config_files import config_chain
from data_recipes.common.files import (
    git_commit,
    open_staged,
    processor,
    sha256_file,
    write_json_atomically,
)
from data_recipes.tokens.best_fit import BestFitSource, plan_dir
from data_recipes.tokens.mixture import Mixture
from modeling_kormo.views_kormo import PREFIX

from ..config import StageConfig
from ..opened_run import RECIPE, REPRODUCE, Inputs, read_reproduce
from .model_setup import gathered

if TYPE_CHECKING:
    from .trainer import PretrainTrainer

# Steps at the beginning whose losses are kept; a loss kept costs a wait for the device.
FIRST_STEPS = 100
# Steps behind each checkpoint whose losses are kept: the later window that is replayed.
WINDOW_STEPS = 10
_HASHED_STEPS = (1, 10, 100)
_RAPL = Path("/sys/class/powercap")
_FEATURES = ("avx", "fma", "amx", "sve", "asimd", "neon")


def write_recipe(config: Any, directory: Path) -> None:
    """Write the resolved recipe of a stage."""
    with open_staged(directory / RECIPE) as file:
        values = config.model_dump(mode="json")
        yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True)


def list_inputs(config: StageConfig, config_path: Path, mixture: Mixture) -> Inputs:
    """List every file that decides what a stage computes, with its SHA-256.

    Shards have those of their manifests, which opening them has compared.

    Args:
        config: of the stage, whose resolved recipe is written.
        config_path: the YAML that it was read from.
        mixture: of the stage.

    Returns:
        Path and hash by what the file is to the run.
    """
    recipe = config.logging.output_dir / RECIPE
    files = {"resolved recipe": recipe}
    files |= {f"config {path.name}": path for path in config_chain(config_path)}
    for pattern in ("tokenizer*.json", "*.jinja"):
        found = sorted(config.data.tokenizer.glob(pattern))
        files |= {f"tokenizer {path.name}": path for path in found}
    parent = Path(config.model.init_from or "")
    if config.model.init_from and parent.is_dir():
        for pattern in ("config.json", "*.safetensors"):
            files |= {f"parent {path.name}": path for path in sorted(parent.glob(pattern))}
    inputs = {
        name: {"path": str(path), "sha256": sha256_file(path)} for name, path in files.items()
    }
    for name, source in mixture.sources.items():
        hashes = {}
        for file in source.manifest.files:
            hashes |= {file.path: file.sha256, f"{file.path}.index": file.index_sha256}
        if isinstance(source, BestFitSource):
            folder = plan_dir(source.directory, source.sequence_length).name
            hashes |= {f"{folder}/{k}.bin": v for k, v in source.record.sha256.items()}
        for file, sha256 in hashes.items():
            path = str(source.directory / file)
            inputs[f"source {name}: {file}"] = {"path": path, "sha256": sha256}
    return inputs


def digest_weights(model: nn.Module, first_rank: bool) -> str | None:
    """Return the SHA-256 of all parameters: names, shapes and bytes.

    Called on all ranks: sharded parameters are gathered one by one. The first rank alone copies
    and hashes them, 1.5 GB a second, and the others return `None`.
    """
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        whole = gathered(parameter.detach())
        if not first_rank:
            continue
        name = name.removeprefix("module.")  # of a model that DDP wraps
        digest.update(f"{name} {tuple(whole.shape)} {whole.dtype}".encode())
        digest.update(whole.cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest() if first_rank else None


def initial_digests(model: nn.Module) -> dict[str, str]:
    """Digest a random initialisation, to tell whether two runs began alike.

    Every number of every matrix counts, at 1.5 GB a second: 30 s of one rank at 10b. Norms are not
    drawn, and views from a stream of their own: both are left out.

    Returns:
        One digest of the embedding and one of all else, shapes included.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    digests = {"embedding": hashlib.sha256(), "others": hashlib.sha256()}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name.startswith(PREFIX):
            continue
        own = digests["embedding" if id(parameter) in embeddings else "others"]
        own.update(f"{name} {tuple(parameter.shape)}".encode())
        own.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy())
    return {name: digest.hexdigest()[:16] for name, digest in digests.items()}


def processor_features() -> list[str]:
    """List what the processor computes with, of what changes the order of sums."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return sorted(f for f in flags.partition(":")[2].split() if f.startswith(_FEATURES))


def describe_machine() -> dict[str, Any]:
    """Say what the steps of this process are computed on."""
    gpu = torch.cuda.is_available()
    kernel = getattr(torch.nn.attention, "current_flash_attention_impl", lambda: None)()
    return {
        "processor": processor(),
        "features": processor_features(),
        "torch_uses": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "ranks": int(os.environ.get("WORLD_SIZE", "1")),
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "flash_kernel": kernel,  # `None` is torch's own
        "system": platform.platform(),
    }


@cache
def installed_packages() -> Mapping[str, str]:
    """Look up the version of each installed package by its name in lower case."""
    found = {}
    for package in distributions():
        text = package.read_text("METADATA") or package.read_text("PKG-INFO")
        # The fields alone: to parse the long description behind them takes a second in all.
        fields = message_from_string((text or "").partition("\n\n")[0])
        if fields:
            found[fields["Name"].lower()] = fields["Version"]
    return MappingProxyType(found)


def describe_code() -> dict[str, Any]:
    """Say which code computes the steps: commit, lock file and installed packages."""
    installed = installed_packages()
    listed = "\n".join(f"{name}=={version}" for name, version in sorted(installed.items()))
    lock = Path(__file__).parents[2] / "constraints.txt"
    kept = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "safetensors")
    return {
        "commit": git_commit(),
        "constraints_sha256": sha256_file(lock) if lock.is_file() else None,
        "packages_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        "packages": {name: installed[name] for name in kept if name in installed},
        "python": sys.version.split()[0],
    }


class EnergyMeter:
    """Adds up what the processor packages take, where the system lets it be read (Linux, RAPL).

    Everything that runs on them since it was made is counted, not this process alone; GPUs are not.

    Args:
        root: of the system's counters, for tests.
    """

    def __init__(self, root: Path = _RAPL) -> None:
        self._joules = 0.0
        # Zones below a package (intel-rapl:0:1) are parts of it.
        self._zones = [p for p in sorted(root.glob("intel-rapl:*")) if p.name.count(":") == 1]
        self._last = self._counters()

    def _counters(self) -> list[tuple[int, int]] | None:
        """Count of each package and where it comes round, in microjoules."""
        try:
            return [
                tuple(int((z / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
                for z in self._zones
            ] or None
        except (OSError, ValueError):
            return None  # since 2020 most systems let root alone read them

    def read(self) -> float | None:
        """Return the joules so far; `None` where they cannot be read.

        To be called more often than a counter comes round, which takes minutes at full load.
        """
        now = self._counters()
        if now is None or self._last is None:
            return None
        for (before, _), (after, limit) in zip(self._last, now):
            taken = after - before if after >= before else after - before + limit
            self._joules += taken / 1e6
        self._last = now
        return self._joules


class StepRecorder(TrainerCallback):
    """Notes losses, gradient norms and hashes of the weights.

    Args:
        trainer: whose steps they are.
        save_every: steps between checkpoints.
        total: steps of the run.

    Attributes:
        steps: by step, as text for JSON: `loss`, `grad_norm` and at some `weights`.
    """

    def __init__(self, trainer: "PretrainTrainer", save_every: int, total: int) -> None:
        self.trainer, self.total = trainer, total
        self.save_every, self.window = save_every, min(WINDOW_STEPS, save_every)
        self.steps: dict[str, dict[str, Any]] = {}

    def hashes(self, step: int) -> bool:
        """Whether the weights behind a step are hashed: the ends of what can be replayed."""
        later = step > self.window and (step - self.window) % self.save_every == 0
        return step in (*_HASHED_STEPS, self.total) or later

    def records(self, step: int) -> bool:
        """Whether the loss of a step is kept."""
        return step <= FIRST_STEPS or (step - 1) % self.save_every < self.window

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        step = state.global_step
        if self.records(step):
            loss, grad_norm = self.trainer.last_step.tolist()
            self.steps[str(step)] = {"loss": loss, "grad_norm": grad_norm}
        if self.hashes(step):
            weights = digest_weights(self.trainer.model, self.trainer.is_world_process_zero())
            self.steps.setdefault(str(step), {})["weights"] = weights


class ReproduceRecord(StepRecorder):
    """Writes `reproduce.json` while a run trains, and goes on with it when the run does.

    Args:
        trainer: of the run.
        save_every: steps between checkpoints.
        total: steps of the run.
        inputs: what it reads.
        start: step that this attempt goes on from.
    """

    def __init__(
        self, trainer: "PretrainTrainer", save_every: int, total: int, inputs: Inputs, start: int
    ) -> None:
        super().__init__(trainer, save_every, total)
        self.inputs, self.meter, self.begun = inputs, EnergyMeter(), time.monotonic()
        before = read_reproduce(trainer.output_dir) if start else None
        self.seconds, self.joules, self.attempts = 0.0, 0.0, []
        if before:
            self.steps = {k: v for k, v in before["steps"].items() if int(k) <= start}
            self.attempts = [a for a in before["attempts"] if a["from_step"] < start]
            self.seconds, self.joules = before["seconds"], before["joules"]
        self.attempts.append(
            {"from_step": start, "code": describe_code(), "machine": describe_machine()}
        )

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.meter.read()  # often enough that no counter comes round twice

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        super().on_step_end(args, state, control)
        if state.global_step in _HASHED_STEPS:
            self.write()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.write()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.write()

    def write(self) -> None:
        """Write the record. On the first rank only."""
        if not self.trainer.is_world_process_zero():
            return
        joules = self.meter.read()
        known = joules is not None and self.joules is not None
        record = {
            "inputs": self.inputs,
            "attempts": self.attempts,
            "steps": dict(sorted(self.steps.items(), key=lambda item: int(item[0]))),
            "seconds": self.seconds + time.monotonic() - self.begun,
            "joules": self.joules + joules if known else None,
            "joules_of": "processor packages, by RAPL" if known else "not readable here",
        }
        write_json_atomically(self.trainer.output_dir / REPRODUCE, record)
