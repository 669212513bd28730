"""What stands in the documents as a command, and how each is run on inputs that take it a second.

The commands of a chapter run in their order, in one directory, as a reader would go through them:
what a command needs is what an earlier one made, or what `STAGES` made for all chapters.
"""

from tests.documented_runs import Cannot, Elsewhere, Row, Run
from tests.documented_world import (
    clear_out,
    name_english,
    name_evaluations,
    name_models,
    name_picture,
    write_chats,
    write_real,
    write_seeds,
    write_texts,
)

MICRO_DATA = (
    "corpus.megabytes=0.6 'corpus.extra={traces: 0.2, long: 0.5}' corpus.chats=60 "
    "corpus.preferences=40 corpus.questions=20 tokenizer.bpe_entries=1000 tokenizer.megabytes=0.3 "
    "shards.heldout_fraction=0.1"
)
SHAPE = (
    "model.shape.hidden_size=64 model.shape.intermediate_size=128 model.shape.num_hidden_layers=2 "
    "model.shape.num_attention_heads=2 model.shape.num_key_value_heads=1 model.shape.head_dim=32 "
    "model.shape.vocab_size=1280"
)
STEPS = (
    "data.heldout_tokens=256 batch.sequence_length=128 batch.tokens_per_step=512 "
    "batch.micro_batch=4 schedule.total_tokens=2048 logging.log_every=1 "
    "logging.eval_every_tokens=2048 logging.save_every_tokens=1024"
)
PRETRAIN = f"{SHAPE} {STEPS}"
CHATS = (
    "data.heldout_rows=4 batch.micro_batch=2 batch.tokens_per_step=1024 schedule.epochs=0.2 "
    "logging.log_every=1 logging.eval_every=100 logging.save_every=100"
)
EVAL = "--limit 1"
LADDER = f"{EVAL} --suite proxy"  # which has no answers written
NEEDLE = "--lengths 256 -n 1"
PICTURES = "'scenes={train: 40, heldout_scenes: 2, heldout_combinations: 2, heldout_objects: 2}'"
TEXTS = "sample_megabytes=0.02 least_megabytes=0.01"
SCENES = "data.heldout_rows=4 batch.rows_per_step=8 schedule.epochs=0.3"
ABOUT_SCENES = (
    "data.heldout_rows=1 batch.sequence_length=192 batch.rows_per_step=4 batch.micro_batch=4 "
    "schedule.epochs=0.01"
)
SMALL_BPE = "tokenizer.bpe_entries=600 tokenizer.megabytes=0.1"
ALONE = "executor.workers=1"
REAL = f"{SMALL_BPE} quality=null {ALONE}"
ENGLISH = (
    "corpus.megabytes=0.3 corpus.chats=10 corpus.preferences=10 corpus.questions=10 "
    "'corpus.extra={traces: 0.1, long: 0.2}' tokenizer.bpe_entries=700 tokenizer.megabytes=0.1 "
    "shards.heldout_fraction=0.1"
)
KOREAN = f"{ENGLISH} tokenizer.expand.entries=50"
EXPAND = f"{PRETRAIN} 'unfreezing={{new_rows_tokens: 512, matrices_tokens: 512}}'"

STAGES: list[Row] = [  # what the others start from, made once
    Run("python -m data_recipes prepare --config tiny.yaml", MICRO_DATA),
    Run("kormo train stage1", PRETRAIN),
    Run("kormo train stage2", PRETRAIN),
    Run("kormo train sft", f"model.init_from=runs/tiny/stage2/final {CHATS}"),
]
CHAPTERS: dict[str, list[Row]] = {
    "install": [
        Cannot("make quickstart", "installs; what it runs is below"),
        Cannot("make quickstart TORCH=cpu", "installs; what it runs is below"),
        Cannot("make test", "is what runs this"),
        Cannot("make ladder", "ten minutes; its stages run below"),
        Cannot("kormo ladder --with vision", "half an hour; its stages run below"),
        Cannot("python scripts/check_resolves.py", "asks PyPI"),
    ],
    "pretraining": [
        Run("python -m data_recipes verify runs/tiny/data/shards"),
        Run("python -m data_recipes packing runs/tiny/data/shards --sequence-length 256"),
        Run("python -m data_recipes corpus --out text --megabytes 8", "--megabytes 0.1"),
        Run("python -m data_recipes mixture --config stage2.yaml --plot mixture.png"),
        Run(
            "python -m data_recipes diversity --recipe tiny.yaml --only web_ko stories_ko "
            "dialogue_ko",
            f"--out runs/diversity {TEXTS}",
            ends=1,  # the grammar's monotony, as the page shows
        ),
        Run(
            "python -m data_recipes diversity --text qwen=a.jsonl --text gpt-oss=b.parquet "
            "--text more.jsonl",
            f"--out runs/diverse {TEXTS}",
            before=write_texts,
            ends=1,
        ),
        Run(
            "kormo train stage2 optimizer.learning_rate=1e-3 logging.output_dir=runs/slower",
            f"{PRETRAIN} --dry-run",
        ),
        Run("kormo train stage2 --config 10b/stage2.yaml --dry-run"),
        Run("python recipes/stage1.py schedule.total_tokens=204_800", "--dry-run"),
        Run(
            "python recipes/stage2.py logging.quick_eval_every_tokens=100_000 "
            "logging.quick_eval_items=20",
            f"{PRETRAIN} --dry-run",
        ),
        Elsewhere(
            "python recipes/stage1.py logging.quick_eval_every_tokens=50_000 "
            "logging.quick_eval_suite=proxy",
            "tests/recipes/engine/test_quick_eval.py::test_bits_of_right_answers_need_no_chat",
        ),
        Run(
            "kormo train stage2 schedule.branch_from=runs/tiny/stage2/checkpoint-100 "
            "schedule.total_tokens=409_600 schedule.decay_tokens=204_800 "
            "logging.output_dir=runs/tiny/decayed",
            f"{PRETRAIN} schedule.branch_from=runs/tiny/stage2/checkpoint-2 "
            "schedule.total_tokens=2048 schedule.decay_tokens=512",
        ),
        Run("kormo train midtrain_long --config 1b/midtrain_long.yaml --dry-run"),
        Run("kormo train midtrain_long --config 1b/midtrain_long_128k.yaml --dry-run"),
        Elsewhere(
            "kormo train grow",
            "tests/recipes/test_grow.py::"
            "test_a_grown_model_begins_where_its_parent_ended_and_is_a_plain_one_at_the_end",
        ),
        Run("kormo train grow --config 10b/grow.yaml --dry-run"),
        Run("kormo train grow --config motif/grow.yaml --dry-run"),
        Run(
            "kormo grow runs/tiny/stage2/final grown --layers-every 2 --hidden 256 --ffn 768 "
            "--heads 4",
            "--hidden 128 --ffn 256",
        ),
        Cannot("kormo forecast stage1 --size tiny", "a ladder of eight runs", "--dry-run"),
        Cannot("kormo forecast stage1 --size tiny --target", "a run of three million tokens"),
        Cannot("kormo mixture-search stage2 --size tiny", "a swarm of 32 runs", "--dry-run"),
        Cannot("python scripts/benchmark_training.py --config tiny/stage1.yaml", "minutes"),
        # What a run read.
        Run("kormo replay runs/tiny/stage1 --step 240 --text", "--step 3"),
        Run("kormo replay runs/tiny/stage1 --step 240 --loss", "--step 3"),
        Run("kormo replay runs/tiny/stage1 --steps 1-1000", "--steps 1-3"),
        Run(
            "kormo replay runs/tiny/stage1 --find '무지개는 햇빛이 물방울에서 꺾이고 반사되어 "
            "생긴다. 식물은 빛을'"
        ),
        Run(
            "kormo trace runs/tiny/stage1 '무지개는 햇빛이 물방울에서 꺾이고 반사되어 생긴다. "
            "그리고 One month with my new umbrella is over'"
        ),
        Run("kormo trace runs/tiny/data/shards 'an answer of the model'"),
        Run("kormo verify runs/tiny/stage1"),
        Run("kormo publish runs/tiny/stage1 OWNER/NAME --dry-run"),
        Cannot("kormo publish runs/tiny/stage1 OWNER/NAME --private", "writes to the Hub"),
    ],
    "chats": [
        Elsewhere(
            "kormo train dpo",
            "tests/recipes/post/test_dpo.py::test_dpo_prefers_the_chosen_and_resumes",
        ),
        Elsewhere(
            "kormo train grpo",
            "tests/recipes/post/test_grpo.py::test_runs_and_an_interrupted_run_ends_the_same",
        ),
        Run("python -m recipes.inspect_masks", "model.init_from=runs/tiny/stage2/final"),
        Run(
            "python -m recipes.inspect_masks --model runs/tiny/sft/final --data my_chats.jsonl "
            "-n 5",
            before=write_chats,
        ),
        Run(
            "kormo train sft 'model.adapter={rank: 16, alpha: 32}' logging.output_dir=runs/lora",
            f"model.init_from=runs/tiny/stage2/final {CHATS}",
        ),
        Run(
            "kormo train sft --config 1b/sft.yaml "
            "'model.adapter={rank: 16, alpha: 32, quantize: nf4}' --dry-run"
        ),
        Run(
            "python recipes/sft.py model.init_from=runs/tiny/stage1/final "
            "'model.adapter={rank: 16, alpha: 32}' schedule.epochs=0.25 "
            "logging.output_dir=runs/lora",
            "--dry-run",
        ),
        # MODEL, ADAPTER and so on are the reader's; here they are the stages above.
        Run("python -m recipes.chat MODEL", "--max-tokens 4", "Hello\n", before=name_models),
        Run(
            "python -m recipes.chat MODEL --thinking fold --temperature 0.6 --top-p 0.95 "
            "--max-tokens 4096",
            "--max-tokens 4",
            "안녕?\n",
        ),
        Run("kormo chat runs/tiny/sft/final --trace runs/tiny/stage1", "--max-tokens 4", "Hello\n"),
        Run("kormo export --as llama runs/tiny/stage2/final exported/llama"),
        Run("kormo export --as kormo runs/tiny/stage2/final exported/kormo"),
        Run("kormo export --as llama MODEL OUT"),
        Run("kormo export --as gguf --dtype bfloat16 MODEL OUT", before=clear_out),
        Run("kormo export --as llama --adapter ADAPTER BASE OUT", before=clear_out),
        Run("python -m recipes.push MODEL OWNER/NAME --dry-run"),
        Cannot("python -m recipes.push MODEL OWNER/NAME --private", "writes to the Hub"),
    ],
    "evaluation": [
        Run("python -m eval --model runs/tiny/sft/final --suite quick", EVAL, before=name_models),
        Cannot(
            "python -m eval --model KORMo-Team/KORMo-10B-base --suite ko --suite en",
            "a model of the Hub",
        ),
        Cannot(
            "python -m eval --model KORMo-Team/KORMo-10B-base --suite ko --suite en "
            "--out runs/eval/10b",
            "a model of the Hub",
        ),
        Cannot(
            "python -m eval --model runs/10b/sft/final --suite ko_reasoning --think both "
            "--beside runs/eval/10b",
            "10b needs GPUs",
        ),
        Run("python -m eval compare runs/eval/10b runs/eval/other", before=name_evaluations),
        Run("python -m eval ladder runs/tiny/midtrain_reasoning/final runs/tiny/sft/final", LADDER),
        Run(
            "python -m eval ladder runs/tiny/stage1/final runs/tiny/stage2/final "
            "runs/tiny/sft/final",
            LADDER,
        ),
        Run(
            "python -m eval ladder runs/tiny/stage1/final runs/tiny/stage2/final --suite proxy",
            EVAL,
        ),
        Cannot("python -m eval.local_data --out eval_data --suite ko --suite en", "asks the Hub"),
        Run(
            "python -m eval.needle --model runs/tiny/midtrain_long/final --style recall "
            "--distractors 2 --lengths 256 1024 --out runs/tiny/needle",
            NEEDLE,
        ),
        Run(
            "python -m eval.needle --model MODEL --chat --lengths 4096 16384 65536 --needles 3 "
            "--out DIR",
            NEEDLE,
        ),
        Cannot(
            "python -m eval.judge --model runs/tiny/sft/final --set logickor_style "
            "--judge-url http://localhost:8000/v1 --judge-model NAME --out runs/tiny/judge",
            "asks a server",
        ),
        Cannot(
            "python -m eval.judge --model a.jsonl --against b.jsonl --set mt_bench_style "
            "--judge-url http://localhost:8000/v1 --judge-model NAME --out DIR",
            "asks a server",
        ),
        Elsewhere(
            "python -m eval.contamination --model runs/tiny/dpo/final --items my_items.jsonl "
            "--columns question choices --out runs/tiny/contamination",
            "tests/eval/test_contamination.py::test_planted_items_are_found_where_they_stand",
        ),
        Cannot(
            "python -m eval.contamination --model runs/10b/sft/final --suite ko en --data-dir DIR "
            "--out DIR2",
            "data of 10b",
        ),
        Cannot(
            "lm_eval run --include_path eval/tasks --tasks ko_reasoning_mini "
            "--apply_chat_template --model hf "
            "--model_args pretrained=runs/tiny/sft/final,trust_remote_code=True,"
            "enable_thinking=False",
            "20 seconds, of which lm-eval reads its index of tasks; its arguments are lm-eval's",
        ),
    ],
    "pictures": [
        Run("kormo data pictures --config tiny.yaml", PICTURES),
        Run("kormo data pictures --config tiny", PICTURES),
        Run("kormo data pictures --config tiny --dry-run"),
        Cannot("kormo data pictures --config emoji", "reads a font that is not everywhere"),
        Cannot("kormo data pictures --config stamps", "reads packages of Debian"),
        Run("kormo train vision_tower", SCENES),
        Run("kormo train vision_align", f"{SCENES} batch.micro_batch=8"),
        Run("kormo train vision_sft", ABOUT_SCENES),
        Run("kormo train vision_align --config 10b/vision_align.yaml --dry-run"),
        Run("kormo export --as llava runs/tiny/vision_sft/final exported/llava"),
        Run(
            "python scripts/generate.py runs/tiny/vision_sft/final --image picture.png "
            "'무엇이 있나요?'",
            "--tokens 4",
            before=name_picture,
        ),
        Run(
            "kormo eval vision runs/tiny/vision_sft/final runs/pictures/tiny "
            "--out runs/eval/vision",
            "--max-tokens 4",
        ),
        Run("kormo masks --config tiny/vision_sft.yaml -n 3", ABOUT_SCENES),
        Run("kormo data synthesize --config pictures_ko --show 4"),
        Cannot("kormo data synthesize --config pictures_ko", "asks a server"),
    ],
    "real text": [
        Cannot(
            "python -m data_recipes debian --out runs/debian/text --everything",
            "fetches packages",
        ),
        Cannot(
            "python -m data_recipes debian --everything --languages da --out runs/da/text",
            "fetches packages",
        ),
        Run("python -m data_recipes prepare --config debian.yaml --dry-run", before=write_real),
        Run("python -m data_recipes read --config debian.yaml", ALONE),
        Run("python -m data_recipes filter --config debian.yaml executor.workers=4", REAL),
        Run("python -m data_recipes prepare --config debian.yaml", REAL),
        Cannot(
            "python -m data_recipes prepare --config debian.yaml --executor ray.yaml "
            "executor.workers=2",
            "Ray is none of our extras",
            "--dry-run",
        ),
        Run(
            "python -m data_recipes inspect --config debian.yaml --step filter --rejected "
            "--reason low_words"
        ),
        Run("python -m data_recipes inspect --config debian.yaml --step deduplicate --removed"),
        Run(
            "python -m data_recipes inspect --shards runs/debian/data/shards/debian_ko/train "
            "--window 0"
        ),
        Elsewhere(
            "python -m data_recipes report --config debian.yaml",
            "tests/data_recipes/look/test_look.py::"
            "test_the_page_shows_the_run_and_needs_nothing_else",
        ),
        Run("python scripts/tune_filters.py --profile ko_eojeol runs/debian/text/debian_ko.jsonl"),
        Cannot("python -m data_recipes tokenizer-study --config debian.yaml", "minutes"),
        Elsewhere(
            "python -m data_recipes prepare --config your_language.yaml",
            "tests/test_notebooks.py::test_your_language",
        ),
        Elsewhere(
            "python -m data_recipes report --config your_language.yaml",
            "tests/data_recipes/look/test_look.py::"
            "test_the_page_shows_the_run_and_needs_nothing_else",
        ),
        Run("python scripts/tune_filters.py --profile da runs/da/text/debian_da.jsonl"),
        Run(
            "python -m data_recipes prepare --config hub.yaml --dry-run --gigabytes 1000 "
            "executor.workers=16",
        ),
        Cannot("python -m data_recipes personal --config web_ko.yaml", "reads the Hub"),
    ],
    "another vocabulary": [
        Run("kormo data prepare --config english.yaml", ENGLISH),
        Run("kormo data expand-tokenizer --config korean.yaml", KOREAN),
        Run("kormo data prepare --config korean.yaml", KOREAN),
        Run("kormo train stage1 --config english/tiny.yaml", PRETRAIN),
        Run(
            "kormo expand-vocabulary MODEL runs/tiny/korean/data/tokenizer runs/tiny/korean/start",
            before=name_english,
        ),
        Run("kormo train expand", EXPAND),
        Cannot("kormo experiment vocabulary --size tiny", "half an hour", "--dry-run"),
        Cannot("kormo experiment vocabulary_flops --size tiny", "half an hour", "--dry-run"),
    ],
    "knowledge": [
        Run("kormo data knowledge --config tiny"),
        Run(
            "kormo train kge --config tiny/kge.yaml",
            "transe.epochs=2 convkb.epochs=1",
        ),
        Run("kormo train knowledge_vqa --config tiny/knowledge_vqa.yaml", "steps=4"),
        Run(
            "kormo train kge --config tiny/kge.yaml shuffle_tails=true "
            "output_dir=runs/tiny/kge_shuffled",
            "transe.epochs=2 convkb.epochs=1",
        ),
        Cannot("kormo experiment knowledge --size tiny", "half an hour", "--dry-run"),
        Run(
            "kormo eval knowledge --model runs/tiny/knowledge_vqa/final "
            "--data runs/tiny/knowledge/data --out runs/tiny/eval/knowledge",
            "--limit 4",
        ),
    ],
    "experiments and models behind an API": [
        Run(
            "python -m data_recipes synthesize --config korean_rewrite.yaml --show 3",
            "'seeds=[{name: mine, path: seeds.jsonl, language: ko, licence: CC0}]'",
            before=write_seeds,
        ),
        Cannot("python -m data_recipes synthesize --config korean_rewrite.yaml", "asks a server"),
        Cannot(
            "python -m data_recipes difficulty --config kormo.yaml items.path=items.jsonl",
            "asks a server",
        ),
        Cannot(
            "python -m data_recipes translate --config kormo.yaml "
            "items=runs/difficulty/nemotron/kept.jsonl",
            "asks a server",
        ),
        Cannot("kormo experiment single_synthesizer --size tiny", "an hour", "--dry-run"),
        Run(
            "kormo experiment single_synthesizer --size 1b --dry-run --launcher 'accelerate launch'"
        ),
        Run("kormo experiment embedding_std --size tiny --dry-run"),
        Cannot("kormo experiment embedding_std --size tiny", "an hour"),
        Cannot("kormo experiment growth --size tiny", "half an hour", "--dry-run"),
        Cannot("kormo experiment growth --size small", "over an hour", "--dry-run"),
    ],
}
