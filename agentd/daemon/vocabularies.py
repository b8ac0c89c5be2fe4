"""The words that tasks may choose from, put together: from the config, a file, a folder of notes, and a person.

A vocabulary of the config is a list of words, the path of a file with one, or the path of a folder whose notes
have tags already. Words that a person accepted belong to each.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from agentd.config import read_yaml
from agentd.daemon.vault import Vault
from agentd.errors import ConfigError
from agentd.store import vault, vocabulary
from agentd.store.database import Store
from agentd.tasks.settings import MAX_WORDS, is_word, parse_vocabulary
from agentd.triggers.settings import WatchSettings

Words = dict[str, str]


class Vocabularies:
    """All vocabularies of one home, as they were last put together."""

    def __init__(
        self, configured: Mapping[str, Words | Path], store: Store, watched: Iterable[Vault] = ()
    ) -> None:
        self._configured, self._store = configured, store
        # A folder that is watched, too, is looked at once for both.
        self._vaults = {
            name: next((vault for vault in watched if vault.folder == path.resolve()), None)
            or Vault(WatchSettings.model_validate({"path": str(path), "task": ""}), store)
            for name, path in configured.items()
            if isinstance(path, Path) and path.is_dir()
        }
        self.words: dict[str, Words] = {}

    async def refresh(self, *, look: bool = True) -> bool:
        """Put them together anew; True where a word came or went. Raises `ConfigError` for a broken file.

        Without `look`, folders are taken as they were last indexed: a large one takes seconds to look at.
        """
        found = {name: await self._words(name, look) for name in self._configured}
        changed, self.words = found != self.words, found
        return changed

    async def _words(self, name: str, look: bool) -> Words:
        source = self._configured[name]
        if name in self._vaults:
            words = await self._collect(self._vaults[name], look)
        elif isinstance(source, Path):
            words = read_words(source, name)
        else:
            words = source
        return {**words, **await self._store.read(vocabulary.accepted, name)}

    async def _collect(self, folder: Vault, look: bool) -> Words:
        """The tags that notes of a folder have, the most used ones."""
        counts = await self._store.read(vault.count_tags, [folder.root])
        if look or not counts:
            await folder.refresh()
            counts = await self._store.read(vault.count_tags, [folder.root])
        return dict.fromkeys([tag for tag in counts if is_word(tag)][:MAX_WORDS], "")

    async def used(self, name: str) -> dict[str, int]:
        """The tags that the owner gave notes, in the vocabulary or not, with how many notes."""
        roots = [self._vaults[name].root] if name in self._vaults else await self._store.read(vault.roots)
        counts = await self._store.read(vault.count_tags, roots)
        return {tag: count for tag, count in counts.items() if is_word(tag)}


def read_words(path: Path, name: str) -> Words:
    """The words in a file: YAML, a mapping with meanings or a list."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as missing:
        raise ConfigError(
            f"vocabulary {name}: there is no file or folder {path}", hint=f"mkdir -p {shlex.quote(str(path))}"
        ) from missing
    except (OSError, UnicodeDecodeError) as broken:
        raise ConfigError(f"vocabulary {name}: {path} cannot be read: {broken}") from broken
    yaml = read_yaml(text, path)
    try:
        return parse_vocabulary(yaml.data)
    except ValueError as wrong:
        raise yaml.fail((), f"vocabulary {name}: {wrong}") from wrong
