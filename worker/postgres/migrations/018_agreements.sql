-- FLOW agreements: every version of each, and where it stands. The revision goes up with every transaction that changes any, and is
-- seen in the order of commits, since its row is locked until the end.

CREATE TABLE flowgate.agreement_revision (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL
);
INSERT INTO flowgate.agreement_revision (revision) VALUES (0);
COMMENT ON TABLE flowgate.agreement_revision IS 'one row: the newest revision of the agreements';

CREATE TABLE flowgate.agreement (
    trigger text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('draft', 'review', 'approved', 'suspended', 'retired')),
    entry jsonb NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (trigger, version)
);
CREATE UNIQUE INDEX agreement_in_force ON flowgate.agreement (trigger) WHERE state IN ('approved', 'suspended');
COMMENT ON TABLE flowgate.agreement IS 'versions of FLOW agreements; of each agreement at most one is in force: approved or suspended';

CREATE TABLE flowgate.agreement_change (
    revision bigint NOT NULL,
    trigger text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    act text NOT NULL,
    state text NOT NULL,
    entry jsonb NOT NULL,
    changed_by text NOT NULL,
    reason text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (revision, trigger, version)
);
CREATE INDEX agreement_change_trigger ON flowgate.agreement_change (trigger, revision);
COMMENT ON TABLE flowgate.agreement_change IS 'every act on an agreement, with the version as it is from then on; rows are only added';
CREATE TRIGGER agreement_change_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.agreement_change
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();

-- What actions of agreements read.
CREATE INDEX outcome_action ON flowgate.outcome (tenant, stored_at) WHERE kind = 'action';
CREATE INDEX attempt_at ON flowgate.attempt USING brin (at) WITH (pages_per_range = 16);

-- The terms of agreements by which decisions were made are kept as settings and policies are.
ALTER TABLE flowgate.decision_settings DROP CONSTRAINT decision_settings_kind_check,
    ADD CONSTRAINT decision_settings_kind_check CHECK (kind IN ('settings', 'policy', 'agreement'));
COMMENT ON TABLE flowgate.decision_settings IS 'settings, policies and terms of agreements that decided, by version: the first 12 hexadecimal digits of the SHA-256 of body; at is when they first did';
