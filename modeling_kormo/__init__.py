"""KORMo for transformers. Importing this package registers the model with the Auto classes."""

from pathlib import Path

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import is_liger_kernel_available, is_vision_available

from .configuration_kormo import KORMoConfig
from .liger_kormo import register_liger
from .modeling_kormo import (
    KORMoForCausalLM,
    KORMoForSequenceClassification,
    KORMoForTokenClassification,
    KORMoModel,
    KORMoPreTrainedModel,
)

# One file for training, serving and evaluation.
CHAT_TEMPLATE = Path(__file__).parent / "chat_template.jinja"

AutoConfig.register("kormo", KORMoConfig)
AutoModel.register(KORMoConfig, KORMoModel)
AutoModelForCausalLM.register(KORMoConfig, KORMoForCausalLM)
AutoModelForSequenceClassification.register(KORMoConfig, KORMoForSequenceClassification)
AutoModelForTokenClassification.register(KORMoConfig, KORMoForTokenClassification)

if is_liger_kernel_available():
    # For an unknown model type Liger does nothing, without a word.
    register_liger()

if is_vision_available():
    # So that AutoProcessor finds the one that does without torchvision.
    from . import vision  # noqa: F401

__all__ = [
    "CHAT_TEMPLATE",
    "KORMoConfig",
    "KORMoForCausalLM",
    "KORMoForSequenceClassification",
    "KORMoForTokenClassification",
    "KORMoModel",
    "KORMoPreTrainedModel",
]
