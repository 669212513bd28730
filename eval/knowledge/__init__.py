"""Does a model answer what is not in the picture, and does it know it from the graph?

Asked, scored and laid out as all questions about pictures are (`eval/vision`), with another model
and two more who answer without looking.
"""
