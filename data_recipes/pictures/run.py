"""`python -m data_recipes pictures`: scenes drawn, asked about and written down."""

import argparse
from collections import Counter
from typing import Any

from ..common.config_files import find_recipe, load_config
from ..common.errors import RecipeError
from ..common.files import MANIFEST, DirectoryLock, bind_settings
from ..common.terminal import align
from .config import CONFIGS, SCENE_SPLITS, PicturesConfig
from .language import Language, LanguageTable, check_names, load_table
from .picture_set import PictureSet, read_manifest
from .scenes import Catalogue


def _drawn(config: PicturesConfig, tables: dict[str, LanguageTable]) -> Catalogue:
    from .shapes import COLOURS, SHAPES, draw_shape

    given, chosen = config.drawn, {}
    for name, known in (("things", SHAPES), ("colours", COLOURS)):
        chosen[name] = getattr(given, name) or list(known)
        if unknown := [key for key in chosen[name] if key not in known]:
            raise RecipeError(f"drawn.{name}: no {unknown[0]!r}; there are {', '.join(known)}")
    for path, table in tables.items():
        check_names(table, path, chosen["things"], chosen["colours"])
    return Catalogue(
        "drawn",
        chosen["things"],
        chosen["colours"],
        {table.code: table.things for table in tables.values()},
        draw_shape,
        [{"name": "kormo-recipes", "licence": "Apache-2.0"}],
        repeats=True,
    )


def _catalogue(config: PicturesConfig, tables: dict[str, LanguageTable]) -> Catalogue:
    if config.drawn is not None:
        return _drawn(config, tables)
    from ..debian.archive import fetch_packages
    from .collected import PACKAGES, emoji_catalogue, stamps_catalogue

    codes = [table.code for table in tables.values()]
    packages = fetch_packages(PACKAGES["stamps" if config.emoji is None else "emoji"])
    if config.emoji is not None:
        return emoji_catalogue(config.emoji, codes, packages, config.seed)
    return stamps_catalogue(config.stamps, codes, packages, config.seed)


def _tables(config: PicturesConfig) -> dict[str, LanguageTable]:
    tables = {name: load_table(name) for name in config.languages}
    codes = Counter(table.code for table in tables.values())
    if doubles := [code for code, count in codes.items() if count > 1]:
        raise RecipeError(f"languages: two tables have the code {doubles[0]!r}")
    return tables


def open_set(config: PicturesConfig) -> PictureSet:
    """Prepare what a recipe describes; fetches what is not drawn, and writes nothing else.

    Raises:
        RecipeError: a bad language table, two tables of one language, cut-outs that are not to be
            had, too few of them.
    """
    tables = _tables(config)
    catalogue = _catalogue(config, tables)
    languages = [
        Language(
            table,
            catalogue.names[table.code],
            catalogue.repeats,
            catalogue.captions.get(table.code),
        )
        for table in tables.values()
    ]
    return PictureSet(config, catalogue, languages)


def make_pictures(config: PicturesConfig) -> dict[str, Any]:
    """Make a picture set, or go on with it; gives its manifest.

    Raises:
        RecipeError: as of `open_set`; the directory holds another set, or is in use.
    """
    with DirectoryLock(config.output_dir):
        settings = config.model_dump(mode="json", exclude={"output_dir"})
        settings["tables"] = {
            name: table.model_dump(mode="json") for name, table in _tables(config).items()
        }
        remedy = "choose another output_dir, or delete this one"
        bind_settings(config.output_dir, settings, remedy, finished=["images/*.png"])
        if not (config.output_dir / MANIFEST).is_file():
            pictures = open_set(config)
            pictures.draw_images()
            pictures.write_rows()
    return read_manifest(config.output_dir)


def _table(manifest: dict[str, Any]) -> str:
    rows = [("split", "pictures", "rows", "yes", "no")]
    for split in SCENE_SPLITS:
        own = manifest["counts"][split]
        cells = (own["pictures"], sum(own["rows"].values()), own["yes"], own["no"])
        rows.append((split, *(f"{cell:,}" for cell in cells)))
    return align(rows)


def _describe(config: PicturesConfig) -> str:
    lines = [
        f"{config.output_dir}: {sum(config.scenes.values()):,} pictures of {config.pixels} pixels",
        f"languages: {', '.join(_tables(config))}; licence: {config.licence}",
    ]
    if config.drawn is None:
        from .collected import PACKAGES

        kind = "emoji" if config.emoji is not None else "stamps"
        lines.append(f"things: {kind}, from Debian's {' and '.join(PACKAGES[kind])}")
    else:
        holdout = open_set(config).holdout
        lines.append(
            f"things: {len(holdout.known)} to train on, held out {', '.join(holdout.objects)}; "
            f"combinations held out: {len(holdout.combinations)}"
        )
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_recipe(args.config, CONFIGS), PicturesConfig, args.overrides)
    if args.dry_run:
        print(_describe(config))
    else:
        print(_table(make_pictures(config)))
