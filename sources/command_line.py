"""argparse's parser, whose errors repeat no value: it may be a secret in the wrong place. Knows no command."""

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
"""What `repr` makes of a text."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors name the option and what it takes, and of what was given the shape."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", None, _text)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """As argparse's: usage, message, exit code 2; with `--json`, the message on stdout too."""
        argument = re.match(r"argument [^:]+: ", message)
        begin = argument.end() if argument else 0
        told = message[:begin] + self._without_values(message[begin:]) + self._nearest(message)
        tell_as_json(told, self._given)
        super().error(told)

    def _nearest(self, message: str) -> str:
        """Of options that there are not, the ones that were nearly typed."""
        if not message.startswith("unrecognized arguments: "):
            return ""
        known = sorted({name for name in _options(self) if name.startswith("--")})
        words = (word.partition("=")[0] for word in message.split()[2:] if word.startswith("--"))
        near = dict.fromkeys(each for word in words for each in difflib.get_close_matches(word, known, 1))
        return f". Did you mean {' or '.join(near)}?" if near else ""

    def _without_values(self, message: str) -> str:
        """argparse's words with what was given masked: all that it quotes, and each word of the command line."""
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
        """What may be repeated: the options, and the choices of those that have some."""
        for action in self._actions:
            yield from action.option_strings
            yield from map(str, action.choices or ())


def tell_as_json(message: str, words: Sequence[str]) -> None:
    """What is wrong with a command line, as the JSON document that it asks for; nothing where it asks for none."""
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
    """What an option without a type takes: not the bytes of another encoding, which databases and hosts cannot get."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it contains bytes that are not UTF-8") from None
    return given
