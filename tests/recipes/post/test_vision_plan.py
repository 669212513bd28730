"""What `--dry-run` of a stage that learns to see says of tokens and memory."""

import re

import pytest

from tests.conftest import ROOT, Stage


def test_the_plan_counts_image_tokens_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "recipes" / "configs" / "10b"
    Stage("vision_align", ["--config", str(path / "vision_align.yaml")]).main("--dry-run")
    plan = capsys.readouterr().out
    assert "640 x 480: 2,929" in plan and "language model 10,756,624,384" in plan
    assert "trained         21,508,096" in plan  # 1152 x 4096 + 4096 x 4096 + 3 x 4096
    assert "on 128 x H200" in plan and "on 1 x H200" in plan
    Stage("vision_sft", ["--config", str(path / "vision_knowledge.yaml")]).main("--dry-run")
    assert "trained         10,778,132,480" in capsys.readouterr().out


def test_the_plan_has_frozen_weights_without_gradient_and_moments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def planned(stage: str, config: str, *more: str) -> tuple[int, int, list[float], list[float]]:
        path = ROOT / "recipes" / "configs" / "10b" / f"{config}.yaml"
        Stage(stage, ["--config", str(path)]).main("--dry-run", *more)
        plan = capsys.readouterr().out
        counts = [
            int(re.search(rf"{name} +([\d,]+)", plan)[1].replace(",", ""))
            for name in ("parameters", "trained")
        ]
        states, activations = (
            [float(n) for n in re.findall(rf"{name} ([\d.]+)", plan)]
            for name in ("states", "activations")
        )
        return *counts, states, activations

    activations = []
    for stage, config, shards, more in (
        ("vision_align", "vision_align", 8, []),
        ("vision_align", "vision_align", 8, ["batch.rows_per_step=512"]),
        ("vision_sft", "vision_knowledge", 8, []),
        ("vision_sft", "vision_knowledge", 1, ["model.adapter={rank: 16, alpha: 32}"]),
    ):
        total, trained, states, own = planned(stage, config, *more)
        needed = (4 * (total - trained) + 16 * trained) / 2**30
        assert states == pytest.approx([needed / shards, needed], abs=0.06), config
        assert (trained < 22e6) == (stage == "vision_align" or bool(more))
        activations.append(own)
    assert activations[0] == activations[1]  # of a forward pass, not of a step
