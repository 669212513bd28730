"""Visual instruction tuning: language model and projector, or an adapter and the projector.

    accelerate launch recipes/vision_sft.py                          # tiny, minutes on a laptop
    accelerate launch recipes/vision_sft.py --config 10b/vision_knowledge.yaml --dry-run
    accelerate launch recipes/vision_sft.py "model.adapter={rank: 16, alpha: 32}"

The tower stays as it is to the bit. KORMo-VL trains this twice: on knowledge, then on instructions.
Loss on answers alone: reasoning, `</think>`, answer and end of turn of the last one, never tokens
of pictures. Rows are padded, not packed: TRL packs no pictures. Started again after an
interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

from recipes.command_line import exit_on_error, parse_command_line


def main() -> None:
    invocation = parse_command_line("vision_sft", __doc__)

    # Only now: these load torch and TRL, and a mistake above is told without them.
    if invocation.dry_run:
        from recipes.post.vision_plan import vision_plan

        print(vision_plan(invocation.config))
        return
    from recipes.post.seeing_stage import train_seeing

    train_seeing(invocation.config)


if __name__ == "__main__":
    exit_on_error(main)
