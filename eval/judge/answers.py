"""A model's answers to two-turn questions: from a file, a server, or a model on this machine."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_recipes.ask import Answer, AnswerStore, Endpoint, Request, Sampling, answers_to, ask
from data_recipes.ask.exchange import break_control_tokens
from data_recipes.common.errors import RecipeError
from data_recipes.common.line_log import LineLog, batches
from data_recipes.read.conversations import read_rows

from ..local_model import (
    check_chat_template,
    generate,
    greedy,
    load_model,
    load_tokenizer,
    model_identity,
    template_identity,
)
from .questions import TURNS, JudgeQuestion

Answers = dict[str, list[str]]
Conversation = tuple[str, list[dict[str, str]]]  # what is asked, for messages, and its messages
_MODEL, _STORE = "model", "answers"
_BEGUN, _THOUGHT = "<think>", "</think>"


@dataclass(frozen=True)
class Answering:
    """How a model answers.

    Attributes:
        model: JSONL file of answers, address of an OpenAI-compatible server, model directory or
            Hub id.
        name: what the server calls the model.
        key_env: environment variable with the server's key.
        thinking: whether to think first, the thoughts are not judged; `None` is what a server does
            of itself, and no on this machine.
        max_tokens: of an answer, thoughts included.
        batch: questions at a time, on this machine.
        concurrency: questions at a time, from a server.
    """

    model: str
    name: str | None
    key_env: str | None
    thinking: bool | None
    max_tokens: int
    batch: int
    concurrency: int


def get_answers(how: Answering, questions: list[JudgeQuestion], out: Path) -> Answers:
    """Get answers to all questions; what is in `out` already is not asked again.

    Raises:
        RecipeError: answers are missing, or the model cannot be had.
    """
    if how.model.startswith(("http://", "https://")):
        return _from_server(how, questions, out)
    if how.model.endswith(".jsonl"):
        return _from_file(Path(how.model), questions)
    return _from_local(how, questions, out)


def _from_file(path: Path, questions: list[JudgeQuestion]) -> Answers:
    answers: Answers = {}
    for where, row in read_rows(str(path)):
        # `answer` is what `kormo eval vision` writes.
        given = row.get("answers", [row["answer"]] if "answer" in row else None)
        texts = isinstance(given, list) and all(isinstance(text, str) for text in given)
        if not texts or "id" not in row:
            raise RecipeError(f"{where}: a row has an `id` and `answers`, a list of texts")
        if str(row["id"]) in answers:
            raise RecipeError(
                f"{where}: answers to question {row['id']!r} are there twice; keep one"
            )
        answers[str(row["id"])] = given
    for question in questions:
        count = len(answers.get(question.id, question.turns))
        if count != len(question.turns):
            raise RecipeError(
                f"{path}: {count} answers to question {question.id!r}, which has "
                f"{len(question.turns)} turns"
            )
    missing = [q.id for q in questions if q.id not in answers]
    if missing:
        raise RecipeError(
            f"{path}: no answers to {len(missing):,} of {len(questions):,} questions, the first is "
            f"{missing[0]!r}"
        )
    return {q.id: answers[q.id] for q in questions}


def behind_thoughts(text: str) -> str:
    """Return what stands behind the thoughts; nothing if they never ended."""
    behind = text.rpartition(_THOUGHT)[2]
    return "" if _BEGUN in behind else behind


def _turns(
    questions: list[JudgeQuestion], answer: Callable[[list[Conversation]], list[str]]
) -> Answers:
    """Get all first answers, then all second ones, each with the conversation before it.

    No token of a chat format in a text can end its turn or begin another.
    """
    if seen := next((q.id for q in questions if len(q.turns) < TURNS), None):
        raise RecipeError(
            f"question {seen!r} is about a picture, which nothing here shows to a model: have it "
            "answered by `kormo eval vision`, and name its answers (JSONL)"
        )
    answers: Answers = {q.id: [] for q in questions}
    for turn in range(TURNS):
        conversations = []
        for question in questions:
            messages = []
            for said, given in zip(question.turns, answers[question.id]):
                messages += [
                    {"role": "user", "content": break_control_tokens(said)},
                    {"role": "assistant", "content": break_control_tokens(given)},
                ]
            asked = break_control_tokens(question.turns[turn])
            messages.append({"role": "user", "content": asked})
            conversations.append((f"{question.id}, turn {turn + 1}", messages))
        for question, text in zip(questions, answer(conversations), strict=True):
            answers[question.id].append(behind_thoughts(text).strip())
    return answers


def _from_server(how: Answering, questions: list[JudgeQuestion], out: Path) -> Answers:
    if not how.name:
        raise RecipeError("--model is a server: say with --model-name which of its models answers")
    extra: dict[str, Any] = {}
    if how.thinking is not None:  # servers other than vLLM and SGLang may not know this
        extra = {"chat_template_kwargs": {"enable_thinking": how.thinking}}
    endpoint = Endpoint(
        base_url=how.model,
        model=how.name,
        api_key_env=how.key_env,
        concurrency=how.concurrency,
        sampling=Sampling(temperature=0, max_tokens=how.max_tokens, extra=extra),
    )

    def answer(conversations: list[Conversation]) -> list[str]:
        given = ask_all(_MODEL, endpoint, [messages for _, messages in conversations], out / _STORE)
        problems = [
            f"{name}: {one.error}"
            for (name, _), one in zip(conversations, given)
            if one.status != "answered"
        ]
        if problems:
            raise RecipeError(
                f"{endpoint.base_url}: {len(problems):,} questions were not answered, the first: "
                f"{problems[0]}. Look at the server, and run the same command to go on"
            )
        return [one.text for one in given]

    return _turns(questions, answer)


def ask_all(
    name: str, endpoint: Endpoint, conversations: list[list[dict[str, str]]], folder: Path
) -> list[Answer]:
    """Ask a model about each conversation; what is in the store already is not asked again.

    Args:
        name: of the model in the store.
        endpoint: where it is.
        conversations: messages of each.
        folder: of the store.

    Raises:
        RecipeError: the model cannot be reached.
    """
    requests = [Request(name, messages) for messages in conversations]
    with AnswerStore(folder) as store:
        ask(requests, {name: endpoint}, store, total=len(requests))
        return [answer for _, answer in answers_to(requests, {name: endpoint}, store)]


def _from_local(how: Answering, questions: list[JudgeQuestion], out: Path) -> Answers:
    log = LineLog(
        out / _STORE / "local.jsonl",
        "delete this line alone: its answer is made again, and all others are kept",
    )
    known = {row["key"]: row["answer"] for row in log.rows()}
    asked = [bool(how.thinking), how.max_tokens, template_identity(how.model)]
    settings = [model_identity(how.model), *asked]
    loaded: list[Callable[[list[list[dict[str, str]]]], list[str]]] = []

    def answer(conversations: list[Conversation]) -> list[str]:
        # A hash of all that decides an answer.
        keys = [
            hashlib.sha256(json.dumps([settings, messages]).encode()).hexdigest()
            for _, messages in conversations
        ]
        missing = [n for n, key in enumerate(keys) if key not in known]
        if missing and not loaded:
            loaded.append(_generator(how))
        turn = conversations[0][0].rpartition(", ")[2]
        parts = list(batches(missing, how.batch))
        with log:
            for part in tqdm(parts, desc=turn, file=sys.stderr):
                texts = loaded[0]([conversations[n][1] for n in part])
                for n, text in zip(part, texts, strict=True):
                    known[keys[n]] = text
                    log.add({"key": keys[n], "question": conversations[n][0], "answer": text})
        return [known[key] for key in keys]

    return _turns(questions, answer)


def _generator(how: Answering) -> Callable[[list[list[dict[str, str]]]], list[str]]:
    tokenizer = load_tokenizer(how.model)
    check_chat_template(tokenizer, how.model)
    model = load_model(how.model)
    generation = greedy(model, how.max_tokens)

    def answer(conversations: list[list[dict[str, str]]]) -> list[str]:
        inputs = tokenizer.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            enable_thinking=bool(how.thinking),
            padding=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        # Special tokens stay: `</think>` is one of some tokenizers, and ends the thoughts.
        texts = [tokenizer.decode(row) for row in generate(model, generation, inputs)]
        # Thoughts that were not finished are no answer.
        return ["" if how.thinking and _THOUGHT not in text else text for text in texts]

    return answer
