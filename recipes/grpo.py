"""Reinforcement learning with verifiable rewards (GRPO) on questions whose answers can be checked.

    kormo train grpo                                            # tiny, minutes on a laptop
    kormo train grpo --config 1b/grpo.yaml
    kormo train grpo schedule.steps=10 logging.output_dir=runs/x

It starts from a chat model. Several completions of each question are sampled and scored by the
rewards in recipes/post/rewards.py; those better than their group's mean become likelier. Started
again after an interruption, it goes on from the last checkpoint.
"""

from functools import partial

from recipes.command_line import exit_on_error, parse_command_line


def main() -> None:
    invocation = parse_command_line("grpo", __doc__)
    config = invocation.config

    # Only now: these load torch and TRL, and a mistake above is told without them.
    from recipes.engine.handover import DataFacts
    from recipes.post.export import export_chat
    from recipes.post.grpo_stage import (
        check_generation,
        grpo_arguments,
        grpo_fingerprint,
        grpo_plan,
    )
    from recipes.post.model import load_chat_tokenizer, load_model, load_rollout_tokenizer
    from recipes.post.prompts import load_prompts
    from recipes.post.reward_trainer import RewardTrainer
    from recipes.post.rewards import answer_reward, format_reward, language_reward
    from recipes.post.stage import begin, train_chat

    if invocation.dry_run:
        print(grpo_plan(config))
        return

    begin(config, [str(path) for path in config.data.paths], check_generation)
    tokenizer = load_rollout_tokenizer(config.model.init_from)
    prompts = load_prompts(config.data, tokenizer)
    per_step, seed = config.batch.prompts_per_step, config.data.seed
    rows = prompts.in_order(config.schedule.steps, per_step, seed)
    end_id = tokenizer.eos_token_id
    print(prompts.counts(), flush=True)
    load = partial(load_model, config.model.init_from, config.model.attention)
    trainer = RewardTrainer(
        model=load(),
        reference=load,
        args=grpo_arguments(config, end_id),
        processing_class=tokenizer,
        train_dataset=rows,
        # In the order of their weights in `grpo_arguments`.
        reward_funcs=[answer_reward, language_reward, partial(format_reward, end_id=end_id)],
    )
    trainer.prepare(config)

    train_chat(trainer, config, grpo_fingerprint(config, prompts))
    facts = DataFacts(
        prompts.languages, [config.data.licence], prompts.fingerprint, prompts.counts()
    )
    export_chat(trainer, config, load_chat_tokenizer(config.model.init_from), facts)


if __name__ == "__main__":
    exit_on_error(main)
