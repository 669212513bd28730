"""The step in its chain: text masked, numbers counted, and nothing personal in any other file."""

import json
from pathlib import Path

import orjson
import pytest

from data_recipes.common.config_files import CONFIGS, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.prepare.chain import clean, folder, settings_of, steps_of
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import PERSONAL

from ..hand_made import rows_of, some_texts

_SECRETS = ("gildong", "2345-6789", "테헤란로")
_TEXT = "홍길동은 gildong@naver.com, 010-2345-6789, 서울 강남구 테헤란로 152에 산다. "


def _recipe(directory: Path, **more: object) -> DataConfig:
    source = {"name": "web_ko", "path": str(directory / "in.jsonl"), "language": "ko"}
    return DataConfig.model_validate(
        {
            "output_dir": directory / "out",
            "sources": [source | {"licence": "mine"}],
            "personal": {},
            "tokenizer": {"bpe_entries": 300, "megabytes": 1, "weights": {"web_ko": 1}},
            "shards": {"heldout_fraction": 0.1},
        }
        | more
    )


def _write(directory: Path) -> list[str]:
    texts = some_texts(6)
    texts[2:2] = [_TEXT + texts[0], _TEXT * 2 + texts[1]]
    lines = (orjson.dumps({"text": text}) for text in texts)
    (directory / "in.jsonl").write_bytes(b"\n".join(lines))
    return texts


def test_masked_text_goes_on_and_only_counts_are_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = _write(tmp_path)
    config = _recipe(tmp_path)
    clean(config)
    own = folder(config, "personal", "web_ko")
    masked = [row["text"] for row in rows_of(own.root / "kept")]
    assert len(masked) == len(texts) and not rows_of(own.root / "rejected")
    assert [m == t for m, t in zip(masked, texts)].count(False) == 2
    assert masked[2].startswith(
        "홍길동은 xxxxxxx@xxxxx.xxx, 000-0000-0000, 서울 강남구 ○○○로 000에 산다."
    )
    assert own.tally().counts[PERSONAL] == {"e-mail": 3, "telephone": 3, "address": 3}
    assert own.tally().counts["personal_documents"] == 2
    printed = "".join(capfd.readouterr())
    assert "2 of 8 documents masked; address 3; e-mail 3; telephone 3" in printed
    # What was read stays in `read`; of all that was written after it, no file has any of it.
    files = [p for p in config.output_dir.rglob("*") if p.is_file() and "read" not in p.parts]
    files += [p for p in (config.output_dir / "read").rglob("*") if p.suffix != ".parquet"]
    assert len([p for p in files if p.is_file()]) > 5
    for path in (p for p in files if p.is_file()):
        content = path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            content = json.dumps(rows_of(own.root / path.parent.name), ensure_ascii=False)
        assert not any(secret in content + printed for secret in _SECRETS), path


def test_it_is_off_unless_the_recipe_says_so(tmp_path: Path) -> None:
    _write(tmp_path)
    config = _recipe(tmp_path, personal=None)
    # What the manifest of a shard records, and so its fingerprint, is what it was without it.
    assert list(settings_of(config)) == ["read"]
    tiny = load_config(CONFIGS / "tiny.yaml", DataConfig, [])
    assert steps_of(tiny) == ["read"]
    for name in ("hub.yaml", "web_ko.yaml"):
        assert steps_of(load_config(CONFIGS / name, DataConfig, []))[1] == "personal"


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(_recipe(tmp_path).model_dump_json(exclude={"personal"}))
    with pytest.raises(RecipeError, match="personal.kinds.*fax"):
        load_config(recipe, DataConfig, ["personal.kinds=[fax]"])
