"""Fitting the graph that ships: better than untrained, the shuffled one not, all written down."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from data_recipes.common.errors import RecipeError
from data_recipes.knowledge.triples import write_triples
from data_recipes.knowledge.world import world_graph
from modeling_kormo.graph_vectors import ConvKB, TransE
from recipes import kge
from recipes.kge import as_indices, hold_out, measure, shuffle_tails, summarise, train
from recipes.knowledge_config import KgeConfig


def _config(folder: Path, **more: object) -> KgeConfig:
    folder.mkdir(exist_ok=True)
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


def test_a_shuffled_graph_holds_the_same_entities_and_little_knowledge(tmp_path: Path) -> None:
    graph = world_graph()
    shuffled = shuffle_tails(graph, 0)
    assert shuffled.relations == graph.relations
    true = {t.key for t in graph.triples}
    capitals = [t for t in shuffled.triples if t.relation == "capital"]
    assert len(capitals) == 45 and sum(t.key in true for t in capitals) < 5
    # What tails a relation has is true of it, too, so tails are found; heads are not.
    mrr = []
    for name, shuffled in (("true", False), ("shuffled", True)):
        config = _config(tmp_path / name, shuffle_tails=shuffled, convkb=None)
        ranks = train(config)["measured"]["models"]["transe"]["ranks"]
        mrr.append(ranks["heads"]["mrr"])
    assert mrr[1] < 0.7 * mrr[0]


def test_a_fact_is_not_held_out_while_its_other_direction_is_fitted() -> None:
    """Who borders on France is no test for one who was told that France borders on Spain."""
    torch.manual_seed(0)
    facts = as_indices(world_graph())
    rest, test = hold_out(facts, 0.3)
    known, tested = set(map(tuple, rest.tolist())), set(map(tuple, test.tolist()))
    assert not known & tested and len(tested) > 80
    assert any((t, r, h) in tested for h, r, t in tested)
    assert not any((t, r, h) in known for h, r, t in tested)


def test_ranks_are_summed_up_by_hand() -> None:
    assert summarise(torch.tensor([1.0, 3.0, 4.0, 10.0])) == pytest.approx(
        {"mrr": (1 + 1 / 3 + 1 / 4 + 1 / 10) / 4, "hits@1": 0.25, "hits@3": 0.5, "hits@10": 1.0}
    )
    model, fact = TransE(3, 1, 1), torch.tensor([[0, 0, 2]])
    with torch.no_grad():
        model.entity.weight.copy_(torch.tensor([[0.0], [1.0], [1.1]]))
        model.relation.weight.fill_(1.0)
    ranks = measure(model, fact, fact)  # 1 is a likelier tail of 0; no other is a head of 2
    assert [ranks[side]["mrr"] for side in ("tails", "heads", "both")] == [0.5, 1.0, 0.75]


def test_the_vectors_that_are_written_are_fitted_to_all_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    monkeypatch.setattr(kge, "fit", lambda model, facts, *_: sizes.append(len(facts)) or 0.0)
    manifest = train(_config(tmp_path, convkb=None))
    assert sizes[0] < sizes[1] == manifest["facts"] == len(world_graph().triples)


def test_heads_and_tails_are_corrupted_and_weights_penalised(tmp_path: Path) -> None:
    facts = as_indices(world_graph())
    entities, relations = int(facts[:, [0, 2]].max()) + 1, int(facts[:, 1].max()) + 1
    changed = torch.zeros(3, dtype=torch.long)

    class Watched(ConvKB):
        def forward(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
            given = torch.stack((head, relation, tail), dim=1)
            if len(given) == 2 * len(facts):  # two corrupted ones for each
                changed.add_((given != facts_in_order[0].repeat(2, 1)).sum(0))
            else:
                facts_in_order[:] = [given]
            return super().forward(head, relation, tail)

    facts_in_order: list[Tensor] = []
    sizes = []
    for penalty in (0.0, 1.0):
        convkb = {"epochs": 1, "learning_rate": 1e-2, "weight_penalty": penalty}
        config = _config(tmp_path, batch=len(facts), negatives=2, convkb=convkb)
        torch.manual_seed(0)
        model = Watched(entities, relations, 4, 3)
        kge.fit(model, facts, config.convkb, config, "convkb")
        sizes.append(model.out.weight.square().sum())
    assert changed[1] == 0 and min(changed[0], changed[2]) > 0.8 * len(facts)
    assert sizes[1] < sizes[0]


def test_vectors_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    fit = {"epochs": 3, "learning_rate": 1e30}
    with pytest.raises(RecipeError, match="transe: the loss is (nan|inf); lower transe.learning"):
        train(_config(tmp_path, transe=fit, held_out=0))
    assert not (tmp_path / "kge" / "final").exists()


def test_an_empty_test_of_ranks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="held_out 0.001: leaves no fact"):
        train(_config(tmp_path, held_out=0.001, convkb=None))
