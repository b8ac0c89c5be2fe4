"""The tables and triggers of what people are told: a part of the schema's step that `migrations` makes it in.

What happened is noted in `untold` by triggers, in the transaction in which it happens: whoever tells people of it
may be dead then, and a clock that is set back hides nothing. Once released, this is never edited.
"""

NOTICES = (
    """
CREATE TABLE untold (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  about TEXT NOT NULL,       -- finding, quarantined, failed or digest
  ref INTEGER NOT NULL       -- id of the finding, the job or the result
) STRICT
""",
    "CREATE TABLE notice_rules (about TEXT PRIMARY KEY, since TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE notice_problems (key TEXT PRIMARY KEY, since TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """
CREATE TABLE notice_messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  place TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sending', 'sent', 'failed')),
  created TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  not_before TEXT NOT NULL,  -- when it may be tried (again)
  ended TEXT,                -- when it was sent or given up
  error TEXT,
  hint TEXT
) STRICT
""",
    "CREATE INDEX notice_messages_by_state ON notice_messages (state, place, ended)",
    """
CREATE TABLE notices (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,         -- of one thing that happened, the same for ever
  place TEXT NOT NULL,       -- desktop, or a name of notify.to
  about TEXT NOT NULL,
  ref INTEGER,               -- id of the finding, the job or the result
  severity TEXT NOT NULL,
  title TEXT NOT NULL,
  text TEXT NOT NULL,
  created TEXT NOT NULL,
  message INTEGER REFERENCES notice_messages (id), -- null while it is held back
  UNIQUE (key, place)
) STRICT
""",
    "CREATE INDEX notices_by_message ON notices (message, place)",
    "CREATE TRIGGER untold_jobs_ended AFTER UPDATE OF state ON jobs "
    "WHEN new.state IN ('quarantined', 'failed') AND old.state IS NOT new.state "
    "BEGIN INSERT INTO untold (about, ref) VALUES (new.state, new.id); END",
    "CREATE TRIGGER untold_jobs_refused AFTER INSERT ON jobs WHEN new.state = 'failed' "
    "BEGIN INSERT INTO untold (about, ref) VALUES (new.state, new.id); END",
    "CREATE TRIGGER untold_findings_added AFTER INSERT ON log_findings "
    "BEGIN INSERT INTO untold (about, ref) VALUES ('finding', new.id); END",
    "CREATE TRIGGER untold_findings_changed AFTER UPDATE OF behaviour, score ON log_findings "
    "WHEN old.behaviour IS NOT new.behaviour OR old.score IS NOT new.score "
    "BEGIN INSERT INTO untold (about, ref) VALUES ('finding', new.id); END",
    # What a model says about a finding is part of its severity.
    "CREATE TRIGGER untold_findings_judged AFTER INSERT ON results WHEN new.source GLOB 'log:*' "
    "BEGIN INSERT INTO untold (about, ref) VALUES ('finding', CAST(substr(new.source, 5) AS INTEGER)); END",
    "CREATE TRIGGER untold_digests AFTER INSERT ON results "
    "WHEN (SELECT origin FROM jobs WHERE id = new.job_id) GLOB 'schedule *' "
    "BEGIN INSERT INTO untold (about, ref) VALUES ('digest', new.id); END",
)
