"""Fitting the graph that ships: better than untrained, the shuffled one not, all written down."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from data_recipes.common.errors import RecipeError
from data_recipes.knowledge.triples import write_triples
from data_recipes.knowledge.world import world_graph
from recipes.kge import shuffle_tails, train
from recipes.knowledge_config import KgeConfig


def _config(folder: Path, **more: object) -> KgeConfig:
    triples = folder / "triples.jsonl"
    write_triples(triples, world_graph())
    given = {
        "size": "test",
        "triples": triples,
        "output_dir": folder / "kge",
        "dim": 16,
        "transe": {"epochs": 40, "learning_rate": 2e-2},
        "convkb": {"epochs": 40, "learning_rate": 5e-3, "filters": 4},
        "batch": 64,
    }
    return KgeConfig.model_validate(given | more)


def test_vectors_learn_what_the_graph_says(tmp_path: Path) -> None:
    manifest = train(_config(tmp_path))
    models = manifest["measured"]["models"]
    mrr = {name: record["ranks"]["both"]["mrr"] for name, record in models.items()}
    assert mrr["untrained"] < 0.1
    assert mrr["transe"] > 0.3 and mrr["convkb"] > 0.3
    final = tmp_path / "kge" / "final"
    vectors = load_file(final / "vectors.safetensors")
    assert vectors["entity.weight"].shape == (len(manifest["entities"]), 16)
    assert vectors["relation.weight"].shape == (len(manifest["relations"]), 16)
    assert json.loads((final / "manifest.json").read_text(encoding="utf-8")) == manifest
    # What is there is not made again; other settings are refused.
    assert train(_config(tmp_path)) == manifest
    with pytest.raises(RecipeError, match="dim: was 16, is 8"):
        train(_config(tmp_path, dim=8))


def test_a_shuffled_graph_holds_the_same_entities_and_no_knowledge(tmp_path: Path) -> None:
    graph = world_graph()
    shuffled = shuffle_tails(graph, 0)
    assert shuffled.relations == graph.relations
    true = {t.key for t in graph.triples}
    capitals = [t for t in shuffled.triples if t.relation == "capital"]
    assert len(capitals) == 45 and sum(t.key in true for t in capitals) < 5
    more = {"shuffle_tails": True, "convkb": None}
    mrr = train(_config(tmp_path, **more))["measured"]["models"]["transe"]["ranks"]["both"]["mrr"]
    assert mrr < 0.3


def test_an_empty_test_of_ranks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="held_out 0.001: leaves no fact"):
        train(_config(tmp_path, held_out=0.001, convkb=None))
