"""Preference tuning (DPO): of two answers to a question, the better one becomes likelier.

    accelerate launch recipes/dpo.py                                # tiny, minutes on a laptop
    accelerate launch recipes/dpo.py --config 1b/dpo.yaml --dry-run
    accelerate launch recipes/dpo.py preference.beta=0.05 logging.output_dir=runs/x

It starts from the SFT model, which is also the reference. The same tokens count as in SFT: of an
answer its reasoning, `</think>`, words and end of turn, not the prompt, `<think>` or an empty think
block. Started again after an interruption, it goes on from the last checkpoint.
"""

import os

from trl import DPOConfig

import modeling_kormo  # noqa: F401  (registers the model)
from recipes.command_line import exit_on_error, parse_command_line
from recipes.engine.quick_eval import add_quick_eval
from recipes.post.export import DataFacts, export_chat
from recipes.post.model import load_chat_model, load_chat_tokenizer, lora_config
from recipes.post.pairs import PreferenceCollator, build_pairs
from recipes.post.stage import (
    chat_fingerprint,
    chat_plan,
    ensure_chat_inputs,
    plan_chat_steps,
    throughput,
    train_chat,
    trainer_arguments,
)
from recipes.post.trainers import PairTrainer
from recipes.run import claim_output


def main() -> None:
    invocation = parse_command_line("dpo", __doc__)
    config = invocation.config
    if invocation.dry_run:
        print(chat_plan(config))
        return

    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    own, preference, length = config.data, config.preference, config.batch.sequence_length
    trainer_arguments(config, 1, 1, own.seed)  # refuses before any work is done
    claim_output(config.logging.output_dir)
    # At tiny size: data and the stages before, if they are not there.
    ensure_chat_inputs(config, [s.path for s in own.sources])

    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    data = build_pairs(own.sources, tokenizer, length, own.heldout_rows, own.seed)
    model = load_chat_model(config, tokenizer)
    # An adapter's reference is the model without it.
    reference = None if config.model.adapter else load_chat_model(config, tokenizer)
    steps, accumulation = plan_chat_steps(config, len(data.train), ranks)
    with_sft = preference.sft_weight > 0
    args = DPOConfig(
        **trainer_arguments(config, steps, accumulation, own.seed),
        beta=preference.beta,
        loss_type=[preference.loss_type, "sft"] if with_sft else preference.loss_type,
        loss_weights=[1.0, preference.sft_weight] if with_sft else None,
        max_length=None,  # over-long pairs are left out, none is cut
        remove_unused_columns=False,
    )
    trainer = PairTrainer(
        model=model,
        ref_model=reference,
        args=args,
        data_collator=PreferenceCollator(tokenizer.pad_token_id),
        train_dataset=data.train,
        eval_dataset=data.heldout,
        processing_class=tokenizer,
        peft_config=lora_config(config),
    )
    meter = throughput(model, config, ranks)
    trainer.prepare(meter, config.logging.keep_checkpoints, f"{config.size} dpo")
    add_quick_eval(trainer, config, tokenizer)
    if trainer.is_world_process_zero():
        print(data.table, flush=True)

    train_chat(trainer, config, chat_fingerprint(config, data.fingerprint))
    facts = DataFacts.of(own.sources, data.fingerprint, data.table)
    export_chat(trainer, config, tokenizer, facts)


if __name__ == "__main__":
    exit_on_error(main)
