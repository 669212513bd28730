"""Sentences of the conversations: greetings, facts about the user, system prompts, tools."""

from typing import Any

# (what the user says, what the assistant says)
SMALL_TALK: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Hello!", "Hello! How can I help you?"),
        ("Good morning.", "Good morning! What would you like to do today?"),
        ("How are you?", "I am fine, thank you. How can I help you?"),
        ("I am a little tired today.", "A short rest may help. Would a small riddle be nice?"),
        ("What can you do?", "I can answer questions, count, compare and talk with you."),
        ("Do you like numbers?", "Yes. I like to work with numbers step by step."),
        ("It is raining here.", "Then it is a good day to stay inside and read."),
        ("I am learning Korean.", "That is great. A few words every day help a lot."),
        ("Tell me something about the sea.", "The sea is salty, and it covers most of the earth."),
        ("Why is sleep important?", "While we sleep, the body rests and we keep what we learned."),
    ),
    "ko": (
        ("안녕하세요!", "안녕하세요! 무엇을 도와드릴까요?"),
        ("좋은 아침입니다.", "좋은 아침입니다! 오늘은 무엇을 하고 싶으세요?"),
        ("잘 지내세요?", "네, 잘 지냅니다. 무엇을 도와드릴까요?"),
        ("오늘은 조금 피곤합니다.", "잠깐 쉬면 나아질 거예요. 작은 수수께끼를 풀어 볼까요?"),
        ("무엇을 할 수 있나요?", "질문에 답하고, 세고, 비교하고, 이야기를 나눌 수 있습니다."),
        ("숫자를 좋아하세요?", "네. 숫자를 한 단계씩 다루는 것을 좋아합니다."),
        ("여기는 비가 옵니다.", "그러면 집에서 책을 읽기 좋은 날이네요."),
        ("영어를 배우고 있습니다.", "멋지네요. 날마다 몇 단어씩 익히면 큰 도움이 됩니다."),
        ("바다 이야기를 해 주세요.", "바닷물은 짜고, 바다는 지구의 대부분을 덮고 있습니다."),
        ("잠은 왜 중요한가요?", "자는 동안 몸이 쉬고, 배운 것이 기억에 남습니다."),
    ),
}
COLOURS = {
    "en": "red blue green yellow white black brown purple".split(),
    "ko": "빨간색 파란색 초록색 노란색 흰색 검은색 갈색 보라색".split(),
}
CITIES = {
    "en": "Seoul Busan London Paris Rome Oslo Cairo Lima".split(),
    "ko": "서울 부산 런던 파리 로마 오슬로 카이로 리마".split(),
}
SYSTEM = {
    "en": (
        "You are a helpful assistant.",
        "Answer in English and keep it short.",
        "You are a patient teacher. Be friendly.",
    ),
    "ko": (
        "당신은 친절한 도우미입니다.",
        "한국어로 짧게 답하세요.",
        "당신은 참을성 있는 선생님입니다. 다정하게 답하세요.",
    ),
}
THANKS = {
    "en": ("Thank you!", "You are welcome!"),
    "ko": ("고맙습니다!", "천만에요!"),
}


def _function(name: str, description: str, argument: str, meaning: str) -> dict[str, Any]:
    properties = {argument: {"type": "string", "description": meaning}}
    parameters = {"type": "object", "properties": properties, "required": [argument]}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


# Schemas are in English in both languages, as tools' are in practice.
WEATHER = _function("get_temperature", "Temperature in a city now.", "city", "Name of the city.")
CALCULATOR = _function("calculate", "Value of a sum.", "expression", "For example 12 + 7.")
