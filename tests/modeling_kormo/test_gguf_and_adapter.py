"""GGUF files and merged adapters hold the same model."""

from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.utils.chat_template_utils import render_jinja_template

from modeling_kormo import CHAT_TEMPLATE, KORMoForCausalLM
from modeling_kormo.export import export, save_portable, to_llama
from modeling_kormo.gguf_file import _tensors, inference_template

gguf = pytest.importorskip("gguf")
peft = pytest.importorskip("peft")
Build = Callable[..., KORMoForCausalLM]

SAMPLES = [
    "안녕하세요, 저는 KORMo입니다. 1234 뷁",
    "Hello, there's 12 apples;\tdon't  eat them!",
    "<think>\n네</think>답<|EOT|>",
]


@pytest.fixture
def saved(build: Build, data_dir: Path, tmp_path: Path) -> Path:
    """A random chat model with grouped queries."""
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    tokenizer.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    save_portable(build(vocab_size=1280), tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@torch.no_grad()
def test_gguf_has_biases_in_the_order_of_their_rows(build: Build) -> None:
    llama = to_llama(build(attention_bias=True, mlp_bias=True))
    given = {name: tensor.normal_() for name, tensor in llama.state_dict().items()}
    found = {name: tensor for name, tensor, _ in _tensors(llama, torch.float32)}
    assert len(found) == len(given) and None not in found
    pairs = torch.arange(16).view(2, 8).T.flatten()  # of a head: 0, 8, 1, 9, …
    for part, heads in (("q", 4), ("k", 2), ("v", 2)):
        rows = torch.arange(16 * heads).view(heads, 16)
        rows = (rows if part == "v" else rows[:, pairs]).flatten()
        for kind in ("weight", "bias"):
            own = given[f"model.layers.1.self_attn.{part}_proj.{kind}"]
            assert torch.equal(found[f"blk.1.attn_{part}.{kind}"], own[rows])


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gguf_read_back_is_the_llama_export(
    saved: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    export(str(saved), tmp_path / "llama", "llama", dtype)
    export(str(saved), tmp_path / "gguf", "gguf", dtype)
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    llama = LlamaForCausalLM.from_pretrained(tmp_path / "llama", **options)
    back, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "gguf", gguf_file="model.gguf", output_loading_info=True, **options
    )
    assert not report["missing_keys"]
    reader = gguf.GGUFReader(tmp_path / "gguf" / "model.gguf")
    kinds = {(t.name.endswith("norm.weight"), t.tensor_type.name) for t in reader.tensors}
    stored = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[dtype]
    assert kinds == {(True, "F32"), (False, stored)}
    assert reader.fields["llama.context_length"].contents() == 256
    ids = torch.randint(3, 1280, (1, 40))
    # Norms stay fp32 in the file but are already rounded by the time they get there.
    assert torch.allclose(back(ids).logits, llama(ids).logits, atol=1e-4)


def test_gguf_tokenizer(saved: Path, tmp_path: Path) -> None:
    export(str(saved), tmp_path / "gguf", "gguf", torch.float32)
    ours = AutoTokenizer.from_pretrained(saved)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "gguf", gguf_file="model.gguf")
    for text in SAMPLES:
        assert ours(text).input_ids == theirs(text).input_ids, text

    # What transformers does not read back, such as the tokens for runs of newlines.
    fields = gguf.GGUFReader(tmp_path / "gguf" / "model.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    assert len(tokens) == len(types) == 1280
    for i, added in ours.added_tokens_decoder.items():
        kind = gguf.TokenType.CONTROL if added.special else gguf.TokenType.USER_DEFINED
        assert (tokens[i], types[i]) == (added.content, kind)
    assert set(types[len(ours) :]) == {gguf.TokenType.UNUSED}
    ids = {name: fields[f"tokenizer.ggml.{name}_token_id"].contents() for name in ("eos", "eot")}
    assert ids == {"eos": ours.eos_token_id, "eot": ours.get_vocab()["<|EOT|>"]}
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True
    assert fields["tokenizer.ggml.pre"].contents() == "qwen2"


def test_template_without_generation_tags_says_the_same() -> None:
    # Of plain jinja2, which refuses the tags as llama.cpp's bindings do.
    template = inference_template(CHAT_TEMPLATE.read_text(encoding="utf-8"))
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    plain = environment.from_string(template)
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "질문"},
        {"role": "assistant", "content": "답", "reasoning_content": "이유"},
        {"role": "user", "content": "또"},
        {"role": "assistant", "content": "답", "reasoning_content": "이유"},
    ]
    original = CHAT_TEMPLATE.read_text(encoding="utf-8")
    for end in (2, 3, 4, 5):
        for thinking in (True, False):
            options = {"add_generation_prompt": end % 2 == 0, "enable_thinking": thinking}
            expected, _ = render_jinja_template([messages[:end]], chat_template=original, **options)
            assert plain.render(messages=messages[:end], **options) == expected[0]


def test_other_tokenizers_are_refused(saved: Path, tmp_path: Path) -> None:
    # llama.cpp would cut text by KORMo's expression without a word.
    path = saved / "tokenizer.json"
    path.write_text(path.read_text().replace(r"|\\p{N}|", r"|\\p{N}{1,3}|"))
    with pytest.raises(ValueError, match="splits text otherwise"):
        export(str(saved), tmp_path / "gguf", "gguf", torch.float32)


def adapter_of(model: KORMoForCausalLM, directory: Path, scale: float = 0.02) -> None:
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=scale)
    wrapped.save_pretrained(directory)


@torch.no_grad()
def test_merged_adapter_gives_the_adapted_logits(build: Build, saved: Path, tmp_path: Path) -> None:
    base = KORMoForCausalLM.from_pretrained(saved)
    adapter_of(base, tmp_path / "adapter")
    adapted = peft.PeftModel.from_pretrained(
        KORMoForCausalLM.from_pretrained(saved), tmp_path / "adapter"
    )
    export(str(saved), tmp_path / "out", "kormo", torch.float32, tmp_path / "adapter")
    merged = KORMoForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.randint(3, 1280, (1, 20))
    assert torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-5)
    plain = KORMoForCausalLM.from_pretrained(saved)
    assert not torch.allclose(merged(ids).logits, plain(ids).logits, atol=1e-2)


def test_adapter_is_merged_before_rounding(saved: Path, tmp_path: Path) -> None:
    # Updates so small that bf16 sums would mostly lose them.
    base = KORMoForCausalLM.from_pretrained(saved)
    adapter_of(base, tmp_path / "adapter", scale=1e-3)
    for dtype in (torch.float32, torch.bfloat16):
        export(str(saved), tmp_path / str(dtype), "kormo", dtype, tmp_path / "adapter")
    exact = KORMoForCausalLM.from_pretrained(tmp_path / "torch.float32", dtype=torch.float32)
    rounded = KORMoForCausalLM.from_pretrained(tmp_path / "torch.bfloat16", dtype=torch.bfloat16)
    for name, weight in rounded.state_dict().items():
        assert torch.equal(weight, exact.state_dict()[name].bfloat16()), name


def test_an_adapter_that_lacks_a_matrix_of_its_own_is_refused(saved: Path, tmp_path: Path) -> None:
    base, directory = KORMoForCausalLM.from_pretrained(saved), tmp_path / "adapter"
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    peft.get_peft_model(base, config).save_pretrained(directory)
    weights = load_file(directory / "adapter_model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "lm_head" not in name}
    assert len(kept) == len(weights) - 1
    save_file(kept, directory / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="lm_head.* has no counterpart"):
        export(str(saved), tmp_path / "out", "llama", torch.float32, directory)


@pytest.mark.parametrize("change", [{"hidden_size": 32}, {"num_hidden_layers": 3}, {}])
def test_adapter_of_another_model_is_refused(
    build: Build, saved: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    if change:
        adapter_of(build(vocab_size=1280, **change), tmp_path / "adapter")
    expected = "made for another model" if change else "no adapter_config.json"
    with pytest.raises(ValueError, match=expected):
        export(str(saved), tmp_path / "out", "llama", torch.float32, tmp_path / "adapter")
    assert not (tmp_path / "out").exists()
