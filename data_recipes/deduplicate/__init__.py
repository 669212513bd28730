"""Deduplication by Bloom filter, as in DCLM's BFF: which paragraphs and documents were seen before.

`config` says what can be asked for, `ngrams` cuts text into n-grams, `bloom` is the filter,
`old_both` decides, `rewrite` makes shards of the decisions, and `step` runs it all in order.
"""
