"""A finished ladder as a small folder to read and to commit, under 2 MB.

    kormo ladder --size small
    kormo eval --model runs/small/sft/final --suite quick --out runs/small/eval
    python scripts/sample_run.py small docs/sample_run

Copies of each stage the resolved recipe, metrics, loss curve, lineage and model card, and the
evaluation's report; draws one curve of all stages, measures the ladder's table, and shows the first
questions of the evaluation with the model's thinking and answers, right or wrong.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import staged_folder
from recipes.config import SELF_CONTAINED
from recipes.engine.metrics import read_metrics
from recipes.ladder import RUNGS, Rung, look, measurement

OF_RUN = ("metrics.jsonl", "loss_curve.png")
OF_FINAL = ("recipe.yaml", "lineage.json", "README.md")
ASKED = ("ko_reasoning_mini", "reasoning_mini_en")
SHOWN = 4  # questions of each
CURVE = "ladder.png"
MOST_BYTES = 2_000_000
COMMANDS = (__doc__ or "").split("\n\n")[1]


def copy_stages(run: Path, out: Path) -> None:
    """Copy what a reader wants of each stage.

    Raises:
        RecipeError: a stage lacks a file, or is not finished.
    """
    for stage in RUNGS:
        (out / stage).mkdir()
        paths = [run / stage / name for name in OF_RUN]
        for path in [*paths, *(run / stage / "final" / name for name in OF_FINAL)]:
            if not path.is_file():
                raise RecipeError(f"{path}: missing; finish the run with\n{COMMANDS}")
            shutil.copyfile(path, out / stage / path.name)


def draw_ladder(run: Path, path: Path) -> None:
    """Draw the training loss of all stages but DPO, one after the other, over tokens."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    before = 0.0
    for stage in RUNGS[:-1]:  # the loss of DPO is that of pairs
        points = [(m["tokens"] / 1e6, m["loss"]) for m in read_metrics(run / stage) if "loss" in m]
        axes.plot(
            [before + tokens for tokens, _ in points],
            [loss for _, loss in points],
            linewidth=1,
            label=stage,
        )
        before += points[-1][0]
    axes.set(xlabel="tokens (millions)", ylabel="training loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)


def shown_answers(evaluation: Path) -> str:
    """Show the first questions of each language as they were asked and answered, thinking.

    Raises:
        RecipeError: they were not asked.
    """
    parts = []
    for task in ASKED:
        path = evaluation / "tasks" / f"{task}-think.jsonl"
        if not path.is_file():
            raise RecipeError(f"{path}: missing; evaluate the model with\n{COMMANDS}")
        with path.open(encoding="utf-8") as lines:
            for line, _ in zip(lines, range(SHOWN)):
                row = json.loads(line)
                question = row["prompt"].rpartition("<|BOT|>user\n")[2].partition("<|EOT|>")[0]
                verdict = "right" if row["metrics"]["right"] else f"wrong: {row['target']}"
                parts.append(f"**{question}**\n\n```\n{row['answer'][0]}\n```\n\n({verdict})\n")
    return "\n".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_page(out: Path, size: str, rungs: list[Rung], answers: str) -> None:
    """Write the page that begins the folder."""
    languages = sorted(rungs[0].bits_per_byte)
    head = ["stage", "tokens", "loss", *(f"{name} bits per byte" for name in languages)]
    rows = [
        _row([*head, "files", "commit"]),
        _row(["---", *["---:"] * (len(head) - 1), "---", "---"]),
    ]
    for rung in rungs:
        lineage = json.loads((out / rung.stage / "lineage.json").read_text(encoding="utf-8"))
        files = f"[recipe]({rung.stage}/recipe.yaml), [metrics]({rung.stage}/metrics.jsonl), "
        files += f"[curve]({rung.stage}/loss_curve.png)"
        bits = [f"{rung.bits_per_byte[name]:.3f}" for name in languages]
        name = f"[{rung.stage}]({rung.stage}/README.md)"
        commit = (lineage["commit"] or "unknown")[:12]
        rows.append(_row([name, f"{rung.tokens:,}", f"{rung.loss:.3f}", *bits, files, commit]))
    table = "\n".join(rows)
    page = f"""# Sample run: {size}

Made by

```bash
{COMMANDS.replace("    ", "")}
```

![Training loss of the stages, one after the other]({CURVE})

{table}

Bits per byte are those of the same held-out text, of stage 1's sources, for every stage. The loss
of SFT is that of what the assistant says, that of DPO that of pairs. The evaluation is in
[report.md](report.md).

## What it answers

The first {SHOWN} questions that the evaluation asks in each language, with thinking, after SFT.

{answers}"""
    (out / "README.md").write_text(page, encoding="utf-8")


def main() -> None:
    """Write the folder, whole or not at all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=SELF_CONTAINED, help="of the ladder that is finished")
    parser.add_argument("out", type=Path, help="made anew")
    args = parser.parse_args()
    run = Path("runs") / args.size
    try:
        with staged_folder(args.out) as folder:
            copy_stages(run, folder)
            answers = shown_answers(run / "eval")
            shutil.copyfile(run / "eval" / "report.md", folder / "report.md")
            draw_ladder(run, folder / CURVE)
            measure = measurement(args.size)
            rungs = [look(args.size, stage, None, measure) for stage in RUNGS]
            write_page(folder, args.size, rungs, answers)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            if size > MOST_BYTES:
                raise RecipeError(f"{size:,} bytes, more than {MOST_BYTES:,}; log less often")
    except (RecipeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.out}: {len(rungs)} stages, {size:,} bytes")


if __name__ == "__main__":
    main()
