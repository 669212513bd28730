"""Processes that the tests start: a stage under FSDP2 on CPU, and one fixed batch over ranks."""

import importlib
import json
import os
import resource
import signal
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch


def use_fsdp2() -> None:
    """Have the stages of this process take accelerate's real FSDP2 path, on gloo.

    On CPU accelerate takes FSDP for DDP without a word; claiming a GPU type of launch keeps it from
    doing so, and everything after that is the code that runs on GPUs.
    """
    os.environ |= {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_RESHARD_AFTER_FORWARD": "true",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    }
    if "RANK" not in os.environ:  # one rank, as a launcher would start it
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    from recipes import arguments

    one_device = arguments.one_device

    def as_if_on_gpus(args):
        args = one_device(args)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
        return args

    for module in list(sys.modules.values()):  # a stage's arguments may be loaded already
        if getattr(module, "one_device", None) is one_device:
            module.one_device = as_if_on_gpus


def run_fsdp_stage() -> None:
    """A stage, that of `TEST_STAGE` or else `stage1.py`, under FSDP2."""
    use_fsdp2()
    from accelerate.utils import DistributedType

    from recipes.command_line import exit_on_error
    from recipes.engine.trainer import PretrainTrainer

    run = PretrainTrainer.run

    def check_sharding(self, *args):
        run(self, *args)
        assert self.accelerator.distributed_type == DistributedType.FSDP
        weight = self.model_wrapped.lm_head.weight
        assert weight.dtype == torch.float32 and type(weight).__name__ == "DTensor"
        if self.config.parallelism.precision == "bf16":
            policy = self.accelerator.state.fsdp_plugin.mixed_precision_policy
            assert policy.reduce_dtype == torch.float32
        if self.is_world_process_zero():
            print(f"sharded over {tuple(weight.device_mesh.shape)}", flush=True)

    PretrainTrainer.run = check_sharding
    if "TEST_WRITE_LATE" in os.environ:
        write_late()
    if "TEST_FEW_TASKS" in os.environ:
        ask_few_tasks()
    spy_on_dtypes()
    stage = os.environ.get("TEST_STAGE", "stage1")
    exit_on_error(importlib.import_module(f"recipes.{stage}").main)


def ask_few_tasks() -> None:
    """Have an evaluation in mid-training ask one task with choices and one with answers written."""
    from eval import plan

    make = plan.make_plan
    plan.make_plan = lambda *_: make([], ["kmmlu_mini_calendar", "ko_reasoning_mini"])


def write_late() -> None:
    """Have the shards of `checkpoint-3` be written when step 5 is logged, and all others never."""
    from torch.distributed.checkpoint import FileSystemWriter

    from recipes.engine.metrics import read_metrics

    write = FileSystemWriter.write_data

    def late(self, *args):
        checkpoint = Path(self.path).parent
        last = 5 if checkpoint.name == "checkpoint-3" else 99
        while not any(line["step"] >= last for line in read_metrics(checkpoint.parents[1])):
            time.sleep(0.02)
        return write(self, *args)

    FileSystemWriter.write_data = late


def run_and_record() -> None:
    """`stage1.py`, whose collator adds the windows that it is given to a file of `RECORD_DIR`."""
    from recipes import build, stage1
    from recipes.command_line import exit_on_error
    from recipes.engine.windows_data import PackedCollator

    path = Path(os.environ["RECORD_DIR"]) / f"{os.environ.get('RANK', '0')}.jsonl"

    class Recording(PackedCollator):
        def __call__(self, windows):
            with path.open("a") as file:
                for window in windows:
                    file.write(json.dumps(window.tokens.tolist()) + "\n")
            return super().__call__(windows)

    make = build.build_collator
    build.build_collator = lambda *args: Recording(**vars(make(*args)))
    del sys.argv[1]
    exit_on_error(stage1.main)


def fix_completions() -> None:
    """Have GRPO score completions of many lengths that the prompt and the place in its group alone
    decide: what ranks sample differs.
    """
    import random

    from recipes.post.reward_trainer import RewardTrainer

    def generate(self, prompt_ids, images, fields, num_generations, **_):
        tokenizer, found = self.processing_class, []
        end = tokenizer.convert_tokens_to_ids("</think>")
        for place, ids in enumerate(prompt_ids, self.accelerator.process_index * len(prompt_ids)):
            rng = random.Random(f"{ids}/{place % num_generations}")
            said = [[rng.randrange(5, 250) for _ in range(rng.randrange(1, 5))] for _ in range(2)]
            found.append([*said[0], end, *said[1], tokenizer.eos_token_id])
        return found, None

    RewardTrainer._generate_single_turn = generate


def run_chat_stages() -> None:
    """Stages in the same processes; each argument is the JSON of a stage's name and arguments."""

    import torch.distributed as dist

    from recipes.command_line import exit_on_error

    end = dist.destroy_process_group
    dist.destroy_process_group = lambda: None  # the next stage needs the group, too
    for command in map(json.loads, sys.argv[2:]):
        sys.argv = command
        exit_on_error(importlib.import_module(f"recipes.{command[0]}").main)
    end()


def run_on_a_full_disk() -> None:
    """`stage1.py` under a limit to the size of files: a write fails where a full disk fails it."""
    from recipes import stage1
    from recipes.command_line import exit_on_error

    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, 100 * 1024))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    del sys.argv[1]
    exit_on_error(stage1.main)


def run_fsdp_chat_stages() -> None:
    """As `run_chat_stages`, under FSDP2; says how references are sharded, and log-ratios."""
    use_fsdp2()
    from torch.distributed.fsdp import FSDPModule

    from recipes.post.measurements import ChatMeasurements

    check, seen = ChatMeasurements.check_reference, set()

    def look(self, ratios, log_probs):
        check(self, ratios, log_probs)
        if self.state.global_step == 0:
            largest = ratios.abs().max().item()
            # One write, as all ranks write to one pipe.
            said = f"{type(self).__name__} log-ratios of {len(ratios)} answers: {largest}\n"
            print(said, end="", flush=True)
        if type(self) not in seen:
            seen.add(type(self))
            for name, model in (("model", self.model), ("reference", self.ref_model)):
                parts = [type(m).__name__ for m in model.modules() if isinstance(m, FSDPModule)]
                policy = model._get_fsdp_state()._mp_policy
                said = f"{type(self).__name__} {name}: {sorted(parts)} {policy}\n"
                print(said, end="", flush=True)

    ChatMeasurements.check_reference = look
    run_chat_stages()


def spy_on_dtypes() -> None:
    """Print once what arrives in the layers: hidden states, queries and rotary cosines."""
    from modeling_kormo import modeling_kormo

    original = modeling_kormo.apply_rotary_pos_emb
    forward = modeling_kormo.KORMoDecoderLayer.forward
    seen: dict[str, torch.dtype] = {}

    def rotate(q, k, cos, sin, *args):
        if "queries" not in seen:
            seen.update(queries=q.dtype, cosines=cos.dtype)
            if os.environ["RANK"] == "0":
                shown = (f"{name} {str(t).removeprefix('torch.')}" for name, t in seen.items())
                print("dtypes", ", ".join(shown), flush=True)
        return original(q, k, cos, sin, *args)

    def layer(self, hidden, *args, **kwargs):
        seen.setdefault("hidden", hidden.dtype)
        return forward(self, hidden, *args, **kwargs)

    modeling_kormo.apply_rotary_pos_emb = rotate
    modeling_kormo.KORMoDecoderLayer.forward = layer


def run_fixed_batch(output: Path, micro_batch: int) -> None:
    """Two steps on one batch with ragged masks, one of its windows fully masked.

    Prints nothing; writes losses and weights.
    """
    from modeling_kormo import KORMoConfig, KORMoForCausalLM
    from recipes.arguments import training_arguments
    from recipes.engine.metrics import Throughput
    from recipes.engine.trainer import PretrainTrainer
    from recipes.engine.windows_data import BitsPerByte, PackedCollator
    from recipes.pretrain import plan_steps
    from tests.recipes.engine.test_trainer import FIXED_BATCH, fixed_config, fixed_windows

    config = fixed_config(output.with_suffix(""), micro_batch)
    steps = plan_steps(config)
    args = training_arguments(config, steps)
    torch.manual_seed(0)
    model = KORMoForCausalLM._from_config(
        KORMoConfig(**config.model.shape.model_dump()), attn_implementation="varlen"
    )

    class Windows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return steps.total * FIXED_BATCH

        def __getitem__(self, index: int):
            return fixed_windows()[index % FIXED_BATCH]

    class NoMeasurement(BitsPerByte):
        def __init__(self) -> None:
            self.windows = []

        def __call__(self, *args, **kwargs) -> tuple[dict[str, float], ...]:
            return {}, {}, {}

    Path(args.output_dir).mkdir(parents=True, exist_ok=True)
    trainer = PretrainTrainer(
        model, args, config, Windows(), NoMeasurement(), Throughput(1.0, None), PackedCollator()
    )
    trainer.run(None, 0)
    if trainer.is_world_process_zero():
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        weights = torch.cat([p.detach().flatten() for p in model.parameters()]).double().numpy()
        np.save(output.with_suffix(".npy"), weights)
        output.write_text(json.dumps(losses))


def load_parents() -> None:
    """Load a parent as stages do, under FSDP2; say how much memory it takes on each rank.

    Arguments: the overrides of a tiny stage 1, which name the parent.
    """
    use_fsdp2()
    import psutil

    from data_recipes.common.config_files import load_config
    from recipes.arguments import start_processes
    from recipes.build import build_model, build_tokenizer
    from recipes.command_line import CONFIGS
    from recipes.config import StageConfig
    from recipes.post.model import load_model

    config = load_config(CONFIGS / "tiny" / "stage1.yaml", StageConfig, sys.argv[2:])
    start_processes(config.parallelism.timeout_minutes)
    tokenizer, own = build_tokenizer(config), psutil.Process()
    loaders = {
        "stage": lambda: build_model(config, tokenizer),
        "chat": lambda: load_model(config.model.init_from, config.model.attention),
    }
    kept = []  # or the second would be put where the first was, and seem to take nothing
    for name, load in loaders.items():
        before = own.memory_info().rss
        model = load()
        kept.append(model)
        grown = own.memory_info().rss - before
        size = sum(p.numel() * 4 for p in model.parameters())
        # One write, as all ranks write to one pipe.
        print(f"{name} rank {os.environ['RANK']}: {grown / size:.2f}\n", end="", flush=True)
        ends = model.generation_config.eos_token_id
        assert ends == tokenizer.eos_token_id, (name, ends)
    torch.distributed.destroy_process_group()


def read_a_dead_disk(seconds: float) -> None:
    time.sleep(seconds)


def hang() -> None:
    """Two ranks, the second of which hangs; arguments: where, and the output directory.

    In `training`, what watches a run should end both; in `waiting`, torch's own timeout does.
    """
    from types import SimpleNamespace

    from accelerate import PartialState

    from recipes.arguments import start_processes
    from recipes.command_line import exit_on_error
    from recipes.engine.progress import train_until_stopped

    where, output, second = sys.argv[2], sys.argv[3], os.environ["RANK"] == "1"

    def exchange(**_: object) -> None:
        if second:
            read_a_dead_disk(60)
        torch.distributed.all_reduce(torch.zeros(1))

    def main() -> None:
        start_processes(timeout_minutes=5 if where == "training" else 3 / 60)
        if where == "waiting":
            exchange()
        args = SimpleNamespace(world_size=2, ddp_timeout=4, output_dir=output)
        trainer = SimpleNamespace(
            args=args, accelerator=PartialState(), add_callback=lambda callback: None
        )
        trainer.accelerator.reduce, trainer.train = None, exchange
        train_until_stopped(trainer, None)

    exit_on_error(main)


def fail() -> None:
    """Ranks that end in an error; the argument is what each says, the first's first."""
    from data_recipes.common.errors import RecipeError
    from recipes import command_line
    from recipes.command_line import exit_on_error

    if "waits" in sys.argv:  # it is waited for in vain
        command_line._PATIENCE = timedelta(seconds=1)

    def main() -> None:
        message = sys.argv[2:][int(os.environ["RANK"])]
        if message == "waits":
            time.sleep(60)
        raise RecipeError(message)

    exit_on_error(main)


if __name__ == "__main__":
    if sys.argv[1] == "fail":
        fail()
    elif sys.argv[1] == "hang":
        hang()
    elif sys.argv[1] == "load-parents":
        load_parents()
    elif sys.argv[1] == "fixed-batch":
        for number in sys.argv[3:]:
            run_fixed_batch(Path(sys.argv[2]) / f"{number}.json", int(number))
    elif sys.argv[1] == "chat-stages":
        fix_completions()
        run_chat_stages()
    elif sys.argv[1] == "fsdp-chat-stages":
        run_fsdp_chat_stages()
    elif sys.argv[1] == "record":
        run_and_record()
    elif sys.argv[1] == "full-disk":
        run_on_a_full_disk()
    else:
        run_fsdp_stage()
