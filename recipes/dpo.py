"""Preference tuning (DPO): of two answers to a question, the better one becomes likelier.

    kormo train dpo                                                 # tiny, minutes on a laptop
    kormo train dpo --config 1b/dpo.yaml --dry-run
    kormo train dpo preference.beta=0.05 logging.output_dir=runs/x

It starts from the SFT model, which is also the reference. The same tokens count as in SFT: of an
answer its reasoning, `</think>`, words and end of turn, not the prompt, `<think>` or an empty think
block. Started again after an interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.command_line import exit_on_error, parse_command_line
from recipes.post.dpo_config import DPOStageConfig

if TYPE_CHECKING:
    from trl import DPOConfig


def dpo_arguments(config: DPOStageConfig) -> DPOConfig:
    """Translate a config into TRL's arguments."""
    from trl import DPOConfig

    from recipes.arguments import one_device
    from recipes.post.stage import chat_arguments

    args = DPOConfig(
        **chat_arguments(config),
        beta=config.preference.beta,
        max_length=None,  # over-long pairs are left out, none is cut
        remove_unused_columns=False,
    )
    return one_device(args)


def main() -> None:
    invocation = parse_command_line("dpo", __doc__)
    config = invocation.config

    # Only now: these load torch and TRL, and a mistake above is told without them.
    from recipes.arguments import check_machine, start_processes
    from recipes.engine.quick_eval import add_quick_eval
    from recipes.engine.resume import claim_output
    from recipes.post.export import DataFacts, export_chat
    from recipes.post.model import load_chat_model, load_chat_tokenizer, lora_config
    from recipes.post.pair_trainer import PairTrainer
    from recipes.post.pairs import PreferenceCollator, build_pairs
    from recipes.post.stage import (
        chat_fingerprint,
        chat_plan,
        ensure_chat_inputs,
        set_length,
        train_chat,
    )

    if invocation.dry_run:
        print(chat_plan(config))
        return

    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    own = config.data
    args = dpo_arguments(config)
    claim_output(config.logging.output_dir)
    # At tiny size: data and the stages before, if they are not there.
    ensure_chat_inputs(config, [s.path for s in own.sources])

    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    pairs = build_pairs(
        own.sources, tokenizer, config.batch.sequence_length, own.heldout_rows, own.seed
    )
    # An adapter's reference is the model without it.
    reference = None if config.model.adapter else load_chat_model(config, tokenizer)
    set_length(args, config, len(pairs.train))
    trainer = PairTrainer(
        model=load_chat_model(config, tokenizer),
        ref_model=reference,
        args=args,
        data_collator=PreferenceCollator(tokenizer.pad_token_id),
        train_dataset=pairs.train,
        eval_dataset=pairs.heldout,
        processing_class=tokenizer,
        peft_config=lora_config(config, tokenizer),
    )
    if trainer.is_world_process_zero():
        print(pairs.table, flush=True)
    trainer.prepare(config)
    add_quick_eval(trainer, config, tokenizer)

    train_chat(trainer, config, chat_fingerprint(config, pairs.fingerprint))
    facts = DataFacts.of(own.sources, pairs.fingerprint, pairs.table)
    export_chat(trainer, config, tokenizer, facts)


if __name__ == "__main__":
    exit_on_error(main)
