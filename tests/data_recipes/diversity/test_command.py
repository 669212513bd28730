"""The command: what it reads, writes and refuses."""

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.diversity.config import DiversityConfig
from data_recipes.diversity.sample import draw_samples
from data_recipes.read.source import SourceConfig
from tests import processes

from .material import templated, varied

LOOSE = "limits={distinct_3: {least: 0.001}}"


def write(path: Path, texts: list[str], **fields: str) -> Path:
    rows = ({"text": text, **fields} for text in texts)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run(["-m", "data_recipes", "diversity", *arguments])


def source_at(path: Path, synthesizer: str) -> SourceConfig:
    return SourceConfig(
        name=path.stem, path=str(path), language="ko", licence="none", synthesizer=synthesizer
    )


def test_a_collapsed_source_fails_the_build(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", varied(400), synthesizer="rich <b>")
    write(tmp_path / "b.jsonl", templated(400))
    write(tmp_path / "c.jsonl", templated(400, seed=1))
    out = tmp_path / "out"
    result = command(
        "--text", str(tmp_path / "a.jsonl"), "--text", f"poor={tmp_path / 'b.jsonl'}",
        "--text", str(tmp_path / "c.jsonl"), "--out", str(out),
        "limits={compression_ratio: {most: 8}}",
    )  # fmt: skip
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    report = json.loads((out / "diversity.json").read_text())
    names = [sample["synthesizer"] for sample in report["samples"]]
    assert names == ["poor", "rich <b>", "people", "all together"]
    # Text by people is shown and not judged.
    assert report["samples"][2]["values"]["compression_ratio"] > 8
    (line,) = report["breaches"]
    value = report["samples"][0]["values"]["compression_ratio"]
    wanted = f"b.jsonl): compression_ratio is {value:.4g}, must be at most 8"
    assert wanted in line and line in result.stderr
    page = (out / "diversity.html").read_text()
    assert "rich &lt;b&gt;" in page and "rich <b>" not in page and "://" not in page
    assert '<td class="n bad"' in page and f"{value:.3f}</td>" in page
    assert "# Diversity of synthetic text" in (out / "diversity.md").read_text()
    assert len({sample["bytes"] // 1000 for sample in report["samples"]}) == 1


def test_a_recipe_is_looked_at_source_by_source(data_dir: Path, tmp_path: Path) -> None:
    result = command(
        "--recipe", str(data_dir / "recipe.yaml"), "--only", "web_ko", "web_en", "stories_ko",
        "--out", str(tmp_path), LOOSE,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "diversity.json").read_text())
    assert [(s["language"], s["synthesizer"], s["sources"]) for s in report["samples"]] == [
        ("en", "web grammar", ["web_en"]),
        ("ko", "stories grammar", ["stories_ko"]),
        ("ko", "web grammar", ["web_ko"]),
        ("ko", "all together", ["stories_ko", "web_ko"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to look at"),
        (["--only", "x"], "--recipe"),
        (["--text", "=x"], "NAME=PATH"),
        (["--text", "a=nowhere.jsonl"], "no such file"),
        (["--text", "a=x.jsonl", "limits={distinct_9: {least: 1}}"], "no measure distinct_9"),
        (["--text", "a=x.jsonl", "limits={distinct_1: {}}"], "give `least`, `most` or both"),
        (["--text", "a=x.jsonl", "--text-column", "body"], "no column 'body'"),
        (["--text", "a=x.jsonl", "--seed-column", "seed"], "no column 'seed' with the seed"),
        (["--text", "a=x.jsonl", "least_megabytes=1"], "too little to measure"),
        (["--text", "x.jsonl"], "no synthetic text was measured by it; give"),
        (["--text", "a=x.jsonl", "limits={surprise_spread: {least: 1}}"], "with --model"),
    ],
)
def test_mistakes_end_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    from data_recipes import __main__ as program

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.jsonl", varied(100))
    overrides = [own for own in arguments if own.startswith(("limits", "least"))]
    options = [own for own in arguments if own not in overrides]
    given = ["--out", str(tmp_path / "out"), *options, "least_megabytes=0.01", LOOSE, *overrides]
    monkeypatch.setattr(sys, "argv", ["data_recipes", "diversity", *given])
    with pytest.raises(SystemExit, match=message):
        program.main()
    assert not (tmp_path / "out").exists()


def test_a_sample_is_a_fair_share_and_the_same_again(tmp_path: Path) -> None:
    texts = varied(600)
    path = write(tmp_path / "a.jsonl", texts)
    total = sum(len(text.encode()) for text in texts)
    config = DiversityConfig(sample_megabytes=total / 4e6, least_megabytes=0.001)
    (first,), (again,) = (draw_samples([source_at(path, "s")], config) for _ in range(2))
    assert first == again and first.total == total
    assert abs(first.size - total / 4) <= 4
    places = [texts.index(document.text) for document in first.documents[:-1]]
    assert len(places) > 100 and places != sorted(places)
    assert 200 < sum(places) / len(places) < 400
    other = config.model_copy(update={"seed": 1})
    assert draw_samples([source_at(path, "s")], other)[0].documents != first.documents


def test_text_is_measured_as_training_reads_it(tmp_path: Path) -> None:
    texts = [unicodedata.normalize("NFD", text) for text in varied(30)]
    path = write(tmp_path / "a.jsonl", texts)
    (sample,) = draw_samples([source_at(path, "s")], DiversityConfig(least_megabytes=0.001))
    assert {d.text for d in sample.documents} == {*varied(30)} != {*texts}


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    texts = varied(200)
    path = write(tmp_path / "a.jsonl", texts)
    config = DiversityConfig(read_megabytes=0.02, least_megabytes=0.001)
    (sample,) = draw_samples([source_at(path, "s")], config)
    assert 20_000 <= sample.total < 23_000


def test_samples_of_a_language_are_cut_to_the_smallest(tmp_path: Path) -> None:
    large, small = write(tmp_path / "a.jsonl", varied(300)), write(tmp_path / "b.jsonl", varied(60))
    config = DiversityConfig(least_megabytes=0.001)
    samples = draw_samples([source_at(large, "a"), source_at(small, "b")], config)
    assert abs(samples[0].size - samples[1].size) <= 4
    assert all(len(document.text) > 1 for sample in samples for document in sample.documents)
    with pytest.raises(RecipeError, match="b.*too little to measure"):
        draw_samples(
            [source_at(large, "a"), source_at(small, "b")], DiversityConfig(least_megabytes=0.2)
        )


def test_a_model_says_how_surprising_text_is(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_recipes import __main__ as program
    from data_recipes.tokenizer.load import load_tokenizer
    from modeling_kormo import KORMoConfig, KORMoForCausalLM

    tokenizer = load_tokenizer(data_dir / "tokenizer")
    config = KORMoConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, initializer_range=0.5,
    )  # fmt: skip
    KORMoForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    path = write(tmp_path / "x.jsonl", varied(60))
    arguments = ["--text", f"a={path}", "--model", str(tmp_path / "model"), "--out", str(tmp_path)]
    overrides = ["least_megabytes=0.01", "limits={surprise_spread: {least: 0.0}}"]
    sizes = ["model_documents=5", "model_tokens=64"]
    monkeypatch.setattr(sys, "argv", ["data_recipes", "diversity", *arguments, *overrides, *sizes])
    program.main()
    (sample,) = json.loads((tmp_path / "diversity.json").read_text())["samples"]
    bits = sample["bits_per_byte"]
    assert bits["p10"] < bits["mean"] < bits["p90"] and bits["mean"] > 1
    assert sample["values"]["surprise_spread"] > 0
    assert "bits per byte, mean" in (tmp_path / "diversity.html").read_text()
