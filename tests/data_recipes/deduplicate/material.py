"""Texts with copies of every kind in them."""

import random

import pyarrow as pa

from data_recipes.engine.documents import SCHEMA

from ..hand_made import some_texts


def words(rng: random.Random, count: int, letters: str = "가나다라마바사아자차카타파하") -> str:
    """A paragraph of words that no other has, but for a chance of one in millions."""
    return " ".join("".join(rng.choices(letters, k=7)) for _ in range(count))


def with_copies(count: int, seed: int = 3) -> list[str]:
    """Korean and English documents; among them whole copies, near copies, and borrowed paragraphs.

    And some oddities: no text, white space alone, carriage returns, a copy within a document.
    """
    rng = random.Random(seed)
    texts = [
        "\n".join([text, *(words(rng, rng.randint(1, 40)) for _ in range(rng.randint(0, 3)))])
        for text in some_texts(count, seed)
    ]
    result: list[str] = []
    for text in texts:
        result.append(text)
        earlier = rng.choice(result)
        kind = rng.randrange(8)
        if kind == 0:
            result.append(earlier)
        elif kind == 1:
            result.append(words(rng, 20) + "\n" + rng.choice(earlier.split("\n")) + "\n\n끝.")
        elif kind == 2:
            changed = earlier.split(" ")
            for _ in range(rng.randint(1, 6)):
                changed[rng.randrange(len(changed))] = words(rng, 1)
            result.append(" ".join(changed))
        elif kind == 3:
            paragraph = words(rng, 30, "abcdefgh")
            result.append(f"\n{paragraph}\r\n{paragraph}\n{paragraph} {paragraph}")
        elif kind == 4:
            result.append(earlier.split("\n")[0] + "\n" + words(rng, rng.randint(5, 300)))
        elif kind == 5:
            result += ["\n".join(words(rng, 30) for _ in range(2))] * 2
    return [*result, "", " \n\u3000\n", "짧다", *result[:3]]


def batch_of(texts: list[str]) -> pa.RecordBatch:
    """The texts as a batch, with ids."""
    rows = {
        "id": [f"s/{i}" for i in range(len(texts))],
        "text": texts,
        "source": ["s"] * len(texts),
        "language": ["ko"] * len(texts),
        "metadata": ["{}"] * len(texts),
    }
    return pa.RecordBatch.from_pydict(rows, SCHEMA)
