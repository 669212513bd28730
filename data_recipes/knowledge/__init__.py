"""Graphs of facts with Korean and English names, and questions about pictures that need them.

`triples.py` says what a fact is; `world.py` (a small graph that ships) and `cldr.py` (reads Debian
packages) make graphs; `flags.py` draws what is asked about; `wordings.py` has the sentences,
`questions.py` asks and splits, `bokvqa.py` reads BOK-VQA's own files, and `command.py` writes it
all down.
"""
