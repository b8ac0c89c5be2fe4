"""The schema, as numbered steps that are only ever appended to.

Each step runs in one transaction with the note that it ran. A released step is never edited: the databases it
made are in use. `docs/database.md` shows the schema that all of them give.
"""

from sqlite_utils import Database, Migrations

from agentd.store.notice_schema import NOTICES

migrations = Migrations("agentd")

_JOBS = """
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  task TEXT NOT NULL,
  task_hash TEXT NOT NULL,   -- prompt, schema, parameters and the model's sha256
  model TEXT NOT NULL,       -- the config's name of the model
  source TEXT NOT NULL,      -- absolute path, file URI (a name that is not UTF-8), or stdin
  content TEXT NOT NULL,     -- sha256 of the bytes
  occasion TEXT NOT NULL,    -- empty for a file; what was asked for, for an explicit run
  priority INTEGER NOT NULL, -- 0 interactive, 1 triggered, 2 backfill
  state TEXT NOT NULL CHECK (state IN
    ('queued', 'running', 'done', 'failed', 'quarantined', 'cancelled')),
  attempts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  reason TEXT,               -- code of the last error
  error TEXT,                -- its message
  hint TEXT,                 -- the next command to type
  created TEXT NOT NULL,
  not_before TEXT NOT NULL,
  started TEXT,
  finished TEXT,
  owner TEXT,                -- who runs it: boot id, pid, start time
  lease_until TEXT,
  UNIQUE (task, task_hash, source, content, occasion)
) STRICT
"""

_RESULTS = """
CREATE TABLE results (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id INTEGER NOT NULL UNIQUE REFERENCES jobs (id),
  task TEXT NOT NULL,
  task_hash TEXT NOT NULL,
  source TEXT NOT NULL,
  content TEXT NOT NULL,
  output TEXT NOT NULL,      -- JSON, valid by the task's schema
  text TEXT NOT NULL,        -- the words of the output, for search
  seen INTEGER NOT NULL,     -- coverage: how many units of the input the model saw
  total INTEGER NOT NULL,
  unit TEXT NOT NULL,
  model TEXT NOT NULL,
  kv_cache TEXT NOT NULL,
  fake INTEGER NOT NULL,     -- 1 for placeholder values of the fake model
  tokens_in INTEGER NOT NULL,
  tokens_cached INTEGER NOT NULL,
  tokens_out INTEGER NOT NULL,
  seconds REAL NOT NULL,
  created TEXT NOT NULL
) STRICT
"""

_POSITIONS = """
CREATE TABLE positions (
  task TEXT NOT NULL,
  source TEXT NOT NULL,
  inode INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  content TEXT NOT NULL,     -- sha256 of what was taken last
  gone TEXT,                 -- when it was found missing
  PRIMARY KEY (task, source)
) STRICT, WITHOUT ROWID
"""

_CHOICES = """
CREATE TABLE choices (
  sha256 TEXT NOT NULL,      -- of the model's file
  machine TEXT NOT NULL,     -- processor, cores, memory and GPUs
  build TEXT NOT NULL,       -- of llama.cpp
  threads INTEGER NOT NULL,
  batch INTEGER NOT NULL,    -- tokens a step, at most
  parallel INTEGER NOT NULL, -- requests at the same time
  kv_cache_k TEXT NOT NULL,
  kv_cache_v TEXT NOT NULL,
  weights TEXT NOT NULL,     -- type of a converted copy; empty for the file as it is
  prompt_rate REAL NOT NULL, -- tokens a second, the best of all sizes of a step
  decode_rate REAL NOT NULL, -- tokens a second, the best over all numbers of requests
  gain REAL NOT NULL,        -- jobs a minute, as a multiple of those with the defaults
  measured TEXT NOT NULL,
  PRIMARY KEY (sha256, machine)
) STRICT, WITHOUT ROWID
"""

_LOGS = (
    """
CREATE TABLE log_sources (
  source TEXT PRIMARY KEY,   -- a path or glob of the config, or journal
  state TEXT NOT NULL,       -- JSON: what is known of the whole log
  cursor TEXT NOT NULL,      -- of the journal; empty for files
  next_id INTEGER NOT NULL,  -- of its next pattern
  lines INTEGER NOT NULL,
  updated TEXT NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE log_marks (
  id INTEGER PRIMARY KEY,    -- the oldest file first
  source TEXT NOT NULL,
  device TEXT NOT NULL,
  inode TEXT NOT NULL,       -- both as text: they may need all of 64 bits
  path TEXT NOT NULL,
  offset INTEGER NOT NULL,   -- bytes that were read and counted
  crc INTEGER NOT NULL,      -- of the first min(1024, offset) bytes
  UNIQUE (source, device, inode)
) STRICT
""",
    """
CREATE TABLE log_patterns (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  pattern TEXT NOT NULL,     -- the message with <*> for its variable parts
  level TEXT NOT NULL,
  severity TEXT NOT NULL,
  score INTEGER NOT NULL,
  count INTEGER NOT NULL,    -- entries
  days INTEGER NOT NULL,     -- on which it came
  first TEXT,                -- by the times in the log
  last TEXT,
  profile TEXT NOT NULL      -- JSON: words, history, values, examples
) STRICT
""",
    "CREATE INDEX log_patterns_by_source ON log_patterns (source)",
    "CREATE TABLE log_merged (gone INTEGER PRIMARY KEY, kept INTEGER NOT NULL) STRICT",
    """
CREATE TABLE log_buckets (
  pattern INTEGER NOT NULL,
  bucket INTEGER NOT NULL,   -- minutes since 1970, a multiple of 10
  count INTEGER NOT NULL,
  PRIMARY KEY (pattern, bucket)
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE log_findings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  source TEXT NOT NULL,
  key TEXT NOT NULL,         -- what stays the same while counts grow
  pattern_id INTEGER NOT NULL, -- 0 for a break-in
  pattern TEXT NOT NULL,
  event TEXT NOT NULL,
  severity TEXT NOT NULL,
  score INTEGER NOT NULL,
  category TEXT NOT NULL,
  summary TEXT NOT NULL,
  action TEXT NOT NULL,
  count INTEGER NOT NULL,
  parts TEXT NOT NULL,       -- JSON: points by what gave them; their sum is the score
  examples TEXT NOT NULL,    -- JSON: file, offset and line of each
  first TEXT,
  last TEXT,
  document TEXT NOT NULL,    -- what a model is shown
  behaviour TEXT NOT NULL,
  looked TEXT,               -- the behaviour that a model was last asked about
  found TEXT NOT NULL,
  updated TEXT NOT NULL,
  muted TEXT,                -- since when
  UNIQUE (source, key)
) STRICT
""",
    # The answers about findings are looked up by source alone.
    "CREATE INDEX results_of_source ON results (source, id)",
)

_CHANGES = """
CREATE TABLE changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  result_id INTEGER NOT NULL REFERENCES results (id),
  task TEXT NOT NULL,
  source TEXT NOT NULL,      -- the job's input
  kind TEXT NOT NULL,
  path TEXT NOT NULL,        -- of the file that it is about
  details TEXT NOT NULL,     -- JSON: what the kind needs
  state TEXT NOT NULL CHECK (state IN
    ('planned', 'applying', 'applied', 'undoing', 'undone', 'refused', 'superseded', 'failed')),
  auto INTEGER NOT NULL,     -- 1 to be applied without being asked
  content TEXT NOT NULL,     -- sha256 of the input that it was planned for
  target TEXT,               -- where a file went
  before TEXT,               -- sha256 of what was there; null for nothing
  after TEXT,                -- sha256 of what is there now; null for nothing
  mtime_ns INTEGER,          -- of the file before
  attempts INTEGER NOT NULL,
  not_before TEXT NOT NULL,
  reason TEXT,               -- code of the last error
  error TEXT,
  hint TEXT,
  created TEXT NOT NULL,
  applied TEXT,
  undone TEXT
) STRICT
"""

_SCHEDULES = """
CREATE TABLE schedules (
  name TEXT PRIMARY KEY,
  timetable TEXT NOT NULL,   -- its times in words: another text is another timetable, which misses nothing
  looked TEXT NOT NULL,      -- until when its times were dealt with
  fired TEXT,                -- when its last job was made
  job_id INTEGER REFERENCES jobs (id), -- that job
  note TEXT NOT NULL,        -- why its last time made no job; empty where it did
  result_from INTEGER NOT NULL, finding_from TEXT NOT NULL, -- where the input of the last job began
  result_to INTEGER NOT NULL, finding_to TEXT NOT NULL -- … and where it ended
) STRICT, WITHOUT ROWID
"""

_BACKFILLS = """
CREATE TABLE backfills (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  task TEXT NOT NULL,
  paths TEXT NOT NULL,       -- JSON: files and folders, as they were given
  again TEXT NOT NULL,       -- the occasion of its jobs; empty where what was done is not done again
  found INTEGER NOT NULL,    -- files that the task reads
  left_out INTEGER NOT NULL, -- files that the task does not read
  unreadable INTEGER NOT NULL, -- folders that could not be listed
  paused INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  listed TEXT,               -- when all its files were found
  error TEXT,                -- why its files could not be found
  hint TEXT,                 -- the next command to type
  created TEXT NOT NULL
) STRICT
"""

_VAULT_NOTES = """
CREATE TABLE vault_notes (
  id INTEGER PRIMARY KEY,
  root TEXT NOT NULL,        -- the watched folder
  source TEXT NOT NULL,
  inode INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  content TEXT NOT NULL,     -- sha256 of the file
  title TEXT NOT NULL,
  tags TEXT NOT NULL,        -- JSON: those that its owner gave it
  text_sha256 TEXT NOT NULL, -- what its vectors are found by
  text TEXT NOT NULL,
  UNIQUE (root, source)
) STRICT
"""

_VECTORS = """
CREATE TABLE vectors (
  text_sha256 TEXT NOT NULL, -- of a note's text, without its front matter: other tags are no other text
  model TEXT NOT NULL,       -- sha256 of its file, and the tokens that it read at a time
  vector BLOB NOT NULL,      -- numbers of 16 bits, together of length 1; empty for a text that points nowhere
  PRIMARY KEY (text_sha256, model)
) STRICT, WITHOUT ROWID
"""

# A vector stays as long as any note has its text.
_DROP_VECTORS = "BEGIN DELETE FROM vectors WHERE text_sha256 = old.text_sha256 AND NOT EXISTS "
_DROP_VECTORS += "(SELECT 1 FROM vault_notes WHERE text_sha256 = old.text_sha256); END"
_KEEP_VECTORS = (
    "CREATE INDEX vault_notes_by_text ON vault_notes (text_sha256)",
    f"CREATE TRIGGER vectors_of_notes_removed AFTER DELETE ON vault_notes {_DROP_VECTORS}",
    f"CREATE TRIGGER vectors_of_notes_changed AFTER UPDATE OF text_sha256 ON vault_notes {_DROP_VECTORS}",
)

_TEXT_INDEX = """
CREATE VIRTUAL TABLE {table}_fts USING fts5
  (text, content='{table}', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')
"""

_KEEP_INDEXED = (
    "CREATE TRIGGER {table}_added AFTER INSERT ON {table} BEGIN "
    "INSERT INTO {table}_fts (rowid, text) VALUES (new.id, new.text); END",
    "CREATE TRIGGER {table}_removed AFTER DELETE ON {table} BEGIN "
    "INSERT INTO {table}_fts ({table}_fts, rowid, text) VALUES ('delete', old.id, old.text); END",
    "CREATE TRIGGER {table}_changed AFTER UPDATE OF text ON {table} BEGIN "
    "INSERT INTO {table}_fts ({table}_fts, rowid, text) VALUES ('delete', old.id, old.text); "
    "INSERT INTO {table}_fts (rowid, text) VALUES (new.id, new.text); END",
)


@migrations(name="0001_jobs_results_documents")
def _first(db: Database) -> None:
    statements = [
        _JOBS,
        "CREATE INDEX jobs_to_claim ON jobs (state, model, priority, id)",
        "CREATE INDEX jobs_by_source ON jobs (task, source)",
        _RESULTS,
        "CREATE INDEX results_by_source ON results (task, source, id)",
        "CREATE INDEX results_by_content ON results (content)",
        _POSITIONS,
        "CREATE INDEX positions_by_content ON positions (task, content)",
        "CREATE TABLE watches (task TEXT NOT NULL, root TEXT NOT NULL, first_scan TEXT NOT NULL, "
        "PRIMARY KEY (task, root)) STRICT, WITHOUT ROWID",
        "CREATE TABLE documents (content TEXT PRIMARY KEY, kind TEXT NOT NULL, "
        "text TEXT NOT NULL, first_line INTEGER NOT NULL, front_matter TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE passages (id INTEGER PRIMARY KEY, content TEXT NOT NULL REFERENCES documents (content), "
        "line INTEGER NOT NULL, text TEXT NOT NULL) STRICT",
        "CREATE INDEX passages_by_content ON passages (content)",
        "CREATE TABLE checksums (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
        "inode INTEGER NOT NULL, sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ]
    for table in ("results", "passages"):
        statements.append(_TEXT_INDEX.format(table=table))
        statements += [trigger.format(table=table) for trigger in _KEEP_INDEXED]
    for statement in statements:
        db.execute(statement)


@migrations(name="0002_shares_and_probabilities")
def _second(db: Database) -> None:
    # Comments that `--` begins would swallow what SQLite writes after a column that is added.
    for statement in (
        "ALTER TABLE results ADD COLUMN engine_seconds REAL /* its share of the engine's steps */",
        "ALTER TABLE results ADD COLUMN probabilities TEXT "
        "/* JSON: property, choice, probability; null where nothing was chosen by score */",
        # The last results of a task tell how long its next will take.
        "CREATE INDEX results_by_task ON results (task, id)",
    ):
        db.execute(statement)


@migrations(name="0003_choices")
def _third(db: Database) -> None:
    db.execute(_CHOICES)


@migrations(name="0004_logs")
def _fourth(db: Database) -> None:
    for statement in _LOGS:
        db.execute(statement)


@migrations(name="0005_folders")
def _fifth(db: Database) -> None:
    for statement in (
        "ALTER TABLE documents ADD COLUMN places TEXT /* JSON: line of the text, name, what lines count, from */",
        "ALTER TABLE documents ADD COLUMN unit TEXT NOT NULL DEFAULT 'lines' /* what its length is counted in */",
        "ALTER TABLE documents ADD COLUMN units INTEGER /* how many; null for as many as it has lines */",
        "ALTER TABLE documents ADD COLUMN unread TEXT /* JSON: units that could not be read, and why */",
        "ALTER TABLE jobs ADD COLUMN progress TEXT /* how far a long document is, while it runs */",
        "ALTER TABLE results ADD COLUMN why TEXT /* JSON: property, what spoke for its values */",
        "ALTER TABLE results ADD COLUMN places TEXT /* JSON: path in the output, where the quote stands */",
        "ALTER TABLE results ADD COLUMN tokens INTEGER /* of a document that was read in parts */",
        "ALTER TABLE results ADD COLUMN missing TEXT /* JSON: what was not seen, and why */",
        "CREATE TABLE parts (job_id INTEGER NOT NULL REFERENCES jobs (id), key TEXT NOT NULL, "
        "output TEXT NOT NULL, tokens INTEGER NOT NULL, generation TEXT NOT NULL, "
        "PRIMARY KEY (job_id, key)) STRICT, WITHOUT ROWID",
        _CHANGES,
        "CREATE INDEX changes_by_state ON changes (state, id)",
        "CREATE INDEX changes_by_path ON changes (path)",
        "CREATE INDEX changes_by_target ON changes (target)",
        "CREATE INDEX changes_by_source ON changes (task, source, state)",
        "CREATE TABLE contents (sha256 TEXT PRIMARY KEY, raw BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE vocabulary_words (vocabulary TEXT NOT NULL, word TEXT NOT NULL, meaning TEXT NOT NULL, "
        "accepted INTEGER NOT NULL, decided TEXT NOT NULL, PRIMARY KEY (vocabulary, word)) STRICT, WITHOUT ROWID",
        "CREATE TABLE proposals (vocabulary TEXT NOT NULL, word TEXT NOT NULL, source TEXT NOT NULL, "
        "PRIMARY KEY (vocabulary, word, source)) STRICT, WITHOUT ROWID",
        "CREATE INDEX proposals_by_source ON proposals (vocabulary, source)",
        _VAULT_NOTES,
        # Jobs of one lane are done one at a time.
        "ALTER TABLE jobs ADD COLUMN lane TEXT",
        "CREATE INDEX jobs_by_lane ON jobs (lane, state) WHERE lane IS NOT NULL",
        "CREATE TABLE bundles (content TEXT NOT NULL, source TEXT NOT NULL, sha256 TEXT NOT NULL, "
        "missed INTEGER NOT NULL, PRIMARY KEY (content, source)) STRICT, WITHOUT ROWID",
        "CREATE INDEX bundles_by_source ON bundles (source, sha256)",
        _BACKFILLS,
        "ALTER TABLE jobs ADD COLUMN backfill INTEGER REFERENCES backfills (id)",
        "CREATE INDEX jobs_by_backfill ON jobs (backfill, state) WHERE backfill IS NOT NULL",
        _TEXT_INDEX.format(table="vault_notes"),
        *(trigger.format(table="vault_notes") for trigger in _KEEP_INDEXED),
        _VECTORS,
        *_KEEP_VECTORS,
    ):
        db.execute(statement)


@migrations(name="0006_service")
def _sixth(db: Database) -> None:
    for statement in (
        "ALTER TABLE jobs ADD COLUMN origin TEXT /* the watch, log or schedule that noticed it */",
        *NOTICES,
        "CREATE INDEX jobs_by_origin ON jobs (model, origin, priority, id) WHERE state = 'queued'",
        _SCHEDULES,
    ):
        db.execute(statement)
