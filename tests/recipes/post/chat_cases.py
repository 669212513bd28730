"""Conversations of every kind, and by hand what is rendered and which parts of it are learned."""

from data_recipes.read.conversations import Conversation, to_conversation

# A stretch of text, and whether it carries loss.
Golden = list[tuple[str, bool]]

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
_TOOL_TEXT = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    '{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}\n'
    "</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def says(text: str, reasoning: str | None = None) -> dict[str, str]:
    return {"role": "assistant", "content": text} | (
        {"reasoning_content": reasoning} if reasoning is not None else {}
    )


def conversation(*messages: dict, tools: list[dict] | None = None) -> Conversation:
    return to_conversation({"messages": list(messages), "tools": tools}, "case")


CASES: dict[str, tuple[Conversation, Golden]] = {
    "thinking": (
        conversation(user("1+2?"), says("It is 3.", "1+2=3\nso 3")),
        [
            ("<|BOT|>user\n1+2?<|EOT|>\n<|BOT|>assistant\n<think>\n", False),
            ("1+2=3\nso 3\n</think>\n\nIt is 3.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "not thinking": (
        conversation(user("1+2?"), says("It is 3.")),
        [
            ("<|BOT|>user\n1+2?<|EOT|>\n<|BOT|>assistant\n<think>\n\n</think>\n\n", False),
            ("It is 3.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "empty reasoning": (
        conversation(user("Hi"), says("Hello.", " \n ")),
        [
            ("<|BOT|>user\nHi<|EOT|>\n<|BOT|>assistant\n<think>\n\n</think>\n\n", False),
            ("Hello.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "reasoning in the content": (
        conversation(user("Hi"), says("<think>\nbe kind\n</think>\n\nHello.")),
        [
            ("<|BOT|>user\nHi<|EOT|>\n<|BOT|>assistant\n<think>\n", False),
            ("be kind\n</think>\n\nHello.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "several turns, first with, then without": (
        conversation(user("a?"), says("b.", "think of a"), user("c?"), says("d.")),
        [
            ("<|BOT|>user\na?<|EOT|>\n<|BOT|>assistant\nb.<|EOT|>", False),
            ("\n<|BOT|>user\nc?<|EOT|>\n<|BOT|>assistant\n<think>\n\n</think>\n\n", False),
            ("d.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "several turns, first without, then with": (
        conversation(user("a?"), says("b."), user("c?"), says("d.", "think of c")),
        [
            ("<|BOT|>user\na?<|EOT|>\n<|BOT|>assistant\nb.<|EOT|>", False),
            ("\n<|BOT|>user\nc?<|EOT|>\n<|BOT|>assistant\n<think>\n", False),
            ("think of c\n</think>\n\nd.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "system prompt": (
        conversation({"role": "system", "content": "Be brief."}, user("a?"), says("b.")),
        [
            ("<|BOT|>system\nBe brief.<|EOT|>\n<|BOT|>user\na?<|EOT|>\n", False),
            ("<|BOT|>assistant\n<think>\n\n</think>\n\n", False),
            ("b.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "tools": (
        conversation(
            user("1+2?"),
            says("", "use add")
            | {"tool_calls": [{"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}]},
            {"role": "tool", "content": "3"},
            says("3입니다."),
            tools=TOOLS,
        ),
        [
            (f"<|BOT|>system\n{_TOOL_TEXT}<|EOT|>\n", False),
            ("<|BOT|>user\n1+2?<|EOT|>\n<|BOT|>assistant\n<think>\n", False),
            (
                'use add\n</think>\n\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n'
                "</tool_call><|EOT|>",
                True,
            ),
            ("\n<|BOT|>user\n<tool_response>\n3\n</tool_response><|EOT|>\n", False),
            ("<|BOT|>assistant\n<think>\n\n</think>\n\n", False),
            ("3입니다.<|EOT|>", True),
            ("\n", False),
        ],
    ),
    "Korean cut into bytes": (
        conversation(user("뷁쉙?"), says("똠방각하 뷁.", "쉙은 뷁이다")),
        [
            ("<|BOT|>user\n뷁쉙?<|EOT|>\n<|BOT|>assistant\n<think>\n", False),
            ("쉙은 뷁이다\n</think>\n\n똠방각하 뷁.<|EOT|>", True),
            ("\n", False),
        ],
    ),
}

# The same template with one mistake each, and a case that shows it.
MISTAKES: dict[str, tuple[str, str, str]] = {
    "<think> is learned": (
        "{{- '<think>\\n' -}}\n            {%- generation -%}{{- reasoning",
        "{%- generation -%}{{- '<think>\\n' ~ reasoning",
        "thinking",
    ),
    "the empty block is learned": (
        "{{- '<think>\\n\\n</think>\\n\\n' -}}\n            {%- generation -%}{{- answer -}}",
        "{%- generation -%}{{- '<think>\\n\\n</think>\\n\\n' ~ answer -}}",
        "not thinking",
    ),
    "<|EOT|> is not learned": (
        "{{- reasoning ~ '\\n</think>\\n\\n' ~ answer -}}{%- endgeneration -%}",
        "{{- reasoning ~ '\\n</think>\\n\\n' ~ content -}}{%- endgeneration -%}{{- '<|EOT|>' -}}",
        "thinking",
    ),
    "</think> is not learned": (
        "{%- generation -%}{{- reasoning ~ '\\n</think>\\n\\n' ~ answer -}}",
        "{{- reasoning ~ '\\n</think>\\n\\n' -}}{%- generation -%}{{- answer -}}",
        "Korean cut into bytes",
    ),
    "the header is learned": (
        "{{- '<|BOT|>assistant\\n' -}}",
        "{%- generation -%}{{- '<|BOT|>assistant\\n' -}}{%- endgeneration -%}",
        "several turns, first with, then without",
    ),
    "earlier turns are learned": (
        "{{- answer -}}\n        {%- elif reasoning -%}",
        "{%- generation -%}{{- answer -}}{%- endgeneration -%}\n        {%- elif reasoning -%}",
        "several turns, first without, then with",
    ),
}
