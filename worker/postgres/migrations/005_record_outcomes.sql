-- settle moves money: d_ are changes of settled and reserved by scope id. It answers the names of scopes in which
-- reserved money became free and somebody waits.
CREATE FUNCTION flowgate.settle(d_scope integer[], d_settled bigint[], d_reserved bigint[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    freed text[];
BEGIN
    PERFORM FROM (SELECT FROM scope y WHERE y.id = ANY (d_scope) ORDER BY y.name FOR UPDATE) l;
    WITH moved AS (
        UPDATE scope y SET settled = y.settled + d.settled, reserved = y.reserved - d.reserved
        FROM (SELECT x.scope_id, sum(x.settled)::bigint AS settled, sum(x.reserved)::bigint AS reserved
              FROM unnest(d_scope, d_settled, d_reserved) AS x (scope_id, settled, reserved) GROUP BY 1) d
        WHERE y.id = d.scope_id
        RETURNING y.id, y.name, d.reserved
    )
    SELECT array_agg(moved.name ORDER BY moved.name) INTO freed FROM moved
    WHERE moved.reserved > 0 AND EXISTS (SELECT FROM waiter w WHERE w.scope_id = moved.id);
    RETURN freed;
END $$;

-- end_admissions marks the admissions of the outcomes (one per epoch) as ended and tells which of them that was news for:
-- 0 news, 1 the very same message was recorded before, 2 the epoch had ended otherwise. Lost rows are made again.
CREATE FUNCTION flowgate.end_admissions(
    o_tenant text[], o_id text[], o_epoch integer[], o_class text[], o_p integer[], o_seq bigint[], o_stored timestamptz[],
    o_ingress bigint[], o_sha bytea[], o_status text[], o_reason text[], o_replayable boolean[], o_cost bigint[],
    o_refused boolean[], o_refs integer[], s_name text[]
) RETURNS integer[] LANGUAGE plpgsql
SET search_path = flowgate, pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    hits integer[]; lost integer[]; news integer[]; ended_waiting boolean; j integer; pass integer;
BEGIN
    FOR pass IN 1..2 LOOP
        WITH hit AS (
            UPDATE admission a SET outcome_at = m.stored, outcome_seq = m.seq, outcome_status = m.status, outcome_reason = m.reason,
                   outcome_replayable = m.replayable, outcome_cost = m.cost
            FROM unnest(o_tenant, o_id, o_epoch, o_seq, o_stored, o_status, o_reason, o_replayable, o_cost)
                 WITH ORDINALITY AS m (tenant, id, epoch, seq, stored, status, reason, replayable, cost, n)
            WHERE a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch AND a.outcome_at IS NULL
            RETURNING m.n, a.state
        )
        SELECT hits || array_agg(hit.n::integer), bool_or(hit.state = 'waiting') INTO hits, ended_waiting FROM hit;
        IF ended_waiting THEN
            DELETE FROM waiter w USING unnest(o_tenant, o_id, o_epoch) AS m (tenant, id, epoch)
            WHERE w.tenant = m.tenant AND w.id = m.id AND w.epoch = m.epoch;
        END IF;
        EXIT WHEN cardinality(hits) = cardinality(o_id) OR pass = 2;

        SELECT array_agg(m.n) INTO lost
        FROM unnest(o_tenant, o_id, o_epoch) WITH ORDINALITY AS m (tenant, id, epoch, n)
        WHERE NOT EXISTS (SELECT FROM admission a WHERE a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch);
        EXIT WHEN lost IS NULL;
        PERFORM pg_advisory_xact_lock(hashtextextended('flowgate.rebuild', 0));
        FOREACH j IN ARRAY lost LOOP
            PERFORM rebuild_admission(o_tenant[j], o_id[j], o_epoch[j], o_class[j], o_p[j], o_ingress[j], o_sha[j], o_stored[j],
                CASE WHEN o_refused[j] THEN 'refused' ELSE 'approved' END, 0, s_name[coalesce(o_refs[j - 1], 0) + 1:o_refs[j]], NULL);
        END LOOP;
    END LOOP;

    news := array_fill(0, ARRAY[cardinality(o_id)]);
    IF cardinality(hits) IS DISTINCT FROM cardinality(o_id) THEN
        SELECT array_agg(CASE WHEN m.n = ANY (hits) THEN 0
                              WHEN a.outcome_seq = m.seq AND a.outcome_at = m.stored THEN 1 ELSE 2 END ORDER BY m.n)
        INTO news
        FROM unnest(o_tenant, o_id, o_epoch, o_seq, o_stored) WITH ORDINALITY AS m (tenant, id, epoch, seq, stored, n)
        LEFT JOIN admission a ON a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch;
    END IF;
    RETURN news;
END $$;

-- record_outcomes writes attempts and outcomes and settles the money. a_outcome is the index of the outcome of the attempt's
-- epoch in this batch (0: none); a_stated what that outcome says of it. All text is clean of zero bytes.
CREATE FUNCTION flowgate.record_outcomes(
    v_stream text,
    a_tenant text[], a_id text[], a_epoch integer[], a_k integer[], a_at timestamptz[], a_duration bigint[],
    a_backend text[], a_model text[], a_class text[], a_billing text[],
    a_bound bigint[], a_doubt bigint[], a_cost bigint[], a_stated bigint[], a_outcome integer[],
    o_tenant text[], o_id text[], o_epoch integer[], o_class text[], o_p integer[], o_seq bigint[], o_stored timestamptz[],
    o_ingress bigint[], o_sha bytea[], o_kind text[], o_submitted timestamptz[], o_finished timestamptz[],
    o_status text[], o_reason text[], o_field text[], o_detail text[], o_layer text[], o_replayable boolean[],
    o_user text[], o_department text[], o_model text[], o_backend text[], o_price text[],
    o_cost bigint[], o_in bigint[], o_out bigint[], o_refused boolean[],
    o_sections text[], o_answer text[], o_letter bytea[], o_refs integer[], s_name text[],
    OUT news integer[], OUT freed text[]
) LANGUAGE plpgsql
SET search_path = flowgate, pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    late integer[]; known integer;
    d_scope integer[]; d_settled bigint[]; d_reserved bigint[];
    l_scope integer[]; l_settled bigint[];
BEGIN
    -- Attempts of epochs that do not end here: their admissions are locked, so that an end elsewhere comes before or after.
    IF 0 = ANY (a_outcome) THEN
        FOR pass IN 1..2 LOOP
            SELECT count(*) INTO known FROM (
                SELECT FROM unnest(a_tenant, a_id, a_epoch, a_outcome) AS m (tenant, id, epoch, outcome)
                JOIN admission a ON a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch
                WHERE m.outcome = 0 ORDER BY a.tenant, a.id, a.epoch FOR UPDATE OF a) l;
            EXIT WHEN known = cardinality(array_positions(a_outcome, 0));
            PERFORM pg_advisory_xact_lock(hashtextextended('flowgate.rebuild', 0));
        END LOOP;
    END IF;

    news := end_admissions(o_tenant, o_id, o_epoch, o_class, o_p, o_seq, o_stored, o_ingress, o_sha, o_status, o_reason,
                           o_replayable, o_cost, o_refused, o_refs, s_name);

    -- Attempts whose epoch had ended before: what they were charged, taken off before and put on after the merge.
    SELECT array_agg(m.n) INTO late
    FROM unnest(a_tenant, a_id, a_epoch, a_outcome) WITH ORDINALITY AS m (tenant, id, epoch, outcome, n)
    JOIN admission a ON a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch
    WHERE news[m.outcome] IS DISTINCT FROM 0 AND a.outcome_at IS NOT NULL AND a.scopes IS NOT NULL;
    IF late IS NOT NULL THEN
        SELECT array_agg(s.id), array_agg(-t.charged) INTO l_scope, l_settled
        FROM unnest(late) AS l (n)
        JOIN attempt t ON t.tenant = a_tenant[l.n] AND t.id = a_id[l.n] AND t.epoch = a_epoch[l.n] AND t.k = a_k[l.n]
        JOIN admission a ON a.tenant = t.tenant AND a.id = t.id AND a.epoch = t.epoch
        CROSS JOIN LATERAL unnest(a.scopes) AS s (id);
    END IF;

    PERFORM upsert_attempts(a_tenant, a_id, a_epoch, a_k, a_at, a_duration, a_backend, a_model, a_class, a_billing,
        a_bound, a_doubt, a_cost, (SELECT array_agg(CASE WHEN news[m.outcome] = 0 THEN m.stated END ORDER BY m.n)
            FROM unnest(a_stated, a_outcome) WITH ORDINALITY AS m (stated, outcome, n)))
    WHERE cardinality(a_id) > 0;

    INSERT INTO outcome (seq, stored_at, cost_microusd, tokens_in, tokens_out, submitted_at, finished_at, epoch, replayable, tenant,
                         id, kind, class, status, reason, layer, user_id, department, model, backend, price_version, field,
                         detail, sections)
    SELECT m.seq, m.stored, m.cost, m.tin, m.tout, m.submitted, m.finished, m.epoch, m.replayable, m.tenant,
           m.id, m.kind, m.class, m.status, m.reason, m.layer, m.usr, m.department, m.model, m.backend, m.price, m.field,
           m.detail, nullif(m.sections, '')::json
    FROM unnest(news, o_seq, o_stored, o_cost, o_in, o_out, o_submitted, o_finished, o_epoch, o_replayable, o_tenant, o_id, o_kind,
                o_class, o_status, o_reason, o_layer, o_user, o_department, o_model, o_backend, o_price, o_field, o_detail, o_sections)
         AS m (news, seq, stored, cost, tin, tout, submitted, finished, epoch, replayable, tenant, id, kind, class, status, reason,
               layer, usr, department, model, backend, price, field, detail, sections)
    WHERE m.news = 0;
    INSERT INTO content (stored_at, epoch, tenant, id, answer)
    SELECT m.stored, m.epoch, m.tenant, m.id, m.answer
    FROM unnest(news, o_stored, o_epoch, o_tenant, o_id, o_answer) AS m (news, stored, epoch, tenant, id, answer)
    WHERE m.news = 0 AND m.answer <> '' ON CONFLICT DO NOTHING;
    INSERT INTO dead_letter (stored_at, epoch, tenant, id, body)
    SELECT m.stored, m.epoch, m.tenant, m.id, m.body
    FROM unnest(news, o_stored, o_epoch, o_tenant, o_id, o_letter) AS m (news, stored, epoch, tenant, id, body)
    WHERE m.news = 0 AND m.body IS NOT NULL ON CONFLICT DO NOTHING;
    INSERT INTO event (stream, seq, stored_at, at, epoch, kind, tenant, id, worker, detail)
    SELECT v_stream, m.seq, m.stored, m.finished, m.epoch, 'second_outcome', m.tenant, m.id, '', m.status || ': ' || m.reason
    FROM unnest(news, o_seq, o_stored, o_finished, o_epoch, o_tenant, o_id, o_status, o_reason)
         AS m (news, seq, stored, finished, epoch, tenant, id, status, reason)
    WHERE m.news = 2 ON CONFLICT DO NOTHING;

    SELECT array_agg(x.scope_id), array_agg(x.settled), array_agg(x.reserved) INTO d_scope, d_settled, d_reserved
    FROM (
        SELECT s.id AS scope_id, sum(e.charged)::bigint AS settled, sum(e.reserved)::bigint AS reserved
        FROM (
            SELECT a.scopes, a.reserved, coalesce((SELECT sum(t.charged) FROM attempt t
                   WHERE t.tenant = a.tenant AND t.id = a.id AND t.epoch = a.epoch), 0) AS charged
            FROM unnest(news, o_tenant, o_id, o_epoch) AS m (news, tenant, id, epoch)
            JOIN admission a ON a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch
            WHERE m.news = 0 AND a.scopes IS NOT NULL
        ) e CROSS JOIN LATERAL unnest(e.scopes) AS s (id)
        GROUP BY s.id
    ) x;
    IF late IS NOT NULL THEN
        SELECT d_scope || l_scope || array_agg(s.id),
               d_settled || l_settled || array_agg(t.charged),
               d_reserved || array_fill(0::bigint, ARRAY[coalesce(cardinality(l_scope), 0) + count(*)::integer])
        INTO d_scope, d_settled, d_reserved
        FROM unnest(late) AS l (n)
        JOIN attempt t ON t.tenant = a_tenant[l.n] AND t.id = a_id[l.n] AND t.epoch = a_epoch[l.n] AND t.k = a_k[l.n]
        JOIN admission a ON a.tenant = t.tenant AND a.id = t.id AND a.epoch = t.epoch
        CROSS JOIN LATERAL unnest(a.scopes) AS s (id);
    END IF;
    IF d_scope IS NOT NULL THEN
        freed := settle(d_scope, d_settled, d_reserved);
    END IF;
END $$;
