"""The dataset card says what the manifests and the counts of the steps say."""

import json
from pathlib import Path

from huggingface_hub import DatasetCard

from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare, size_category, write_card
from data_recipes.tokens.shards import read_manifest


def row_of(card: str, *first: str) -> list[str]:
    """Cells of the first row that begins with these cells."""
    start = f"| {' | '.join(first)} |"
    line = next(own for own in card.splitlines() if own.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_sizes_are_named_as_the_hub_does() -> None:
    named = {999: "n<1K", 1000: "1K<n<10K", 10**9: "1B<n<10B", 10**12: "n>1T"}
    assert {number: size_category(number) for number in named} == named


def test_every_prepared_corpus_has_one(data_dir: Path) -> None:
    text = (data_dir / "README.md").read_text(encoding="utf-8")
    card = DatasetCard(text)
    assert card.data.language == ["en", "ko"] and card.data.license == ["apache-2.0"]
    assert card.data.size_categories == ["n<1K"] and "synthetic" in card.data.tags
    for name in ("web_ko", "stories_en"):
        train, heldout = (
            read_manifest(data_dir / "shards" / name / split) for split in ("train", "heldout")
        )
        row = row_of(text, name)
        genre, language = name.split("_")
        assert row[1:4] == [language, "Apache-2.0", f"{genre} grammar"]
        assert row[5:] == [
            f"{n:,}" for n in (train.documents, train.tokens, heldout.documents, heldout.tokens)
        ]
    ko = [read_manifest(data_dir / "shards" / f"{g}_ko" / "train") for g in ("web", "stories")]
    share = ko[0].tokens / (ko[0].tokens + ko[1].tokens)
    assert row_of(text, "ko", "web grammar")[2:] == [f"{ko[0].tokens:,}", f"{share:.1%}"]
    assert "**Not searched for**" in text


def test_the_funnel_and_personal_data_are_those_that_were_counted(data_copy: DataConfig) -> None:
    manifests = prepare(data_copy)
    (stats,) = (data_copy.output_dir / "read" / "web_ko" / "stats").glob("*.json")
    tally = json.loads(stats.read_text())
    tally["reasons"] = {"duplicate": {"documents": 3, "bytes": 1_250_000}}
    tally["counts"]["personal"] = {"e-mail": 2, "telephone": 7}
    tally["documents_rejected"] = 3
    tally["documents_in"] += 3
    stats.write_text(json.dumps(tally))
    text = write_card(data_copy, manifests).read_text(encoding="utf-8")
    assert row_of(text, "read", "duplicate")[2:] == ["3", "1.25"]
    given, kept, removed = (int(cell.replace(",", "")) for cell in row_of(text, "read")[1:4])
    assert removed == 3 and given == kept + 3
    assert row_of(text, "telephone") == ["telephone", "7"] and "Not searched" not in text
