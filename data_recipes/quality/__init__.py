"""Quality filter: a fastText classifier per language, its threshold, and the step that applies it.

The recipe is that of DCLM (arXiv 2406.11794, section 4.4; mlfoundations/dclm, `baselines`):
documents of a good source against raw web text, and of the incoming text the share that looks most
like the good source is kept.
"""
