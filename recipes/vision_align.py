"""Alignment: a SigLIP tower is put before a language model, and the projector between is trained.

    kormo train vision_align                                  # tiny, minutes on a laptop
    kormo train vision_align --config 10b/vision_align.yaml --dry-run

The first stage of LLaVA, X-LLaVA and KORMo-VL: tower and language model stay as they are to the
bit, captions teach the projector to say pictures in the language model's terms. Loss on answers
alone. Rows are padded, not packed: TRL packs no pictures. Started again after an interruption, it
goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.vision import train_seeing


def main() -> None:
    train_seeing("vision_align", __doc__)


if __name__ == "__main__":
    exit_on_error(main)
