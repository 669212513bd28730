"""The page: a table a split, yes and no, agreement of languages, and a sheet of pictures."""

import io
from typing import Any

from data_recipes.common.page import Cell, Details, Heading, Page, Paragraph, Picture, Table, made
from data_recipes.common.terminal import align
from data_recipes.read.pictures import open_picture

from .inquiry import Inquiry
from .items import PictureQuestion, score_of
from .scores import GivenAnswers

_TILE, _LABEL, _ACROSS = 128, 14, 6  # of the contact sheet: pixels, of the number, and pictures
_SHEET = 24


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _figure(own: dict[str, Any]) -> Cell:
    low, high = own["interval"]
    text = f"{_percent(own['share'])} ({_percent(low)} to {_percent(high)})"
    return Cell(text, bar=own["share"])


def _rows(result: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    rows = []
    for language, own in result["languages"].items():
        rows.append((language, "all", own["all"]))
        # A set of one kind needs no line for it.
        kinds = own["kinds"].items() if len(own["kinds"]) > 1 else ()
        rows += [(language, kind, share) for kind, share in kinds]
    for name, groups in result["groups"].items():
        rows += [(name, value, share) for value, share in groups.items()]
    return rows


def _sights(result: dict[str, Any]) -> list[str]:
    any_share = next(iter(result["languages"].values()))["all"]
    return [name for name, own in any_share.items() if isinstance(own, dict)]


def _sees(own: dict[str, Any], blind: list[str]) -> Cell:
    """Whether seeing helps: the smallest lead over the blind, with its interval."""
    leads = [own[sight]["seen_less_this"] for sight in blind]
    least = min(leads, key=lambda lead: lead["second"] - lead["first"])
    low, high = least["low"], least["high"]
    text = f"{100 * (least['second'] - least['first']):+.1f}"
    if low is None or high is None:
        return Cell(text, tone="dim")
    text += f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return Cell(text, tone="good" if low > 0 else "bad" if high < 0 else "dim")


def _shares(result: dict[str, Any]) -> Table:
    sights = _sights(result)
    columns = ["taken by", "kind", "questions>", *(f"{s}>" for s in sights), "least lead>"]
    rows = [
        [
            Cell(language),
            Cell(kind),
            Cell(str(own["questions"])),
            *(_figure(own[sight]) for sight in sights),
            _sees(own, sights[1:]),
        ]
        for language, kind, own in _rows(result)
    ]
    return Table(columns, rows, "percent right, with 95 % intervals")


def _shown(sights: list[str]) -> str:
    """Say what the model was shown, of what it was shown at all."""
    if "blank" not in sights:
        return "seen: with the name of what the picture shows, as this model is shown none;"
    return "seen: with the picture; blank: with a grey one; swapped: with one of another thing;"


def _yes_no(result: dict[str, Any]) -> Table:
    columns = ["language", "shown", "questions>", "accuracy>", "precision>", "recall>"]
    columns += ["says yes>", "is yes>", "neither>"]
    rows = [
        [language, sight, str(own["questions"])]
        + [_percent(own[k]) for k in ("accuracy", "precision", "recall", "yes_share", "true_share")]
        + [str(own["neither_yes_nor_no"])]
        for language, of in result["languages"].items()
        for sight, own in of["yes_no"].items()
    ]
    return Table(columns, rows, "yes and no, percent")


def _languages(result: dict[str, Any]) -> Table:
    rows = [
        [f"{a} and {b}", str(own["items"])]
        + [str(own[k]) for k in ("both", "first_only", "second_only", "neither")]
        + [_percent(own["same"])]
        for own in result["consistency"]
        for a, b in [own["languages"]]
    ]
    columns = ["languages", "questions>", "both right>", "first alone>", "second alone>"]
    return Table([*columns, "neither>", "same>"], rows, "one question in two languages")


def _sheet(items: list[PictureQuestion], split: str) -> Picture:
    from PIL import Image, ImageDraw, ImageOps

    down = -(-len(items) // _ACROSS)
    sheet = Image.new("RGB", (_ACROSS * _TILE, down * _TILE), "white")
    pen = ImageDraw.Draw(sheet)
    for place, item in enumerate(items):
        row, column = divmod(place, _ACROSS)
        picture = ImageOps.contain(open_picture(item.pictures[0]), (_TILE - 4, _TILE - _LABEL))
        sheet.paste(picture, (column * _TILE, row * _TILE + _LABEL))
        pen.text((column * _TILE + 3, row * _TILE), str(place + 1), "black")
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return Picture(stream.getvalue(), f"pictures of {split}", f"{split}.png")


def _spread(items: list[PictureQuestion]) -> list[PictureQuestion]:
    return (
        [items[i * len(items) // _SHEET] for i in range(_SHEET)] if len(items) > _SHEET else items
    )


def _contact(items: list[PictureQuestion], answers: GivenAnswers, split: str) -> Details:
    chosen = _spread(items)
    rows = []
    for place, item in enumerate(chosen, 1):
        given = [own[item.id] for own in answers.values()]
        cells = [
            Cell(text, tone="good" if score_of(item, text) > 0.5 else "bad", language=item.language)
            for text in given
        ]
        question = Cell(item.question, language=item.language)
        rows.append([str(place), item.kind, question, Cell(item.answers[0]), *cells])
    columns = ["", "kind", "question", "right", *answers]
    sheet = _sheet(chosen, split)
    return Details("pictures, questions and answers", [sheet, Table(columns, rows)], open=True)


def build_page(
    inquiry: Inquiry,
    model: str,
    folder: str,
    results: dict[str, Any],
    items: dict[str, list[PictureQuestion]],
    answers: dict[str, GivenAnswers],
) -> Page:
    """Lay the results out.

    Args:
        inquiry: what was asked.
        model: its name.
        folder: of the picture set.
        results: of `score`, by split.
        items: by split.
        answers: by split.
    """
    sights = _sights(next(iter(results.values())))
    page = Page(f"{inquiry.title}: {model}")
    page.add(
        made(),
        Paragraph(
            f"Questions of {folder}. {_shown(sights)} {inquiry.blind_means} An answer is right "
            "that equals one that the set lists, case, articles, verb endings and punctuation "
            "aside. least lead: how far seeing is ahead of the best of the blind. Answers about "
            "one thing count as dependent."
        ),
    )
    for split, result in results.items():
        page.add(Heading(split), Paragraph(inquiry.splits.get(split, ""), "dim"), _shares(result))
        if any(own["yes_no"] for own in result["languages"].values()):
            page.add(_yes_no(result))
        if result["consistency"]:
            page.add(_languages(result))
        spoken = "; ".join(
            f"{language}: {own['answers_in_language']} of {own['all']['questions']} answers in it, "
            f"{own['answers_in_other_language']} in another, "
            f"{own['answers_without_letters']} without letters"
            for language, own in result["languages"].items()
        )
        page.add(Paragraph(f"Language of answers, by their letters. {spoken}."))
        page.add(_contact(items[split], answers[split], split))
    return page


def terminal_table(results: dict[str, Any]) -> str:
    """Write the shares as lines to print."""
    sights = _sights(next(iter(results.values())))
    rows = [("split", "taken by", "kind", "questions", *sights)]
    for split, result in results.items():
        for by, kind, own in _rows(result):
            shares = (_percent(own[sight]["share"]) for sight in sights)
            rows.append((split, by, kind, str(own["questions"]), *shares))
    return align(rows, left=(0, 1, 2))
