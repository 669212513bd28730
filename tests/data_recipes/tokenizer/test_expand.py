"""Old text keeps its ids, every new entry can be reached, and special tokens stay in place."""

import json
import pydoc_data.topics
from argparse import Namespace
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import make_tokenizer, run_expand_tokenizer
from data_recipes.tokenizer.continued_bpe import continue_merges
from data_recipes.tokenizer.expand import byte_level_spec, expand_tokenizer
from data_recipes.tokenizer.load import check_continuation, load_tokenizer
from data_recipes.tokenizer.script_bytes import ScriptBytes
from data_recipes.tokenizer.train import train_tokenizer
from data_recipes.toy import documents

from .families import ALPHABET, FAMILIES

NEW = 150
# Real text, with code, tables, odd spacing: the language reference that Python carries.
OLD_TEXT = list(pydoc_data.topics.topics.values())
THAI = "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอนหรือวรรณยุกต์ ราคา ฿100 " * 40
HARD = "학교에서 3,000원\n\n\n“한글” ㅋㅋ 각\u0301 \u1112\u1161\u11ab 🙂 漢字 <think>생각</think>"
HARD += "\r\n 끝" + "\n" * 40


def text(language: str, count: int = 120) -> list[str]:
    return [t for genre in ("web", "stories") for t in islice(documents(genre, language, 3), count)]


@pytest.fixture(scope="module", params=["kormo", *FAMILIES])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """A tokenizer of English text, and the same with Korean, as it loads from its directory."""
    make = {"kormo": train_tokenizer, **FAMILIES}[request.param]
    old = make(text("en"), 700)
    larger, expansion = expand_tokenizer(old, text("ko"), ["Hangul"], NEW, request.param)
    assert expansion.entries == NEW and not expansion.changed_signs
    directory = tmp_path_factory.mktemp(request.param)
    larger.save_pretrained(directory)
    return old, AutoTokenizer.from_pretrained(directory)


Pair = tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]


def test_old_text_keeps_its_ids(pair: Pair) -> None:
    old, new = pair
    for document in (*OLD_TEXT, *text("en", 40)):
        assert old(document).input_ids == new(document).input_ids


def test_new_text_is_shorter_and_comes_back(pair: Pair) -> None:
    old, new = pair
    unseen = list(islice(documents("dialogue", "ko", 9), 40))
    before, after = (sum(len(t(d).input_ids) for d in unseen) for t in pair)
    assert after < 0.75 * before
    for document in (*unseen, HARD):
        if new.backend_tokenizer.normalizer is not None:
            document = new.backend_tokenizer.normalizer.normalize_str(document)
        assert new.decode(new(document, add_special_tokens=False).input_ids) == document


def test_every_new_entry_is_reached_and_old_ids_stay(pair: Pair) -> None:
    old, new = pair
    check_continuation(old, new, "new")
    known, all_of_them = old.get_vocab(), new.get_vocab()
    assert {t: all_of_them[t] for t in known} == known
    added = {t: i for t, i in all_of_them.items() if t not in known}
    assert sorted(added.values()) == list(range(len(old), len(old) + NEW))
    assert len(new) == len(old) + NEW
    for token, index in added.items():
        assert [t.id for t in new.backend_tokenizer.model.tokenize(token)] == [index]
    assert new.all_special_ids == old.all_special_ids
    assert new.get_added_vocab() == old.get_added_vocab()
    assert new.chat_template == old.chat_template and type(new) is type(old)


def test_added_tokens_outside_the_vocabulary_would_move(pair: Pair, tmp_path: Path) -> None:
    # What `byte_level_spec` guards against, and that `check_continuation` would tell.
    old, new = pair
    spec = json.loads(new.backend_tokenizer.to_str())
    for token in old.get_added_vocab():
        spec["model"]["vocab"].pop(token, None)
    new.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(RecipeError, match="no continuation.*another id"):
        check_continuation(old, AutoTokenizer.from_pretrained(tmp_path), "moved")


def test_going_on_learns_what_learning_at_once_would() -> None:
    words = Counter(
        word
        for document in text("ko", 40)
        for word, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(document)
    )

    def trained(size: int) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=ALPHABET, show_progress=False
        )
        tokenizer.train_from_iterator((w for w, n in words.items() for _ in range(n)), trainer)
        return tokenizer

    short, long = trained(400), json.loads(trained(900).to_str())["model"]
    pieces = {index: token.encode() for token, index in short.get_vocab().items()}
    cut = [([t.id for t in short.model.tokenize(word)], times) for word, times in words.items()]
    learned = continue_merges(cut, pieces, 500, 400, lambda data: True)
    names = [[pieces[a].decode(), pieces[b].decode()] for a, b in (m.pair for m in learned)]
    assert names == long["merges"][-len(names) :] and len(names) >= 500
    assert {index: token.encode() for token, index in long["vocab"].items()} == pieces


def test_what_begins_in_a_script() -> None:
    hangul, thai = ScriptBytes(["Hangul"]), ScriptBytes(["Thai"])
    for data in ("한", " 한", "한a", "ㅋ"):
        assert hangul.begins(data.encode())
    # A part of a character: 0xEB begins Hangul alone, 0xEA also Javanese, 0xE3 also kana.
    assert hangul.begins(b"\xeb") and hangul.begins(b" \xeb\x93") and hangul.begins(b"\xea\xb0")
    for data in (b"\xea", b"\xe3\x84", b"\x93\x9c", b"", b" ", b"  \xeb", "漢".encode(), b"a"):
        assert not hangul.begins(data)
    assert thai.begins("ก".encode()) and not thai.begins("฿".encode())
    assert thai.shared_signs == ["฿"]
    both = ScriptBytes(["Hiragana", "Katakana"])
    assert all(both.begins(kana.encode()) for kana in "あア") and not both.begins("一".encode())


@pytest.mark.parametrize(
    ("script", "sample"), [("Thai", THAI), ("Cyrillic", "съешь ещё булок " * 9)]
)
def test_other_scripts(script: str, sample: str) -> None:
    old = FAMILIES["llama3"](text("en", 40), 400)
    new, expansion = expand_tokenizer(old, [sample], [script], 20, "llama3")
    assert len(new(sample).input_ids) < 0.8 * len(old(sample).input_ids)
    assert new.decode(new(sample, add_special_tokens=False).input_ids) == sample
    for document in OLD_TEXT[:20]:
        assert old(document).input_ids == new(document).input_ids
    # Only what shares its first bytes with Thai is cut anew, and it is named.
    assert expansion.changed_signs == (["฿"] if script == "Thai" else [])


def test_what_cannot_be_expanded() -> None:
    old = FAMILIES["qwen"](text("en", 40), 400)

    def refused(tokenizer, texts, scripts, entries, match) -> None:
        with pytest.raises(RecipeError, match=match) as error:
            expand_tokenizer(tokenizer, texts, scripts, entries, "mine")
        assert "\n" not in str(error.value)

    korean = text("ko", 20)
    refused(old, korean, ["Hangeul"], 9, "'Hangeul' is no script of Unicode")
    refused(old, korean, ["Latin"], 9, "ASCII letters")
    refused(old, korean, ["Thai"], 9, "no text in Thai among 0.0[0-9]* MB")
    refused(old, korean[:1], ["Hangul"], 9_000, "supports only [0-9,]+ new entries, 9,000")
    characters = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    characters.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    for backend, kind in ((characters, "a BPE over characters"), (pieces, "Unigram")):
        other = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
        refused(other, korean, ["Hangul"], 9, f"mine: is no byte-level BPE \\({kind}\\)")


def test_no_continuation(pair: Pair) -> None:
    old, new = pair
    with pytest.raises(RecipeError, match="nothing to add"):
        check_continuation(new, new, "same")
    other = FAMILIES["llama3"](text("ko"), 900)
    with pytest.raises(RecipeError, match="no continuation of the model's, .* another id"):
        check_continuation(old, other, "other")
    spec = byte_level_spec(new, "new")
    spec["pre_tokenizer"] |= {"type": "Sequence", "pretokenizers": []}
    changed = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(spec)))
    with pytest.raises(RecipeError, match="because its pre_tokenizer differ"):
        check_continuation(old, changed, "changed")


def test_recipe_continues_the_tokenizer_on_its_own_text(data_dir: Path, tmp_path: Path) -> None:
    english = train_tokenizer(text("en"), 600)
    english.save_pretrained(tmp_path / "english")
    overrides = [
        f"tokenizer.path={tmp_path / 'english'}",
        "tokenizer.expand={scripts: [Hangul], entries: 60}",
        "tokenizer.weights={web_ko: 1}",
    ]
    recipe = data_dir / "recipe.yaml"
    config = load_config(recipe, DataConfig, overrides)
    # The text that is read and cleaned already; only the tokenizer is another.
    for folder in data_dir.iterdir():
        if folder.name not in ("tokenizer", "shards"):
            (tmp_path / folder.name).symlink_to(folder)
    config = config.model_copy(update={"output_dir": tmp_path})
    make_tokenizer(config)
    made = load_tokenizer(config.tokenizer_dir)
    assert len(made) == 600 + 41 + 60 and made.bos_token_id == english.bos_token_id
    make_tokenizer(config)  # kept
    with pytest.raises(RecipeError, match="other settings"):
        more = config.tokenizer.model_copy(
            update={"expand": config.tokenizer.expand.model_copy(update={"entries": 61})}
        )
        make_tokenizer(config.model_copy(update={"tokenizer": more}))
    with pytest.raises(RecipeError, match="continues no tokenizer; set tokenizer.path"):
        run_expand_tokenizer(Namespace(config=str(recipe), executor=None, overrides=[]))
    # What cannot be continued is told before anything is read.
    overrides += [f"output_dir={tmp_path / 'new'}", f"tokenizer.path={tmp_path / 'nowhere'}"]
    with pytest.raises(RecipeError, match="nowhere: cannot be loaded"):
        run_expand_tokenizer(Namespace(config=str(recipe), executor=None, overrides=overrides))
    assert not (tmp_path / "new").exists()
