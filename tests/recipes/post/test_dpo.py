"""DPO as a user starts it: what it prefers, the paper's loss, resumed, and refused."""

import shutil
from pathlib import Path

import pytest
import torch

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from recipes.post.chat_config import DPOStageConfig
from recipes.post.model import load_chat_model, load_chat_tokenizer
from recipes.post.pair_trainer import PairTrainer, dpo_arguments
from recipes.post.pairs import PreferenceCollator, build_pairs

from .chat_runs import CONFIGS, chat_stage, log_of, newest_checkpoint, weights


def test_dpo_prefers_the_chosen_and_resumes(base: Path, sources: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ["batch.tokens_per_step=3200", "schedule.epochs=2", "preference.sft_weight=0"]
    stage = chat_stage("dpo", base, sources, run, *settings)
    stage.main()
    log = log_of(run)
    measured = [m for m in log if "heldout_loss" in m]
    assert measured[0]["heldout_loss"] == pytest.approx(0.6931, abs=1e-3)  # ln 2: nothing preferred
    assert measured[-1]["heldout_rewards/accuracies"] > 0.7
    assert measured[-1]["heldout_loss"] < measured[0]["heldout_loss"]
    trained = weights(run / "final")
    # As if killed between the last step and the export, then as if killed before the last step.
    for lost in (["final"], ["final", newest_checkpoint(run).name]):
        for name in lost:
            shutil.rmtree(run / name)
        stage.main()
        assert log_of(run) == log
        assert all(torch.equal(t, trained[k]) for k, t in weights(run / "final").items())


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_the_preference_loss_is_the_papers(
    base: Path, sources: Path, tmp_path: Path, loss_type: str
) -> None:
    """Beta, the weight of the chosen answers' own loss and the form of the loss all take part."""
    beta, weight = 0.3, 0.7
    settings = [f"preference={{beta: {beta}, sft_weight: {weight}, loss_type: {loss_type}}}"]
    stage = chat_stage("dpo", base, sources, tmp_path / "run", *settings)
    config = load_config(CONFIGS / "dpo.yaml", DPOStageConfig, stage.overrides)
    tokenizer = load_chat_tokenizer(str(base))
    pairs = build_pairs(config.data.sources, tokenizer, 400, 12, 0)
    model, reference = (load_chat_model(config, tokenizer) for _ in range(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    trainer = PairTrainer(
        model=model,
        ref_model=reference,
        args=dpo_arguments(config),
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


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("model.attention=varlen", "use sdpa"),
        ("data.heldout_rows=1000", "only 60 pairs"),
    ],
)
def test_bad_input_is_refused(
    base: Path, sources: Path, tmp_path: Path, extra: str, message: str
) -> None:
    stage = chat_stage("dpo", base, sources, tmp_path / "run", "size=1b", extra)
    assert message in stage.refusal()
