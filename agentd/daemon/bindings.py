"""What a config binds together: engines, tasks, vaults, words. Made whole before any of it is used.

A reload makes new bindings beside those in use, out of all parts that stay the same; where that fails, nothing
has changed. Who runs what, the supervisor knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from agentd.daemon.changes import Changes
from agentd.daemon.settings import Config
from agentd.daemon.vault import Vault
from agentd.daemon.vectors import NoteVectors
from agentd.daemon.vocabularies import Vocabularies
from agentd.engine.choice import Choice
from agentd.engine.client import EngineClient
from agentd.engine.machine import machine_name
from agentd.paths import Paths
from agentd.readers.read import MAX_BYTES
from agentd.store import choices
from agentd.store.choices import StoredChoice
from agentd.store.database import Store
from agentd.tasks.library import Library


@dataclass(slots=True)
class Bindings:
    """The parts of a home that depend on its config."""

    config: Config
    changes: Changes
    library: Library
    engines: dict[str, EngineClient]
    vectors: NoteVectors | None
    vaults: list[Vault]  # of each watch, in its order; what several watches look at is one vault
    vocabularies: Vocabularies
    identities: dict[str, str] = field(default_factory=dict)  # sha256 of the weights that were chosen, by model
    choices: dict[str, StoredChoice] = field(default_factory=dict)  # by model, what was measured best here

    @property
    def max_bytes(self) -> int:
        """The largest file that is read: what a watch takes must be readable later, too."""
        return max([MAX_BYTES, *(watch.max_size for watch in self.config.watch)])

    def changed_models(self, before: "Bindings") -> set[str]:
        """The models that are not what they were: new, gone, or with other settings."""
        names = {*self.engines, *before.engines}
        return {name for name in names if self.engines.get(name) is not before.engines.get(name)}

    async def load_vocabularies(self, *, look: bool = True) -> None:
        """Let tasks choose from the words as they are now, or were when folders were last looked at.

        Raises `ConfigError`.
        """
        if await self.vocabularies.refresh(look=look):
            self.library.use(self.vocabularies.words)

    async def load_choices(self, store: Store) -> None:
        """Let every model run as it was measured best on this machine, from its next load on."""
        for name in self.config.text_models:
            found = await store.read(choices.get, self.identities[name], machine_name())
            if found:
                self.choices[name] = found
            else:
                self.choices.pop(name, None)
            self.engines[name].choice = _to_choice(found) if found else None


def bind(paths: Paths, config: Config, store: Store, before: Bindings | None = None) -> Bindings:
    """The bindings of a config, with what of those `before` is still true."""
    same_roots = before and all(
        getattr(before.config, name) == getattr(config, name) for name in ("watch", "actions", "schedule")
    )
    changes = before.changes if before and same_roots else Changes(store, config)
    engines = _engines(paths, config, before.engines if before else {})
    embedding = config.embedding_model
    vectors = before.vectors if before else None
    if embedding is None:
        vectors = None
    elif vectors is None or vectors.engine is not engines[embedding]:
        vectors = NoteVectors(engines[embedding], store)
    if before and before.config.watch == config.watch and before.vectors is vectors:
        vaults = before.vaults
    else:
        made = [Vault(watch, store, vectors) for watch in config.watch]
        by_root = {vault.root: vault for vault in made}
        vaults = [by_root[vault.root] for vault in made]
    return Bindings(
        config=config,
        changes=changes,
        library=Library(paths.tasks, {}, changes.read_actions),
        engines=engines,
        vectors=vectors,
        vaults=vaults,
        vocabularies=Vocabularies(config.vocabularies, store, vaults),
    )


def _engines(paths: Paths, config: Config, before: Mapping[str, EngineClient]) -> dict[str, EngineClient]:
    return {
        name: before[name]
        if name in before and before[name].settings == settings
        else EngineClient(name, settings, folder=paths.models)
        for name, settings in config.models.items()
    }


def _to_choice(stored: StoredChoice) -> Choice:
    return Choice(**{one.name: getattr(stored, one.name) for one in fields(Choice)})
