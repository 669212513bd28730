"""Look at what fine-tuning would learn: conversations with learned tokens coloured, and a table.

    python -m recipes.inspect_masks                                  # the tiny recipe's data
    python -m recipes.inspect_masks --config 1b/sft.yaml -n 3 --seed 1
    python -m recipes.inspect_masks --model runs/tiny/sft/final --data my_chats.jsonl
    python -m recipes.inspect_masks --config tiny/vision_sft.yaml    # with pictures

Exit status 1 if a loss mask breaks the contract.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from data_recipes.common.config_files import (
    add_overrides,
    find_config,
    load_config,
    read_yaml,
    refuse_options,
)
from data_recipes.common.errors import RecipeError
from recipes.command_line import CONFIGS, SCHEMAS, exit_on_error
from recipes.post.chat_config import SFTStageConfig
from recipes.post.vision_config import SeeingStageConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text
    from transformers import PreTrainedTokenizerBase

    from data_recipes.common.terminal import Terminal
    from recipes.post.masks import Tokens


def coloured(
    terminal: Terminal, tokenizer: PreTrainedTokenizerBase, tokens: Tokens
) -> list[Text | str]:
    """A conversation as stretches, learned ones marked.

    Tokens that are text only together, such as the bytes of a syllable, are shown together, as
    learned if one of them is. Those of a picture are counted.
    """
    from modeling_kormo.loss_kormo import IGNORE_INDEX

    image = getattr(tokenizer, "image_token_id", None)
    stretches: list[tuple[bool, bool, str]] = []
    held: list[int] = []
    learned = False
    for token, label in zip(tokens.input_ids, tokens.labels):
        held.append(token)
        learned |= label != IGNORE_INDEX
        text = tokenizer.decode(held)
        if text.endswith("\ufffd"):
            continue
        stretches.append((learned, token == image, text))
        held, learned = [], False
    shown = []
    for (learned, pictured), own in itertools.groupby(stretches, key=lambda stretch: stretch[:2]):
        texts = [text for *_, text in own]
        text = f"{texts[0]} x {len(texts)}" if pictured else "".join(texts)
        marks = ["learned"] * learned + ["unlabelled"] * pictured
        shown.append(terminal.marked(text, *marks) if marks else text)
    return shown


def _chats(config: SFTStageConfig) -> tuple[PreTrainedTokenizerBase, Iterator[Tokens | str]]:
    """Return the tokenizer, and what is learned of conversations, or why one is left out."""
    from data_recipes.read.conversations import to_conversation
    from recipes.post.chat_files import source_rows
    from recipes.post.masks import ChatTokenizer, empty_thinking_learned
    from recipes.post.model import load_chat_tokenizer

    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    tokenize = ChatTokenizer(tokenizer, config.batch.sequence_length, config.data.overlong)

    def rows() -> Iterator[Tokens | str]:
        with empty_thinking_learned(tokenizer, config.data.learn_empty_thinking):
            for source in config.data.sources:
                own = source_rows(source, "conversations")
                for where, row in itertools.islice(own, config.data.audit_rows):
                    conversation = to_conversation(row, where)
                    found = tokenize.samples(conversation)
                    yield from (
                        [found]
                        if isinstance(found, str)
                        else (tokenize.render(conversation, end) for end in found)
                    )

    return tokenizer, rows()


def _seen(config: SeeingStageConfig) -> tuple[PreTrainedTokenizerBase, Iterator[Tokens | str]]:
    """Return the same of conversations about pictures, as TRL collates them."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from data_recipes.read.pictures import open_picture
    from recipes.post.pictures import chat_samples, collate_row, picture_rows
    from recipes.post.seeing import seeing_processor

    processor = seeing_processor(config)
    collator = DataCollatorForVisionLanguageModeling(processor, assistant_only_loss=True)
    samples = chat_samples(processor, config.batch.sequence_length)

    def rows() -> Iterator[Tokens | str]:
        for source in config.data.sources:
            own = picture_rows([source.model_dump()], samples, config.data.seed)
            for row in itertools.islice(own, config.data.audit_rows):
                pictures = [open_picture(Path(path)) for path in row["images"]]
                where = ", ".join(row["images"])
                yield row["left_out"] or collate_row(collator, row | {"images": pictures}, where)

    return processor.tokenizer, rows()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--config", default="tiny/sft.yaml", help="recipe of SFT or with pictures (%(default)s)"
    )
    parser.add_argument("--model", help="model or tokenizer directory in place of the recipe's")
    parser.add_argument("--data", help="chat data in place of the recipe's")
    parser.add_argument("-n", type=int, default=2, help="conversations to show (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed shows others")
    add_overrides(parser, "data.overlong=drop")
    args, unknown = parser.parse_known_intermixed_args()
    refuse_options(SFTStageConfig, unknown)
    path = find_config(Path(args.config), CONFIGS)
    schema = SCHEMAS.get(read_yaml(path).get("stage", ""), SFTStageConfig)
    model = [f"model.init_from={args.model}"] if args.model else []
    config = load_config(path, schema, [*args.overrides, *model])
    if not isinstance(config, SFTStageConfig | SeeingStageConfig):
        raise RecipeError(f"{path}: is a config of {config.stage}, which learns no conversations")
    if args.data:
        sources = [config.data.sources[0].model_copy(update={"path": args.data})]
        data = config.data.model_copy(update={"sources": sources})
        config = config.model_copy(update={"data": data})

    # Only now: these load torch and TRL.
    from data_recipes.common.terminal import Terminal
    from recipes.post.masks import MaskAudit

    sees = isinstance(config, SeeingStageConfig)
    tokenizer, found = _seen(config) if sees else _chats(config)
    left_out: Counter[str] = Counter()
    rows: list[Tokens] = []
    for own in found:
        if isinstance(own, str):
            left_out[own] += 1
        else:
            rows.append(own)
    if not rows:
        raise RecipeError(f"no conversation is left ({dict(left_out)})")

    terminal = Terminal()
    for tokens in Random(args.seed).sample(rows, min(args.n, len(rows))):
        terminal.print(terminal.marked(f"── {tokens.where}", "heading"))
        terminal.print(*coloured(terminal, tokenizer, tokens))
    learned = not sees and config.data.learn_empty_thinking
    audit = MaskAudit(tokenizer, learned)(rows, left_out)
    print(audit.table())
    audit.check()


if __name__ == "__main__":
    try:
        exit_on_error(main)
    except BrokenPipeError:
        # `| head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
