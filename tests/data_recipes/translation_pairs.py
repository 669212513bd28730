"""Translations made by hand, right ones and ones with one thing wrong.

Each is the source, the translation, and the reason with which it has to be turned down; `None` if
it is right.
"""

Pair = tuple[str, str, str | None]

NUMBERS: list[Pair] = [
    ("Tom has 12 apples.", "톰은 사과를 12개 가지고 있다.", None),
    ("Tom has 12 apples.", "톰은 사과를 13개 가지고 있다.", "numbers"),
    ("Tom has 12 apples.", "톰은 사과를 열두 개 가지고 있다.", None),
    ("Tom has 12 apples.", "톰은 사과를 열한 개 가지고 있다.", "numbers"),
    ("Tom has twelve apples.", "톰은 사과를 12개 가지고 있다.", None),
    ("Tom has twelve apples.", "톰은 사과를 열두 개 가지고 있다.", None),
    ("Tom has twelve apples.", "톰은 사과를 열 개 가지고 있다.", "numbers"),
    ("The city has 3,500,000 people.", "그 도시의 인구는 3500000명이다.", None),
    ("The city has 3,500,000 people.", "그 도시의 인구는 350만 명이다.", None),
    ("The city has 3,500,000 people.", "그 도시의 인구는 35만 명이다.", "numbers"),
    ("It cost 3 million dollars.", "300만 달러가 들었다.", None),
    ("It cost 3 million dollars.", "3백만 달러가 들었다.", None),
    ("It cost 3 million dollars.", "3000만 달러가 들었다.", "numbers"),
    ("About 1.5 billion people live there.", "그곳에는 약 15억 명이 산다.", None),
    ("About 1.5 billion people live there.", "그곳에는 약 1.5억 명이 산다.", "numbers"),
    ("They sold 32,000 tickets.", "표를 3만 2천 장 팔았다.", None),
    ("They sold 32,000 tickets.", "표를 3만 2백 장 팔았다.", "numbers"),
    ("Two-thirds of the 30 students passed.", "학생 30명 가운데 3분의 2가 합격했다.", None),
    ("Half of the 30 students passed.", "학생 30명 가운데 절반이 합격했다.", None),
    ("Half of the 30 students passed.", "학생 40명 가운데 절반이 합격했다.", "numbers"),
    ("On March 5, 2024 she left.", "그녀는 2024년 3월 5일에 떠났다.", None),
    ("On March 5, 2024 she left.", "그녀는 2024년 3월 6일에 떠났다.", "numbers"),
    ("On March 5, 2024 she left.", "그녀는 2024년 4월 5일에 떠났다.", "numbers"),
    ("The temperature was -5 degrees.", "기온은 -5도였다.", None),
    ("The temperature was -5 degrees.", "기온은 영하 5도였다.", None),
    ("The temperature was -5 degrees.", "기온은 5도였다.", "numbers"),
    ("He waited 3 days.", "그는 사흘을 기다렸다.", None),
    ("He waited 3 days.", "그는 나흘을 기다렸다.", "numbers"),
    ("It is the 2nd of 7 doors.", "일곱 개의 문 가운데 두 번째다.", None),
    ("The ratio is 0.5 to 3.25.", "비는 0.50 대 3.25이다.", None),
    ("The ratio is 0.5 to 3.25.", "비는 0.5 대 3.52이다.", "numbers"),
    ("Add 100 to it, as much as 7 can hold.", "7이 담을 수 있는 만큼, 100만큼 더하라.", None),
    ("One of the 5 boxes is empty.", "상자 5개 가운데 하나가 비어 있다.", None),
    ("Find two numbers whose sum is 41.", "합이 사십일인 두 수를 구하라.", None),
]
UNITS: list[Pair] = [
    ("The road is 5 km long.", "도로의 길이는 5킬로미터이다.", None),
    ("The road is 5 km long.", "도로의 길이는 5 m이다.", "units"),
    ("The road is 5 miles long.", "도로의 길이는 5마일이다.", None),
    ("The road is 5 miles long.", "도로의 길이는 5킬로미터이다.", "units"),
    ("A pen costs $4.", "펜 한 자루는 4달러이다.", None),
    ("A pen costs $4.", "펜 한 자루는 4원이다.", "units"),
    ("Sales rose by 20%.", "매출이 20퍼센트 늘었다.", None),
    ("Sales rose by 20%.", "매출이 20 늘었다.", "units"),
    ("Cook for 10 minutes.", "10분 동안 익힌다.", None),
    ("Cook for 10 minutes.", "10시간 동안 익힌다.", "units"),
    ("It weighs 5 and 10 kg.", "무게는 5kg과 10kg이다.", None),
    ("Pay $5 for one and $6 for another.", "하나에 5달러, 다른 하나에 6달러를 낸다.", None),
]
LATEX: list[Pair] = [
    (r"Find $x$ if $x^2 = 9$.", r"$x^2 = 9$일 때 $x$를 구하라.", None),
    (r"Find $x$ if $x^2 = 9$.", r"$x^3 = 9$일 때 $x$를 구하라.", "latex"),
    (r"Compute $\frac{1}{2}$.", r"$\frac{1}{2$을 계산하라.", "latex"),
    (r"Compute $\frac{1}{2}$.", r"\(\frac{1}{2}\)을 계산하라.", None),
    (r"Compute $\frac{1}{2}$.", r"\frac{1}{2}을 계산하라.", None),
    (r"Compute $\frac{1}{2}$.", r"$\frac{2}{1}$을 계산하라.", "latex"),
    (r"So \boxed{42}.", r"따라서 \boxed{42}이다.", None),
    (r"So \boxed{42}.", r"따라서 \boxed{24}이다.", "latex"),
    (r"So \boxed{42}.", "따라서 42이다.", "latex"),
    (
        r"Let $$f(n) = \begin{cases} 1 & \text{if } n = 0 \\ 2 & \text{otherwise} \end{cases}$$",
        r"$$f(n) = \begin{cases} 1 & \text{만약 } n = 0 \\ 2 & \text{그 외} \end{cases}$$라 하자.",
        None,
    ),
    (r"Sum \[ \sum_{i=1}^{n} i \] here.", r"여기서 \[ \sum_{i=0}^{n} i \]의 합.", "latex"),
    (r"The set \{1, 2\} is $S$.", r"집합 \{1, 2\}는 $S$이다.", None),
]
CODE: list[Pair] = [
    ("Call `compute_sum(a)` first.", "먼저 `compute_sum(a)`을 호출한다.", None),
    ("Call `compute_sum(a)` first.", "먼저 `합계_계산(a)`을 호출한다.", "inline_code"),
    ("Use compute_sum to add.", "compute_sum을 써서 더한다.", None),
    ("Use compute_sum to add.", "합계_계산을 써서 더한다.", "verbatim"),
    ("Set maxDepth first.", "먼저 maxDepth를 정한다.", None),
    ("Set maxDepth first.", "먼저 최대 깊이를 정한다.", "verbatim"),
    (
        "Run:\n```python\nprint('hi')\n```\nDone.",
        "실행한다.\n```python\nprint('hi')\n```\n끝.",
        None,
    ),
    (
        "Run:\n```python\nprint('hi')\n```\nDone.",
        "실행한다.\n```python\nprint('안녕')\n```\n끝.",
        "code",
    ),
    ("Run:\n```\nls\n```\nDone.", "실행한다.\nls\n끝.", "code"),
    ("See https://example.org/a?b=1.", "https://example.org/a?b=1을 보라.", None),
    ("See https://example.org/a?b=1.", "https://example.org/a?b=2를 보라.", "verbatim"),
    ("Open data.json now.", "이제 data.json을 연다.", None),
    ("Open data.json now.", "이제 자료.json을 연다.", "verbatim"),
    ("Dear {name}, welcome.", "{name} 님, 환영합니다.", None),
    ("Dear {name}, welcome.", "{이름} 님, 환영합니다.", "verbatim"),
]
LETTERS: list[Pair] = [
    ("Which?\nA. red\nB. blue\nC. green", "어느 것인가?\nA. 빨강\nB. 파랑\nC. 초록", None),
    ("Which?\nA. red\nB. blue\nC. green", "어느 것인가?\nA. 빨강\n파랑\nC. 초록", "options"),
    ("Which?\nA. red\nB. blue\nC. green", "어느 것인가?\nA. 빨강\nC. 파랑\nB. 초록", "options"),
    ("Which? (A) red (B) blue", "어느 것인가? (A) 빨강 (B) 파랑", None),
    ("Which? (A) red (B) blue", "어느 것인가? (가) 빨강 (나) 파랑", "options"),
    ("The answer is B.", "정답은 B이다.", None),
    ("The answer is B.", "정답은 C이다.", "letters"),
    ("The answer is A.", "정답은 나이다.", "letters"),
    ("A cat sat on point P.", "고양이 한 마리가 점 P 위에 앉았다.", None),
    ("A cat sat on point P.", "고양이 한 마리가 점 Q 위에 앉았다.", "letters"),
    ("I took an X-ray in the U.S.", "나는 미국에서 엑스레이를 찍었다.", None),
]
NAMES: list[Pair] = [
    ('The film is called "Blue Moon".', '영화의 제목은 "Blue Moon"이다.', None),
    ('The film is called "Blue Moon".', '영화의 제목은 "Blue Noon"이다.', "quotes"),
    ('The film is called "Blue Moon".', "영화의 제목은 블루 문(Blue Moon)이다.", None),
    ('How often is r in "strawberry"?', '"딸기"에 r이 몇 번 나오는가?', "quotes"),
    ('He said, "come back home soon, please".', '그는 "어서 집에 돌아오라"고 말했다.', None),
    ("Tom's mother isn't Ann's aunt.", "톰의 어머니는 앤의 이모가 아니다.", None),
]
THOUGHTS: list[Pair] = [
    ("<think>\nHmm.\n</think>\n\nYes.", "<think>\nHmm.\n</think>\n\n그렇다.", None),
    ("<think>\nHmm.\n</think>\n\nYes.", "Hmm.\n\n그렇다.", "think"),
    ("<think>\nHmm.\n</think>\n\nYes.", "<think>\nHmm.\n\n그렇다.", "think"),
]
PAIRS = [*NUMBERS, *UNITS, *LATEX, *CODE, *LETTERS, *NAMES, *THOUGHTS]
