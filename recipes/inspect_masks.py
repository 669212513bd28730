"""Look at what an SFT run would learn: conversations with learned tokens coloured, and a table.

    python -m recipes.inspect_masks                                  # the tiny recipe's data
    python -m recipes.inspect_masks --config 1b/sft.yaml -n 3 --seed 1
    python -m recipes.inspect_masks --model runs/tiny/sft/final --data my_chats.jsonl

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

from data_recipes.common.arguments import add_overrides, refuse_options
from data_recipes.common.config_files import find_config, load_config
from data_recipes.common.errors import RecipeError

from .command_line import CONFIGS, exit_on_error
from .post.sft_config import SFTStageConfig

if TYPE_CHECKING:
    from rich.text import Text
    from transformers import PreTrainedTokenizerBase

    from data_recipes.common.terminal import Terminal

    from .post.masks import Tokens


def coloured(
    terminal: Terminal, tokenizer: PreTrainedTokenizerBase, tokens: Tokens
) -> list[Text | str]:
    """A conversation as stretches, learned ones marked.

    Tokens that are text only together, such as the bytes of a syllable, are shown together, as
    learned if one of them is.
    """
    from modeling_kormo.loss_kormo import IGNORE_INDEX

    stretches: list[tuple[bool, str]] = []
    held: list[int] = []
    learned = False
    for token, label in zip(tokens.input_ids, tokens.labels):
        held.append(token)
        learned |= label != IGNORE_INDEX
        text = tokenizer.decode(held)
        if text.endswith("\ufffd"):
            continue
        stretches.append((learned, text))
        held, learned = [], False
    grouped = itertools.groupby(stretches, key=lambda stretch: stretch[0])
    joined = ((learned, "".join(text for _, text in own)) for learned, own in grouped)
    return [terminal.marked(text, "learned") if learned else text for learned, text in joined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="tiny/sft.yaml", help="SFT recipe (%(default)s)")
    parser.add_argument("--model", help="model or tokenizer directory in place of the recipe's")
    parser.add_argument("--data", help="chat data in place of the recipe's")
    parser.add_argument("-n", type=int, default=2, help="conversations to show (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed shows others")
    add_overrides(parser, "data.overlong=drop")
    args, unknown = parser.parse_known_intermixed_args()
    refuse_options(SFTStageConfig, unknown)
    model = [f"model.init_from={args.model}"] if args.model else []
    path = find_config(Path(args.config), CONFIGS)
    config = load_config(path, SFTStageConfig, [*args.overrides, *model])

    # Only now: these load torch and TRL.
    from data_recipes.common.terminal import Terminal
    from data_recipes.read.conversations import read_rows, to_conversation

    from .post.masks import ChatTokenizer, MaskAudit
    from .post.model import load_chat_tokenizer

    tokenizer = load_chat_tokenizer(config.model.init_from, config.model.chat_template)
    tokenize = ChatTokenizer(tokenizer, config.batch.sequence_length, config.data.overlong)

    left_out: Counter[str] = Counter()
    rows: list[Tokens] = []
    for path in [args.data] if args.data else [s.path for s in config.data.sources]:
        for where, row in itertools.islice(read_rows(path), config.data.audit_rows):
            conversation = to_conversation(row, where)
            found = tokenize.samples(conversation)
            if isinstance(found, str):
                left_out[found] += 1
            else:
                rows += [tokenize.render(conversation, end) for end in found]
    if not rows:
        raise RecipeError(f"no conversation is left ({dict(left_out)})")

    terminal = Terminal()
    for tokens in Random(args.seed).sample(rows, min(args.n, len(rows))):
        terminal.print(terminal.marked(f"── {tokens.where}", "heading"))
        terminal.print(*coloured(terminal, tokenizer, tokens))
    audit = MaskAudit(tokenizer)(rows, left_out)
    print(audit.table())
    audit.check()


if __name__ == "__main__":
    try:
        exit_on_error(main)
    except BrokenPipeError:
        # `| head` has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
