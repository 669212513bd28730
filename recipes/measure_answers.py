"""How many held-out questions of the embedded corpus a model answers, thinking and not.

    python -m recipes.measure_answers runs/tiny/midtrain_reasoning/final runs/tiny/sft/final
    python -m recipes.measure_answers runs/tiny/sft/final -n 500 --out runs/tiny/answers.json

The questions are of the test split: no training text has their numbers, in any language. Answers
are compared by value. A model without a chat template is asked with KORMo's.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

import modeling_kormo  # noqa: F401  (registers the model)
from data_recipes.corpus import LANGUAGES
from data_recipes.corpus.items import ReasoningItem, unique_items
from data_recipes.errors import RecipeError
from data_recipes.intervals import wilson
from eval.judging import judge
from modeling_kormo.chat_config import chat_generation_config

from .arguments import exit_on_error
from .chat_tokens import training_template


@dataclass(frozen=True)
class Measurement:
    """Answers of one model to the questions of one language.

    Attributes:
        model: as named.
        language: code.
        thinking: whether it was asked to think.
        items: questions.
        right: answered rightly.
        as_asked: think block non-empty if asked to think, empty if not.
        ended: answers that came to their end.
    """

    model: str
    language: str
    thinking: bool
    items: int
    right: int
    as_asked: int
    ended: int

    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of right answers."""
        return wilson(self.right, self.items)


class Answers:
    """Asks a model.

    Args:
        name: model directory or Hub id.
        batch: questions at a time.
        max_tokens: longest answer, reasoning included.
    """

    def __init__(self, name: str, batch: int, max_tokens: int) -> None:
        self.name, self.batch = name, batch
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(
                name, dtype="auto", attn_implementation="sdpa"
            )
        except (OSError, ValueError) as error:
            raise RecipeError(f"{name}: {error}") from error
        self.tokenizer.chat_template = training_template(self.tokenizer, name)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.to(self.device).eval()
        self.generation = chat_generation_config(self.tokenizer, temperature=0)
        self.generation.max_new_tokens = max_tokens

    def complete(self, items: list[ReasoningItem], thinking: bool) -> Iterator[tuple[str, bool]]:
        """What the model writes after each question, and whether it came to its end."""
        ends = set(self.generation.eos_token_id)
        for start in tqdm(range(0, len(items), self.batch), desc=self.name, file=sys.stderr):
            own = items[start : start + self.batch]
            inputs = self._prompts(self.tokenizer, own, thinking).to(self.device)
            with torch.inference_mode():
                output = self.model.generate(**inputs, generation_config=self.generation)
            for ids in output[:, inputs["input_ids"].shape[1] :].tolist():
                ended = not ends.isdisjoint(ids)
                text = self.tokenizer.decode(
                    [i for i in ids if i != self.tokenizer.pad_token_id], skip_special_tokens=True
                )
                yield text, ended

    @staticmethod
    def _prompts(
        tokenizer: PreTrainedTokenizerBase, items: list[ReasoningItem], thinking: bool
    ) -> dict[str, torch.Tensor]:
        return tokenizer.apply_chat_template(
            [[{"role": "user", "content": item.question}] for item in items],
            add_generation_prompt=True,
            enable_thinking=thinking,
            padding=True,
            return_dict=True,
            return_tensors="pt",
        )

    def measure(self, language: str, number: int, thinking: bool, seed: int) -> Measurement:
        """Ask `number` different questions of the test split."""
        items = list(unique_items(language, "test", number, seed))
        right = as_asked = complete = 0
        for item, (text, ended) in zip(items, self.complete(items, thinking), strict=True):
            verdict = judge(text, item.value, thinking, language)
            right += verdict.right
            as_asked += verdict.as_asked
            complete += ended
        return Measurement(self.name, language, thinking, len(items), right, as_asked, complete)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", help="model directories or Hub ids")
    parser.add_argument("-n", type=int, default=500, help="questions per language (%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="questions at a time (%(default)s)")
    parser.add_argument("--max-tokens", type=int, default=160, help="of an answer (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed asks others")
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    args = parser.parse_args()
    disable_progress_bar()
    rows = [
        answers.measure(language, args.n, thinking, args.seed)
        for answers in (Answers(name, args.batch, args.max_tokens) for name in args.models)
        for language in LANGUAGES
        for thinking in (True, False)
    ]
    width = max(len(row.model) for row in rows)
    print(f"{'model':<{width}}  language  thinking   right  95 % interval   as asked   ended")
    for row in rows:
        low, high = row.interval()
        print(
            f"{row.model:<{width}}  {row.language:<8}  {'yes' if row.thinking else 'no':<8}"
            f"{row.right / row.items:8.1%}  {low:5.1%} to {high:5.1%}"
            f"{row.as_asked / row.items:10.1%}{row.ended / row.items:8.1%}"
        )
    if args.out:
        args.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    exit_on_error(main)
