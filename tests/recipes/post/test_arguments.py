"""Every key of SFT, DPO and GRPO reaches what it is for, with a value that is not its default."""

import importlib
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.toy.chats import chats
from data_recipes.toy.preferences import preferences
from modeling_kormo import CHAT_TEMPLATE
from recipes.engine.quick_eval import QuickEval
from recipes.post.chat_config import DPOStageConfig, SFTStageConfig
from recipes.post.chat_plan import chat_plan
from recipes.post.chats import build_chats, unpack
from recipes.post.grpo_config import GRPOStageConfig
from recipes.post.model import load_chat_tokenizer
from tests.conftest import ROOT, release_outputs
from tests.recipes.post.grpo_hand_made import ROWS, write_rows
from tests.recipes.test_arguments import leaves

# Key: its value, where it must be found (t is the trainer, f the facts that `final/` is given), and
# what must be found there.
Cases = dict[str, tuple[str, Callable[[Any, Any], Any], Any]]


def decay(key: str) -> Callable[[Any, Any], Any]:
    return lambda t, f: t.args.lr_scheduler_kwargs[key]


def argument(name: str) -> Callable[[Any, Any], Any]:
    return lambda t, f: getattr(t.args, name)


def quick(t: Any) -> QuickEval:
    return next(c for c in t.callback_handler.callbacks if isinstance(c, QuickEval))


SHARED: Cases = {
    "model.activation_checkpointing": ("true", argument("gradient_checkpointing"), True),
    "data.seed": ("7", lambda t, f: (t.args.seed, t.args.data_seed), (7, 7)),
    "optimizer.learning_rate": ("0.004", argument("learning_rate"), 0.004),
    "optimizer.beta1": ("0.8", argument("adam_beta1"), 0.8),
    "optimizer.beta2": ("0.9", argument("adam_beta2"), 0.9),
    "optimizer.epsilon": ("1e-6", argument("adam_epsilon"), 1e-6),
    "optimizer.weight_decay": ("0.2", argument("weight_decay"), 0.2),
    "optimizer.max_grad_norm": ("0.5", argument("max_grad_norm"), 0.5),
    "parallelism.precision": ("bf16", argument("bf16"), True),
    "parallelism.timeout_minutes": ("45", argument("ddp_timeout"), 2700),
    "logging.log_every": ("3", argument("logging_steps"), 3),
    "logging.save_every": ("5", argument("save_steps"), 5),
    "logging.keep_checkpoints": ("7", lambda t, f: t.keep_checkpoints, 7),
    "logging.report_to": ("[tensorboard]", argument("report_to"), ["tensorboard"]),
    "logging.quick_eval_items": ("3", lambda t, f: quick(t).items, 3),
    "logging.quick_eval_suite": ("proxy", lambda t, f: quick(t).suite, "proxy"),
}
# Windows of 400 tokens, 8 a step: 2 a forward pass, 4 passes.
PACKED: Cases = {
    **SHARED,
    "model.adapter": (
        "{rank: 3, alpha: 7}",
        lambda t, f: t.model.model.model.layers[0].self_attn.q_proj.scaling["default"],
        7 / 3,
    ),
    "batch.micro_batch": ("2", argument("per_device_train_batch_size"), 2),
    "batch.tokens_per_step": ("3200", argument("gradient_accumulation_steps"), 4),
    "schedule.warmup_fraction": (
        "0.3",
        lambda t, f: t.args.warmup_steps / t.args.max_steps,
        pytest.approx(0.3, abs=0.1),
    ),
    "schedule.decay_type": ("linear", decay("decay_type"), "linear"),
    "schedule.min_lr_ratio": ("0.2", decay("min_lr_ratio"), 0.2),
    "parallelism.sync_each_microbatch": (
        "true",
        lambda t, f: t.args.accelerator_config.gradient_accumulation_kwargs["sync_each_batch"],
        True,
    ),
    "logging.eval_every": ("4", argument("eval_steps"), 4),
    "logging.quick_eval_every_tokens": ("6400", lambda t, f: quick(t).every_steps, 2),
}
SFT: Cases = {
    **PACKED,
    "model.attention": ("sdpa", lambda t, f: t.model.config._attn_implementation, "sdpa"),
    "batch.sequence_length": ("400", argument("max_length"), 400),
    "schedule.epochs": (
        "3",
        lambda t, f: t.args.max_steps == int(3 * len(t.train_dataset) / 8),
        True,
    ),
    "data.heldout_rows": (
        "9",
        lambda t, f: sum(1 for _ in unpack(t.eval_dataset, 1000)),
        9,
    ),
    "data.audit_rows": ("21", lambda t, f: f.table.split()[:2], ["conversations", "21"]),
}
DPO: Cases = {
    **PACKED,
    "model.attention": ("eager", lambda t, f: t.model.config._attn_implementation, "eager"),
    "batch.sequence_length": (
        "400",
        lambda t, f: max(len(x) for x in t.train_dataset["chosen_ids"]) <= 400,
        True,
    ),
    "schedule.epochs": ("3", lambda t, f: t.args.max_steps, 3 * (40 - 9) // 8),
    "data.heldout_rows": ("9", lambda t, f: len(t.eval_dataset), 9),
    "preference.beta": ("0.3", lambda t, f: t.preference.beta, 0.3),
    "preference.loss_type": ("ipo", lambda t, f: t.preference.loss_type, "ipo"),
    "preference.sft_weight": ("0.7", lambda t, f: t.preference.sft_weight, 0.7),
}
GRPO: Cases = {
    **SHARED,
    "model.attention": ("eager", lambda t, f: t.model.config._attn_implementation, "eager"),
    "data.question_column": ("ask", lambda t, f: any("8 + 9?" in p for p in prompts(t)), True),
    "data.answer_column": ("gold", lambda t, f: set(t.train_dataset["answer"]), {"17"}),
    "data.licence": ("CC0-1.0", lambda t, f: f.licences, ["CC0-1.0"]),
    "rewards.answer": ("0.9", lambda t, f: t.reward_weights.tolist()[0], pytest.approx(0.9)),
    "rewards.language": ("0.3", lambda t, f: t.reward_weights.tolist()[1], pytest.approx(0.3)),
    "rewards.format": ("0.1", lambda t, f: t.reward_weights.tolist()[2], pytest.approx(0.1)),
    "batch.prompts_per_step": ("1", argument("gradient_accumulation_steps"), 2),
    "batch.generations_per_prompt": ("6", lambda t, f: t.num_generations, 6),
    "batch.micro_batch": ("3", argument("per_device_train_batch_size"), 3),
    "batch.max_completion_tokens": ("11", lambda t, f: t.max_completion_length, 11),
    "generation.temperature": ("0.8", lambda t, f: t.temperature, 0.8),
    "schedule.steps": ("9", lambda t, f: (t.args.max_steps, len(t.train_dataset)), (9, 9)),
    "schedule.warmup_steps": ("2", argument("warmup_steps"), 2),
    "optimizer.loss_type": ("dr_grpo", lambda t, f: t.loss_type, "dr_grpo"),
    "optimizer.kl_beta": ("0.04", lambda t, f: t.beta, 0.04),
    "logging.quick_eval_every": ("4", lambda t, f: quick(t).every_steps, 4),
}
# Each has a test of its own, below or in the tests of the stages.
ELSEWHERE = {"stage", "size", "data.recipe", "model.init_from", "logging.output_dir"}
ELSEWHERE |= {"parallelism.require_gpu", "logging.background_checkpoints"}
PLANNED = {"parallelism.gpus", "parallelism.gpu"}
FAST = {"model.compile", "model.flash_kernel"}
SFT_ELSEWHERE = {"data.sources", "data.thinking_share", "data.balance", "data.overlong"}
SFT_ELSEWHERE |= {"model.chat_template", "data.learn_empty_thinking", "schedule.steps"}
SFT_ELSEWHERE |= PLANNED | FAST
DPO_ELSEWHERE = {"data.sources", "model.chat_template", "schedule.steps"} | PLANNED | FAST
GRPO_ELSEWHERE = {"data.paths", "data.max_prompt_tokens", "generation.backend"}
GRPO_ELSEWHERE |= {"generation.vllm_mode", "generation.vllm_server", "generation.vllm_memory"}
STAGES = {
    "sft": (SFTStageConfig, SFT, SFT_ELSEWHERE),
    "dpo": (DPOStageConfig, DPO, DPO_ELSEWHERE),
    "grpo": (GRPOStageConfig, GRPO, GRPO_ELSEWHERE),
}


def prompts(trainer: Any) -> list[str]:
    return trainer.train_dataset["prompt"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_key_is_looked_at(stage: str) -> None:
    schema, cases, elsewhere = STAGES[stage]
    assert set(leaves(schema)) == cases.keys() | ELSEWHERE | elsewhere


def data(stage: str, directory: Path) -> list[str]:
    if stage == "grpo":
        row = {"language": "en", "ask": "8 + 9?", "gold": "17"}
        return [f"data.paths=[{write_rows(directory / 'rows.jsonl', [row, ROWS[3] | row])}]"]
    rows = chats("en", 0) if stage == "sft" else preferences("en", 0)
    if stage == "sft":  # of longer conversations, each answer would be a sample
        rows = (r for r in rows if [m["role"] for m in r["messages"]].count("assistant") == 1)
    path = write_rows(directory / f"{stage}.jsonl", list(islice(rows, 60)))
    return [f"data.sources=[{{path: {path}, language: fr, licence: CC0-1.0, max_rows: 40}}]"]


@pytest.fixture(scope="module", params=STAGES)
def built(
    request: pytest.FixtureRequest,
    base: Path,
    chat_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Any, Any]:
    """A stage's trainer, as the stage itself builds it, and what it would give to the export."""
    stage, directory = request.param, tmp_path_factory.mktemp("arguments")
    made: dict[str, Any] = {}
    changed = [f"{key}={value}" for key, (value, _, _) in STAGES[stage][1].items()]
    parent = chat_model if stage == "grpo" else base
    arguments = [f"model.init_from={parent}", *data(stage, directory), *changed]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [stage, *arguments, f"logging.output_dir={directory / 'run'}"])
        patch.setattr("recipes.post.stage.train_chat", lambda t, *_: made.update(trainer=t))
        patch.setattr("recipes.post.export.export_chat", lambda *a: made.update(facts=a[-1]))
        # Tensorboard may not be installed.
        name = "transformers.trainer.get_reporting_integration_callbacks"
        patch.setattr(name, lambda *_: [])
        release_outputs()
        importlib.import_module(f"recipes.{stage}").main()
        release_outputs()
    return stage, made["trainer"], made["facts"]


def test_all_keys_reach_the_trainer(built: tuple[str, Any, Any]) -> None:
    stage, trainer, facts = built
    wrong = {}
    for key, (_, look, expected) in STAGES[stage][1].items():
        if (found := look(trainer, facts)) != expected:
            wrong[key] = found
    assert not wrong
    if stage != "grpo":
        assert (facts.languages, facts.licences) == (["fr"], ["CC0-1.0"])


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_the_plan_is_for_the_gpus_it_is_told(stage: str, tmp_path: Path) -> None:
    path = ROOT / "recipes" / "configs" / "1b" / f"{stage}.yaml"
    for gpus, split in (
        (8, {"sft": "x 4 ", "dpo": "x 16 "}),
        (2, {"sft": "x 16 ", "dpo": "x 64 "}),
    ):
        config = load_config(
            path, STAGES[stage][0], [f"parallelism.gpus={gpus}", "parallelism.gpu=A100"]
        )
        plan = chat_plan(config)
        assert f"{gpus} GPUs (A100) x 1 windows {split[stage]}forward passes" in plan


def test_keys_of_chat_data(base: Path, tmp_path: Path) -> None:
    """Which conversations are taken: first rows, shares, balance, and what is too long."""
    rows = [*islice(chats("en", 0), 100)]
    for number, row in enumerate(rows):
        row["level"] = "hard" if number % 5 == 0 else "easy"
        row["messages"][0]["content"] += f" {row['level']}"
    path = write_rows(tmp_path / "rows.jsonl", rows)
    tokenizer = load_chat_tokenizer(str(base))

    def taken(*changed: str, length: int = 2000, rows: int = 100) -> tuple[Counter, Counter]:
        source = f"{{path: {path}, language: en, licence: x, max_rows: {rows}}}"
        config = load_config(
            ROOT / "recipes/configs/tiny/sft.yaml",
            SFTStageConfig,
            [f"data.sources=[{source}]", "data.heldout_rows=5", *changed],
        )
        found = build_chats(config.data, tokenizer, length, tmp_path / "data")
        messages = [r["messages"] for part in (found.train, found.heldout) for r in part]
        kinds = (
            (m[0]["content"].split()[-1], bool(m[-1].get("reasoning_content"))) for m in messages
        )
        return Counter(kinds), found.left_out

    plain = ["data.thinking_share=null", "data.overlong=cut"]
    everything, _ = taken(*plain)
    assert everything.total() >= 100 > taken(*plain, rows=40)[0].total()
    balanced, left_out = taken("data.thinking_share=null", "data.balance=level")
    for thinking in (True, False):
        assert balanced["hard", thinking] == balanced["easy", thinking] > 0
    assert left_out["not_chosen"] == everything.total() - balanced.total()
    shared, _ = taken("data.thinking_share=0.25")
    thinking = sum(number for (_, thinks), number in shared.items() if thinks)
    assert thinking / shared.total() == pytest.approx(0.25, abs=0.01)
    assert taken(*plain, length=250)[1]["later_turns"] > 0
    dropped = taken("data.thinking_share=null", "data.overlong=drop", length=250)[1]
    assert dropped["later_turns"] == 0 and dropped["too_long"] > 0
    path.write_text(" \n")
    with pytest.raises(RecipeError, match="rows.jsonl is empty; name one with conversations"):
        taken(*plain)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_template_of_ones_own_is_taken(base: Path, tmp_path: Path, stage: str) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("{#- mine #}" + CHAT_TEMPLATE.read_text(encoding="utf-8"))
    path = ROOT / "recipes" / "configs" / "tiny" / f"{stage}.yaml"
    config = load_config(path, STAGES[stage][0], [f"model.chat_template={template}"])
    loaded = load_chat_tokenizer(str(base), config.model.chat_template)
    assert loaded.chat_template == template.read_text()


def test_vllm_gets_its_settings(overrides: list[str]) -> None:
    from recipes.post.grpo_stage import grpo_arguments

    settings = "{backend: vllm, vllm_mode: server, vllm_server: 'http://a:1', vllm_memory: 0.2}"
    path = ROOT / "recipes" / "configs" / "tiny" / "grpo.yaml"
    changed = [*overrides, f"generation={settings}", "data.max_prompt_tokens=33"]
    args = grpo_arguments(load_config(path, GRPOStageConfig, changed), end_id=5)
    assert (args.use_vllm, args.vllm_mode, args.vllm_server_base_url) == (
        True,
        "server",
        "http://a:1",
    )
    assert (args.vllm_gpu_memory_utilization, args.vllm_max_model_length) == (0.2, 33 + 12)
    assert args.generation_kwargs == {"stop_token_ids": [5]}
