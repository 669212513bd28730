"""Long-context and reasoning mid-training: what they refuse, what they learn from, hand-over."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.tokens.mixture import Mixture
from data_recipes.tokens.shards import TokenSource
from recipes.engine.windows_data import PackedCollator, token_ids
from recipes.midtrain_reasoning import END_THINK, THINK

from ..conftest import Stage

Make = Callable[..., Stage]


@pytest.fixture(scope="module")
def long_data(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of traces, long documents and prose, made with the shared tokenizer."""
    output = tmp_path_factory.mktemp("long")
    genres = ("traces", "long", "stories")
    recipe = {
        "output_dir": str(output),
        "corpus": {"megabytes": 1.0, "extra": {"traces": 0.3, "long": 0.6}},
        "tokenizer": {"path": str(data_dir / "tokenizer")},
        "shards": {"heldout_fraction": 0.2},
        "sources": [
            {
                "name": f"{genre}_{language}",
                "path": f"{{output_dir}}/text/{genre}_{language}.jsonl",
                "language": language,
                "licence": "Apache-2.0",
                "synthesizer": f"{genre} grammar",
                # Control tokens of a text are tokens only where a template is declared.
                **({"template": "{text}"} if genre == "traces" else {}),
            }
            for genre in genres
            for language in ("en", "ko")
        ],
    }
    (output / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    prepare(DataConfig.model_validate(recipe))
    return output


@pytest.fixture
def mid_stage(small_stage: Make, long_data: Path) -> Make:
    """Factory of small mid-training stages."""

    def make(output: Path, script: str, parent: Path | str, *extra: str) -> Stage:
        return small_stage(
            output,
            f"data.recipe={long_data / 'recipe.yaml'}",
            f"data.shards={long_data / 'shards'}",
            f"data.tokenizer={long_data / 'tokenizer'}",
            f"model.init_from={parent}",
            "schedule.total_tokens=4096",
            "schedule.decay_tokens=0",
            *extra,
            script=script,
        )

    return make


LONG = [
    "batch.sequence_length=512",
    "batch.micro_batch=1",
    "data.mixture={long_en: 0.3, long_ko: 0.3, stories_en: 0.2, stories_ko: 0.2}",
    "data.heldout_tokens=1024",
    "data.short_document_tokens=1500",
]
TRACES = "data.mixture={traces_en: 0.5, traces_ko: 0.5}"


def test_the_stages_follow_each_other(uninterrupted: Path, mid_stage: Make, tmp_path: Path) -> None:
    parent = uninterrupted / "final"
    theta = "model.rope_theta=2_000_000"
    long = mid_stage(tmp_path / "long", "midtrain_long", parent, *LONG, theta).run()
    assert long.returncode == 0, long.stderr
    parent = tmp_path / "long" / "final"
    assert json.loads((parent / "config.json").read_text())["rope_parameters"]["rope_theta"] == 2e6
    reasoning = mid_stage(tmp_path / "reasoning", "midtrain_reasoning", parent, TRACES).run()
    assert reasoning.returncode == 0, reasoning.stderr

    # The base is inherited, weights are those of the stage before, the lineage is whole.
    final = tmp_path / "reasoning" / "final"
    assert AutoModelForCausalLM.from_pretrained(final).config.rope_parameters["rope_theta"] == 2e6
    lineage = json.loads((final / "lineage.json").read_text())
    stages = []
    while lineage:
        stages.append(lineage["stage"])
        lineage = lineage["parent_lineage"]
    assert stages == ["midtrain_reasoning", "midtrain_long", "stage1"]


def test_only_the_opening_of_reasoning_is_not_learned(long_data: Path, data_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    think, end = token_ids(tokenizer, (THINK, END_THINK))
    window = TokenSource(long_data / "shards" / "traces_en" / "train").window(0, 512)
    plain, masked = PackedCollator()([window]), PackedCollator(unscored=(think,))([window])
    changed = plain["labels"] != masked["labels"]
    opens = plain["input_ids"] == think
    assert opens.sum() > 3 and torch.equal(changed, opens)
    closes = masked["input_ids"] == end
    assert closes.any() and (masked["labels"][closes] == end).all()


def test_short_text_is_counted_in_documents(long_data: Path) -> None:
    weights = {"long_en": 0.25, "stories_en": 0.75}
    mixture = Mixture(long_data / "shards", weights, 128, seed=0)
    lengths = {
        name: torch.cat([torch.from_numpy(n) for _, n in mixture.sources[name].document_blocks(10)])
        for name in weights
    }
    limit = int(lengths["stories_en"].median())
    expected = sum(
        weight * lengths[name][lengths[name] <= limit].sum().item() / lengths[name].sum().item()
        for name, weight in weights.items()
    )
    assert 0.1 < expected < 0.6
    assert mixture.short_share(limit) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("script", "extra", "message"),
    [
        ("midtrain_long", ["data.min_short_share=0.9"], "without, math and code degrade"),
        ("midtrain_long", ["data.short_document_tokens=1000000"], "nothing to learn from longer"),
        ("midtrain_long", ["data.min_short_share=null"], "which needs both"),
        ("midtrain_reasoning", ["data.mixture={stories_en: 1}"], "no <think> in its first"),
        ("midtrain_reasoning", ["data.min_short_share=0.5"], "belong to midtrain_long"),
    ],
)
def test_mixtures_that_cannot_do_it_are_refused(
    mid_stage: Make, tmp_path: Path, script: str, extra: list[str], message: str
) -> None:
    common = LONG if script == "midtrain_long" else [TRACES]
    assert message in mid_stage(tmp_path / "run", script, "null", *common, *extra).refusal()


def test_every_nth_layer_is_recomputed(mid_stage: Make, tmp_path: Path, data_dir: Path) -> None:
    from data_recipes.tokenizer.load import load_tokenizer
    from recipes.build import build_model

    for every, expected in ((0, [False] * 5), (1, [True] * 5), (2, [True, False] * 2 + [True])):
        config = mid_stage(
            tmp_path,
            "midtrain_reasoning",
            "null",
            TRACES,
            "model.shape.num_hidden_layers=5",
            f"model.activation_checkpointing={every}",
        ).config()
        model = build_model(config, load_tokenizer(data_dir / "tokenizer"))
        assert [layer.gradient_checkpointing for layer in model.model.layers] == expected
