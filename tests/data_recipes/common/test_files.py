"""Run directories: one run at a time, settings that stay, results that are whole or absent."""

import errno
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    DirectoryLock,
    bind_settings,
    check_settings,
    disk_full_is_an_error,
    open_staged,
    staged_file,
    staged_folder,
    write_json_atomically,
)

_HOLD = """
import sys
from pathlib import Path
from data_recipes.common.files import DirectoryLock
with DirectoryLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_run_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout.readline() == b"held\n"
        for _ in range(2):  # the refused one must not wipe out the name of the holder
            with pytest.raises(RecipeError) as refused:
                DirectoryLock(out, "--out")
            holder = f"--out {out} is in use by process {first.pid} on {socket.gethostname()}"
            assert holder in str(refused.value)
        first.kill()
    with DirectoryLock(out):  # killed, it holds nothing any more
        pass


def test_a_lock_beside_other_files_is_removed_and_still_keeps_others_out(tmp_path: Path) -> None:
    """Also where one waits for a file that its holder then removes, and a third makes anew."""
    first, name = DirectoryLock(tmp_path, name=".out.lock"), ".out.lock"
    with ThreadPoolExecutor() as pool:
        second = pool.submit(DirectoryLock, tmp_path, name=name, wait=True)
        while len(_holders(tmp_path / name)) < 2:
            time.sleep(0.01)
        first.close()
        with second.result(), pytest.raises(RecipeError, match="is in use by process"):
            DirectoryLock(tmp_path, name=name)
    assert not list(tmp_path.iterdir())
    first.close()  # once more changes nothing


def _holders(path: Path) -> list[Path]:
    """This process's open files that are this one."""
    return [own for own in Path("/proc/self/fd").iterdir() if own.exists() and own.samefile(path)]


def test_a_lock_that_a_child_inherited_says_so(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    # As if whoever wrote this had died and left a worker behind.
    dead = multiprocessing.get_context("spawn").Process()
    dead.start()
    dead.join()
    (tmp_path / ".lock").write_text(
        json.dumps({"process": dead.pid, "host": socket.gethostname()}), encoding="utf-8"
    )
    with pytest.raises(RecipeError, match=f"a child of process {dead.pid} .* has ended"):
        DirectoryLock(tmp_path)
    (tmp_path / ".lock").write_text("", encoding="utf-8")  # the lock of an older version
    with pytest.raises(RecipeError, match="left no name"):
        DirectoryLock(tmp_path)
    lock.close()


@pytest.mark.parametrize("path", ["a" * 300, "file/run"])
def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="logging.output_dir .*: cannot be written to"):
        DirectoryLock(tmp_path / path, "logging.output_dir")


def test_settings_bind_once_something_is_finished(tmp_path: Path) -> None:
    def bind(**settings: object) -> None:
        bind_settings(tmp_path, settings, "delete it", ["done/*"])

    bind(seed=0, sources=("a",))
    bind(seed=1, sources=("a",))  # nothing is finished yet
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "0").touch()
    bind(seed=1, sources=("a",))
    with pytest.raises(RecipeError, match=r"other settings \(seed\); delete it\n  seed: was 1, is"):
        bind(seed=2, sources=("a",))
    (tmp_path / "settings.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecipeError, match="settings.json: damaged"):
        bind(seed=1, sources=("a",))


def test_without_patterns_the_first_settings_hold(tmp_path: Path) -> None:
    bind_settings(tmp_path, {"seed": 0}, "delete it")
    with pytest.raises(RecipeError, match="seed: was 0, is 1"):
        bind_settings(tmp_path, {"seed": 1}, "delete it")


def test_differences_are_named_by_their_dotted_keys() -> None:
    was = {"optimizer": {"learning_rate": 0.001, "gone": None}, "data": {"mixture": ["a"] * 100}}
    now = {"optimizer": {"learning_rate": 0.01}, "data": {"mixture": ["b"] * 100}, "new": {}}
    check_settings(Path("run"), was, {**was, "new": {"section": None}}, "x")  # unset: no difference
    with pytest.raises(RecipeError) as refused:
        check_settings(Path("run"), was, now, "undo the change")
    first, *lines = str(refused.value).splitlines()
    assert first == "run: holds work done with other settings (data, optimizer); undo the change"
    assert lines[0] == "  optimizer.learning_rate: was 0.001, is 0.01"
    assert lines[1].startswith("  data.mixture: was ['a'") and len(lines[1]) < 200
    with pytest.raises(RecipeError, match=r"\(new\); undo\n  new: was None, is {.section.: 1}"):
        check_settings(Path("run"), {"new": {}}, {"new": {"section": 1}}, "undo")


def test_staged_work_is_whole_or_absent(tmp_path: Path) -> None:
    folder, file = tmp_path / "new" / "folder", tmp_path / "new" / "file"
    (tmp_path / "new" / "folder.tmp").mkdir(parents=True)
    (tmp_path / "new" / "folder.tmp" / "half").touch()  # of a killed run
    with staged_folder(folder) as path, open_staged(file) as handle:
        (path / "a").write_text("1", encoding="utf-8")
        handle.write("가\n")
        assert not folder.exists() and not file.exists()
    assert [p.name for p in folder.iterdir()] == ["a"] and file.read_bytes() == "가\n".encode()
    with pytest.raises(KeyError), staged_folder(folder) as path, staged_file(file) as other:
        other.write_text("half", encoding="utf-8")
        raise KeyError
    assert (folder / "a").exists() and file.read_text(encoding="utf-8") == "가\n"
    with staged_folder(folder) as path:
        (path / "b").touch()
    assert [p.name for p in folder.iterdir()] == ["b"]  # replaced whole
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["file", "folder"]


def test_a_deletion_that_is_cut_short_leaves_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "final"
    with staged_folder(folder) as path:
        (path / "old").touch()

    def cut_short(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("data_recipes.common.files.shutil.rmtree", cut_short)
    with pytest.raises(KeyboardInterrupt), staged_folder(folder) as path:
        (path / "new").touch()
    assert [p.name for p in folder.iterdir()] == ["new"]


def test_files_can_be_read_by_whom_their_folder_lets_in(tmp_path: Path) -> None:
    """safetensors writes weights for their owner alone."""
    with staged_folder(tmp_path / "final") as path:
        path.chmod(0o755)
        (path / "weights").touch(mode=0o600)
    assert (tmp_path / "final" / "weights").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        # As safetensors says it, without a number.
        Exception("I/O error: No space left on device (os error 28)"),
        OSError("163840 requested and 55840 written"),  # numpy
    ],
)
def test_a_full_disk_is_one_line_with_path_and_remedy(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(RecipeError) as said, disk_full_is_an_error(tmp_path / "weights"):
        try:
            raise error
        except Exception as cause:  # a library that wraps it
            raise RuntimeError("could not save") from cause
    assert f"{tmp_path / 'weights'}: the disk is full" in str(said.value)
    assert "run the same command to go on" in str(said.value)
    with pytest.raises(RuntimeError, match="NCCL"), disk_full_is_an_error(tmp_path):
        raise RuntimeError("NCCL error")


def test_a_full_device_leaves_the_old_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    path = tmp_path / "record.json"
    write_json_atomically(path, {"a": 1})
    with pytest.raises(RecipeError, match="record.json: the disk is full"):
        with staged_file(path) as staged:
            staged.symlink_to("/dev/full")
            with staged.open("w") as handle:
                handle.write("x" * 100_000)
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]
