"""Fixtures that more than one room needs: a small data set, and ways to start a stage.

It loads no torch: of the processes of a run of the tests, one only deals them out.
"""

from __future__ import annotations

import gc
import importlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from tests.processes import ROOT, Program, environment  # noqa: F401  (for the tests, from here)
from tests.shared import make_once

if TYPE_CHECKING:
    from recipes.config import StageConfig

# Numbers that keep a run of 12 steps to a few seconds, and its loss far from chaos.
SMALL = [
    "model.shape.hidden_size=64",
    "model.shape.intermediate_size=128",
    "model.shape.num_hidden_layers=2",
    "model.shape.num_attention_heads=2",
    "model.shape.num_key_value_heads=1",
    "model.shape.head_dim=32",
    "model.shape.vocab_size=1280",
    "model.embedding_std=null",
    "data.mixture={web_en: 0.6, web_ko: 0.4}",
    "data.heldout_tokens=512",
    "batch.sequence_length=128",
    "batch.tokens_per_step=1024",
    "batch.micro_batch=2",
    "schedule.total_tokens=12_288",
    "schedule.warmup_fraction=0.25",
    "optimizer.learning_rate=1e-3",
    "logging.log_every=1",
    "logging.eval_every_tokens=6144",
    "logging.save_every_tokens=3072",
]


Once = Callable[[str, Callable[[Path], object]], Path]


@dataclass(frozen=True)
class Stage:
    """A small run of a stage, by its command line."""

    script: str
    overrides: list[str]

    def config(self) -> StageConfig:
        from recipes.config import StageConfig

        path = ROOT / "recipes" / "configs" / "tiny" / f"{self.script}.yaml"
        return load_config(path, StageConfig, self.overrides)

    def command(self, *extra: str, ranks: int = 1) -> list[str]:
        """Write the command by which a user starts it, from nothing."""
        launcher = [sys.executable]
        if ranks > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        return [*launcher, str(ROOT / "recipes" / f"{self.script}.py"), *self.overrides, *extra]

    def start(self, *extra: str, ranks: int = 1, worker: Path | None = None) -> Program:
        """Start it in a process, or several, that have loaded the libraries."""
        script = worker or ROOT / "recipes" / f"{self.script}.py"
        return Program([script, *self.overrides, *extra], ranks)

    def run(self, *extra: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
        """Start it so and wait until it ends."""
        return self.start(*extra, **kwargs).wait()

    def main(self, *extra: str) -> None:
        """Run it in this process, which has loaded torch already: for what it refuses or plans."""
        name = f"recipes.{self.script}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"{self.script}.py", *self.overrides, *extra])
            try:
                importlib.import_module(name).main()
            finally:
                release_outputs()

    def refusal(self, *extra: str) -> str:
        """Run it in this process until it refuses; what it says."""
        with pytest.raises(RecipeError) as refused:
            self.main(*extra)
        return str(refused.value)


def release_outputs() -> None:
    """Let go of the output directories of earlier runs in this process, as its end would."""
    from recipes.engine import checkpoints

    while checkpoints._locks:
        checkpoints._locks.pop().close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of many seconds each, lest one worker ends with them alone."""
    long = ("test_documents.py", "test_notebooks.py")
    items.sort(key=lambda item: item.path.name not in long)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a directory of a name by a function, one time for all workers; not to be changed."""
    root = tmp_path_factory.getbasetemp()
    return partial(make_once, root.parent if "PYTEST_XDIST_WORKER" in os.environ else root)


@pytest.fixture(scope="session")
def data_dir(once: Once) -> Path:
    """Shards of about a megabyte of the embedded corpus, and their tokenizer."""
    return once("data", make_data)


def make_data(output: Path) -> None:
    """Prepare them."""
    from data_recipes.prepare.config import DataConfig
    from data_recipes.prepare.prepare import prepare

    recipe = {
        "output_dir": str(output),
        "corpus": {"megabytes": 2.0},
        "tokenizer": {"bpe_entries": 1000, "megabytes": 0.4, "weights": {"web_en": 1, "web_ko": 1}},
        "shards": {"heldout_fraction": 0.05},
        "sources": [
            {
                "name": f"{genre}_{language}",
                "path": f"{{output_dir}}/text/{genre}_{language}.jsonl",
                "language": language,
                "licence": "Apache-2.0",
                "synthesizer": f"{genre} grammar",
            }
            for genre in ("web", "stories")
            for language in ("en", "ko")
        ],
    }
    (output / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    prepare(DataConfig.model_validate(recipe))


@pytest.fixture(scope="session")
def small_stage(data_dir: Path) -> Callable[..., Stage]:
    """Factory of small stages on the shared data."""

    def make(output_dir: Path, *extra: str, script: str = "stage1") -> Stage:
        paths = [
            f"data.recipe={data_dir / 'recipe.yaml'}",
            f"data.shards={data_dir / 'shards'}",
            f"data.tokenizer={data_dir / 'tokenizer'}",
            f"logging.output_dir={output_dir}",
        ]
        return Stage(script, [*SMALL, *paths, *extra])

    return make


@pytest.fixture(scope="session")
def stages(once: Once) -> Path:
    """A directory in which the documents' first commands have run; to be copied, not changed."""
    from tests.documented import STAGES
    from tests.documented_runs import run_all

    return once("stages", lambda world: run_all(STAGES, world))


def other_modes(directory: Path) -> list[str]:
    """List what lies below a directory with another mode than this process's umask gives."""
    os.umask(umask := os.umask(0))
    found = []
    for path in directory.rglob("*"):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            plain = 0o777 if stat.S_ISDIR(mode) else 0o666
            if stat.S_IMODE(mode) != plain & ~umask:
                found.append(f"{path.relative_to(directory)}: {stat.S_IMODE(mode):o}")
    return found


@pytest.fixture(autouse=True, scope="module")
def _no_walk_through_libraries() -> None:
    """Take what is loaded out of the collections of garbage, of which each training asks for one.

    Through libraries alone a collection takes 0.3 seconds and more, a third of a small run.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    import torch

    torch.manual_seed(0)
