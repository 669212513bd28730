"""`python -m data_recipes pictures`: scenes drawn, asked about and written down."""

import argparse
from collections import Counter
from typing import Any

from ..common.config_files import find_recipe, load_config
from ..common.errors import RecipeError
from ..common.run_dir import DirectoryLock, bind_settings
from ..common.terminal import align
from .catalogue import Catalogue
from .config import CONFIGS, SPLITS, PicturesConfig
from .language import Language, LanguageTable, check_names, load_table
from .picture_set import MANIFEST, PictureSet, read_manifest


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


def load_catalogue(config: PicturesConfig, tables: dict[str, LanguageTable]) -> Catalogue:
    """Fetch or draw the cut-outs of a recipe.

    Raises:
        RecipeError: they have no name in one of the languages, or cannot be fetched.
    """
    return _drawn(config, tables)


def open_set(config: PicturesConfig) -> PictureSet:
    """Prepare what a recipe describes; writes nothing.

    Raises:
        RecipeError: a bad language table, two tables of one language, cut-outs that are not to be
            had, too few of them.
    """
    tables = {name: load_table(name) for name in config.languages}
    codes = Counter(table.code for table in tables.values())
    if doubles := [code for code, count in codes.items() if count > 1]:
        raise RecipeError(f"languages: two tables have the code {doubles[0]!r}")
    catalogue = load_catalogue(config, tables)
    languages = [
        Language(table, catalogue.names[table.code], catalogue.repeats) for table in tables.values()
    ]
    return PictureSet(config, catalogue, languages)


def make_pictures(config: PicturesConfig) -> dict[str, Any]:
    """Make a picture set, or go on with it; gives its manifest.

    Raises:
        RecipeError: as of `open_set`; the directory holds another set, or is in use.
    """
    with DirectoryLock(config.output_dir):
        pictures = open_set(config)
        settings = config.model_dump(mode="json", exclude={"output_dir"})
        settings["tables"] = {
            name: load_table(name).model_dump(mode="json") for name in config.languages
        }
        remedy = "choose another output_dir, or delete this one"
        bind_settings(config.output_dir, settings, remedy, finished=["images/*.png"])
        if not (config.output_dir / MANIFEST).is_file():
            pictures.draw_images()
            pictures.write_rows()
    return read_manifest(config.output_dir)


def _table(manifest: dict[str, Any]) -> str:
    rows = [("split", "pictures", "rows", "yes", "no")]
    for split in SPLITS:
        own = manifest["counts"][split]
        cells = (own["pictures"], sum(own["rows"].values()), own["yes"], own["no"])
        rows.append((split, *(f"{cell:,}" for cell in cells)))
    return align(rows)


def _describe(config: PicturesConfig, pictures: PictureSet) -> str:
    holdout = pictures.holdout
    lines = [
        f"{config.output_dir}: {sum(config.scenes.values()):,} pictures of {config.pixels} pixels",
        f"things: {len(holdout.known)} to train on, held out {', '.join(holdout.objects)}",
        f"combinations held out: {len(holdout.combinations)}",
        f"languages: {', '.join(config.languages)}; licence: {config.licence}",
    ]
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_recipe(args.config, CONFIGS), PicturesConfig, args.overrides)
    if args.dry_run:
        print(_describe(config, open_set(config)))
    else:
        print(_table(make_pictures(config)))
