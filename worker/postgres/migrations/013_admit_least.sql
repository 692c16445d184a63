-- admit as in 011, but that m_amount has the members' amounts and after them, where the caller tells them, the least ones: one of
-- which is reserved where the amount can never fit any more, so that a limit is not left unused for want of room for a second try
-- of the last requests. The reason of such an approval is least.

CREATE OR REPLACE FUNCTION flowgate.admit(
    m_tenant text[], m_id text[], m_epoch integer[], m_class text[], m_p integer[],
    m_stream text[], m_seq bigint[], m_sha bytea[], m_hold boolean[],
    m_refused text[], m_wait boolean[], m_amount bigint[], m_refs integer[], m_decision bytea[],
    r_scope integer[], r_limit bigint[], r_reason text[], s_name text[], m_why text[]
) RETURNS TABLE (outcome integer, state text, reason text, p integer, intent_seq bigint, decision bytea)
LANGUAGE plpgsql
SET search_path = flowgate, pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    n integer := cardinality(m_tenant);
    at timestamptz := now();
    -- what was there before, by member
    e_state text[]; e_reason text[]; e_same boolean[]; e_past boolean[]; e_open boolean[];
    e_p integer[]; e_intent bigint[]; e_decided timestamptz[];
    -- balances, by scope
    b_id integer[]; b_settled bigint[]; b_before bigint[]; b_reserved bigint[]; b_oldest timestamptz[];
    -- grants, by member; w_ is what to write: 1 a new row, 2 a new decision on a waiting one
    -- (filled first: an array that begins elsewhere than at 1 comes out of unnest shifted)
    g_outcome integer[] := array_fill(NULL::integer, ARRAY[n]);
    g_state text[] := array_fill(NULL::text, ARRAY[n]);
    g_reason text[] := array_fill(NULL::text, ARRAY[n]);
    g_p integer[] := array_fill(NULL::integer, ARRAY[n]);
    g_decision bytea[] := array_fill(NULL::bytea, ARRAY[n]);
    w_kind integer[] := array_fill(NULL::integer, ARRAY[n]);
    w_reserved bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    w_since timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    r_id integer[];
    -- scopes that keep a member waiting, by place in the r_ arrays: it queues in those alone, so that who has no room in a budget
    -- of its own holds up nobody in one that it shares
    r_block boolean[];
    i integer; r integer; s integer; low integer; high integer := 0;
    amount bigint; since timestamptz; next timestamptz;
    v_state text; v_reason text; v_decision bytea; hits integer; wanted integer := 0; holds integer := 0; waits integer := 0;
BEGIN
    r_block := array_fill(false, ARRAY[coalesce(cardinality(r_scope), 0)]);
    IF cardinality(s_name) > 0 THEN
        INSERT INTO scope (name)
        SELECT x.name FROM unnest(s_name) AS x (name)
        WHERE NOT EXISTS (SELECT FROM scope y WHERE y.name = x.name)
        ORDER BY x.name COLLATE "C" ON CONFLICT DO NOTHING;

        SELECT array_agg(l.id), array_agg(l.settled), array_agg(l.reserved) INTO b_id, b_settled, b_reserved
        FROM (SELECT y.id, y.settled, y.reserved FROM scope y
              WHERE y.name = ANY (s_name) ORDER BY y.name FOR UPDATE) l;
        IF cardinality(b_id) IS DISTINCT FROM cardinality(s_name) THEN
            RAISE EXCEPTION 'scopes changed meanwhile' USING ERRCODE = '40001';
        END IF;
        b_before := b_reserved;
        SELECT array_agg((SELECT w.since FROM waiter w
                          WHERE w.scope_id = b.id AND w.since < at - interval '60 seconds' ORDER BY w.since LIMIT 1) ORDER BY b.n)
        INTO b_oldest FROM unnest(b_id) WITH ORDINALITY AS b (id, n);
        SELECT array_agg(b_id[x.s] ORDER BY x.n) INTO r_id FROM unnest(r_scope) WITH ORDINALITY AS x (s, n);
    END IF;

    IF true = ANY (m_hold) THEN
        PERFORM FROM (SELECT FROM unnest(m_tenant, m_id, m_epoch, m_hold) AS m (tenant, id, epoch, hold)
            JOIN admission a ON a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch
            WHERE m.hold ORDER BY a.tenant, a.id, a.epoch FOR UPDATE OF a NOWAIT) l;
    END IF;

    SELECT array_agg(x.state), array_agg(x.reason), array_agg(x.same), array_agg(x.past), array_agg(x.waits),
           array_agg(x.p), array_agg(x.intent_seq), array_agg(x.decided_at)
    INTO e_state, e_reason, e_same, e_past, e_open, e_p, e_intent, e_decided
    FROM (
        SELECT a.state, a.reason, a.p::integer AS p, a.intent_seq, a.decided_at,
               a.ingress_seq = m.seq AND a.ingress_stream = m.stream AS same,
               a.intent_at IS NOT NULL OR a.outcome_at IS NOT NULL AS past,
               a.state = 'waiting' AND a.outcome_at IS NULL AS waits
        FROM unnest(m_tenant, m_id, m_epoch, m_stream, m_seq) WITH ORDINALITY AS m (tenant, id, epoch, stream, seq, n)
        LEFT JOIN admission a ON a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch
        ORDER BY m.n
    ) x;

    FOR i IN 1..n LOOP
        low := high + 1;
        high := m_refs[i];

        IF m_hold[i] AND e_open[i] THEN
            g_p[i] := e_p[i];
            SELECT min(w.since) INTO since FROM waiter w WHERE w.tenant = m_tenant[i] AND w.id = m_id[i] AND w.epoch = m_epoch[i];
            since := coalesce(since, at);
        ELSIF e_state[i] IS NOT NULL THEN
            -- Decided before. A hold whose decision nobody has published yet is told it again, whoever asks.
            g_outcome[i] := CASE
                WHEN m_hold[i] AND (e_past[i] OR e_state[i] = 'waiting') THEN 5
                WHEN m_hold[i] THEN 1
                WHEN NOT e_same[i] THEN 3
                WHEN e_past[i] THEN 2
                ELSE 1 END;
            g_state[i] := e_state[i]; g_reason[i] := e_reason[i]; g_p[i] := e_p[i];
            IF g_outcome[i] = 1 THEN
                SELECT d.decision INTO v_decision FROM admission_pending d
                WHERE d.decided_at = e_decided[i] AND d.tenant = m_tenant[i] AND d.id = m_id[i] AND d.epoch = m_epoch[i] LIMIT 1;
                g_decision[i] := v_decision;
            END IF;
            CONTINUE;
        ELSE
            -- A hold without a row lost it with a replica of the database: it is admitted anew.
            IF m_epoch[i] > 0 AND NOT m_hold[i] THEN
                IF NOT coalesce((
                    SELECT a.epoch = m_epoch[i] - 1 AND a.outcome_at IS NOT NULL AND a.outcome_replayable
                    FROM admission a WHERE a.tenant = m_tenant[i] AND a.id = m_id[i] ORDER BY a.epoch DESC LIMIT 1), false) THEN
                    g_outcome[i] := 4;
                    CONTINUE;
                END IF;
            END IF;
            g_p[i] := m_p[i];
            since := at;
        END IF;

        v_state := 'approved'; v_reason := ''; amount := m_amount[i];
        IF m_refused[i] <> '' THEN
            v_state := 'refused'; v_reason := m_refused[i];
        ELSIF m_wait[i] THEN
            v_state := 'waiting'; v_reason := coalesce(m_why[i], 'not_before');
        ELSIF amount > 0 AND high >= low THEN
            FOR r IN low..high LOOP
                IF b_settled[r_scope[r]] + amount > r_limit[r] THEN
                    amount := coalesce(m_amount[n + i], amount);
                    EXIT;
                END IF;
            END LOOP;
            FOR r IN low..high LOOP
                s := r_scope[r];
                IF b_settled[s] + amount > r_limit[r] THEN
                    v_state := 'refused'; v_reason := r_reason[r];
                    EXIT;
                ELSIF b_settled[s] + b_reserved[s] + amount > r_limit[r] OR b_oldest[s] < since THEN
                    v_state := 'waiting'; v_reason := 'waiting_money'; r_block[r] := true;
                END IF;
            END LOOP;
            IF v_state = 'approved' THEN
                FOR r IN low..high LOOP
                    s := r_scope[r];
                    b_reserved[s] := b_reserved[s] + amount;
                END LOOP;
                w_reserved[i] := amount;
                IF amount < m_amount[i] THEN
                    v_reason := 'least';
                END IF;
            END IF;
        END IF;

        IF v_reason = 'waiting_money' THEN
            w_since[i] := since;
            waits := waits + 1;
        END IF;
        IF m_hold[i] AND e_open[i] THEN
            IF v_state = 'waiting' AND e_reason[i] = v_reason AND NOT EXISTS (
                SELECT FROM unnest(r_id[low:high], r_block[low:high]) AS x (scope_id, blocks) WHERE x.blocks IS DISTINCT FROM EXISTS (
                    SELECT FROM waiter w WHERE w.scope_id = x.scope_id AND w.tenant = m_tenant[i] AND w.id = m_id[i] AND w.epoch = m_epoch[i])) THEN
                w_since[i] := NULL; -- it waits on, for the same reason: nothing is written
            ELSE
                w_kind[i] := 2;
                holds := holds + 1;
                DELETE FROM waiter w WHERE w.tenant = m_tenant[i] AND w.id = m_id[i] AND w.epoch = m_epoch[i]
                    AND (v_reason <> 'waiting_money' OR w.scope_id NOT IN (
                        SELECT x.scope_id FROM unnest(r_id[low:high], r_block[low:high]) AS x (scope_id, blocks) WHERE x.blocks));
                IF v_reason <> 'waiting_money' AND high >= low THEN
                    FOR r IN low..high LOOP -- the next in line, for the members that follow
                        s := r_scope[r];
                        IF b_oldest[s] >= since THEN
                            SELECT min(w.since) INTO next FROM waiter w
                            WHERE w.scope_id = b_id[s] AND w.since < at - interval '60 seconds';
                            b_oldest[s] := next;
                        END IF;
                    END LOOP;
                END IF;
            END IF;
        ELSE
            w_kind[i] := 1;
            wanted := wanted + 1;
        END IF;
        g_outcome[i] := 0; g_state[i] := v_state; g_reason[i] := v_reason;
    END LOOP;

    IF wanted > 0 THEN
        INSERT INTO admission (ingress_seq, reserved, admitted_at, decided_at, epoch, p, tenant, id, class, state, reason,
                               ingress_stream, request_sha256, scopes)
        SELECT m.seq, coalesce(m.reserved, 0), at, at, m.epoch, m.p, m.tenant, m.id, m.class, m.state, m.reason, m.stream, m.sha,
               CASE WHEN m.reserved > 0 THEN r_id[coalesce(m_refs[m.n - 1], 0) + 1:m_refs[m.n]] END
        FROM unnest(m_tenant, m_id, m_epoch, m_class, m_p, m_stream, m_seq, m_sha, g_state, g_reason, w_kind, w_reserved)
             WITH ORDINALITY AS m (tenant, id, epoch, class, p, stream, seq, sha, state, reason, kind, reserved, n)
        WHERE m.kind = 1
        ORDER BY m.tenant COLLATE "C", m.id COLLATE "C", m.epoch
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS hits = ROW_COUNT;
        IF hits <> wanted THEN
            RAISE EXCEPTION 'another batch admitted % of these members meanwhile', wanted - hits USING ERRCODE = '40001';
        END IF;
    END IF;
    IF holds > 0 THEN
        UPDATE admission a SET state = m.state, reason = m.reason, decided_at = at, reserved = coalesce(m.reserved, 0),
               scopes = CASE WHEN m.reserved > 0 THEN r_id[coalesce(m_refs[m.n - 1], 0) + 1:m_refs[m.n]] END
        FROM unnest(m_tenant, m_id, m_epoch, g_state, g_reason, w_kind, w_reserved)
             WITH ORDINALITY AS m (tenant, id, epoch, state, reason, kind, reserved, n)
        WHERE m.kind = 2 AND a.tenant = m.tenant AND a.id = m.id AND a.epoch = m.epoch
          AND a.state = 'waiting' AND a.outcome_at IS NULL;
        GET DIAGNOSTICS hits = ROW_COUNT;
        IF hits <> holds THEN
            RAISE EXCEPTION '% of these holds ended meanwhile', holds - hits USING ERRCODE = '40001';
        END IF;
    END IF;
    INSERT INTO admission_pending (decided_at, epoch, tenant, id, decision)
    SELECT at, m.epoch, m.tenant, m.id, m.decision
    FROM unnest(m_tenant, m_id, m_epoch, m_decision, w_kind) AS m (tenant, id, epoch, decision, kind)
    WHERE m.kind IS NOT NULL;

    IF waits > 0 THEN
        INSERT INTO waiter (since, scope_id, epoch, tenant, id)
        SELECT m.since, x.scope_id, m.epoch, m.tenant, m.id
        FROM unnest(m_tenant, m_id, m_epoch, w_since) WITH ORDINALITY AS m (tenant, id, epoch, since, n)
        CROSS JOIN LATERAL unnest(r_id[coalesce(m_refs[m.n - 1], 0) + 1:m_refs[m.n]],
                                  r_block[coalesce(m_refs[m.n - 1], 0) + 1:m_refs[m.n]]) AS x (scope_id, blocks)
        WHERE m.since IS NOT NULL AND x.blocks
        ON CONFLICT DO NOTHING;
    END IF;
    IF b_reserved IS DISTINCT FROM b_before THEN
        UPDATE scope y SET reserved = b.reserved
        FROM unnest(b_id, b_reserved, b_before) AS b (id, reserved, before)
        WHERE y.id = b.id AND b.reserved <> b.before;
    END IF;

    RETURN QUERY
    SELECT x.outcome, x.state, x.reason, x.p, coalesce(x.intent_seq, 0), x.decision
    FROM unnest(g_outcome, g_state, g_reason, g_p, e_intent, g_decision)
         WITH ORDINALITY AS x (outcome, state, reason, p, intent_seq, decision, n)
    ORDER BY x.n;
END $$;
