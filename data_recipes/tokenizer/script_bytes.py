"""Which UTF-8 bytes begin a character of some scripts, told by Unicode's property `Script`."""

import sys
from functools import cached_property

import regex

from ..common.errors import RecipeError

_ASCII = range(128)


class ScriptBytes:
    """The characters of scripts, whole and as first bytes of their UTF-8.

    Bytes that only begin a character count as the scripts' if no character of another script
    begins with them. Signs that Unicode gives to no script (`Common`, `Inherited`) may: see
    `shared_signs`.

    Args:
        scripts: names of Unicode's property `Script`, such as `Hangul`, or `Hiragana`, `Katakana`
            and `Han` together.

    Raises:
        RecipeError: a name that Unicode does not know, or a script of ASCII.
    """

    def __init__(self, scripts: list[str]) -> None:
        self.scripts = scripts
        for name in scripts:
            try:
                regex.compile(rf"\p{{Script={name}}}")
            except regex.error as error:
                raise RecipeError(
                    f"scripts: {name!r} is no script of Unicode; give a name of its property "
                    "Script, such as Hangul, Thai, Cyrillic, Devanagari"
                ) from error
        self.pattern = regex.compile("|".join(rf"\p{{Script={name}}}" for name in scripts))
        found = self._find(self.pattern.pattern)
        if any(ord(character) in _ASCII for character in found):
            raise RecipeError(
                f"scripts: {', '.join(scripts)} has ASCII letters, as every text that a tokenizer "
                "knows, so that none would stay as it was; expansion is for another script"
            )
        self.characters = frozenset(found)
        # A script that is not one of ours, in a class of the V1 syntax of `regex`.
        ours = "".join(rf"\p{{Script={name}}}" for name in scripts)
        unscripted = r"\p{Common}\p{Inherited}\p{Unknown}"
        self._beginnings = _first_bytes(found) - _first_bytes(self._find(f"[^{ours}{unscripted}]"))

    def _find(self, pattern: str) -> list[str]:
        return regex.findall(pattern, _all_characters())

    @cached_property
    def shared_signs(self) -> list[str]:
        """Signs of no script that begin with the same bytes, such as the Baht sign among Thai."""
        signs = self._find(r"[\p{Common}\p{Inherited}]")
        return [sign for sign in signs if _first_bytes([sign]) & self._beginnings]

    def begins(self, data: bytes) -> bool:
        """Whether bytes begin in these scripts, after one space at most.

        Text without these scripts (and without `shared_signs`) nowhere holds such bytes: a first
        byte of UTF-8 is never a later one.
        """
        if data[:1] == b" ":
            data = data[1:]
        size = _character_size(data[0]) if data else 0
        if len(data) < size:
            return data in self._beginnings
        return size > 0 and data[:size].decode("utf-8", "replace") in self.characters


def _all_characters() -> str:
    return "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def _first_bytes(characters: list[str]) -> set[bytes]:
    found = set()
    for character in characters:
        data = character.encode()
        found.update(data[:size] for size in range(1, len(data)))
    return found


def _character_size(lead: int) -> int:
    # Bytes of the character that a lead byte begins; 0 for a byte that begins none.
    for size, (mask, bits) in enumerate(((0x80, 0), (0xE0, 0xC0), (0xF0, 0xE0), (0xF8, 0xF0)), 1):
        if lead & mask == bits:
            return size
    return 0
