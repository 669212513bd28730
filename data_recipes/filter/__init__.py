"""Heuristic filters: every statistic of a document measured once, then judged by a table of limits.

The statistics are those of Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1) and FineWeb
(Penedo et al. 2024, arXiv 2406.17557, section 3.6), with datatrove's decisions, and some of our own
where Korean needs them. A language's limits lie in `configs/languages/*.yaml`.
"""
