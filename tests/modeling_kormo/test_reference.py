"""The published modeling code's outputs, reproduced.

On the CPU that made them the fp32 figures and, given the same matrix products, the bf16 figures are
equal to the last bit. Another CPU sums products in another order, which is what the tolerances are
for: 2e-5 in fp32; in bf16, where one flipped rounding moves a logit by 1/64, the products are
formed with fp32 sums, and then all but a few logits are equal. Llama's order of casts, which the
second test must tell from KORMo's, changes most of them.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM

import modeling_kormo  # noqa: F401  (registers the model)
from modeling_kormo import KORMoForCausalLM
from modeling_kormo.modeling_kormo import KORMoRMSNorm

FIXTURES = Path(__file__).parent.parent / "fixtures" / "official"
FP32_TOLERANCE = 2e-5


class Fp32Products(TorchFunctionMode):
    """Forms bf16 matrix products with fp32 sums and one rounding, whatever the CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        products = (torch.nn.functional.linear, torch.matmul, torch.Tensor.matmul)
        if function in products and args[0].dtype == torch.bfloat16:
            args = [a.float() if isinstance(a, torch.Tensor) else a for a in args]
            return function(*args, **kwargs).bfloat16()
        return function(*args, **kwargs)


def load(dtype: str, attention: str = "eager") -> tuple[KORMoForCausalLM, dict[str, torch.Tensor]]:
    directory = FIXTURES / dtype
    model = AutoModelForCausalLM.from_pretrained(directory, attn_implementation=attention)
    assert isinstance(model, KORMoForCausalLM)
    return model.eval(), load_file(directory / "reference.safetensors")


def left_padded(model: KORMoForCausalLM, reference: dict[str, torch.Tensor]) -> torch.Tensor:
    mask = reference["left_pad_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return model(reference["input_ids"], attention_mask=mask, position_ids=positions).logits


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_fp32(attention: str) -> None:
    model, reference = load("fp32", attention)
    output = model(reference["input_ids"], labels=reference["labels"], output_hidden_states=True)
    mask = reference["left_pad_mask"].bool()
    pairs = {
        "logits": (output.logits, reference["logits"]),
        "loss": (output.loss[None], reference["loss"]),
        "hidden": (output.hidden_states[-1], reference["hidden_last"]),
        "left": (left_padded(model, reference)[mask], reference["left_pad_logits"][mask]),
    }
    for name, (ours, theirs) in pairs.items():
        torch.testing.assert_close(ours, theirs, rtol=0, atol=FP32_TOLERANCE, msg=name)
    assert reference["logits"].std() > 0.1


@torch.no_grad()
def share_of_equal_logits(model: KORMoForCausalLM, reference: dict[str, torch.Tensor]) -> float:
    with Fp32Products():
        logits = model(reference["input_ids"]).logits.float()
    return (logits == reference["logits"]).float().mean().item()


def test_bf16_casts_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, reference = load("bf16")
    assert model.dtype == torch.bfloat16
    assert share_of_equal_logits(model, reference) > 0.99

    def llama_order(self: KORMoRMSNorm, states: torch.Tensor) -> torch.Tensor:
        wide = states.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(states.dtype)

    monkeypatch.setattr(KORMoRMSNorm, "forward", llama_order)
    assert share_of_equal_logits(model, reference) < 0.5


@torch.no_grad()
def test_bf16_loss_and_left_padding() -> None:
    model, reference = load("bf16")
    with Fp32Products():
        loss = model(reference["input_ids"], labels=reference["labels"]).loss
        logits = left_padded(model, reference).float()
    torch.testing.assert_close(loss.float()[None], reference["loss"], rtol=0, atol=1e-4)
    mask = reference["left_pad_mask"].bool()
    equal = (logits == reference["left_pad_logits"])[mask].float().mean()
    assert equal > 0.99


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_greedy_generation(dtype: str) -> None:
    model, reference = load(dtype)
    expected = reference["generated"]
    prompt = expected[:, :12]
    generated = model.generate(
        prompt, max_new_tokens=expected.shape[1] - 12, do_sample=False, eos_token_id=None
    )
    assert torch.equal(generated, expected)
    assert len(expected[0, 12:].unique()) > 1


def test_old_style_config_is_read() -> None:
    model, _ = load("fp32")
    assert model.config.rope_parameters["rope_theta"] == 500_000.0
    assert model.config.rope_frequencies_in_model_dtype
