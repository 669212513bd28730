"""What a step read, told from the recipe alone, is what a collator was given."""

import json
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unicodedata import normalize

import numpy as np
import pytest
import torch

from data_recipes.common.errors import RecipeError
from recipes import replay
from recipes.engine.metrics import read_metrics
from recipes.engine.replayed_steps import document_losses
from recipes.opened_run import REPRODUCE, OpenedRun, open_run
from recipes.read_order import Spelling, find_text, readings
from tests import processes
from tests.conftest import ROOT, Stage

WORKER = ROOT / "tests" / "recipes" / "workers.py"
Make = Callable[..., Stage]
PER_STEP = 8
TWO_CHECKPOINTS = ["logging.eval_every_tokens=1_024_000", "logging.save_every_tokens=6144"]
Steps = dict[int, list[list[int]]]


def record(stage: Stage, folder: Path, ranks: int = 1, after: int = 0) -> Steps:
    """Windows by step, as the collators of one attempt were given them."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECORD_DIR", str(folder))
        done = processes.run([str(WORKER), "record", *stage.overrides], ranks=ranks)
    assert done.returncode == 0, done.stderr
    steps: Steps = defaultdict(list)
    for file in folder.glob("*.jsonl"):
        for place, line in enumerate(file.read_text().splitlines()):
            steps[after + place // (PER_STEP // ranks) + 1].append(json.loads(line))
    return steps


def replayed(run: Path, step: int) -> list[list[int]]:
    opened = open_run(run)
    shown = [readings(opened, window) for window in opened.windows_of(step)]
    return [[t for part in parts for t in part.tokens.tolist()] for parts in shown]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_stage: Make) -> tuple[Path, Steps]:
    """A run from start to end in one process, and what its collator was given."""
    folder = tmp_path_factory.mktemp("replay")
    stage = small_stage(folder / "stage1", *TWO_CHECKPOINTS)
    return folder / "stage1", record(stage, folder / "record")


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> str:
    monkeypatch.setattr(sys, "argv", ["replay", *map(str, arguments)])
    replay.main()
    return capsys.readouterr().out


def test_a_step_is_what_the_collator_was_given(made: tuple[Path, Steps]) -> None:
    run, given = made
    assert sorted(given) == list(range(1, 13))
    for step, windows in given.items():
        assert replayed(run, step) == windows


def test_also_on_two_processes(small_stage: Make, tmp_path: Path) -> None:
    given = record(small_stage(tmp_path / "run", *TWO_CHECKPOINTS), tmp_path / "record", ranks=2)
    for step in range(1, 13):
        assert sorted(given[step]) == sorted(replayed(tmp_path / "run", step))


def test_also_after_a_resume(made: tuple[Path, Steps], small_stage: Make, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made[0], run, ignore=shutil.ignore_patterns("final", "checkpoint-12"))
    given = record(small_stage(run, *TWO_CHECKPOINTS), tmp_path / "record", after=6)
    assert sorted(given) == list(range(7, 13))
    for step, windows in given.items():
        assert replayed(run, step) == windows
    # The record of the run goes on as well.
    attempts = json.loads((run / "final" / REPRODUCE).read_text())["attempts"]
    assert [a["from_step"] for a in attempts] == [0, 6]


def test_text_licence_and_loss_of_a_step(
    made: tuple[Path, Steps], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, given = made
    out = shown(monkeypatch, capsys, run, "--step", 7, "--text", "--loss")
    assert "Apache-2.0, synthesizer web grammar" in out and "checkpoint-6" in out
    text = open_run(run).tokenizer.decode(given[7][0], skip_special_tokens=True)
    first = next(line for line in text.splitlines() if line.strip())
    assert f"    {first}" in out
    # All documents together are the loss that training logged for the step.
    opened = open_run(run)
    losses, _ = document_losses(opened, opened.windows_of(7))
    scored = sum(count for own in losses.values() for _, count in own)
    mean = sum(value * count for own in losses.values() for value, count in own) / scored
    logged = next(m["loss"] for m in read_metrics(run) if m["step"] == 7 and "loss" in m)
    assert mean == pytest.approx(logged, abs=1e-5)


def test_of_pairs_the_second_bos_is_not_scored(made: tuple[Path, Steps]) -> None:
    run, given = made
    plain, paired = open_run(run), open_run(run)
    data = paired.config.data.model_copy(update={"pairs": "together"})
    paired = OpenedRun(run, paired.config.model_copy(update={"data": data}))
    # A common token plays the part of the BOS between two documents.
    ((common, _),) = Counter(t for w in given[7] for t in w[1:]).most_common(1)
    paired.tokenizer.bos_token = paired.tokenizer.convert_ids_to_tokens(common)
    scored = [
        sum(n for own in document_losses(r, r.windows_of(7))[0].values() for _, n in own)
        for r in (plain, paired)
    ]
    assert 0 < scored[1] < scored[0]


def test_a_listing_has_a_line_a_window(
    made: tuple[Path, Steps], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = made
    lines = shown(monkeypatch, capsys, run / "final", "--steps", "3-5").splitlines()
    assert len(lines) == 1 + 3 * PER_STEP and lines[1].startswith("3\t16\tweb_")
    mixture = open_run(run).mixture
    name, epoch, number = mixture.locate(16)
    window = mixture.sources[name].window(number, 128, epoch)
    documents = " ".join(map(str, mixture.sources[name].documents_in(window)))
    assert lines[1] == f"3\t16\t{name}\t{epoch}\t{documents}"


def test_a_text_is_found_in_every_step_that_read_it(
    made: tuple[Path, Steps], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, given = made
    tokenizer = open_run(run).tokenizer
    text = tokenizer.decode(given[4][2][40:52], skip_special_tokens=True)
    out = shown(monkeypatch, capsys, run, "--find", text)
    found = {int(line.split()[1].strip(":")) for line in out.splitlines() if "window" in line}
    whole = [line for line in out.splitlines() if "window" in line and "a part" not in line]
    steps = {int(line.split()[1].strip(":")) for line in whole}
    decoded = {
        step: any(text in tokenizer.decode(w, skip_special_tokens=True) for w in windows)
        for step, windows in given.items()
    }
    # At the edge of a window there is only a part of it.
    opened = open_run(run)
    window = opened.windows_of(4)[0]
    last = readings(opened, window)[-1]
    source = opened.mixture.sources[last.source]
    start, length = source.document_bounds(last.document)
    end = last.begin + len(last.tokens)
    assert end + 8 < length, "the test needs a document that the window cuts"
    cut = tokenizer.decode(source.tokens_at(start + end - 8, 16), skip_special_tokens=True)
    (line,) = (
        own
        for own in shown(monkeypatch, capsys, run, "--find", cut).splitlines()
        if own.startswith("step 4: ") and f"window {window:,}," in own
    )
    assert line.endswith("a part of it, at the edge of the window")
    assert 4 in steps and steps == {step for step, seen in decoded.items() if seen} <= found
    assert "not in the training shards" in shown(monkeypatch, capsys, run, "--find", "zq" * 9)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_text_is_found_in_all_places_however_its_hangul_is_written(form: str) -> None:
    texts = ["아아아 x", "한국의 수도", "", "그 한국"]
    # Two control tokens, which stand for no bytes, and a token a byte.
    spelling = Spelling([b"", b"", *(bytes([byte]) for byte in range(256))])
    tokens = [np.array([0, *(byte + 2 for byte in text.encode()), 1]) for text in texts]
    ends = np.cumsum([len(own) for own in tokens])
    stream = np.concatenate(tokens)

    class Source:
        def document_blocks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            lengths = np.array([len(own) for own in tokens])
            for block in (slice(0, 2), slice(2, 4)):
                yield (ends - lengths)[block], lengths[block]

        def tokens_at(self, start: int, length: int) -> np.ndarray:
            return stream[start : start + length]

    run = SimpleNamespace(mixture=SimpleNamespace(sources={"web": Source()}))
    found = list(find_text(run, normalize(form, "한국"), spelling))
    assert [(name, document) for name, document, *_ in found] == [("web", 1), ("web", 3)]
    for _, _, start, length in found:
        assert spelling.text(stream[start : start + length]).decode() == "한국" and length == 6
    # It may begin again before it has ended.
    assert len(list(find_text(run, normalize(form, "아아"), spelling))) == 2


def test_what_cannot_be_answered_is_refused(made: tuple[Path, Steps], tmp_path: Path) -> None:
    run, _ = made
    with pytest.raises(RecipeError, match="has the steps 1 to 12"):
        open_run(run).windows_of(13)
    with pytest.raises(RecipeError, match="no such directory"):
        open_run(tmp_path / "nothing")
    (tmp_path / "recipe.yaml").write_text("stage: sft\n")
    with pytest.raises(RecipeError, match="is a run of sft"):
        open_run(tmp_path)


@pytest.mark.parametrize("manifest_too", [False, True])
def test_changed_shards_are_named(
    small_stage: Make, data_dir: Path, tmp_path: Path, manifest_too: bool
) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(data_dir / "shards", shards)
    short = [f"data.shards={shards}", "schedule.total_tokens=1024", *TWO_CHECKPOINTS]
    small_stage(tmp_path / "run", *short).main()
    victim = next((shards / "web_ko" / "train").glob("*.ds"))
    content = bytearray(victim.read_bytes())
    content[1000] ^= 1
    victim.write_bytes(content)
    if manifest_too:  # made again, from other text
        import hashlib

        path = victim.parent / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["files"][0]["sha256"] = hashlib.sha256(content).hexdigest()
        path.write_text(json.dumps(manifest))
    with pytest.raises(RecipeError, match="cannot be replayed") as refused:
        open_run(tmp_path / "run").mixture  # noqa: B018
    assert f"source web_ko: {victim.name}" in str(refused.value)
    assert "web_en" not in str(refused.value)


def test_a_growth_is_measured_under_its_masks(
    made: tuple[Path, Steps], small_stage: Make, tmp_path: Path
) -> None:
    growth = "growth.steps=[{intermediate_size: 256, ramp_tokens: 10_240}]"
    stage = small_stage(
        tmp_path / "grow",
        *TWO_CHECKPOINTS,
        f"model.init_from={made[0] / 'final'}",
        "growth.optimizer=fresh",
        growth,
        script="grow",
    )
    done = stage.run()
    assert done.returncode == 0, done.stderr
    opened = open_run(tmp_path / "grow")
    losses, weights = document_losses(opened, opened.windows_of(7))
    scored = sum(count for own in losses.values() for _, count in own)
    mean = sum(value * count for own in losses.values() for value, count in own) / scored
    logged = [m["loss"] for m in read_metrics(tmp_path / "grow") if m["step"] == 7 and "loss" in m]
    assert weights.name == "checkpoint-6" and mean == pytest.approx(logged[0], abs=1e-5)
    assert torch.isfinite(torch.tensor(mean))
