"""What needs a CUDA device: packed attention kernels, Liger, and a stage. Skipped without one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers.utils import is_liger_kernel_available

from modeling_kormo import KORMoForCausalLM
from tests.conftest import Stage, environment
from tests.modeling_kormo.test_packing import documents, flattened, gradient

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
Build = Callable[..., KORMoForCausalLM]


def on_gpu(batch: dict) -> dict:
    return {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in batch.items()}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("attention", ["varlen", "flex_attention", "sdpa"])
def test_packed_equals_separate(build: Build, attention: str, dtype: torch.dtype) -> None:
    # bf16 keeps 8 bits: logits of about 4 are right to a few of their last bits.
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-3
    docs = [d.cuda() for d in documents(2)]
    reference, model = (build(a).to("cuda", dtype) for a in ("sdpa", attention))
    separate = torch.cat([reference(d).logits for d in docs], dim=1)
    packed = model(**on_gpu(flattened(documents(2)))).logits
    torch.testing.assert_close(packed, separate, rtol=0, atol=tolerance)
    torch.set_default_device("cuda")
    try:
        expected, actual = gradient(reference, separate), gradient(model, packed)
    finally:
        torch.set_default_device(None)
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.skipif(not is_liger_kernel_available(), reason="needs liger-kernel")
def test_liger_changes_nothing_but_speed(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    from modeling_kormo import modeling_kormo
    from modeling_kormo.liger_kormo import apply_liger_kernel_to_kormo

    batch = on_gpu(flattened(documents(2)))
    plain, fused = (build("sdpa").cuda() for _ in range(2))
    expected = plain(**batch).logits
    # Registered for undoing: the rotary function is patched for the whole process.
    monkeypatch.setattr(modeling_kormo, "apply_rotary_pos_emb", modeling_kormo.apply_rotary_pos_emb)
    apply_liger_kernel_to_kormo(model=fused)
    torch.testing.assert_close(fused(**batch).logits, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stage1_uses_the_gpu(
    small_stage: Callable[..., Stage], tmp_path: Path, precision: str
) -> None:
    stage = small_stage(tmp_path, f"parallelism.precision={precision}")
    visible = {**environment(), "CUDA_VISIBLE_DEVICES": "0"}
    command = stage.command("parallelism.require_gpu=true")
    result = subprocess.run(command, capture_output=True, text=True, env=visible)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "final" / "model.safetensors").is_file()
