"""A small vision tower of our own, for sizes that no public one fits.

    python recipes/vision_tower.py                                   # tiny, minutes on a laptop

Pictures are held against their captions by SigLIP's loss, in the words of the language model that
will see through it. 1b and 10b take a public tower (recipes/vision_align.py). Started again after
an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error, parse_command_line


def main() -> None:
    invocation = parse_command_line("vision_tower", __doc__)
    config = invocation.config

    # Only now: these load torch and transformers, and a mistake above is told without them.
    from transformers import SiglipVisionModel, set_seed

    from recipes.post.model import load_chat_tokenizer, load_model
    from recipes.post.pictures import build_pictures, opened
    from recipes.post.seeing import vision_config
    from recipes.post.stage import begin, chat_fingerprint, make_pictures, set_length, train_chat
    from recipes.post.tower import (
        CaptionCollator,
        TowerTrainer,
        TowerWithCaptions,
        one_picture,
        save_tower,
        tower_arguments,
    )

    shape = vision_config(config.model.shape)
    if invocation.dry_run:
        from recipes.post.vision_plan import tower_plan

        print(tower_plan(config))
        return
    paths = [source.path for source in config.data.sources]
    args = begin(config, paths, tower_arguments, make_pictures)

    tokenizer = load_chat_tokenizer(config.model.init_from)
    language = load_model(config.model.init_from, "sdpa")
    set_seed(config.data.seed)
    words = language.get_input_embeddings().weight.detach()
    model = TowerWithCaptions(SiglipVisionModel(shape), words)
    rows = build_pictures(config.data, one_picture, "captions", config.logging.output_dir / "data")
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
    save_tower(trainer, config, rows.fingerprint)


if __name__ == "__main__":
    exit_on_error(main)
