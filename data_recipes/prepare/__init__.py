"""The chain from text to token shards, as a data recipe describes it."""

# In the order of KORMo's pipeline: heuristics, BFF, fastText; then what evaluation must not see.
STEPS = ("read", "filter", "deduplicate", "quality", "decontaminate")
