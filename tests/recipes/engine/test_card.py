"""What the head of a model card and the lineage say."""

from typing import Any

import torch
from torch import nn

from recipes.engine.handover import card_metadata
from recipes.engine.reproduce import initial_digests


def lineage(**changed: Any) -> dict[str, Any]:
    return {"parent": None, "languages": ["en", "ko"], "licences": ["MIT"], **changed}


def test_the_head_of_a_card_is_in_the_hubs_words() -> None:
    found = card_metadata(lineage(), ["runs/a.jsonl", "hub://owner/name@main:default:train"])
    assert found["license"] == "mit" and found["datasets"] == ["owner/name"]
    assert "base_model" not in found
    parent = lineage(parent="KORMo-Team/KORMo-10B-base@main", licences=["MIT", "Apache-2.0"])
    found = card_metadata(parent, [])
    assert found["base_model"] == "KORMo-Team/KORMo-10B-base" and found["license"] == "other"
    assert "datasets" not in found
    assert "base_model" not in card_metadata(lineage(parent="runs/tiny/stage1/final"), [])


def test_other_initial_weights_are_known_by_any_number() -> None:
    model = nn.Sequential(nn.Embedding(40, 16), nn.Linear(16, 40))
    before = initial_digests(model)
    with torch.no_grad():
        model[1].weight[-1, -1] += 1
    after = initial_digests(model)
    assert after["embedding"] == before["embedding"] and after["others"] != before["others"]
