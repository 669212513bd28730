"""Chat with a model in the terminal.

    python -m recipes.chat MODEL
    python -m recipes.chat MODEL --thinking fold --temperature 0.6
    echo "안녕?" | python -m recipes.chat MODEL --thinking off

Lines that begin with a slash are commands; /help lists them. Ctrl-C stops an answer, and at the
prompt it quits.
"""

import sys
from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError
from data_recipes.common.references import check_model
from recipes.command_line import exit_on_error


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("model", help="model directory or Hub id")
    parser.add_argument("--thinking", choices=("show", "fold", "off"), default="show")
    parser.add_argument("--temperature", type=float, help="0 is greedy (0.6)")
    parser.add_argument("--top-p", type=float, help="share of probability to draw from (0.95)")
    parser.add_argument("--max-tokens", type=int, default=4096, help="of an answer, at most")
    parser.add_argument("--seed", type=int, help="makes answers repeatable")
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="RUN_OR_SHARDS",
        help="after each answer, say what of it stands in this training data (kormo trace)",
    )
    args = parser.parse_args()
    if (args.temperature or 0) < 0 or args.max_tokens < 1:
        raise RecipeError("need --temperature >= 0 and --max-tokens >= 1")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise RecipeError("need 0 < --top-p <= 1")
    check_model(args.model)

    # torch and transformers take seconds to load: a mistake above is told without them.
    from transformers import set_seed
    from transformers.utils.logging import disable_progress_bar

    from modeling_kormo.chat_config import TEMPERATURE, TOP_P
    from recipes.chat_screen import ChatScreen
    from recipes.chat_session import Chat, load_chat_model

    disable_progress_bar()
    if args.seed is not None:
        set_seed(args.seed)
    model, tokenizer = load_chat_model(args.model)
    screen = ChatScreen("fold" if args.thinking == "fold" else "show")
    if sys.stdin.isatty():
        import readline  # noqa: F401  (arrow keys and earlier lines in input())

        screen.say(f"{Path(args.model).name}: /help lists commands, Ctrl-C stops an answer")
    think = args.thinking != "off"
    temperature = TEMPERATURE if args.temperature is None else args.temperature
    top_p = TOP_P if args.top_p is None else args.top_p
    chat = Chat(model, tokenizer, screen, think, args.max_tokens, temperature, top_p)
    if args.trace:
        from recipes.engine.tracer import Tracer
        from recipes.trace import SHORTEST

        tracer = Tracer.of(args.trace)
        chat.after_answer = lambda text: screen.say(
            "\n".join(tracer.report(text, SHORTEST, number=3))
        )
    chat.run()


if __name__ == "__main__":
    exit_on_error(main)
