"""Does growth pay? Grown models against the small one continued and the large one from scratch.

    python scripts/growth_study.py --size micro    # a few minutes of one core
    python scripts/growth_study.py --size tiny --seeds 1 2 3

Every seed trains a parent on stage 2's text, and goes on from it in several ways that spend equally
many FLOPs; the large model from scratch spends the parent's, too. All are measured on the same
held-out text, after the rate has decayed. Finished runs are skipped. Writes table, plot and numbers
to the output directory. In one process: every run is the command of a stage.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from data_recipes.common.files import write_json_atomically
from data_recipes.common.statistics import compare_pairs
from modeling_kormo import KORMoConfig
from modeling_kormo.growth import plan_growth
from recipes.command_line import exit_on_error
from recipes.engine import resume
from recipes.engine.flops import flops_per_token
from recipes.engine.metrics import read_metrics

# Shape, what grows beside a layer after every second, and tokens of the parent and of what follows.
_SIZES: dict[str, dict[str, Any]] = {
    "micro": {
        "shape": {
            "hidden_size": 64,
            "intermediate_size": 192,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "vocab_size": 4096,
        },
        "wider": {"hidden_size": 96, "intermediate_size": 288, "num_attention_heads": 3},
        "tokens": (204_800, 61_440),
    },
    "tiny": {
        "shape": {
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "head_dim": 64,
            "vocab_size": 4096,
        },
        "wider": {"hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 4},
        "tokens": (921_600, 204_800),
    },
}
_NO_IDS = {"bos_token_id": None, "eos_token_id": None}
_STEP, _WINDOW = 1024, 256  # tokens
# Of what goes on, and from scratch, where small models take, and need, a higher one (tiny/stage1).
_PEAK, _SCRATCH_PEAK = 2e-3, 3e-3
_WARMUP = 0.2  # of a fresh optimizer; one that is carried needs none
_LANGUAGES = ("ko", "en")
_GROWN = {
    "ramp, carried": ("masks", "carried"),
    "zeros, carried": ("zeros", "carried"),
    "ramp, fresh": ("masks", "fresh"),
    "zeros, fresh": ("zeros", "fresh"),
}
_BASELINE = "small continued"


def _steps(tokens: float) -> int:
    """The nearest number of tokens in whole steps."""
    return round(tokens / _STEP) * _STEP


def _train(script: str, out: Path, *overrides: str) -> None:
    if (out / "final").is_dir():
        return
    sys.argv = [script, *overrides, f"logging.output_dir={out}"]
    importlib.import_module(f"recipes.{script}").main()
    while resume._locks:  # held until the process ends, which is not now
        resume._locks.pop().close()


def _run_seed(size: str, seed: int, root: Path) -> dict[str, Path]:
    """Train all arms of a seed; their directories by name."""
    wanted = _SIZES[size]
    shape, (before, after) = wanted["shape"], wanted["tokens"]
    growth = plan_growth(KORMoConfig(**shape, **_NO_IDS), layers_every=2, **wanted["wider"])
    large = {key: getattr(growth.new, key) for key in shape}
    ratio = flops_per_token(growth.new, _WINDOW) / flops_per_token(growth.old, _WINDOW)

    def common(model: dict[str, int], tokens: int, data_seed: int) -> list[str]:
        return [
            *(f"model.shape.{key}={value}" for key, value in model.items()),
            f"batch.tokens_per_step={_STEP}",
            "batch.micro_batch=4",
            f"data.seed={data_seed}",
            f"schedule.total_tokens={tokens}",
            "logging.log_every=5",
            "logging.keep_checkpoints=1",
            f"logging.save_every_tokens={tokens}",
            f"logging.eval_every_tokens={min(_steps(after / 2), tokens)}",
        ]

    decay = [f"schedule.decay_tokens={_steps(0.3 * after)}", f"optimizer.learning_rate={_PEAK}"]
    scratch = "model.init_from=null"
    parent = root / f"parent-{seed}"
    _train("stage2", parent, *common(shape, before, seed), scratch, decay[1])

    # New windows for what follows; the small model goes on where it was.
    arms: dict[str, Path] = {}
    for name, (how, optimizer) in _GROWN.items():
        arms[name] = root / f"{how}-{optimizer}-{seed}"
        ramp = {"ramp_tokens": _steps(0.4 * after)} if how == "masks" else {}
        steps = [{"layers_every": 2}, wanted["wider"] | ramp]
        own = [f"growth.how={how}", f"growth.optimizer={optimizer}", f"growth.seed={seed}"]
        own += [f"growth.steps={json.dumps(steps)}", f"model.init_from={parent / 'final'}"]
        own.append(f"schedule.warmup_fraction={0.0 if optimizer == 'carried' else _WARMUP}")
        _train("grow", arms[name], *common(shape, after, seed + 100), *decay, *own)
    arms[_BASELINE] = root / f"small-{seed}"
    tokens = before + _steps(after * ratio)
    branch = f"schedule.branch_from={parent / f'checkpoint-{before // _STEP}'}"
    _train("stage2", arms[_BASELINE], *common(shape, tokens, seed), *decay, scratch, branch)
    arms["from scratch"] = root / f"scratch-{seed}"
    tokens = _steps(before / ratio) + after
    peak = f"optimizer.learning_rate={_SCRATCH_PEAK}"
    _train("stage2", arms["from scratch"], *common(large, tokens, seed), *decay, scratch, peak)
    return arms


def _bits(directory: Path, language: str) -> list[tuple[int, float]]:
    key = f"bits_per_byte/{language}"
    return [(line["tokens"], line[key]) for line in read_metrics(directory) if key in line]


def _table(runs: list[dict[str, Path]]) -> list[str]:
    """Bits per byte of every arm, and what it gains over the small model, paired by seed."""
    lines = [f"| arm (seeds: {len(runs)}) | ko | against small | en | against small |"]
    lines.append("|---|---|---|---|---|")
    for name in runs[0]:
        cells = [name]
        for language in _LANGUAGES:
            own, small = (
                [_bits(arms[arm], language)[-1][1] for arms in runs] for arm in (name, _BASELINE)
            )
            cells.append(f"{sum(own) / len(own):.4f}")
            pair = compare_pairs(small, own)
            low, high = pair.interval()
            interval = f" [{low:+.4f}, {high:+.4f}]" if len(runs) > 1 else ""
            cells.append("" if name == _BASELINE else f"{pair.value:+.4f}{interval}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _draw(runs: list[dict[str, Path]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, language in zip(axes, _LANGUAGES):
        for name in runs[0]:
            curves = [_bits(arms[name], language) for arms in runs]
            first = curves[0][0][0] if name != _BASELINE else 0
            points = [p for p in curves[0] if p[0] >= first]
            share = [
                (tokens - points[0][0]) / (points[-1][0] - points[0][0]) for tokens, _ in points
            ]
            means = [sum(c[i][1] for c in curves) / len(curves) for i in range(len(points))]
            axis.plot(share, means, marker="o", markersize=3, label=name)
        axis.set(xlabel="share of the run's FLOPs", ylabel="bits per byte", title=language)
        axis.set_ylim(top=min(2.0, axis.get_ylim()[1]))
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=tuple(_SIZES), default="micro", help="(%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(1 2 3)")
    parser.add_argument("--out", type=Path, default=Path("runs/growth_study"), help="(%(default)s)")
    args = parser.parse_args()
    root, runs = args.out / args.size, []
    for seed in args.seeds:
        runs.append(_run_seed(args.size, seed, root))
        # As early as there is anything to see.
        table = _table(runs)
        (root / "results.md").write_text("\n".join(table) + "\n", encoding="utf-8")
        last = [
            {arm: {lang: _bits(path, lang) for lang in _LANGUAGES} for arm, path in arms.items()}
            for arms in runs
        ]
        write_json_atomically(root / "results.json", dict(zip(map(str, args.seeds), last)))
        _draw(runs, root / "results.png")
        print("\n".join(table), flush=True)


if __name__ == "__main__":
    exit_on_error(main)
