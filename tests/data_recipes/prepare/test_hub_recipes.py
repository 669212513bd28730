"""The recipes of the real sizes, whole, on small Parquet files in the schemas of their sets."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_recipes.common.config_files import load_config, read_yaml
from data_recipes.decontaminate.config import SHIPPED
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.toy import documents

from ..hand_made import rows_of

QUESTION = "다음 가운데 산업안전보건법에서 정한 사업주의 의무가 아닌 것은 무엇인가?"
SMALL = ["shards.tasks=1", "shards.heldout_fraction=0.3", "executor.workers=1"]
TOKENIZER = ["tokenizer.bpe_entries=400", "tokenizer.megabytes=0.05"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def korean(count: int, seed: int) -> list[str]:
    texts = (t for t in documents("web", "ko", seed) if len(t.split()) > 60)
    return list(islice(texts, count))


def fineweb_rows(texts: list[str]) -> list[dict[str, Any]]:
    """Rows as HuggingFaceFW/fineweb-2 has them."""
    return [
        {
            "text": text,
            "id": f"<urn:uuid:{number:032x}>",
            "dump": "CC-MAIN-2024-10",
            "url": f"https://example.kr/{number}",
            "date": "2024-03-01T00:00:00Z",
            "file_path": "s3://commoncrawl/crawl-data/x.warc.gz",
            "language": "kor",
            "language_score": 0.99,
            "language_script": "Hang",
            "minhash_cluster_size": 1,
            "top_langs": '{"kor_Hang_score": 0.99}',
        }
        for number, text in enumerate(texts)
    ]


def evaluation_sets(root: Path) -> str:
    (root / "items.jsonl").write_text(json.dumps({"question": QUESTION}), encoding="utf-8")
    return f"[{{task: exam, path: '{root / 'items.jsonl'}', columns: [question]}}]"


def test_the_korean_web_recipe(tmp_path: Path) -> None:
    texts = korean(220, 3)
    bad = ["너무 짧다.", " ".join(["1234 5678"] * 60)]
    with_question = f"{texts[200]}\n시험 문제: {QUESTION.replace('정한 사업주', '정한사업주')}"
    web = [*texts[:200], *texts[:15], *bad, with_question]
    path = write(tmp_path / "web" / "000.parquet", fineweb_rows(web))
    good = write(
        tmp_path / "good.parquet",
        [
            {"text": t, "id": str(n)}
            for n, t in enumerate(islice(documents("stories", "ko", 5), 250))
        ],
    )
    source = f"{{name: fineweb2_ko, path: '{path}', language: ko, licence: none}}"
    config = load_config(
        SHIPPED / "web_ko.yaml",
        DataConfig,
        [
            f"output_dir={tmp_path / 'out'}",
            f"sources=[{source}]",
            f"quality.classifiers.ko.positive=[{{path: '{good}'}}]",
            "quality.classifiers.ko.fasttext={dimension: 4, buckets: 1000, epochs: 1}",
            "quality.classifiers.ko.heldout_fraction=0.3",
            "quality.classifiers.ko.threshold={value: 0.0}",
            f"decontaminate.evaluation_sets={evaluation_sets(tmp_path)}",
            "tokenizer.path=null",
            "tokenizer.weights={fineweb2_ko: 1}",
            *TOKENIZER,
            *SMALL,
        ],
    )
    manifests = prepare(config)["fineweb2_ko"]
    rejected = {
        step: rows_of(config.output_dir / step / "fineweb2_ko" / "rejected")
        for step in ("filter", "deduplicate", "quality", "decontaminate")
    }
    assert [row["text"] for row in rejected["filter"]] == bad
    assert {row["id"].rpartition(":")[2] for row in rejected["deduplicate"]} == {
        str(n) for n in range(200, 215)
    }
    assert not rejected["quality"]
    assert [row["text"] for row in rejected["decontaminate"]] == [with_question]
    assert sum(m.documents for m in manifests.values()) == 200


def chat(number: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"What is {number} and {number}?"},
        {"role": "assistant", "content": f"<think>\nTwice {number}.\n</think>\n\n{2 * number}"},
    ]


@pytest.fixture
def local_hub(tmp_path: Path) -> str:
    """The sources of hub.yaml with a Parquet file each in place of the Hub."""
    sources = read_yaml(SHIPPED / "hub.yaml")["sources"]
    streams = {language: documents("web", language, 7) for language in ("ko", "en")}
    for source in sources:
        texts = list(islice(streams[source["language"]], 30))
        if source["name"] == "web_ko":
            texts[4] = f"{texts[4]}\n{QUESTION}\n"
        rows = [{"text": text, "url": "https://example.org"} for text in texts]
        if source.get("template") == "traces":
            rows = [{"uuid": str(n), "messages": chat(n), "reasoning": "on"} for n in range(30)]
        source["path"] = str(write(tmp_path / "hub" / f"{source['name']}.parquet", rows))
    return json.dumps(sources, ensure_ascii=False)


def test_the_recipe_of_kormos_sets_takes_evaluation_out(tmp_path: Path, local_hub: str) -> None:
    config = load_config(
        SHIPPED / "hub.yaml",
        DataConfig,
        [
            f"output_dir={tmp_path / 'out'}",
            f"sources={local_hub}",
            f"decontaminate.evaluation_sets={evaluation_sets(tmp_path)}",
            *TOKENIZER,
            *SMALL,
        ],
    )
    manifests = prepare(config)
    assert len(manifests) == 16
    found = {name: sum(m.documents for m in own.values()) for name, own in manifests.items()}
    assert found == dict.fromkeys(found, 30) | {"web_ko": 29}
    (rejected,) = rows_of(config.output_dir / "decontaminate" / "web_ko" / "rejected")
    assert QUESTION in rejected["text"] and rejected["detail"].startswith("exam, item 0")
