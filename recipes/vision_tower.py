"""A small vision tower of our own, for sizes that no public one fits.

    python recipes/vision_tower.py                                   # tiny, minutes on a laptop

Pictures are held against their captions by SigLIP's loss, in the words of the language model that
will see through it. 1b and 10b take a public tower (recipes/vision_align.py). Started again after
an interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.command_line import exit_on_error, parse_command_line
from recipes.post.vision_config import VisionTowerConfig

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import TrainingArguments

    from recipes.post.tower import TowerTrainer


def tower_arguments(config: VisionTowerConfig) -> TrainingArguments:
    """Translate a config into arguments.

    Raises:
        RecipeError: several processes, each of which would hold its pictures against its own
            captions alone.
    """
    from transformers import TrainingArguments

    from data_recipes.common.errors import RecipeError
    from recipes.arguments import one_device, process_count, shared_arguments
    from recipes.engine.schedule import BatchSplit

    if process_count() > 1:
        raise RecipeError("vision_tower: a tower of this size is trained by one process")
    split = BatchSplit(config.batch.rows_per_step, 1)
    args = TrainingArguments(
        **shared_arguments(config, split, config.logging.save_every, config.data.seed),
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps",
        eval_steps=config.logging.eval_every,
        remove_unused_columns=False,
        dataloader_drop_last=True,
        dataloader_num_workers=config.data.workers,
    )
    return one_device(args)


def save_tower(trainer: TowerTrainer, config: VisionTowerConfig, fingerprint: str) -> Path:
    """Write `final/`: the tower, without what it was held against."""
    from modeling_kormo.vision import picture_processor
    from recipes.engine.handover import TOWER_USAGE, Trained, write_final

    tower = trainer.model.tower
    sources = config.data.sources
    trained = Trained(
        parent=None,
        parameters=sum(p.numel() for p in tower.parameters()),
        tokens=int(trainer.state.num_input_tokens_seen),
        data_fingerprint=fingerprint,
        tokenizer_sha256=None,
        languages=sorted({code for s in sources for code in s.languages}),
        licences=sorted({s.licence for s in sources}),
        table="\n".join(s.path for s in sources),
        usage=TOWER_USAGE,
    )
    pictures = picture_processor(config.model.shape.image_size)
    return write_final(config, config.logging.output_dir, tower.save_pretrained, pictures, trained)


def main() -> None:
    invocation = parse_command_line("vision_tower", __doc__)
    config = invocation.config

    # Only now: these load torch and transformers, and a mistake above is told without them.
    from transformers import SiglipVisionModel, set_seed

    from recipes.arguments import check_machine, start_processes
    from recipes.engine.resume import claim_output
    from recipes.post.model import load_chat_tokenizer, load_model
    from recipes.post.pictures import build_pictures, opened
    from recipes.post.seeing import vision_config
    from recipes.post.stage import (
        chat_fingerprint,
        ensure_chat_inputs,
        make_pictures,
        set_length,
        train_chat,
    )
    from recipes.post.tower import CaptionCollator, TowerTrainer, TowerWithCaptions, one_picture

    shape = vision_config(config.model.shape)
    if invocation.dry_run:
        from recipes.post.vision_plan import tower_plan

        print(tower_plan(config))
        return
    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    output_dir = config.logging.output_dir
    args = tower_arguments(config)
    claim_output(output_dir)
    ensure_chat_inputs(config, [s.path for s in config.data.sources], make_pictures)

    tokenizer = load_chat_tokenizer(config.model.init_from)
    language = load_model(config.model.init_from, "sdpa")
    set_seed(config.data.seed)
    words = language.get_input_embeddings().weight.detach()
    model = TowerWithCaptions(SiglipVisionModel(shape), words)
    rows = build_pictures(config.data, one_picture, "captions", output_dir / "data")
    trainer = TowerTrainer(
        model=model,
        args=args,
        train_dataset=opened(rows.train),
        eval_dataset=opened(rows.heldout),
        data_collator=CaptionCollator(tokenizer, shape.image_size),
    )
    set_length(args, config, len(rows.train))
    trainer.prepare(config)
    train_chat(trainer, config, chat_fingerprint(config, rows.fingerprint))
    print(f"tower       {save_tower(trainer, config, rows.fingerprint)}", flush=True)


if __name__ == "__main__":
    exit_on_error(main)
