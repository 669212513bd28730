"""The two-stage difficulty filter: KORMo's Algorithm 1.

Kept are questions that solvers of different size get wrong, all of them, and that judges then agree
to call hard. A solver is asked only about what those before it left, and judges about what all of
them left: "wrong on both" is an intersection, so the order changes what is paid, and not what is
kept. An answer that cannot be read is not a wrong answer; see `verdicts`.
"""
