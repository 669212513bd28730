"""Every command of the recipes under one name.

    kormo data prepare --config tiny.yaml
    kormo train stage2 --dry-run
    kormo eval --model runs/tiny/stage2/final --suite quick

`kormo COMMAND --help` explains a command. `kormo train` is one process; several are started by a
launcher: `accelerate launch --config_file recipes/configs/accelerate/one_node.yaml
recipes/stage2.py`, or `torchrun --nproc_per_node 2 -m recipes train stage2`.
"""

import runpy
import sys

from data_recipes.common.terminal import how_to_install

# Words of a command, the module that it runs, and what it is for.
COMMANDS = {
    "data": ("data_recipes", "make, filter, synthesize, translate and inspect data"),
    "train stage1": ("recipes.stage1", "pretraining from random weights"),
    "train stage2": ("recipes.stage2", "pretraining on higher-quality text"),
    "train midtrain_long": ("recipes.midtrain_long", "long-context mid-training"),
    "train midtrain_reasoning": ("recipes.midtrain_reasoning", "reasoning mid-training"),
    "train grow": ("recipes.grow", "a deeper and wider model from a trained one"),
    "train expand": ("recipes.expand", "teach a model new tokens, then the language"),
    "train sft": ("recipes.sft", "supervised fine-tuning"),
    "train dpo": ("recipes.dpo", "preference tuning"),
    "train grpo": ("recipes.grpo", "reinforcement learning with checked answers"),
    "train kge": ("recipes.kge", "vectors for a knowledge graph"),
    "train knowledge_vqa": (
        "recipes.knowledge_vqa",
        "answers about pictures from a knowledge graph",
    ),
    "train vision_tower": ("recipes.vision_tower", "a small vision tower, from captions"),
    "train vision_align": ("recipes.vision_align", "a tower and a language model, put together"),
    "train vision_sft": ("recipes.vision_sft", "visual instruction tuning"),
    "ladder": ("recipes.ladder", "all stages of a small size, and a table of them"),
    "experiment": (
        "recipes.experiment",
        "arms against a baseline on the same seeds, with intervals",
    ),
    "forecast": ("recipes.forecast", "a large run predicted from small ones, sealed and checked"),
    "mixture-search": (
        "recipes.mixture_search",
        "shares of a stage's sources from a swarm of small runs",
    ),
    "masks": ("recipes.inspect_masks", "what fine-tuning would learn of its data"),
    "chat": ("recipes.chat", "talk to a model in the terminal"),
    "eval": ("eval", "evaluate a model, compare runs"),
    "eval needle": ("eval.needle", "find a needle in long text"),
    "eval knowledge": ("eval.knowledge", "answers that are not in the picture"),
    "eval judge": ("eval.judge", "have a model judge answers"),
    "eval vision": ("eval.vision", "ask about pictures, with and without looking"),
    "eval contamination": ("eval.contamination", "look for test questions in training data"),
    "replay": ("recipes.replay", "what a training step read, and which steps read a text"),
    "verify": ("recipes.verify", "replay steps of a run, and say whether they are the same"),
    "trace": ("recipes.trace", "which training documents an answer's words stand in"),
    "export": ("recipes.export", "write a model as Llama, LLaVA, GGUF or portable KORMo"),
    "expand-vocabulary": ("recipes.expand_vocabulary", "rows for a larger tokenizer"),
    "grow": ("recipes.grow_files", "make a model on disk deeper or wider, its function kept"),
    "publish": ("recipes.publish", "upload every checkpoint of a run as a revision"),
    "average": ("recipes.average", "the mean of a run's last checkpoints, or of several models"),
    "push": ("recipes.push", "upload a model directory to the Hub"),
    "stages": ("recipes.stage_table", "the table of stages in docs/training.md"),
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {words:<{width}}  {purpose}" for words, (_, purpose) in COMMANDS.items()]
    return "\n".join(["usage: kormo COMMAND …", "", __doc__.strip(), "", "commands:", *lines])


def main() -> None:
    """Run the module of the longest command that the arguments begin with, as `python -m` would."""
    words = sys.argv[1:]
    for count in (2, 1):
        command = " ".join(words[:count])
        if command in COMMANDS:
            sys.argv = [f"kormo {command}", *words[count:]]
            # Only now: what a command needs is loaded with it.
            try:
                runpy.run_module(COMMANDS[command][0], run_name="__main__", alter_sys=False)
            except ModuleNotFoundError as error:
                extra = words[0] if words[0] in ("data", "eval") else "train"
                if (message := how_to_install(error, extra)) is None:
                    raise
                sys.exit(f"error: {message}")
            return
    asked = words[:1] in (["-h"], ["--help"])
    print(_usage(), file=sys.stdout if asked else sys.stderr)
    if not asked:
        sys.exit(f"error: no command {' '.join(words[:2])!r}" if words else 2)


if __name__ == "__main__":
    main()
