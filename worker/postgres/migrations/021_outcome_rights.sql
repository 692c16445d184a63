-- Rows of outcomes are only added, also by who names the partition of a month: default privileges give a role that works here more.
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
    END IF;
    EXECUTE format('ALTER TABLE flowgate.%I ATTACH PARTITION flowgate.%I FOR VALUES FROM (%L) TO (%L)', parent, child, low, high);
    RETURN true;
EXCEPTION WHEN check_violation OR duplicate_table THEN
    RETURN false;
END $$;
