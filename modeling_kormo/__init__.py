"""KORMo for transformers. Importing this package registers the model with the Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from .configuration_kormo import KORMoConfig
from .modeling_kormo import (
    KORMoForCausalLM,
    KORMoForSequenceClassification,
    KORMoForTokenClassification,
    KORMoModel,
    KORMoPreTrainedModel,
)

AutoConfig.register("kormo", KORMoConfig)
AutoModel.register(KORMoConfig, KORMoModel)
AutoModelForCausalLM.register(KORMoConfig, KORMoForCausalLM)
AutoModelForSequenceClassification.register(KORMoConfig, KORMoForSequenceClassification)
AutoModelForTokenClassification.register(KORMoConfig, KORMoForTokenClassification)

__all__ = [
    "KORMoConfig",
    "KORMoForCausalLM",
    "KORMoForSequenceClassification",
    "KORMoForTokenClassification",
    "KORMoModel",
    "KORMoPreTrainedModel",
]
