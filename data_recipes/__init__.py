"""Raw text to token shards: one module per step, one command per step."""

import sys

# Every command comes by here, before it imports what Windows lacks (fcntl, forks). The model alone,
# `modeling_kormo`, runs there.
if sys.platform == "win32":
    sys.exit("error: KORMo Recipes run on Linux and macOS; on Windows use WSL (docs/install.md)")
