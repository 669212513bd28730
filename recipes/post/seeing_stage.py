"""What aligning and instructing share: from the config to `final/`."""

from trl import SFTConfig

from data_recipes.common.files import disk_full_is_an_error

from ..arguments import check_machine, one_device, start_processes
from ..engine.handover import SEEING_USAGE
from ..engine.resume import claim_output
from .export import DataFacts, export_chat
from .masks import MaskAudit
from .pictures import build_pictures, chat_samples, collated, opened
from .seeing import AnyVisionConfig, load_seeing, seeing_lora
from .stage import (
    chat_arguments,
    chat_fingerprint,
    ensure_chat_inputs,
    make_pictures,
    set_length,
    train_chat,
)
from .trainers import SeeingTrainer


def seeing_arguments(config: AnyVisionConfig) -> SFTConfig:
    """Translate a config into TRL's arguments: no packing, and no cut, which would cut pictures."""
    args = SFTConfig(
        **chat_arguments(config),
        assistant_only_loss=True,
        max_length=None,
        packing=False,
        remove_unused_columns=False,
        dataloader_num_workers=config.data.workers,
    )
    return one_device(args)


def train_seeing(config: AnyVisionConfig) -> None:
    """Run a stage to its `final/`.

    Raises:
        RecipeError: bad input; `Stopped` if a signal asked for it.
    """
    check_machine(config)
    start_processes(config.parallelism.timeout_minutes)
    output_dir = config.logging.output_dir
    args = seeing_arguments(config)
    claim_output(output_dir)
    ensure_chat_inputs(config, [s.path for s in config.data.sources], make_pictures)

    model, processor = load_seeing(config)
    tokenizer, length, data = processor.tokenizer, config.batch.sequence_length, output_dir / "data"
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
    first = collated(train, trainer.data_collator, config.data.audit_rows)
    audit = MaskAudit(tokenizer)(first, rows.left_out)
    if trainer.is_world_process_zero():
        print(audit.table(), flush=True)
    audit.check()

    train_chat(trainer, config, chat_fingerprint(config, rows.fingerprint))
    languages = sorted({code for s in config.data.sources for code in s.languages})
    licences = sorted({s.licence for s in config.data.sources})
    facts = DataFacts(languages, licences, rows.fingerprint, audit.table())
    export_chat(trainer, config, processor, facts, SEEING_USAGE)
