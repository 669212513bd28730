"""KORMo that sees: transformers' LLaVA classes around a KORMo model and a SigLIP tower.

`llava` (Liu et al. 2023, arXiv 2310.03744) gives a picture one square of patches; `onevision` (Li
et al. 2024, arXiv 2408.03326), which KORMo-VL is, also cuts it into tiles, so that small things
stay legible. Neither changes the language model: without a picture the logits are its own.

Nothing here needs torchvision: pictures are prepared by the processors that work on Pillow.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from .checkpoint_files import load_whole
from .modeling_kormo import KORMoForCausalLM

Kind = Literal["llava", "onevision"]
VisionModel = LlavaForConditionalGeneration | LlavaOnevisionForConditionalGeneration
Processor = LlavaProcessor | LlavaOnevisionProcessor
# The tokenizer knows them by these attributes, and by `image_token` the chat template knows that
# the model sees.
TOKENS = {"image_token": "<image>", "video_token": "<video>"}
# LLaVA-OneVision's, and KORMo-VL's: features of the tiles are shrunk to those of at most 9.
_MAX_TILES = 9
# Side of the largest grid of tiles that a picture is fitted to.
_GRID = 6
# A matrix of this many rows multiplies well.
_MULTIPLE = 64
# Either is saved with a processor, by the release of transformers.
_PROCESSORS = "preprocessor_config.json", "processor_config.json"


class OnevisionProcessor(LlavaOnevisionProcessor):
    """`LlavaOnevisionProcessor` without its part for videos, which needs torchvision."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        num_image_tokens: int | None = None,
        vision_feature_select_strategy: str | None = None,
        chat_template: str | None = None,
        image_token: str = TOKENS["image_token"],
        vision_aspect_ratio: str = f"anyres_max_{_MAX_TILES}",
        **kwargs: Any,
    ) -> None:
        self.num_image_tokens = num_image_tokens
        self.vision_feature_select_strategy = vision_feature_select_strategy
        self.vision_aspect_ratio = vision_aspect_ratio
        self.image_token = image_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


AutoProcessor.register(LlavaOnevisionConfig, OnevisionProcessor, exist_ok=True)


def load_vision_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a language model with `<image>` and `<video>` after all its ids.

    KORMo's gets ids 125,041 and 125,042, as KORMo-VL's has.
    """
    return AutoTokenizer.from_pretrained(name, revision=revision, **TOKENS)


def load_tower(name: str, revision: str | None = None) -> SiglipVisionModel:
    """Load the vision half of a SigLIP or SigLIP 2 checkpoint, or a tower saved alone.

    Raises:
        ValueError: a model of another kind.
    """
    config = AutoConfig.from_pretrained(name, revision=revision)
    if config.model_type not in ("siglip", "siglip_vision_model"):
        raise ValueError(
            f"{name}: a {config.model_type}; a tower is a SigLIP (or SigLIP 2 of fixed resolution)"
        )
    return load_whole(SiglipVisionModel, name, revision=revision, dtype=torch.float32)


def patches(vision: SiglipVisionConfig) -> int:
    """Image tokens of one square of pixels."""
    return (vision.image_size // vision.patch_size) ** 2


def grid(vision: SiglipVisionConfig) -> list[list[int]]:
    """Heights and widths in pixels that a picture may be fitted to, in whole tiles."""
    sides = [vision.image_size * n for n in range(1, _GRID + 1)]
    return [[height, width] for height in sides for width in sides]


def make_room(model: KORMoForCausalLM, tokens: int) -> None:
    """Add rows to embedding and head if the tokenizer has more entries than they have.

    KORMo's have 143 free ones, which are used as they are. New ones are the mean of all, which adds
    least to the softmax's denominator (Hewitt 2021); logits of the old stay to the bit.
    """
    known = model.config.vocab_size
    if tokens <= known:
        return
    rows = -(-tokens // _MULTIPLE) * _MULTIPLE
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.weight[known:] = layer.weight[:known].float().mean(dim=0).to(layer.weight.dtype)


def _without_head(tower: SiglipVisionModel) -> SiglipVisionModel:
    """The tower without the pooling over its patches, which LLaVA does not read."""
    if not tower.config.vision_use_head:
        return tower
    config = SiglipVisionConfig(**{**tower.config.to_dict(), "vision_use_head": False})
    bare = SiglipVisionModel(config)
    bare.load_state_dict({k: v for k, v in tower.state_dict().items() if k in bare.state_dict()})
    return bare


def build_vision_model(
    language: KORMoForCausalLM,
    tower: SiglipVisionModel,
    tokenizer: PreTrainedTokenizerBase,
    kind: Kind,
) -> VisionModel:
    """Put a language model and a tower together; their weights are shared, not copied.

    Args:
        language: any KORMo model; gets rows for the tokenizer's entries if it lacks them.
        tower: of any width; takes the dtype of the language model.
        tokenizer: from `load_vision_tokenizer`.
        kind: `llava` or `onevision`.

    Returns:
        The model, its projector (two layers, GELU) of random weights.
    """
    make_room(language, len(tokenizer))
    tower = _without_head(tower).to(language.dtype)
    vars(language.config).pop("auto_map", None)  # inside another model, code is transformers'
    shared = {
        "text_config": language.config,
        "vision_config": tower.config,
        "image_token_index": tokenizer.image_token_id,
        # SigLIP has no class token to leave out, and its last layer is trained to be read.
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
    }
    with torch.device("meta"):
        if kind == "llava":
            config = LlavaConfig(**shared, image_seq_length=patches(tower.config))
            model = LlavaForConditionalGeneration(config)
        else:
            config = LlavaOnevisionConfig(
                **shared,
                video_token_index=tokenizer.video_token_id,
                image_grid_pinpoints=grid(tower.config),
                vision_aspect_ratio=f"anyres_max_{_MAX_TILES}",
            )
            model = LlavaOnevisionForConditionalGeneration(config)
    inner = model.model
    inner.language_model, inner.vision_tower = language.model, tower
    model.lm_head = language.lm_head
    inner.multi_modal_projector = type(inner.multi_modal_projector)(config).to(language.dtype)
    if kind == "onevision":
        width = language.config.hidden_size
        line = torch.randn(width, dtype=language.dtype) / width**0.5
        inner.image_newline = nn.Parameter(line)
    model.generation_config = language.generation_config
    return model


def language_model(model: VisionModel) -> PreTrainedModel:
    """Take the language model out; its weights are shared."""
    with torch.device("meta"):
        language = AutoModelForCausalLM.from_config(model.config.text_config)
    language.model = model.model.language_model
    language.lm_head.weight = model.lm_head.weight  # a loaded LLaVA's head is a plain Linear
    language.generation_config = model.generation_config
    language.name_or_path = model.name_or_path
    return language.train(model.training)


def _pixels(edge: int) -> dict[str, Any]:
    """SigLIP's pixels, whatever the tower's size: between -1 and 1."""
    size = {"height": edge, "width": edge}
    return {"size": size, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def picture_processor(edge: int) -> SiglipImageProcessorPil:
    """Make what squeezes a picture into one square of pixels."""
    return SiglipImageProcessorPil(**_pixels(edge), do_convert_rgb=True)


def build_processor(
    tokenizer: PreTrainedTokenizerBase, vision: SiglipVisionConfig, kind: Kind
) -> Processor:
    """Make what turns pictures and chats into tensors.

    Args:
        tokenizer: from `load_vision_tokenizer`, with a chat template.
        vision: of the tower.
        kind: of the model.
    """
    shared = {
        "tokenizer": tokenizer,
        "chat_template": tokenizer.chat_template,
        "vision_feature_select_strategy": "full",
    }
    if kind == "llava":
        return LlavaProcessor(
            image_processor=picture_processor(vision.image_size),
            patch_size=vision.patch_size,
            num_additional_image_tokens=0,
            **shared,
        )
    return OnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessorPil(
            **_pixels(vision.image_size), image_grid_pinpoints=grid(vision)
        ),
        num_image_tokens=patches(vision),
        **shared,
    )


def load_processor(name: str, revision: str | None = None) -> Processor:
    """Load a saved processor, also one saved as `LlavaOnevisionProcessor`, as KORMo-VL's is.

    Raises:
        FileNotFoundError: it sees, but was saved without its processor, as checkpoints are.
        ValueError, OSError: no such model, or none that sees.
    """
    config = AutoConfig.from_pretrained(name, revision=revision)
    classes = {"llava": LlavaProcessor, "llava_onevision": OnevisionProcessor}
    if config.model_type not in classes:
        raise ValueError(f"{name}: a {config.model_type}, which reads text only")
    if Path(name).is_dir() and not any((Path(name) / file).is_file() for file in _PROCESSORS):
        raise FileNotFoundError(
            f"{name}: no {' or '.join(_PROCESSORS)}, by which pictures become tokens; copy "
            "them and the tokenizer's files from the final/ of its run, or take that"
        )
    # With Pillow, also beside torchvision: its pixels are others, and for tiles it counts other
    # tokens than KORMo-VL was trained with.
    if config.model_type == "llava":
        processor = LlavaProcessor.from_pretrained(name, revision=revision)
        processor.image_processor = AutoImageProcessor.from_pretrained(
            name, revision=revision, backend="pil"
        )
        return processor
    images = LlavaOnevisionImageProcessorPil.from_pretrained(name, revision=revision)
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    return OnevisionProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        num_image_tokens=patches(config.vision_config),
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=tokenizer.chat_template,
        vision_aspect_ratio=config.vision_aspect_ratio,
    )


def tokens_of_picture(processor: Processor, height: int, width: int, pictures: int = 1) -> int:
    """Count the tokens that a picture becomes.

    Args:
        processor: of the model.
        height: in pixels.
        width: in pixels.
        pictures: in the chat; LLaVA-OneVision gives tiles to a lone one only.
    """
    edge = processor.image_processor.size["height"]
    if isinstance(processor, LlavaProcessor):
        return (edge // processor.patch_size) ** 2
    if pictures > 1:
        return processor.num_image_tokens + 1  # the end of its only row
    return processor._get_number_of_features(height, width, edge, edge)


def save_vision_model(model: VisionModel, processor: ProcessorMixin, directory: Path) -> None:
    """Write a directory that loads where `modeling_kormo` is imported."""
    model.save_pretrained(directory)
    processor.save_pretrained(directory)


def name_classes_of_transformers(directory: Path) -> None:
    """Have a saved processor load with transformers alone, of versions 4 and 5.

    4 looks for the part about pictures in a file of its own. `LlavaOnevisionProcessor` needs
    torchvision, as engines that serve it do.
    """
    path = directory / "processor_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    images = config["image_processor"]
    if config["processor_class"] == OnevisionProcessor.__name__:
        config["processor_class"] = LlavaOnevisionProcessor.__name__
        config["video_processor"] = {
            "video_processor_type": "LlavaOnevisionVideoProcessor",
            **{k: images[k] for k in ("size", "image_mean", "image_std", "resample")},
        }
    _write(path, config)
    _write(
        directory / "preprocessor_config.json",
        {**images, "processor_class": config["processor_class"]},
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
