"""What the runs of the single-synthesizer experiment came to: a table and a plot."""

import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.mixture import Mixture

from .config import StageConfig
from .engine.metrics import read_metrics

RESULTS = "single_synthesizer"
_BITS = "bits_per_byte/ko"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        arm: name of the mixture.
        seed: of the order of windows.
        sources: of synthetic Korean.
        synthesizers: who wrote them.
        epochs: passes over the synthetic Korean source that is seen most.
        losses: tokens and training loss, in nats per token.
        bits: tokens and bits per byte of natural held-out Korean; the first is the parent's.
    """

    arm: str
    seed: int
    sources: list[str]
    synthesizers: list[str]
    epochs: float
    losses: list[tuple[int, float]]
    bits: list[tuple[int, float]]

    @property
    def before(self) -> float:
        """Bits per byte of the parent."""
        return self.bits[0][1]

    @property
    def after(self) -> float:
        """Bits per byte at the end."""
        return self.bits[-1][1]

    @property
    def unrest(self) -> float:
        """How much the loss goes up and down from one line of the log to the next.

        Standard deviation of the differences in the second half, over the root of two: that of the
        noise about a slow trend. In nats per token.
        """
        losses = [loss for _, loss in self.losses[len(self.losses) // 2 :]]
        steps = [after - before for before, after in zip(losses, losses[1:])]
        return statistics.stdev(steps) / 2**0.5 if len(steps) > 1 else 0.0

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"before": self.before, "after": self.after, "unrest": self.unrest}


def read_run(arm: str, seed: int, config: StageConfig) -> Run:
    """A finished run from its metrics.

    Raises:
        RecipeError: it was not measured on Korean.
    """
    folder = config.logging.output_dir
    lines = read_metrics(folder)
    bits = [(line["tokens"], line[_BITS]) for line in lines if _BITS in line]
    losses = [(line["tokens"], line["loss"]) for line in lines if "loss" in line]
    if not bits or not losses:
        raise RecipeError(f"{folder}: its metrics have no {_BITS}; is `natural` Korean text?")
    mixture = Mixture(
        config.data.shards, config.data.mixture, config.batch.sequence_length, config.data.seed
    )
    windows = config.schedule.total_tokens // config.batch.sequence_length
    rows = [r for r in mixture.plan(windows) if r.language == "ko" and r.synthesizer]
    rows = [r for r in rows if r.name not in config.data.heldout]
    return Run(
        arm=arm,
        seed=seed,
        sources=[r.name for r in rows],
        synthesizers=sorted({r.synthesizer for r in rows if r.synthesizer}),
        epochs=max((r.epochs for r in rows), default=0.0),
        losses=losses,
        bits=bits,
    )


def _arms(runs: list[Run]) -> dict[str, list[Run]]:
    return {arm: [r for r in runs if r.arm == arm] for arm in dict.fromkeys(r.arm for r in runs)}


def _interval(values: list[float]) -> str:
    """Mean, and the range of all runs."""
    mean = statistics.mean(values)
    return (
        f"{mean:.4f} [{min(values):.4f}, {max(values):.4f}]" if len(values) > 1 else f"{mean:.4f}"
    )


def table(runs: list[Run]) -> str:
    """One row per arm; of several runs the mean, with the least and the most in brackets."""
    head = "arm", "sources", "synthesizers", "runs", "epochs", "ko before", "ko after", "unrest"
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for arm, own in _arms(runs).items():
        cells = [
            arm,
            str(len(own[0].sources)),
            str(len(own[0].synthesizers)),
            str(len(own)),
            f"{max(r.epochs for r in own):.2f}",
            _interval([r.before for r in own]),
            _interval([r.after for r in own]),
            _interval([r.unrest for r in own]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "ko: bits per byte of natural Korean text that was kept out of training. epochs: of the "
        "synthetic source that is seen most. unrest: noise of the training loss, nats per token.",
    ]
    return "\n".join(lines)


def draw(runs: list[Run], path: Path) -> None:
    """Loss and bits per byte over tokens, a line for each run and a colour for each arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for number, (arm, own) in enumerate(_arms(runs).items()):
        for i, run in enumerate(own):
            label = f"{arm}: {', '.join(run.sources)}" if i == 0 else None
            for axis, points in zip(axes, (run.losses, run.bits)):
                axis.plot(
                    [tokens / 1e6 for tokens, _ in points],
                    [value for _, value in points],
                    color=f"C{number}",
                    linewidth=1.2,
                    alpha=0.8,
                    marker="o" if axis is axes[1] else None,
                    markersize=3,
                    label=label,
                )
    axes[0].set(ylabel="nats per token", title="training loss (each arm on its own mixture)")
    axes[1].set(ylabel="bits per byte", title="natural Korean text, held out")
    for axis in axes:
        axis.set(xlabel="tokens (millions)")
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)
