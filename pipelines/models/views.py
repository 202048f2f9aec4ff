"""The live views that a dataset should have, and their SQL. Pure except for reading the files; knows no database.

A view has the name, the columns and the live rows of its table, and columns to join by.
`<provider>_current/<table>.sql` defines these: for each, a comment with its name and one sentence, and an expression. A
file that begins with SELECT or WITH is a whole view. In the files, `stripe.<table>` is a table and
`stripe_current.<view>` a view, whatever the dataset's name. A word in braces is a column that only older API versions
show.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from sources.catalogue import Catalogue
from sources.columns.layout import OTHER_FIELDS

PARENT = "_parent_id"
SHOWN = ("_account_id", OTHER_FIELDS)
"""Our own columns that views show: the account, within which ids are unique, and the column with the provider's other
fields."""

_COLUMN = re.compile(r"^-- (\w+): (.+(?:\n--.*)*)\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_LITERAL = re.compile(r"'[^']*'")
_WORD = re.compile(r"(?<![\w.{])[a-z_]\w*(?![\w.}]|\s*\()")
_QUALIFIED = re.compile(r"\b([a-z_]\w*)\.([a-z_]\w*)")
_OPTIONAL = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class JoinColumn:
    """A column that a view has besides its table's columns: its name, one sentence about it, and its expression."""

    name: str
    about: str
    sql: str


@dataclass(frozen=True, slots=True)
class Definitions:
    """The content of a provider's files: join columns by table, and whole views by name, each a sentence and a
    statement.
    """

    columns: Mapping[str, Sequence[JoinColumn]] = field(default_factory=dict)
    views: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """A view that should exist. `about` is one sentence.

    `columns`: name -> expression, and `rest` is the statement after the columns. A whole view has no `columns`, and
    `rest` is its statement. `said` are sentences on columns that no table has; `mark_of_texts` is a checksum of the
    sentences on the table's columns.
    """

    name: str
    about: str
    columns: Mapping[str, str]
    rest: str
    said: Mapping[str, str] = field(default_factory=dict)
    mark_of_texts: str = ""

    def select(self, first: Collection[str] = ()) -> str:
        """The statement of the view. Columns named in `first` come first, in that order."""
        if not self.columns:
            return self.rest
        names = dict.fromkeys([*(name for name in first if name in self.columns), *self.columns])
        return f"SELECT {', '.join(f'{self.columns[name]} AS {quoted(name)}' for name in names)} {self.rest}"

    @property
    def comment(self) -> str:
        """The view's comment, with a checksum that identifies an outdated view; the order of columns does not matter
        for it.
        """
        columns = [*sorted(map(" ".join, self.columns.items())), *self.said.values()]
        made = "\n".join([self.about, self.rest, *columns, self.mark_of_texts])
        return f"{self.about} [{sha256(made.encode()).hexdigest()[:8]}]"


def quoted(name: str) -> str:
    """The name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


@cache
def definitions(provider: str) -> Definitions:
    """The definitions of a provider; empty if it has no files."""
    return read_definitions(Path(__file__).with_name(f"{provider}_current"))


def read_definitions(folder: Path) -> Definitions:
    """The definitions in the `.sql` files of a folder. Raises OSError, and UnicodeDecodeError for a file that is not
    UTF-8.
    """
    columns: dict[str, Sequence[JoinColumn]] = {}
    views: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob("*.sql")):
        text = path.read_text("utf-8")
        statement = _COMMENT.sub("", text).strip().rstrip(";")
        if statement.lower().startswith(("select", "with")):
            about = " ".join(line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--"))
            views[path.stem] = about, statement
        else:
            columns[path.stem] = tuple(_columns(text))
    return Definitions(columns, views)


def _columns(text: str) -> Iterator[JoinColumn]:
    _, *parts = _COLUMN.split(text)
    for name, about, sql in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        yield JoinColumn(name, " ".join(about.replace("\n--", " ").split()), sql.strip())


def live_views(
    dataset: str,
    provider: str,
    catalogue: Catalogue,
    tables: Mapping[str, Collection[str]],
    said: Definitions | None = None,
) -> dict[str, View]:
    """The views that a dataset should have, in an order in which they can be created.

    `tables` are those of the stored schema, with their columns and our own. A column or a whole view is left out while
    its sources are missing. `said` are the definitions; by default those of the provider's files.
    """
    said = definitions(provider) if said is None else said
    found = {name: tables[name] for name in catalogue.tables if name in tables}
    views = {name: _view_of_table(dataset, provider, catalogue, name, found, said) for name in found}
    own = {name: said.views[name] for name in said.views if name not in views}
    while ready := [name for name, (_, text) in own.items() if _has(provider, text, found, views)]:
        for name in ready:
            about, text = own.pop(name)
            views[name] = View(name, about, {}, _placed(dataset, provider, text))
    return views


def _view_of_table(
    dataset: str,
    provider: str,
    catalogue: Catalogue,
    name: str,
    tables: Mapping[str, Collection[str]],
    said: Definitions,
) -> View:
    table = catalogue.tables[name]
    columns = {column: quoted(column) for column in tables[name] if not column.startswith("_") or column in SHOWN}
    texts = dict[str, str]()
    if table.parent is not None and table.parent_field is None:
        column = _parent_column(catalogue, table.parent)
        columns[column], texts[column] = PARENT, f"The row of {table.parent} that owns this one."
    for added in said.columns.get(name, ()):
        if _can_have(added, name, provider, catalogue, tables):
            columns.pop(added.name, None)  # an older API version's column of this name
            columns[added.name] = _placed(dataset, provider, _with_optional(added.sql, tables[name]))
            texts[added.name] = added.about
    rest = f'FROM {quoted(dataset)}.{quoted(name)} AS {quoted(name)} WHERE "_deleted_at" IS NULL'
    about = f"Live rows of {dataset}.{name}. {catalogue.descriptions.of(name).get('', '')}".strip()
    return View(name, about, columns, rest, texts, catalogue.descriptions.mark)


def _parent_column(catalogue: Catalogue, parent: str) -> str:
    """The name of the column with the parent's id if the object does not show it: `quote_id`, `checkout_session_id`."""
    objects = catalogue.tables[parent].objects
    return f"{objects[0].replace('.', '_') if objects else parent}_id"


def _can_have(
    column: JoinColumn, name: str, provider: str, catalogue: Catalogue, tables: Mapping[str, Collection[str]]
) -> bool:
    """Whether an expression's tables and columns exist."""
    others, words, qualified = _needs(column, provider)
    if not others.keys() <= tables.keys():
        return False
    needed = {(name, word) for word in words if word in catalogue.fields(name)}
    aliases = {name: name, **{alias: table for table, alias in others.items()}}
    needed |= {(aliases[alias], word) for alias, word in qualified if alias in aliases}
    return all(word in tables[table] for table, word in needed)


@cache
def _needs(column: JoinColumn, provider: str) -> tuple[Mapping[str, str], Sequence[str], Sequence[tuple[str, str]]]:
    """The other tables of an expression with their aliases, words that may be columns, and columns with their table's
    alias.
    """
    plain = _LITERAL.sub("''", column.sql)
    others = dict(re.findall(rf"\b{provider}\.(\w+) as (\w+)", plain))
    return others, _WORD.findall(plain), _QUALIFIED.findall(plain)


def _has(provider: str, text: str, tables: Collection[str], views: Collection[str]) -> bool:
    named = re.findall(rf"\b{provider}(_current)?\.(\w+)", _LITERAL.sub("''", text))
    return all(name in (views if is_view else tables) for is_view, name in named)


def _with_optional(sql: str, columns: Collection[str]) -> str:
    return _OPTIONAL.sub(lambda word: quoted(word[1]) if word[1] in columns else "NULL", sql)


def _placed(dataset: str, provider: str, sql: str) -> str:
    """A file's SQL with the dataset's name."""
    return re.sub(rf"\b{provider}(_current)?\.(?=\w)", lambda word: f'"{dataset}{word[1] or ""}".', sql)
