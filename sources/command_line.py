"""argparse's parser with errors that repeat no value, because it may be a misplaced secret. Knows no command."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from sources.errors import shown

QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
"""A text as `repr` writes it."""


class Parser(argparse.ArgumentParser):
    """argparse's parser. Its errors name the option and what it takes; of the given value they show only the shape."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", None, _text)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """As in argparse: prints usage and message, exits with code 2. With `--json`, the message goes to stdout as
        well.
        """
        argument = re.match(r"argument [^:]+: ", message)
        begin = argument.end() if argument else 0
        told = message[:begin] + self._without_values(message[begin:]) + self._nearest(message)
        tell_as_json(told, self._given)
        super().error(told)

    def _nearest(self, message: str) -> str:
        """Suggests existing options that resemble unknown ones."""
        if not message.startswith("unrecognized arguments: "):
            return ""
        known = sorted({name for name in _options(self) if name.startswith("--")})
        words = (word.partition("=")[0] for word in message.split()[2:] if word.startswith("--"))
        near = dict.fromkeys(each for word in words for each in difflib.get_close_matches(word, known, 1))
        return f". Did you mean {' or '.join(near)}?" if near else ""

    def _without_values(self, message: str) -> str:
        """argparse's message with the user's input masked: everything that it quotes, and each word of the command
        line.
        """
        names = set(self._names())

        def masked(found: re.Match[str]) -> str:
            text = found["word"] or found[0][1:-1]
            return found[0] if text in names else shown(text, names)

        parts = {part for word in self._given for part in (word, *word.partition("=")[::2]) if part}
        words = "|".join(re.escape(part) for part in sorted(parts, key=len, reverse=True))
        quoted = "|".join(re.escape(repr(part)) for part in sorted(parts, key=len, reverse=True))
        whole = rf"{quoted}|{QUOTED}|(?P<word>(?<![\w-])(?:{words})(?![\w-]))" if parts else QUOTED
        return re.sub(whole, masked, message)

    def _names(self) -> Iterator[str]:
        """What a message may repeat: the options, and their choices."""
        for action in self._actions:
            yield from action.option_strings
            yield from map(str, action.choices or ())


def tell_as_json(message: str, words: Sequence[str]) -> None:
    """Prints an error about a command line as JSON on stdout, if the command line has `--json`."""
    if "--json" in words:
        print(json.dumps({"error": message}, ensure_ascii=False))


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of a parser and of its commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)


def _text(given: str) -> str:
    """The type of options without one: refuses bytes that are not UTF-8, which databases and hosts cannot take."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it contains bytes that are not UTF-8") from None
    return given
