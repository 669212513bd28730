"""Answers graded by a language model: two-turn questions, scores of 1 to 10, and comparisons.

`sets.py` and `questions.py` read what is asked, `answers.py` gets a model's answers, `prompts.py`
writes what the judge reads, `verdicts.py` reads what it wrote, `run.py` asks it, `report.py` adds
up. Requests go through `data_recipes.ask`, which keeps every verdict under a hash of all that
decides it, so none is asked or paid for twice.
"""
