"""The training of a model that sees, from top to bottom, for aligning and for instructing.

`vision_align.py` and `vision_sft.py` say what each is for; what is frozen follows from their
configs (`recipes/post/seeing.py`).
"""

from __future__ import annotations

from recipes.command_line import parse_command_line


def train_seeing(stage: str, description: str) -> None:
    """Run a stage to its `final/` as its command line says.

    Args:
        stage: name of it.
        description: of it, for `--help`.

    Raises:
        RecipeError: bad input; `Stopped` if a signal asked for it.
    """
    invocation = parse_command_line(stage, description)
    config = invocation.config

    # torch and TRL take seconds to load: a mistake above is told without them.
    from data_recipes.common.files import disk_full_is_an_error

    from .engine.handover import SEEING_USAGE, DataFacts
    from .post.chat_trainer import SeeingTrainer
    from .post.export import export_chat
    from .post.masks import MaskAudit
    from .post.pictures import build_pictures, chat_samples, collated, opened
    from .post.seeing import load_seeing, seeing_arguments, seeing_lora
    from .post.stage import begin, chat_fingerprint, make_pictures, set_length, train_chat
    from .post.vision_plan import vision_plan

    if invocation.dry_run:
        print(vision_plan(config))
        return
    paths = [source.path for source in config.data.sources]
    args = begin(config, paths, seeing_arguments, make_pictures)

    # Tower, projector and language model; rows of pictures and chats, kept as they were counted.
    model, processor = load_seeing(config)
    tokenizer, length = processor.tokenizer, config.batch.sequence_length
    data = config.logging.output_dir / "data"
    with disk_full_is_an_error(data):
        settings = f"{length}/{processor.chat_template}/{processor.image_processor.to_dict()}"
        rows = build_pictures(config.data, chat_samples(processor, length), settings, data)
    train, heldout = opened(rows.train), opened(rows.heldout)
    trainer = SeeingTrainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=heldout,
        processing_class=processor,
        peft_config=seeing_lora(config),
    )
    set_length(args, config, len(train))
    trainer.prepare(config)

    # What is learned, before anything is.
    first = collated(train, trainer.data_collator, config.data.audit_rows)
    audit = MaskAudit(tokenizer)(first, rows.left_out)
    if trainer.is_world_process_zero():
        print(audit.table(), flush=True)
    audit.check()

    train_chat(trainer, config, chat_fingerprint(config, rows.fingerprint))
    facts = DataFacts.of(config.data.sources, rows.fingerprint, audit.table())
    export_chat(trainer, config, processor, facts, SEEING_USAGE)
