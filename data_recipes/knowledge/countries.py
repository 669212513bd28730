"""Facts of npm's `world-countries` (ODbL: whoever passes the facts on shares them alike), which a
user has fetched: regions, borders, languages, currencies, capitals. Nothing of it ships.

Only countries have Korean names there; what else a fact names is called by its English name in
both languages, so nothing is asked about these facts: they are for vectors (`recipes/kge.py`).
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.errors import RecipeError
from .triples import LANGUAGES, Graph, Names, Triple

_LICENCE = "ODbL-1.0"
_MEMBERS = ("package/countries.json", "package/package.json")
_OF_ANOTHER_FORM = (KeyError, ValueError, TypeError, AttributeError)


def _facts(country: dict[str, Any], codes: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield relations and tails of a country: relation, kind and code of the tail, its name."""
    for level in ("region", "subregion"):
        if area := country[level]:
            yield f"in_{level}", f"area:{area}", area
    for code in country["borders"]:
        yield "borders", f"country:{codes[code]}", ""
    for code, name in country["languages"].items():
        yield "has_language", f"language:{code}", name
    for code, own in country["currencies"].items():
        yield "has_currency", f"currency:{code}", own["name"]
    for city in country["capital"]:
        yield "has_capital", f"city:{city}", city
    for key, relation in (("landlocked", "landlocked"), ("unMember", "un_member")):
        truth = "yes" if country[key] else "no"
        yield relation, f"truth:{truth}", truth


def countries_graph(path: Path) -> Graph:
    """Build the graph from the package as npm has it.

    Raises:
        RecipeError: another file.
    """
    try:
        with tarfile.open(path) as archive:
            countries, package = (json.load(archive.extractfile(name)) for name in _MEMBERS)
        return _graph(countries, f"{package['name']} {package['version']}")
    except (OSError, tarfile.TarError, *_OF_ANOTHER_FORM) as error:
        raise RecipeError(
            f"countries {path}: not npm's package world-countries ({error!r}); fetch it with "
            "`npm pack world-countries@5.1.0` and name the .tgz"
        ) from error


def _graph(countries: list[dict[str, Any]], source: str) -> Graph:
    codes = {country["cca3"]: country["cca2"] for country in countries}
    names: dict[str, Names] = {}
    triples = []
    for country in countries:
        head, english = f"country:{country['cca2']}", country["name"]["common"]
        korean = country["translations"].get("kor", {}).get("common", english)
        names[head] = {"ko": (korean,), "en": (english,)}
        for relation, tail, name in _facts(country, codes):
            names.setdefault(tail, dict.fromkeys(LANGUAGES, (name,) if name else ()))
            triples.append(Triple(head, relation, tail, source, _LICENCE))
    return Graph.of(triples, names)
