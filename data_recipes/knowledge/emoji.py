"""Emoji as things with a kind: "what kind of animal is this?", from CLDR's labels and names."""

from ..debian.archive import Package
from ..debian.emoji import CLDR_LICENCE, read_emoji
from .triples import LANGUAGES, Graph, Names, Triple

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
