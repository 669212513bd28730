"""What the head of a model card says."""

from typing import Any

from recipes.engine.handover import card_metadata


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
