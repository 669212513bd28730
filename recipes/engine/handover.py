"""`final/`: the model directory that one stage hands to the next, with its lineage and card."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from accelerate import Accelerator, init_empty_weights
from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from data_recipes.common.files import (
    git_commit,
    read_settings,
    staged_folder,
    write_json_atomically,
)
from data_recipes.common.references import is_hub_id
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import save_portable, save_tokenizer

from ..inputs import hash_weights
from ..opened_run import FINAL, FINGERPRINT, LINEAGE, RECIPE, REPRODUCE
from ..shared_config import RunLoggingConfig
from .metrics import CURVE, METRICS, read_metrics
from .reproduce import describe_machine, write_recipe

_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "datatrove")


class NamedStage(Protocol):
    """What every stage's config has."""

    stage: str
    size: str
    logging: RunLoggingConfig

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class DataFacts:
    """What the hand-over says of the data.

    Attributes:
        languages: codes.
        licences: of the sources.
        fingerprint: changes whenever the data could.
        table: what went in, for people.
    """

    languages: list[str]
    licences: list[str]
    fingerprint: str
    table: str

    @staticmethod
    def of(sources: Iterable[Any], fingerprint: str, table: str) -> "DataFacts":
        """Gather what sources say, each with a `licence`, and a `language` or `languages`."""
        licences, languages = set(), set()
        for source in sources:
            licences.add(source.licence)
            languages.update(getattr(source, "languages", None) or [source.language])
        return DataFacts(sorted(languages), sorted(licences), fingerprint, table)


@dataclass(frozen=True)
class Trained:
    """What a stage learned from.

    Attributes:
        parent: model directory or Hub id; `None` is a random initialisation.
        parameters: of the model.
        tokens: that the stage trained on.
        data: that they are of.
        tokenizer_sha256: of `tokenizer.json`.
        usage: Python lines of the model card, and what kind of model it is.
        growth: which of its units are new in this stage, if it grew.
        initial_weights: digests of a random initialisation; `None` where weights were loaded.
        views: of multi-token prediction, which are not in the weights.
    """

    parent: str | None
    parameters: int
    tokens: int
    data: DataFacts
    tokenizer_sha256: str | None
    usage: str
    growth: dict[str, Any] | None = None
    initial_weights: dict[str, str] | None = None
    views: dict[str, Any] | None = None


_LOAD = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

# "." is this directory; on the Hub it is OWNER/NAME.
model = AutoModelForCausalLM.from_pretrained(".", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(".")
"""

BASE_USAGE = f"""{_LOAD}```

This is a base model: it continues text, and has had no safety tuning."""

CHAT_USAGE = f"""{_LOAD}messages = [{{"role": "user", "content": "..."}}]
inputs = tokenizer.apply_chat_template(
    messages,
    add_generation_prompt=True,
    enable_thinking=True,
    return_dict=True,
    return_tensors="pt",
)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=512)[0]))
```

`enable_thinking=False` answers at once. It has had no safety tuning."""


SEEING_USAGE = """```python
import modeling_kormo  # or load what `kormo export --as llava` writes, which needs no code
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained(".")
processor = AutoProcessor.from_pretrained(".")
content = [{"type": "image", "image": Image.open("...")}, {"type": "text", "text": "..."}]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True, enable_thinking=False,
    tokenize=True, return_dict=True, return_tensors="pt",
)
print(processor.decode(model.generate(**inputs, max_new_tokens=128)[0]))
```

It has had no safety tuning."""


TOWER_USAGE = """```python
from transformers import SiglipVisionModel

tower = SiglipVisionModel.from_pretrained(".")
```

A vision tower alone: `recipes/vision_align.py` puts it before a language model."""


def made_with() -> dict[str, Any]:
    """Commit, versions and machine, for a lineage."""
    machine = describe_machine()
    return {
        "commit": git_commit(),
        "packages": {name: version(name) for name in _PACKAGES},
        "python": sys.version.split()[0],
        "machine": {name: machine[name] for name in ("processor", "gpu", "threads")},
    }


def read_lineage(model_dir: str) -> dict[str, Any] | None:
    """Lineage of a model directory; `None` for a model that has none, as one from the Hub."""
    path = Path(model_dir) / LINEAGE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def lineage_so_far(model_dir: str) -> dict[str, Any] | None:
    """Lineage of a model directory; of a checkpoint of pretraining, which has none, so far."""
    known, directory = read_lineage(model_dir), Path(model_dir)
    prefix, _, step = directory.name.partition("-")
    if known or prefix != PREFIX_CHECKPOINT_DIR or not step.isdigit():
        return known
    run = read_settings(directory.parent / FINGERPRINT)
    if run is None or "batch" not in run:  # of a chat stage, whose steps differ
        return None
    begun = run["model"]["init_from"]
    before = lineage_so_far(begun) if begun else None
    tokens = int(step) * run["batch"]["tokens_per_step"]
    return {
        "parent": begun,
        "parent_lineage": before,
        "tokens": tokens,
        "tokens_in_all": tokens + (before or {}).get("tokens_in_all", 0),
        "data_fingerprint": run["data"]["fingerprint"],
    }


def _held_out(output_dir: Path) -> dict[str, tuple[float, float]]:
    """First and last value of everything that was measured on held-out data."""
    lines = read_metrics(output_dir)
    keys = {k for m in lines for k in m if k.startswith(("bits_per_byte/", "heldout_"))}
    series = {k: [m[k] for m in lines if k in m] for k in sorted(keys)}
    return {name: (values[0], values[-1]) for name, values in series.items()}


# Licences of data as the Hub spells those that can be a model's.
_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "odc-by")


def card_metadata(lineage: dict[str, Any], datasets: list[str]) -> dict[str, Any]:
    """Say in the Hub's words what a model is.

    Args:
        lineage: of the model.
        datasets: paths of its sources; those on the Hub are named.

    Returns:
        The head of the card. The licence is that of the data if they have one and the same, else
        `other`: the card then lists them.
    """
    licences = {licence.lower() for licence in lineage["licences"]}
    same = next(iter(licences)) if len(licences) == 1 else ""
    ids = (path.removeprefix("hub://").partition(":")[0].partition("@")[0] for path in datasets)
    found = sorted({name for name, path in zip(ids, datasets) if path.startswith("hub://")})
    parent = lineage["parent"]
    on_hub = parent and not Path(parent).exists() and is_hub_id(parent)
    return {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "language": lineage["languages"],
        "license": same if same in _HUB_LICENCES else "other",
        **({"base_model": parent.partition("@")[0]} if on_hub else {}),
        **({"datasets": found} if found else {}),
        "tags": ["kormo"],
    }


def _model_card(
    config: NamedStage, lineage: dict[str, Any], trained: Trained, output_dir: Path
) -> str:
    sources = getattr(getattr(config, "data", None), "sources", [])
    metadata = card_metadata(lineage, [getattr(source, "path", "") for source in sources])
    held_out = "\n".join(
        f"| {name.replace('_', ' ').replace('/', ', ')} | {before:.4f} | {after:.4f} |"
        for name, (before, after) in _held_out(output_dir).items()
    )
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False).strip()}
---

# KORMo {config.size}, {config.stage}

A language model of {lineage["parameters"]:,} parameters, trained with KORMo Recipes.

| | |
|---|---|
| parent | {lineage["parent"] or "random initialisation"} |
| tokens in this stage | {lineage["tokens"]:,} |
| tokens in all | {lineage["tokens_in_all"]:,} |
| commit | {lineage["commit"] or "unknown"} |
| data fingerprint | `{lineage["data_fingerprint"]}` |

## Held out

| | before | after |
|---|---|---|
{held_out}

![loss curve]({CURVE})

## Data

```
{trained.data.table}
```

Licences: {", ".join(lineage["licences"])}.

## Use

{trained.usage}

The resolved recipe is in `{RECIPE}`, the history of the weights in `{LINEAGE}`.
"""


def save_kormo(
    model_config: KORMoConfig,
    generation_config: GenerationConfig,
    state_dict: dict[str, torch.Tensor],
    directory: Path,
) -> None:
    """Write weights, config and modeling code of a KORMo model.

    Args:
        model_config: of the trained model.
        generation_config: goes along.
        state_dict: full (gathered) weights.
        directory: written to.
    """
    # A fresh shell: the trained module may have been wrapped, and its class with it.
    with init_empty_weights():
        shell = KORMoForCausalLM(model_config)
    shell.config.use_cache = True  # off in training
    shell.generation_config = generation_config
    save_portable(shell, directory, state_dict)


def write_final(
    config: NamedStage,
    save_model: Callable[[Path], None],
    tokenizer: PreTrainedTokenizerBase,
    trained: Trained,
) -> None:
    """Write `<output_dir>/final`, whole or not at all, and say where it is. Called on one process.

    Args:
        config: the stage.
        save_model: writes weights and configs into a directory.
        tokenizer: goes along.
        trained: what the stage learned from.
    """
    output_dir = config.logging.output_dir
    final = output_dir / FINAL
    with staged_folder(final) as staging:
        save_model(staging)
        save_tokenizer(tokenizer, staging)

        parent_lineage = read_lineage(trained.parent) if trained.parent else None
        before = lineage_so_far(trained.parent) if trained.parent else None
        # As they were when the run began.
        inputs = (read_settings(output_dir / FINGERPRINT) or {}).get("inputs")
        lineage = {
            "stage": config.stage,
            "size": config.size,
            "parent": trained.parent,
            "parent_lineage": parent_lineage,
            "parameters": trained.parameters,
            "tokens": trained.tokens,
            "tokens_in_all": trained.tokens + (before or {}).get("tokens_in_all", 0),
            **({"growth": trained.growth} if trained.growth else {}),
            **({"views_left_out": trained.views} if trained.views else {}),
            "data_fingerprint": trained.data.fingerprint,
            **({"inputs": inputs} if inputs else {}),
            "tokenizer_sha256": trained.tokenizer_sha256,
            "languages": trained.data.languages,
            "licences": trained.data.licences,
            **made_with(),
            "initial_weights": trained.initial_weights,
            "weights_sha256": hash_weights(staging),
        }
        write_json_atomically(staging / LINEAGE, lineage)
        write_recipe(config, staging)
        for name in (METRICS, CURVE):
            shutil.copy(output_dir / name, staging / name)
        if (output_dir / REPRODUCE).is_file():
            shutil.copy(output_dir / REPRODUCE, staging / REPRODUCE)
        card = _model_card(config, lineage, trained, output_dir)
        (staging / "README.md").write_text(card, encoding="utf-8")
    print(f"model       {final}")
    print(f"loss curve  {output_dir / CURVE}", flush=True)


def leave(accelerator: Accelerator) -> None:
    """End the processes of a run together, once the first has written what it hands over."""
    accelerator.wait_for_everyone()
    if accelerator.num_processes > 1:
        torch.distributed.destroy_process_group()
