"""Make what looks like a personal number and is none: dates, codes, wrong check digits, `@app`."""

import re
from collections.abc import Callable
from datetime import date
from random import Random

from tests.data_recipes.personal_digits import (
    born,
    business,
    business_check,
    card,
    fill,
    luhn_check,
    one,
    resident_check,
)


def _gtin(rng: Random, prefix: str) -> str:
    digits = prefix + fill(rng, "#" * (12 - len(prefix)))
    return digits + str(-sum(int(d) * (1 + i % 2 * 2) for i, d in enumerate(digits)) % 10)


def _isbn(rng: Random) -> str:
    if rng.random() < 0.3:
        digits = fill(rng, "89#######")
        last = -sum(int(d) * (10 - i) for i, d in enumerate(digits)) % 11
        end = "X" if last == 10 else str(last)
        return rng.choice([digits + end, f"89-{digits[2:6]}-{digits[6:]}-{end}"])
    d = _gtin(rng, rng.choice(["97889", "97911", "9780"]))
    return rng.choice([d, f"{d[:3]}-{d[3:5]}-{d[5:9]}-{d[9:12]}-{d[12]}", f"{d[:3]}-{d[3:]}"])


def _issn(rng: Random) -> str:
    digits = fill(rng, rng.choice(["1###", "2###", "0###"]) + "###")
    last = -sum(int(d) * (8 - i) for i, d in enumerate(digits)) % 11
    return f"{digits[:4]}-{digits[4:]}{'X' if last == 10 else last}"


def _impossible_resident(rng: Random) -> str:
    """Make a resident number of a day that never was; half end in the right check digit."""
    month, day = rng.choice(
        [(rng.randrange(13, 100), rng.randrange(1, 29)), (0, 15), (2, 30), (4, 31)]
    )
    day = rng.choice([day, rng.randrange(32, 100)])
    digits = f"{fill(rng, '##')}{month:02}{day:02}{rng.choice('1234')}" + fill(rng, "#####")
    last = resident_check(digits) if rng.random() < 0.5 else rng.randrange(10)
    return digits[:6] + rng.choice(["-", "-", "-", ""]) + digits[6:] + str(last)


def _date(rng: Random) -> str:
    shapes = "%Y-%m-%d|%Y.%m.%d|%Y. %m. %d.|%Y년 %m월 %d일|%Y%m%d|%d/%m/%Y"
    "|%Y-%m-%dT09:30:15+09:00"
    shapes += "|%y.%m.%d|%Y/%m/%d 14:05|%B %d, %Y|%Y-%m-%d 10:20:30.123456|%y%m%d|%Y%m%d093015"
    return born(rng, date(1950, 1, 1), date(2025, 12, 31)).strftime(one(rng, shapes))


def _ip(rng: Random) -> str:
    """An address of nobody's line: private, of documentation, or a network's."""
    four = fill(
        rng, "10.&0.&#.1##|192.168.&#.1##|172.16.&.&#|198.51.100.1##|203.0.113.&#|127.0.0.1"
    )
    four = rng.choice(four.split("|"))
    six = fill(rng, "2001:db8:¤¤¤¤:¤¤¤¤::¤¤¤¤")
    return rng.choice([four, four, f"{four}:80{fill(rng, '##')}", fill(rng, "8&.1##.&0.0/24"), six])


# Patterns as `fill` reads them, or a maker.
LOOKALIKES: dict[str, str | Callable[[Random], str]] = {
    "version": "&.#.#|1#.#.&#|0.#.##|20##.&.#|&.#.#rc1|1.#.####.##|10.0.####.####|3.1#.#-010",
    "date": _date,
    "date_range": "201#-202#|2010.01.1#-2010.02.0#|0&.1#~0&.2#|199#–200#|2021-0&-1# ~ 2021-10-2#",
    "time": "1#:30|0#:3#:5#|오전 10:1#|오후 &시 1#분|1#:00-1#:30|00:0#:1#,### --> 00:0#:4#,###",
    "timestamp": "15########|16########|170#######|16###########|15########.###",
    "isbn": _isbn,
    "issn": _issn,
    "ean": lambda rng: _gtin(rng, rng.choice("880 880 880 400 490 501 300 690 760".split())),
    "ip": _ip,
    "git_hash": "¤¤¤¤¤¤¤|¤¤¤¤¤¤¤¤¤¤¤¤|" + "¤" * 40 + "|" + "¤" * 64,
    "uuid": "¤¤¤¤¤¤¤¤-¤¤¤¤-4¤¤¤-a¤¤¤-¤¤¤¤¤¤¤¤¤¤¤¤|########-####-4###-8###-############",
    "price": "&,###원|1&#,000원|&,###,###원|₩&#,##0|$&,###.##|£&##|3억 &,000만 원"
    "|€&.###,##|￦1#0,000",
    "statistics": "&#.#%|1,##&,###명|p = 0.0###, n = 1,##&|평균 3.##점|95% CI 1.0#-2.##|&#.##±0.##",
    "law": "제1#조 제&항|제&조의2 제1항 제&호|법률 제1####호|201#다2#####|2020헌마1###"
    "|17 U.S.C. § 1##"
    "|대통령령 제3####호|2019. &. 1#. 선고 2018두5#### 판결|제&##조부터 제&##조까지",
    "product_code": "SM-010-####A|A010-####-###|KR-02-###-##X|02-##-####B|XJ&##-####-####"
    "|010-##-###"
    "|DX031-###-##|TL-WN7##N-0#|Z-##-#####-#|0&0-##-##|WD10EZEX-00####",
    "order_number": "2024011#-#######|2023-0&-#####-###|A##-###########|1#-#####-##|총무-20&&-####",
    "patent": "10-20&&-00#####|20-20&&-000####|10-1######|US 10,###,### B2|30-20&&-00#####",
    "doi": "10.10&#/s415&#-02#-0####-#|10.1234/abc.20&&.01#.####|arXiv:20&&.1####|10.48550/2&#.010",
    "sport": "&-1|&5-&&, 21-1#, 25-1#|10-1|1#&-98|6-4 6-7(5) 7-6(3)|3승 1무 &패|2:&|9초##"
    "|11-&, 11-&, 8-11",
    "resident_bad_date": _impossible_resident,
    "business_bad_check": lambda rng: business(rng, rng.randrange(1, 10)),
    "card_bad_check": lambda rng: card(rng, rng.randrange(1, 10)),
    "decorator": "@app.route|@pytest.mark.parametrize|@functools.cache|@router.get('/v&')"
    "|@Override"
    "|@media (max-width: 7##px)|@property|@click.option|@keyframes spin|A @ B.T|x@w.t() + b",
    # user@host:path names a place on a machine, and git@ a service: neither takes a person's mail.
    "at_code": "scp a.tar deploy@build0#:/srv/www|git clone git@github.com:sample/tool&.git"
    "|rsync -a out/ root@10.0.0.&:/data|ssh -p 22## ubuntu@node&|npm i @types/node@1&.2.0"
    "|npm i react@1&.2.#|docker pull nginx@sha256:" + "¤" * 64 + ""
    "|scp pi@raspberrypi:/tmp/a&.log ."
    "|actions/checkout@v&|psql postgres://localhost/db&|scp w& deploy@web&.example.com:/srv/app"
    "|printf '%s@%s' $user $host|{user}@{host}",
    "handle": "@seoul_weather|@news&&|@_haneul#|@BadaStudio|@kormo.daily|@user_01#"
    "|@러닝크루|@dev&#kr",
    "maths": "1+2+&=1&|x^2 - &x + 1# = 0|3.5 × 10-1#|12-34+5&#=2#|(a+b)(a-b)"
    "|010 - 001 = 001|&! = 5040"
    "|1/2 + 1/& = 0.8#|2^10 - 1 = 1023|f(0&) = 1#.###|0101 0011 1#",
    "constant": "3.14159265358979|2.718281828459045|1.41421356237|299,792,458 m/s|6.02214076e23"
    "|3.1415926535897932384626|0.5772156649015329|1.6180339887|1.602176634 × 10¤-19"
    "|0.6931471805599453",
    "short_code": "112|119|110|1330|120|114|131|1588-####|1577-####|1544-####|1566-####|1599-####"
    "|1600-####|1644-####|1661-####|1670-####|1688-####|1811-####|1833-####|1855-####|1899-####"
    "|1522-####|1588 ####|1899.####|911|999|1588####",
    "coordinates": "37.5#####, 127.0#####|35.1####N 129.0####E|37°3&′1#″N 126°5#′4#″E"
    "|-33.8#####,151.2#####"
    "|북위 37도 3#분, 동경 12&도|52S CG 1&### ####&|POINT(126.97#### 37.56####)",
    "bible": "요한복음 3:1#|창 1:1-3#|시편 11&:10#|마태복음 5장 &-1#절|John 3:16–1#"
    "|Ps. 119:10#-11#|고전 13:&"
    "|1 Cor 13:4-&|Rev. 2&:1-4|로마서 0&:2#",
    "chapter": "제&장 2절|&.3.1절|Chapter 10.1.&|§ 4.&.1#|그림 3-1#|표 2-&|pp. 1##-1&#"
    "|Section 02-0&-1"
    "|&권 1호|문제 1#-&",
    "place": "서울특별시 강남구 테헤란로|세종대로 일대|경기도 성남시 분당구 판교동"
    "|을지로3가|종로3가역 5번 출구|충무로"
    "|서울 강남구 &개 동|한빛로 &차선|중앙로 1#km 구간|경상북도 포항시 남구 장미동"
    "|3호선 학동역|테헤란로 골목"
    "|평화로 20&&년 공사 구간|제주특별자치도 서귀포시|한빛동 &곳|올림픽대로",
    "place_en": "Oak Street|Fifth Avenue|the corner of Main Street and 4th|Route 6&|Park Avenue"
    "|Highway 10#|the 1#th Street bridge|Cedar Lane Park|Abbey Road",
    "bank_figures": "국민은행 202&년 1분기 순이익 1,&##억 원|신한은행 영업시간 09:00-16:00"
    "|농협 쌀 &#,###원"
    "|카카오뱅크 앱 버전 2.&#.4|우리 집은 10-1&층|하나은행 금리 연 3.&#%"
    "|우리은행 2024-0&-1# 점검|기업은행 지점 1&#곳"
    "|신한 2023.0&.1# 경기 3-1|토스뱅크 가입자 1,0&#만 명|국민은행 콜센터 1588-####",
}


def _is_day(d: str) -> bool:
    month, day = int(d[2:4]), int(d[4:6])
    return (
        1 <= month <= 12 and 1 <= day <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    )


def _by_accident(x: str) -> bool:
    """Say whether a look-alike's digits came out as those of a valid number."""
    d = "".join(re.findall(r"\d", x))
    if len(d) == 13 and _is_day(d):
        checks = [
            resident_check(d),
            *(range(10) if d[6] in "5678" or "20" <= d[:2] <= "26" else ()),
        ]
        if int(d[-1]) in checks:
            return True
    if len(d) == 10 and d[-1] == str(business_check(d)):
        return True
    return 13 <= len(d) <= 19 and d[-1] == str(luhn_check(d[:-1]))


def lookalike(rng: Random, kind: str) -> str:
    """Return a look-alike that is no valid number by accident.

    Constants' and UUIDs' digits may pass Luhn's test; what stands around the digits tells them.
    """
    look = LOOKALIKES[kind]
    while True:
        x = look(rng) if callable(look) else fill(rng, rng.choice(look.split("|")))
        if kind in ("constant", "uuid") or not _by_accident(x):
            return x
