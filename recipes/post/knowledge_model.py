"""A model that answers from a graph, put together from a vision model, vectors and questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import MANIFEST
from data_recipes.knowledge.triples import Graph, read_triples
from data_recipes.read.conversations import read_rows

from ..kge import TRIPLES, VECTORS
from ..knowledge_config import KnowledgeVqaConfig, RandomModelConfig

if TYPE_CHECKING:
    import torch
    from transformers import ProcessorMixin

    from modeling_kormo.knowledge_inputs import Asker
    from modeling_kormo.vision import VisionModel

NAME = "name"  # the path of no relation, first of all
TRAINED_ON = ("train", "names")
Rows = list[dict[str, Any]]


def _read_rows(path: Path) -> Rows:
    if not path.is_file():
        raise RecipeError(f"data: {path}: no such file; make it with `kormo data knowledge`")
    return [row for _, row in read_rows(str(path))]


def _random_start(
    config: RandomModelConfig, texts: list[str], seed: int
) -> tuple[VisionModel, ProcessorMixin]:
    """Make a small vision model of random weights, with a tokenizer of the questions' text."""
    import tempfile

    import torch
    from transformers import SiglipVisionConfig, SiglipVisionModel

    from data_recipes.tokenizer.train import train_tokenizer
    from modeling_kormo import CHAT_TEMPLATE, KORMoConfig, KORMoForCausalLM
    from modeling_kormo.vision import build_processor, build_vision_model, load_vision_tokenizer

    tokenizer = train_tokenizer(texts, config.vocabulary)
    tokenizer.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        tokenizer = load_vision_tokenizer(folder)
    torch.manual_seed(seed)
    width = config.hidden_size
    shape = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_attention_heads": config.heads,
    }
    language = KORMoForCausalLM(
        KORMoConfig(
            **shape,
            vocab_size=len(tokenizer),
            num_hidden_layers=config.layers,
            num_key_value_heads=config.heads,
            head_dim=width // config.heads,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|EOT|>"),
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="sdpa",
            # KORMo's 0.02 is for thousands of units; of tens it learns sooner with these (our
            # choice; docs/experiments.md on the embedding).
            initializer_range=width**-0.5,
            embedding_std=1.0,
        )
    )
    vision = SiglipVisionConfig(
        **shape,
        num_hidden_layers=2,
        image_size=config.picture_size,
        patch_size=config.patch_size,
    )
    model = build_vision_model(language, SiglipVisionModel(vision), tokenizer, "llava")
    return model, build_processor(tokenizer, vision, "llava")


def _start(config: KnowledgeVqaConfig, rows: Rows, graph: Graph) -> tuple[Any, Any]:
    if config.random is not None:
        texts = [
            text
            for row in rows
            for text in (row["messages"][0]["content"][-1]["text"], *row["answers"])
        ]
        texts += [name for own in graph.names.values() for code in own for name in own[code]]
        # What the chat template says around every question: as whole tokens, prompts are shorter.
        texts += ["user\nassistant\n"] * len(rows)
        return _random_start(config.random, texts, config.seed)
    from transformers import LlavaForConditionalGeneration

    from modeling_kormo.checkpoint_files import load_whole
    from modeling_kormo.vision import load_processor

    try:
        settings = {"dtype": "float32", "attn_implementation": "sdpa"}
        model = load_whole(LlavaForConditionalGeneration, config.init_from, **settings)
        return model, load_processor(str(config.init_from))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"init_from {config.init_from}: no vision model of kind llava ({error})"
        ) from error


def _read_graph(folder: Path) -> tuple[Graph, dict[str, Any], torch.Tensor]:
    """Read what `kormo train kge` wrote: facts, manifest, vectors `[entities + relations, dim]`."""
    import torch
    from safetensors.torch import load_file

    if not (folder / MANIFEST).is_file():
        raise RecipeError(f"graph {folder}: no vectors; make them with `kormo train kge`")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    weights = load_file(folder / VECTORS)
    vectors = torch.cat((weights["entity.weight"], weights["relation.weight"]))
    return read_triples(folder / TRIPLES), manifest, vectors


def build(config: KnowledgeVqaConfig) -> tuple[Asker, Graph, dict[str, Rows]]:
    """Put the model together.

    Returns:
        What asks it, the graph, and the rows to train on: `train` and `names`.

    Raises:
        RecipeError: no data, vectors or vision model; or data of a graph that the vectors lack.
    """
    from data_recipes.knowledge.wordings import teller
    from data_recipes.read.pictures import open_picture
    from modeling_kormo.knowledge import KnowledgeModel, Known, make_slots
    from modeling_kormo.knowledge_inputs import Asker

    rows = {name: _read_rows(config.data / f"{name}.jsonl") for name in TRAINED_ON}
    graph, manifest, vectors = _read_graph(config.graph)
    everything = rows["train"] + rows["names"]
    if not config.sees and any("named_question" not in row for row in rows["train"]):
        raise RecipeError(f"sees=false: {config.data} has no questions with names; leave it true")
    heads = sorted({row["entity"] for row in everything})
    if absent := sorted(set(heads) - set(manifest["entities"])):
        raise RecipeError(
            f"graph {config.graph}: has no {absent[0]}, which {config.data} asks about; fit "
            "vectors to the triples.jsonl of the same data"
        )
    paths = [NAME, *sorted({row["relation"] for row in rows["train"]})]
    known = Known(
        arm=config.arm,
        sees=config.sees,
        top=config.top,
        heads=heads,
        paths=paths,
        slots=make_slots(heads, paths, manifest["entities"], manifest["relations"], graph.way),
        answers=sorted({row["triples"][row["hops"] - 1][2] for row in rows["train"]}),
        entities=manifest["entities"],
        relations=manifest["relations"],
    )
    vision, processor = _start(config, everything, graph)
    model = KnowledgeModel(vision, vectors, known)
    return Asker(model, processor, teller(graph), open_picture), graph, rows
