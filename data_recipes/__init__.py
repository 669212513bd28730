"""Raw text to token shards: one module per step, one command per step."""
