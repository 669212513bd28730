"""A finished ladder as a small folder to read and to commit, under 2 MB.

    kormo ladder --size small
    kormo eval --model runs/small/sft/final --suite quick --out runs/small/eval
    python scripts/sample_run.py runs/small docs/sample_run --eval runs/small/eval

Copies of each stage the resolved recipe, metrics, loss curve, lineage and model card, and the
evaluation's report; writes what the last model answers to a Korean and an English question, with
its thinking.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import staged_folder

STAGES = ("stage1", "stage2", "midtrain_long", "midtrain_reasoning", "sft", "dpo")
OF_RUN = ("metrics.jsonl", "loss_curve.png")
OF_FINAL = ("recipe.yaml", "lineage.json", "README.md")
QUESTIONS = ("사과가 7개 있고 5개를 더 샀습니다. 모두 몇 개입니까?", "What is 7 plus 5?")
MOST_BYTES = 2_000_000
COMMANDS = (__doc__ or "").split("\n\n")[1]


def copy_stages(run: Path, out: Path) -> list[str]:
    """Copy what a reader wants of each finished stage.

    Raises:
        RecipeError: no stage is finished, or a finished one lacks a file.
    """
    found = [stage for stage in STAGES if (run / stage / "final").is_dir()]
    if not found:
        raise RecipeError(f"{run}: no stage is finished there; make one with\n{COMMANDS}")
    for stage in found:
        (out / stage).mkdir()
        paths = [run / stage / name for name in OF_RUN]
        for path in [*paths, *(run / stage / "final" / name for name in OF_FINAL)]:
            if not path.is_file():
                raise RecipeError(f"{path}: missing; finish the stage again")
            shutil.copyfile(path, out / stage / path.name)
    return found


def answers(model: Path) -> str:
    """Ask the questions; greedy, so that they are answered the same next time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import modeling_kormo  # noqa: F401  (registers the model)

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model).eval()
    parts = []
    for question in QUESTIONS:
        prompt = (
            tokenizer.apply_chat_template(
                [{"role": "user", "content": question}],
                add_generation_prompt=True,
                enable_thinking=True,
                return_tensors="pt",
                return_dict=True,
            )
            if tokenizer.chat_template
            else tokenizer(question, return_tensors="pt")
        )
        with torch.inference_mode():
            told = network.generate(**prompt, max_new_tokens=200, do_sample=False)[0]
        text = tokenizer.decode(told[prompt["input_ids"].shape[1] :])
        parts.append(f"**{question}**\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def write_page(out: Path, run: Path, stages: list[str], text: str, report: bool) -> None:
    """Write the page that begins the folder."""
    lines = []
    for stage in stages:
        lineage = json.loads((out / stage / "lineage.json").read_text(encoding="utf-8"))
        lines.append(
            f"| [{stage}]({stage}/README.md) | {lineage['tokens']:,} | "
            f"[recipe]({stage}/recipe.yaml), [metrics]({stage}/metrics.jsonl), "
            f"[curve]({stage}/loss_curve.png) | {lineage['commit'] or 'unknown'} |"
        )
    table = "\n".join(lines)
    evaluation = "\nThe evaluation is in [report.md](report.md).\n" if report else ""
    page = f"""# Sample run: {run.name}

Made by

```bash
{COMMANDS.replace("    ", "")}
```

| stage | tokens | files | commit |
|---|---|---|---|
{table}
{evaluation}
## What {stages[-1]} answers

{text}"""
    (out / "README.md").write_text(page, encoding="utf-8")


def main() -> None:
    """Write the folder, whole or not at all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a ladder, with one of each stage")
    parser.add_argument("out", type=Path, help="made anew")
    parser.add_argument("--eval", type=Path, help="an evaluation's --out")
    args = parser.parse_args()
    try:
        with staged_folder(args.out) as folder:
            stages = copy_stages(args.run, folder)
            if args.eval:
                shutil.copyfile(args.eval / "report.md", folder / "report.md")
            text = answers(args.run / stages[-1] / "final")
            write_page(folder, args.run, stages, text, report=args.eval is not None)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if size > MOST_BYTES:
                raise RecipeError(f"{size:,} bytes, more than {MOST_BYTES:,}; log less often")
    except (RecipeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.out}: {len(stages)} stages, {size:,} bytes")


if __name__ == "__main__":
    main()
