"""Which Debian packages hold manuals in Korean and English, and where in them."""

from dataclasses import dataclass

# Descriptions are written by package maintainers and by the Debian Description Translation
# Project (DDTP), which states no licence of its own for them.
DESCRIPTIONS_LICENCE = "DDTP translations, GPL-2 or the licence of the package described"

_FAQ_LICENCE = "Debian FAQ licence (copies and changes under the same notice)"

LICENCE_NOTE = (
    "Licences are those that each package's copyright file names for its documentation. "
    "Translated package descriptions (DDTP, GPL-2 or the package's own licence) and the GPL, "
    "CC-BY-SA and GFDL manuals put conditions on redistribution: verify them before you "
    "publish this text or a data set made from it."
)


@dataclass(frozen=True)
class Manual:
    """A documentation package. `pages` maps a language to a pattern of member paths."""

    package: str
    licence: str
    pages: dict[str, str]


def _gnome(package: str, licence: str) -> Manual:
    page = r"usr/share/help/{}/[^/]+/(?!legal|cc-by-sa)[^/]+\.(page|docbook)"
    return Manual(package, licence, {"ko": page.format("ko"), "en": page.format("C")})


# Lists of links, and tables that repeat the first sentence of every page.
_NO_APACHE_INDEX = r"(?!.*(sitemap|directives|quickreference|index|license)\.html)"

MANUALS = (
    Manual(
        "libreoffice-help-ko", "MPL-2.0", {"ko": r"usr/share/libreoffice/help/ko/text/.*\.html"}
    ),
    Manual(
        "libreoffice-help-en-us",
        "MPL-2.0",
        {"en": r"usr/share/libreoffice/help/en-US/text/.*\.html"},
    ),
    Manual(
        "apache2-doc",
        "Apache-2.0",
        {
            language: rf"usr/share/doc/apache2-doc/manual/{language}/{_NO_APACHE_INDEX}.*\.html"
            for language in ("ko", "en")
        },
    ),
    _gnome("gnome-user-docs", "CC-BY-SA-3.0"),
    _gnome("gnome-devel-docs", "CC-BY-SA-3.0, CC-BY-SA-4.0, GFDL-1.1+"),
    Manual(
        "installation-guide-amd64",
        "GPL-2",
        {
            language: rf"usr/share/doc/installation-guide-amd64/{language}/(?!index).*\.html"
            for language in ("ko", "en")
        },
    ),
    Manual("debian-faq-ko", _FAQ_LICENCE, {"ko": r"usr/share/doc/debian/FAQ/ko/(?!index).*\.html"}),
    Manual(
        "debian-faq", _FAQ_LICENCE, {"en": r"usr/share/doc/debian/FAQ/(?!index)[^/]*\.en\.html"}
    ),
)
