"""Schema of the reinforcement learning stage's YAML.

KORMo leaves this stage to future work: defaults are TRL's where it has one, else our choice.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Licence, Strict

from ..shared_config import AdamWConfig, PrecisionConfig, RunLoggingConfig, Seed


class GRPOModelConfig(Strict):
    """What is trained.

    Attributes:
        init_from: model directory or Hub id with optional `@revision`; its tokenizer must have a
            chat template.
        attention: attention backend; padded batches are generated, which `varlen` cannot do.
        activation_checkpointing: recompute each layer in the backward pass.
    """

    init_from: str
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    activation_checkpointing: bool = False


class GRPODataConfig(Strict):
    """Questions whose answers can be checked.

    Attributes:
        paths: JSONL files. A row has `messages` or a question, an answer, a `language` (ko, en),
            and optionally `chat_template_kwargs: {enable_thinking: false}`.
        question_column: column with the question of rows that have no `messages`.
        answer_column: column with the value that the answer is compared with.
        recipe: data recipe that makes the files at `tiny`.
        licence: of the questions, for the model card.
        max_prompt_tokens: rows with longer prompts are dropped and counted.
        seed: order of the prompts, and sampling.
    """

    recipe: Path | None = None
    paths: list[Path] = Field(min_length=1)
    question_column: str = "question"
    answer_column: str = "value"
    licence: Licence
    max_prompt_tokens: int = Field(gt=0)
    seed: Seed = 42


class RewardsConfig(Strict):
    """Weights of the rewards in `recipes/post/rewards.py`; 0 only measures a reward.

    Attributes:
        answer: the answer has the wanted value.
        language: share of the answer's letters in the row's language.
        format: reasoning where asked for, an answer after it, not cut off.
    """

    answer: float = Field(ge=0)
    language: float = Field(ge=0)
    format: float = Field(ge=0)

    @model_validator(mode="after")
    def _some(self) -> "RewardsConfig":
        if not self.answer + self.language + self.format:
            raise ValueError("all weights are 0, so there is nothing to learn; raise one")
        return self


class GRPOBatchConfig(Strict):
    """Completions per step. The accumulation follows from the number of ranks.

    Attributes:
        prompts_per_step: different questions in an optimizer step over all ranks.
        generations_per_prompt: completions of each, which are compared with each other.
        micro_batch: completions per rank and forward pass.
        max_completion_tokens: a completion is cut off here.
    """

    prompts_per_step: int = Field(gt=0)
    generations_per_prompt: int = Field(ge=2)
    micro_batch: int = Field(gt=0)
    max_completion_tokens: int = Field(gt=0)

    @property
    def completions_per_step(self) -> int:
        return self.prompts_per_step * self.generations_per_prompt


class GenerationConfig(Strict):
    """How completions are sampled.

    Attributes:
        backend: `transformers` needs nothing else; `vllm` is faster on GPUs.
        temperature: of the sampling.
        vllm_mode: `colocate` shares the training GPUs; `server` asks `trl vllm-serve`.
        vllm_server: address of that server.
        vllm_memory: share of a GPU's memory that a colocated vLLM takes.
    """

    backend: Literal["transformers", "vllm"] = "transformers"
    temperature: float = Field(default=1.0, gt=0)
    vllm_mode: Literal["colocate", "server"] = "colocate"
    vllm_server: str = "http://localhost:8000"
    vllm_memory: float = Field(default=0.3, gt=0, lt=1)


class GRPOScheduleConfig(Strict):
    """Length of the stage; the learning rate is constant after a warm-up.

    Attributes:
        steps: optimizer steps.
        warmup_steps: steps that the learning rate rises over.
    """

    steps: int = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)


class GRPOOptimizerConfig(AdamWConfig):
    """AdamW and the objective.

    Attributes:
        beta2: as in every stage, with TRL's value.
        loss_type: how token losses are averaged; see TRL's `GRPOConfig.loss_type`. `bnpo` is not
            among them: its mean over a micro-batch depends on how a step is split.
        kl_beta: weight of the divergence from the start; above 0 a second model is kept in memory.
    """

    beta2: float = Field(default=0.999, ge=0, lt=1)
    loss_type: Literal["dapo", "dr_grpo", "grpo"] = "dapo"
    kl_beta: float = Field(default=0.0, ge=0)


class GRPOLoggingConfig(RunLoggingConfig):
    """Where results go and how often.

    Attributes:
        log_every: steps between lines of `metrics.jsonl`.
        save_every: steps between checkpoints.
        quick_eval_every: steps between evaluations of the suite `quick`; `None` is never. Not
            tokens, as in the other stages: how many a step has, its completions decide.
    """

    log_every: int = Field(default=1, gt=0)
    save_every: int = Field(gt=0)
    quick_eval_every: int | None = Field(default=None, gt=0)


class GRPOStageConfig(Strict):
    """The stage, in the order a reader meets it."""

    stage: Literal["grpo"]
    size: str
    model: GRPOModelConfig
    data: GRPODataConfig
    rewards: RewardsConfig
    batch: GRPOBatchConfig
    generation: GenerationConfig = GenerationConfig()
    schedule: GRPOScheduleConfig
    optimizer: GRPOOptimizerConfig
    parallelism: PrecisionConfig
    logging: GRPOLoggingConfig
