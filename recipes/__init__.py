"""One script and one short YAML per training stage, and the small engine that they share."""

import os

# Threads of torch's CPU kernels wait for each other by spinning. On a busy machine that takes the
# CPU from those that they wait for, so they spin for a moment only, and then sleep: on an idle
# machine as fast, on a busy one twice as fast (docs/training.md). Read when torch loads, so it is
# set before anything here can load it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
