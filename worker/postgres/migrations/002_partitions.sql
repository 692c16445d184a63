-- ensure_partition makes and attaches one partition. LIKE and ATTACH lock the parent less than PARTITION OF does. A range
-- that has rows in the default partition already stays there.
CREATE FUNCTION flowgate.ensure_partition(parent text, suffix text, low timestamptz, high timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
DECLARE
    child text := parent || '_' || suffix;
BEGIN
    IF to_regclass('flowgate.' || quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE flowgate.%I (LIKE flowgate.%I INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION)', child, parent);
    EXECUTE format('ALTER TABLE flowgate.%I ATTACH PARTITION flowgate.%I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
    RETURN true;
EXCEPTION WHEN check_violation OR duplicate_table THEN
    RETURN false;
END $$;

-- ensure_partitions makes what the coming hours and months need. It may run at any time, any number of times.
CREATE FUNCTION flowgate.ensure_partitions(at timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp SET timezone = 'GMT' AS $$
DECLARE
    made integer := 0;
    low timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('flowgate.partitions', 0));
    FOR h IN 0..12 LOOP
        low := date_trunc('hour', at) + make_interval(hours => h);
        IF ensure_partition('admission_pending', to_char(low, 'YYYYMMDDHH24'), low, low + interval '1 hour') THEN
            made := made + 1;
        END IF;
    END LOOP;
    FOR m IN -1..2 LOOP
        low := date_trunc('month', at) + make_interval(months => m);
        IF ensure_partition('outcome', to_char(low, 'YYYYMM'), low, low + interval '1 month') THEN
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- drop_pending drops one hour of decisions. Those still needed are found before anything is locked (an hour that lies
-- behind gains no rows) and go to the default partition.
CREATE FUNCTION flowgate.drop_pending(child text) RETURNS integer
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
DECLARE
    moved integer;
BEGIN
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

SELECT flowgate.ensure_partitions(now());
