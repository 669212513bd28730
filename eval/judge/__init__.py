"""Answers graded by a language model: two-turn questions, scores of 1 to 10, and comparisons.

`questions.py` reads what is asked, `answers.py` gets a model's answers, `verdicts.py` asks the
judge about them, `report.py` adds up. Requests go through `data_recipes.ask`, which keeps every
answer under a hash of all that decides it, so none is asked or paid for twice.
"""
