"""Does a model find a fact again that it read some way back? By distance, in both languages.

    python -m recipes.measure_retrieval runs/tiny/stage2/final runs/tiny/midtrain_long/final
    python -m recipes.measure_retrieval runs/tiny/midtrain_long/final -n 100 --distances 256 1024

Three codes are told, then comes other text of the embedded corpus, then one of them is asked for.
Right is an answer whose every digit is the likeliest token; a guess among the three is right in one
of three.
"""

import argparse
import random
import sys

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

import modeling_kormo  # noqa: F401  (registers the model)
from data_recipes.corpus import LANGUAGES
from data_recipes.corpus.long_documents import write_facts, write_paragraphs
from data_recipes.errors import RecipeError

from .arguments import exit_on_error

_FACTS = 3
_CHARACTERS_PER_TOKEN = 8  # more than any tokenizer reaches on this text


def question(
    tokenizer: PreTrainedTokenizerBase, language: str, distance: int, seed: str
) -> tuple[list[int], list[int]]:
    """Ids of a text that ends in an answer, and the places of the answer's digits in it.

    Args:
        tokenizer: of the model.
        language: code.
        distance: tokens between the facts and the question.
        seed: another one tells other facts.
    """
    rng = random.Random(seed)
    facts = write_facts(rng, language, _FACTS)
    asked, fact = rng.choice(facts)
    filler = "\n\n".join(write_paragraphs(rng, language, distance * _CHARACTERS_PER_TOKEN))
    head = tokenizer("".join(f"{told}\n\n" for _, told in facts))["input_ids"]
    middle = tokenizer(filler, add_special_tokens=False)["input_ids"][:distance]
    tail = tokenizer(f"\n\n{asked} {fact}", add_special_tokens=False, return_offsets_mapping=True)
    ids = [*head, *middle, *tail["input_ids"]]
    text = f"\n\n{asked} {fact}"
    digits = {i for i, c in enumerate(text) if c.isdigit()}
    first = len(head) + len(middle)
    places = [
        first + i
        for i, (start, end) in enumerate(tail["offset_mapping"])
        if digits.intersection(range(start, end))
    ]
    return ids, places


@torch.inference_mode()
def retrieval(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    language: str,
    distance: int,
    number: int,
) -> float:
    """Share of questions that are answered rightly."""
    right = 0
    for n in range(number):
        ids, places = question(tokenizer, language, distance, f"retrieval/{language}/{n}")
        batch = torch.tensor([ids], device=model.device)
        logits = model(batch, use_cache=False).logits[0]
        guessed = logits[[place - 1 for place in places]].argmax(dim=-1)
        right += guessed.tolist() == [ids[place] for place in places]
    return right / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", help="model directories or Hub ids")
    parser.add_argument("-n", type=int, default=50, help="questions per figure (%(default)s)")
    parser.add_argument(
        "--distances",
        type=int,
        nargs="+",
        default=[64, 128, 256, 512, 1024, 1536],
        help="tokens between fact and question (%(default)s)",
    )
    args = parser.parse_args()
    disable_progress_bar()
    width = max(map(len, args.models))
    print(f"{'model':<{width}}  language" + "".join(f"{d:>8,}" for d in args.distances))
    for name in args.models:
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            model = AutoModelForCausalLM.from_pretrained(
                name, dtype="auto", attn_implementation="sdpa"
            )
        except (OSError, ValueError) as error:
            raise RecipeError(f"{name}: {error}") from error
        model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        for language in LANGUAGES:
            shares = [
                retrieval(model, tokenizer, language, distance, args.n)
                for distance in tqdm(args.distances, desc=f"{name} {language}", file=sys.stderr)
            ]
            print(f"{name:<{width}}  {language:<8}" + "".join(f"{s:8.0%}" for s in shares))


if __name__ == "__main__":
    exit_on_error(main)
