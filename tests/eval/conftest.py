"""Local data for all tasks, a task manager on it, and a model without training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cache of `datasets` is the tests' own, and nothing reaches the Hub.

    Whatever was imported first has read HF_HUB_OFFLINE already, so the settings themselves are set.
    Of a metric that lm-eval does not know it asks the Hub, where there is none for eight seconds.
    """
    import datasets
    import evaluate
    import huggingface_hub

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
        cache = tmp_path_factory.mktemp("datasets")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_survey_of_the_machine() -> Iterator[None]:
    """In every `simple_evaluate`, lm-eval asks pip and others for half a second what is there."""
    import lm_eval.evaluator

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)
        yield


@pytest.fixture(scope="session")
def hub_dir(tmp_path_factory: pytest.TempPathFactory, datasets_cache: None) -> Path:
    """Made-up questions for every multiple-choice task that reads the Hub."""
    from .hub_items import write_data

    root = tmp_path_factory.mktemp("hub")
    write_data(root, rows=2)
    return root


@pytest.fixture(scope="session")
def manager(hub_dir: Path) -> Any:
    """Knows this project's tasks and reads the made-up questions."""
    from eval.task_manager import LM_EVAL_TASKS, LocalTaskManager

    return LocalTaskManager(hub_dir, folders=[LM_EVAL_TASKS / "kmmlu"])


@pytest.fixture(scope="session")
def tiny_model() -> Any:
    """lm-eval's wrapper of a random KORMo with a token for every byte."""
    import torch
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from modeling_kormo.configuration_kormo import KORMoConfig
    from modeling_kormo.modeling_kormo import KORMoForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, "<|EOS|>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|EOS|>", pad_token="<|EOS|>"
    )
    torch.manual_seed(0)
    config = KORMoConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=4096,
        initializer_range=0.5,  # far from a uniform distribution, so that scores differ
        bos_token_id=vocabulary["<|EOS|>"],
        eos_token_id=vocabulary["<|EOS|>"],
        pad_token_id=vocabulary["<|EOS|>"],
    )
    return HFLM(pretrained=KORMoForCausalLM(config).eval(), tokenizer=fast, max_length=4096)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random chat model."""
    from .chat_models import save_model

    return save_model(tmp_path_factory.mktemp("models") / "random" / "final", 0)


@pytest.fixture(scope="session")
def whole_run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite `quick` on it, from start to end."""
    from eval.__main__ import main

    from .chat_models import quick

    out = tmp_path_factory.mktemp("runs") / "whole"
    main(quick(model, out))
    return out
