"""Preference tuning (DPO): of two answers to a question, the better one becomes likelier.

    kormo train dpo                                                 # tiny, minutes on a laptop
    kormo train dpo --config 1b/dpo.yaml --dry-run
    kormo train dpo preference.beta=0.05 logging.output_dir=runs/x

It starts from the SFT model, which is also the reference. The same tokens count as in SFT: of an
answer its reasoning, `</think>`, words and end of turn, not the prompt, `<think>` or an empty think
block. Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error, parse_command_line


def main() -> None:
    invocation = parse_command_line("dpo", __doc__)
    config = invocation.config

    # Only now: these load torch and TRL, and a mistake above is told without them.
    from recipes.engine.handover import DataFacts
    from recipes.post.chat_plan import chat_plan
    from recipes.post.export import export_chat
    from recipes.post.model import load_chat_model, load_chat_tokenizer, lora_config
    from recipes.post.pair_trainer import PairTrainer, dpo_arguments
    from recipes.post.pairs import PreferenceCollator, build_pairs
    from recipes.post.stage import begin, chat_fingerprint, set_length, train_chat

    if invocation.dry_run:
        print(chat_plan(config))
        return

    own = config.data
    args = begin(config, [s.path for s in own.sources], dpo_arguments)
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

    train_chat(trainer, config, chat_fingerprint(config, pairs.fingerprint))
    facts = DataFacts.of(own.sources, pairs.fingerprint, pairs.table)
    export_chat(trainer, config, tokenizer, facts)


if __name__ == "__main__":
    exit_on_error(main)
