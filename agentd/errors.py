"""Every error that agentd raises on purpose.

    AgentdError
    ├── ConfigError              the config is broken, with file and line; exit 4
    ├── TaskError
    │   ├── UnknownTask          no such task file
    │   ├── BrokenTask           a task file that cannot be used, with file and line
    │   └── BadAction            an action in it that cannot be used, before its line is known
    ├── InputError               an input that no retry will mend
    │   ├── Vanished             gone before it was read
    │   ├── NotAFile             a pipe, socket, device or folder
    │   ├── Unreadable           no permission, or an I/O error
    │   ├── EmptyInput           nothing in it
    │   ├── NotText              binary content, whatever the name says
    │   ├── BadEncoding          neither UTF-8 nor marked UTF-16
    │   ├── TooLarge             more bytes than the limit
    │   ├── UnclosedFrontMatter  a Markdown header that never ends
    │   ├── Encrypted            cannot be opened without a password
    │   ├── Malformed            not what its first bytes promise
    │   ├── NoTextLayer          pages that are pictures only
    │   ├── ReaderFailed         its reader took too long or too much memory, or died
    │   └── TooLong              more tokens than the model has room for
    ├── Superseded               the input changed while it was worked on
    ├── ChangeError
    │   ├── Outside              an effect beyond the folders that the config allows
    │   ├── Conflict             something else has the place
    │   ├── NotEditable          a file in which the change cannot be made
    │   ├── ChangedSince         the file is not what the change left or was planned for
    │   ├── NotUndoable          an effect that cannot be taken back, or is not there to be
    │   ├── EffectFailed         the disk or a program refused
    │   ├── NoSpace              the disk is full; tried again
    │   └── Unreachable          a webhook that did not answer well; tried again
    ├── InvalidOutput            the model's answer breaks its schema, is empty or was cut
    ├── EngineError
    │   ├── ModelUnavailable     no usable model: missing, broken, or still loading
    │   ├── BadSchema            a schema that cannot be compiled
    │   ├── EngineCrashed        the child died under this request
    │   ├── EngineTimeout        the request ran past its bound
    │   └── Cancelled            somebody asked for the end
    ├── StoreError
    │   ├── StoreBusy            another program holds the database
    │   └── NewerDatabase        written by a later agentd
    ├── InternalError            a mistake of agentd itself, met while it worked on a job
    ├── NotFound                 no job, result or model of that name
    ├── AlreadyRunning           a second daemon on the same home
    ├── NotRunning               the daemon cannot be reached; exit 3
    ├── DaemonFailed             the daemon did not start or stop
    └── ServiceError             systemd or launchd is not there, or did not do what it was told

The docstring of a class is its default message. `hint` is the next command to type. The retry policy
reads `retryable`; nothing else decides that. This module knows no other one.
"""

from typing import ClassVar


class AgentdError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = "agentd status"

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = _valid_text(message or (type(self).__doc__ or "").strip())
        self.hint = _valid_text(hint or self.default_hint)
        super().__init__(self.message)

    def to_wire(self) -> dict[str, str]:
        """The error as three strings: what crosses the engine's and the daemon's sockets."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    @classmethod
    def from_wire(cls, wire: dict[str, str]) -> "AgentdError":
        """Rebuild what `to_wire` made; a code that is not known becomes a plain `AgentdError`."""
        kind = _by_code(AgentdError).get(wire.get("code", ""), AgentdError)
        return kind(wire.get("message"), hint=wire.get("hint"))


class ConfigError(AgentdError):
    """The config cannot be used."""

    code = "config"
    exit_code = 4
    default_hint = "agentd config check"


class TaskError(AgentdError):
    """The task cannot be used."""

    code = "task"
    default_hint = "agentd tasks check"


class UnknownTask(TaskError):
    """There is no such task."""

    code = "unknown-task"
    default_hint = "agentd tasks list"


class BrokenTask(TaskError):
    """The task file is broken."""

    code = "broken-task"


class BadAction(TaskError):
    """An action of the task cannot be used."""

    code = "bad-action"

    def __init__(self, message: str | None = None, *, hint: str | None = None, index: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.index = index  # in the task's list of actions


class InputError(AgentdError):
    """The input cannot be used."""

    code = "input"
    default_hint = "agentd jobs list --state failed"


class Vanished(InputError):
    """The file was gone before it was read."""

    code = "vanished"


class NotAFile(InputError):
    """This is not a regular file."""

    code = "not-a-file"


class Unreadable(InputError):
    """The file cannot be opened."""

    code = "unreadable"


class EmptyInput(InputError):
    """There is nothing in it."""

    code = "empty"


class NotText(InputError):
    """This is not text."""

    code = "not-text"


class BadEncoding(InputError):
    """The text is not valid UTF-8."""

    code = "bad-encoding"


class TooLarge(InputError):
    """The file is larger than the limit."""

    code = "too-large"


class UnclosedFrontMatter(InputError):
    """The front matter is never closed."""

    code = "unclosed-front-matter"


class Encrypted(InputError):
    """It cannot be opened without a password."""

    code = "encrypted"


class Malformed(InputError):
    """The file is broken."""

    code = "malformed"


class NoTextLayer(InputError):
    """Its pages are pictures, without a text layer."""

    code = "no-text-layer"


class ReaderFailed(InputError):
    """Reading it took too long or too much memory."""

    code = "reader-failed"


class TooLong(InputError):
    """The document does not fit into the model's context."""

    code = "too-long"


class Superseded(AgentdError):
    """The file changed while it was worked on; its new content is a job of its own."""

    code = "superseded"
    default_hint = "agentd jobs list"


class ChangeError(AgentdError):
    """The change cannot be made."""

    code = "change"
    default_hint = "agentd changes list"


class Outside(ChangeError):
    """This lies outside the folders in which the config allows changes."""

    code = "outside"


class Conflict(ChangeError):
    """There is another file of that name."""

    code = "conflict"


class NotEditable(ChangeError):
    """The file cannot be edited."""

    code = "not-editable"


class ChangedSince(ChangeError):
    """The file has changed since."""

    code = "changed-since"


class NotUndoable(ChangeError):
    """This cannot be undone."""

    code = "not-undoable"


class EffectFailed(ChangeError):
    """The change could not be made."""

    code = "effect-failed"


class NoSpace(ChangeError):
    """The disk is full."""

    code = "no-space"
    retryable = True
    default_hint = "df -h"


class Unreachable(ChangeError):
    """The webhook did not answer."""

    code = "unreachable"
    retryable = True


class InvalidOutput(AgentdError):
    """The model's answer is not valid."""

    code = "invalid-output"
    default_hint = "agentd tasks list"


class EngineError(AgentdError):
    """The engine failed."""

    code = "engine"
    retryable = True


class ModelUnavailable(EngineError):
    """The model is not ready."""

    code = "model-unavailable"


class BadSchema(EngineError):
    """The output schema cannot be compiled."""

    code = "bad-schema"
    retryable = False
    default_hint = "agentd tasks check"


class EngineCrashed(EngineError):
    """The engine's process died while it worked on this."""

    code = "engine-crashed"


class EngineTimeout(EngineError):
    """The engine ran past its time bound."""

    code = "engine-timeout"


class Cancelled(EngineError):
    """It was cancelled."""

    code = "cancelled"
    retryable = False


class StoreError(AgentdError):
    """The database failed."""

    code = "store"
    retryable = True


class StoreBusy(StoreError):
    """Another program holds the database."""

    code = "store-busy"


class NewerDatabase(StoreError):
    """The database was written by a later agentd."""

    code = "newer-database"
    retryable = False
    default_hint = "agentd --version"


class InternalError(AgentdError):
    """A mistake of agentd itself."""

    code = "internal"
    retryable = True
    default_hint = "agentd status, and the log it names"


class NotFound(AgentdError):
    """There is nothing of that name."""

    code = "not-found"


class AlreadyRunning(AgentdError):
    """agentd is already running."""

    code = "already-running"


class NotRunning(AgentdError):
    """The daemon is not running."""

    code = "not-running"
    exit_code = 3
    default_hint = "agentd start --detach"


class DaemonFailed(AgentdError):
    """The daemon did not do what it was told."""

    code = "daemon-failed"


class ServiceError(AgentdError):
    """The service manager did not do what it was told."""

    code = "service"
    default_hint = "agentd service status"


def _valid_text(text: str) -> str:
    """`text` as SQLite and JSON can hold it: a path in it may have bytes that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _by_code(kind: type[AgentdError]) -> dict[str, type[AgentdError]]:
    found = {kind.code: kind}
    for child in kind.__subclasses__():
        found |= _by_code(child)
    return found
