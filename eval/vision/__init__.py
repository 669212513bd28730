"""Questions about pictures: how often a model is right, and how often it would be without looking.

Every figure stands beside what the same questions give with the picture blanked, with another
picture in its place, and to someone who reads the question alone.
"""
