"""Byte-level BPE tokenizers laid out as other model families lay them out, trained on the spot."""

from collections.abc import Callable, Iterable

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import GPTNeoXTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from data_recipes.tokenizer.train import PRETOKENIZER

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def _train(tokenizer: Tokenizer, texts: Iterable[str], size: int, first: tuple[str, ...]) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=ALPHABET, special_tokens=list(first), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def llama3(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Numbers in threes, whole words before merges, control tokens behind the entries."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = _split(PRETOKENIZER.replace(r"|\p{N}|", r"|\p{N}{1,3}|"))
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, texts, size, ())
    control = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control])
    template = processors.TemplateProcessing(
        single=f"{control[0]} $A", pair=f"{control[0]} $A $B", special_tokens=[(control[0], size)]
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=control[0],
        eos_token=control[1],
        chat_template="{{ messages[0]['content'] }}<|eot_id|>",
    )


def qwen(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """NFC, single digits, no BOS, a class of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _split(PRETOKENIZER)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, texts, size, ())
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    return Qwen2Tokenizer(
        tokenizer_object=tokenizer, eos_token=control[2], pad_token=control[0], bos_token=None
    )


def gpt_neox(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Control tokens before the entries, runs of blanks behind them, GPT-2's expression."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, texts, size, ("<|endoftext|>", "<|padding|>"))
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return GPTNeoXTokenizer(tokenizer_object=tokenizer)


FAMILIES: dict[str, Callable[[Iterable[str], int], PreTrainedTokenizerFast]] = {
    "llama3": llama3,
    "qwen": qwen,
    "gpt_neox": gpt_neox,
}
