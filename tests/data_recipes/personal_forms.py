"""The forms of telephone numbers, postal addresses and accounts, for `personal_texts`.

In a form `#` is a digit, `%` one that is not 0, `{3-40}` a number between two, `{road}` one of the
names below and `<a|b>` one of the two. What a secret is stands in square brackets.
"""

import random
import re
from typing import NamedTuple

KO, EN = "ko", "en"

PHONES = {
    KO: [
        *["[010-{kx}###-####]"] * 6,
        *(
            "[010 {kx}### ####]",
            "[010{kx}#######]",
            "[010.{kx}###.####]",
            "[010 - {kx}### - ####]",
            "[010-{kx}#######]",
        ),
        *(
            "[010){kx}###-####]",
            "[010–{kx}###–####]",
            "[<011|016|019>-{kx}##-####]",
            "[<011|017|018>-{kx}###-####]",
        ),
        *(
            "[+82 10-{kx}###-####]",
            "[+82-10-{kx}###-####]",
            "[+8210{kx}#######]",
            "[+82 10 {kx}### ####]",
        ),
        *(
            "[(+82)10-{kx}###-####]",
            "[+82 (0)10-{kx}###-####]",
            "[+82)10-{kx}###-####]",
            "[82-10-{kx}###-####]",
        ),
        *(
            "[+82-2-{kx}##-####]",
            "[+82 2 {kx}### ####]",
            "[+82 (0)2-{kx}###-####]",
            "[+82-31-{kx}##-####]",
        ),
        *(
            "[02-{kx}##-####]",
            "[02-{kx}###-####]",
            "[02){kx}##-####]",
            "[(02) {kx}##-####]",
            "[(02){kx}###-####]",
        ),
        *(
            "[02.{kx}##.####]",
            "[02 {kx}### ####]",
            "[02{kx}######]",
            "[{area}-{kx}##-####]",
            "[{area}-{kx}##-####]",
        ),
        *(
            "[{area}.{kx}##.####]",
            "[{area}){kx}##-####]",
            "[({area}) {kx}##-####]",
            "[{area} {kx}##-####]",
        ),
        *(
            "[{area}{kx}######]",
            "[070-{kx}###-####]",
            "[070.{kx}###.####]",
            "[0505-{kx}##-####]",
            "[050{2-8}-{kx}###-####]",
        ),
        *("[02-{kx}##-####]<(내선 %##)| 내선 %##|(교환 %)>", "[{area}-{kx}##-####]<~%|/%###>"),
    ],
    EN: [
        *["[{us}-{ex}-####]", "[({us}) {ex}-####]"] * 4,
        *("[{us}.{ex}.####]", "[{us} {ex} ####]", "[({us}){ex}-####]", "[({us}) {ex} ####]"),
        *(
            "[+1 {us} {ex} ####]",
            "[+1 ({us}) {ex}-####]",
            "[+1-{us}-{ex}-####]",
            "[+1{us}{ex}####]",
        ),
        *("[1-{us}-{ex}-####]", "[+1.{us}.{ex}.####]", "[1 ({us}) {ex}-####]", "[{us}/{ex}-####]"),
        *(
            "[{us}-{ex}-####] <ext. %##|x%##|ext %###|extension %##>",
            "[({us}) {ex}-####] <Ext. %#|x%###>",
        ),
        *(
            "[{us}-{ex}-####], ext. %##",
            "[{us}-{ex}-####]x%##",
            "[020 7{2-9}## ####]",
            "[0<207|208> %## ####]",
        ),
        *(
            "[(020) 7%## ####]",
            "[020-7%##-####]",
            "[+44 20 7{2-9}## ####]",
            "[+44 (0)20 7{2-9}## ####]",
        ),
        *(
            "[+44 (0) 20 8{2-9}## ####]",
            "[07{4-9}## ######]",
            "[07{4-9}## ### ###]",
            "[07{4-9}########]",
        ),
        *(
            "[+44 7{4-9}## ######]",
            "[+447{4-9}########]",
            "[+44 (0)7{4-9}## ### ###]",
            "[0161 {kx}## ####]",
        ),
        *(
            "[0113 {kx}## ####] ext %##",
            "[0{ukarea} {kx}#####]",
            "[(0{ukarea}) {kx}#####]",
            "[+44 {ukarea} {kx}#####]",
        ),
        *("[+61 2 9%## ####]", "[+33 1 4# ## ## ##]", "[+49 30 {kx}#######]", "[+81-3-%###-####]"),
        *("[+91 9#### #####]", "[+353 1 %## ####]", "[+65 6### ####]"),
    ],
    "bare": ["[{us}{ex}####]", "[1{us}{ex}####]"],
}
REGIONS = """
서울특별시|서울시|서울;강남구;역삼동|삼성동|논현동;테헤란로|봉은사로|언주로30길
서울특별시|서울시|서울;마포구;합정동|서교동|상암동;월드컵북로|양화로6길|와우산로29가길
서울특별시|서울;종로구;관철동|명륜3가|종로5가;세종대로|종로|율곡로3길
서울|서울시;관악구;신림동|봉천동;관악로|남부순환로|신림로23길
부산광역시|부산시|부산;해운대구;우동|중동|좌동;센텀중앙로|해운대로570번길|달맞이길
대구광역시|대구;수성구;범어동|두산동;달구벌대로|동대구로|들안로1길
인천광역시|인천;연수구;송도동|옥련동;컨벤시아대로|송도과학로|청능대로289번길
광주광역시|광주;서구;치평동|쌍촌동;상무중앙로|시청로|운천로32번길
대전광역시|대전시|대전;유성구;봉명동|궁동|전민동;대학로|계룡로123번길|엑스포로
울산광역시|울산;남구;삼산동|신정동;삼산로|중앙로|돋질로87번길
경기도|경기;성남시 분당구;정자동|삼평동;판교역로|성남대로|정자일로177번길
경기도|경기;수원시 영통구;매탄동|이의동;광교로|영통로217번길|삼성로
경기도;파주시 문산읍;선유리|문산리;통일로|문향로|방촌로1719번길
강원도|강원특별자치도|강원;평창군 대관령면;횡계리|차항리;대관령로|올림픽로|송천길
충청북도|충북;청주시 흥덕구;복대동|가경동;가로수로|직지대로|풍산로15번길
충청남도|충남;홍성군 홍북읍;신경리|상하리;충남대로|홍예공원로|신경1길
전라북도|전북;전주시 완산구;효자동3가|중화산동;기린대로|홍산로|팔달로112-5번길
전라남도|전남;순천시;연향동|조례동;연향번영길|백강로|이수로
경상북도|경북;안동시 풍천면;갈전리|하회리;도청대로|풍요로|하회종가길
경상남도|경남;창원시 성산구;상남동|중앙동;원이대로|중앙대로|마디미로4번길
제주특별자치도|제주도|제주;제주시;연동|노형동;노연로|1100로|신대로12길
세종특별자치시|세종시;;어진동|나성동|보람동;한누리대로|갈매로|도움1로
""".strip().splitlines()
UNIT = (
    "<||||, {1-15}층| {1-9}층|, {1-25}0%호| {101-120}동 {1-19}0%호|"
    ", {101-109}동 {1-19}0%호| 지하 1층|, B동 {1-9}0%호>"
)
BUILDING = "<한빛빌딩|그랑서울|누리타워|미래프라자|푸른숲아파트>"
STREETS = (
    "Main|Oak|Maple|Elm|Washington|Lincoln|Park|Cedar Hill|Martin Luther King Jr.|W 34th|5th|"
    "E. 42nd|North Lake|Ridgewood|San Fernando|St. James|O'Connell|Saddle Creek|Market|NE Alder"
)
TYPES = (
    "Street|St|St.|Avenue|Ave|Ave.|Road|Rd|Rd.|Boulevard|Blvd|Blvd.|Lane|Ln|Drive|Dr|Dr.|Court|Ct|Place|"
    "Way|Circle|Parkway|Pkwy|Terrace|Highway"
)
UK_STREETS = "High|Station|Church|Victoria|Gloucester|King's|Mill|London|St John's"
UK_TYPES = (
    "Street|Road|Lane|Close|Avenue|Gardens|Crescent|Mews|Terrace|Square|Hill|Grove|Drive|Place"
)
CITY = (
    "<Springfield, IL 6####|Austin, TX 787##|Portland, OR 972##|San Jose, CA 951##-%###|"
    "New York, NY 100##|Columbus, Ohio|Boston, MA|Seattle WA 981##|Denver, Colorado 802##>"
)
UK_CITY = (
    "<London SW1A %AB|Oxford OX%% %QD|Leeds, LS%% %JT|Manchester M%% %ER|Bath|York, YO1 %HH, UK>"
)
ROMAN = "Teheran-ro|Sejong-daero 23-gil|Bongeunsa-ro|Yanghwa-ro|Haeun-daero 570beon-gil"

ADDRESSES = {
    KO: [
        *["{region} [{road} {number}{unit}]"] * 6,
        *[
            "{region} [{lot} {1-1500}-{1-40}{unit}]",
            "{region} [{lot} {1-1500}<번지||-{1-9}번지>{unit}]",
        ]
        * 2,
        "{region} [{lot} 산 {1-99}-{1-9}]",
        "{region} [{road} {number}]({lot})",
        "{region} [{road} {number}{unit}] ({lot}, {building})",
        "{region} [{road} {number}] {building} {1-15}층",
        "{region} {lot} {building} [{101-120}동 {1-19}0%호]",
        "<(#####) |우)##### |[#####] >{region} [{road} {number}{unit}]",
        "{region} [{road} 지하 {number}]",
        "{region}[{road}{number}]",
    ],
    EN: [
        *["[{1-12999} {street}{us_unit}], {city}"] * 6,
        "[{1-999} {street}, ＃{1-40}<A|>], {city}",
        "[{1-40} {us_uk}], {uk}",
        "[{1-240}<A|B|> {us_uk}], {uk}",
        "[Flat {1-30}, {1-240} {us_uk}], {uk}",
        "[P.O. Box %###], {city}",
        "[{1-99}-{1-99} {street}], Queens, NY 11###",
        "[%### Broadway], New York, NY 100##",
        "[{1-500}<|-{1-9}>, {roman}], <Gangnam-gu, Seoul|Haeundae-gu, Busan, Korea>",
        "[{1-500} {roman}<|, {2-15}F>], <Mapo-gu, Seoul ####%|Bundang-gu, Seongnam-si>",
    ],
}


class Bank(NamedTuple):
    """Names of a bank, forms of its numbers and orders in which both are written."""

    names: list[str]
    numbers: list[str]
    orders: list[str]


ORDERS = {
    KO: "{bank} {number};{bank} {number};{bank} {number};{bank}: {number};{bank} 계좌 {number};"
    "{number} {bank};{number} ({bank});{bank}) {number};{bank}/{number};{number}, {bank};"
    "{bank}{number};{bank} 계좌번호 {number};{bank}-{number};{bank}({number})",
    EN: "{bank} {number};{bank} account {number};{bank}, a/c {number};{bank} acct #{number};"
    "{number} ({bank});{bank}, account no. {number};{bank} account number {number};"
    "{bank} (acct. {number});{bank}: {number}",
    "uk": "{bank}, sort code 20-45-67, account {number};{bank} 20-45-67 {number};"
    "{bank}, sort code: 40-12-09, account number: {number};{bank} a/c {number};"
    "{bank} account {number}",
}
BANKS = """
ko;KB국민은행|국민은행|국민|KB국민;######-%#-######|%##-##-####-###|%##%01-04-######
ko;신한은행|신한;110-###-######|140-###-######|%##-##-######
ko;우리은행|우리;1002-###-######|1005-%##-######|%##-######-02-###
ko;하나은행|하나|KEB하나은행;%##-######-#####|%##-910###-#####
ko;농협|NH농협|농협은행|NH농협은행;302-####-####-%1|356-####-####-%3|%##-##-######|301-####-####-#1
ko;기업은행|IBK기업은행|기업;%##-######-##-###|%##-######-01-###
ko;카카오뱅크|카뱅;3333-%#-#######|7979-%#-#######
ko;토스뱅크|토스;1000-####-####|1001-####-####
ko;케이뱅크|케이;100-%##-######
ko;새마을금고|MG새마을금고;9002-####-####-#|9003-####-####-#
ko;우체국|우체국은행;%#####-02-######|%#####-01-######
ko;SC제일은행|제일은행;%##-20-######|%##-10-######
ko;대구은행|iM뱅크;508-##-######-#|504-##-######-#
ko;부산은행|BNK부산은행;112-####-####-##|101-####-####-##
ko;경남은행;207-####-####-##
ko;광주은행;%##-%##-######
ko;전북은행|수협|수협은행;1010-####-####|1013-##-#######
ko;제주은행|신협;%##-%##-######|131-0##-######
ko;씨티은행|한국씨티은행;%##-#####-###|%##-#####-###-##
ko;산업은행|KDB산업은행;020-####-####-###
en;Chase|Bank of America|Wells Fargo|Citibank;%########|%###########|%### #### ####|000%########
en;U.S. Bank|PNC Bank|Capital One|TD Bank;%########|%#########|%###########|000%########
uk;Barclays|HSBC UK|Lloyds Bank|NatWest|Santander|Monzo|Nationwide;%#######
en;HSBC|DBS|Standard Chartered;%##-######-###|%##-######-#|%##-##-######-#
en;Shinhan Bank|Woori Bank;110-###-######|1002-###-######
en;Kookmin Bank|KB Kookmin Bank;######-%#-######
en;Hana Bank|NH Bank|Nonghyup Bank;%##-######-#####|302-####-####-%1
en;Industrial Bank of Korea|IBK|KakaoBank|Toss Bank;%##-######-##-###|3333-%#-#######
""".strip().splitlines()
ACCOUNTS: dict[str, list[Bank]] = {KO: [], EN: []}
for line in BANKS:
    kind, names, numbers = line.split(";")
    bank = Bank(names.split("|"), numbers.split("|"), ORDERS[kind].split(";"))
    ACCOUNTS[KO if kind == KO else EN].append(bank)


def named(rng: random.Random, region: str) -> dict[str, str]:
    """What the names in braces stand for; region, lot and road of one place."""
    provinces, district, lots, roads = (part.split("|") for part in region.split(";"))
    return {
        "region": f"{rng.choice(provinces)} {district[0]}".strip(),
        "lot": rng.choice(lots),
        "road": rng.choice(roads),
        "number": "<{1-480}|{1-480}-{1-30}>",
        "unit": UNIT,
        "building": BUILDING,
        "street": f"<{STREETS}> <{TYPES}>",
        "us_unit": "<, Apt {1-40}<A|B|>|, Suite {1-90}00|, Unit {1-30}| Apt. {1-99}|||>",
        "us_uk": f"<{UK_STREETS}> <{UK_TYPES}>",
        "city": CITY,
        "uk": UK_CITY,
        "roman": f"<{ROMAN}>",
        "area": "<031|032|033|041|042|043|044|051|052|053|054|055|061|062|063|064>",
        "us": "<212|415|312|617|206|303|512|702|919|480>",
        "ukarea": "<1202|1223|1382|1432|1524|1603|1865|1904>",
        "kx": "<2|3|4|5|6|7|8|9>",
        "ex": "<2|3|4|6|7|8|9><2|3|4|6|7|8>#",
    }


def pattern(rng: random.Random, form: str) -> str:
    """Write out a form; ValueError for a name in braces that there is not."""
    names = named(rng, rng.choice(REGIONS))
    while found := re.search(r"<([^<>]*)>|\{([^{}]*)\}", form):
        if found[2] is None:
            value = rng.choice(found[1].split("|"))
        elif found[2] in names:
            value = names[found[2]]
        else:
            low, high = found[2].split("-")
            value = str(rng.randint(int(low), int(high)))
        form = form[: found.start()] + value + form[found.end() :]
    form = re.sub("%", lambda _: rng.choice("123456789"), form)
    return re.sub("#", lambda _: rng.choice("0123456789"), form).replace("＃", "#")
