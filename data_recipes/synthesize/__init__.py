"""Text written by language models from seeds: prompts in several styles to several synthesizers.

Which style and which synthesizer a seed goes to is a function of the seed alone; every answer is
judged before it counts; every row says where it comes from.
"""
