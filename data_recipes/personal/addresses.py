"""Street addresses: Korean ones by road and by lot, and English ones."""

import re
from collections.abc import Iterator

# What tells an address from a particle 로.
PROVINCES = (
    "서울특별시 서울시 서울 부산광역시 부산시 부산 대구광역시 대구시 대구 인천광역시 인천시 "
    "인천 광주광역시 광주시 광주 대전광역시 대전시 대전 울산광역시 울산시 울산 "
    "세종특별자치시 세종시 세종 경기도 경기 강원특별자치도 강원도 강원 충청북도 충북 "
    "충청남도 충남 전북특별자치도 전라북도 전북 전라남도 전남 경상북도 경북 경상남도 경남 "
    "제주특별자치도 제주도 제주"
).split()
# Cities, counties and wards, without those that are provinces too; written down by us, not taken
# from a list, so that new ones of after 2024 may be missing.
DISTRICTS = (
    "종로구 중구 용산구 성동구 광진구 동대문구 중랑구 성북구 강북구 도봉구 노원구 은평구 "
    "서대문구 마포구 양천구 강서구 구로구 금천구 영등포구 동작구 관악구 서초구 강남구 송파구 "
    "강동구 서구 동구 영도구 부산진구 동래구 남구 북구 해운대구 사하구 금정구 연제구 수영구 "
    "사상구 기장군 수성구 달서구 달성군 군위군 미추홀구 연수구 남동구 부평구 계양구 강화군 "
    "옹진군 광산구 유성구 대덕구 울주군 수원시 장안구 권선구 팔달구 영통구 성남시 수정구 "
    "중원구 분당구 의정부시 안양시 만안구 동안구 부천시 원미구 소사구 오정구 광명시 평택시 "
    "동두천시 안산시 상록구 단원구 고양시 덕양구 일산동구 일산서구 과천시 구리시 남양주시 "
    "오산시 시흥시 군포시 의왕시 하남시 용인시 처인구 기흥구 수지구 파주시 이천시 안성시 "
    "김포시 화성시 양주시 포천시 여주시 연천군 가평군 양평군 춘천시 원주시 강릉시 동해시 "
    "태백시 속초시 삼척시 홍천군 횡성군 영월군 평창군 정선군 철원군 화천군 양구군 인제군 "
    "고성군 양양군 청주시 상당구 서원구 흥덕구 청원구 충주시 제천시 보은군 옥천군 영동군 "
    "증평군 진천군 괴산군 음성군 단양군 천안시 동남구 서북구 공주시 보령시 아산시 서산시 "
    "논산시 계룡시 당진시 금산군 부여군 서천군 청양군 홍성군 예산군 태안군 전주시 완산구 "
    "덕진구 군산시 익산시 정읍시 남원시 김제시 완주군 진안군 무주군 장수군 임실군 순창군 "
    "고창군 부안군 목포시 여수시 순천시 나주시 광양시 담양군 곡성군 구례군 고흥군 보성군 "
    "화순군 장흥군 강진군 해남군 영암군 무안군 함평군 영광군 장성군 완도군 진도군 신안군 "
    "포항시 경주시 김천시 안동시 구미시 영주시 영천시 상주시 문경시 경산시 의성군 청송군 "
    "영양군 영덕군 청도군 고령군 성주군 칠곡군 예천군 봉화군 울진군 울릉군 창원시 의창구 "
    "성산구 마산합포구 마산회원구 진해구 진주시 통영시 사천시 김해시 밀양시 거제시 양산시 "
    "의령군 함안군 창녕군 남해군 하동군 산청군 함양군 거창군 합천군 제주시 서귀포시"
).split()

# The trigger of a Korean address: the end of a road's or place's name, and a number.
_ROAD_END = re.compile(r"[로길동리가읍면][ ]?(?:지하[ ]?|산[ ]?)?[0-9]")
# A longer address is not looked at before the road.
_BEFORE = 60
# Behind the number of a house: lot, building, floor, room.
_BUILDINGS = "아파트|빌라|빌딩|타워|오피스텔|맨션|주택|하이츠|자이|푸르지오|래미안"
_DETAIL = (
    r"(?:[ ]?번지)?(?:,?[ ]?\((?:[가-힣0-9·., ]{2,30})\))?"
    rf"(?:,?[ ]?(?:[가-힣A-Za-z0-9]{{2,15}}(?:{_BUILDINGS}|[ ](?=[0-9]{{1,4}}동[ ]?[0-9]+호)))?"
    r"[ ]?(?:[A-Za-z가-힣]|[0-9]{1,4})동(?=[ ,0-9]|$))?"
    r"(?:,?[ ]?(?:지하[ ]?|B)?[0-9]{1,3}층)?(?:,?[ ]?[A-Z]?[0-9]{1,5}(?:-[0-9]{1,3})?호)?"
)
_NUMBER = r"(?:지하[ ]?|산[ ]?)?[1-9][0-9]{0,4}(?:[ ]?[-－–][ ]?[1-9][0-9]{0,3})?"
# Amounts that follow the particles 로, 가, 면 and are no house.
_UNITS = (
    "개|번(?!지|길)|년|월|일|명|원|%|퍼센트|회|번째|차|시간|시\\b|분|초|배|위|종|권|건|점|세\\b"
    "|대\\b(?![ ][0-9,.]+[ ]?(?:㎡|m²))|살(?![다았고며던])"
    "|만|억|천|백|주일|차로|차선|평\\b|톤|헥타르|도\\b|㎞|㎡|㎢|㎝|㎜|㎏|㏊|ha\\b|주\\b|주년|단계|가지|곳|쪽|페이지|장\\b|절|킬로|미터|km|kg|m\\b|cm|GB|MB|여"
)
# Nor is the number in the name of a quarter, where a lot follows: 학동2동 180.
_NO_AMOUNT = (
    rf"(?![0-9.,]*[ ]?(?:{_UNITS})|\.[0-9])"
    r"(?![-－–]?[0-9A-Za-z]|번?길|(?<![0-9-][0-9])가(?![가-힣]))"
    r"(?!동[ ](?:산[ ]?)?[1-9][0-9]*(?:-[0-9]+)?(?:번지)?(?![0-9호동층-]))"
)
_SIDE = r"(?:[ ]?[0-9]{1,4}(?:-[0-9]{1,3})?[가-힣]?(?:번)?길)?"
_PLACE = (
    rf"(?:(?:{'|'.join(PROVINCES)})[ ]?"
    rf"(?:(?:{'|'.join(DISTRICTS)})[ ]?|[가-힣]{{1,5}}[시군구][ ]){{0,2}}"
    rf"|(?:(?:{'|'.join(DISTRICTS)})[ ]?){{1,2}})"
)
_QUARTER = r"(?:[가-힣]{1,6}[0-9]?동[ ])?"
_TOWN = r"(?:[가-힣]{1,6}[0-9]?[읍면][ ])?"
_SAYS = (
    r"(?:주소|거주지|배송지|소재지|사는 곳|본적|도로명|지번|자택|address)[^0-9가-힣\n]{0,6}"
    r"(?:[은는이가][ ])?"
)
_KOREAN = re.compile(
    rf"(?:(?:\(?[0-9]{{5}}\)?[ ])?{_PLACE}{_QUARTER}|{_SAYS}(?:[가-힣]{{1,6}}[시군구도동][ ])*)"
    rf"(?:(?P<road>{_TOWN}(?:[가-힣][가-힣0-9·.]{{0,12}}?|(?=[0-9·.]{{3,5}}대?로)[0-9·.]+?))"
    rf"(?:(?:대로|로|길){_SIDE}|[0-9]?동(?:[0-9]가)?|리|[0-9]가)[ ]?{_NUMBER}{_NO_AMOUNT}{_DETAIL}"
    # A house by its name, and flat, without a lot
    rf"|{_TOWN}(?:[가-힣]{{1,6}}[0-9]?(?:동|리|[0-9]가)[ ])?"
    rf"(?P<house>[가-힣A-Za-z][가-힣A-Za-z0-9]{{1,19}}[ ][0-9]{{1,4}}동[ ]?[0-9]{{1,5}}호))"
)
_ANYWHERE = re.compile("|".join(map(re.escape, (*PROVINCES, *DISTRICTS))) + f"|{_SAYS}", re.I)

STREETS = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Terrace|Ter"
    "|Parkway|Pkwy|Square|Sq|Highway|Hwy|Crescent|Cres|Close|Way|Circle|Cir|Trail|Mews|Gardens"
    "|Grove|Row|Hill"
)
_UNIT = (
    r"(?P<unit>,?[ ](?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Floor|Fl|#)\.?[ ]?#?"
    r"[0-9A-Za-z-]{1,6}|[0-9]{1,3}F(?![0-9A-Za-z])))?"
)
# The trigger of an English address, and what it can be: a house and a street, or a romanised road.
_HOUSE = re.compile(
    r"[1-9](?<![0-9A-Za-z_.:/-][1-9])[0-9]{0,5}[A-Za-z]?(?:-[0-9]{1,4})?(?=,?[ ][A-Z0-9])"
)
_ENGLISH = re.compile(
    r"[0-9]+[A-Za-z]?(?:-[0-9]+)?,?[ ](?:"
    # British streets with no name but that
    r"The[ ](?:Avenue|Close|Crescent|Drive|Gardens|Green|Grove|Lane|Mews|Parade|Square|Street"
    r"|Terrace)(?![0-9A-Za-z_À-ž]|[ ][A-Z][a-z])"
    r"|(?:(?:[NSEW]|NE|NW|SE|SW|North|South|East|West)\.?[ ])?"
    r"(?!(?:The|This|That|An?|In|If|No|One|Hour|Minute|Week|Month|Year)[ ])"
    # O'Connell, McKinley, DeKalb, John F., King Jr.
    r"(?:(?:[A-Z]['’])?[A-Z][a-z]+(?:[A-Z][a-z]+|['’]s?)?\.?[ ](?:[A-Z]\.[ ])?"
    r"|[0-9]{1,3}(?:st|nd|rd|th)[ ]){1,4}"
    rf"(?:{STREETS})(?![0-9A-Za-z_À-ž])(?:\.(?=[ ,\n]))?(?:[ ](?:[NSEW]|NE|NW|SE|SW)(?![A-Za-z]))?"
    r"|(?:Broadway|Bowery|Piccadilly|Whitehall|Avenue of the Americas)(?=,[ ][A-Z]|[ ]*(?:\n|\Z))"
    rf"|[A-Z][a-z]{{1,20}}[0-9]{{0,2}}(?:-(?:ro|gil)|-?daero)(?![A-Za-z])"
    rf"(?:[ ]?[0-9]{{1,3}}(?:beon)?-?gil)?){_UNIT}"
)
# Before the house: "Flat 3, ", "101-dong, 1203-ho, ".
_PART = "[A-Z]?[0-9]{1,4}-?(?:ho|dong|F),?[ ]"
_FLAT = re.compile(
    rf"(?:(?:Flat|Apt|Apartment|Unit|Suite|Room)\.?[ ]#?[0-9A-Z-]{{1,6}},?[ ]|{_PART})"
    rf"(?:{_PART})?\Z"
)
# Roads before their numbers, and post boxes.
_ROAD_FIRST = re.compile(
    rf"(?:-ro|-daero|-gil)(?:[ ][0-9]{{1,3}}(?:beon)?-?gil)?[ ][1-9][0-9]{{0,4}}"
    rf"(?:-[0-9]{{1,4}})?{_UNIT}"
)
_YEAR = re.compile("(?:19|20)[0-9]{2}(,?)[ ]")
_PART_OF = re.compile(r"\b(?:Chapter|Part|Act|Scene|Book|Volume|Vol\.|Episode|Level|Track) \Z")
_GOES_ON = re.compile("[ ][a-z]")
_WORD = re.compile(r"[A-Z][a-z]{1,20}\Z")
_BOX = re.compile(r"P\.?[ ]?O\.?[ ]Box[ ][1-9][0-9]{0,6}")


def _in_year(found: re.Match[str]) -> bool:
    """Whether a year stands where a house would, before a sentence that goes on."""
    year = _YEAR.match(found[0]) if found["unit"] is None else None
    return bool(year and (year[1] or _GOES_ON.match(found.string, found.end())))


def find_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Find where the identifying part of street addresses stands, without overlaps.

    That is the name of the road, or of town and village, with the numbers behind it; city and
    district stay.
    """
    last = 0
    for end in _ROAD_END.finditer(text):
        if end.start() < last:
            continue
        line = max(last, text.rfind("\n", 0, end.start()) + 1, end.start() - _BEFORE)
        if _ANYWHERE.search(text, line, end.end()) is None:
            continue
        found = _KOREAN.search(text, line, end.end() + _BEFORE)
        if found is not None and found.start() < end.start():
            last = found.end()
            yield max(found.start("road"), found.start("house")), last
    for house in _HOUSE.finditer(text):
        found = _ENGLISH.match(text, house.start())
        part = found and _PART_OF.search(text, max(0, house.start() - 12), house.start())
        if found is not None and not part and not _in_year(found):
            flat = _FLAT.search(text, max(0, found.start() - 24), found.start())
            yield (flat or found).start(), found.end()
    for found in _ROAD_FIRST.finditer(text):
        word = _WORD.search(text, max(0, found.start() - 21), found.start())
        if word is not None:
            yield word.start(), found.end()
    for found in _BOX.finditer(text):
        yield found.span()
