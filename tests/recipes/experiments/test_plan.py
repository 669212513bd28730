"""What the runs of an experiment share, and how long each of them is."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import find_differences
from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokens.shards import TokenSource
from recipes.command_line import CONFIGS, load_stage
from recipes.experiments.config import ExperimentConfig, settings_of
from recipes.experiments.cost import cost_of
from recipes.experiments.plan import sweep_runs
from recipes.experiments.ruler import check_ruler

from .conftest import load, planned, small

SHIPPED = sorted((CONFIGS / "experiments").glob("*/*.yaml"))
PLACES = {"logging.output_dir", "output_dir"}
# In what else an arm differs that goes through other stages, or starts elsewhere.
OTHER_WAY = {
    "stage",
    "model.init_from",
    "model.embedding_std",
    "data.seed",
    "growth",
    "schedule.branch_from",
    "schedule.total_tokens",
    "unfreezing",
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_runs_of_a_seed_differ_in_what_their_arms_say_and_in_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bytes are counted in shards, which are not there.
    monkeypatch.setattr("recipes.experiments.lengths._bytes_per_token", lambda *_: 4.0)
    size, experiment = path.parent.name, load(path)
    assert experiment.output_dir == Path("runs") / size / "experiments" / path.stem
    runs = planned(experiment, size)
    check_ruler(experiment, runs)
    assert len(runs) == len(experiment.arms) * len(experiment.seeds)
    directories = [
        cell.directory for run in [*runs, *sweep_runs(experiment, size)] for cell in run.cells
    ]
    if experiment.sweep:  # the values that are not the first are those of the sweep alone
        assert len(set(directories)) == len(directories)
    for run in runs:
        base = next(r for r in runs if (r.arm, r.seed) == (experiment.baseline, run.seed))
        roads = [experiment.road(r.arm) for r in (run, base)]
        other_way = set() if roads[0] == roads[1] else OTHER_WAY
        for number, (cell, other) in enumerate(zip(run.cells, base.cells, strict=True)):
            lines = find_differences(
                other.config.model_dump(mode="json"), cell.config.model_dump(mode="json")
            )
            changed = {line.partition(":")[0] for line in lines} - PLACES
            own = [experiment.arms[arm] for arm in (run.arm, experiment.baseline)]
            if cell.stage != other.stage:
                own.append(experiment.shared)  # says other things of other stages
            said = {k for o in own for c in (cell, other) for k in settings_of(o, c.stage)}
            said |= other_way
            said |= {"model.init_from"} if number else set()  # its own stage before
            budget = experiment.budget  # by FLOPs or bytes, arms that cost more are shorter
            if budget and budget.tokens is None:
                said.add("schedule.total_tokens")
            assert all(any(f"{key}.".startswith(f"{own}.") for own in said) for key in changed)
            assert bool(changed) == (run is not base)
            seed = getattr(cell.config.data, "seed", None) or cell.config.seed
            follows = run.parent is not None and cell.branched_at == 0 and not number
            assert seed == run.seed + 1000 * follows  # other windows than the parent's


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_what_is_shipped_says_which_numbers_are_our_choice(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if base := yaml.safe_load(text).get("base"):
        text += (path.parent / base).read_text(encoding="utf-8")
    assert "our choice" in text.lower()


def test_a_budget_is_shared_out_in_whole_steps_and_flops_pay_for_width(tmp_path: Path) -> None:
    stages = ["stage1", "stage2"]
    own = [load_stage(CONFIGS / "tiny" / f"{s}.yaml", s).schedule.total_tokens for s in stages]
    given = {
        "question": "?",
        "stages": stages,
        "output_dir": str(tmp_path),
        "baseline": "narrow",
        "arms": {
            "narrow": {},
            "wide": {"model.shape.intermediate_size": 2048, "stage2": {"data.packing": "best_fit"}},
        },
        "seeds": [1, 2],
        "budget": {"tokens": 2 * sum(own)},
        "measures": ["bits_per_byte"],
        "decide": {"bits_per_byte/ko": 0.02},
        "shared": {"data.heldout": ["web_ko"]},
    }
    experiment = ExperimentConfig.model_validate(given)
    runs = planned(experiment)
    configs = [[cell.config for cell in run.cells] for run in runs[:2]]
    for first, second in configs:
        assert first.schedule.total_tokens % 2048 == second.schedule.total_tokens % 2048 == 0
        assert first.schedule.total_tokens / second.schedule.total_tokens == pytest.approx(
            own[0] / own[1], rel=0.01
        )
        assert second.model.init_from == str(first.logging.output_dir / "final")
    assert runs[0].tokens == runs[1].tokens == pytest.approx(2 * sum(own), abs=4096)
    # Said of one stage, a setting is that stage's alone.
    assert [c.data.packing for c in configs[1]] == ["concat", "best_fit"]
    flops = ExperimentConfig.model_validate(given | {"budget": {"flops": 1.5e13}})
    narrow, wide = planned(flops)[:2]
    assert narrow.tokens > 1.5 * wide.tokens
    # What a run costs is a sum over its stages, of FLOPs as the budget counts them.
    assert cost_of(narrow.cells).flops == pytest.approx(1.5e13, rel=0.01)
    assert cost_of(narrow.cells + wide.cells).flops == pytest.approx(3e13, rel=0.01)
    assert cost_of(narrow.cells + wide.cells).tokens == narrow.tokens + wide.tokens


def test_views_are_paid_for_out_of_a_budget_in_flops(tmp_path: Path) -> None:
    kinds = {"parallel": {"kind": "parallel"}, "same": {"kind": "same", "count": 2}}
    given = {
        "question": "?",
        "stages": ["stage1"],
        "output_dir": str(tmp_path),
        "baseline": "next",
        "arms": {"next": {}} | {kind: {"model.views": own} for kind, own in kinds.items()},
        "seeds": [1, 2],
        "budget": {"flops": 1e13},
        "measures": ["bits_per_byte"],
        "decide": {"bits_per_byte/ko": 0.02},
    }
    # By hand: 192 wide, 4 layers, 3 heads of 64, 1 of keys, 512 in between, 4,096 rows, 256 keys.
    layer = 192 * 64 * (3 + 3 + 1 + 1) + 3 * 192 * 512 + 2 * 192
    head, attention = 4096 * 192, 12 * 192 * 256
    own = 6 * (4 * layer + 192 + head) + 4 * attention
    view = {"next": 0, "parallel": 6 * (layer + head) + attention, "same": 2 * 6 * head}
    for run in planned(ExperimentConfig.model_validate(given))[:3]:
        each = own + view[run.arm]
        assert run.tokens == int(1e13 / each + 0.5) // 2048 * 2048
        assert cost_of(run.cells).flops == pytest.approx(run.tokens * each, rel=1e-12)


def test_a_budget_in_bytes_gives_every_arm_equally_much_text(
    data_dir: Path, tmp_path: Path
) -> None:
    # Korean takes three bytes a letter, and more of them a token than English takes letters.
    arms = {"ko": {"data.mixture": {"web_ko": 1}}, "en": {"data.mixture": {"web_en": 1}}}
    shared = {"data.heldout": ["web_ko"]}
    given = small(data_dir, tmp_path, arms=arms, baseline="ko", shared=shared)
    experiment = ExperimentConfig.model_validate(given | {"budget": {"bytes": 200_000}})
    runs = planned(experiment)
    read = {}
    for run in runs:
        data = run.cells[0].config.data
        source = TokenSource(data.shards / f"web_{run.arm}" / "train")
        windows = [source.window(i, 128).tokens for i in range(source.windows(128))]
        tokenizer, ids = load_tokenizer(data.tokenizer), np.concatenate(windows)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        read[run.arm, run.seed] = run.tokens * len(text.encode()) / len(ids)
    assert list(read.values()) == pytest.approx([200_000] * 4, rel=0.03)
    by_arm = {run.arm: run.tokens for run in runs}
    assert abs(by_arm["ko"] / by_arm["en"] - 1) > 0.05  # or equal tokens would do
    missing = {**given, "shared": given["shared"] | {"data.shards": str(tmp_path / "none")}}
    with pytest.raises(RecipeError, match="none"):
        planned(ExperimentConfig.model_validate(missing | {"budget": {"bytes": 200_000}}))
