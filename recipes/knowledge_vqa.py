"""Teach a model that sees to answer from a knowledge graph.

    kormo train knowledge_vqa --config tiny/knowledge_vqa.yaml arm=tokens

Loss: cross-entropy of the answer's tokens, plus that of the entity shown and of the relation asked
for, each computed once. GEL-VQA (arXiv 2401.06443) is the arm `classifier`, with its triple
predicted once, its loss taken as it is, and accuracy counted over all questions.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_recipes.common.config_files import parse_recipe
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    MANIFEST,
    SETTINGS,
    DirectoryLock,
    bind_settings,
    git_commit,
    read_settings,
    staged_file,
    staged_folder,
    write_json_atomically,
)
from data_recipes.knowledge.triples import Graph, write_triples
from recipes.command_line import CONFIGS, exit_on_error
from recipes.inputs import Digests, digests
from recipes.kge import TRIPLES, VECTORS
from recipes.knowledge_config import KnowledgeVqaConfig
from recipes.opened_run import FINAL
from recipes.post.knowledge_model import TRAINED_ON, build

if TYPE_CHECKING:
    from modeling_kormo.knowledge_inputs import Asker

_WARM_UP = 0.05
CHECKPOINT = "checkpoint.pt"


def train(config: KnowledgeVqaConfig) -> Path:
    """Train, and write `final/`; goes on from the last checkpoint, with the same result.

    Raises:
        RecipeError: see `build`; or a directory of another run.
    """
    out, final = config.output_dir, config.output_dir / FINAL
    with DirectoryLock(out):
        settings = json.loads(config.model_dump_json(exclude={"output_dir", "log_every"}))
        settings |= _read(config)
        if "inputs" not in (read_settings(out / SETTINGS) or settings):
            settings["inputs"] = None  # a run that began when nobody noted them
        remedy = "choose another output_dir, or delete this one"
        bind_settings(out, settings, remedy, finished=[CHECKPOINT, FINAL])
        if not (final / MANIFEST).is_file():
            from recipes.engine.reproduce import initial_digests  # loads torch

            asker, graph, rows = build(config)
            begun = initial_digests(asker.model)
            _take_steps(config, asker, graph, rows)
            _export(final, asker, graph, settings, config, begun)
            (out / CHECKPOINT).unlink(missing_ok=True)
    return final


def _take_steps(config: KnowledgeVqaConfig, asker: Asker, graph: Graph, rows: dict) -> None:
    import torch

    from modeling_kormo.knowledge_inputs import question_of
    from recipes.engine.metrics import append_metrics, truncate_metrics
    from recipes.post.knowledge_loss import draw_batch, losses, name_vectors

    out, model = config.output_dir, asker.model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    warm = max(1, round(config.steps * _WARM_UP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min((n + 1) / warm, (config.steps - n) / (config.steps - warm))
    )
    first = _resume(out / CHECKPOINT, model, optimizer, schedule)
    truncate_metrics(out, first)
    began = time.perf_counter()
    for step in tqdm(range(first, config.steps), initial=first, total=config.steps):
        torch.manual_seed(config.seed * 1_000_003 + step)  # dropout
        drawn, count = draw_batch(config, rows, step)
        questions = [question_of(row, config.data, config.sees) for row in drawn]
        rng = random.Random(f"vectors {config.seed} {step}")
        naming = name_vectors(asker, graph, count, rng) if count else None
        found = losses(asker, questions, naming)
        optimizer.zero_grad()
        sum(found.values()).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if not norm.isfinite():
            raise RecipeError(f"step {step + 1}: the gradient is {norm:g}; lower learning_rate")
        optimizer.step()
        schedule.step()
        if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
            values = {name: round(value.item(), 5) for name, value in found.items()}
            began, before = time.perf_counter(), began
            values["seconds"] = round(began - before, 3)
            append_metrics(out, {"step": step + 1, **values})
        if (step + 1) % config.save_every == 0:
            _save(out / CHECKPOINT, step + 1, model, optimizer, schedule)


def _export(
    final: Path,
    asker: Asker,
    graph: Graph,
    settings: dict,
    config: KnowledgeVqaConfig,
    begun: dict[str, str],
) -> None:
    from modeling_kormo.vision import save_vision_model
    from recipes.engine.handover import made_with, read_lineage
    from recipes.engine.reproduce import write_recipe
    from recipes.opened_run import LINEAGE

    with staged_folder(final) as folder:
        save_vision_model(asker.model.model, asker.processor, folder)
        asker.model.save(folder)
        write_triples(folder / TRIPLES, graph)
        manifest = json.loads((config.graph / MANIFEST).read_text(encoding="utf-8"))
        made = {"settings": settings, "graph": manifest, "commit": git_commit()}
        write_json_atomically(folder / MANIFEST, made)
        write_recipe(config, folder)
        read = json.dumps(settings["read"], sort_keys=True).encode()
        lineage = {
            "stage": "knowledge_vqa",
            "size": config.size,
            "parent": str(config.init_from) if config.init_from else None,
            "parent_lineage": read_lineage(str(config.init_from)) if config.init_from else None,
            "inputs": settings["inputs"],
            "data_fingerprint": hashlib.sha256(read).hexdigest(),
            **made_with(),
            "initial_weights": begun,
        }
        write_json_atomically(folder / LINEAGE, lineage)


def _read(config: KnowledgeVqaConfig) -> dict[str, Digests]:
    """Digest the files that decide what is learned: other ones of the same name are other work."""
    files = [config.data / f"{name}.jsonl" for name in TRAINED_ON]
    files += [config.graph / name for name in (VECTORS, TRIPLES)]
    read = {Path(path).name: digest for path, digest in digests(files).items()}
    # The manifest tells pictures from others of the same names.
    return {"read": read, "inputs": digests([*files, config.data / MANIFEST])}


def _save(path: Path, step: int, *parts: Any) -> None:
    import torch

    with staged_file(path) as staged:
        torch.save({"step": step, "parts": [part.state_dict() for part in parts]}, staged)


def _resume(path: Path, *parts: Any) -> int:
    """Load the last checkpoint, if there is one; the number of steps that are done."""
    import torch

    if not path.is_file():
        return 0
    saved = torch.load(path, weights_only=True)
    for part, state in zip(parts, saved["parts"], strict=True):
        part.load_state_dict(state)
    return saved["step"]


def _dry_run(config: KnowledgeVqaConfig) -> None:
    asker, graph, rows = build(config)
    sizes = {
        "all": sum(p.numel() for p in asker.model.parameters()),
        "vision model": sum(p.numel() for p in asker.model.model.parameters()),
    }
    known = asker.model.known
    print(f"arm {config.arm}: {config.steps:,} steps of {config.batch} rows")
    print(", ".join(f"{name} {count:,} parameters" for name, count in sizes.items()))
    questions, names = len(rows["train"]), len(rows["names"])
    print(f"{questions:,} questions, {names:,} names, {len(graph.triples):,} facts")
    print(
        f"{len(known.heads)} entities by {len(known.paths) - 1} paths; {len(known.answers)} answers"
    )


def main() -> None:
    """Run the command."""
    invocation = parse_recipe(CONFIGS, "knowledge_vqa", KnowledgeVqaConfig, __doc__, "arm=text")
    if invocation.dry_run:
        _dry_run(invocation.config)
        return
    print(train(invocation.config))


if __name__ == "__main__":
    exit_on_error(main)
