"""The same as `backend.KORMoLM` on vLLM; importing it needs vLLM and a GPU machine."""

from typing import Any

from lm_eval.models.vllm_causallms import VLLM

from .backend import ThinkingMixin


class KORMoVLLM(ThinkingMixin, VLLM):
    """lm-eval's vLLM backend with thinking; takes the same arguments."""

    def __init__(self, pretrained: str, thinking: bool | None = None, **kwargs: Any) -> None:
        """
        Args:
            pretrained: model directory or Hub id; export with `--as llama` or let vLLM run the
                model through transformers.
            thinking: see `ThinkingMixin.thinking`.
            **kwargs: as for `lm_eval.models.vllm_causallms.VLLM`.
        """
        super().__init__(pretrained=pretrained, **kwargs)
        self._name = pretrained
        self.thinking = thinking

    def _set_template_arguments(self, thinking: bool | None) -> None:
        self.enable_thinking = thinking

    def _stop_arguments(self) -> dict[str, Any]:
        return {"stop_token_ids": self.tokenizer.convert_tokens_to_ids(self._end_tokens())}
