"""SFT and preference tuning as a user starts them: loss, hand-over, resume, other families."""

import json
import math
import resource
import shutil
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch._dynamo.utils import counters
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl import SFTTrainer
from trl.chat_template_utils import qwen3_chat_template

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import Conversation
from data_recipes.toy.chats import chats
from data_recipes.toy.preferences import preferences
from modeling_kormo.adapter import merge_adapter
from modeling_kormo.export import save_portable
from recipes import dpo, grpo, sft
from recipes.engine.metrics import read_metrics
from recipes.engine.trainer import decayed_parameters
from recipes.post.chat_files import preparation_key
from recipes.post.chat_trainer import ChatTrainer, OneShape
from recipes.post.chats import build_chats, unpack
from recipes.post.dpo_config import DPOStageConfig
from recipes.post.masks import ChatTokenizer
from recipes.post.model import load_chat_model, load_chat_tokenizer, lora_config
from recipes.post.pair_trainer import PairTrainer
from recipes.post.pairs import PairTokenizer, PreferenceCollator, build_pairs, read_pair
from recipes.post.reward_trainer import RewardTrainer
from recipes.post.sft_config import ChatSource, SFTStageConfig
from tests import processes
from tests.conftest import ROOT, Program, release_outputs

from ..workers import fix_completions
from .conftest import SHAPE
from .grpo_hand_made import ROWS

SFT = ROOT / "recipes" / "configs" / "tiny" / "sft.yaml"
LORA = "model.adapter={rank: 4, alpha: 8}"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The same sums in the same order in this process and in those it starts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chats and preference pairs."""
    directory = tmp_path_factory.mktemp("chats")
    write_rows(
        directory / "chats.jsonl", [*islice(chats("ko", 0), 60), *islice(chats("en", 0), 60)]
    )
    write_rows(directory / "pairs.jsonl", [*islice(preferences("ko", 0), 60)])
    return directory


def overrides(stage: str, model: Path, sources: Path, output: Path, *extra: str) -> list[str]:
    name = {"sft": "chats", "dpo": "pairs"}[stage]
    source = f"{{path: {sources / name}.jsonl, language: ko, licence: Apache-2.0}}"
    return [
        f"model.init_from={model}",
        f"data.sources=[{source}]",
        "data.heldout_rows=12",
        "batch.sequence_length=400",
        "batch.micro_batch=2",
        "batch.tokens_per_step=1600",
        "schedule.epochs=1",
        "optimizer.learning_rate=3e-3",
        "logging.log_every=1",
        "logging.eval_every=3",
        "logging.save_every=3",
        f"logging.output_dir={output}",
        *extra,
    ]


def start(monkeypatch: pytest.MonkeyPatch, script: object, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", ["stage.py", *arguments])
    release_outputs()
    script.main()


def log_of(output: Path) -> list[dict]:
    timings = {"tokens_per_second", "data_wait_percent", "cpu_percent"}
    return [{k: v for k, v in m.items() if k not in timings} for m in read_metrics(output)]


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
@pytest.mark.parametrize("adapter", [None, LORA])
def test_packed_loss_is_that_of_separate_conversations(
    base: Path, sources: Path, tmp_path: Path, attention: str, adapter: str | None
) -> None:
    extra = [f"model.attention={attention}", *([adapter] if adapter else [])]
    arguments = overrides("sft", base, sources, tmp_path / "run", *extra)
    config = load_config(SFT, SFTStageConfig, arguments)
    tokenizer = load_chat_tokenizer(str(base))
    chosen = build_chats(config.data, tokenizer, 400, tmp_path / "data")
    trainer = sft.build_trainer(config, sft.sft_arguments(config), tokenizer, chosen)
    if adapter:
        assert isinstance(trainer.model, PeftModel)
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)  # else the adapter does nothing yet
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    counted = (batch["labels"] >= 0).sum()
    packed = trainer.compute_loss(trainer.model, batch, num_items_in_batch=counted).item()

    nats = 0.0
    bounds = batch["cu_seq_lens_q"].tolist()
    assert len(bounds) > 4
    for first, last in zip(bounds, bounds[1:]):
        part = slice(first, last)
        with torch.no_grad():
            alone = trainer.model(
                input_ids=batch["input_ids"][:, part],
                position_ids=torch.arange(last - first)[None],
                use_cache=False,
                cu_seq_lens_q=torch.tensor([0, last - first], dtype=torch.int32),
                cu_seq_lens_k=torch.tensor([0, last - first], dtype=torch.int32),
                max_length_q=last - first,
                max_length_k=last - first,
            ).logits[0]
        labels = batch["labels"][0, part][1:]
        nats += cross_entropy(alone[:-1].float(), labels, reduction="sum").item()
    assert packed == pytest.approx(nats / counted.item(), abs=1e-5)


class Asked(TorchDispatchMode):
    """Counts how often the host reads a value of the device."""

    times = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        self.times += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_the_loss_is_trls_without_its_questions(base: Path, sources: Path, tmp_path: Path) -> None:
    """Losses and gradients of micro-batches, also filled up to one shape."""
    config = load_config(SFT, SFTStageConfig, overrides("sft", base, sources, tmp_path / "run"))
    tokenizer = load_chat_tokenizer(str(base))
    chosen = build_chats(config.data, tokenizer, 400, tmp_path / "data")
    trainer = sft.build_trainer(config, sft.sft_arguments(config), tokenizer, chosen)
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(20)  # else all tokens are about as unlikely
    counted = torch.tensor(700)
    parameters = list(trainer.model.parameters())

    def learn(batch: dict[str, Any], loss_of: Any) -> tuple[float, list[Any], int]:
        with Asked() as asked:
            loss = loss_of(trainer.model, batch, num_items_in_batch=counted)
            trainer._track_num_input_tokens(batch)
        return loss.item(), torch.autograd.grad(loss, parameters), asked.times

    fill = OneShape(trainer.data_collator, 900, tokenizer.pad_token_id)
    for first in (0, 2):
        windows = [trainer.train_dataset[i] for i in (first, first + 1)]
        batch, filled = trainer.data_collator(windows), fill(windows)
        assert batch["input_ids"].shape[1] < filled["input_ids"].shape[1] == 900
        theirs, expected, asked = learn(dict(batch), partial(SFTTrainer.compute_loss, trainer))
        assert asked >= 4 and theirs > 1
        for own in (batch, filled):
            before = trainer._seen.item()
            loss, gradients, asked = learn(own, trainer.compute_loss)
            assert asked == 0
            assert trainer._seen.item() - before == batch["input_ids"].shape[1]
            assert loss == pytest.approx(theirs, rel=0, abs=1e-6)
            for ours, wanted in zip(gradients, expected):
                torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_layers_are_compiled(
    base: Path,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    graphs: list[tuple[bool, list[Any]]],
) -> None:
    """SFT for one shape; pairs have as many as they are long."""
    settings = ["model.compile=true", "schedule.epochs=0.5"]
    script = {"sft": sft, "dpo": dpo}[stage]
    start(monkeypatch, script, [*overrides(stage, base, sources, tmp_path / "run"), *settings])
    assert {training for training, _ in graphs} == {True, False}
    if stage == "sft":
        assert not [x for _, inputs in graphs for x in inputs if isinstance(x, torch.SymInt)]
        assert not counters["graph_break"]
    assert sum(training for training, _ in graphs) <= 4, len(graphs)


def test_the_held_out_loss_is_the_mean_over_learned_tokens(
    base: Path, sources: Path, tmp_path: Path
) -> None:
    """However they are spread over windows, of which the last is nearly empty."""
    arguments = overrides("sft", base, sources, tmp_path / "run")
    config = load_config(SFT, SFTStageConfig, arguments)
    tokenizer = load_chat_tokenizer(str(base))
    chosen = build_chats(config.data, tokenizer, 400, tmp_path / "data")
    trainer = sft.build_trainer(config, sft.sft_arguments(config), tokenizer, chosen)
    trainer.prepare(config)
    (tmp_path / "run").mkdir(exist_ok=True)
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(20)  # else all tokens are about as unlikely
    nats, counts = [], []
    for window in trainer.eval_dataset:
        batch = trainer.data_collator([window])
        labels = batch.pop("labels")[0, 1:]
        with torch.no_grad():
            logits = trainer.model(**batch, use_cache=False).logits[0, :-1]
        nats.append(cross_entropy(logits.float(), labels, reduction="sum").item())
        counts.append((labels >= 0).sum().item())
    assert max(counts) > 1.5 * min(counts) and len(counts) > 1
    wanted = sum(nats) / sum(counts)
    assert abs(sum(n / c for n, c in zip(nats, counts)) / len(counts) - wanted) > 1e-3
    assert trainer.evaluate()["heldout_loss"] == pytest.approx(wanted, abs=1e-5)


def test_trl_prepares_what_the_audit_and_the_labels_are_made_of(
    base: Path, sources: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids and labels in TRL's windows are those of each conversation by itself, none cut."""
    length = 800  # schemas of tools are long in this tokenizer
    longer = [f"batch.sequence_length={length}"]
    arguments = overrides("sft", base, sources, tmp_path / "run", *longer)
    config = load_config(SFT, SFTStageConfig, arguments)
    tokenizer = load_chat_tokenizer(str(base))
    chosen = build_chats(config.data, tokenizer, length, tmp_path / "data")
    trainer = sft.build_trainer(config, sft.sft_arguments(config), tokenizer, chosen)
    assert "end-of-turn" not in caplog.text  # a false alarm, where the audit has looked
    tokenize = ChatTokenizer(tokenizer, length)
    for rows, windows in (
        (chosen.train, trainer.train_dataset),
        (chosen.heldout, trainer.eval_dataset),
    ):
        alone = [tokenize(Conversation(r["messages"], "", r["tools"], {})) for r in rows]
        assert 1 < len(windows) < len(rows)
        packed = sorted((t.input_ids, t.labels) for t in unpack(windows, 1000))
        assert packed == sorted((t.input_ids, t.labels) for t in alone)
        assert all(sum(w["seq_lengths"]) == len(w["input_ids"]) <= length for w in windows)

    assert any(row["tools"] for row in chosen.train)
    windows = trainer.train_dataset
    batch = trainer.data_collator([windows[0], windows[1]])
    lengths = [*windows[0]["seq_lengths"], *windows[1]["seq_lengths"]]
    assert batch["cu_seq_lens_q"].diff().tolist() == lengths
    assert (batch["position_ids"] == 0).sum() == len(lengths)
    learned = sum(label >= 0 for n in (0, 1) for label in windows[n]["labels"])
    assert (batch["labels"] >= 0).sum() == learned


def test_it_starts_from_the_weights_of_its_parent(
    base: Path, sources: Path, tmp_path: Path
) -> None:
    config = load_config(SFT, SFTStageConfig, overrides("sft", base, sources, tmp_path))
    loaded = load_chat_model(config, load_chat_tokenizer(str(base))).state_dict()
    parent = weights(base)
    assert loaded.keys() == parent.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in parent.items())


def test_sft_learns_hands_over_and_resumes(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    start(monkeypatch, sft, overrides("sft", base, sources, whole))
    log = log_of(whole)
    heldout = [m["heldout_loss"] for m in log if "heldout_loss" in m]
    assert heldout[-1] < heldout[0] - 0.3
    assert all(40 < m["masked_label_percent"] < 95 for m in log if "loss" in m)

    final = whole / "final"
    checkpoint = max(whole.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    trained = weights(final)
    assert all(torch.equal(t, trained[k]) for k, t in weights(checkpoint).items())
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForCausalLM.from_pretrained(final)
    stops = model.generation_config.eos_token_id
    assert tokenizer.convert_ids_to_tokens(stops) == ["<|EOT|>", "<|EOS|>"]
    assert model.config.eos_token_id == tokenizer.eos_token_id and tokenizer.response_template
    lineage = json.loads((final / "lineage.json").read_text())
    assert lineage["parent"] == str(base) and lineage["tokens"] == log[-1]["tokens"] > 0
    assert "enable_thinking" in (final / "README.md").read_text()

    killed = tmp_path / "killed"
    arguments = overrides("sft", base, sources, killed)
    process = Program([str(ROOT / "recipes" / "sft.py"), *arguments])
    deadline = time.monotonic() + 120
    while not list(killed.glob("checkpoint-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert not (killed / "final").exists()
    start(monkeypatch, sft, arguments)
    assert log_of(killed) == log
    assert all(torch.equal(t, trained[k]) for k, t in weights(killed / "final").items())

    with pytest.raises(RecipeError, match="already finished"):
        start(monkeypatch, sft, arguments)
    shutil.rmtree(killed / "final")
    with pytest.raises(RecipeError, match="optimizer.learning_rate: was 0.003, is 0.1"):
        start(monkeypatch, sft, [*arguments, "optimizer.learning_rate=0.1"])


def test_a_second_start_tokenises_nothing(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = overrides("sft", base, sources, tmp_path / "run")
    start(monkeypatch, sft, arguments)
    log, trained = log_of(tmp_path / "run"), weights(tmp_path / "run" / "final")
    for past in ("final", *(p.name for p in (tmp_path / "run").glob("checkpoint-*"))):
        shutil.rmtree(tmp_path / "run" / past)
    with monkeypatch.context() as patch:
        again = "what was tokenised is tokenised again"
        patch.setattr(ChatTokenizer, "samples", lambda *_: pytest.fail(again))
        patch.setattr(ChatTrainer, "_prepare_dataset", lambda *_: pytest.fail(again))
        start(monkeypatch, sft, arguments)
    assert log_of(tmp_path / "run") == log
    assert all(torch.equal(t, trained[k]) for k, t in weights(tmp_path / "run" / "final").items())


def test_what_decides_the_tokens_makes_them_anew(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(SFT, SFTStageConfig, overrides("sft", base, sources, tmp_path)).data
    tokenizer = load_chat_tokenizer(str(base))
    keys = [preparation_key(config, tokenizer, length) for length in (400, 400, 401)]
    assert keys[0] == keys[1]
    keys.append(preparation_key(config.model_copy(update={"seed": 1}), tokenizer, 400))
    tokenizer.chat_template += " "
    keys.append(preparation_key(config, tokenizer, 400))
    tokenizer = load_chat_tokenizer(str(base))
    tokenizer.add_tokens(["<new>"])
    keys.append(preparation_key(config, tokenizer, 400))
    assert len(set(keys)) == 5

    tokenizer, own = load_chat_tokenizer(str(base)), tmp_path / "chats.jsonl"
    shutil.copy(sources / "chats.jsonl", own)
    source = ChatSource(path=str(own), language="ko", licence="x")
    config = config.model_copy(update={"sources": [source]})
    made = build_chats(config, tokenizer, 400, tmp_path / "data")
    (tmp_path / "data" / "mark").touch()
    assert build_chats(config, tokenizer, 400, tmp_path / "data").fingerprint == made.fingerprint
    assert (tmp_path / "data" / "mark").exists()
    text = own.read_bytes()
    own.write_bytes(text.replace("요".encode(), "오".encode(), 1))  # no byte more or less
    changed = build_chats(config, tokenizer, 400, tmp_path / "data")
    assert own.stat().st_size == len(text) and changed.fingerprint != made.fingerprint
    assert not (tmp_path / "data" / "mark").exists()


def test_many_processes_make_what_one_makes(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(SFT, SFTStageConfig, overrides("sft", base, sources, tmp_path)).data
    made = []
    for number, name in ((None, "one"), (3, "three")):
        monkeypatch.setattr("recipes.post.chats.workers", lambda rows, n=number: n)
        made.append(build_chats(config, load_chat_tokenizer(str(base)), 400, tmp_path / name))
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].train[:] == made[1].train[:] and made[0].left_out == made[1].left_out


def test_two_processes_learn_what_one_does(
    base: Path,
    sources: Path,
    chat_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two ranks of two forward passes of two windows are one of eight of one window.

    Neither windows nor held-out windows and pairs divide by these.
    """
    commands, stages = [], {"sft": sft, "dpo": dpo, "grpo": grpo}
    monkeypatch.setattr(RewardTrainer, "_generate_single_turn", None)  # restored at the end
    fix_completions()
    for stage, script in stages.items():
        if stage == "grpo":
            rows = write_rows(tmp_path / "rows.jsonl", ROWS)
            rest = [f"model.init_from={chat_model}", f"data.paths=[{rows}]"]
            rest += ["batch.prompts_per_step=2", "batch.generations_per_prompt=4"]
            rest += ["batch.max_completion_tokens=12", "schedule.steps=3", "optimizer.kl_beta=0.1"]
        else:
            rest = overrides(stage, base, sources, tmp_path, "data.heldout_rows=11")
            rest += ["batch.tokens_per_step=3200"]
        one, two = (f"logging.output_dir={tmp_path / stage / ranks}" for ranks in ("one", "two"))
        start(monkeypatch, script, [*rest, one, "batch.micro_batch=1"])
        commands.append([stage, *rest, two, "batch.micro_batch=2"])
    # All stages in one launch, one after the other.
    worker = [ROOT / "tests" / "recipes" / "workers.py", "chat-stages"]
    result = processes.run([*worker, *map(json.dumps, commands)], ranks=2)
    assert result.returncode == 0, result.stderr
    for stage in stages:
        one, two = (log_of(tmp_path / stage / ranks) for ranks in ("one", "two"))
        assert [m["step"] for m in one] == [m["step"] for m in two] and len(one) > 2
        noted = {"loss", "grad_norm", "tokens", "reward", "reward_std", "kl", "entropy"}
        noted |= {k for line in one for k in line if k.startswith("heldout_")}
        for a, b in zip(one, two):
            for key in noted & a.keys():
                assert b[key] == pytest.approx(a[key], rel=1e-4, abs=1e-5), (stage, a["step"], key)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_nothing_depends_on_how_a_step_is_split(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Losses, gradients, held-out figures and tokens are equal for every micro-batch."""
    logs = []
    extra = ["preference.sft_weight=0.5", "preference.beta=0.3"] if stage == "dpo" else []
    for micro_batch in (1, 2, 4):
        run = tmp_path / str(micro_batch)
        settings = ["schedule.epochs=0.5", f"batch.micro_batch={micro_batch}", *extra]
        # Held-out pairs do not divide by any of these but one.
        settings.append("data.heldout_rows=11")
        start(
            monkeypatch,
            {"sft": sft, "dpo": dpo}[stage],
            [*overrides(stage, base, sources, run), *settings],
        )
        logs.append(log_of(run))
    one, *others = logs
    assert sum("heldout_loss" in line for line in one) >= 2 and len(one) > 4
    noted = {"loss", "grad_norm", "tokens"} | {k for k in one[0] if k.startswith("heldout_")}
    assert {"heldout_rewards/accuracies"} <= noted or stage == "sft"
    for other in others:
        for a, b in zip(one, other, strict=True):
            for key in noted & a.keys():
                # A margin is the difference of two rewards, and as exact as these.
                size = a["heldout_rewards/chosen" if key == "heldout_rewards/margins" else key]
                bound = max(2e-5 * abs(size), 2e-6)
                assert b[key] == pytest.approx(a[key], rel=0, abs=bound), (a["step"], key)


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_the_preference_loss_is_the_papers(
    base: Path, sources: Path, tmp_path: Path, loss_type: str
) -> None:
    """Beta, the weight of the chosen answers' own loss and the form of the loss all take part."""
    beta, weight = 0.3, 0.7
    settings = [f"preference={{beta: {beta}, sft_weight: {weight}, loss_type: {loss_type}}}"]
    arguments = overrides("dpo", base, sources, tmp_path / "run", *settings)
    config = load_config(SFT.with_name("dpo.yaml"), DPOStageConfig, arguments)
    tokenizer = load_chat_tokenizer(str(base))
    pairs = build_pairs(config.data.sources, tokenizer, 400, 12, 0)
    model, reference = (load_chat_model(config, tokenizer) for _ in range(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    trainer = PairTrainer(
        model=model,
        ref_model=reference,
        args=dpo.dpo_arguments(config),
        data_collator=PreferenceCollator(tokenizer.pad_token_id),
        train_dataset=pairs.train,
        eval_dataset=pairs.heldout,
        processing_class=tokenizer,
    )
    trainer.prepare(config)
    batch = trainer.data_collator([pairs.train[i] for i in range(3)])
    with pytest.raises(RecipeError, match="reference differs from the model before the first step"):
        trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(3))
    trainer.state.global_step = 1

    def answers(own: torch.nn.Module) -> torch.Tensor:
        kwargs = {k: batch[k] for k in ("input_ids", "attention_mask")}
        logits = own(**kwargs, use_cache=False).logits[:, :-1].log_softmax(-1)
        taken = logits.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
        return (taken * batch["completion_mask"][:, 1:]).sum(1)

    with torch.no_grad():
        ratios, chosen = answers(model) - answers(reference), answers(model)[:3]
        if loss_type == "ipo":
            ratios = ratios / batch["completion_mask"].sum(1)
            losses = (ratios[:3] - ratios[3:] - 1 / (2 * beta)) ** 2
        else:
            losses = -torch.nn.functional.logsigmoid(beta * (ratios[:3] - ratios[3:]))
        nll = -chosen.sum() / batch["completion_mask"][:3, 1:].sum()
        wanted = losses.mean() + weight * nll
        count = trainer._get_num_items_in_batch([batch], torch.device("cpu"))
        found = trainer.compute_loss(trainer.model, batch, num_items_in_batch=count)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_every_setting_of_an_adapter_is_taken(base: Path, sources: Path, tmp_path: Path) -> None:
    adapter = "model.adapter={rank: 3, alpha: 7, dropout: 0.25}"
    arguments = overrides("sft", base, sources, tmp_path / "run", adapter)
    tokenizer = load_chat_tokenizer(str(base))
    lora = lora_config(load_config(SFT, SFTStageConfig, arguments), tokenizer)
    assert (lora.r, lora.lora_alpha, lora.lora_dropout) == (3, 7, 0.25)


TURN_ROWS = ("<|BOT|>", "<|EOT|>", "<think>", "</think>")


def end_of_turn_odds(model: torch.nn.Module, base: Path) -> float:
    """How much likelier `<|EOT|>` is than `<|BOT|>` where an answer of the training data ends."""
    tokenizer = load_chat_tokenizer(str(base))
    row = next(iter(chats("ko", 0)))
    ids = ChatTokenizer(tokenizer, 2000)(Conversation(row["messages"], "", None, {})).input_ids
    end = tokenizer.get_vocab()["<|EOT|>"]
    place = len(ids) - 1 - ids[::-1].index(end)
    with torch.no_grad():
        logits = model(torch.tensor([ids[:place]]), use_cache=False).logits[0, -1]
    return (logits[end] - logits[tokenizer.get_vocab()["<|BOT|>"]]).exp().item()


def test_lora_learns_the_end_of_a_turn(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a base model, the rows of turn tokens are equal: only their own training parts them."""
    tokenizer, model = load_chat_tokenizer(str(base)), AutoModelForCausalLM.from_pretrained(base)
    rows = [tokenizer.get_vocab()[token] for token in TURN_ROWS]
    with torch.no_grad():
        for weight in (model.model.embed_tokens.weight, model.lm_head.weight):
            weight[rows] = weight[rows].mean(0)
    alike, run = tmp_path / "alike", tmp_path / "run"
    save_portable(model, alike)
    tokenizer.save_pretrained(alike)
    settings = ["schedule.epochs=4", "optimizer.learning_rate=1e-2", "optimizer.weight_decay=0.1"]
    arguments = overrides("sft", alike, sources, run, LORA, *settings)
    start(monkeypatch, sft, arguments)
    before, after = weights(alike), weights(run / "final")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        moved = (before[name] != after[name]).any(1).nonzero().flatten().tolist()
        assert moved == sorted(rows), name
    trained = AutoModelForCausalLM.from_pretrained(run / "final")
    assert end_of_turn_odds(model, base) == pytest.approx(1, abs=1e-4)
    assert end_of_turn_odds(trained, base) > 10
    # The adapter on the base, a merge by `kormo export` and `final/` are one model.
    adapted = PeftModel.from_pretrained(model, run / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(alike)
    merged = merge_adapter(plain, run / "adapter", torch.float32)
    ids = torch.tensor([rows + list(range(5, 25))])
    with torch.no_grad():
        logits = [m.eval()(ids, use_cache=False).logits for m in (trained, adapted, merged)]
    torch.testing.assert_close(logits[1], logits[0])
    torch.testing.assert_close(logits[2], logits[0])
    # An adapter that lacks what its config says it has is refused.
    file = run / "adapter" / "adapter_model.safetensors"
    saved = load_file(file)
    save_file({k: v for k, v in saved.items() if "embed_tokens" not in k}, file)
    with pytest.raises(ValueError, match="has no counterpart"):
        merge_adapter(AutoModelForCausalLM.from_pretrained(alike), run / "adapter", torch.float32)


def test_dpo_prefers_the_chosen_and_resumes(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    settings = ["batch.tokens_per_step=3200", "schedule.epochs=2", "preference.sft_weight=0"]
    arguments = overrides("dpo", base, sources, run, *settings)
    start(monkeypatch, dpo, arguments)
    log = log_of(run)
    measured = [m for m in log if "heldout_loss" in m]
    assert measured[0]["heldout_loss"] == pytest.approx(0.6931, abs=1e-3)  # ln 2: nothing preferred
    assert measured[-1]["heldout_rewards/accuracies"] > 0.7
    assert measured[-1]["heldout_loss"] < measured[0]["heldout_loss"]
    trained = weights(run / "final")
    # As if killed between the last step and the export, then as if killed before the last step.
    last = max(run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    for lost in (["final"], ["final", last.name]):
        for name in lost:
            shutil.rmtree(run / name)
        start(monkeypatch, dpo, arguments)
        assert log_of(run) == log
        assert all(torch.equal(t, trained[k]) for k, t in weights(run / "final").items())


def test_an_adapter_of_preference_tuning_resumes(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reference is the model without it, also in the rows of turn tokens that it trains."""
    run = tmp_path / "run"
    settings = [LORA, "optimizer.weight_decay=0.1", "preference.sft_weight=0"]
    arguments = overrides("dpo", base, sources, run, *settings)
    start(monkeypatch, dpo, arguments)
    log = log_of(run)
    assert log[0]["heldout_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert log[-1]["heldout_loss"] < log[0]["heldout_loss"]
    trained = weights(run / "final")
    last = max(run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    for name in ("final", last.name):
        shutil.rmtree(run / name)
    start(monkeypatch, dpo, arguments)
    assert log_of(run) == log
    assert all(torch.equal(t, trained[k]) for k, t in weights(run / "final").items())
    decayed = decayed_parameters(
        PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(base), run / "adapter", is_trainable=True
        )
    )
    assert any("lora_A" in n for n in decayed) and not any("tokens_delta" in n for n in decayed)
    with pytest.raises(RecipeError, match="model.adapter.dropout"):
        start(monkeypatch, dpo, [*arguments, "model.adapter={rank: 4, alpha: 8, dropout: 0.1}"])


def test_only_the_answer_counts_in_preference_tuning(base: Path, tmp_path: Path) -> None:
    asked = [
        {"role": "user", "content": "a?"},
        {"role": "assistant", "content": "earlier"},
        {"role": "user", "content": "b?"},
    ]
    sides = {
        "chosen": [{"role": "assistant", "content": "yes", "reasoning_content": "hm"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }
    rows = [{"prompt": asked, **sides}]
    for number in (1, 2):
        question = {"role": "user", "content": f"{number}?"}
        rows.append({side: [question, *answer] for side, answer in sides.items()})
    path = write_rows(tmp_path / "pairs.jsonl", [*rows, {**rows[0], "rejected": sides["chosen"]}])
    tokenizer = load_chat_tokenizer(str(base))
    source = ChatSource(path=str(path), language="en", licence="-")
    data = build_pairs([source], tokenizer, 200, 1, 0)
    assert "left out, equal" in data.table
    everything = [*data.train, *data.heldout]
    assert len(everything) == 3
    batch = PreferenceCollator(tokenizer.pad_token_id)(everything)
    learned = [
        tokenizer.decode(row[mask.bool()])
        for row, mask in zip(batch["input_ids"], batch["completion_mask"])
    ]
    # The first half is the preferred one: a swap would train and measure the opposite.
    assert learned == ["hm\n</think>\n\nyes<|EOT|>"] * 3 + ["no<|EOT|>"] * 3
    assert ((batch["attention_mask"] == 0) == (batch["input_ids"] == tokenizer.pad_token_id)).all()


ASKED, GOOD, BAD = (
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "four"},
    {"role": "assistant", "content": "five"},
)
SYSTEM, EARLIER = {"role": "system", "content": "Add."}, {"role": "assistant", "content": "hello"}
HI = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("row", "before"),
    [
        ({"prompt": "2+2?", "chosen": "four", "rejected": "five"}, 1),
        ({"prompt": "2+2?", "chosen": [GOOD], "rejected": [BAD]}, 1),
        ({"prompt": "2+2?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, 1),
        ({"prompt": [ASKED], "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, 1),
        ({"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, 1),
        ({"prompt": "2+2?", "chosen": [SYSTEM, ASKED, GOOD], "rejected": [SYSTEM, ASKED, BAD]}, 2),
        (
            {
                "prompt": "hi",
                "chosen": [HI, EARLIER, ASKED, GOOD],
                "rejected": [HI, EARLIER, ASKED, BAD],
            },
            3,
        ),
    ],
)
def test_the_question_of_a_pair_stands_once(base: Path, row: dict, before: int) -> None:
    tokenizer = load_chat_tokenizer(str(base))
    found, sides = read_pair(row, "row")
    assert found == before
    tokens = PairTokenizer(ChatTokenizer(tokenizer, 400, "drop"))(row, "row")
    for side, answer in (("chosen", "four"), ("rejected", "five")):
        assert sides[side].messages[-1]["content"] == answer
        assert tokenizer.decode(tokens[side].input_ids).count("2+2?") == 1
        learned = [i for i, x in zip(tokens[side].input_ids, tokens[side].labels) if x >= 0]
        assert tokenizer.decode(learned) == f"{answer}<|EOT|>"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "3+3?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
            "do not begin with",
        ),
        ({"prompt": [HI], "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, "not begin with"),
        (
            {"prompt": "2+2?", "chosen": [ASKED, GOOD], "rejected": [HI, BAD]},
            "no question in common",
        ),
        ({"prompt": "2+2?", "chosen": [ASKED, GOOD], "rejected": [BAD]}, "an answer only"),
        ({"chosen": "four", "rejected": "five"}, "give prompt"),
        ({"prompt": "2+2?", "chosen": "four"}, "needs the columns"),
    ],
)
def test_pairs_with_another_question_are_refused(row: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=f"row 7: .*{message}"):
        read_pair(row, "row 7")


@pytest.fixture(scope="module")
def qwen(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of another family, with that family's template, which marks nothing."""
    directory = tmp_path_factory.mktemp("qwen")
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = qwen3_chat_template
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = Qwen3Config(**SHAPE, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=False)
    Qwen3ForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.mark.parametrize("adapter", [None, LORA])
def test_another_family(
    qwen: Path,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    adapter: str | None,
) -> None:
    extra = ["schedule.epochs=0.5", *([adapter] if adapter else [])]
    start(monkeypatch, sft, overrides("sft", qwen, sources, tmp_path / "run", *extra))
    final = tmp_path / "run" / "final"
    model = AutoModelForCausalLM.from_pretrained(final)
    assert type(model) is Qwen3ForCausalLM
    before, after = weights(qwen), weights(final)
    assert before.keys() == after.keys()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert any("q_proj" in k for k in moved)
    if adapter:
        assert not any("embed" in k or "norm" in k or "lm_head" in k for k in moved)
        merged = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(qwen), tmp_path / "run" / "adapter"
        ).merge_and_unload()
        for name, tensor in merged.state_dict().items():
            torch.testing.assert_close(tensor, after[name])
    # What is learned: what the assistant says, and its end of turn.
    tokenizer = load_chat_tokenizer(str(qwen))
    from .chat_cases import CASES

    tokens = ChatTokenizer(tokenizer, 400)(CASES["thinking"][0])
    learned = tokenizer.decode([i for i, x in zip(tokens.input_ids, tokens.labels) if x >= 0])
    assert "It is 3.<|im_end|>" in learned and "1+2?" not in learned


def test_a_disk_that_is_full_of_chats_is_named(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(RecipeError, match=r"run/data: the disk is full .* to go on"):
            start(monkeypatch, sft, overrides("sft", base, sources, tmp_path / "run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("stage", "extra", "message"),
    [
        ("sft", "model.init_from=/nowhere/final", "/nowhere/final: parent model missing"),
        ("sft", "data.sources=[{path: /nowhere.jsonl, language: ko, licence: x}]", "is not there"),
        ("sft", "data.balance=colour", "has no 'colour'"),
        ("sft", "data.heldout_rows=1000", "different conversations"),
        ("sft", "batch.micro_batch=3", "cannot be dealt out evenly"),
        ("sft", "model.adapter={rank: 4, alpha: 8, quantize: nf4}", "require_gpu"),
        ("sft", "parallelism.require_gpu=true", "needs a CUDA GPU"),
        ("sft", "data.colour=1", "unknown key"),
        ("dpo", "model.attention=varlen", "use sdpa"),
        ("dpo", "data.heldout_rows=1000", "only 60 pairs"),
    ],
)
def test_bad_input_is_refused(
    base: Path,
    sources: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    extra: str,
    message: str,
) -> None:
    arguments = overrides(stage, base, sources, tmp_path / "run", "size=1b", extra)
    with pytest.raises(RecipeError, match=message):
        start(monkeypatch, {"sft": sft, "dpo": dpo}[stage], arguments)
