"""Planted text is found where it was planted, absent text is not, and what is shown is verbatim."""

import random
import shutil
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_recipes.common.errors import RecipeError
from recipes import trace
from recipes.engine import trace_index
from recipes.engine.tracer import Tracer
from recipes.read_order import readings
from tests.conftest import Stage

Make = Callable[..., Stage]


@pytest.fixture(scope="module")
def shards(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards in a folder of their own, indexed in many small blocks."""
    folder = tmp_path_factory.mktemp("trace")
    for name in ("shards", "tokenizer"):
        shutil.copytree(data_dir / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_index, "BLOCK_BYTES", 50_000)
        Tracer.of(folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def tracer(shards: Path) -> Tracer:
    return Tracer.of(shards)


def documents(tracer: Tracer, name: str) -> list[str]:
    """Texts of a source, by the tokenizer itself."""
    source = tracer.indexes[name].source
    tokenizer = Tracer.tokenizer_of(source.directory)
    bounds = map(source.document_bounds, range(source.manifest.documents))
    ids = [source.tokens_at(*own).tolist() for own in bounds]
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


def test_planted_spans_are_found_and_absent_ones_are_not(tracer: Tracer) -> None:
    rng = random.Random(5)
    texts = {name: documents(tracer, name) for name in tracer.indexes}
    everything = "\n\0\n".join(text for own in texts.values() for text in own)
    for number in range(1000):
        name = rng.choice(sorted(texts))
        document = rng.randrange(len(texts[name]))
        text = texts[name][document]
        size = rng.randint(20, 60)
        begin = rng.randrange(max(1, len(text) - size))
        planted = text[begin : begin + size]
        # In an answer, between signs that no training text has.
        (span, *_) = tracer.spans(f"⑨⑧{planted}⑦⑥", shortest=len(planted))
        assert (span.begin, span.text) == (2, planted), number
        count, places = tracer.indexes[name].places(planted.encode(), 10**9)
        assert count == len(places)
        assert {p.document for p in places} == {
            i for i, own in enumerate(texts[name]) if planted in own
        }
        for place in places[:3]:
            own = texts[name][place.document].encode()
            assert own[place.begin :].startswith(planted.encode())
        # The same with one character changed, if that stands nowhere.
        place = rng.randrange(len(planted))
        absent = planted[:place] + "⑨" + planted[place + 1 :]
        assert absent not in everything
        assert not tracer.spans(absent, shortest=len(absent))
        assert all(span.text in everything for span in tracer.spans(absent, shortest=1))


def test_spans_are_those_of_a_search(tracer: Tracer) -> None:
    """Every span that cannot be made longer, against a search of every stretch of the answer."""
    texts = [text for name in tracer.indexes for text in documents(tracer, name)]
    answer = texts[0][10:60] + texts[3][5:40] + "⑨" + texts[-1][:30]
    everything = "\0".join(texts)
    wanted, reached = [], 0
    for begin in range(len(answer)):
        end = begin
        while end < len(answer) and answer[begin : end + 1] in everything:
            end += 1
        if end > reached:
            reached = end
            if end - begin >= 8:
                wanted.append((begin, answer[begin:end]))
    found = sorted((span.begin, span.text) for span in tracer.spans(answer, shortest=8))
    assert found == wanted and len(wanted) >= 3


def test_a_span_is_found_however_its_hangul_is_written(tracer: Tracer) -> None:
    written = documents(tracer, "web_ko")[0][:40]
    decomposed = unicodedata.normalize("NFD", written)
    assert decomposed != written
    assert tracer.spans(decomposed, shortest=20) == tracer.spans(written, shortest=20) != []


def test_a_run_says_which_steps_read_a_span(
    shards: Path,
    small_stage: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = [f"data.shards={shards}", "schedule.total_tokens=2048"]
    short += ["logging.save_every_tokens=1_024_000", "logging.eval_every_tokens=1_024_000"]
    small_stage(tmp_path / "run", *short).main()
    tracer = Tracer.of(tmp_path / "run")
    assert set(tracer.indexes) == {"web_en", "web_ko"}  # those of the mixture
    (whole, *_) = (
        r
        for window in tracer.run.windows_of(2)
        for r in readings(tracer.run, window)
        if r.begin == 0 and len(r.tokens) > 30
    )
    text = tracer.run.tokenizer.decode(whole.tokens[1:25])
    monkeypatch.setattr(sys, "argv", ["trace", str(tmp_path / "run"), f"{text}⑨"])
    trace.main()
    out = capsys.readouterr().out
    assert f"document {whole.document:,}, read in step" in out
    line = next(line for line in out.splitlines() if f"document {whole.document:,}," in line)
    assert "2 (epoch 0)" in line and "Apache-2.0, synthesizer web grammar" in out


def test_an_index_of_other_data_is_made_again_and_a_damaged_one_is_named(
    shards: Path, tmp_path: Path
) -> None:
    for name in ("shards", "tokenizer"):
        shutil.copytree(shards.parent / name, tmp_path / name)
    own = tmp_path / "shards" / "web_en" / "train" / trace_index.FOLDER
    record = own / "index.json"
    before = record.read_text()
    record.write_text(before.replace(record.read_text().split('"')[5], "0" * 64))
    Tracer.of(tmp_path / "shards")
    assert "0" * 64 not in record.read_text()
    victim = own / "suffixes_00000.bin"
    victim.write_bytes(victim.read_bytes()[:-4])
    with pytest.raises(RecipeError, match="suffixes_00000.bin: damaged"):
        Tracer.of(tmp_path / "shards")
    with pytest.raises(RecipeError, match="neither a run"):
        Tracer.of(own)


def test_an_end_of_a_document_is_in_no_span(tracer: Tracer) -> None:
    texts = documents(tracer, "web_en")
    joined = texts[0][-30:] + texts[1][:30]
    assert all(len(span.text) < 60 for span in tracer.spans(joined, shortest=10))
    assert np.all([len(span.text) >= 10 for span in tracer.spans(joined, shortest=10)])


def test_bytes_that_are_no_utf8_are_in_no_span(tracer: Tracer) -> None:
    """The shell hands them over as lone surrogates, which cannot be encoded."""
    text = next(t for t in documents(tracer, "web_en") if "?" in t[40:-40])
    place = text.index("?", 40)
    asked = f"{text[place - 40 : place]}\udcff{text[place + 1 : place + 41]}"
    lines = list(tracer.report(asked, 20, 3))
    assert "81 characters, from character 0" in lines[0]
