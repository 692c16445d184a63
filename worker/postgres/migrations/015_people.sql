-- The directory of people. Its revision goes up with every transaction that changes it, and is seen in the order of commits, since
-- its row is locked until the end; each row has the revision that it was written at. What is removed keeps its row, so that readers
-- hear of it.

CREATE TABLE flowgate.directory (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL
);
INSERT INTO flowgate.directory (revision) VALUES (0);
COMMENT ON TABLE flowgate.directory IS 'one row: the newest revision of the directory of people';

CREATE TABLE flowgate.person (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'suspended')),
    department text NOT NULL,
    cost_centre text NOT NULL,
    roles text[] NOT NULL CHECK (roles <@ ARRAY['producer', 'operator', 'approver', 'auditor', 'admin']),
    removed boolean NOT NULL,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX person_revision ON flowgate.person (revision);
COMMENT ON TABLE flowgate.person IS 'who may ask, in which department, at whose cost; the name is that of user_id in requests';

CREATE TABLE flowgate.department (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    cost_centre text NOT NULL,
    known_people boolean NOT NULL,
    models text[] NOT NULL,
    backends text[] NOT NULL,
    regions text[] NOT NULL,
    purposes text[] NOT NULL,
    data text[] NOT NULL,
    removed boolean NOT NULL,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX department_revision ON flowgate.department (revision);
COMMENT ON TABLE flowgate.department IS 'departments with what they may use; * is whoever asks; an empty list allows everything';

CREATE TABLE flowgate.credential (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    user_name text NOT NULL,
    department text NOT NULL,
    purpose text NOT NULL,
    audit_reason text NOT NULL,
    removed boolean NOT NULL,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX credential_revision ON flowgate.credential (revision);
COMMENT ON TABLE flowgate.credential IS 'what is taken where a request that was published with a credential says nothing';

CREATE TABLE flowgate.directory_change (
    revision bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    name text COLLATE "C" NOT NULL,
    entry jsonb,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (revision, kind, name)
);
CREATE INDEX directory_change_name ON flowgate.directory_change (tenant, revision);
COMMENT ON TABLE flowgate.directory_change IS 'every change of the directory, as it is from then on; null: removed; rows are only added';

CREATE FUNCTION flowgate.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME USING ERRCODE = '42501';
END $$;
CREATE TRIGGER directory_change_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.directory_change
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();
