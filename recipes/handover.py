"""`final/`: the model directory that one stage hands to the next, with its lineage and card."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import init_empty_weights
from transformers import GenerationConfig, PreTrainedTokenizerBase

from data_recipes.manifest import sha256_file, write_json_atomically
from data_recipes.mixture import Mixture, format_plan
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import save_portable

from .config import StageConfig
from .flops import count_parameters
from .metrics import CURVE, METRICS, read_metrics
from .schedule import Steps

FINAL = "final"
LINEAGE = "lineage.json"
RECIPE = "recipe.yaml"
_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "datatrove")


def read_lineage(model_dir: str) -> dict[str, Any] | None:
    """Lineage of a model directory; `None` for a model that has none, as one from the Hub."""
    path = Path(model_dir) / LINEAGE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def git_commit() -> str | None:
    """Commit of the recipes, with `+changes` if the tree differs; `None` outside a checkout."""
    root = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if status.strip() else commit


def _held_out(output_dir: Path) -> dict[str, tuple[float, float]]:
    lines = read_metrics(output_dir)
    keys = {k for m in lines for k in m if k.startswith("bits_per_byte/")}
    series = {k.split("/")[1]: [m[k] for m in lines if k in m] for k in sorted(keys)}
    return {language: (values[0], values[-1]) for language, values in series.items()}


def _model_card(config: StageConfig, lineage: dict[str, Any], table: str, output_dir: Path) -> str:
    languages = "\n".join(f"- {language}" for language in lineage["languages"])
    held_out = "\n".join(
        f"| {language} | {before:.4f} | {after:.4f} |"
        for language, (before, after) in _held_out(output_dir).items()
    )
    return f"""---
library_name: transformers
pipeline_tag: text-generation
language:
{languages}
tags:
- kormo
---

# KORMo {config.size}, {config.stage}

A KORMo language model of {lineage["parameters"]:,} parameters, trained with KORMo Recipes.

| | |
|---|---|
| parent | {lineage["parent"] or "random initialisation"} |
| tokens in this stage | {lineage["tokens"]:,} |
| tokens in all | {lineage["tokens_in_all"]:,} |
| commit | {lineage["commit"] or "unknown"} |
| data fingerprint | `{lineage["data_fingerprint"]}` |

## Held-out bits per byte

| language | before | after |
|---|---|---|
{held_out}

![loss curve]({CURVE})

## Data

```
{table}
```

Licences: {", ".join(lineage["licences"])}.

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(".")
```

The resolved recipe is in `{RECIPE}`, the history of the weights in `{LINEAGE}`. This is a base
model: it continues text, and has had no safety tuning.
"""


def write_final(
    config: StageConfig,
    model_config: KORMoConfig,
    generation_config: GenerationConfig,
    state_dict: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    mixture: Mixture,
    steps: Steps,
) -> Path:
    """Write `<output_dir>/final`, whole or not at all. Called on one process.

    Args:
        config: the stage.
        model_config: of the trained model.
        generation_config: goes along.
        state_dict: full (gathered) weights.
        tokenizer: goes along.
        mixture: for fingerprint, languages and licences.
        steps: steps trained.

    Returns:
        The directory.
    """
    output_dir = config.logging.output_dir
    staging = output_dir / f"{FINAL}.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    # A fresh shell: the trained module may have been wrapped, and its class with it.
    with init_empty_weights():
        shell = KORMoForCausalLM(model_config)
    shell.config.use_cache = True  # off in training
    shell.generation_config = generation_config
    save_portable(shell, staging, state_dict)
    tokenizer.save_pretrained(staging)

    rows = mixture.plan(steps.total * config.batch.windows_per_step)
    parent = config.model.init_from
    parent_lineage = read_lineage(parent) if parent else None
    tokens = steps.total * config.batch.tokens_per_step
    weights = sorted(staging.glob("*.safetensors"))
    lineage = {
        "stage": config.stage,
        "size": config.size,
        "parent": parent,
        "parent_lineage": parent_lineage,
        "parameters": count_parameters(model_config),
        "tokens": tokens,
        "tokens_in_all": tokens + (parent_lineage["tokens_in_all"] if parent_lineage else 0),
        "data_fingerprint": mixture.fingerprint,
        "tokenizer_sha256": mixture.tokenizer_sha256,
        "languages": sorted({r.language for r in rows}),
        "licences": sorted({r.licence for r in rows}),
        "commit": git_commit(),
        "packages": {name: version(name) for name in _PACKAGES},
        "python": sys.version.split()[0],
        "weights_sha256": {p.name: sha256_file(p) for p in weights},
    }
    write_json_atomically(staging / LINEAGE, lineage)
    resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (staging / RECIPE).write_text(resolved, encoding="utf-8")
    for name in (METRICS, CURVE):
        shutil.copy(output_dir / name, staging / name)
    table = format_plan(rows, config.batch.sequence_length)
    card = _model_card(config, lineage, table, output_dir)
    (staging / "README.md").write_text(card, encoding="utf-8")
    final = output_dir / FINAL
    os.replace(staging, final)
    return final
