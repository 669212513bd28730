"""The command `python -m data_recipes knowledge`: a graph, pictures, and questions about them."""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator
from tqdm import tqdm

from ..common.config_files import CONFIGS, Strict, find_recipe, load_config
from ..common.errors import RecipeError
from ..common.files import (
    MANIFEST,
    DirectoryLock,
    bind_settings,
    git_commit,
    open_staged,
    sha256_file,
    staged_folder,
    write_json_atomically,
)
from .bokvqa import BokVqaConfig, read_bokvqa
from .questions import SPLITS, ask_all, deal, leaks, pictured
from .triples import Graph, join, write_triples

if TYPE_CHECKING:
    from PIL.Image import Image

_SHIPPED = CONFIGS / "knowledge"
DATA, TRIPLES = "data", "triples.jsonl"
_Rows = dict[str, list[dict[str, Any]]]
_Draw = Callable[[str], "Image | None"]


class KnowledgeConfig(Strict):
    """What is asked about. The numbers are our choice.

    Attributes:
        output_dir: where everything goes, below `data/`.
        graph: `world` ships; `cldr` and `emoji` are read from Debian's archive, and come with the
            pictures of Noto Color Emoji; `countries` is read from `countries`, for vectors alone.
        countries: npm's package `world-countries`, a .tgz.
        bokvqa: BOK-VQA's own files in place of a graph.
        debian_dir: keeps what was fetched from Debian; `output_dir/debian` by default.
        picture_size: pixels of a side.
        views: pictures of each entity, at another place and size; the last is for tests alone.
        unseen_triples: share of facts that are kept out of training.
        unseen_entities: share of entities whose facts are all kept out.
        seed: of the dealing and of the views.
    """

    output_dir: Path
    graph: list[Literal["world", "cldr", "emoji", "countries"]] = []
    countries: Path | None = None
    bokvqa: BokVqaConfig | None = None
    debian_dir: Path | None = None
    picture_size: int = Field(default=64, ge=8)
    views: int = Field(default=4, ge=2)
    unseen_triples: float = Field(default=0.25, gt=0, lt=1)
    unseen_entities: float = Field(default=0.15, gt=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _one_source(self) -> "KnowledgeConfig":
        if bool(self.graph) == bool(self.bokvqa):
            raise ValueError(
                "give `graph` (world, cldr, emoji, countries) or `bokvqa`, and not both"
            )
        if ("countries" in self.graph) != (self.countries is not None):
            raise ValueError("graph: countries needs the file `countries`, and no other does")
        return self


def _make_graph(config: KnowledgeConfig) -> tuple[Graph, _Draw, list[dict[str, Any]]]:
    """Build the graph, what draws its entities, and the sources of names that have no facts."""
    graphs, painters, named_by = [], [], []
    if "world" in config.graph:
        from .flags import draw_flag
        from .world import world_flags, world_graph

        flags = world_flags()
        graphs.append(world_graph())
        painters.append(lambda entity: draw_flag(flags[entity]) if entity in flags else None)
    if config.countries is not None:
        from .countries import countries_graph

        graphs.append(countries_graph(config.countries))
    if {"cldr", "emoji"} & set(config.graph):
        from ..debian.archive import fetch_packages
        from ..debian.emoji import CLDR, FONT, NotoPictures
        from .cldr import ISO_CODES, ISO_LICENCE, cldr_graph, emoji_graph, iso_names

        wanted = (CLDR, FONT, *((ISO_CODES,) if "cldr" in config.graph else ()))
        packages = fetch_packages(wanted, config.debian_dir or config.output_dir / "debian")
        if "cldr" in config.graph:
            graph = cldr_graph(packages[CLDR])
            codes = packages[ISO_CODES]
            more = {k: v for k, v in iso_names(codes).items() if k in graph.names}
            graphs += [graph, Graph((), more)]
            source = f"{codes.name} {codes.version}"
            named_by.append({"source": source, "licence": ISO_LICENCE, "names": len(more)})
        if "emoji" in config.graph:
            graphs.append(emoji_graph(packages[CLDR]))
        # First, so that a flag of Noto's is taken where there are two.
        painters.insert(0, NotoPictures(packages[FONT]).draw)

    def draw(entity: str) -> "Image | None":
        return next((drawn for paint in painters if (drawn := paint(entity)) is not None), None)

    return join(graphs), draw, named_by


def _paint(folder: Path, pictures: dict[str, "Image"], config: KnowledgeConfig) -> dict[str, list]:
    """Write the views of each entity; return their paths below `folder`."""
    from .flags import place

    (folder / "pictures").mkdir()
    paths: dict[str, list[str]] = {}
    for entity, picture in tqdm(pictures.items(), desc="pictures", unit="entity"):
        for view in range(config.views):
            rng = random.Random(f"{config.seed} {entity} {view}")
            path = f"pictures/{entity.replace(':', '_')}_{view}.png"
            place(picture, config.picture_size, rng).save(folder / path)
            paths.setdefault(entity, []).append(path)
    return paths


def _show(rows: _Rows, paths: dict[str, list[str]]) -> _Rows:
    """Give each row its picture: one of training's views in turn, or the view of tests."""
    shown: _Rows = {}
    for where, own in rows.items():
        training = where in ("train", "names")
        shown[where] = []
        for number, row in enumerate(own):
            *views, last = paths[row["entity"]]
            # Rows come in pairs of languages: both see the same picture.
            chosen = [views[number // 2 % len(views)]] if training else [last]
            if where == "names":  # every view is named
                chosen = views
            for picture in chosen:
                view = picture.rpartition("_")[2].removesuffix(".png")
                own_id = f"{row['id']} {view}" if len(chosen) > 1 else row["id"]
                shown[where].append(row | {"id": own_id, "images": [picture]})
    return shown


def _counts(rows: _Rows) -> dict[str, Any]:
    return {
        where: {
            "rows": len(own),
            "languages": dict(Counter(row["language"] for row in own)),
            "hops": dict(Counter(str(row["hops"]) for row in own)),
        }
        for where, own in rows.items()
    }


def _plan(
    rows: _Rows, graph: Graph, entities: int, named_by: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "facts": len(graph.triples),
        "entities": len(graph.names),
        "relations": dict(Counter(t.relation for t in graph.triples).most_common()),
        "pictured_entities": entities,
        "rows": _counts(rows),
        "sources": [
            {"source": source, "licence": licence, "facts": count}
            for (source, licence), count in sorted(
                Counter((t.source, t.licence) for t in graph.triples).items()
            )
        ]
        + named_by,
    }


def make(config: KnowledgeConfig, dry_run: bool = False) -> dict[str, Any]:
    """Write `data/` below the output directory, whole or not at all.

    In it are `triples.jsonl`, rows by split (`questions.SPLITS`), `pictures/` and `manifest.json`.
    What was made before with the same settings is left as it is.

    Args:
        config: what to make.
        dry_run: count only, and write nothing. Debian's packages are fetched even so, since the
            count is of what is in them, into a directory that is removed.

    Returns:
        The manifest.

    Raises:
        RecipeError: see the readers; or a fact would answer questions in training and in a test.
    """
    if dry_run:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            known = config.debian_dir if (config.debian_dir or Path("-")).is_dir() else folder
            return _assemble(config.model_copy(update={"debian_dir": Path(known)}))[0]
    final = config.output_dir / DATA
    with DirectoryLock(config.output_dir):
        settings = json.loads(config.model_dump_json(exclude={"output_dir", "debian_dir"}))
        remedy = "choose another output_dir, or delete this one"
        bind_settings(config.output_dir, settings, remedy, finished=[DATA])
        if (final / MANIFEST).is_file():
            return json.loads((final / MANIFEST).read_text(encoding="utf-8"))
        plan, graph, rows, pictures = _assemble(config)
        with staged_folder(final) as folder:
            if pictures:
                from ..debian.emoji import LICENCE

                rows = _show(rows, _paint(folder, pictures, config))
                plan["rows"] = _counts(rows)
                noto = set(config.graph) != {"world"}
                plan["picture_licence"] = LICENCE if noto else "Apache-2.0 (drawn here)"
            write_triples(folder / TRIPLES, graph)
            for where, own in rows.items():
                with open_staged(folder / f"{where}.jsonl") as handle:
                    handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in own)
            files = [TRIPLES, *(f"{where}.jsonl" for where in SPLITS)]
            manifest = plan | {
                "settings": settings,
                "commit": git_commit(),
                "sha256": {name: sha256_file(folder / name) for name in files},
            }
            write_json_atomically(folder / MANIFEST, manifest)
    return manifest


def _one_each(drawn: dict[str, "Image"], graph: Graph) -> dict[str, "Image"]:
    """Keep, of entities that look the same, the one that most is known of.

    Islands fly the flag of the state that they belong to; a picture must have one answer.
    """
    known = Counter(triple.head for triple in graph.triples)
    first: dict[tuple[Any, ...], str] = {}
    for entity in sorted(drawn, key=lambda entity: (-known[entity], entity)):
        picture = drawn[entity]
        first.setdefault((picture.size, picture.mode, picture.tobytes()), entity)
    return {entity: drawn[entity] for entity in drawn if entity in set(first.values())}


def _assemble(config: KnowledgeConfig) -> tuple[dict[str, Any], Graph, _Rows, dict[str, "Image"]]:
    if config.bokvqa is not None:
        graph, rows = read_bokvqa(config.bokvqa)
        entities = {row["entity"] for own in rows.values() for row in own}
        return _plan(rows, graph, len(entities), []), graph, rows, {}
    graph, draw, named_by = _make_graph(config)
    drawn = {entity: picture for entity in graph.names if (picture := draw(entity)) is not None}
    drawn = _one_each(drawn, graph)
    heads = pictured(graph, set(drawn))
    split = deal(graph, heads, config.unseen_triples, config.unseen_entities, config.seed)
    rows = ask_all(graph, heads, split)
    if leaked := leaks(rows):
        raise RecipeError(f"facts on both sides of the split, e.g. {leaked[0]}; report this")
    return _plan(rows, graph, len(heads), named_by), graph, rows, {h: drawn[h] for h in heads}


def run(args: argparse.Namespace) -> None:
    """Make what a config says, and print what there is."""
    config = load_config(find_recipe(args.config, _SHIPPED), KnowledgeConfig, args.overrides)
    manifest = make(config, args.dry_run)
    print(
        f"{manifest['facts']:,} facts of {manifest['entities']:,} entities, "
        f"{manifest['pictured_entities']:,} of them with pictures"
    )
    for where, counts in manifest["rows"].items():
        languages = ", ".join(f"{n:,} {code}" for code, n in counts["languages"].items())
        hops = ", ".join(f"{n:,} of {h} hops" for h, n in counts["hops"].items() if h != "0")
        print(f"{where:<16}{counts['rows']:>7,} rows: {languages or 'none'}; {hops or 'naming'}")
    print("dry run: nothing was written" if args.dry_run else config.output_dir / DATA)
