"""`varlen` under models of other families: windows and sinks are theirs, or they are refused."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
)

import modeling_kormo  # noqa: F401  (registers varlen)

from .test_packing import TOLERANCE, documents, flattened, gradient

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW = 5  # shorter than most of the documents
FAMILIES = {
    "causal": LlamaConfig(**SHAPE),
    "windows": MistralConfig(**SHAPE, sliding_window=WINDOW),
    "windows and sinks": GptOssConfig(
        **SHAPE,
        sliding_window=WINDOW,
        num_local_experts=2,
        num_experts_per_tok=1,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    ),
}


def build(config: PretrainedConfig, attention: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Sharp attention, so that a token more or less in sight shows; sinks that matter.
            if parameter.ndim > 1:
                parameter.mul_(5)
            if name.endswith("sinks"):
                parameter.normal_(1)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_equals_separate(family: str) -> None:
    docs = documents(2)
    config = FAMILIES[family]
    reference, model = build(config, "eager"), build(config, "varlen")
    expected = torch.cat([reference(d, use_cache=False).logits for d in docs], dim=1)
    packed = model(**flattened(docs), use_cache=False).logits
    torch.testing.assert_close(packed, expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(
        gradient(model, packed), gradient(reference, expected), rtol=0, atol=50 * TOLERANCE
    )


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_generation_equals_eager(family: str) -> None:
    prompts = torch.cat(documents(2)[1:2])
    config = FAMILIES[family]
    kwargs = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": 95}
    written = [build(config, a).generate(prompts, **kwargs) for a in ("eager", "varlen")]
    assert torch.equal(*written) and written[0].shape[1] == prompts.shape[1] + 12


@torch.no_grad()
@pytest.mark.parametrize("family", ["windows", "windows and sinks"])
def test_the_window_is_seen(family: str) -> None:
    """The comparisons above are not vacuous: without windows the logits are others."""
    config = FAMILIES[family]
    wide = type(config)(**{**config.to_dict(), "sliding_window": 64})
    batch = flattened(documents(2))
    narrow = build(config, "varlen")(**batch, use_cache=False).logits
    assert (narrow - build(wide, "varlen")(**batch, use_cache=False).logits).abs().max() > 0.1


@torch.no_grad()
def test_an_argument_that_is_not_known_is_refused_by_name() -> None:
    config = Gemma2Config(**SHAPE, query_pre_attn_scalar=16, attn_logit_softcapping=2.0)
    with pytest.raises(ValueError, match="does not know softcap"):
        build(config, "varlen")(documents(1)[0])
