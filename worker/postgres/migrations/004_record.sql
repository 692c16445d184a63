-- What the recorder calls, in this order and in one transaction: record_begin, record_intents, record_events,
-- record_outcomes. Admissions are locked by key, scopes by name and as late as can be, so that admission waits the least.

-- record_begin moves the position of a stream, or raises FG001 where it is not where the recorder believes it is.
CREATE FUNCTION flowgate.record_begin(
    v_stream text, from_incarnation text, from_seq bigint, to_incarnation text, to_seq bigint, gap_to bigint
) RETURNS void LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
BEGIN
    UPDATE recorder_position q SET incarnation = to_incarnation, seq = to_seq, updated_at = clock_timestamp()
    WHERE q.stream = v_stream AND q.incarnation = from_incarnation AND q.seq = from_seq;
    IF NOT FOUND AND from_incarnation = '' AND from_seq = 0 THEN
        INSERT INTO recorder_position (stream, incarnation, seq, updated_at)
        VALUES (v_stream, to_incarnation, to_seq, clock_timestamp()) ON CONFLICT DO NOTHING;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the position of % is not % at %', v_stream, from_seq, from_incarnation USING ERRCODE = 'FG001';
    END IF;
    IF gap_to > 0 THEN
        INSERT INTO recorder_gap (stream, incarnation, from_seq, to_seq, at)
        VALUES (v_stream, to_incarnation, CASE WHEN from_incarnation = to_incarnation THEN from_seq + 1 ELSE 1 END, gap_to, clock_timestamp())
        ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- lock_scopes makes the named scopes where missing and locks them by name.
CREATE FUNCTION flowgate.lock_scopes(names text[]) RETURNS void
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO scope (name)
    SELECT DISTINCT x.name COLLATE "C" FROM unnest(names) AS x (name)
    WHERE NOT EXISTS (SELECT FROM scope y WHERE y.name = x.name)
    ORDER BY 1 ON CONFLICT DO NOTHING;
    PERFORM FROM (SELECT FROM scope y WHERE y.name = ANY (names) ORDER BY y.name FOR UPDATE) l;
END $$;

-- rebuild_admission writes the row of an epoch whose admission was lost (with a replica), and holds its money again.
CREATE FUNCTION flowgate.rebuild_admission(
    v_tenant text, v_id text, v_epoch integer, v_class text, v_p integer, v_ingress bigint, v_sha bytea,
    v_at timestamptz, v_state text, v_reserved bigint, v_names text[], v_intent bigint
) RETURNS boolean LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
DECLARE
    ids integer[];
BEGIN
    IF cardinality(v_names) > 0 THEN
        PERFORM lock_scopes(v_names);
        SELECT array_agg(y.id ORDER BY y.id) INTO ids FROM scope y WHERE y.name = ANY (v_names);
    END IF;
    INSERT INTO admission (ingress_seq, reserved, admitted_at, decided_at, intent_seq, intent_at, epoch, p, tenant, id, class,
                           state, reason, ingress_stream, request_sha256, scopes)
    VALUES (v_ingress, CASE WHEN ids IS NULL THEN 0 ELSE v_reserved END, v_at, v_at, v_intent, CASE WHEN v_intent IS NOT NULL THEN v_at END,
            v_epoch, v_p, v_tenant, v_id, v_class, v_state, '', '', v_sha, ids)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE scope y SET reserved = y.reserved + v_reserved WHERE y.id = ANY (ids) AND v_reserved > 0;
    RETURN true;
END $$;

-- record_intents writes the intents (one per epoch) and marks their admissions. i_refs is the index at which the names of
-- the epoch's scopes end in s_name.
CREATE FUNCTION flowgate.record_intents(
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
    lost integer[];
    j integer;
    hits integer;
BEGIN
    INSERT INTO intent (seq, stored_at, submitted_at, bound, reserved, epoch, tenant, id, kind, class, user_id, department,
                        model, price_version, policy_version, request_sha256, audit_reason)
    SELECT * FROM unnest(i_seq, i_at, i_submitted, i_bound, i_reserved, i_epoch, i_tenant, i_id, i_kind, i_class, i_user,
                         i_department, i_model, i_price, i_policy, i_sha, i_audit)
    ON CONFLICT DO NOTHING;

    UPDATE admission a SET intent_seq = m.seq, intent_at = m.at
    FROM unnest(i_tenant, i_id, i_epoch, i_seq, i_at) AS m (tenant, id, epoch, seq, at)
    WHERE a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch AND a.intent_seq IS NULL;
    GET DIAGNOSTICS hits = ROW_COUNT;
    IF hits = cardinality(i_id) THEN
        RETURN 0;
    END IF;

    SELECT array_agg(m.n) INTO lost
    FROM unnest(i_tenant, i_id, i_epoch) WITH ORDINALITY AS m (tenant, id, epoch, n)
    WHERE NOT EXISTS (SELECT FROM admission a WHERE a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch);
    IF lost IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('flowgate.rebuild', 0));
    PERFORM lock_scopes((SELECT array_agg(DISTINCT x.name)
        FROM unnest(lost) AS l (n) CROSS JOIN LATERAL unnest(s_name[coalesce(i_refs[l.n - 1], 0) + 1:i_refs[l.n]]) AS x (name)));
    FOREACH j IN ARRAY lost LOOP
        PERFORM rebuild_admission(i_tenant[j], i_id[j], i_epoch[j], i_class[j], i_p[j], i_ingress[j], i_sha[j], i_at[j],
            'approved', i_reserved[j], s_name[coalesce(i_refs[j - 1], 0) + 1:i_refs[j]], i_seq[j]);
    END LOOP;
    RETURN cardinality(lost);
END $$;

CREATE FUNCTION flowgate.record_events(
    e_stream text, e_seq bigint[], e_stored timestamptz[], e_at timestamptz[], e_epoch integer[], e_kind text[],
    e_tenant text[], e_id text[], e_worker text[], e_detail text[], e_body text[]
) RETURNS void LANGUAGE sql SET search_path = flowgate, pg_catalog, pg_temp AS $$
    INSERT INTO event (stream, seq, stored_at, at, epoch, kind, tenant, id, worker, detail, body)
    SELECT e_stream, m.seq, m.stored, m.at, m.epoch, m.kind, m.tenant, m.id, m.worker, m.detail, m.body::json
    FROM unnest(e_seq, e_stored, e_at, e_epoch, e_kind, e_tenant, e_id, e_worker, e_detail, e_body)
         AS m (seq, stored, at, epoch, kind, tenant, id, worker, detail, body)
    ON CONFLICT DO NOTHING
$$;

-- upsert_attempts merges attempts: every column only ever grows or is filled, so that order and repetition do not matter.
CREATE FUNCTION flowgate.upsert_attempts(
    a_tenant text[], a_id text[], a_epoch integer[], a_k integer[], a_at timestamptz[], a_duration bigint[],
    a_backend text[], a_model text[], a_class text[], a_billing text[],
    a_bound bigint[], a_doubt bigint[], a_cost bigint[], a_stated bigint[]
) RETURNS void LANGUAGE sql SET search_path = flowgate, pg_catalog, pg_temp AS $$
    INSERT INTO attempt AS t (bound, doubt, cost, stated, at, duration_ms, epoch, k, tenant, id, backend, model, class, billing)
    SELECT * FROM unnest(a_bound, a_doubt, a_cost, a_stated, a_at, a_duration, a_epoch, a_k, a_tenant, a_id, a_backend, a_model,
                         a_class, a_billing)
    ON CONFLICT (tenant, id, epoch, k) DO UPDATE SET
        bound = greatest(t.bound, excluded.bound),
        doubt = greatest(t.doubt, excluded.doubt),
        cost = greatest(t.cost, excluded.cost),
        stated = coalesce(t.stated, excluded.stated),
        at = least(t.at, excluded.at),
        duration_ms = greatest(t.duration_ms, excluded.duration_ms),
        backend = coalesce(nullif(t.backend, ''), excluded.backend),
        model = coalesce(nullif(t.model, ''), excluded.model),
        class = CASE WHEN t.cost IS NOT NULL AND excluded.cost IS NULL THEN t.class
                     WHEN excluded.cost IS NOT NULL OR excluded.doubt IS NOT NULL THEN excluded.class ELSE t.class END,
        billing = CASE WHEN t.cost IS NOT NULL AND excluded.cost IS NULL THEN t.billing
                       WHEN excluded.cost IS NOT NULL OR excluded.doubt IS NOT NULL THEN excluded.billing ELSE t.billing END
$$;
