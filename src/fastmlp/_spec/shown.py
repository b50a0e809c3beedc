"""What prompts and notebooks show of an object: text as it reads, small tables."""

from collections.abc import Iterable, Sequence


class Text(str):
    """Text that a prompt shows as it reads, not as a literal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML, its text escaped; colours are those of the page, light or dark."""
    from html import escape  # here: only notebooks need it

    def row(tag: str, cells: Sequence[object]) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f"<table><caption>{escape(caption)}</caption><thead>{row('th', head)}</thead><tbody>{body}</tbody></table>"
