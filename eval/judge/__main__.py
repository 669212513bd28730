"""Answers to two-turn questions, graded by a language model behind an OpenAI-compatible server.

    python -m eval.judge --model runs/tiny/sft/final --set logickor_style \\
        --judge-url http://localhost:8000/v1 --judge-model NAME --out runs/tiny/judge
    python -m eval.judge --model http://host:8000/v1 --model-name A --against b_answers.jsonl …

Scores of 1 to 10 for every answer; with --against, which of two models answers better, asked twice
with places exchanged. Writes answers.jsonl, verdicts.jsonl and results.json. A run that was stopped
goes on without asking anything twice.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_recipes.ask import Endpoint, Sampling
from data_recipes.common.config_files import documented_parser, positive
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import DirectoryLock, open_staged, write_json_atomically
from data_recipes.common.terminal import run_command

from .answers import Answering, Answers, get_answers
from .questions import JudgeQuestion, JudgeSet, load_questions, load_set, published, set_names
from .report import format_pairwise, format_single, pairwise_report, single_report
from .verdicts import ask_judge, load_pairwise, load_single, pairwise, single


def _arguments() -> argparse.Namespace:
    parser = documented_parser(__doc__, "eval.judge")
    parser.add_argument("--out", type=Path, required=True, help="to write, or to go on in")
    parser.add_argument(
        "--set", required=True, help=f"{', '.join(set_names())}, or a YAML file like theirs"
    )
    parser.add_argument(
        "--questions", type=Path, help="JSONL of MT-Bench, KoMT-Bench or LogicKor, for the set's"
    )
    model = parser.add_argument_group("who answers")
    model.add_argument(
        "--model",
        required=True,
        help="model directory or Hub id, http://…/v1, or JSONL with `id` and `answers`",
    )
    model.add_argument("--model-name", help="of a server: which of its models")
    model.add_argument("--model-key-env", help="environment variable with the server's key")
    model.add_argument("--against", help="another model (like --model) to compare with")
    model.add_argument("--against-name", help="of a server: which of its models")
    model.add_argument("--thinking", choices=["on", "off"], help="of models that can")
    model.add_argument(
        "--max-tokens",
        type=positive,
        default=2048,
        help="of an answer, thoughts included (%(default)s)",
    )
    model.add_argument(
        "--batch",
        type=positive,
        default=8,
        help="questions at a time on this machine (%(default)s)",
    )
    judge = parser.add_argument_group("who judges")
    judge.add_argument("--judge-url", required=True, help="http://…/v1")
    judge.add_argument("--judge-model", required=True, help="name that the server knows it by")
    judge.add_argument("--judge-key-env", help="environment variable with the key")
    judge.add_argument("--judge-temperature", type=float, default=0.0, help="(%(default)s)")
    judge.add_argument(
        "--judge-max-tokens", type=positive, default=1024, help="of a verdict (%(default)s)"
    )
    judge.add_argument(
        "--concurrency",
        type=positive,
        default=8,
        help="requests under way to a server (%(default)s)",
    )
    return parser.parse_args()


def _answering(args: argparse.Namespace, model: str, name: str | None) -> Answering:
    return Answering(
        model=model,
        name=name,
        key_env=args.model_key_env,
        thinking={"on": True, "off": False}.get(args.thinking),
        max_tokens=args.max_tokens,
        batch=args.batch,
        concurrency=args.concurrency,
    )


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with open_staged(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _set(args: argparse.Namespace) -> JudgeSet:
    own = load_set(args.set)
    if args.questions is None:
        return own
    if not args.questions.is_file():
        raise RecipeError(f"--questions {args.questions}: no such file")
    return own.model_copy(update={"questions": args.questions})


def main() -> None:
    args = _arguments()
    own = _set(args)
    questions = load_questions(own.questions)
    if not args.judge_url.startswith(("http://", "https://")):
        raise RecipeError(f"--judge-url {args.judge_url}: an address like http://localhost:8000/v1")
    endpoint = Endpoint(
        base_url=args.judge_url,
        model=args.judge_model,
        api_key_env=args.judge_key_env,
        concurrency=args.concurrency,
        sampling=Sampling(temperature=args.judge_temperature, max_tokens=args.judge_max_tokens),
    )
    endpoint.key("judge")  # a missing key is found out before the answers are paid for
    with DirectoryLock(args.out, "--out"):
        print(_run(args, own, questions, endpoint))


def _run(
    args: argparse.Namespace, own: JudgeSet, questions: list[JudgeQuestion], endpoint: Endpoint
) -> str:
    """Get answers and verdicts, write them with the results; gives the report."""
    against = args.against is not None
    prompt = load_pairwise(own.pairwise) if against else load_single(own.single)
    ours = get_answers(_answering(args, args.model, args.model_name), questions, args.out)
    _keep_answers(args.out / "answers.jsonl", ours)
    if against:
        how = _answering(args, args.against, args.against_name)
        theirs = get_answers(how, questions, args.out)
        _keep_answers(args.out / "answers_against.jsonl", theirs)
        judgements = [j for q in questions for j in pairwise(prompt, q, ours[q.id], theirs[q.id])]
    else:
        judgements = [j for q in questions for j in single(prompt, q, ours[q.id])]
    verdicts = ask_judge(judgements, endpoint, prompt, args.out)
    _write_lines(args.out / "verdicts.jsonl", verdicts)
    if not against:
        report = single_report(verdicts, published(own.published), args.questions is None)
        text = format_single(report)
    else:
        report = pairwise_report(verdicts)
        text = format_pairwise(report)
    settings = {
        "set": args.set,
        "questions": str(own.questions),
        "model": args.model_name or args.model,
        "against": args.against_name or args.against,
        "judge": args.judge_model,
        "sampling": endpoint.sampling.fields(),
        "prompt": prompt.path.name,
    }
    write_json_atomically(args.out / "results.json", {"settings": settings, **report})
    return text


def _keep_answers(path: Path, answers: Answers) -> None:
    _write_lines(path, [{"id": key, "answers": given} for key, given in answers.items()])


if __name__ == "__main__":
    run_command(main, "eval")
