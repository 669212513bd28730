"""Supervised fine-tuning: a model that answers, and that thinks when it is asked to.

    kormo train sft                                                 # tiny, minutes on a laptop
    kormo train sft --config 1b/sft.yaml --dry-run
    kormo train sft model.init_from=KORMo-Team/KORMo-10B-base --config 10b/sft.yaml

Conversations with and without reasoning are rendered by the chat template, which also marks what
carries loss: reasoning, `</think>`, answer and end of turn; not `<think>`, which opens the
reasoning on request, nor the empty block of an answer without. The masks are audited before the
first step. Whole conversations share a window and do not see each other. It works for any causal
language model with a chat template. Started again after an interruption, it goes on from the last
checkpoint.
"""

from recipes.command_line import exit_on_error, parse_command_line


def main() -> None:
    invocation = parse_command_line("sft", __doc__)
    config = invocation.config

    # Only now: these load torch and TRL, and a mistake above is told without them.
    from data_recipes.common.files import disk_full_is_an_error
    from recipes.engine.handover import DataFacts
    from recipes.post.chat_plan import chat_plan
    from recipes.post.chat_trainer import build_trainer, sft_arguments
    from recipes.post.chats import build_chats, unpack
    from recipes.post.export import export_chat
    from recipes.post.masks import MaskAudit, empty_thinking_learned
    from recipes.post.model import load_chat_tokenizer
    from recipes.post.stage import begin, chat_fingerprint, train_chat

    if invocation.dry_run:
        print(chat_plan(config))
        return

    args = begin(config, [s.path for s in config.data.sources], sft_arguments)
    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    data = config.logging.output_dir / "data"
    learned = config.data.learn_empty_thinking
    with disk_full_is_an_error(data), empty_thinking_learned(tokenizer, learned):
        chats = build_chats(config.data, tokenizer, config.batch.sequence_length, data)
        trainer = build_trainer(config, args, tokenizer, chats)

    # What is learned, before anything is.
    first = unpack(trainer.train_dataset, config.data.audit_rows)
    audit = MaskAudit(tokenizer, learned)(first, chats.left_out)
    if trainer.is_world_process_zero():
        print(audit.table(), flush=True)
    audit.check()

    train_chat(trainer, config, chat_fingerprint(config, chats.fingerprint))
    facts = DataFacts.of(config.data.sources, chats.fingerprint, audit.table())
    export_chat(trainer, config, tokenizer, facts)


if __name__ == "__main__":
    exit_on_error(main)
