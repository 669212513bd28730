"""Continue some text with a model, or answer about a picture with one that sees.

python scripts/generate.py MODEL "prompt" ["prompt" ...]
python scripts/generate.py MODEL --image picture.png "question"
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.references import check_model
from recipes.command_line import exit_on_error

if TYPE_CHECKING:
    from transformers import BatchFeature

    from modeling_kormo.vision import Processor


def ask(processor: Processor, pictures: list[Path], question: str) -> BatchFeature:
    """Turn a question about pictures into what the model reads, to be answered at once."""
    from data_recipes.read.pictures import open_picture

    shown = [{"type": "image", "image": open_picture(path)} for path in pictures]
    return processor.apply_chat_template(
        [{"role": "user", "content": [*shown, {"type": "text", "text": question}]}],
        add_generation_prompt=True,
        enable_thinking=False,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="model directory or Hub id")
    parser.add_argument("prompts", nargs="+")
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        help="picture that the prompts ask about, answered as in a chat; may be repeated",
    )
    parser.add_argument("--tokens", type=int, default=80, help="new tokens, at most")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 is greedy")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    check_model(args.model)

    # They take seconds to load: a mistake above is told without them.
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer, set_seed
    from transformers.utils.logging import disable_progress_bar

    from eval.local_model import load_language_model
    from modeling_kormo.checkpoint_files import load_whole
    from modeling_kormo.vision import load_processor

    disable_progress_bar()
    set_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.image:
        try:
            tokenizer = load_processor(args.model)
            model = load_whole(AutoModelForImageTextToText, args.model, dtype="auto")
        except (OSError, ValueError) as error:
            raise RecipeError(f"{args.model}: not a model that sees ({error})") from error
    else:
        tokenizer = AutoTokenizer.from_pretrained(args.model)
        with errors_about(args.model):
            model = load_language_model(args.model, "auto")
    model = model.to(device).eval()
    for prompt in args.prompts:
        if args.image:
            inputs = ask(tokenizer, args.image, prompt).to(device)
        else:
            inputs = tokenizer(prompt, return_tensors="pt").to(device)
        sampling = {"do_sample": True, "temperature": args.temperature, "top_p": 0.95}
        output = model.generate(
            **inputs,
            max_new_tokens=args.tokens,
            **(sampling if args.temperature > 0 else {"do_sample": False}),
        )
        start = inputs["input_ids"].shape[1] if args.image else 0
        print(tokenizer.decode(output[0, start:], skip_special_tokens=True), end="\n\n")


if __name__ == "__main__":
    exit_on_error(main)
