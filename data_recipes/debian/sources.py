"""Which Debian packages hold manuals in Korean and English, and where in them."""

from dataclasses import dataclass

# Descriptions are written by package maintainers and by the Debian Description Translation
# Project (DDTP), which states no licence of its own for them.
DESCRIPTIONS_LICENCE = "DDTP translations, GPL-2 or the licence of the package described"

ANY = "{language}"
_LOCALE = rf"usr/share/locale/{ANY}/LC_MESSAGES/[^/]*\.mo"
_FAQ_LICENCE = "Debian FAQ licence (copies and changes under the same notice)"

LICENCE_NOTE = (
    "Licences are those that each package's copyright file names for its documentation. "
    "Translated package descriptions (DDTP, GPL-2 or the package's own licence) and the GPL, "
    "CC-BY-SA and GFDL manuals put conditions on redistribution: verify them before you "
    "publish this text or a data set made from it."
)


@dataclass(frozen=True)
class Manual:
    """A documentation package.

    `pages` maps a language to a pattern of member paths; `{language}` in a pattern stands for any
    other language that is asked for.
    """

    package: str
    licence: str
    pages: dict[str, str]

    def members(self, language: str) -> str | None:
        """Pattern of the pages in `language`; None where there cannot be any."""
        pattern = self.pages.get(language) or self.pages.get(ANY)
        return pattern and pattern.replace(ANY, language)


def _gnome(package: str, licence: str) -> Manual:
    page = r"usr/share/help/{}/[^/]+/(?!legal|cc-by-sa)[^/]+\.(page|docbook)"
    return Manual(package, licence, {"en": page.format("C"), ANY: page.format(ANY)})


def _catalogue(package: str, licence: str, path: str = _LOCALE) -> Manual:
    """Messages of a program; the English ones are the keys of the Korean ones."""
    return Manual(package, licence, {"en": path.replace(ANY, "ko"), ANY: path})


# Lists of links, and tables that repeat the first sentence of every page.
_NO_APACHE_INDEX = r"(?!.*(sitemap|directives|quickreference|index|license)\.html)"

MANUALS = (
    Manual(
        "libreoffice-help-{language}",
        "MPL-2.0",
        {ANY: r"usr/share/libreoffice/help/{language}/text/.*\.html"},
    ),
    Manual(
        "libreoffice-help-en-us",
        "MPL-2.0",
        {"en": r"usr/share/libreoffice/help/en-US/text/.*\.html"},
    ),
    Manual(
        "apache2-doc",
        "Apache-2.0",
        {ANY: rf"usr/share/doc/apache2-doc/manual/{ANY}/{_NO_APACHE_INDEX}.*\.html"},
    ),
    _gnome("gnome-user-docs", "CC-BY-SA-3.0"),
    _gnome("gnome-devel-docs", "CC-BY-SA-3.0, CC-BY-SA-4.0, GFDL-1.1+"),
    Manual(
        "installation-guide-amd64",
        "GPL-2",
        {ANY: rf"usr/share/doc/installation-guide-amd64/{ANY}/(?!index).*\.html"},
    ),
    Manual(
        "debian-faq-{language}",
        _FAQ_LICENCE,
        {ANY: rf"usr/share/doc/debian/FAQ/{ANY}/(?!index).*\.html"},
    ),
    Manual(
        "debian-faq", _FAQ_LICENCE, {"en": r"usr/share/doc/debian/FAQ/(?!index)[^/]*\.en\.html"}
    ),
)

# Taken with `--everything`: large, or made of short messages.
MORE_MANUALS = (
    Manual(
        "linux-doc-6.1",
        "GPL-2",
        {
            "en": r"usr/share/doc/linux-doc-6\.1/Documentation/(?!translations/).*\.rst\.gz",
            "ko": r"usr/share/doc/linux-doc-6\.1/Documentation/translations/ko_KR/.*\.rst\.gz",
        },
    ),
    Manual("gimp-help-{language}", "GFDL-1.2+", {ANY: rf"usr/share/gimp/2\.0/help/{ANY}/.*\.html"}),
    Manual("gimp-help-en", "GFDL-1.2+", {"en": r"usr/share/gimp/2\.0/help/en/.*\.html"}),
    Manual(
        "debian-history",
        "GPL-2+",
        {ANY: rf"usr/share/doc/debian-history/docs/(?!index)[^/]*\.{ANY}\.html"},
    ),
    Manual(
        "crawl-common",
        "GPL-2+",
        {
            "en": r"usr/share/crawl/dat/descript/[^/]*\.txt",
            ANY: rf"usr/share/crawl/dat/descript/{ANY}/[^/]*\.txt",
        },
    ),
    Manual("python3.11-doc", "PSF-2.0", {"en": r"usr/share/doc/python3\.11/html/.*\.html"}),
    Manual(
        "postgresql-doc-15",
        "PostgreSQL",
        {"en": r"usr/share/doc/postgresql-doc-15/html/.*\.html"},
    ),
    Manual(
        "mediawiki",
        "GPL-2+",
        {ANY: rf"usr/share/mediawiki/.*/i18n/(.*/)?{ANY}\.json"},
    ),
    _catalogue(
        "libreoffice-l10n-ko",
        "MPL-2.0",
        rf"usr/lib/libreoffice/program/resource/{ANY}/LC_MESSAGES/.*\.mo",
    ),
    _catalogue(
        "wordpress-l10n", "GPL-2+", rf"usr/share/wordpress/wp-content/languages/[^/]*{ANY}_..\.mo"
    ),
    _catalogue("cataclysm-dda-data", "CC-BY-SA-3.0"),
    _catalogue("blender-data", "GPL-2+"),
    _catalogue("inkscape", "GPL-2+"),
    _catalogue("postgresql-15", "PostgreSQL"),
    _catalogue("postgresql-client-15", "PostgreSQL"),
    _catalogue("freeciv-data", "GPL-2+"),
    _catalogue("git", "GPL-2"),
    _catalogue("vlc-l10n", "GPL-2+"),
    _catalogue("gettext", "GPL-3+"),
    _catalogue("iso-codes", "LGPL-2.1+"),
)
