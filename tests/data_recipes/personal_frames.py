"""Hold the sentences, tables and labels around the numbers of `personal_numbers`."""


def _lines(block: str) -> list[str]:
    """Split a block into frames; a backslash and n or t in it are a line end and a tab."""
    return [s.replace("\\n", "\n").replace("\\t", "\t") for s in block.strip().splitlines()]


# Around any number; a label stands beside it.
FRAMES = {
    "ko": _lines("""
{label}: {x}
{label}:{x}
{label} {x}
【{label}】 {x}
○ {label} : {x}\\n○ 운영 시간 : 09:00~18:00
| 구분 | {label} |\\n|---|---|\\n| 본사 | {x} |
이름\\t{label}\\t비고\\n담당자\\t{x}\\t없음
구분,{label},비고\\n총무팀,{x},2층
접수된 {label}({x}) 확인을 부탁드립니다.
바뀐 {label} {x}{ro} 고쳐 주세요.
{{"{label}": "{x}", "상태": "정상"}}
<td>{label}</td><td>{x}</td>
신청서에는 {label} [{x}] 칸을 비워 두지 마십시오.
- **{label}**: {x}\\n- **처리 기한**: 3일
"""),
    "en": _lines("""
{label}: {x}
{label}:{x}
{label} {x}
| Field | {label} |\\n|---|---|\\n| Office | {x} |
name\\t{label}\\tnote\\nfront desk\\t{x}\\tnone
name,{label},note\\nfront desk,{x},2nd floor
Please check the {label} ({x}) before Friday.
My {label} has changed; it is {label} {x} now.
{{"{label}": "{x}", "state": "ok"}}
<dt>{label}</dt><dd>{x}</dd>
- **{label}**: {x}\\n- **Open**: 9 to 5
Your {label} on file: [{x}].
"""),
}
LABELS = {
    ("ko", "email"): ["이메일", "e-mail", "E-mail", "메일", "전자우편", "Email 주소"],
    ("en", "email"): ["e-mail", "Email", "E-mail address", "mail", "email"],
    ("ko", "phone"): ["전화", "전화번호", "연락처", "TEL", "Tel.", "☎", "H.P", "팩스", "문의"],
    ("en", "phone"): ["Tel.", "Phone", "phone number", "Tel", "Mobile", "Fax", "Cell"],
    ("ko", "resident"): ["주민등록번호", "주민번호", "주민등록 번호"],
    ("en", "resident"): ["resident registration number", "RRN", "Korean ID number"],
    ("ko", "alien"): ["외국인등록번호", "외국인 등록번호", "등록번호(외국인)"],
    ("en", "alien"): ["alien registration number", "ARC no.", "foreigner registration number"],
    ("ko", "business"): ["사업자등록번호", "사업자번호", "사업자 등록 번호"],
    ("en", "business"): ["business registration no.", "Business registration number"],
    ("ko", "card"): ["카드번호", "신용카드 번호", "결제 카드"],
    ("en", "card"): ["card number", "Card no.", "credit card"],
    ("ko", "account"): ["계좌번호"],
    ("en", "account"): ["account no."],
    ("ko", "address"): ["주소"],
    ("en", "address"): ["Address"],
}
SENTENCES = {
    ("ko", "email"): _lines("""
자료는 {x}{ro} 보내 주세요.
{x}{eun} 더 이상 쓰지 않는 주소입니다.
문의 사항은 총무팀({x})에 남겨 주시기 바랍니다.
보낸 사람: 총무팀 <{x}>
이력서와 자기소개서를 마감일까지\\n{x}\\n로 제출하십시오.
어제 {x}에서 온 메일 혹시 보셨어요?
[링크](mailto:{x})를 누르면 메일을 쓸 수 있다.
담당/총무팀/{x}
"""),
    ("en", "email"): _lines("""
Send your application to {x}.
You can reach the editors at {x}, but expect a delay.
From: "Front desk" <{x}>
Questions? {x}
The old address ({x}) no longer works!
<a href="mailto:{x}">write to us</a>
Signed-off-by: The Maintainer <{x}>
"""),
    ("ko", "phone"): _lines("""
궁금한 점은 {x}{ro} 전화 주세요.
어제 {x}에서 전화가 왔는데 받지 못했습니다.
예약은 {x}{ro} 하시면 되고 주차는 건물 뒤에 하세요.
자세한 내용은 총무과({x})로 문의하시기 바랍니다.
{x}{eul} 저장해 두었다가 급할 때 거세요.
바뀐 번호는 {x}입니다.
담당: 총무팀 / {x}
급매) 방 두 칸, 역세권, 연락은 저녁에만 {x}
전화({x})나 팩스로 신청할 수 있다.
문의☎{x}
부재중 전화가 왔어요\\n{x}\\n아시는 분?
"""),
    ("en", "phone"): _lines("""
Call {x} for a table by the window.
I missed a call from {x} last night.
You can text me at {x}, I am up until ten.
The clinic's number is {x}.
Our office ({x}) is closed on Sundays.
For sale: oak desk, pick-up only, ring {x}
Reception: {x}, ask for the night manager.
"""),
    ("ko", "resident"): _lines("""
신청인({x})은 위 사실을 확인합니다.
피고인은 주민등록번호 {x}인 사람이다.
본인 확인을 위해 {x}{eul} 입력했습니다.
위임받는 사람: 총무팀 담당자 ({x})
"""),
    ("en", "resident"): _lines("""
The applicant ({x}) signed the form in Seoul.
The tax office asked for my Korean ID, {x}, twice.
"""),
    ("ko", "alien"): _lines("""
외국인 근로자({x})의 체류 기간을 연장합니다.
외국인등록증에 적힌 번호는 {x}입니다.
"""),
    ("en", "alien"): _lines("""
The student's residence card reads {x}.
Visa holder ({x}), stay extended by one year.
"""),
    ("ko", "business"): _lines("""
세금계산서는 사업자등록번호 {x}{ro} 끊어 주세요.
상호: 한빛상사 (사업자 {x}), 업태: 소매
한빛상사 | 대표 ○○○ | 사업자등록번호 {x} | 통신판매업 신고
"""),
    ("en", "business"): _lines("""
Issue the tax invoice to Korean business registration {x}.
Hanbit Trading Co., business registration {x}, Seoul
"""),
    ("ko", "card"): _lines("""
{x} 카드로 결제하셨습니다.
잃어버린 카드는 {x}입니다.
유효기간 08/27, {x}, 일시불
"""),
    ("en", "card"): _lines("""
Please charge {x}, it expires in 08/27.
I typed {x} and the payment failed.
Visa/Master: {x}
"""),
    ("ko", "account"): _lines("""
{label}: {beside} {x}
회비는 {beside} {x}{ro} 입금해 주세요.
입금하실 곳은 {beside} {x} (예금주 총무)입니다.
{beside} 계좌 {x}{ro} 보내시면 됩니다.
후원 계좌\\n{beside} {x}\\n감사합니다.
계좌번호 {x} ({beside})
{beside}: {x} / 예금주: 동호회
| 은행 | {label} |\\n|---|---|\\n| {beside} | {x} |
"""),
    ("en", "account"): _lines("""
{beside}, {label} {x}
Wire the deposit to {beside}, {label} {x}, by Monday.
Bank: {beside}\\nAccount number: {x}\\nReference: club fee
My account number at {beside} is {x}.
Account No: {x} ({beside})
Acct # {x}, {beside}
"""),
    ("ko", "address"): _lines("""
{label}: {beside} {x}
{label} : (우)04123 {beside} {x}, 3층
저희 가게는 {beside} {x}에 있습니다.
물품은 {beside} {x}{ro} 보내 주세요.
{beside} {x} 한빛아파트 101동 1203호
본사({beside} {x})로 찾아오시면 됩니다.
행사 장소\\n{beside} {x}\\n주차 가능
| 지점 | {label} |\\n|---|---|\\n| 본점 | {beside} {x} |
피고의 주거지는 {beside} {x}이다.
"""),
    ("en", "address"): _lines("""
{label}: {x}, {beside}
We moved to {x}, {beside} last spring.
Send the parcel to {x}, Apt 4B, {beside}.
Visit us at {x}.
Hanbit Sample Ltd.\\n{x}\\n{beside}
She rented a room at {x} in {beside} for two years.
"""),
}
# Neutral neighbours: numbers in them are dates, prices and counts, none a person's.
FILLERS = {
    "ko": _lines("""
2024년 3월 12일 기준입니다.
참가비는 1인당 15,000원이며 점심을 드립니다.
비가 오면 다음 주로 미룹니다.
자세한 사항은 아래를 참고하십시오.
이번 모임에는 모두 37명이 왔다.
제3조 제2항에 따라 처리합니다.
평일 09:00부터 18:00까지 엽니다.
ㅋㅋㅋ 진짜 오래 걸렸네요
① 신청 ② 심사 ③ 통보 순서로 진행됩니다.
"""),
    "en": _lines("""
Last updated on March 12, 2024.
Tickets are $15 each and include lunch.
If it rains, we meet a week later.
See the table below.
About 37 people came, 4 more than last year.
Open 9:00-18:00 on weekdays.
Thanks in advance!
See section 3.2 for the rules.
"""),
}
# A kind's frames; those of both languages stand together.
NEGATIVES = {
    "version": "버전 {x}에서 고쳤습니다.|pip install toolbox=={x}"
    "|Release {x} fixes a crash.|v{x}로 올렸다",
    "date": "{x}에 공고했습니다.|작성일: {x}|Posted on {x}.|기간: {x}부터 30일간"
    "|log {x} INFO started",
    "date_range": "접수 기간은 {x}입니다.|({x}) 재임|Years active: {x}.|{x} 시즌",
    "time": "{x}에 시작합니다.|Departs at {x}.|경기 시각 {x}|[{x}] 자막",
    "timestamp": '"created_at": {x},|expires={x}; path=/|epoch {x} 값을 날짜로 바꾼다',
    "isbn": "ISBN {x}|ISBN: {x} (양장)|도서번호 ISBN {x}, 초판"
    "|The paperback (ISBN {x}) is out of print.",
    "issn": "ISSN {x}|학술지(ISSN {x})에 실렸다.|The journal, ISSN {x}, is quarterly.",
    "ean": "바코드 {x}|EAN {x}, 500 ml|상품 바코드는 {x}입니다.|Scan {x} at the till.",
    "ip": "ping {x}|서버 {x}에 접속한다.|listen on {x}|inet {x} netmask|The host {x} is down.",
    "git_hash": "commit {x}|fixed in {x}|{x} 커밋에서 되돌렸다|sha256:{x}",
    "uuid": "id = {x}|요청 번호 {x}|GUID {{{x}}}|trace {x} failed",
    "price": "가격은 {x}입니다.|Total: {x}|총 {x}을 냈다.|It costs {x} a year.",
    "statistics": "응답자의 수치는 {x}였다.|결과: {x}|We found {x}.|({x})",
    "law": "{x}에 따라 처분한다.|「가상법」 {x} 참조|대법원은 {x}에서 판단하였다.|see {x}",
    "product_code": "모델명 {x}|부품 {x} 재고 없음|Part no. {x}|{x} 호환 토너|SKU: {x}",
    "order_number": "주문번호 {x}|관리번호: {x}|Order {x} shipped.|문서번호 {x}호",
    "patent": "특허출원 {x}|특허 제{x}호|Korean patent {x} was cited.",
    "doi": "https://doi.org/{x}|doi:{x}|인용: {x}",
    "sport": "홈팀이 {x}로 이겼다.|Final score {x}.|세트 점수 {x}|기록 {x}",
    "resident_bad_date": "시험용 문자열 {x}|일련번호 {x}|serial {x}|접수 {x}",
    "business_bad_check": "관리 코드 {x}|제품 {x}|Batch {x}|일련번호 {x}",
    "card_bad_check": "일련번호 {x}|쿠폰 코드 {x}|Serial number {x}|License {x}",
    "decorator": "파이썬에서는 {x}처럼 쓴다.|{x}\\ndef index():|use {x} here"
    "|```\\n{x}\\nclass A:\\n```",
    "at_code": "$ {x}|다음을 실행한다: `{x}`|Run {x}\\nand wait.",
    "handle": "트위터 {x}에 올렸다.|Follow {x} for news.|{x} 고마워요!|cc {x}|사진 출처: {x}",
    "maths": "{x}|식 {x}을 풀어라.|Show that {x}.|${x}$ 를 계산하면",
    "constant": "상수 {x}|값은 {x}이다.|approximately {x}|x = {x}",
    "short_code": "급하면 {x}에 전화하세요.|고객센터 {x}|대표번호: {x}"
    "|신고는 국번 없이 {x}|Dial {x}.",
    "coordinates": "좌표는 {x}이다.|GPS: {x}|located at {x}|위치 {x} 부근",
    "bible": "{x} 말씀입니다.|본문: {x}|Reading: {x}|({x})",
    "chapter": "{x} 참조|{x}에서 다룬다.|See {x}.|{x}의 내용을 요약하라",
    "place": "{x}에서 만나자.|{x} 일대가 통제된다.|{x}까지 걸었다.|어제 {x}에 다녀왔다.",
    "place_en": "We walked along {x}.|{x} was closed to cars.|The parade passed {x}.",
    "bank_figures": "{x}.|소식: {x}|오늘 {x} 발표가 있었다.",
}
