"""`stripe-elt completion bash|zsh|fish`: prints completion for a shell, from the commands' own parsers."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence

from sources.command_line import Parser
from stripe_elt.__main__ import COMMANDS, NAME, Command

BASH = """\
_stripe_elt() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" words
    if [ "$COMP_CWORD" -eq 1 ]; then words="{commands} --help --version"; else
        case "$command" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _stripe_elt {name}
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt completion") -> int:
    """Prints the script for a shell."""
    shell = _parser(prog).parse_args(arguments).shell
    words = {name: sorted(set(_words(name, command))) for name, command in COMMANDS.items()}
    print(_fish(words) if shell == "fish" else (ZSH if shell == "zsh" else "") + _bash(words), end="")
    return 0


def _parser(prog: str = "stripe-elt completion") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description='Prints completion for a shell: eval "$(stripe-elt completion bash)".')
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _words(name: str, command: Command) -> Iterator[str]:
    """Options and words of a command, from its own parser."""
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError:  # it needs an extra that is not installed: only its name can be completed
        return iter(())
    parser: argparse.ArgumentParser = module._parser(NAME if command.first else f"{NAME} {name}")
    for word in command.first:
        (below,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
        parser = below.choices[word]
    return _of_parser(parser)


def _of_parser(parser: argparse.ArgumentParser) -> Iterator[str]:
    for each in parser._actions:
        yield from (option for option in each.option_strings if option.startswith("--"))
        if isinstance(each, argparse._SubParsersAction):
            for word, below in each.choices.items():
                yield word
                yield from _of_parser(below)
        elif not each.option_strings:
            yield from map(str, each.choices or ())


def _bash(words: Mapping[str, Sequence[str]]) -> str:
    cases = "\n".join(f'            {name}) words="{" ".join(each)}" ;;' for name, each in words.items())
    return BASH.format(commands=" ".join(words), cases=cases, name=NAME)


def _fish(words: Mapping[str, Sequence[str]]) -> str:
    first = f"complete -c {NAME} -f -n __fish_use_subcommand -a"
    lines = [f"{first} {name} -d '{COMMANDS[name].about.replace(chr(39), chr(92) + chr(39))}'" for name in words]
    for name, each in words.items():
        seen = f"complete -c {NAME} -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{seen} -l {word[2:]}" if word.startswith("--") else f"{seen} -a {word}" for word in each]
    return "\n".join([*lines, ""])
