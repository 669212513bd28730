"""The experiment's old command, which names the new one."""

import sys

if __name__ == "__main__":
    sys.exit(
        "error: this is an experiment like any other now:\n"
        "  kormo experiment single_synthesizer --size tiny [--dry-run | --report]"
    )
