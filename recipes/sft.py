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

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.command_line import exit_on_error, parse_command_line
from recipes.post.sft_config import SFTStageConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig

    from recipes.post.chat_trainer import ChatTrainer
    from recipes.post.chats import Chats


def sft_arguments(config: SFTStageConfig) -> SFTConfig:
    """Translate a config into TRL's arguments."""
    from trl import SFTConfig

    from recipes.arguments import one_device
    from recipes.post.stage import chat_arguments

    args = SFTConfig(
        **chat_arguments(config),
        assistant_only_loss=True,
        max_length=config.batch.sequence_length,
        packing=True,
        packing_strategy="bfd",
    )
    return one_device(args)


def build_trainer(
    config: SFTStageConfig, args: SFTConfig, tokenizer: PreTrainedTokenizerBase, chats: Chats
) -> ChatTrainer:
    """Make the trainer; in its constructor TRL renders, tokenises, masks and packs the chats.

    What it makes is kept, and an equal later start takes it from there.
    """
    from recipes.post.chat_files import keep_windows, read_windows, workers
    from recipes.post.chat_trainer import ChatTrainer, OneShape
    from recipes.post.model import load_chat_model, lora_config
    from recipes.post.stage import set_length

    windows = read_windows(chats.directory)
    if windows is None:
        args.dataset_num_proc = workers(len(chats.train))
    else:
        args.dataset_kwargs = {"skip_prepare_dataset": True}
        args.assistant_only_loss = False  # the labels say it
    train, heldout = windows or (chats.train, chats.heldout)
    trainer = ChatTrainer(
        model=load_chat_model(config, tokenizer),
        args=args,
        train_dataset=train,
        eval_dataset=heldout,
        processing_class=tokenizer,
        peft_config=lora_config(config, tokenizer),
    )
    if config.model.compile:
        tokens = config.batch.micro_batch * config.batch.sequence_length
        trainer.data_collator = OneShape(trainer.data_collator, tokens, tokenizer.pad_token_id)
    if windows is None:
        keep_windows(chats.directory, trainer.train_dataset, trainer.eval_dataset)
    set_length(args, config, len(trainer.train_dataset))
    trainer.prepare(config)
    return trainer


def main() -> None:
    invocation = parse_command_line("sft", __doc__)
    config = invocation.config

    # Only now: these load torch and TRL, and a mistake above is told without them.
    from data_recipes.common.files import disk_full_is_an_error
    from recipes.arguments import check_machine, start_processes
    from recipes.engine.quick_eval import add_quick_eval
    from recipes.engine.resume import claim_output
    from recipes.post.chats import build_chats, unpack
    from recipes.post.export import DataFacts, export_chat
    from recipes.post.masks import MaskAudit
    from recipes.post.model import load_chat_tokenizer
    from recipes.post.stage import chat_fingerprint, chat_plan, ensure_chat_inputs, train_chat

    if invocation.dry_run:
        print(chat_plan(config))
        return

    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    output_dir = config.logging.output_dir
    args = sft_arguments(config)
    claim_output(output_dir)
    # At tiny size: data and the stages before, if they are not there.
    ensure_chat_inputs(config, [s.path for s in config.data.sources])

    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    data = output_dir / "data"
    with disk_full_is_an_error(data):
        chats = build_chats(config.data, tokenizer, config.batch.sequence_length, data)
        trainer = build_trainer(config, args, tokenizer, chats)
    first = unpack(trainer.train_dataset, config.data.audit_rows)
    audit = MaskAudit(tokenizer)(first, chats.left_out)
    if trainer.is_world_process_zero():
        print(audit.table(), flush=True)
    audit.check()
    add_quick_eval(trainer, config, tokenizer)

    train_chat(trainer, config, chat_fingerprint(config, chats.fingerprint))
    facts = DataFacts.of(config.data.sources, chats.fingerprint, audit.table())
    export_chat(trainer, config, tokenizer, facts)


if __name__ == "__main__":
    exit_on_error(main)
