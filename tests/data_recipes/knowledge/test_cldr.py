"""What is read out of CLDR: facts with names at both ends, and nothing that overlaps or is past."""

from dataclasses import dataclass

from data_recipes.knowledge.cldr import cldr_graph, emoji_graph

_NAMES = {
    "ko": ("대한민국", "동아시아", "아시아", "한국어", "한국 문자", "대한민국 원", "개"),
    "en": ("South Korea", "Eastern Asia", "Asia", "Korean", "Korean", "South Korean Won", "dog"),
}
_MAIN = """<ldml><localeDisplayNames>
<territories><territory type="KR">{}</territory><territory type="KR" alt="short">x</territory>
<territory type="030">{}</territory><territory type="142">{}</territory></territories>
<languages><language type="ko">{}</language></languages>
<scripts><script type="Kore">{}</script></scripts></localeDisplayNames>
<numbers><currencies><currency type="KRW"><displayName>{}</displayName></currency></currencies>
</numbers></ldml>"""
_SUPPLEMENT = """<supplementalData>
<territoryContainment><group type="001" contains="142"/><group type="142" contains="030"/>
<group type="030" contains="KR"/><group type="UN" contains="KR"/>
<group type="142" contains="KR" grouping="true"/></territoryContainment>
<currencyData><region iso3166="KR"><currency iso4217="KRW" from="1962-06-10"/>
<currency iso4217="KRH" from="1953-02-15" to="1962-06-10"/></region></currencyData>
<territoryInfo><territory type="KR">
<languagePopulation type="ko" populationPercent="100" officialStatus="official"/>
<languagePopulation type="en" populationPercent="0.1"/></territory></territoryInfo>
<languageData><language type="ko" scripts="Kore"/></languageData></supplementalData>"""
_LABELS = "[🐕-🐗{🐕‍🦺}] ;\tAnimals & Nature\t;\tanimal-mammal\n[😀] ;\tSmileys\t;\tface-smiling\n"


@dataclass
class _Package:
    name: str = "unicode-cldr-core"
    version: str = "41"

    def members(self, pattern: str) -> list[tuple[str, bytes]]:
        root = "usr/share/unicode/cldr/common/"
        files = {"supplemental/supplementalData.xml": _SUPPLEMENT, "properties/labels.txt": _LABELS}
        for code, names in _NAMES.items():
            files[f"main/{code}.xml"] = _MAIN.format(*names[:6])
            annotations = f'<annotation cp="🐕" type="tts">{names[6]}</annotation>'
            annotations += f'<annotation cp="🐕">{names[6]} | x</annotation>'
            files[f"annotations/{code}.xml"] = f"<ldml>{annotations}</ldml>"
        return [(root + path, text.encode()) for path, text in files.items()]


def test_facts_of_cldr() -> None:
    graph = cldr_graph(_Package())
    assert [t.key for t in graph.triples] == [
        ("country:KR", "currency", "currency:KRW"),
        ("country:KR", "language", "language:ko"),
        ("country:KR", "region", "region:030"),
        ("language:ko", "script", "script:Kore"),
        ("region:030", "continent", "region:142"),
    ]
    assert graph.name("country:KR", "ko") == "대한민국"
    assert {(t.source, t.licence) for t in graph.triples} == {
        ("unicode-cldr-core 41", "Unicode-DFS-2016")
    }


def test_emoji_have_a_kind_and_kinds_a_group() -> None:
    graph = emoji_graph(_Package())
    # The range has three more animals, which the names here lack.
    assert {t.key for t in graph.triples if t.relation == "kind"} == {
        ("emoji:1F415", "kind", "kind:animal-mammal")
    }
    assert graph.tails("kind:animal-mammal", "group") == ["group:animal"]
    assert graph.name("emoji:1F415", "ko") == "개"
