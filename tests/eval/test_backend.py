"""The backend keeps the think block, thinks or not, stops at the end of a turn, and refuses."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.train import train_tokenizer
from eval.backend import KORMoLM
from eval.local_model import load_model
from eval.model import load_backend
from eval.reasoning import as_turn
from tests.random_model import random_model

THOUGHT = "둘을 더한다.\n\n답은 4?\n</think>\n\n"
ANSWER = "답은 3입니다."
JUDGED = {"until": [], "max_gen_toks": 8, "max_think_toks": 8, "keep_thinking": True}


def save_model(directory: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    random_model(tokenizer, 320, max_position_embeddings=1024).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(
        ["The answer is 17. 답은 열일곱 개입니다. 사과는 몇 개인가요? "] * 20, 270
    )


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase) -> str:
    return save_model(tmp_path_factory.mktemp("model"), tokenizer)


@pytest.fixture
def lm(model_dir: str) -> KORMoLM:
    return KORMoLM(model_dir, device="cpu", batch_size=4)


def request(prompt: str, **settings: Any) -> Instance:
    return Instance("generate_until", {}, (prompt, settings), 0, ("a_task", 0, 1))


def ask(lm: KORMoLM, text: str = "하나 더하기 둘은?") -> str:
    return lm.apply_chat_template([{"role": "user", "content": text}])


@pytest.fixture
def script(lm: KORMoLM, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes the model write a given text; keeps the prompts and settings that it was given."""
    seen: dict[str, Any] = {}

    def write(text: str) -> dict[str, Any]:
        def generate(context: torch.Tensor, **settings: Any) -> torch.Tensor:
            seen.update(context=context, **settings)
            ids = lm.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
            padding = torch.full((len(context), 3), lm.tokenizer.pad_token_id)
            return torch.cat([context, ids.expand(len(context), -1), padding], dim=1)

        monkeypatch.setattr(lm, "_model_generate", generate)
        return seen

    yield write


@pytest.mark.parametrize("special", [False, True])
def test_the_think_block_reaches_the_task(lm: KORMoLM, script: Any, special: bool) -> None:
    if special:  # as other families have it; lm-eval then drops it when it decodes
        tokens = [AddedToken(t, special=True, normalized=False) for t in ("<think>", "</think>")]
        lm.tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    script(THOUGHT + ANSWER + "<|EOT|>\n<|BOT|>user\n답은 9입니다.")
    lm.thinking = True
    assert lm.generate_until([request(ask(lm), **JUDGED)]) == [as_turn(THOUGHT + ANSWER, True)]
    lm.thinking = False
    assert lm.generate_until([request(ask(lm), **JUDGED)]) == [as_turn(THOUGHT + ANSWER, False)]


def test_other_tasks_get_the_answer_alone(lm: KORMoLM, script: Any) -> None:
    plain = {"until": ["\n\n"], "max_new_tokens": 8, "max_think_toks": 8}
    seen = script(f"{THOUGHT}{ANSWER}\n\n다음 문제<|EOT|>")
    lm.thinking = True
    assert lm.generate_until([request(ask(lm), **plain)]) == [ANSWER]
    assert seen["max_length"] == seen["context"].shape[1] + 16
    # The task's stop string occurs in the reasoning, and must not end it.
    assert seen["stop"] == [lm.tokenizer.eos_token]
    script("둘을 더한다. 답은 4<|EOT|>")
    assert lm.generate_until([request(ask(lm), **plain)]) == [""]
    script(f"{ANSWER}\n\n다음 문제<|EOT|>")
    lm.thinking = False
    assert lm.generate_until([request(ask(lm), **plain)]) == [ANSWER]


@pytest.mark.parametrize(
    ("completion", "turn"),
    [
        (f"<think>\n{THOUGHT}{ANSWER}", f"\n{THOUGHT}{ANSWER}"),
        (ANSWER, f"</think>{ANSWER}"),
        ("<think>\n둘을 더한다.", "\n둘을 더한다."),
    ],
    ids=["thought", "did not think", "truncated"],
)
def test_a_template_may_leave_opening_the_block_to_the_model(
    lm: KORMoLM, script: Any, completion: str, turn: str
) -> None:
    lm.tokenizer.chat_template = (
        "{% for m in messages %}<|BOT|>{{ m.role }}\n{{ m.content }}<|EOT|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|BOT|>assistant\n{% endif %}"
    )
    script(completion + "<|EOT|>")
    lm.thinking = True
    assert lm.generate_until([request(ask(lm), **JUDGED)]) == [as_turn(turn, True)]


def test_prompts_are_those_of_training(lm: KORMoLM, script: Any) -> None:
    # A chat prompt has no BOS in training, plain text has.
    seen = script(ANSWER)
    chat = lm.tokenizer.apply_chat_template
    for thinking in (True, False, None):
        lm.thinking = thinking
        messages = [{"role": "user", "content": "하나 더하기 둘은?"}]
        if thinking is None:
            prompt, wanted = "하나", lm.tokenizer("하나")["input_ids"]
            assert wanted[0] == lm.tokenizer.bos_token_id
            settings = {"until": ["\n"], "max_gen_toks": 8}
        else:
            prompt, settings = ask(lm), JUDGED
            wanted = chat(messages, add_generation_prompt=True, enable_thinking=thinking)
            wanted = wanted["input_ids"]
            assert prompt.endswith("<think>\n" if thinking else "<think>\n\n</think>\n\n")
        lm.generate_until([request(prompt, **settings)])
        assert seen["context"][0].tolist() == wanted
        room = seen["max_length"] - len(wanted)
        assert room == (16 if thinking else 8)


def test_generation_stops_at_the_end_of_a_turn(lm: KORMoLM) -> None:
    # No generation config was saved with the model, and it may be one in training.
    vocabulary = lm.tokenizer.get_vocab()
    before = lm.model.generation_config.to_dict()
    head = lm.model.get_output_embeddings().weight
    with torch.no_grad():
        head.zero_()
        lm.model.get_input_embeddings().weight.fill_(1.0)
        head[vocabulary["<|EOT|>"]] = 1.0
    lm.thinking = True
    calls = []
    lm.model.register_forward_hook(lambda *_: calls.append(1))
    assert lm.generate_until([request(ask(lm), **JUDGED)]) == [as_turn("", True)]
    assert len(calls) == 1
    assert lm.model.generation_config.to_dict() == before


@pytest.mark.parametrize("thinking", [False, True])
def test_a_random_model_runs_from_question_to_score(
    lm: KORMoLM, datasets_cache: None, thinking: bool
) -> None:
    import lm_eval

    from eval.task_manager import LocalTaskManager

    lm.thinking = thinking
    results = lm_eval.simple_evaluate(
        lm,
        tasks=["ko_reasoning_mini", "reasoning_mini_en"],
        task_manager=LocalTaskManager(folders=[]),
        apply_chat_template=True,
        limit=3,
        gen_kwargs={"max_gen_toks": 4, "max_think_toks": 4, "keep_thinking": True},
        bootstrap_iters=0,
    )
    for name in ("ko_reasoning_mini", "reasoning_mini_en"):
        scores, samples = results["results"][name], results["samples"][name]
        assert len(samples) == 3
        assert scores["right,none"] == 0 and scores["truncated_thinking,none"] == float(thinking)
        for sample in samples:
            ((prompt, settings),) = sample["arguments"]
            assert prompt.startswith("<|BOT|>user\n" + sample["doc"]["question"])
            turn = sample["resps"][0][0]
            assert len(turn) > len(as_turn("", thinking)) and turn.startswith(as_turn("", thinking))


@pytest.mark.parametrize("thinking", [False, True])
def test_lm_evals_own_backend_and_tasks_give_the_same_scores(
    lm: KORMoLM, datasets_cache: None, monkeypatch: pytest.MonkeyPatch, thinking: bool
) -> None:
    """As with `lm_eval run --apply_chat_template --include_path eval/tasks`."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from data_recipes.toy.items import unique_items
    from eval.task_manager import TASKS, LocalTaskManager

    # The second of three questions is answered rightly.
    values = [item.value for item in unique_items("ko", "test", 3, 0)]
    assert len({*values}) == 3
    text = f"답은 {values[1]}입니다.<|EOT|>"
    if thinking:
        text = f"답은 {values[0]}?\n</think>\n\n{text}"
    settings: list[dict[str, Any]] = []

    def generate(context: torch.Tensor, **own: Any) -> torch.Tensor:
        settings.append(own)
        ids = lm.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return torch.cat([context, ids.expand(len(context), -1)], dim=1)

    stock = HFLM(
        pretrained=lm.model,
        tokenizer=lm.tokenizer,
        batch_size=4,
        enable_thinking=thinking,
        think_end_token="</think>" if thinking else None,
    )
    lm.thinking = thinking
    own = {"keep_thinking": True, "max_think_toks": 4}
    found = []
    for model, manager in (
        (lm, LocalTaskManager(folders=[])),
        (stock, TaskManager(include_path=str(TASKS), include_defaults=False)),
    ):
        monkeypatch.setattr(model, "_model_generate", generate)
        scores = lm_eval.simple_evaluate(
            model,
            tasks=["ko_reasoning_mini"],
            task_manager=manager,
            apply_chat_template=True,
            limit=3,
            gen_kwargs={"max_gen_toks": 4} | (own if model is lm else {}),
            bootstrap_iters=0,
        )
        found.append(scores["results"]["ko_reasoning_mini"])
    ours, theirs = found
    assert ours["right,none"] == theirs["right,none"] == pytest.approx(1 / 3)
    assert ours["other_language,none"] == theirs["other_language,none"] == 0
    # What transformers would not know reaches neither model.
    known = {"max_length", "stop", "do_sample", "temperature", "eos_token_id", "use_cache"}
    assert all(one.keys() <= known | {"attention_mask", "pad_token_id"} for one in settings)


def test_what_cannot_be_evaluated_is_refused(
    lm: KORMoLM, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(RecipeError, match="a_task asks a chat model: set thinking"):
        lm.generate_until([request(ask(lm), **JUDGED)])
    lm.thinking = True
    with pytest.raises(RecipeError, match="apply_chat_template=True"):
        lm.generate_until([request("하나 더하기 둘은?", **JUDGED)])
    lm.thinking = False
    plain = {"until": [], "max_gen_toks": 1}
    with pytest.raises(RecipeError, match="apply_chat_template=True"):
        lm.generate_until([request("하나 더하기 둘은?", **plain)])
    assert len(lm.generate_until([request(ask(lm) + "답은", **plain)])) == 1
    lm.thinking = True
    with pytest.raises(RecipeError, match=r"up to 2008 to generate do not fit .* of 1024"):
        lm.generate_until([request(ask(lm), **JUDGED | {"max_think_toks": 2000})])
    with pytest.raises(ValueError, match="not compatible with loglikelihood"):
        lm.loglikelihood([Instance("loglikelihood", {}, ("a", "b"), 0, ("a_task", 0, 1))])
    lm.thinking = None
    assert len(lm.loglikelihood([Instance("loglikelihood", {}, ("a", "b"), 0, ("t", 0, 1))])) == 1

    vocabulary = set(lm.tokenizer.get_vocab())
    assert "</think>" in vocabulary
    lm.tokenizer.chat_template = None
    with pytest.raises(RecipeError, match="no chat template"):
        lm.thinking = False
    with pytest.raises(RecipeError, match="no chat template"):
        lm.chat_template(True)
    assert lm.thinking is None
    with pytest.raises(RecipeError, match=str(tmp_path / "nothing")):
        KORMoLM(str(tmp_path / "nothing"), device="cpu")


def test_weights_that_a_checkpoint_lacks_are_not_drawn_at_random(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    path = Path(save_model(tmp_path, tokenizer)) / "model.safetensors"
    held = load_file(path)
    del held["lm_head.weight"]
    save_file(held, path, metadata={"format": "pt"})
    loaders: list[Callable[[str], Any]] = [partial(KORMoLM, device="cpu"), load_model]
    for load in loaders:
        with pytest.raises(RecipeError, match=f"{tmp_path}.*has no lm_head.weight"):
            load(str(tmp_path))


def test_a_tokenizer_without_the_end_of_thinking_cannot_think(
    lm: KORMoLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    bare = AutoTokenizer.from_pretrained(lm.tokenizer.name_or_path)
    bare._tokenizer = type(bare._tokenizer).from_str(
        bare._tokenizer.to_str().replace('"</think>"', '"<unused>"')
    )
    lm.tokenizer = bare
    with pytest.raises(RecipeError, match="no token </think>.*without thinking"):
        lm.thinking = True
    lm.thinking = False


def test_backends_by_name() -> None:
    assert load_backend("hf") is KORMoLM
    with pytest.raises(RecipeError, match="choose hf or vllm"):
        load_backend("hg")
    with pytest.raises(RecipeError, match="lm-eval\\[vllm\\]"):
        load_backend("vllm")
