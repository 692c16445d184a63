-- Rows of the record are only added: every table of it refuses UPDATE, DELETE and TRUNCATE, of its owner and of superusers too, and
-- ALWAYS: also where session_replication_role is replica. What is dropped for its age is content and dead letters, which are no part of
-- it. Locks are SHARE ROW EXCLUSIVE: readers go on, and writers wait for as long as the catalog is written.

-- Nobody makes a partition meanwhile by what ensure_partition was.
SELECT pg_advisory_xact_lock(hashtextextended('flowgate.partitions', 0));

CREATE TRIGGER recorder_gap_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.recorder_gap
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();
CREATE TRIGGER decision_settings_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.decision_settings
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();
CREATE TRIGGER intent_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.intent
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();
CREATE TRIGGER event_added BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.event
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();

-- Partitions, those to come too, get a trigger FOR EACH ROW of their parent; one FOR EACH STATEMENT, as TRUNCATE needs, they do not.
CREATE TRIGGER outcome_added BEFORE UPDATE OR DELETE ON flowgate.outcome
    FOR EACH ROW EXECUTE FUNCTION flowgate.refuse_change();
CREATE TRIGGER outcome_kept BEFORE TRUNCATE ON flowgate.outcome
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();

ALTER TABLE flowgate.recorder_gap ENABLE ALWAYS TRIGGER recorder_gap_added;
ALTER TABLE flowgate.decision_settings ENABLE ALWAYS TRIGGER decision_settings_added;
ALTER TABLE flowgate.intent ENABLE ALWAYS TRIGGER intent_added;
ALTER TABLE flowgate.event ENABLE ALWAYS TRIGGER event_added;
ALTER TABLE flowgate.outcome ENABLE ALWAYS TRIGGER outcome_added, ENABLE ALWAYS TRIGGER outcome_kept;
ALTER TABLE flowgate.directory_change ENABLE ALWAYS TRIGGER directory_change_added;
ALTER TABLE flowgate.agreement_change ENABLE ALWAYS TRIGGER agreement_change_added;
ALTER TABLE flowgate.seal ENABLE ALWAYS TRIGGER seal_stays;

DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'flowgate.outcome'::regclass LOOP
        EXECUTE format('CREATE TRIGGER outcome_kept BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change()', child);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER outcome_added, ENABLE ALWAYS TRIGGER outcome_kept', child);
    END LOOP;
END $$;

-- ensure_partition as in 021; a partition of outcomes refuses TRUNCATE too.
CREATE OR REPLACE FUNCTION flowgate.ensure_partition(parent text, suffix text, low timestamptz, high timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
DECLARE
    child text := parent || '_' || suffix;
    other text;
BEGIN
    IF to_regclass('flowgate.' || quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE flowgate.%I (LIKE flowgate.%I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION)', child, parent);
    IF parent = 'outcome' THEN
        FOR other IN
            SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
            FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
            WHERE c.oid = to_regclass('flowgate.' || quote_ident(child)) AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON flowgate.%I FROM %s', child, other);
        END LOOP;
        EXECUTE format('CREATE TRIGGER outcome_kept BEFORE TRUNCATE ON flowgate.%I FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change()', child);
    END IF;
    EXECUTE format('ALTER TABLE flowgate.%I ATTACH PARTITION flowgate.%I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
    IF parent = 'outcome' THEN
        EXECUTE format('ALTER TABLE flowgate.%I ENABLE ALWAYS TRIGGER outcome_added, ENABLE ALWAYS TRIGGER outcome_kept', child);
    END IF;
    RETURN true;
EXCEPTION WHEN check_violation OR duplicate_table THEN
    RETURN false;
END $$;
