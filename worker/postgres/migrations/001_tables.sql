-- Admission and money. Text that is compared or ranged over is COLLATE "C": the order of bytes, the same in Go.

CREATE TABLE flowgate.scope (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    settled  bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0,
    name     text COLLATE "C" NOT NULL UNIQUE
) WITH (fillfactor = 50);
COMMENT ON TABLE flowgate.scope IS 'a bound on money; amounts in micro-dollars; settled is spent, reserved is held by open admissions';

CREATE TABLE flowgate.admission (
    ingress_seq        bigint NOT NULL,
    reserved           bigint NOT NULL,
    admitted_at        timestamptz NOT NULL,
    decided_at         timestamptz NOT NULL,
    intent_seq         bigint,
    intent_at          timestamptz,
    outcome_seq        bigint,
    outcome_at         timestamptz,
    outcome_cost       bigint,
    epoch              integer NOT NULL,
    p                  smallint NOT NULL,
    outcome_replayable boolean,
    tenant             text COLLATE "C" NOT NULL,
    id                 text COLLATE "C" NOT NULL,
    class              text COLLATE "C" NOT NULL,
    state              text COLLATE "C" NOT NULL CHECK (state IN ('approved', 'refused', 'waiting')),
    reason             text COLLATE "C" NOT NULL,
    ingress_stream     text COLLATE "C" NOT NULL,
    request_sha256     bytea NOT NULL,
    scopes             integer[],
    outcome_status     text COLLATE "C",
    outcome_reason     text COLLATE "C",
    PRIMARY KEY (tenant, id, epoch)
) WITH (fillfactor = 75);
COMMENT ON TABLE flowgate.admission IS 'the first decision on every epoch of every request; no index but the key, so that updates stay in their page';
COMMENT ON COLUMN flowgate.admission.reserved IS 'micro-dollars reserved in each of scopes; held while outcome_at is null';
COMMENT ON COLUMN flowgate.admission.ingress_stream IS 'incarnation of the ingress stream; empty in a row rebuilt by the recorder';

CREATE TABLE flowgate.admission_pending (
    decided_at timestamptz NOT NULL,
    epoch      integer NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    decision   bytea
) PARTITION BY RANGE (decided_at);
-- All members of a micro-batch share decided_at: this index stays small and grows at its right end only.
CREATE INDEX admission_pending_decided ON flowgate.admission_pending (decided_at);
CREATE TABLE flowgate.admission_pending_default PARTITION OF flowgate.admission_pending DEFAULT;
COMMENT ON TABLE flowgate.admission_pending IS 'the decision of an admission until its intent or outcome is recorded; found by key and the admission''s decided_at';

CREATE TABLE flowgate.waiter (
    since    timestamptz NOT NULL,
    scope_id integer NOT NULL,
    epoch    integer NOT NULL,
    tenant   text COLLATE "C" NOT NULL,
    id       text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id, epoch, scope_id)
);
CREATE INDEX waiter_scope ON flowgate.waiter (scope_id, since);
COMMENT ON TABLE flowgate.waiter IS 'epochs that wait for money, once per scope';

CREATE TABLE flowgate.attempt (
    bound      bigint NOT NULL DEFAULT 0,
    doubt      bigint,
    cost       bigint,
    stated     bigint,
    charged    bigint GENERATED ALWAYS AS (coalesce(cost, doubt, bound)) STORED,
    at         timestamptz NOT NULL,
    duration_ms bigint NOT NULL DEFAULT 0,
    epoch      integer NOT NULL,
    k          integer NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    backend    text COLLATE "C" NOT NULL,
    model      text COLLATE "C" NOT NULL,
    class      text COLLATE "C" NOT NULL,
    billing    text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id, epoch, k)
) WITH (fillfactor = 90);
COMMENT ON COLUMN flowgate.attempt.bound IS 'micro-dollars that the call can cost at most, from the state calling';
COMMENT ON COLUMN flowgate.attempt.doubt IS 'what it was charged at by whoever gave it up as in doubt';
COMMENT ON COLUMN flowgate.attempt.cost IS 'the known cost, which replaces doubt and bound for ever';
COMMENT ON COLUMN flowgate.attempt.stated IS 'what the outcome that counts says it cost; null where that outcome does not list it';

-- The recorder.

CREATE TABLE flowgate.recorder_position (
    seq         bigint NOT NULL,
    updated_at  timestamptz NOT NULL,
    stream      text COLLATE "C" PRIMARY KEY,
    incarnation text COLLATE "C" NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE flowgate.recorder_gap (
    from_seq    bigint NOT NULL,
    to_seq      bigint NOT NULL,
    at          timestamptz NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    incarnation text COLLATE "C" NOT NULL,
    PRIMARY KEY (stream, incarnation, from_seq, to_seq)
);

CREATE TABLE flowgate.intent (
    seq            bigint NOT NULL,
    stored_at      timestamptz NOT NULL,
    submitted_at   timestamptz,
    bound          bigint NOT NULL,
    reserved       bigint NOT NULL,
    epoch          integer NOT NULL,
    tenant         text COLLATE "C" NOT NULL,
    id             text COLLATE "C" NOT NULL,
    kind           text COLLATE "C" NOT NULL,
    class          text COLLATE "C" NOT NULL,
    user_id        text COLLATE "C" NOT NULL,
    department     text COLLATE "C" NOT NULL,
    model          text COLLATE "C" NOT NULL,
    price_version  text COLLATE "C" NOT NULL,
    policy_version text COLLATE "C" NOT NULL,
    request_sha256 bytea NOT NULL,
    audit_reason   text NOT NULL,
    PRIMARY KEY (tenant, id, epoch)
);
COMMENT ON TABLE flowgate.intent IS 'one row per epoch that reached the state ai: stored before any byte reached a model';

CREATE TABLE flowgate.outcome (
    seq           bigint NOT NULL,
    stored_at     timestamptz NOT NULL,
    cost_microusd bigint NOT NULL,
    tokens_in     bigint NOT NULL,
    tokens_out    bigint NOT NULL,
    submitted_at  timestamptz,
    finished_at   timestamptz,
    epoch         integer NOT NULL,
    replayable    boolean NOT NULL,
    tenant        text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    kind          text COLLATE "C" NOT NULL,
    class         text COLLATE "C" NOT NULL,
    status        text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    layer         text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    department    text COLLATE "C" NOT NULL,
    model         text COLLATE "C" NOT NULL,
    backend       text COLLATE "C" NOT NULL,
    price_version text COLLATE "C" NOT NULL,
    field         text NOT NULL,
    detail        text NOT NULL,
    sections      json
) PARTITION BY RANGE (stored_at);
CREATE INDEX outcome_key ON flowgate.outcome (tenant, id, epoch);
CREATE INDEX outcome_stored ON flowgate.outcome (stored_at);
CREATE TABLE flowgate.outcome_default PARTITION OF flowgate.outcome DEFAULT;
COMMENT ON TABLE flowgate.outcome IS 'how each epoch ended, once; admission.outcome_at is what makes it once';

CREATE TABLE flowgate.content (
    stored_at timestamptz NOT NULL,
    epoch     integer NOT NULL,
    tenant    text COLLATE "C" NOT NULL,
    id        text COLLATE "C" NOT NULL,
    answer    text NOT NULL,
    PRIMARY KEY (tenant, id, epoch)
);
CREATE INDEX content_stored ON flowgate.content USING brin (stored_at) WITH (pages_per_range = 16);

CREATE TABLE flowgate.dead_letter (
    stored_at timestamptz NOT NULL,
    epoch     integer NOT NULL,
    tenant    text COLLATE "C" NOT NULL,
    id        text COLLATE "C" NOT NULL,
    body      bytea NOT NULL,
    PRIMARY KEY (tenant, id, epoch)
);
CREATE INDEX dead_letter_stored ON flowgate.dead_letter (stored_at);

CREATE TABLE flowgate.event (
    stored_at timestamptz NOT NULL,
    seq       bigint NOT NULL,
    at        timestamptz,
    epoch     integer NOT NULL,
    stream    text COLLATE "C" NOT NULL,
    kind      text COLLATE "C" NOT NULL,
    tenant    text COLLATE "C" NOT NULL,
    id        text COLLATE "C" NOT NULL,
    worker    text COLLATE "C" NOT NULL,
    detail    text NOT NULL,
    body      json,
    PRIMARY KEY (stored_at, stream, seq)
);
CREATE INDEX event_key ON flowgate.event (tenant, id) WHERE id <> '';
CREATE INDEX event_kind ON flowgate.event (kind, stored_at);

CREATE TABLE flowgate.batch (
    id         text COLLATE "C" PRIMARY KEY,
    tenant     text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    digest     text COLLATE "C" NOT NULL,
    run        integer NOT NULL,
    total      integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    path       text NOT NULL,
    UNIQUE (tenant, name, digest, run)
);

CREATE VIEW flowgate.outcome_layer AS
SELECT o.tenant, o.id, o.epoch, l.layer,
       l.section ->> 'verdict' AS verdict,
       l.section ->> 'reason' AS reason,
       (l.section ->> 'started_at')::timestamptz AS started_at,
       (l.section ->> 'finished_at')::timestamptz AS finished_at,
       l.section
FROM flowgate.outcome o
CROSS JOIN LATERAL (VALUES
    (1, 'corporate_llm', o.sections -> 'corporate_llm'),
    (2, 'ai_processing', o.sections -> 'ai_processing'),
    (3, 'workflow_optimizer', o.sections -> 'workflow_optimizer')
) AS l (place, layer, section)
WHERE l.section IS NOT NULL;

-- lz4 where the server was built with it; pglz, the default, otherwise.
DO $$
BEGIN
    ALTER TABLE flowgate.outcome ALTER COLUMN sections SET COMPRESSION lz4;
    ALTER TABLE flowgate.outcome_default ALTER COLUMN sections SET COMPRESSION lz4;
    ALTER TABLE flowgate.content ALTER COLUMN answer SET COMPRESSION lz4;
    ALTER TABLE flowgate.dead_letter ALTER COLUMN body SET COMPRESSION lz4;
    ALTER TABLE flowgate.admission_pending ALTER COLUMN decision SET COMPRESSION lz4;
    ALTER TABLE flowgate.admission_pending_default ALTER COLUMN decision SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR undefined_object OR invalid_parameter_value OR syntax_error THEN
    NULL;
END $$;
