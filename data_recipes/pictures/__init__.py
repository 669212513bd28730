"""Pictures with text in several languages whose truth is known, because they were composed.

A scene says what stands where, in which colour, how often, by day or night, in which season. From
it come the picture (`compose`), captions, and questions with exact answers (`questions`) in the
words of a language table (`language`). Cut-outs are the project's own drawings (`shapes`), or what
a Debian machine has (`emoji`, `stamps`).
"""
