"""Write a model as a Llama, LLaVA, GGUF or portable KORMo checkpoint.

    kormo export --as llama runs/tiny/sft/final exported/llama
    kormo export --as kormo runs/1b/stage1/checkpoint-1000 exported/step1000
    kormo export --as gguf --adapter runs/lora/final KORMo-Team/KORMo-10B-base exported/gguf

`--as llama` writes a plain `LlamaForCausalLM` checkpoint, which serving engines and other tools
read without knowing KORMo; `--as llava` the same of a model that sees; `--as gguf` writes
`OUT/model.gguf` for llama.cpp; `--as kormo` loads with `trust_remote_code` where this package is
not installed. A checkpoint of a run is put together first if FSDP2 has sharded it.
"""

from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import errors_about
from data_recipes.common.references import check_model
from recipes.command_line import exit_on_error
from recipes.model_files import check_new, new_model


def export_command(argv: list[str] | None = None) -> None:
    """Read the arguments, then export into a folder that appears under its name when whole.

    Raises:
        RecipeError: a model that cannot be exported, a folder that is not empty or that another
            export is writing, a full disk.
    """
    parser = documented_parser(__doc__)
    parser.add_argument(
        "--as", dest="layout", choices=("llama", "llava", "kormo", "gguf"), required=True
    )
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="LoRA adapter to merge first")
    parser.add_argument("model", help="model directory or Hub id")
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    out: Path = args.out
    check_new(out)
    check_model(args.model)

    # torch and transformers take seconds to load: a mistake above is told without them.
    import torch
    from transformers.utils.logging import disable_progress_bar

    from modeling_kormo.export import export
    from recipes.engine.checkpoint_weights import as_model

    disable_progress_bar()
    with new_model(out, "OUT") as staging:
        with errors_about(args.model):
            dtype = getattr(torch, args.dtype)
            # Put together where the result goes: there is room for it there.
            with as_model(args.model, staging) as model:
                export(model, staging, args.layout, dtype, args.adapter)
    print(f"{out}: {args.layout} layout, {args.dtype}")


if __name__ == "__main__":
    exit_on_error(export_command)
