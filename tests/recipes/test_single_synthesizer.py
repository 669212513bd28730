"""The single-synthesizer experiment: what its runs share, and a small one from start to end."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from recipes.command_line import CONFIGS
from recipes.single_synthesizer import ExperimentConfig, main, plan
from recipes.single_synthesizer_report import Run, table
from tests.conftest import SMALL, environment

SHIPPED = CONFIGS / "single_synthesizer"
SHORT = {
    "schedule.total_tokens": 4096,
    "logging.eval_every_tokens": 2048,
    "logging.save_every_tokens": 4096,
    "model.init_from": None,
}


def small(data_dir: Path, output: Path, **changes: object) -> dict:
    """An experiment on the shared data, whose second synthesizer writes English for want of one."""
    own = dict(item.split("=", 1) for item in SMALL if not item.startswith("data.mixture"))
    overrides = {key: yaml.safe_load(value) for key, value in own.items()} | {
        "data.recipe": str(data_dir / "recipe.yaml"),
        "data.shards": str(data_dir / "shards"),
        "data.tokenizer": str(data_dir / "tokenizer"),
        **SHORT,
    }
    return {
        "recipe": "tiny/stage2.yaml",
        "output_dir": str(output),
        "common": {"web_en": 0.5},
        "synthetic_weight": 0.5,
        "arms": {
            "one": {"sources": ["stories_ko"], "allow_single_synthesizer": True},
            "two": {
                "sources": ["stories_ko", "stories_en"],
                "allow_single_synthesizer": True,
            },
        },
        "natural": ["web_ko"],
        "seeds": [1],
        "overrides": overrides,
    } | changes


@pytest.mark.parametrize("name", ["tiny", "1b"])
def test_runs_differ_in_the_synthetic_text_alone(name: str) -> None:
    experiment = load_config(SHIPPED / f"{name}.yaml", ExperimentConfig, [])
    runs = plan(experiment)
    assert [(r.arm, r.seed) for r in runs[:3]] == [("one", 1), ("two", 1), ("five", 1)]
    assert len(runs) == 6
    rest = []
    for run in runs:
        config = run.config.model_dump(mode="json")
        data = config["data"]
        mixture = data.pop("mixture")
        assert data.pop("allow_single_synthesizer") == (run.arm == "one")
        assert data.pop("seed") == run.seed and data["heldout"] == experiment.natural
        assert {k: mixture[k] for k in experiment.common} == experiment.common
        synthetic = {k: v for k, v in mixture.items() if k not in experiment.common}
        assert len(synthetic) == {"one": 1, "two": 2, "five": 5}[run.arm]
        assert sum(synthetic.values()) == pytest.approx(experiment.synthetic_weight)
        assert not set(synthetic) & set(experiment.natural)
        config["logging"].pop("output_dir")
        rest.append(config)
    assert all(other == rest[0] for other in rest)
    assert len({run.config.logging.output_dir for run in runs}) == 6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("natural=[reasoning_ko]", "reasoning_ko: both in `natural` and in an arm"),
        ("common={reasoning_ko: 1}", "reasoning_ko: both in `common` and in an arm"),
        ("seeds=[1, 1]", "a seed is given twice"),
        ("overrides={schedule.tokens: 1}", "schedule.tokens: unknown key"),
        ("recipe=tiny/stage1.yaml", "is a config of stage1"),
    ],
)
def test_mistakes_are_refused_before_any_run(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(load_config(SHIPPED / "tiny.yaml", ExperimentConfig, [override]))


def test_the_experiment_from_start_to_end(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(small(data_dir, output)))
    for name, value in environment().items():
        monkeypatch.setenv(name, value)

    def start(*arguments: str) -> str:
        given = ["single_synthesizer", "--config", str(tmp_path / "a.yaml"), *arguments]
        monkeypatch.setattr(sys, "argv", given)
        main()
        return capfd.readouterr().out

    assert start("--dry-run").count("stage2.py") == 2 and not output.exists()
    with pytest.raises(RecipeError, match="no finished run"):
        start("--report")
    with pytest.raises(RecipeError, match="run 1 of 2: one, 1: failed.*start this command again"):
        start("--launcher", "false")

    first = start()
    assert "run 1 of 2: one, 1" in first and "run 2 of 2: two, 1, about" in first
    results = json.loads((output / "single_synthesizer.json").read_text())
    assert [(r["arm"], r["sources"]) for r in results] == [
        ("one", ["stories_ko"]),
        ("two", ["stories_ko"]),  # the Korean ones
    ]
    for result in results:
        assert [tokens for tokens, _ in result["bits"]] == [0, 2048, 4096]
        assert len(result["losses"]) == 4 and result["after"] < result["before"]
    one, two = results
    assert one["bits"][0] == two["bits"][0] and one["bits"][1:] != two["bits"][1:]
    assert (output / "single_synthesizer.png").stat().st_size > 10_000
    assert "| one | 1 | 1 | 1 |" in (output / "single_synthesizer.md").read_text()

    logs = {path: path.stat().st_mtime_ns for path in output.glob("*/metrics.jsonl")}
    assert "== run" not in start()
    assert len(logs) == 2 and {p: p.stat().st_mtime_ns for p in logs} == logs
    shutil.rmtree(output / "two-1" / "final")
    with pytest.raises(RecipeError, match="run 2 of 2: two, 1: failed"):
        start("--launcher", "false")
    assert "| two |" not in start("--report")


def test_the_table_says_how_far_runs_lie_apart() -> None:
    def run(arm: str, seed: int, after: float, losses: list[float]) -> Run:
        points = [(n, loss) for n, loss in enumerate(losses)]
        return Run(arm, seed, ["a"], ["x"], 0.5, points, [(0, 2.0), (9, after)])

    calm, restless = [3.0, 2.9, 2.8, 2.7, 2.6, 2.5], [3.0, 2.9, 2.8, 3.2, 2.4, 3.0]
    runs = [run("one", 1, 1.5, calm), run("one", 2, 1.7, calm), run("two", 1, 1.4, restless)]
    assert runs[0].unrest == pytest.approx(0) and runs[2].unrest > 0.3
    rows = table(runs).splitlines()
    assert (
        "| one | 1 | 1 | 2 | 0.50 | 2.0000 [2.0000, 2.0000] | 1.6000 [1.5000, 1.7000] |" in rows[2]
    )
    assert "| 1.4000 |" in rows[3]
