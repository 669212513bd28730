"""Asks numbered questions, to be killed on the way: `ask_program ENDPOINT.json STORE COUNT`."""

import sys
from pathlib import Path

from data_recipes.ask import AnswerStore, Endpoint, Request, ask


def questions(count: int) -> list[Request]:
    return [Request("stub", [{"role": "user", "content": f"question {i}"}]) for i in range(count)]


if __name__ == "__main__":
    endpoint = Endpoint.model_validate_json(sys.argv[1])
    with AnswerStore(Path(sys.argv[2])) as answers:
        ask(questions(int(sys.argv[3])), {"stub": endpoint}, answers)
