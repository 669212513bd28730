"""Needle in a haystack: does a model find a fact again that stands somewhere in a long text?

Lengths by depths, in Korean and English, with one or several facts to find and near-identical ones
to tell apart. `styles.py` writes facts and questions, `haystack.py` cuts texts to exact lengths,
`cases.py` puts both together, `measure.py` asks the model, `report.py` draws and sums up.
"""
