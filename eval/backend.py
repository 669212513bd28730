"""lm-eval models that ask through the chat template and keep the think block.

lm-eval's own classes cut a think block away before a task sees the answer, or, where it never
closed, hand it over as the answer. Here a task that says `keep_thinking` in its metadata gets the
turn with its think block (`eval.reasoning`); other generative tasks get the answer, which is
empty if thinking did not end. The setting `max_think_toks` limits the thinking of any task.

    lm = KORMoLM(pretrained="runs/tiny/sft/final", batch_size=16)
    lm.thinking = True
    lm_eval.simple_evaluate(lm, tasks=["ko_reasoning_mini"], apply_chat_template=True, ...)
"""

from __future__ import annotations

import dataclasses
from functools import partial
from types import SimpleNamespace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError, errors_about
from modeling_kormo.chat_config import END_OF_THINKING, END_OF_TURN, THINK
from modeling_kormo.checkpoint_files import load_whole  # and registers the model

from .reasoning import as_turn

# Tokens for thinking on top of the answer where a task names none. Our choice: with an answer of
# 2,048 tokens this stays below the 20,480 of SFT, beyond which nothing was trained.
MAX_THINK_TOKENS = 16_384


class ThinkingMixin(TemplateLM):
    """Thinking on and off for an lm-eval model class; `thinking` may be set between evaluations."""

    tokenizer: PreTrainedTokenizerBase
    add_bos_token: bool | None
    _name: str
    # Of the task that is asked; `eval.measure` takes both from its metadata. Settings of the same
    # name in a task's generation_kwargs come first.
    keep_thinking: bool = False
    max_think_toks: int = MAX_THINK_TOKENS
    _thinking: bool | None = None
    _plain_bos: bool | None
    _prompt_end: str

    @property
    def thinking(self) -> bool | None:
        """`None`: no chat, prompts are plain text; else whether a chat model is to think."""
        return self._thinking

    @thinking.setter
    def thinking(self, thinking: bool | None) -> None:
        """
        Raises:
            RecipeError: the tokenizer has no chat template, or no `</think>`.
        """
        if thinking is not None:
            self._need_chat_template()
        if thinking and END_OF_THINKING not in self.tokenizer.get_vocab():
            raise RecipeError(
                f"{self._name}: its tokenizer has no token {END_OF_THINKING}, so the end of "
                "thinking cannot be told; evaluate it without thinking"
            )
        if self._thinking is None:
            self._plain_bos = self.add_bos_token
        self._thinking = thinking
        # A chat prompt is complete; plain text gets its BOS, as in pretraining.
        self.add_bos_token = self._plain_bos if thinking is None else False
        self._set_template_arguments(thinking)
        if thinking is not None:
            turn = [{"role": "user", "content": "?"}]
            without = self.apply_chat_template(turn, add_generation_prompt=False)
            self._prompt_end = self.apply_chat_template(turn).removeprefix(without)

    def _set_template_arguments(self, thinking: bool | None) -> None:
        raise NotImplementedError

    def _stop_arguments(self) -> dict[str, Any]:
        """What generation needs to know of the tokens that end a turn."""
        raise NotImplementedError

    def _need_chat_template(self) -> None:
        if not self.tokenizer.chat_template:
            raise RecipeError(
                f"{self._name}: its tokenizer has no chat template, which chat tasks need; "
                "evaluate a checkpoint of sft, dpo or grpo, or choose suites without chat"
            )

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """As in lm-eval, but a missing template is refused.

        Raises:
            RecipeError: no chat template.
        """
        if chat_template:
            self._need_chat_template()
        return super().chat_template(chat_template)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """What the model writes for each prompt.

        Raises:
            RecipeError: a task that judges thinking is asked without chat, or a prompt and its
                answer are longer than the model's context.
        """
        asked = [self._prepared(request) for request in requests]
        self._check_length(asked)
        texts = super().generate_until(asked, disable_tqdm=disable_tqdm)
        return [
            self._finished(text, request.args[1])
            for text, request in zip(texts, requests, strict=True)
        ]

    def _prepared(self, request: Instance) -> Instance:
        """The request as the parent class is to have it."""
        prompt, settings = request.args
        settings = dict(normalize_gen_kwargs(settings, self.max_gen_toks))
        judged = self._keeps_thinking(settings)
        settings.pop("keep_thinking", None)
        think_tokens = settings.pop("max_think_toks", self.max_think_toks)
        if self._thinking is None:
            if judged:
                raise RecipeError(
                    f"task {request.task_name} asks a chat model: set thinking to True or False"
                )
        elif not self._is_chat(prompt, judged):
            raise RecipeError(
                f"task {request.task_name}: its prompts are not those of the chat template; "
                "evaluate with apply_chat_template=True"
            )
        if self._thinking:
            settings["max_gen_toks"] += think_tokens
            # Such strings would also end the reasoning; `_finished` cuts the answer at them.
            settings["until"] = []
        settings |= self._stop_arguments()
        return dataclasses.replace(request, arguments=(prompt, settings))

    def _keeps_thinking(self, settings: dict[str, Any]) -> bool:
        return bool(settings.get("keep_thinking", self.keep_thinking))

    def _is_chat(self, prompt: str, judged: bool) -> bool:
        if judged or self._thinking:
            return prompt.endswith(self._prompt_end)
        # A task may have begun the answer itself (lm-eval's gen_prefix).
        return self._prompt_end.partition(THINK)[0] in prompt

    def _check_length(self, requests: list[Instance]) -> None:
        if self._thinking is None:
            return  # lm-eval shortens plain text from the left; that would behead a chat prompt
        for request in requests:
            prompt, settings = request.args
            tokens = len(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
            answer = settings["max_gen_toks"]
            if tokens + answer > self.max_length:
                raise RecipeError(
                    f"task {request.task_name}: a prompt of {tokens} tokens and up to {answer} to "
                    f"generate do not fit the context of {self.max_length}; lower max_think_toks "
                    "or max_gen_toks (gen_kwargs)"
                )

    def _finished(self, text: str, settings: dict[str, Any]) -> str:
        """The text without control tokens, as the task is to have it.

        Args:
            text: decoded with its special tokens.
            settings: the task's own.
        """
        for end in self._end_tokens():
            text = text.partition(end)[0]
        for token in self.tokenizer.all_special_tokens:
            if token not in (THINK, END_OF_THINKING):
                text = text.replace(token, "")
        if self._thinking and not self._prompt_end.rstrip().endswith(THINK):
            # The template leaves it to the model to open the block.
            before, opened, after = text.partition(THINK)
            text = after if opened and not before.strip() else END_OF_THINKING + text
        if self._keeps_thinking(settings):
            return as_turn(text, bool(self._thinking))
        if not self._thinking:
            return text
        answer = text.rpartition(END_OF_THINKING)[2] if END_OF_THINKING in text else ""
        until = settings.get("until") or []
        for stop in [until] if isinstance(until, str) else until:
            answer = answer.lstrip().partition(stop)[0] if stop else answer
        return answer.strip()

    def _end_tokens(self) -> list[str]:
        """Tokens after which nothing belongs to the answer."""
        tokenizer = self.tokenizer
        ends = [tokenizer.eos_token, tokenizer.pad_token]
        ends += [END_OF_TURN] if END_OF_TURN in tokenizer.get_vocab() else []
        return [end for end in ends if end]


class KORMoLM(ThinkingMixin, HFLM):
    """lm-eval's transformers backend with thinking; takes the same arguments."""

    def __init__(
        self, pretrained: str | PreTrainedModel, thinking: bool | None = None, **kwargs: Any
    ) -> None:
        """
        Args:
            pretrained: model directory, Hub id, or a loaded model (then with its `tokenizer`).
            thinking: see `ThinkingMixin.thinking`.
            **kwargs: as for `lm_eval.models.huggingface.HFLM`.

        Raises:
            RecipeError: the model cannot be loaded, or has no chat template or `</think>` where
                `thinking` needs one.
        """
        try:
            super().__init__(pretrained=pretrained, backend="causal", **kwargs)
        except OSError as error:
            raise RecipeError(f"{pretrained}: {error}") from error
        self._name = pretrained if isinstance(pretrained, str) else pretrained.name_or_path
        known = self.model.generation_config.eos_token_id
        ids = set(known if isinstance(known, list) else [known] if known is not None else [])
        # A template's end of turn, also where no generation config was saved with the model.
        ids |= set(self.tokenizer.convert_tokens_to_ids(self._end_tokens()))
        self._stop_ids = sorted(ids)
        self.thinking = thinking

    def _create_model(self, pretrained: str, *args: Any, **kwargs: Any) -> None:
        # Overridden because a weight that a checkpoint lacks would be drawn at random.
        kind = self.AUTO_MODEL_CLASS
        self.AUTO_MODEL_CLASS = SimpleNamespace(from_pretrained=partial(load_whole, kind))
        try:
            with errors_about(pretrained):
                super()._create_model(pretrained, *args, **kwargs)
        finally:
            self.AUTO_MODEL_CLASS = kind

    def tok_decode(self, tokens: Any, skip_special_tokens: bool = False) -> str:
        """Text with its special tokens, because `</think>` may be one; `_finished` drops others."""
        return super().tok_decode(tokens, skip_special_tokens=skip_special_tokens)

    def _set_template_arguments(self, thinking: bool | None) -> None:
        # Refuses likelihoods of a model that is to think.
        self.enable_thinking = thinking
        self.chat_template_args.pop("enable_thinking", None)
        if thinking is not None:
            self.chat_template_args["enable_thinking"] = thinking

    def _stop_arguments(self) -> dict[str, Any]:
        # Not through the model's generation config: the model may be one in training.
        return {"eos_token_id": self._stop_ids}
