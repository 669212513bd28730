"""Decontamination: documents that share word n-grams with evaluation sets are removed or flagged.

The rule is GPT-3's (arXiv 2005.14165, appendix C): any n-gram of 13 words in common, upper and
lower case and punctuation aside. See `config.py` for what this project adds.
"""
