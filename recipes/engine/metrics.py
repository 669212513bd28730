"""`metrics.jsonl` and the loss curve drawn from it; throughput, and the FLOPs of MFU.

Parameters, FLOPs and peaks of GPUs are computed here and nowhere else.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import disk_full_is_an_error, open_staged, staged_file

from ..config import ViewsConfig

if TYPE_CHECKING:
    from modeling_kormo import KORMoConfig

METRICS = "metrics.jsonl"
CURVE = "loss_curve.png"
# Drawing takes longer than many a small model's step.
_REDRAW_SECONDS = 60.0
# Dense bf16 FLOP/s without sparsity, from the vendors' data sheets. Longer names come first, so
# that "H100 PCIe" is not taken for "H100".
_PEAK_BF16 = {
    "GB200": 2.5e15,
    "B200": 2.25e15,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "A40": 149.7e12,
    "A10": 125e12,
    "L4": 121e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
}
# Words of a name that make it another chip, or (MIG) a part of one.
_OTHER_CHIP = frozenset(("MIG", "Laptop", "Ti", "D"))


def read_metrics(output_dir: Path) -> list[dict[str, Any]]:
    """All lines of `metrics.jsonl`; none if there is no such file.

    Raises:
        RecipeError: a line is damaged that is not the last.
    """
    path = output_dir / METRICS
    if not path.is_file():
        return []
    found = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise RecipeError(f"{path}: line {number:,} is damaged; remove it") from error
            # A run that was killed, or one that is writing it now.
    return found


def append_metrics(output_dir: Path, values: dict[str, Any]) -> None:
    """Add one line.

    Raises:
        RecipeError: the disk is full, or the directory is gone.
    """
    path = output_dir / METRICS
    if not output_dir.is_dir():
        raise RecipeError(
            f"{output_dir}: was deleted while the run was writing there; start it again"
        )
    with disk_full_is_an_error(path), path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(values) + "\n")


def truncate_metrics(output_dir: Path, step: int) -> None:
    """Drop what a killed run logged after the checkpoint that the next one goes on from."""
    path = output_dir / METRICS
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            break  # the line that kill -9 cut off; nothing after it can be older
        if values["step"] <= step:
            kept.append(line + "\n")
    with open_staged(path) as handle:
        handle.write("".join(kept))


class Throughput:
    """Measure tokens per second of training proper: evaluation and saving stop the clock.

    Args:
        flops_per_token: of the model, as in `recipes/engine/metrics.py`.
        peak_flops: FLOP/s of all devices together; `None` if unknown.
        on_cpu: training computes on the CPU.
        attended_flops: per token, attention counted over the tokens that are attended to.
    """

    def __init__(
        self,
        flops_per_token: float,
        peak_flops: float | None,
        on_cpu: bool = False,
        attended_flops: float | None = None,
    ) -> None:
        self.on_cpu = on_cpu
        self.attended_flops = attended_flops
        self.flops_per_token = flops_per_token
        self.peak_flops = peak_flops
        self.tokens = 0
        self.waiting = 0.0
        self._running = 0.0
        self._cpu = 0.0  # of the calling thread, which computes or waits for those that do
        self._since: tuple[float, float] | None = None

    def resume(self) -> None:
        """Start the clock, unless it runs."""
        if self._since is None:
            self._since = time.perf_counter(), time.thread_time()

    def pause(self) -> None:
        """Stop the clock, if it runs."""
        if self._since is not None:
            self._running += time.perf_counter() - self._since[0]
            self._cpu += time.thread_time() - self._since[1]
            self._since = None

    def drain(self) -> dict[str, float]:
        """Return rates since the last call: tokens/s, share of time spent waiting for data, MFU.

        On a CPU also `cpu_percent`: how much of the time the training thread had one. Well below
        100, other processes have it.
        """
        self.pause()
        seconds = max(self._running, 1e-9)
        rate = self.tokens / seconds
        rates = {"tokens_per_second": rate, "data_wait_percent": 100 * self.waiting / seconds}
        if self.peak_flops is not None:
            rates["mfu_percent"] = 100 * rate * self.flops_per_token / self.peak_flops
            if self.attended_flops is not None:
                attended = 100 * rate * self.attended_flops / self.peak_flops
                rates["mfu_attended_percent"] = attended
        if self.on_cpu:
            rates["cpu_percent"] = min(100.0, 100 * (self._cpu + self.waiting) / seconds)
        self.tokens, self.waiting, self._running, self._cpu = 0, 0.0, 0.0, 0.0
        self.resume()
        return rates


def plot_curve(output_dir: Path, title: str) -> Path:
    """Draw training loss and held-out bits per byte over tokens into `loss_curve.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = read_metrics(output_dir)
    train = [(m["tokens"] / 1e6, m["loss"]) for m in lines if "loss" in m]
    prefix = "bits_per_byte/"
    languages = sorted({k.removeprefix(prefix) for m in lines for k in m if k.startswith(prefix)})

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    # What a layout engine finds by drawing everything once more.
    figure.subplots_adjust(left=0.065, right=0.985, bottom=0.13, top=0.92, wspace=0.17)
    left.plot(*zip(*train), color="tab:blue", linewidth=1)
    left.set(xlabel="tokens (millions)", ylabel="training loss (nats per token)", title=title)
    for language in languages:
        points = [
            (m["tokens"] / 1e6, m[prefix + language]) for m in lines if prefix + language in m
        ]
        right.plot(*zip(*points), marker="o", markersize=3, label=language)
    right.set(xlabel="tokens (millions)", ylabel="bits per byte", title="held-out text")
    if languages:
        right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    path = output_dir / CURVE
    with staged_file(path) as staged:
        figure.savefig(staged, dpi=120, format="png")
    plt.close(figure)
    return path


class LossCurve:
    """The curve of a run that goes on: drawn at its end, and before at most once a minute.

    Args:
        output_dir: of the run.
        title: above the training loss.
    """

    def __init__(self, output_dir: Path, title: str) -> None:
        self.output_dir, self.title = output_dir, title
        self._drawn = time.monotonic()

    def refresh(self, ended: bool) -> None:
        """Draw it, if the run has ended or the last drawing is old."""
        if ended or time.monotonic() - self._drawn > _REDRAW_SECONDS:
            plot_curve(self.output_dir, self.title)
            self._drawn = time.monotonic()


def peak_flops(gpu_name: str) -> float | None:
    """Dense bf16 peak of a GPU in FLOP/s; `None` for one not in the table, never a guess.

    Args:
        gpu_name: as `torch.cuda.get_device_name()` says it, e.g. "NVIDIA H200".
    """
    return named(_PEAK_BF16, gpu_name)


def named(table: dict[str, float], gpu_name: str) -> float | None:
    """Look a GPU up in a table whose longer names come first; `None` if it is not there."""
    words = gpu_name.replace("-", " ").split()
    if not _OTHER_CHIP.isdisjoint(words):
        return None
    for name, value in table.items():
        if all(part in words for part in name.split()):
            return value
    return None


def _layer_parameters(config: KORMoConfig) -> int:
    attention = config.hidden_size * config.head_dim
    attention *= 2 * config.num_attention_heads + 2 * config.num_key_value_heads
    mlp = 3 * config.hidden_size * config.intermediate_size
    return attention + mlp + 2 * config.hidden_size


def count_parameters(config: KORMoConfig) -> int:
    """Parameters of the model, from the shape alone."""
    embeddings = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    layers = config.num_hidden_layers * _layer_parameters(config)
    return layers + embeddings + config.hidden_size


def count_view_parameters(config: KORMoConfig, views: ViewsConfig | None) -> int:
    """Parameters of multi-token prediction, which are trained and left out of `final/`."""
    if views is None or views.kind == "same":
        return 0
    width = config.hidden_size
    part = _layer_parameters(config)
    if views.kind == "sequential":
        part += 2 * width * width + 3 * width
    return views.count * part


def flops_per_token(config: KORMoConfig, keys: float, views: ViewsConfig | None = None) -> float:
    """Training FLOPs per token: 6 per multiplied weight, plus attention.

    `6 (N - N_embedding) + 12 layers heads head_dim keys`. Recomputation is not counted. Each view
    of multi-token prediction has its own modules and goes through the head once more.

    Args:
        config: shape.
        keys: tokens that a token attends to. With the length of the window it is PaLM's count,
            without the causal discount, by which MFU is compared everywhere (arXiv 2204.02311,
            appendix B); with their mean (`attended_length`) it is what is computed.
        views: of multi-token prediction.
    """
    multiplied = count_parameters(config)
    if not config.tie_word_embeddings:
        multiplied -= config.vocab_size * config.hidden_size
    layers = config.num_hidden_layers
    if views is not None:
        multiplied += count_view_parameters(config, views)
        multiplied += views.count * config.vocab_size * config.hidden_size
        layers += 0 if views.kind == "same" else views.count
    width = config.num_attention_heads * config.head_dim
    return 6 * multiplied + 12 * layers * width * keys
