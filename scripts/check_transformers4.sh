#!/usr/bin/env bash
# Check that an exported Llama checkpoint gives the same logits and tokens under transformers 4,
# which many serving engines still ship, as under the transformers that wrote it.
#
#   scripts/check_transformers4.sh MODEL_DIRECTORY [VERSION]
#
# It makes a second virtual environment in a temporary directory; torch and numpy are those of the
# first. Not part of the tests: it downloads some 20 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1
version=${2:-4.57.3}
python=${PYTHON:-python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

$python -m recipes export --as llama --dtype float32 "$model" "$work/llama"
$python -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "transformers==$version" safetensors requests pyyaml regex tqdm filelock packaging
# Behind its own packages: torch, numpy and what they need, of the first environment.
shared=$($python -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
own=$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
echo "$shared" > "$own/zz_shared.pth"

cat > "$work/look.py" <<'PYTHON'
import json
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

directory, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
texts = ["우리나라의 수도는 서울이다.", "The capital, in 2024:\n\n12 + 30 = 42"]
ids = [tokenizer(text).input_ids for text in texts]
# Long enough for a wrong base of the rotary angles to show.
row = torch.arange(3, 3 + 200)[None] % model.config.vocab_size
with torch.no_grad():
    logits = model(row).logits[0]
chat = tokenizer.apply_chat_template([{"role": "user", "content": "안녕?"}], tokenize=False)
torch.save({"ids": ids, "logits": logits, "chat": chat, "stops": model.generation_config.eos_token_id,
            "special": sorted(tokenizer.all_special_tokens)}, out)
print(f"transformers {transformers.__version__}: {type(tokenizer).__name__}, sum of |logits| "
      f"{logits.abs().sum().item():.6f}")
PYTHON
$python "$work/look.py" "$work/llama" "$work/new.pt"
"$work/venv/bin/python" "$work/look.py" "$work/llama" "$work/old.pt"
$python - "$work/new.pt" "$work/old.pt" <<'PYTHON'
import sys

import torch

new, old = (torch.load(path) for path in sys.argv[1:])
differ = [name for name in ("ids", "chat", "stops", "special") if new[name] != old[name]]
gap = (new["logits"] - old["logits"]).abs().max().item()
print(f"largest difference of logits {gap:.1e}; differing: {', '.join(differ) or 'nothing'}")
sys.exit(bool(differ) or gap > 1e-4)
PYTHON
