"""Does a model answer what is not in the picture, and does it know it from the graph?

`ask.py` has it answer, also with pictures blanked or swapped; `blind.py` answers without looking;
`report.py` sets one beside the other.
"""
