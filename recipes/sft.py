"""Supervised fine-tuning: a model that answers, and that thinks when it is asked to.

    accelerate launch recipes/sft.py                                # tiny, minutes on a laptop
    accelerate launch recipes/sft.py --config 1b/sft.yaml --dry-run
    accelerate launch recipes/sft.py model.init_from=KORMo-Team/KORMo-10B-base --config 10b/sft.yaml

Conversations with and without reasoning are rendered by the chat template, which also marks what
carries loss: reasoning, `</think>`, answer and end of turn; not `<think>`, which opens the
reasoning on request, nor the empty block of an answer without. The masks are audited before the
first step. Whole conversations share a window and do not see each other. It works for any causal
language model with a chat template. Started again after an interruption, it goes on from the last
checkpoint.
"""

import os

from trl import SFTConfig

import modeling_kormo  # noqa: F401  (registers the model)
from recipes.command_line import exit_on_error, parse_command_line
from recipes.engine.quick_eval import add_quick_eval
from recipes.post.chats import build_data
from recipes.post.export import DataFacts, export_chat
from recipes.post.model import load_chat_model, load_chat_tokenizer, lora_config
from recipes.post.stage import (
    chat_fingerprint,
    chat_plan,
    ensure_chat_inputs,
    plan_chat_steps,
    throughput,
    train_chat,
    trainer_arguments,
)
from recipes.post.trainers import ChatTrainer
from recipes.run import claim_output


def main() -> None:
    invocation = parse_command_line("sft", __doc__)
    config = invocation.config
    if invocation.dry_run:
        print(chat_plan(config))
        return

    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    output_dir, length = config.logging.output_dir, config.batch.sequence_length
    trainer_arguments(config, 1, 1, config.data.seed)  # refuses before any work is done
    claim_output(output_dir)
    # At tiny size: data and the stages before, if they are not there.
    ensure_chat_inputs(config, [s.path for s in config.data.sources])

    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    data = build_data(config.data, tokenizer, length, output_dir / "data")
    model = load_chat_model(config, tokenizer)
    steps, accumulation = plan_chat_steps(config, len(data.train), ranks)
    args = SFTConfig(
        **trainer_arguments(config, steps, accumulation, config.data.seed),
        max_length=length,
        packing=True,
        packing_strategy="bfd",
        dataset_kwargs={"skip_prepare_dataset": True},  # it is tokenised and packed
    )
    trainer = ChatTrainer(
        model=model,
        args=args,
        train_dataset=data.train,
        eval_dataset=data.heldout,
        processing_class=tokenizer,
        peft_config=lora_config(config),
    )
    meter = throughput(model, config, ranks)
    trainer.prepare(meter, config.logging.keep_checkpoints, f"{config.size} sft")
    add_quick_eval(trainer, config, tokenizer)

    train_chat(trainer, config, chat_fingerprint(config, data.fingerprint))
    facts = DataFacts.of(config.data.sources, data.fingerprint, data.table)
    export_chat(trainer, config, tokenizer, facts)


if __name__ == "__main__":
    exit_on_error(main)
