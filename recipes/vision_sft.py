"""Visual instruction tuning: language model and projector, or an adapter and the projector.

    kormo train vision_sft                                    # tiny, minutes on a laptop
    kormo train vision_sft --config 10b/vision_knowledge.yaml --dry-run
    kormo train vision_sft "model.adapter={rank: 16, alpha: 32}"

The tower stays as it is to the bit. KORMo-VL trains this twice: on knowledge, then on instructions.
Loss on answers alone: reasoning, `</think>`, answer and end of turn of the last one, never tokens
of pictures. Rows are padded, not packed: TRL packs no pictures. Started again after an
interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.vision import train_seeing


def main() -> None:
    train_seeing("vision_sft", __doc__)


if __name__ == "__main__":
    exit_on_error(main)
