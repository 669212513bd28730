"""Teach an English model Korean, with and without a larger vocabulary, on equal bytes of text.

    kormo data prepare --config english.yaml
    kormo train stage1 --config english/tiny.yaml
    kormo data prepare --config korean.yaml
    python scripts/teach_korean.py --out runs/tiny/korean/study

Every arm reads the same bytes of each source (a fifth of them English), so that one with longer
tokens makes fewer steps. What is finished is kept; the same command goes on. Writes `results.json`,
`table.md` and `curves.png`; docs/vocabulary.md shows them.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from data_recipes.common.files import write_json_atomically
from data_recipes.tokenizer.load import load_tokenizer, token_byte_lengths
from data_recipes.tokens.windows import TokenSource
from recipes.engine.metrics import read_metrics
from recipes.expand_vocabulary import expand_command

ENGLISH = "runs/tiny/english/stage1/final"
DATA = {False: Path("runs/tiny/english/data"), True: Path("runs/tiny/korean/data")}
BYTES = {  # shares; Korean is to be learned, English not to be forgotten
    "web_ko": 0.24, "encyclopedia_ko": 0.14, "stories_ko": 0.14, "dialogue_ko": 0.14,
    "reasoning_ko": 0.14, "web_en": 0.1, "encyclopedia_en": 0.05, "stories_en": 0.05,
}  # fmt: skip
HELDOUT = ["web_ko", "web_en"]
BLOCKS = "no expansion, new blocks alone"  # LLaMA-Pro: a block after each, all else frozen
# Arm: initialisation of new rows (none: no new rows), and whether the old ones are held at first.
ARMS = {
    "no expansion": (None, False),
    "mean": ("mean", True),
    "eeve": ("eeve", True),
    "default": ("default", True),
    "random": ("random", True),
    "mean, all at once": ("mean", False),
    BLOCKS: (None, False),
}


def _run_dir(out: Path, arm: str, seed: int) -> Path:
    return out / arm.replace(",", "").replace(" ", "_") / str(seed)


def bytes_per_token(data: Path) -> dict[str, float]:
    """Bytes that a token of each source stands for, over its whole training text."""
    lengths = np.array(token_byte_lengths(load_tokenizer(data / "tokenizer")))
    found = {}
    for name in BYTES:
        source = TokenSource(data / "shards" / name / "train")
        counts = np.bincount(source.tokens_at(0, source.manifest.tokens), minlength=len(lengths))
        found[name] = float((counts * lengths).sum() / counts.sum())
    return found


def overrides(arm: str, seed: int, args: argparse.Namespace, density: dict) -> tuple[str, list]:
    """The stage that an arm runs, and what it sets."""
    init, held = ARMS[arm]
    data, run = DATA[init is not None], _run_dir(args.out, arm, seed)
    tokens = {name: 1e6 * args.megabytes * share / density[name] for name, share in BYTES.items()}
    total = sum(tokens.values())
    start = ENGLISH
    if init is not None:
        start = args.out / "start" / f"{init}-{seed}"
        if not start.is_dir():
            tokenizer = str(data / "tokenizer")
            expand_command([ENGLISH, tokenizer, str(start), "--init", init, "--seed", str(seed)])
    step = 2048
    first = round(total * 0.1 / step) * step if held else 0
    shares = {name: round(count / total, 6) for name, count in tokens.items()}
    stage = "expand" if init else "grow" if arm == BLOCKS else "stage2"
    settings = [
        f"model.init_from={start}",
        f"model.shape.vocab_size={3072 if init is None else 4096}",
        f"data.recipe={'english' if init is None else 'korean'}.yaml",
        f"data.shards={data / 'shards'}",
        f"data.tokenizer={data / 'tokenizer'}",
        f"data.mixture={json.dumps(shares)}",
        f"data.heldout={json.dumps(HELDOUT)}",
        "data.heldout_tokens=40_000",  # all that is held out of these sources
        f"data.seed={seed}",
        f"schedule.total_tokens={round(total / step) * step}",
        f"optimizer.learning_rate={args.learning_rate}",
        f"logging.eval_every_tokens={round(total / 2 / step) * step}",
        "logging.save_every_tokens=100_000_000",
        f"logging.output_dir={run}",
        *args.set,
    ]
    if init is not None:
        settings.append(f"unfreezing={{new_rows_tokens: {first}, matrices_tokens: {first}}}")
    if arm == BLOCKS:
        steps = "[{layers_every: 1}]"
        settings.append(f"growth={{how: zeros, train: new, optimizer: fresh, steps: {steps}}}")
    return stage, settings


def train(stage: str, settings: list[str]) -> None:
    """Run a stage in a fork, which shares what is imported."""
    import importlib

    child = os.fork()
    if child == 0:
        module = importlib.import_module(f"recipes.{stage}")
        sys.argv = [stage, *settings]
        from recipes.command_line import exit_on_error

        exit_on_error(module.main)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(f"error: {stage} {' '.join(settings)} failed")


def collect(run: Path, megabytes: float) -> dict[str, Any]:
    """What a finished run measured, before, along the way and after."""
    lines = [m for m in read_metrics(run) if "bits_per_byte/ko" in m]
    last = lines[-1]["tokens"]
    curve = [
        {
            "megabytes": megabytes * m["tokens"] / last,
            **{language: m[f"bits_per_byte/{language}"] for language in ("ko", "en")},
        }
        for m in lines
    ]
    return {"tokens": last, "curve": curve}


def table(results: dict[str, dict[str, Any]], heldout: dict[bool, float]) -> str:
    """Means over seeds and their range, as Markdown."""
    lines = [
        "| arm | tokens | Korean bytes per token | ko before | ko after | en before | en after |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, seeds in results.items():
        cells = [arm, f"{next(iter(seeds.values()))['tokens']:,}"]
        cells.append(f"{heldout[ARMS[arm][0] is not None]:.2f}")
        for language in ("ko", "en"):
            for place in (0, -1):
                values = [run["curve"][place][language] for run in seeds.values()]
                spread = (max(values) - min(values)) / 2
                cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Bits per byte of both languages over the text that was read; one line an arm."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4))
    for panel, (language, title) in zip(panels, (("ko", "Korean"), ("en", "English"))):
        for arm, seeds in results.items():
            curves = [run["curve"] for run in seeds.values()]
            read = [point["megabytes"] for point in curves[0]]
            values = [statistics.mean(c[i][language] for c in curves) for i in range(len(read))]
            panel.plot(read, values, marker="o", markersize=3, label=arm)
        panel.set_title(f"{title}, held out")
        panel.set_xlabel("MB of text")
        panel.set_ylabel("bits per byte")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=0.7, help="of text an arm reads (0.7)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak (0.002)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="key=value", help="further overrides of every run"
    )
    args = parser.parse_args()
    density = {expanded: bytes_per_token(data) for expanded, data in DATA.items()}
    results: dict[str, dict[str, Any]] = {arm: {} for arm in args.arms}
    for seed in args.seeds:
        for arm in args.arms:
            stage, settings = overrides(arm, seed, args, density[ARMS[arm][0] is not None])
            run = _run_dir(args.out, arm, seed)
            if not (run / "final").is_dir():
                train(stage, settings)
            results[arm][str(seed)] = collect(run, args.megabytes)
            write_json_atomically(args.out / "results.json", results)
    korean = [name for name in BYTES if name.endswith("_ko")]
    heldout = {
        expanded: sum(BYTES[n] for n in korean) / sum(BYTES[n] / values[n] for n in korean)
        for expanded, values in density.items()
    }
    (args.out / "table.md").write_text(table(results, heldout), encoding="utf-8")
    plot(results, args.out / "curves.png")
    print((args.out / "table.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
