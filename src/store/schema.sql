-- The store's own tables. Other modules bring theirs as migrations.

-- Single values about the database itself.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One data key per dataset, release or server purpose, wrapped by the key service. NULL: destroyed, and never made again.
CREATE TABLE data_key (
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    wrapped BLOB,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Encrypted column segments, each a file.
CREATE TABLE segment (
    dataset         TEXT NOT NULL,
    version         INTEGER NOT NULL,
    column_name     TEXT NOT NULL,
    file            TEXT NOT NULL UNIQUE,
    plaintext_bytes INTEGER NOT NULL,
    sealed_bytes    INTEGER NOT NULL,
    PRIMARY KEY (dataset, version, column_name)
) STRICT, WITHOUT ROWID;

-- Encrypted artefacts: small ones in the row, large ones in a file.
CREATE TABLE artefact (
    release         TEXT NOT NULL,
    name            TEXT NOT NULL,
    plaintext_bytes INTEGER NOT NULL,
    inline          BLOB,
    file            TEXT UNIQUE,
    PRIMARY KEY (release, name),
    CHECK ((inline IS NULL) <> (file IS NULL))
) STRICT;
