"""Personal data in text, found by its form and masked where it stands; only counts leave the room.

E-mail and street addresses, numbers of telephones, residents, aliens, businesses, cards and
accounts, in Korean and English. Where a number has a check digit it decides; where it has none,
what stands beside it does.
"""
