"""The graphs in Unicode's CLDR, named in Korean and English, from Debian's `unicode-cldr-core`:
territories, languages, scripts and currencies; and emoji as things with a kind.
"""

import gettext
import io
import json
from typing import Any

from lxml import etree

from ..debian.archive import Package
from ..debian.emoji import CLDR_LICENCE, read_cldr, read_emoji
from .triples import LANGUAGES, Graph, Names, Triple

_FILES = r"(main/(ko|en)\.xml|supplemental/supplementalData\.xml)"
ISO_CODES, ISO_LICENCE = "iso-codes", "LGPL-2.1+"
_WORLD = "001"
# Share of the people who speak a language, from which it counts as spoken in a territory.
_LEAST_PERCENT = 1.0
# CLDR's subcategories of things that can be told by a picture, and the groups that they are of.
# Their names are ours: CLDR names only the groups, in words of its own.
_KINDS: dict[str, tuple[str, str, str]] = {
    "animal-mammal": ("포유류", "mammal", "animal"),
    "animal-bird": ("새", "bird", "animal"),
    "animal-amphibian": ("양서류", "amphibian", "animal"),
    "animal-reptile": ("파충류", "reptile", "animal"),
    "animal-marine": ("바다 동물", "marine animal", "animal"),
    "animal-bug": ("벌레", "bug", "animal"),
    "plant-flower": ("꽃", "flower", "plant"),
    "food-fruit": ("과일", "fruit", "food"),
    "food-vegetable": ("채소", "vegetable", "food"),
    "food-sweet": ("단 음식", "sweet", "food"),
    "drink": ("음료", "drink", "food"),
    "dishware": ("식기", "dishware", "object"),
    "transport-ground": ("육상 교통", "ground transport", "transport"),
    "transport-water": ("수상 교통", "water transport", "transport"),
    "transport-air": ("항공 교통", "air transport", "transport"),
    "sport": ("스포츠", "sport", "activity"),
    "musical-instrument": ("악기", "musical instrument", "object"),
    "clothing": ("옷과 장신구", "clothing", "object"),
    "tool": ("도구", "tool", "object"),
}
_GROUPS = {
    "animal": ("동물", "animal"), "plant": ("식물", "plant"), "food": ("음식", "food"),
    "object": ("물건", "object"), "transport": ("교통수단", "transport"),
    "activity": ("활동", "activity"),
}  # fmt: skip


def _texts(tree: Any, path: str) -> dict[str, str]:
    return {e.get("type"): e.text for e in tree.iterfind(path) if e.get("alt") is None and e.text}


def _all_names(trees: dict[str, Any]) -> dict[str, Names]:
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    for code in LANGUAGES:
        tree = trees[f"main/{code}.xml"]
        for kind, path in (
            ("territory", ".//territories/territory"),
            ("language", ".//languages/language"),
            ("script", ".//scripts/script"),
        ):
            for own, text in _texts(tree, path).items():
                names.setdefault(_entity(kind, own), {})[code] = (text,)
        for currency in tree.iterfind(".//currencies/currency"):
            if text := currency.findtext("displayName"):
                names.setdefault(f"currency:{currency.get('type')}", {})[code] = (text,)
    return names


def _entity(kind: str, code: str) -> str:
    if kind == "territory":
        kind = "region" if code.isdigit() else "country"
    return f"{kind}:{code}"


def cldr_graph(package: Package) -> Graph:
    """Build the graph: regions, currencies, official and spoken languages, and scripts."""
    files = read_cldr(package, _FILES)
    trees = {path: etree.fromstring(files[path]) for path in files if path.endswith(".xml")}
    facts: set[tuple[str, str, str]] = set()
    data = trees["supplemental/supplementalData.xml"]
    for group in data.iterfind(".//territoryContainment/group"):
        whole = group.get("type")
        if group.get("status") or group.get("grouping") or not whole.isdigit() or whole == _WORLD:
            continue  # what is no more, and groupings such as the EU, which overlap
        for part in group.get("contains").split():
            relation = "continent" if part.isdigit() else "region"
            facts.add((_entity("territory", part), relation, _entity("territory", whole)))
    for region in data.iterfind(".//currencyData/region"):
        for currency in region:
            if currency.get("to") is None and currency.get("tender") != "false":
                code = currency.get("iso4217")
                facts.add((f"country:{region.get('iso3166')}", "currency", f"currency:{code}"))
    for territory in data.iterfind(".//territoryInfo/territory"):
        for language in territory:
            official = language.get("officialStatus") in ("official", "de_facto_official")
            if official or float(language.get("populationPercent") or 0) >= _LEAST_PERCENT:
                relation = "language" if official else "spoken"
                own = f"country:{territory.get('type')}", f"language:{language.get('type')}"
                facts.add((own[0], relation, own[1]))
    for language in data.iterfind(".//languageData/language"):
        if language.get("alt") is None:
            for script in (language.get("scripts") or "").split():
                facts.add((f"language:{language.get('type')}", "script", f"script:{script}"))
    source = f"{package.name} {package.version}"
    return Graph.of((Triple(*fact, source, CLDR_LICENCE) for fact in facts), _all_names(trees))


def iso_names(package: Package) -> dict[str, Names]:
    """Read further names of countries out of Debian's `iso-codes`: common and official ones."""
    members = dict(
        package.members(
            r"usr/share/(iso-codes/json/iso_3166-1\.json|locale/ko/LC_MESSAGES/iso_3166-1\.mo)"
        )
    )
    korean = next(data for path, data in members.items() if path.endswith(".mo"))
    table = next(data for path, data in members.items() if path.endswith(".json"))
    translate = gettext.GNUTranslations(io.BytesIO(korean)).gettext
    found: dict[str, Names] = {}
    for country in json.loads(table)["3166-1"]:
        keys = ("common_name", "name", "official_name")
        english = tuple(dict.fromkeys(country[key] for key in keys if key in country))
        # An untranslated name comes back in English.
        own = tuple(t for name in english if (t := translate(name)) != name)
        found[f"country:{country['alpha_2']}"] = {"ko": own, "en": english}
    return found


def emoji_graph(package: Package) -> Graph:
    """Build the graph: each emoji's kind, and each kind's group.

    Args:
        package: `unicode-cldr-core`.
    """
    named, kinds = read_emoji(package, LANGUAGES)
    names: dict[str, Names] = {
        f"kind:{kind}": {"ko": (ko,), "en": (en,)} for kind, (ko, en, _) in _KINDS.items()
    }
    names |= {f"group:{group}": {"ko": (ko,), "en": (en,)} for group, (ko, en) in _GROUPS.items()}
    for code, texts in named.items():
        for character, text in texts.items():
            names.setdefault(f"emoji:{ord(character):X}", {})[code] = (text,)
    facts = {(f"kind:{kind}", "group", f"group:{own[2]}") for kind, own in _KINDS.items()}
    for kind, characters in kinds.items():
        for character in characters if kind in _KINDS else ():
            facts.add((f"emoji:{ord(character):X}", "kind", f"kind:{kind}"))
    source = f"{package.name} {package.version}"
    return Graph.of((Triple(*fact, source, CLDR_LICENCE) for fact in facts), names)
