"""What is masked, what is not, and what a placeholder looks like. All data here are made up."""

import pytest

from data_recipes.personal import Kind
from data_recipes.personal.checks import is_alien, is_business, is_card, is_resident, is_social
from data_recipes.personal.mask import find, mask

_FOUND: dict[Kind, list[str]] = {
    "e-mail": ["hong.gildong@naver.com", "kim+news@a-b.co.kr", "lee[at]school[dot]ac[dot]kr"],
    "telephone": [
        *(
            "010-1234-5678",
            "01012345678",
            "010 1234 5678",
            "011-234-5678",
            "０１０－１２３４－５６７８",
        ),
        *("02-345-6789", "(031) 345-6789", "064)712-3456", "070-1234-5678", "0505-123-4567"),
        *("+82-10-1234-5678", "+82 2 345 6789", "0082-10-1234-5678", "+44 20 7946 0958"),
        *("(212) 555-0123", "212-555-0123", "1-212-555-0123", "+1 212 555 0123", "07700 900123"),
        *("82-10-1234-5678", "82-31-345-6789", "82.2.345.6789", "0208 946 0958", "212/555-0123"),
    ],
    "resident number": ["900101-1234568", "9001011234568", "210101-3123456"],
    "alien number": ["900101-5234561"],
    "business number": ["120-81-47521"],
    "card": ["4111-1111-1111-1111", "5555 5555 5555 4444", "378282246310005"],
    "account": ["신한은행 110-123-456789", "계좌번호: 3333-01-1234567", "농협 302-1234-5678-91"],
    "IP address": ["211.36.140.7", "118.235.10.44", "2001:2d8:e1::1f", "2001:e60:8:1:2:3:4:5"],
    "address": [
        *(
            "서울특별시 강남구 테헤란로 152",
            "성남시 분당구 판교역로 235번길 12-3",
            "강남구 역삼동 737-1",
        ),
        *("경기도 수원시 팔달구 효원로 1, 101동 1203호", "742 Evergreen Terrace", "12B N. Oak St."),
        *("152, Teheran-ro", "P.O. Box 1234", "7 O'Connell St.", "9 Martin Luther King Jr. Ave"),
        *("14 The Avenue", "Flat 2, 14a The Crescent"),
        *("12 NE Alder Pl, #3A", "5 Teheran-ro, 7F", "2019 Oak Street"),
        *("제주시 1100로 2070-61", "연수구 컨벤시아대로 165", "전주 완산구 팔달로112-5번길 4"),
        "종로구 숭인동 996-20번지 그린마을 506동 1502호",
        "파주시 문산읍 선유리 한빛빌딩 102동 604호",
    ],
}
_LEFT = [
    *(
        "2020-10-11",
        "2020. 10. 11. 12:30:59",
        "1,234,567,890원",
        "3.10.12-1ubuntu2.1",
        "192.168.10.20",
        "211.36.140.0/24",
        "203.0.113.77",
        "펌웨어 12.110.14.22",
        "Whale/3.24.223.18",
        "1.3.101.112",
        "2001:db8::1f",
        "21:10:35:44",
    ),
    *("ISBN 978-89-954321-0-5", "9788995432105", "8801234567893", "RFC 5322", "1700000000000"),
    *("900101-1234567", "901301-1234568", "120-81-47522", "4111-1111-1111-1112", "1588-1234"),
    *("deadbeef01012345678cafe", "https://a.b/p/01012345678", "110-123-456789", "2125550123"),
    *(
        "deploy@web.example.com:/srv",
        "git@github.com:owner/name",
        "getty@tty1.service",
        "icon@2x.png",
        "@decorator.name",
        "x@y",
    ),
    *("0063-2764-64 30", "667-509-7348 = ?", "밀리초 1303317597217", "25/02/2024 2024년"),
    *(
        "5858 4420 3120 2241 2041",
        "find us @ example.com",
        "q @ k.mT",
        "x.y @ w.T",
        "HSBC 20231104",
    ),
    *("송파구 올림픽로 4.6㎞ 구간", "강남구 테헤란로 4차로", "서초구 반포대로 2.5 구간"),
    *("Top 10 The Green Mile", "Chapter 5 The Street", "도면번호 431011-5507855"),
    *("drawing no. 210403-8525868", "deadline 219-09-9999", "HSBC 2023 2024", "SSN 900-12-3456"),
    *(
        "SSN 666123456",
        "ssn: 219-00-9999",
        "my social 219-09-0000",
        "219-09-9998",
        "ring 2147483648",
    ),
    *("id=9001011234568", "id=01012345678", "the order number is 4155550123", "상담 1208147521"),
    *("serviceAccountNumber: 123456789012", "82-31-345-67890"),
    *("In 2008 Wall Street crashed", "In 2008, Wall Street, too", "The 24 Hour Drive"),
    *("서울 종로 4가 역", "서울 강남구 논현로 30살", "1234 5678 KB"),
    *("Kim, 2125550123", "Kim 2125550123"),
    *("다시 서버로 10대를 옮겼다", "서울로 3시간", "앞으로 5년", "02110-1301", "Chapter 5 The Way"),
]


@pytest.mark.parametrize(
    "before, behind", [("", ""), ("연락은 ", "입니다."), ("See ", ", please.")]
)
def test_each_form_is_found_as_its_kind_and_leaves_nothing(before: str, behind: str) -> None:
    for kind, examples in _FOUND.items():
        for example in examples:
            text = before + example + behind
            masked, counts = mask(text)
            assert dict(counts) == {kind: 1}, (text, masked)
            assert len(masked) == len(text)
            assert not any("1" <= c <= "9" for c in masked), masked
            assert masked.startswith(before) and masked.endswith(behind)
            assert not find(masked), masked  # a placeholder is nobody's


def test_what_stands_beside_a_number_says_what_it_is() -> None:
    for text, secret, kind in (
        ("<td>우리</td><td>229-850403-02-057</td>", "229-850403-02-057", "account"),
        ("카뱅/3333-27-0274531", "3333-27-0274531", "account"),
        ("356-3175-0815-83, NH농협 김", "356-3175-0815-83", "account"),
        ("229-850403-02-057 (우리)", "229-850403-02-057", "account"),
        ("Barclays 86817502", "86817502", "account"),
        ("to 7098 4362 7707 (Chase)", "7098 4362 7707", "account"),
        ("charity registration number 6312333492", "6312333492", "business number"),
        ("307 37 08840 조회, 사업자번호 맞나요", "307 37 08840", "business number"),
        ("pan=5108932883262481 amt=17", "5108932883262481", "card"),
        ("5555 5555 5555 4444 0927 123", "5555 5555 5555 4444", "card"),
        ("5555 5555 5555 4444 4500원", "5555 5555 5555 4444", "card"),
        ("rrn=8508222902563&name=hong", "8508222902563", "resident number"),
        ("call 12125550123", "12125550123", "telephone"),
        ("call 212-555-0123x42", "212-555-0123", "telephone"),
        ("ip=58.12.3.44", "58.12.3.44", "IP address"),
        ("Sales @ naver.com", "Sales @ naver.com", "e-mail"),
        ("to kim.k2 @ school.ac.kr", "kim.k2 @ school.ac.kr", "e-mail"),
        ("서울 강남구 역삼로 30 살다가", "역삼로 30", "address"),
        ("안동시 풍천면 갈전리 771 대 45㎡", "풍천면 갈전리 771", "address"),
        ("350 Broadway, New York", "350 Broadway", "address"),
        ("I grew up at 1908 Mill Pond Rd, Unit 23 and", "1908 Mill Pond Rd, Unit 23", "address"),
        # Keys of logs and records
        ("sms to=01012345678 len=8", "01012345678", "telephone"),
        ("rcv_no=01012345678", "01012345678", "telephone"),
        ('"userPhone": "2125550123"', "2125550123", "telephone"),
        ("jumin=9001011234568 rsp=E2", "9001011234568", "resident number"),
        ("userJuminNo=9001011234568", "9001011234568", "resident number"),
        ("foreignerNo=9001015234561", "9001015234561", "alien number"),
        ("nts bizno=1208147521 ok", "1208147521", "business number"),
        ('{"bizNo": "120 81 47521"}', "120 81 47521", "business number"),
        ("saupja_no: 1208147521", "1208147521", "business number"),
        ("bankAcct=110123456789", "110123456789", "account"),
        # An article's number by its form, but for the word
        ("resident registration number 8807062216026", "8807062216026", "resident number"),
        # Signatures and blocks of an address
        ("Kim | o: 303 555 0123 | Lab", "303 555 0123", "telephone"),
        ("may be reached at 614 555 0123", "614 555 0123", "telephone"),
        ("my new number is 2065550123,", "2065550123", "telephone"),
        ("Madison, WI 53757\n2065550123\nby day", "2065550123", "telephone"),
        ("등록번호 1208147521 상호", "1208147521", "business number"),
        ("지출증빙용으로 부탁드려요. 번호는 120 81 47521", "120 81 47521", "business number"),
        ("(unique no. 1208147521)", "1208147521", "business number"),
        ("사업자번호 주세요\n[2:21] 1208147521 입니다", "1208147521", "business number"),
        ("active in Reg: 1208147521", "1208147521", "business number"),
        # Bank and number in one record
        ('은행: 광주은행\n  번호: "121-673-213897"', "121-673-213897", "account"),
        ('{"no": "121673213897", "bank": "X"}', "121673213897", "account"),
        ("1000-6968-8864 토스 김 입금 후", "1000-6968-8864", "account"),
        ("1000-6968-8864 / 국민", "1000-6968-8864", "account"),
        ("Lloyds 75-17-33, 76844608", "76844608", "account"),
        ("TSB Bank 9920 8483", "9920 8483", "account"),
        ("Acc No 12857577 Sort 87-92-04", "12857577", "account"),
        ("488665078 (TD Bank)", "488665078", "account"),
        # American residents, by a word alone
        ("SSN: 219099998", "219099998", "resident number"),
        ('"ssn": "219–09–9998"', "219–09–9998", "resident number"),
        ("socialSecurityNumber=219099998", "219099998", "resident number"),
        ("my social card of 2013 says 219-09-9998", "219-09-9998", "resident number"),
        ("219 09 9998 is my SSN", "219 09 9998", "resident number"),
        ("name,ssn\nlee,219099998", "219099998", "resident number"),
    ):
        assert [(text[a:b], k) for a, b, k in find(text)] == [(secret, kind)], text


def test_what_only_looks_like_it_is_left() -> None:
    for text in _LEFT:
        assert mask(f"값은 {text} 이다") == (f"값은 {text} 이다", {}), text


def test_placeholders_keep_their_shape() -> None:
    text = "홍길동 hong.k2@naver.com 010-1234-5678, 서울 종로구 세종대로 209, 3층"
    expected = "홍길동 xxxx.x0@xxxxx.xxx 000-0000-0000, 서울 종로구 ○○대로 000, 0층"
    assert mask(text)[0] == expected
    assert mask("He is at 1 Main Street, Apt 4B.")[0] == "He is at 0 Xxxx Street, Apt 0X."


def test_only_the_kinds_asked_for_are_masked() -> None:
    text = "hong@naver.com 010-1234-5678"
    assert mask(text, ["telephone"]) == ("hong@naver.com 000-0000-0000", {"telephone": 1})
    assert mask(text, ["card"])[0] is text


def test_every_wrong_check_digit_is_refused() -> None:
    for check, right in (
        (is_resident, "9001011234568"),
        (is_alien, "9001015234561"),
        (is_business, "1208147521"),
        (is_card, "4111111111111111"),
    ):
        passing = [d for d in "0123456789" if check(right[:-1] + d)]
        assert passing == [right[-1]]


def test_a_social_security_number_has_an_area_a_group_and_a_serial_number() -> None:
    assert is_social("001010001") and is_social("899999999")
    for wrong in ("000123456", "666123456", "900123456", "123003456", "123450000"):
        assert not is_social(wrong), wrong


def test_a_number_of_after_october_2020_needs_a_birthday_alone() -> None:
    assert all(is_resident(f"201001312345{d}") for d in "0123456789")
    assert sum(is_resident(f"200930312345{d}") for d in "0123456789") == 1
    assert not is_resident("2102293123456") and not is_resident("3502013123456")
    assert mask("주민등록번호: 900101-1234567")[1] == {"resident number": 1}
