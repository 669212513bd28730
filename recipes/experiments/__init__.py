"""Experiments: arms that differ in named settings, on the same seeds, measured by one ruler."""
