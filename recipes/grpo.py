"""Reinforcement learning with verifiable rewards (GRPO) on questions whose answers can be checked.

    accelerate launch recipes/grpo.py                           # tiny, minutes on a laptop
    accelerate launch recipes/grpo.py --config 1b/grpo.yaml
    accelerate launch recipes/grpo.py schedule.steps=10 logging.output_dir=runs/x

It starts from a chat model. Several completions of each question are sampled and scored by the
rewards in recipes/rewards.py; those better than their group's mean become likelier. Started again
after an interruption, it goes on from the last checkpoint.
"""

import os
import shutil

import yaml
from transformers import PreTrainedTokenizerBase

from recipes.arguments import exit_on_error
from recipes.grpo_build import (
    build_model,
    build_tokenizer,
    build_trainer,
    check_enough,
    check_machine,
    find_checkpoint,
    grpo_arguments,
    parse_command_line,
)
from recipes.grpo_config import GRPOStageConfig
from recipes.grpo_data import load_prompts
from recipes.grpo_trainer import RewardTrainer
from recipes.handover import FINAL
from recipes.run import claim_output


def export_chat_model(
    trainer: RewardTrainer, config: GRPOStageConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Write the trained model and its tokenizer to `final/`, which is whole or absent."""
    staged = config.logging.output_dir / ".final.tmp"
    state_dict = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        shutil.rmtree(staged, ignore_errors=True)
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        model.save_pretrained(staged, state_dict=state_dict)
        tokenizer.save_pretrained(staged)
        os.replace(staged, config.logging.output_dir / FINAL)
        print(f"model  {config.logging.output_dir / FINAL}", flush=True)
    trainer.accelerator.wait_for_everyone()


def main() -> None:
    invocation = parse_command_line(__doc__)
    config = invocation.config
    tokenizer = build_tokenizer(config)
    prompts = load_prompts(config.data, tokenizer)
    check_enough(config, prompts)
    if invocation.dry_run:
        print(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        print(prompts.counts())
        return

    check_machine(config)
    args = grpo_arguments(config, tokenizer.eos_token_id)
    claim_output(config)
    if args.process_index == 0:
        print(prompts.counts(), flush=True)
    checkpoint = find_checkpoint(config, prompts)
    trainer = build_trainer(config, args, build_model(config), tokenizer, prompts)

    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    export_chat_model(trainer, config, tokenizer)


if __name__ == "__main__":
    exit_on_error(main)
