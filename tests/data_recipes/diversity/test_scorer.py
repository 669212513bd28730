"""Bits per byte under a language model: those of each text alone, whatever the batch."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data_recipes.diversity.scorer import load_scorer

KOREAN = "오늘은 날씨가 맑아서 동생과 강가를 오래 걸었다. 물이 차가웠지만 발을 담갔다."
ENGLISH = "The river was cold, and yet the two of them walked along it for most of the day."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model over bytes, the same for every text of the same bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=256, num_attention_heads=2, **sizes, initializer_range=1.0)
    LlamaForCausalLM(config).save_pretrained(root)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(root)
    return root


def test_bits_per_byte_are_those_of_each_text_alone(model: Path) -> None:
    # More than a batch.
    texts = [
        KOREAN,
        "short one",
        "",
        "a",
        ENGLISH,
        "가나다",
        ENGLISH[:40],
        KOREAN[:9],
        "ab",
        "다라",
    ]
    scores = load_scorer(str(model), 50, "cpu")(texts)
    llama = LlamaForCausalLM.from_pretrained(model)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    for text, score in zip(texts, scores, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"][:50]])
        if ids.shape[1] < 2:
            assert score == 0
            continue
        with torch.no_grad():
            loss = llama(input_ids=ids, labels=ids).loss.item()  # mean over all but the first
        # One token a byte; the first character is not counted, of which the first token is a part.
        head, cut = len(text[0].encode()), bytes(text.encode()[:50]).decode(errors="replace")
        size = len(cut.rstrip("\ufffd").encode())
        size += 3 if cut.endswith("\ufffd") else 0  # a character cut in half counts whole
        nats = loss * (ids.shape[1] - 1)
        assert score == pytest.approx(nats / 0.6931471805599453 / (size - head), rel=1e-4)
