"""Which evaluation items stand in the text that a checkpoint was trained on.

`lineage.py` follows a checkpoint back to the data of each of its stages, `corpora.py` reads that
data, `items.py` finds the evaluation sets, `search.py` looks for one in the other with the n-grams
of `data_recipes.decontaminate`, `report.py` says what was found, where, and by which stage.
"""
