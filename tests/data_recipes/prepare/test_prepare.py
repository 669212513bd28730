"""The chain as its command line runs it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from data_recipes.common.config_files import CONFIGS, apply_override, load_config, read_yaml
from data_recipes.common.errors import RecipeError
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.read.source import ReadConfig
from tests import processes


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run(["-m", "data_recipes", *arguments])


def test_finished_steps_are_kept_and_other_settings_refused(data_copy: DataConfig) -> None:
    output = data_copy.output_dir
    files = {p: p.stat().st_mtime_ns for p in output.rglob("*.ds")}
    assert len(files) == 8
    manifests = prepare(data_copy)
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*.ds")} == files
    assert manifests["web_ko"]["train"].synthesizer == "web grammar"
    for change in ("tokenizer.bpe_entries=900", "shards.heldout_fraction=0.2"):
        own = [f"output_dir={output}", change]
        with pytest.raises(RecipeError, match="other settings"):
            prepare(load_config(output / "recipe.yaml", DataConfig, own))


def test_a_tokenizer_of_text_cleaned_otherwise_is_refused(data_copy: DataConfig) -> None:
    """All that the message of a step says to delete is deleted, and the tokenizer is not."""
    prepare(data_copy)
    changed = data_copy.model_copy(update={"read": ReadConfig(normalise=False)})
    for name in ("read", "shards"):
        shutil.rmtree(data_copy.output_dir / name)
    with pytest.raises(RecipeError, match=r"(?s)tokenizer: made from other .*cleaning.*normalise"):
        prepare(changed)
    record = data_copy.tokenizer_dir / "training.json"
    before = json.loads(record.read_text())
    del before["cleaning"]
    record.write_text(json.dumps(before))
    prepare(changed)  # one of before, which does not say


def test_a_removed_source_is_made_again_the_same(data_copy: DataConfig) -> None:
    before = prepare(data_copy)
    shutil.rmtree(data_copy.shards_dir / "web_ko")
    kept = {p: p.stat().st_mtime_ns for p in data_copy.output_dir.rglob("*.ds")}
    assert len(kept) == 6
    after = prepare(data_copy)
    assert all(p.stat().st_mtime_ns == time for p, time in kept.items())
    for name, splits in after.items():
        for split, manifest in splits.items():
            assert manifest.fingerprint == before[name][split].fingerprint


def test_commands_end_in_one_line(data_dir: Path, tmp_path: Path) -> None:
    recipe = read_yaml(data_dir / "recipe.yaml")
    apply_override(recipe, "shards.heldout_fractoin=0.1")
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(recipe))
    result = command("prepare", "--config", str(tmp_path / "bad.yaml"))
    assert result.returncode == 1 and "did you mean 'heldout_fraction'" in result.stderr
    assert "Traceback" not in result.stderr

    assert command("verify", str(data_dir / "shards")).stdout.count(": ok") == 8
    shutil.copytree(data_dir / "shards", tmp_path / "shards")
    victim = next((tmp_path / "shards" / "web_ko" / "train").glob("*.ds"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    result = command("verify", str(tmp_path / "shards"))
    assert result.returncode == 1 and str(victim) in result.stderr
    assert command("verify", str(tmp_path / "nothing")).returncode == 1


def test_source_that_names_a_missing_file(data_dir: Path, tmp_path: Path) -> None:
    recipe = read_yaml(data_dir / "recipe.yaml") | {"output_dir": str(tmp_path), "corpus": None}
    recipe["sources"][0]["path"] = "/nowhere/*.jsonl"
    with pytest.raises(RecipeError, match="/nowhere"):
        prepare(DataConfig.model_validate(recipe))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "filter={profiles: {ko: {base: ko_eojeol, perplexity: {max: 3}}}}",
            "`perplexity` .*quality",
        ),
        (
            "filter={profiles: {ko: {base: ko_eojeol, datatrove: []}}}",
            "`datatrove` .*over your files",
        ),
        ("filter={profiles: {ko: {base: ko_eojeol, word_lists: []}}}", "`word_lists` .*`spam`"),
        ("deduplicate={method: minhash, max_removed: 0.5}", "`max_removed` .*prints what it kept"),
        ("deduplicate={method: minhash, words: unicode}", "`words` .*method: bff"),
        ("deduplicate={method: exact, max_removed: 0.5}", "`max_removed` .*prints what it kept"),
    ],
)
def test_keys_that_were_dropped_are_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace("` ", "` is no more: ")):
        load_config(CONFIGS / "tiny.yaml", DataConfig, [override])
