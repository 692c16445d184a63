-- A database that was set back (a replica that lagged, a backup) has admissions that were decided once more since: it waits
-- again what was approved, or somebody asked again meanwhile and was refused. What stands in the stream is what happened: an
-- intent makes its admission approved again, with its own reservation.

-- reinstate_admission gives an open epoch the decision that its intent tells: other money is held instead, nobody waits.
CREATE FUNCTION flowgate.reinstate_admission(
    v_tenant text, v_id text, v_epoch integer, v_class text, v_p integer, v_ingress bigint, v_sha bytea, v_reserved bigint, v_names text[]
) RETURNS void LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
DECLARE
    was admission;
    ids integer[];
    names text[];
BEGIN
    SELECT * INTO was FROM admission a WHERE a.tenant = v_tenant AND a.id = v_id AND a.epoch = v_epoch;
    SELECT array_agg(x.name) INTO names FROM (
        SELECT unnest(v_names) UNION SELECT y.name FROM scope y WHERE y.id = ANY (was.scopes)) AS x (name);
    IF cardinality(names) > 0 THEN
        PERFORM lock_scopes(names);
        SELECT array_agg(y.id ORDER BY y.id) INTO ids FROM scope y WHERE y.name = ANY (v_names);
    END IF;
    UPDATE scope y SET reserved = y.reserved - was.reserved WHERE y.id = ANY (was.scopes) AND was.reserved > 0;
    UPDATE scope y SET reserved = y.reserved + v_reserved WHERE y.id = ANY (ids) AND v_reserved > 0;
    UPDATE admission a SET state = 'approved', reason = '', class = v_class, p = v_p, request_sha256 = v_sha, scopes = ids,
           reserved = CASE WHEN ids IS NULL THEN 0 ELSE v_reserved END, ingress_seq = v_ingress,
           ingress_stream = CASE WHEN a.ingress_seq = v_ingress THEN a.ingress_stream ELSE '' END
    WHERE a.tenant = v_tenant AND a.id = v_id AND a.epoch = v_epoch;
    DELETE FROM waiter w WHERE w.tenant = v_tenant AND w.id = v_id AND w.epoch = v_epoch;
END $$;

-- As in 004, with the epochs that have to be reinstated.
CREATE OR REPLACE FUNCTION flowgate.record_intents(
    i_tenant text[], i_id text[], i_epoch integer[], i_class text[], i_p integer[], i_seq bigint[], i_at timestamptz[],
    i_ingress bigint[], i_sha bytea[], i_kind text[], i_submitted timestamptz[], i_user text[], i_department text[],
    i_model text[], i_audit text[], i_price text[], i_policy text[], i_bound bigint[], i_reserved bigint[],
    i_refs integer[], s_name text[]
) RETURNS integer LANGUAGE plpgsql
SET search_path = flowgate, pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    lost integer[]; altered integer[];
    j integer;
    hits integer;
BEGIN
    INSERT INTO intent (seq, stored_at, submitted_at, bound, reserved, epoch, tenant, id, kind, class, user_id, department,
                        model, price_version, policy_version, request_sha256, audit_reason)
    SELECT * FROM unnest(i_seq, i_at, i_submitted, i_bound, i_reserved, i_epoch, i_tenant, i_id, i_kind, i_class, i_user,
                         i_department, i_model, i_price, i_policy, i_sha, i_audit)
    ON CONFLICT DO NOTHING;

    WITH hit AS (
        UPDATE admission a SET intent_seq = m.seq, intent_at = m.at
        FROM unnest(i_tenant, i_id, i_epoch, i_seq, i_at, i_sha) WITH ORDINALITY AS m (tenant, id, epoch, seq, at, sha, n)
        WHERE a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch AND a.intent_seq IS NULL
        RETURNING m.n, a.outcome_at IS NULL AND (a.state <> 'approved' OR a.request_sha256 <> m.sha) AS other
    )
    SELECT count(*), array_agg(hit.n ORDER BY hit.n) FILTER (WHERE hit.other) INTO hits, altered FROM hit;
    IF hits = cardinality(i_id) AND altered IS NULL THEN
        RETURN 0;
    END IF;

    SELECT array_agg(m.n) INTO lost
    FROM unnest(i_tenant, i_id, i_epoch) WITH ORDINALITY AS m (tenant, id, epoch, n)
    WHERE NOT EXISTS (SELECT FROM admission a WHERE a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch);
    IF lost IS NULL AND altered IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('flowgate.rebuild', 0));
    PERFORM lock_scopes((SELECT array_agg(DISTINCT x.name)
        FROM unnest(lost || altered) AS l (n) CROSS JOIN LATERAL unnest(s_name[coalesce(i_refs[l.n - 1], 0) + 1:i_refs[l.n]]) AS x (name)));
    FOREACH j IN ARRAY coalesce(lost, '{}') LOOP
        PERFORM rebuild_admission(i_tenant[j], i_id[j], i_epoch[j], i_class[j], i_p[j], i_ingress[j], i_sha[j], i_at[j],
            'approved', i_reserved[j], s_name[coalesce(i_refs[j - 1], 0) + 1:i_refs[j]], i_seq[j]);
    END LOOP;
    FOREACH j IN ARRAY coalesce(altered, '{}') LOOP
        PERFORM reinstate_admission(i_tenant[j], i_id[j], i_epoch[j], i_class[j], i_p[j], i_ingress[j], i_sha[j], i_reserved[j],
            s_name[coalesce(i_refs[j - 1], 0) + 1:i_refs[j]]);
    END LOOP;
    RETURN coalesce(cardinality(lost), 0) + coalesce(cardinality(altered), 0);
END $$;
