"""Configs of all stages; how a command runs one, and how it ends.

Loads no torch: mistakes are told at once.
"""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from safetensors import SafetensorError

from data_recipes.common.config_files import Invocation, Strict, load_config, parse_recipe
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import how_to_install

from .config import StageConfig
from .knowledge_config import KnowledgeVqaConfig
from .post.chat_config import DPOStageConfig, SFTStageConfig
from .post.grpo_config import GRPOStageConfig
from .post.vision_config import VisionAlignConfig, VisionSFTConfig, VisionTowerConfig

CONFIGS = Path(__file__).parent / "configs"
EXAMPLE = "optimizer.learning_rate=1e-3"
# Of stages that do not train on token shards.
SCHEMAS: dict[str, type[Strict]] = {
    "sft": SFTStageConfig,
    "dpo": DPOStageConfig,
    "grpo": GRPOStageConfig,
    "vision_tower": VisionTowerConfig,
    "vision_align": VisionAlignConfig,
    "vision_sft": VisionSFTConfig,
    "knowledge_vqa": KnowledgeVqaConfig,
}
# How long a failing rank waits for the first one's message, to be silent if it is the same.
_PATIENCE = timedelta(seconds=10)
# EX_TEMPFAIL of sysexits.h: nothing is wrong, and the same command goes on.
_STOPPED_STATUS = 75
_INTERRUPTED_STATUS = 128 + signal.SIGINT
# What a run is asked with to stop; see `StopOnSignal` in recipes/engine/progress.py.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):
    """A run was asked to stop, and its checkpoint is written (recipes/engine/progress.py)."""


def run_process(command: list[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a stage in a process of its own, which is stopped when this one is.

    Returns:
        Its exit status.

    Raises:
        Stopped: this process was asked to; so was the stage, and it has ended.
        OSError: it cannot be started.
    """
    asked = False
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if process is not None:
            process.send_signal(number)

    # Without, it would train on alone, in the way of the command that is to go on with it.
    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    try:
        process = subprocess.Popen(command, env=environment)
        if asked:  # before there was anything to pass it on to
            process.terminate()
        try:
            status = process.wait()
        except BaseException:  # Ctrl-C, which the stage was sent, too
            process.kill()
            process.wait()
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise Stopped("stopped by a signal, as the stage was; the same command goes on")
    return status


def load_stage(path: Path, stage: str, overrides: list[str] | None = None) -> Any:
    """Load the config of a stage in the schema of its kind.

    Raises:
        RecipeError: bad config.
    """
    return load_config(path, SCHEMAS.get(stage, StageConfig), overrides or [])


def parse_command_line(stage: str, description: str, argv: list[str] | None = None) -> Invocation:
    """Read the command line of a stage; see `parse_recipe`.

    Raises:
        RecipeError: bad config, or one of another stage.
    """
    return parse_recipe(CONFIGS, stage, SCHEMAS.get(stage, StageConfig), description, EXAMPLE, argv)


def cannot_write(error: BaseException) -> bool:
    """Whether an error is the system's refusal to write, which a user can mend."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
    return any(f"(os error {c})" in str(error) or getattr(error, "errno", None) == c for c in codes)


def _first_rank_says(rank: int, message: str) -> bool:
    """Tell the other ranks what the first one says; on those, whether it says the same.

    The store is the one that the launcher has open for the ranks to meet.
    """
    try:
        from torch.distributed import TCPStore

        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, None, False, _PATIENCE, wait_for_workers=False)
        key = "kormo_recipes_error"
        if rank == 0:
            store.set(key, message)
            return True
        return store.get(key).decode() == message
    except (KeyError, RuntimeError):
        # No launcher, or the first rank has nothing to say.
        return False


def _lost_rank(error: RuntimeError) -> str | None:
    """What an exchange between ranks says that failed; `None` for an error of another kind."""
    text = str(error)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    if re.search(r"[Tt]imed out|[Tt]imeout", text):
        return (
            "waited for another rank for as long as parallelism.timeout_minutes allows; that one "
            "hangs, has ended, or is slower: raise it in that case"
        )
    if re.search(r"[Cc]onnection (closed|reset|refused)|remote process exited", text):
        return "another rank has ended; what it said is the reason"
    return None


def _leave(message: str, status: int) -> NoReturn:
    """Say on the first rank why a command ends, and end it."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(message, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)  # as below


def exit_on_error(main: Callable[[], None]) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback.

    A run that a signal stopped ends with status 75 and one that Ctrl-C interrupted with 130. Of
    several ranks each says what happened to it, unless the first says the same.
    """
    try:
        main()
    except Stopped as stopped:
        _leave(str(stopped), _STOPPED_STATUS)
    except KeyboardInterrupt:
        _leave(
            "interrupted; the same command goes on from the last checkpoint", _INTERRUPTED_STATUS
        )
    except (RecipeError, OSError, SafetensorError, ImportError, RuntimeError) as error:
        mended = isinstance(error, ModuleNotFoundError) and how_to_install(error, "train")
        if isinstance(error, RuntimeError):
            mended = _lost_rank(error)
        # Of the others', those that a user can mend; any other is a bug to be traced.
        if not (isinstance(error, RecipeError) or mended or cannot_write(error)):
            raise
        sys.stderr.flush()
        rank, message = int(os.environ.get("RANK", "0")), mended or str(error)
        alone = int(os.environ.get("WORLD_SIZE", "1")) == 1 and rank == 0
        who = "" if alone else f"rank {rank} on {socket.gethostname()}: "
        if rank == 0:
            print(f"error: {who}{message}", file=sys.stderr, flush=True)
        told = alone or _first_rank_says(rank, message)
        if rank and not told:
            print(f"error: {who}{message}", file=sys.stderr, flush=True)
        # os._exit: a distributed peer may be waiting in a collective that will never complete.
        os._exit(1)
