"""The chain from text to token shards, as a data recipe describes it."""

# Personal data are masked first, so that no later step sees them. Then in the order of KORMo's
# pipeline: heuristics, BFF, fastText; then what evaluation must not see.
STEPS = ("read", "personal", "filter", "deduplicate", "quality", "decontaminate")
