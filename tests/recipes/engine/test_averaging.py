"""The running average: the mean of all steps, however they are split, and after a stop."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data_recipes.tokenizer.load import load_tokenizer
from modeling_kormo import KORMoForCausalLM
from recipes.average import average_command
from recipes.engine.metrics import read_metrics
from recipes.engine.windows_data import BitsPerByte
from tests.conftest import Stage

WORKER = Path(__file__).parents[1] / "workers.py"
STEPS = 4
SHORT = [
    f"schedule.total_tokens={STEPS * 1024}",
    "logging.eval_every_tokens=1024",
    "logging.save_every_tokens=1024",
    "logging.keep_checkpoints=0",
]
AVERAGE = "logging.average_tokens=2048"  # a share halves in two steps


def measured(run: Path, prefix: str = "average_bits_per_byte/") -> list[float]:
    lines = [line for line in read_metrics(run) if f"{prefix}ko" in line]
    return [line[f"{prefix}{language}"] for line in lines for language in ("en", "ko")]


def trained(run: Path) -> list[tuple[float, float]]:
    return [(m["loss"], m["grad_norm"]) for m in read_metrics(run) if "loss" in m]


@pytest.fixture(scope="module")
def run(small_stage: Callable[..., Stage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("averaged") / "run"
    small_stage(directory, *SHORT, AVERAGE).main()
    return directory


def test_it_is_the_mean_of_all_steps_and_training_does_not_see_it(
    small_stage: Callable[..., Stage], run: Path, tmp_path: Path
) -> None:
    config = small_stage(run, *SHORT).config()
    ruler = BitsPerByte(
        config.data.shards,
        list(config.data.mixture),
        128,
        512,
        load_tokenizer(config.data.tokenizer),
    )
    model = KORMoForCausalLM.from_pretrained(run / "final")
    shares = [0.5 ** ((STEPS - step) / 2) for step in range(1, STEPS + 1)]
    parts = [load_file(run / f"checkpoint-{n}" / "model.safetensors") for n in range(1, STEPS + 1)]
    for name, weight in model.state_dict().items():
        mean = sum(share * part[name].double() for share, part in zip(shares, parts))
        weight.copy_(mean / sum(shares))
    expected, *_ = ruler(model, torch.device("cpu"))
    assert measured(run)[-2:] == pytest.approx([expected["en"], expected["ko"]], abs=1e-6)
    assert len(measured(run)) == 2 * STEPS
    # The first step's mean are its weights; later ones differ from them.
    raw = measured(run, "bits_per_byte/")[2:]  # but for the measurement before the first step
    assert measured(run)[:2] == raw[:2]
    assert all(abs(a - b) > 1e-4 for a, b in zip(measured(run)[2:], raw[2:]))
    # What `kormo average --ema` makes of a checkpoint at every step is the same.
    average_command([str(run), "--ema", "2048", "--out", str(tmp_path / "mean")])
    values, *_ = ruler(KORMoForCausalLM.from_pretrained(tmp_path / "mean"), torch.device("cpu"))
    assert values == pytest.approx(expected, abs=1e-6)

    small_stage(tmp_path / "plain", *SHORT).main()
    assert trained(tmp_path / "plain") == trained(run)
    assert measured(tmp_path / "plain", "bits_per_byte/") == measured(run, "bits_per_byte/")
    assert not measured(tmp_path / "plain")


def test_it_does_not_depend_on_how_a_step_is_split(
    small_stage: Callable[..., Stage], run: Path, tmp_path: Path
) -> None:
    small_stage(tmp_path / "split", *SHORT, AVERAGE, "batch.micro_batch=8").main()
    assert trained(tmp_path / "split") != trained(run)  # other sums
    assert measured(tmp_path / "split") == pytest.approx(measured(run), abs=1e-5)


def test_a_run_that_goes_on_has_the_same_bits(
    small_stage: Callable[..., Stage], run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("same", "other"):
        shutil.copytree(run, tmp_path / name)
        for late in ("final", "checkpoint-3", "checkpoint-4"):
            shutil.rmtree(tmp_path / name / late)
    small_stage(tmp_path / "same", *SHORT, AVERAGE).main()
    assert measured(tmp_path / "same") == measured(run)
    assert "it begins here" not in capfd.readouterr().out
    # Another half-life is another average, which has not seen the steps before.
    small_stage(tmp_path / "other", *SHORT, "logging.average_tokens=4096").main()
    assert "checkpoint-2: has no such average; it begins here" in capfd.readouterr().out
    assert measured(tmp_path / "other")[4:6] == measured(run, "bits_per_byte/")[6:8]


def test_two_ranks_of_fsdp2_and_their_checkpoints_in_shards(
    small_stage: Callable[..., Stage], run: Path, tmp_path: Path
) -> None:
    sharded = tmp_path / "sharded"
    result = small_stage(sharded, *SHORT, AVERAGE).run(worker=WORKER, ranks=2)
    assert result.returncode == 0, result.stderr[-3000:]
    assert measured(sharded) == pytest.approx(measured(run), abs=1e-5)
    assert measured(sharded, "bits_per_byte/") == pytest.approx(
        measured(run, "bits_per_byte/"), abs=1e-5
    )
    assert not (sharded / "checkpoint-4" / "config.json").exists()
    for done in (True, False):  # a run that goes on has no final/ to take a config from
        out = tmp_path / f"mean-{done}"
        average_command([str(sharded), "--last", "3", "--out", str(out)])
        shutil.rmtree(sharded / "final", ignore_errors=True)
    parts = [load_file(run / f"checkpoint-{n}" / "model.safetensors") for n in (2, 3, 4)]
    for name in ("mean-True", "mean-False"):
        mean = KORMoForCausalLM.from_pretrained(tmp_path / name).state_dict()
        assert mean.keys() == parts[0].keys()
        for key, tensor in mean.items():
            expected = sum(part[key] for part in parts) / 3
            # Of one process: Adam makes rounding of two ranks a part of a step, which is 1e-3.
            torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-4)
