"""The command: what it writes, what it refuses, and BOK-VQA's own files."""

import io
import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_recipes.__main__ import main
from data_recipes.common.errors import RecipeError
from data_recipes.knowledge import command
from data_recipes.knowledge.bokvqa import BokVqaConfig, read_bokvqa
from data_recipes.knowledge.command import KnowledgeConfig, make
from data_recipes.knowledge.triples import Graph, Triple, read_triples, write_triples
from data_recipes.knowledge.world import world_graph


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("knowledge")
    make(KnowledgeConfig(output_dir=out, graph=["world"], picture_size=16, views=3))
    return out / "data"


def test_rows_keep_to_the_contract_of_picture_questions(made: Path) -> None:
    for name in ("train", "names", "seen", "unseen_triples", "unseen_entities"):
        rows = _rows(made / f"{name}.jsonl")
        assert rows and len({row["id"] for row in rows}) == len(rows)
        for row in rows:
            user, assistant = row["messages"]
            assert [part["type"] for part in user["content"]] == ["image", "text"]
            assert assistant["content"] == [{"type": "text", "text": row["answers"][0]}]
            (picture,) = row["images"]
            assert Image.open(made / picture).size == (16, 16)


def test_tests_show_pictures_that_training_did_not(made: Path) -> None:
    trained = {
        p for name in ("train", "names") for r in _rows(made / f"{name}.jsonl") for p in r["images"]
    }
    tested = {
        p
        for name in ("seen", "unseen_triples", "unseen_entities")
        for r in _rows(made / f"{name}.jsonl")
        for p in r["images"]
    }
    assert len(tested) == 47 and not trained & tested


def test_the_graph_is_read_back_as_it_was(made: Path, tmp_path: Path) -> None:
    assert read_triples(made / "triples.jsonl") == world_graph()
    bad = tmp_path / "triples.jsonl"
    write_triples(bad, world_graph())
    bad.write_text(bad.read_text(encoding="utf-8").replace('"tail"', '"tial"', 1), encoding="utf-8")
    with pytest.raises(RecipeError, match="line 1: no triple"):
        read_triples(bad)


def test_what_is_there_stays_and_other_settings_are_refused(made: Path) -> None:
    before = os.stat(made / "train.jsonl").st_mtime_ns
    config = KnowledgeConfig(output_dir=made.parent, graph=["world"], picture_size=16, views=3)
    assert make(config)["facts"] == 388
    assert os.stat(made / "train.jsonl").st_mtime_ns == before
    with pytest.raises(RecipeError, match="seed: was 0, is 1"):
        make(config.model_copy(update={"seed": 1}))


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["knowledge", "--config", "tiny", "--dry-run", f"output_dir={tmp_path / 'new'}"])
    assert "388 facts" in capsys.readouterr().out and not any(tmp_path.iterdir())


def test_what_looks_the_same_is_one_entity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = KnowledgeConfig(output_dir=tmp_path / "out", graph=["world"], picture_size=16)
    graph, draw, _ = command._make_graph(config)
    known = Counter(triple.head for triple in graph.triples)
    shown = {entity for entity in graph.names if draw(entity) is not None and known[entity]}
    less, *_, more = sorted(shown, key=lambda entity: known[entity])
    assert known[less] < known[more]
    alike = {less: draw(more)}
    monkeypatch.setattr(
        command,
        "_make_graph",
        lambda _: (graph, lambda entity: alike.get(entity, draw(entity)), []),
    )
    make(config)
    rows = [row for path in (tmp_path / "out" / "data").glob("*.jsonl") for row in _rows(path)]
    assert {row["entity"] for row in rows if "entity" in row} == shown - {less}


def test_bad_settings_end_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="give `graph`"):
        main(["knowledge", "--config", "tiny", f"output_dir={tmp_path}", "graph=[]"])
    with pytest.raises(SystemExit, match="unknown key"):
        main(["knowledge", "--config", "tiny", f"output_dir={tmp_path}", "pictures=9"])


def _country(code: str, korean: str, borders: list[str], **more: object) -> dict:
    """A country as `world-countries` has it, of the keys that are read."""
    return {
        "cca2": code[:2], "cca3": code, "name": {"common": code.title()},
        "translations": {"kor": {"common": korean}} if korean else {},
        "region": "Asia", "subregion": "", "borders": borders, "landlocked": False,
        "unMember": True, "languages": {"kor": "Korean"}, "capital": ["Somewhere"],
        "currencies": {"KRW": {"name": "South Korean won", "symbol": "₩"}},
    } | more  # fmt: skip


def _npm(path: Path, countries: object) -> Path:
    package = {"name": "world-countries", "version": "5.1.0"}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("countries", countries), ("package", package)):
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_npms_countries_are_facts_for_vectors_and_nothing_is_asked(tmp_path: Path) -> None:
    countries = [_country("AAA", "가", ["BBB"]), _country("BBB", "", ["AAA"], landlocked=True)]
    given = {"output_dir": tmp_path / "out", "graph": ["countries"]}
    with pytest.raises(ValueError, match="needs the file"):
        KnowledgeConfig(**given)
    file = _npm(tmp_path / "countries.tgz", countries)
    manifest = make(KnowledgeConfig(**given, countries=file))
    assert manifest["sources"] == [
        {"source": "world-countries 5.1.0", "licence": "ODbL-1.0", "facts": 14}
    ]
    assert all(own["rows"] == 0 for own in manifest["rows"].values())
    graph = read_triples(tmp_path / "out" / "data" / "triples.jsonl")
    assert graph.tails("country:AA", "borders") == ["country:BB"]
    assert [graph.tails(f"country:{c}", "landlocked") for c in ("AA", "BB")] == [
        ["truth:no"], ["truth:yes"],
    ]  # fmt: skip
    assert graph.names["country:AA"] == {"ko": ("가",), "en": ("Aaa",)}
    assert graph.name("country:BB", "ko") == "Bbb" and graph.name("area:Asia", "ko") == "Asia"
    given["output_dir"] = tmp_path / "b"
    for other in ([{"cca2": "AA"}], [_country("AAA", "가", ["ZZZ"])], {"AA": 1}):
        with pytest.raises(RecipeError, match="npm pack world-countries"):
            make(KnowledgeConfig(**given, countries=_npm(file, other)))
    file.write_bytes(b"")
    with pytest.raises(RecipeError, match="npm pack world-countries"):
        make(KnowledgeConfig(**given, countries=file))


_HEADER = "img_name,question,h,r,t,answer,fold\n"


def _bokvqa(folder: Path, train: str, test: str) -> BokVqaConfig:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.new("RGB", (4, 4)).save(folder / name)
    for name, rows in (("train.csv", train), ("test.csv", test)):
        (folder / name).write_text(rows, encoding="utf-8")
    paths = {"ko": folder / "train.csv"}, {"ko": folder / "test.csv"}
    return BokVqaConfig(train=paths[0], test=paths[1], images=folder)


def test_bokvqa_is_read_and_its_novelty_told(tmp_path: Path) -> None:
    train = _HEADER + 'a.jpg,"이 동물의 강은 무엇인가, 말하라?",tiger,class,mammal,mammal,1\n'
    test = _HEADER + (
        "b.jpg,이것은?,tiger,class,mammal,mammal,0\n"
        "b.jpg,이것은?,tiger,order,carnivora,carnivora,0\n"
        "c.jpg,이것은?,lion,class,mammal,mammal,0\n"
    )
    graph, rows = read_bokvqa(_bokvqa(tmp_path, train, test))
    assert [len(rows[n]) for n in ("train", "seen", "unseen_triples", "unseen_entities")] == [1] * 4
    (row,) = rows["train"]
    assert row["messages"][0]["content"][1]["text"] == "이 동물의 강은 무엇인가, 말하라?"
    assert row["triples"] == [["tiger", "class", "mammal"]] and row["answers"] == ["mammal"]
    assert [rows[n][0]["answer_seen"] for n in ("seen", "unseen_triples")] == [True, False]
    assert len(graph.triples) == 3


def test_bokvqas_items_are_the_same_in_both_languages_and_ids_are_unique(tmp_path: Path) -> None:
    """Whatever the order of the rows, and with several questions about one fact of one picture."""
    asked = ["a.jpg,{}1,tiger,class,mammal,mammal,1\n", "a.jpg,{}2,tiger,class,mammal,cat,1\n"]
    other = "b.jpg,{}3,tiger,order,carnivora,carnivora,1\n"
    korean = _HEADER + "".join([*asked, other]).format("무엇 ", "무엇 ", "무엇 ")
    english = _HEADER + "".join([other, *asked]).format("what ", "what ", "what ")
    config = _bokvqa(tmp_path, korean, _HEADER + asked[0].format("무엇 "))
    for name, text in (("en.csv", english), ("en_test.csv", _HEADER + asked[0].format("what "))):
        (tmp_path / name).write_text(text, encoding="utf-8")
    config.train["en"], config.test["en"] = tmp_path / "en.csv", tmp_path / "en_test.csv"
    _, rows = read_bokvqa(config)
    every = [row for own in rows.values() for row in own]
    assert len({row["id"] for row in every}) == len(every) == 8
    items = {}
    for row in every:
        question = row["messages"][0]["content"][1]["text"]
        items.setdefault(row["item"], []).append((row["language"], question[-1]))
    assert sorted(map(sorted, items.values())) == [
        [("en", number), ("ko", number)] for number in ("1", "1", "2", "3")
    ]


def test_bokvqas_missing_columns_and_pictures_are_named(tmp_path: Path) -> None:
    row = "a.jpg,이것은?,tiger,class,mammal,mammal,1\n"
    with pytest.raises(RecipeError, match="train.csv: no column answer"):
        read_bokvqa(_bokvqa(tmp_path, _HEADER.replace("answer", "reply") + row, _HEADER))
    with pytest.raises(RecipeError, match="d.jpg: no such picture"):
        read_bokvqa(_bokvqa(tmp_path, _HEADER + row.replace("a.jpg", "d.jpg"), _HEADER))


def test_names_may_hold_any_character(tmp_path: Path) -> None:
    name = {"ko": ("가\u2028나",), "en": ("a\u0085b",)}
    graph = Graph.of([Triple("x:a", "r", "x:b", "s", "l")], {"x:a": name, "x:b": name})
    write_triples(tmp_path / "triples.jsonl", graph)
    assert read_triples(tmp_path / "triples.jsonl") == graph
