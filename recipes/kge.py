"""Vectors for a knowledge graph: TransE, then ConvKB from its vectors.

    kormo train kge --config tiny/kge.yaml

Measures ranks on facts that are held out, then fits all facts, and writes entity and relation
vectors (`vectors.safetensors`), the facts they are of (`triples.jsonl`) and a manifest. BOK-VQA's
authors fit all facts too, without ranks (arXiv 2401.06443).
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_recipes.common.config_files import parse_recipe
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    MANIFEST,
    DirectoryLock,
    bind_settings,
    git_commit,
    sha256_file,
    staged_folder,
    write_json_atomically,
)
from data_recipes.knowledge.triples import Graph, Triple, read_triples, write_triples
from recipes.command_line import CONFIGS, exit_on_error
from recipes.knowledge_config import ConvKBConfig, FitConfig, KgeConfig
from recipes.opened_run import FINAL

if TYPE_CHECKING:
    from torch import Tensor

    from modeling_kormo.graph_vectors import TransE

VECTORS, TRIPLES = "vectors.safetensors", "triples.jsonl"
_HITS = (1, 3, 10)


def shuffle_tails(graph: Graph, seed: int) -> Graph:
    """Permute the tails of each relation: the same entities as often, true by chance alone."""
    rng = random.Random(f"tails {seed}")
    by_relation: dict[str, list[Triple]] = defaultdict(list)
    for triple in graph.triples:
        by_relation[triple.relation].append(triple)
    triples = []
    for relation, own in by_relation.items():
        tails = rng.sample([t.tail for t in own], len(own))
        triples += [
            Triple(t.head, relation, tail, f"{t.source}, tails permuted", t.licence)
            for t, tail in zip(own, tails, strict=True)
        ]
    return Graph.of(triples, graph.names)


def as_indices(graph: Graph) -> Tensor:
    """Return the facts as indices into `graph.entities` and `graph.relations`, `[n, 3]`."""
    import torch

    entity = {name: n for n, name in enumerate(graph.entities)}
    relation = {name: n for n, name in enumerate(graph.relations)}
    rows = [(entity[t.head], relation[t.relation], entity[t.tail]) for t in graph.triples]
    return torch.tensor(rows)


def hold_out(facts: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Split facts; those held out have only entities and relations that the rest has too.

    A fact and the same in the other direction, as of neighbours, stay together: one tells the
    other.
    """
    import torch

    ends = facts[:, [0, 2]].sort(dim=1).values
    undirected = torch.stack((ends[:, 0], facts[:, 1], ends[:, 1]), dim=1)
    groups, group = undirected.unique(dim=0, return_inverse=True)
    apart = torch.isin(group, torch.randperm(len(groups))[: round(len(groups) * share)])
    test, rest = facts[apart], facts[~apart]
    ends, relations = set(rest[:, [0, 2]].flatten().tolist()), set(rest[:, 1].tolist())
    kept = [h in ends and t in ends and r in relations for h, r, t in test.tolist()]
    return rest, test[torch.tensor(kept, dtype=torch.bool)]


def fit(model: TransE, facts: Tensor, how: FitConfig, config: KgeConfig, name: str) -> float:
    """Fit a model to facts against corrupted ones.

    TransE takes the margin loss of its paper, ConvKB softplus of scores and of negated ones.

    Returns:
        The mean loss of the last epoch.

    Raises:
        RecipeError: it is no number.
    """
    import torch
    from torch.nn.functional import softplus

    optimizer = torch.optim.Adam(model.parameters(), lr=how.learning_rate)
    entities = model.entity.num_embeddings
    mean = float("nan")
    for _ in tqdm(range(how.epochs), desc=name, unit="epoch"):
        losses = []
        for batch in facts[torch.randperm(len(facts))].split(config.batch):
            corrupt = batch.repeat(config.negatives, 1)
            other = torch.randint(entities, (len(corrupt),))
            side = 2 * (torch.rand(len(corrupt)) < 0.5).long()  # 0 is the head, 2 the tail
            corrupt[torch.arange(len(corrupt)), side] = other
            right, wrong = model(*batch.T), model(*corrupt.T)
            if isinstance(how, ConvKBConfig):
                loss = softplus(-right).mean() + softplus(wrong).mean()
                loss = loss + how.weight_penalty * model.out.weight.square().sum()
            else:
                loss = (how.margin - right.repeat(config.negatives) + wrong).relu().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        mean = sum(losses) / len(losses)
        if not math.isfinite(mean):
            raise RecipeError(f"{name}: the loss is {mean}; lower {name}.learning_rate")
    return mean


def summarise(ranks: Tensor) -> dict[str, float]:
    """Return mean reciprocal rank and the shares of ranks up to 1, 3 and 10."""
    hits = {f"hits@{n}": (ranks <= n).float().mean().item() for n in _HITS}
    return {"mrr": ranks.reciprocal().mean().item(), **hits}


def measure(model: TransE, test: Tensor, facts: Tensor) -> dict[str, dict[str, float]]:
    """Return the filtered ranks of tails, of heads, and of both together."""
    import torch

    from modeling_kormo.graph_vectors import filtered_ranks

    tails, heads = filtered_ranks(model, test, facts)
    both = {"tails": tails, "heads": heads, "both": torch.cat((tails, heads))}
    return {name: summarise(ranks) for name, ranks in both.items()}


def fit_models(graph: Graph, facts: Tensor, config: KgeConfig, test: Tensor | None) -> tuple:
    """Fit TransE and, if asked for, ConvKB from it.

    Returns:
        The last model, and a record per model: CPU seconds, loss and, given a test, its ranks.
    """
    from modeling_kormo.graph_vectors import ConvKB, TransE

    sizes = len(graph.entities), len(graph.relations), config.dim
    everything = as_indices(graph)
    records: dict[str, Any] = {}
    model = TransE(*sizes)
    if test is not None:
        records["untrained"] = {"ranks": measure(model, test, everything)}
    models: list[tuple[str, FitConfig]] = [("transe", config.transe)]
    models += [("convkb", config.convkb)] if config.convkb else []
    for name, how in models:
        if isinstance(how, ConvKBConfig):
            convkb = ConvKB(*sizes, how.filters)
            convkb.start_from(model)
            model = convkb
        began = time.process_time()
        loss = fit(model, facts, how, config, name)
        records[name] = {"loss": loss, "cpu_seconds": round(time.process_time() - began, 1)}
        if test is not None:
            records[name]["ranks"] = measure(model, test, everything)
    return model, records


def train(config: KgeConfig) -> dict[str, Any]:
    """Measure, fit, and write `final/` below the output directory, whole or not at all.

    Returns:
        The manifest; of an earlier run with the same settings if there is one.

    Raises:
        RecipeError: no facts, or a directory that holds other work.
    """
    import torch
    from safetensors.torch import save_file

    graph = read_triples(config.triples)
    if not graph.triples:
        raise RecipeError(f"{config.triples}: no facts")
    if config.shuffle_tails:
        graph = shuffle_tails(graph, config.seed)
    final = config.output_dir / FINAL
    with DirectoryLock(config.output_dir):
        settings = json.loads(config.model_dump_json(exclude={"output_dir", "triples"}))
        settings["triples"] = sha256_file(config.triples)
        remedy = "choose another output_dir, or delete this one"
        bind_settings(config.output_dir, settings, remedy, finished=[FINAL])
        if (final / MANIFEST).is_file():
            return json.loads((final / MANIFEST).read_text(encoding="utf-8"))
        facts = as_indices(graph)
        measured: dict[str, Any] = {}
        torch.manual_seed(config.seed)
        if config.held_out:
            rest, test = hold_out(facts, config.held_out)
            if not len(test):
                raise RecipeError(
                    f"held_out {config.held_out}: leaves no fact to rank of {len(facts)}; raise "
                    "it, or set it to 0"
                )
            _, records = fit_models(graph, rest, config, test)
            measured = {"held_out_facts": len(test), "models": records}
        model, _ = fit_models(graph, facts, config, None)
        manifest = {
            "facts": len(facts),
            "entities": graph.entities,
            "relations": graph.relations,
            "dim": config.dim,
            "measured": measured,
            "settings": settings,
            "commit": git_commit(),
        }
        with staged_folder(final) as folder:
            state = {
                name: value.detach().contiguous() for name, value in model.state_dict().items()
            }
            save_file(state, folder / VECTORS)
            write_triples(folder / TRIPLES, graph)
            write_json_atomically(folder / MANIFEST, manifest)
    return manifest


def main() -> None:
    """Run the command."""
    invocation = parse_recipe(CONFIGS, "kge", KgeConfig, __doc__, "dim=64")
    config = invocation.config
    if invocation.dry_run:
        graph = read_triples(config.triples)
        print(
            f"{len(graph.triples):,} facts, {len(graph.entities):,} entities, "
            f"{len(graph.relations)} relations; "
            f"{(len(graph.entities) + len(graph.relations)) * config.dim:,} numbers in vectors"
        )
        return
    manifest = train(config)
    for name, record in manifest["measured"].get("models", {}).items():
        both = record["ranks"]["both"]
        seconds = f"  {record['cpu_seconds']} CPU s" if "cpu_seconds" in record else ""
        print(f"{name:<10}" + "  ".join(f"{k} {v:.3f}" for k, v in both.items()) + seconds)
    print(config.output_dir / FINAL)


if __name__ == "__main__":
    exit_on_error(main)
