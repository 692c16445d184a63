-- What decided, by the versions that decisions name: so that a decision can be made again long after its settings and its policy
-- were changed. The text is kept as it is, since the version is its hash.

CREATE TABLE flowgate.decision_settings (
    at      timestamptz NOT NULL DEFAULT now(),
    kind    text COLLATE "C" NOT NULL CHECK (kind IN ('settings', 'policy')),
    version text COLLATE "C" NOT NULL,
    body    json NOT NULL,
    PRIMARY KEY (kind, version)
);
COMMENT ON TABLE flowgate.decision_settings IS 'settings and policies that decided, by version: the first 12 hexadecimal digits of the SHA-256 of body; at is when they first did';
