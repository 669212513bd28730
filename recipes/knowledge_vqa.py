"""Teach a model that sees to answer from a knowledge graph.

    kormo train knowledge_vqa --config tiny/knowledge_vqa.yaml arm=tokens

Loss: cross-entropy of the answer's tokens, plus that of the entity shown and of the relation asked
for, each computed once. GEL-VQA (arXiv 2401.06443) is the arm `classifier`, with its triple
predicted once, its loss taken as it is, and accuracy counted over all questions.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_recipes.common.config_files import find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file, staged_file, staged_folder, write_json_atomically
from data_recipes.common.line_log import LineLog
from data_recipes.common.provenance import git_commit
from data_recipes.common.run_dir import DirectoryLock, bind_settings
from data_recipes.knowledge.triples import Graph, read_triples, write_triples

from .command_line import CONFIGS, exit_on_error
from .kge import FINAL, MANIFEST, TRIPLES, VECTORS
from .knowledge_config import KnowledgeVqaConfig, RandomModelConfig

if TYPE_CHECKING:
    import torch
    from transformers import ProcessorMixin

    from modeling_kormo.knowledge import KnowledgeModel
    from modeling_kormo.knowledge_inputs import Asker, Question
    from modeling_kormo.vision import VisionModel

NAME = "name"  # the path of no relation, first of all
_WARM_UP = 0.05
_SAY_NAME = {"ko": "이름을 말하라.", "en": "Say its name."}
CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"
_Rows = list[dict[str, Any]]


def read_rows(path: Path) -> _Rows:
    """Read rows of `kormo data knowledge`.

    Raises:
        RecipeError: no such file, or a line that is no JSON.
    """
    if not path.is_file():
        raise RecipeError(f"data: {path}: no such file; make it with `kormo data knowledge`")
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise RecipeError(f"data: {path}: a line is no JSON ({error})") from error


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


def _start(config: KnowledgeVqaConfig, rows: _Rows, graph: Graph) -> tuple[Any, Any]:
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

    from modeling_kormo.vision import load_processor

    try:
        model = LlavaForConditionalGeneration.from_pretrained(
            config.init_from, dtype="float32", attn_implementation="sdpa"
        )
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


def build(config: KnowledgeVqaConfig) -> tuple[Asker, Graph, dict[str, _Rows]]:
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

    rows = {name: read_rows(config.data / f"{name}.jsonl") for name in ("train", "names")}
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


def _name_vectors(asker: Asker, graph: Graph, count: int, rng: random.Random) -> torch.Tensor:
    """Score the names of vectors: the mean cross-entropy, of any entities of the graph."""
    import torch

    from modeling_kormo.knowledge import SLOTS, Looked
    from modeling_kormo.knowledge_inputs import Question

    model, entities = asker.model, graph.entities
    nothing = len(model.vectors) - 1
    questions, slots = [], []
    for _ in range(count):
        entity, language = rng.randrange(len(entities)), rng.choice(tuple(_SAY_NAME))
        name = graph.name(entities[entity], language)
        questions.append(Question(_SAY_NAME[language], language, None, NAME, "", name, ()))
        # In any place that an entity takes.
        place = rng.choice((0, 2, 4))
        slots.append([entity if n == place else nothing for n in range(SLOTS)])
    batch = asker.prompts(questions, [""] * count, 0, answers=True)
    looked = Looked(*[model.vectors] * 3, None)  # nothing is looked at
    facts = model.vectors[torch.tensor(slots)]
    return _answer_loss(model, batch, looked, facts)


def _answer_loss(model: KnowledgeModel, batch: dict, looked: Any, facts: Any) -> torch.Tensor:
    from torch.nn.functional import cross_entropy

    embeds = model.fill(batch["ids"], batch["image"], batch["slot"], looked, facts)
    learned = batch["labels"] != -100
    # The token before predicts.
    logits = model.logits(embeds, batch["mask"], learned.roll(-1, dims=1))
    return cross_entropy(logits, batch["labels"][learned])


def losses(
    asker: Asker, questions: Sequence[Question], name_vectors: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """Compute the losses of a batch, which are added up: `answer`, `entity`, `path`.

    Args:
        asker: of the model.
        questions: of the batch.
        name_vectors: loss of naming vectors, if the batch has such rows; weighted as its part.
    """
    import torch
    from torch.nn.functional import cross_entropy

    model = asker.model
    looked = asker.look(questions, asker.pixels(questions))
    gold = asker.gold(questions)
    found = {
        "entity": cross_entropy(looked.heads, gold[:, 0]),
        "path": cross_entropy(looked.paths, gold[:, 1]),
    }
    arm = model.known.arm
    if arm == "classifier":
        answers = {name: n for n, name in enumerate(model.known.answers)}
        right = torch.tensor([answers.get(q.tail, -100) for q in questions])
        scores = model.classify(looked, asker.facts(looked, questions))
        found["answer"] = cross_entropy(scores, right)
        return found
    facts = asker.facts(looked, questions) if model.known.as_tokens else None
    told = asker.told(looked, questions) if arm == "text" else [""] * len(questions)
    pictures = 0 if looked.pictures is None else looked.pictures.shape[1]
    batch = asker.prompts(questions, told, pictures, answers=True)
    found["answer"] = _answer_loss(model, batch, looked, facts)
    if name_vectors is not None:
        found["vectors"] = name_vectors
    return found


def _batch_of(config: KnowledgeVqaConfig, rows: dict[str, _Rows], step: int) -> tuple[_Rows, int]:
    """Draw a step's rows, a function of seed and step alone; and how many vectors are named."""
    rng = random.Random(f"{config.seed} {step}")
    vectors = round(config.batch * config.vector_share) if config.arm in ("tokens", "gold") else 0
    # A name in place of the picture would be the answer.
    names = round(config.batch * config.naming_share) if config.sees else 0
    drawn = rng.choices(rows["names"], k=names)
    return drawn + rng.choices(rows["train"], k=config.batch - names - vectors), vectors


def _digests(config: KnowledgeVqaConfig) -> dict[str, str]:
    """Digest the files that decide what is learned: other ones of the same name are other work."""
    files = [config.data / f"{name}.jsonl" for name in ("train", "names")]
    files += [config.graph / name for name in (VECTORS, TRIPLES)]
    return {path.name: sha256_file(path) for path in files if path.is_file()}


def train(config: KnowledgeVqaConfig) -> Path:
    """Train, and write `final/`; goes on from the last checkpoint, with the same result.

    Raises:
        RecipeError: see `build`; or a directory of another run.
    """
    import torch

    from modeling_kormo.knowledge_inputs import question_of
    from modeling_kormo.vision import save_vision_model

    out, final = config.output_dir, config.output_dir / FINAL
    with DirectoryLock(out):
        settings = json.loads(config.model_dump_json(exclude={"output_dir", "log_every"}))
        settings["read"] = _digests(config)
        remedy = "choose another output_dir, or delete this one"
        bind_settings(out, settings, remedy, finished=[CHECKPOINT, FINAL])
        if (final / MANIFEST).is_file():
            return final
        asker, graph, rows = build(config)
        model = asker.model.train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        warm = max(1, round(config.steps * _WARM_UP))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda n: min((n + 1) / warm, (config.steps - n) / (config.steps - warm))
        )
        first = _resume(out / CHECKPOINT, model, optimizer, schedule)
        with LineLog(out / METRICS, f"delete {out}") as log:
            for step in tqdm(range(first, config.steps), initial=first, total=config.steps):
                torch.manual_seed(config.seed * 1_000_003 + step)  # dropout
                drawn, count = _batch_of(config, rows, step)
                questions = [question_of(row, config.data, config.sees) for row in drawn]
                rng = random.Random(f"vectors {config.seed} {step}")
                named = _name_vectors(asker, graph, count, rng) if count else None
                found = losses(asker, questions, named)
                optimizer.zero_grad()
                sum(found.values()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                if (step + 1) % config.log_every == 0 or step + 1 == config.steps:
                    values = {name: round(value.item(), 5) for name, value in found.items()}
                    log.add({"step": step + 1, **values})
                if (step + 1) % config.save_every == 0:
                    _save(out / CHECKPOINT, step + 1, model, optimizer, schedule)
        with staged_folder(final) as folder:
            save_vision_model(model.model, asker.processor, folder)
            model.save(folder)
            write_triples(folder / TRIPLES, graph)
            write_json_atomically(
                folder / MANIFEST,
                {
                    "settings": settings,
                    "graph": json.loads(_text(config.graph)),
                    "commit": git_commit(),
                },
            )
        (out / CHECKPOINT).unlink(missing_ok=True)
    return final


def _text(graph: Path) -> str:
    return (graph / MANIFEST).read_text(encoding="utf-8")


def _save(path: Path, step: int, *parts: Any) -> None:
    import torch

    with staged_file(path) as staged:
        torch.save({"step": step, "parts": [part.state_dict() for part in parts]}, staged)


def _resume(path: Path, *parts: Any) -> int:
    """Load the last checkpoint, if there is one; the number of steps that are done."""
    import torch

    if not path.is_file():
        return 0
    saved = torch.load(path, weights_only=True)
    for part, state in zip(parts, saved["parts"], strict=True):
        part.load_state_dict(state)
    return saved["step"]


def _dry_run(config: KnowledgeVqaConfig) -> None:
    asker, graph, rows = build(config)
    sizes = {
        "all": sum(p.numel() for p in asker.model.parameters()),
        "vision model": sum(p.numel() for p in asker.model.model.parameters()),
    }
    known = asker.model.known
    print(f"arm {config.arm}: {config.steps:,} steps of {config.batch} rows")
    print(", ".join(f"{name} {count:,} parameters" for name, count in sizes.items()))
    questions, names = len(rows["train"]), len(rows["names"])
    print(f"{questions:,} questions, {names:,} names, {len(graph.triples):,} facts")
    print(
        f"{len(known.heads)} entities by {len(known.paths) - 1} paths; {len(known.answers)} answers"
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="kormo train knowledge_vqa",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", default="tiny/knowledge_vqa.yaml", help="(%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and exit")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_intermixed_args()
    config = load_config(find_config(args.config, CONFIGS), KnowledgeVqaConfig, args.overrides)
    if args.dry_run:
        _dry_run(config)
        return
    print(train(config))


if __name__ == "__main__":
    exit_on_error(main)
