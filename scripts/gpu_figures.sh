#!/usr/bin/env bash
# The figures of docs/performance.md, measured on one H100 or H200 in half an hour.
#
#   scripts/gpu_figures.sh OUT [STEP ...]
#
# Writes OUT/figures.json, and beside it one JSON and one log a step. A step that fails is named
# there and does not stop the others; one that has its JSON is not repeated. Steps, in order:
#   ceilings  rates of copies, products and the loss
#   numerics  packed attention, Liger and a stage on the GPU (tests/modeling_kormo/test_gpu.py)
#   eager compiled liger wide   1b beside transformers' Trainer with the same switches
#   profile   one compiled step of 1b by class of kernel
#   large     8 layers of 10b (6 on an H100)
#   long      1b in windows of 32,768 tokens, half of its layers recomputed
#   sharded   20 steps under FSDP2 on one rank beside one GPU: losses must agree
# Not here: SFT beside `trl sft`, generation, QLoRA, several GPUs.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD
python=${PYTHON:-python}

if [ $# -eq 0 ]; then
    echo "usage: scripts/gpu_figures.sh OUT [STEP ...]" >&2
    exit 2
fi
out=$(realpath -m "$1")
shift
all=(ceilings numerics eager compiled liger wide profile large long sharded)
steps=("$@")
if [ $# -eq 0 ]; then steps=("${all[@]}"); fi
for step in "${steps[@]}"; do
    if [[ ! " ${all[*]} " == *" $step "* ]]; then
        echo "error: no step $step; there are ${all[*]}" >&2
        exit 2
    fi
done
gpu=$($python -m scripts.gpu_ceilings)
echo "$gpu, commit $(git rev-parse --short HEAD)"
mkdir -p "$out"
# Kept between the processes, which would each compile for a minute.
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$out/inductor}

benchmark() {
    $python scripts/benchmark_training.py --rounds 1 --steps 6 --warmup 3 "$@"
}

# Losses of two runs of the tiny recipe, which makes its own data.
sharded() {
    local run
    for run in one_gpu one_node; do
        rm -rf "$out/sharded/$run"
        accelerate launch --config_file "recipes/configs/accelerate/$run.yaml" --num_processes 1 \
            recipes/stage1.py parallelism.precision=bf16 parallelism.require_gpu=true \
            logging.log_every=1 logging.eval_every_tokens=1_000_000_000 \
            schedule.total_tokens=163_840 logging.output_dir="$out/sharded/$run"
    done
    $python - "$out/sharded" "$1" <<'PYTHON'
import json
import sys
from pathlib import Path

root, out = map(Path, sys.argv[1:])
losses = {
    run: [line["loss"] for line in map(json.loads, (root / run / "metrics.jsonl").open()) if "loss" in line]
    for run in ("one_gpu", "one_node")
}
gap = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
out.write_text(json.dumps({"losses": losses, "largest_difference": gap}))
sys.exit(gap > 0.05)
PYTHON
}

measure() {
    local file=$2
    case $1 in
        ceilings) $python -m scripts.gpu_ceilings --out "$file" ;;
        numerics)
            $python -m pytest -q -m gpu tests/modeling_kormo/test_gpu.py --junitxml "$out/numerics.xml"
            echo '{"passed": true}' > "$file"
            ;;
        eager) benchmark --config 1b/stage1.yaml --accumulation 4 model.compile=false --out "$file" ;;
        compiled) benchmark --config 1b/stage1.yaml --accumulation 4 --out "$file" ;;
        liger)
            benchmark --config 1b/stage1.yaml --accumulation 4 model.compile=false model.liger=true --no-peer \
                --out "$file"
            ;;
        wide)
            benchmark --config 1b/stage1.yaml --accumulation 2 batch.micro_batch=8 --no-peer \
                --out "$file"
            ;;
        profile)
            $python -m scripts.gpu_profile --config 1b/stage1.yaml --accumulation 4 --steps 1 \
                --warmup 3 --no-peer --out "$file"
            ;;
        large)
            local layers=8
            if [[ $gpu == *H100* ]]; then layers=6; fi
            benchmark --config 10b/stage1.yaml "model.shape.num_hidden_layers=$layers" batch.micro_batch=2 \
                --accumulation 4 --no-peer --out "$file"
            ;;
        long) benchmark --config 1b/midtrain_long.yaml --accumulation 2 --no-peer --out "$file" ;;
        sharded) sharded "$file" ;;
    esac
}

failed=()
for step in "${steps[@]}"; do
    file=$out/$step.json
    if [ -s "$file" ]; then continue; fi
    echo "$step: $out/$step.log"
    # In a shell of its own with -e, which a condition would switch off.
    set +e
    (set -e; measure "$step" "$file") > "$out/$step.log" 2>&1
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        failed+=("$step")
        rm -f "$file"
        tail -n 3 "$out/$step.log" >&2
    fi
done

$python - "$out" "$gpu" "${failed[@]}" <<'PYTHON'
import json
import subprocess
import sys
from pathlib import Path

out, gpu, failed = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
found = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
found.pop("figures", None)
commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
figures = {"gpu": gpu, "commit": commit, "failed": failed, "steps": found}
(out / "figures.json").write_text(json.dumps(figures, indent=2))
PYTHON
echo "written to $out/figures.json"
if [ ${#failed[@]} -gt 0 ]; then
    echo "error: failed: ${failed[*]}" >&2
    exit 1
fi
