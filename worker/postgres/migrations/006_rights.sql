-- Workers need no rights on the shape of tables: partitions are made and dropped by functions that act as the role that
-- migrates. They take no text into SQL but names of partitions of their own form, their search_path is fixed, and only
-- those who were granted EXECUTE may call them.

CREATE OR REPLACE FUNCTION flowgate.drop_pending(child text) RETURNS integer
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
DECLARE
    moved integer;
BEGIN
    IF child !~ '^admission_pending_[0-9]{10}$' THEN
        RAISE EXCEPTION 'drop_pending: % is no hour of decisions', quote_literal(child) USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('flowgate.partitions', 0));
    IF to_regclass('flowgate.' || quote_ident(child)) IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format($q$
        CREATE TEMP TABLE flowgate_still_open ON COMMIT DROP AS
        SELECT d.* FROM flowgate.%I d
        JOIN flowgate.admission a USING (tenant, id, epoch)
        WHERE a.decided_at = d.decided_at AND a.intent_at IS NULL AND a.outcome_at IS NULL$q$, child);
    EXECUTE format('ALTER TABLE flowgate.admission_pending DETACH PARTITION flowgate.%I', child);
    EXECUTE format('DROP TABLE flowgate.%I', child);
    INSERT INTO flowgate.admission_pending (decided_at, epoch, tenant, id, decision)
    SELECT decided_at, epoch, tenant, id, decision FROM pg_temp.flowgate_still_open;
    GET DIAGNOSTICS moved = ROW_COUNT;
    DROP TABLE pg_temp.flowgate_still_open;
    RETURN moved;
END $$;

ALTER FUNCTION flowgate.drop_pending(text) SECURITY DEFINER;
ALTER FUNCTION flowgate.ensure_partitions(timestamptz) SECURITY DEFINER;
REVOKE EXECUTE ON FUNCTION flowgate.drop_pending(text), flowgate.ensure_partitions(timestamptz),
    flowgate.ensure_partition(text, text, timestamptz, timestamptz) FROM PUBLIC;
