"""SFT's loss: that of each conversation by itself, TRL's, and in held-out windows."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from trl import SFTTrainer

from data_recipes.common.errors import RecipeError
from recipes.post.chat_trainer import ChatTrainer, OneShape
from tests.conftest import Once

from .chat_runs import LORA, chat_stage, sft_trainer

Build = Callable[..., ChatTrainer]


@pytest.fixture(scope="session")
def build(base: Path, sources: Path, once: Once) -> Build:
    """Factory of trainers of one SFT, whose windows TRL has packed once."""

    def make(output: Path, *extra: str) -> ChatTrainer:
        return sft_trainer(chat_stage("sft", base, sources, output, *extra), data)[0]

    def pack(directory: Path) -> None:
        sft_trainer(chat_stage("sft", base, sources, directory / "run"), directory / "data")

    data = once("packed-chats", pack) / "data"
    return make


@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
@pytest.mark.parametrize("adapter", [None, LORA])
def test_packed_loss_is_that_of_separate_conversations(
    build: Build, tmp_path: Path, attention: str, adapter: str | None
) -> None:
    extra = [f"model.attention={attention}", *([adapter] if adapter else [])]
    trainer = build(tmp_path / "run", *extra)
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


@pytest.mark.parametrize("save_every", [1, 100])
def test_what_is_no_number_is_never_saved_whenever_it_is_logged(
    build: Build, tmp_path: Path, save_every: int
) -> None:
    run = tmp_path / "run"
    trainer = build(
        run,
        "schedule.steps=2",
        "logging.log_every=100",
        "logging.eval_every=100",
        f"logging.save_every={save_every}",
    )
    with torch.no_grad():
        trainer.model.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(RecipeError, match="is not a number"):
        trainer.run(None)
    assert not list(run.glob("checkpoint-*"))


class Asked(TorchDispatchMode):
    """Counts how often the host reads a value of the device."""

    times = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        self.times += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_the_loss_is_trls_without_its_questions(build: Build, tmp_path: Path) -> None:
    """Losses and gradients of micro-batches, also filled up to one shape."""
    trainer = build(tmp_path / "run")
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(20)  # else all tokens are about as unlikely
    counted = torch.tensor(700)
    parameters = list(trainer.model.parameters())

    def learn(batch: dict[str, Any], loss_of: Any) -> tuple[float, list[Any], int]:
        with Asked() as asked:
            loss = loss_of(trainer.model, batch, num_items_in_batch=counted)
            trainer._track_num_input_tokens(batch)
        return loss.item(), torch.autograd.grad(loss, parameters), asked.times

    fill = OneShape(trainer.data_collator, 900, trainer.processing_class.pad_token_id)
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


def test_the_held_out_loss_is_the_mean_over_learned_tokens(build: Build, tmp_path: Path) -> None:
    """However they are spread over windows, of which the last is nearly empty."""
    trainer = build(tmp_path / "run")
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
