"""Answers by hand, good and bad: each bad one is rejected for its own reason, no good one is."""

import pytest

from data_recipes.ask import Answer
from data_recipes.common.config_files import load_config
from data_recipes.synthesize import answer_checks
from data_recipes.synthesize.config import CONFIGS, Style, SynthesizeConfig, ValidationConfig
from data_recipes.synthesize.validation import Draft, Validated, Validator

STYLE = Style(template="prompts/korean_rewrite/plain.jinja")
SEED = (
    "경복궁은 조선의 첫 궁궐로 1395년에 지어졌다. 임진왜란 때 불에 타 270년 넘게 빈터로 남아 "
    "있다가 고종 때인 1867년에 다시 세워졌다. 궁궐 안에는 왕이 정사를 보던 근정전과 잔치를 열던 "
    "경회루가 있다. "
    "일제 강점기에 많은 건물이 헐렸고, 1990년부터 옛 모습을 되찾는 공사가 이어지고 있다."
)
GOOD = (
    "서울에 있는 경복궁은 조선 왕조가 가장 먼저 세운 궁궐입니다. 1395년에 완성되었지만 임진왜란을 "
    "겪으며 불타 버렸고, 그 뒤로 270년이 넘도록 터만 남아 있었습니다. 궁궐이 다시 선 것은 고종이 "
    "다스리던 1867년의 일입니다. 근정전에서는 임금이 나랏일을 돌보았고, 연못 위의 경회루에서는 "
    "잔치가 열렸습니다. 일제 강점기를 지나며 여러 건물이 사라졌으나, 1990년에 시작된 복원 공사가 "
    "지금도 계속되고 있습니다."
)
ENGLISH = (
    "Gyeongbokgung was the first palace of the Joseon dynasty and was built in 1395. It burned "
    "down during the Japanese invasions, stayed empty for more than 270 years, and was rebuilt "
    "in 1867. Work to restore what was torn down in the colonial years began in 1990."
)
RULES = {
    "language": "ko",
    "filter": {"profiles": {"ko": "ko_answer"}},
    "min_characters": 100,
    "max_characters": 1200,
    "min_ratio": 0.5,
    "max_ratio": 4,
    "max_copied": 0.3,
}


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(ValidationConfig.model_validate(RULES), "text")


def judge(validator: Validator, text: str, seed: str = SEED, **answer: object) -> Validated:
    fields = {"status": "answered", "text": text, "finish_reason": "stop"} | answer
    return validator.check([Draft(seed, STYLE, Answer(**fields))])[0]


BAD = {
    "as an AI": ("refusal", f"As an AI language model, I do not visit palaces. {GOOD}"),
    "sorry": ("refusal", "I’m sorry, but I can’t help with rewriting that text. " + ENGLISH),
    "AI 모델로서": ("refusal", GOOD + " 저는 AI 언어 모델로서 최신 정보를 알지 못합니다."),
    "죄송하지만": ("refusal", f"죄송하지만 그 글은 다시 쓸 수 없습니다. {GOOD}"),
    "요청 거절": ("refusal", f"요청하신 내용은 안전 지침에 따라 도와드릴 수 없습니다. {GOOD}"),
    "here is": ("meta_talk", f"Here is the rewritten text:\n\n{GOOD}"),
    "sure": ("meta_talk", f"Sure! {GOOD}"),
    "translation": ("meta_talk", f"**Translation:** {GOOD}"),
    "다음은 번역": ("meta_talk", f"다음은 번역입니다.\n\n{GOOD}"),
    "다음은 다시 쓴": ("meta_talk", f"다음은 요청에 따라 다시 쓴 글입니다.\n\n{GOOD}"),
    "번역:": ("meta_talk", f"번역: {GOOD}"),
    "물론입니다": ("meta_talk", f"물론입니다! {GOOD}"),
    "hope": ("meta_talk", f"{GOOD}\n\nI hope this helps!"),
    "도움이": ("meta_talk", f"{GOOD}\n\n이 글이 도움이 되었기를 바랍니다."),
    "더 궁금한": ("meta_talk", f"{GOOD}\n\n더 궁금한 점이 있으시면 알려 주세요."),
    "prompt": ("copied_prompt", f"{STYLE.instructions[1]}\n\n{GOOD}"),
    "seed": ("copied_seed", SEED),
    "half the seed": ("copied_seed", GOOD[:150] + " " + SEED[:150]),
    "English": ("language", ENGLISH),
    "English halfway": ("low_hangul_frac", GOOD[:160] + " " + ENGLISH[:160]),
    "Japanese": ("foreign_kana", GOOD + " その後も復元の工事が続けられています。"),
    "Chinese": ("foreign_han", GOOD + " 景福宮是朝鮮王朝的第一座宮殿，至今仍在修復。"),
    "fence": ("broken_markup", f"```markdown\n{GOOD}\n```"),
    "open fence": ("broken_markup", f"{GOOD}\n```\n근정전"),
    "tag": ("broken_markup", f"<div>{GOOD}"),
    "chat token": ("broken_markup", f"{GOOD}<|im_end|>"),
    "placeholder": ("broken_markup", f"[제목]\n{GOOD}"),
    "short": ("low_length", "경복궁은 조선의 첫 궁궐입니다."),
    "long": ("high_length", GOOD * 6),
    "syllable": ("high_unspaced_hangul_frac", GOOD[:130] + " " + "새" * 150),
    "loop": ("high_dup_5_gram_frac", GOOD + " 그리고 임금은 다시 궁궐로 돌아왔습니다." * 12),
    "lines": ("high_dup_line_frac", GOOD[:120] + "\n근정전\n경회루" * 40),
    "empty": ("empty", " \n"),
    "shards of a wrong encoding": ("high_replacement_frac", GOOD + "\ufffd" * 20),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_answers_are_rejected(validator: Validator, name: str) -> None:
    reason, text = BAD[name]
    verdict = judge(validator, text)
    assert verdict.reason == reason, verdict.detail
    assert verdict.detail


GOOD_ANSWERS = {
    "plain": GOOD,
    "hanja in brackets": GOOD.replace("근정전", "근정전(勤政殿)").replace(
        "경회루", "경회루(慶會樓)"
    ),
    "a fence inside": f"{GOOD}\n\n```python\nprint(1395)\n```\n\n위의 코드는 연도를 보여 줍니다.",
    "a whole table": f"{GOOD}<b>경회루</b>와 근정전이 그 예입니다.",
    "an English name": GOOD.replace("경복궁은", "경복궁(Gyeongbokgung)은"),
    # What sounds like talk about the task, but is the text.
    "an apology within": f"{GOOD} 안내원은 죄송하지만 오늘은 문을 닫았다고 말했습니다.",
    "here": f"여기 서울 한복판에 오래된 궁궐이 있습니다. {GOOD}",
    "next": f"다음은 정조의 이야기로 이어집니다. {GOOD}",
}


@pytest.mark.parametrize("name", GOOD_ANSWERS)
def test_good_answers_are_accepted(validator: Validator, name: str) -> None:
    verdict = judge(validator, GOOD_ANSWERS[name])
    assert verdict.reason is None, (verdict.reason, verdict.detail)
    assert verdict.text == GOOD_ANSWERS[name]


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("truncated", {"finish_reason": "length", "completion_tokens": 256}),
        ("unfinished", {"finish_reason": "content_filter"}),
        ("unfinished", {"finish_reason": None}),
        ("refused_by_server", {"status": "refused", "error": "HTTP 400: too long"}),
        ("no_answer", {"status": "failed", "error": "8 attempts"}),
    ],
)
def test_what_was_not_delivered_is_rejected(
    validator: Validator, reason: str, answer: dict[str, object]
) -> None:
    assert judge(validator, GOOD, **answer).reason == reason


def test_what_the_seed_says_is_no_fault_of_the_answer(validator: Validator) -> None:
    about = "그 로봇은 언어 모델로서 답한다고 말했습니다. "
    assert judge(validator, about + GOOD).reason == "refusal"
    assert judge(validator, about + GOOD, seed=about + SEED).reason is None
    japanese = "「その後も復元の工事が続けられています」라는 기사입니다. " * 2
    assert judge(validator, GOOD + japanese).reason == "foreign_kana"
    assert judge(validator, GOOD + japanese, seed=japanese * 3 + SEED).reason is None


def test_a_verdict_does_not_depend_on_the_others(validator: Validator) -> None:
    texts = [text for _, text in BAD.values()] + list(GOOD_ANSWERS.values())
    drafts = [Draft(SEED, STYLE, Answer("answered", t, finish_reason="stop")) for t in texts]
    assert validator.check(drafts) == [judge(validator, text) for text in texts]


def test_thoughts_are_english_and_answers_korean() -> None:
    rules = RULES | {
        "reasoning_language": "en",
        "filter": {"profiles": {"ko": "ko_answer", "en": "en_answer"}},
    }
    validator = Validator(ValidationConfig.model_validate(rules), "reasoning")
    apart = judge(validator, GOOD, reasoning=ENGLISH)
    assert (apart.reason, apart.reasoning, apart.text) == (None, ENGLISH, GOOD)
    tagged = judge(validator, f"<think>\n{ENGLISH}\n</think>\n\n{GOOD}")
    assert tagged == apart == judge(validator, f"{ENGLISH}\n</think>\n{GOOD}")
    assert judge(validator, GOOD).reason == "no_reasoning"
    assert judge(validator, GOOD, reasoning=GOOD).reason == "reasoning_language"
    assert judge(validator, ENGLISH, reasoning=ENGLISH).reason == "language"
    loop = ENGLISH + " Wait, let me check the year of the palace again." * 20
    assert judge(validator, GOOD, reasoning=loop).reason.startswith("reasoning_high_dup")


def test_thoughts_that_were_not_asked_for_are_taken_off(validator: Validator) -> None:
    assert judge(validator, f"<think>\n\n</think>\n\n{GOOD}").text == GOOD
    assert Answer("answered", "no thoughts").split_thoughts() == ("", "no thoughts")


def test_shares_of_foreign_scripts() -> None:
    assert answer_checks.foreign_scripts("한글 English 123") == {"kana": 0, "han": 0}
    assert answer_checks.foreign_scripts("한漢") == {"kana": 0, "han": 0.5}
    assert answer_checks.foreign_scripts("경제(經濟)") == {"kana": 0, "han": 0}
    assert answer_checks.foreign_scripts("かカ한글") == {"kana": 0.5, "han": 0}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_whole(path) -> None:
    config = load_config(path, SynthesizeConfig, [])
    assert len(config.styles) >= 3 and len(config.synthesizers) >= 2
    for style in config.styles.values():
        prompt = style.prompt("SEED <b>&</b> {{ 1 }}")
        # As it is, neither escaped nor run as a template, without the file's note to its reader.
        assert "{#" not in prompt
        assert ("SEED <b>&</b> {{ 1 }}" in prompt) == (style.sees is None)
        assert style.instructions
