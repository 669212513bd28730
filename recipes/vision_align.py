"""Alignment: a SigLIP tower is put before a language model, and the projector between is trained.

    accelerate launch recipes/vision_align.py                        # tiny, minutes on a laptop
    accelerate launch recipes/vision_align.py --config 10b/vision_align.yaml --dry-run

The first stage of LLaVA, X-LLaVA and KORMo-VL: tower and language model stay as they are to the
bit, captions teach the projector to say pictures in the language model's terms. Loss on answers
alone. Rows are padded, not packed: TRL packs no pictures. Started again after an interruption, it
goes on from the last checkpoint.
"""

from __future__ import annotations

from recipes.command_line import exit_on_error, parse_command_line


def main() -> None:
    invocation = parse_command_line("vision_align", __doc__)

    # Only now: these load torch and TRL, and a mistake above is told without them.
    if invocation.dry_run:
        from recipes.post.vision_plan import vision_plan

        print(vision_plan(invocation.config))
        return
    from recipes.post.seeing_stage import train_seeing

    train_seeing(invocation.config)


if __name__ == "__main__":
    exit_on_error(main)
