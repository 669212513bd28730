"""English items into Korean, with what must not change compared piece by piece.

A translation is fluent long before it is right: one digit, one brace or one option letter off, and
the answer of the item is no longer its answer. So every translated field is compared with its
source, a row with a flaw goes to another model, and what none of them gets right is set aside.
"""
