"""How varied synthetic text is, by synthesizer: the report that finds a collapse before training.

Stage 2 of KORMo collapsed when its Korean came from one synthesizer (paper section 4.3).
"""
