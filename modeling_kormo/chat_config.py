"""What ends a turn: a generation config for chat, and the check that all token ids agree."""

from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

END_OF_TURN = "<|EOT|>"
THINK, END_OF_THINKING = "<think>", "</think>"

# For `tokenizer.response_template`, by which transformers (`parse_response`, `serve`) takes
# an answer apart. Saved with the tokenizer.
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    # From here the prompt is read too: the template opens `<think>` there.
    "start_anchor": "<|BOT|>assistant\n",
    "fields": {
        "reasoning_content": {"open": THINK, "close": END_OF_THINKING, "content": "text"},
        "tool_calls": {
            # The newline before a call must not open a second, empty content.
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*(?:<\|EOT\|>|<\|EOS\|>)", "content": "text"},
    },
}

# What makers of reasoning models recommend for thinking (Qwen3's and DeepSeek-R1's cards): greedy
# decoding makes long reasoning repeat itself. KORMo's report names none, so this is our choice.
TEMPERATURE = 0.6
TOP_P = 0.95


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Id of an added token.

    Raises:
        ValueError: the tokenizer has no such token.
    """
    found = tokenizer.get_vocab().get(token)
    if found is None:
        raise ValueError(
            f"the tokenizer has no token {token}: chat needs a KORMo tokenizer, as stage 1 writes"
        )
    return found


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """List the tokens that a text must not spell, because they would become real ones.

    Special tokens open and close turns, think tags the reasoning. Tags of tool calls are not among
    them: published answers and system prompts spell them as the format wants it.
    """
    vocabulary = tokenizer.get_vocab()
    thinking = [token for token in (THINK, END_OF_THINKING) if token in vocabulary]
    return [*tokenizer.all_special_tokens, *thinking]


def chat_generation_config(
    tokenizer: PreTrainedTokenizerBase, temperature: float = TEMPERATURE, top_p: float = TOP_P
) -> GenerationConfig:
    """Sampling for chat that stops at the end of a turn and at the end of a document.

    Args:
        tokenizer: gives every id.
        temperature: 0 is greedy.
        top_p: share of probability to draw from.

    Raises:
        ValueError: the tokenizer has no `<|EOT|>`.
    """
    sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p}
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        # A tuned model ends turns; EOS is for the rare answer that falls back to plain text.
        # KORMo's published chat tokenizer calls EOT its EOS.
        eos_token_id=list(
            dict.fromkeys([token_id(tokenizer, END_OF_TURN), tokenizer.eos_token_id])
        ),
        pad_token_id=tokenizer.pad_token_id,
        **(sampling if temperature > 0 else {"do_sample": False}),
    )


def check_token_ids(
    tokenizer: PreTrainedTokenizerBase,
    model_config: PretrainedConfig,
    generation_config: GenerationConfig,
) -> None:
    """Refuse a chat model whose tokenizer, config and generation config name different tokens.

    Such a model loads and talks, but never stops, or was trained without its stop token.

    Raises:
        ValueError: naming what disagrees, and what to set.
    """
    end_of_turn = token_id(tokenizer, END_OF_TURN)
    if tokenizer.pad_token_id in (None, end_of_turn, tokenizer.eos_token_id):
        raise ValueError(
            f"the tokenizer's pad_token is {tokenizer.pad_token}: padding is not scored, so a stop "
            "token that pads is never learnt; set tokenizer.pad_token to <|PAD|>"
        )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        expected = getattr(tokenizer, name)
        if getattr(model_config, name) != expected:
            raise ValueError(
                f"config.json has {name} {getattr(model_config, name)}, the tokenizer {expected}: "
                "set the config's from the tokenizer"
            )
        if name != "eos_token_id" and getattr(generation_config, name) != expected:
            raise ValueError(
                f"generation_config.json has {name} {getattr(generation_config, name)}, the "
                f"tokenizer {expected}: make it with chat_generation_config"
            )
    stops = generation_config.eos_token_id
    stops = stops if isinstance(stops, list) else [stops]
    if set(stops) != {end_of_turn, tokenizer.eos_token_id}:
        raise ValueError(
            f"generation_config.json stops at {stops}, not at {END_OF_TURN} ({end_of_turn}) and "
            f"{tokenizer.eos_token} ({tokenizer.eos_token_id}): make it with chat_generation_config"
        )
    if max(tokenizer.get_vocab().values()) >= model_config.vocab_size:
        raise ValueError(
            f"the tokenizer has ids up to {max(tokenizer.get_vocab().values())}, the model only "
            f"{model_config.vocab_size} rows: take the tokenizer that the model was trained with"
        )
