"""Continue some text with a model: `python scripts/generate.py MODEL "prompt" ["prompt" ...]`."""

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from transformers.utils.logging import disable_progress_bar

import modeling_kormo  # noqa: F401  (registers the model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="model directory or Hub id")
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("--tokens", type=int, default=80, help="new tokens, at most")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 is greedy")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    disable_progress_bar()
    set_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype="auto").to(device).eval()
    for prompt in args.prompts:
        inputs = tokenizer(prompt, return_tensors="pt").to(device)
        sampling = {"do_sample": True, "temperature": args.temperature, "top_p": 0.95}
        output = model.generate(
            **inputs,
            max_new_tokens=args.tokens,
            **(sampling if args.temperature > 0 else {"do_sample": False}),
        )
        print(tokenizer.decode(output[0], skip_special_tokens=True), end="\n\n")


if __name__ == "__main__":
    main()
