"""The graph that ships: countries with plain flags, written for this project (`world.yaml`)."""

from functools import cache
from pathlib import Path
from typing import Any

from ..common.config_files import Strict, load_config
from .triples import LANGUAGES, Graph, Names, Triple

_FILE = Path(__file__).with_name("world.yaml")
SOURCE, LICENCE = "kormo-recipes", "Apache-2.0"
_Pair = tuple[str, str]


class _Language(Strict):
    names: _Pair
    family: str | None = None
    script: str | None = None


class Flag(Strict):
    """How a flag is drawn (see the comment in `world.yaml`); colours by name."""

    rows: str = ""
    columns: str = ""
    disc: str = ""
    cross: str = ""
    plus: str = ""
    triangle: str = ""
    hoist: str = ""


class _Country(Strict):
    names: _Pair
    continents: list[str]
    capital: _Pair | None = None
    currency: str | None = None
    languages: list[str] = []
    side: str
    neighbours: list[str] = []
    flag: Flag


class _World(Strict):
    continents: dict[str, _Pair]
    sides: dict[str, _Pair]
    families: dict[str, _Pair]
    scripts: dict[str, _Pair]
    languages: dict[str, _Language]
    currencies: dict[str, _Pair]
    countries: dict[str, _Country]


@cache
def _world() -> _World:
    return load_config(_FILE, _World, [])


def _names(pair: _Pair) -> Names:
    return {
        code: tuple(text.strip() for text in names.split("|"))
        for code, names in zip(LANGUAGES, pair, strict=True)
    }


def world_graph() -> Graph:
    """Build the graph.

    Raises:
        RecipeError: `world.yaml` does not fit its schema.
        KeyError: it names something that it does not have.
    """
    world = _world()
    names: dict[str, Names] = {}
    triples: list[Triple] = []

    def entity(kind: str, code: str, table: dict[str, Any]) -> str:
        value = table[code]
        names[f"{kind}:{code}"] = _names(getattr(value, "names", value))
        return f"{kind}:{code}"

    def say(head: str, relation: str, tail: str) -> None:
        triples.append(Triple(head, relation, tail, SOURCE, LICENCE))

    for code, language in world.languages.items():
        own = entity("language", code, world.languages)
        if language.family:
            say(own, "family", entity("family", language.family, world.families))
        if language.script:
            say(own, "script", entity("script", language.script, world.scripts))
    for code, country in world.countries.items():
        own = entity("country", code, world.countries)
        for continent in country.continents:
            say(own, "continent", entity("continent", continent, world.continents))
        if country.capital:
            say(own, "capital", entity("city", code, {code: country.capital}))
        if country.currency:
            say(own, "currency", entity("currency", country.currency, world.currencies))
        for language in country.languages:
            say(own, "language", entity("language", language, world.languages))
        say(own, "drives_on", entity("side", country.side, world.sides))
        for neighbour in country.neighbours:
            say(own, "neighbour", entity("country", neighbour, world.countries))
    return Graph.of(triples, names)


def world_flags() -> dict[str, Flag]:
    """Return how to draw the flag of each country, by entity."""
    return {f"country:{code}": country.flag for code, country in _world().countries.items()}
