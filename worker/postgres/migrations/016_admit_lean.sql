-- admit as in 014, with less to do for a member that is new and fits: limits are looked at once, and what only some have is made for
-- them alone.

CREATE OR REPLACE FUNCTION flowgate.admit(
    m_tenant text[], m_id text[], m_epoch integer[], m_class text[], m_p integer[],
    m_stream text[], m_seq bigint[], m_sha bytea[], m_hold boolean[],
    m_refused text[], m_wait boolean[], m_amount bigint[], m_refs integer[], m_decision bytea[],
    r_scope integer[], r_limit bigint[], r_reason text[], s_name text[], m_why text[],
    t_name text[], t_span bigint[], m_tokens bigint[], q_refs integer[], q_rate integer[], q_requests bigint[], q_tokens bigint[],
    q_wait boolean[], q_reason text[]
) RETURNS TABLE (outcome integer, state text, reason text, p integer, intent_seq bigint, decision bytea,
                 blocked text, retry_at timestamptz)
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
    g_p integer[] := m_p;
    g_decision bytea[] := array_fill(NULL::bytea, ARRAY[n]);
    w_kind integer[] := array_fill(NULL::integer, ARRAY[n]);
    w_reserved bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    w_since timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    g_blocked text[] := array_fill(NULL::text, ARRAY[n]);
    g_retry timestamptz[] := array_fill(NULL::timestamptz, ARRAY[n]);
    w_tokens bigint[] := array_fill(NULL::bigint, ARRAY[n]);
    r_id integer[];
    -- what keeps a member waiting (scopes, and below zero limits): it queues in those alone, so that who has no room in a budget of
    -- its own holds up nobody in one that it shares; x_ are all of the batch
    blocks integer[] := '{}'; x_member integer[]; x_scope integer[];
    -- limits: what is counted in the present window and the one before, how much of it is gone, how many wait, and for how many tokens
    ms bigint; t_id integer[]; t_win bigint[]; t_gone bigint[]; t_requests bigint[]; t_tokens bigint[]; t_requests_before bigint[];
    t_tokens_before bigint[]; t_waiting bigint[]; t_queued bigint[]; t_dirty boolean[]; q_id integer[]; q_win bigint[];
    v_blocked text; v_retry timestamptz; v_since timestamptz; older bigint; ahead bigint; tokens bigint; worst bigint; short bigint; span bigint;
    i integer; r integer; s integer; low integer; high integer := 0; q integer; q_low integer; q_high integer := 0;
    amount bigint; since timestamptz; next timestamptz;
    v_state text; v_reason text; v_decision bytea; hits integer; wanted integer := 0; holds integer := 0; waits integer := 0;
BEGIN
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

    IF cardinality(t_name) > 0 THEN
        INSERT INTO rate (name, span)
        SELECT x.name, x.span FROM unnest(t_name, t_span) AS x (name, span)
        WHERE NOT EXISTS (SELECT FROM rate y WHERE y.name = x.name)
        ORDER BY x.name COLLATE "C" ON CONFLICT DO NOTHING;
        PERFORM FROM (SELECT FROM rate y WHERE y.name = ANY (t_name) ORDER BY y.name FOR UPDATE) l;
        -- Read when they are locked: nobody's clock is older than what is counted, unless it was set back.
        ms := rate_now();
        SELECT array_agg(y.id ORDER BY y.name),
               array_agg(CASE WHEN y.win = w.win + 1 THEN y.win ELSE w.win END ORDER BY y.name),
               array_agg(CASE WHEN y.win = w.win + 1 THEN 0 ELSE ms - w.win * y.span END ORDER BY y.name),
               array_agg(CASE WHEN y.win >= w.win THEN y.requests ELSE 0 END ORDER BY y.name),
               array_agg(CASE WHEN y.win >= w.win THEN y.tokens ELSE 0 END ORDER BY y.name),
               array_agg(CASE WHEN y.win >= w.win THEN y.requests_before WHEN y.win = w.win - 1 THEN y.requests ELSE 0 END ORDER BY y.name),
               array_agg(CASE WHEN y.win >= w.win THEN y.tokens_before WHEN y.win = w.win - 1 THEN y.tokens ELSE 0 END ORDER BY y.name),
               array_agg(y.win > w.win + 1 ORDER BY y.name) -- where the clock was set back, that is written, whatever is decided
        INTO t_id, t_win, t_gone, t_requests, t_tokens, t_requests_before, t_tokens_before, t_dirty
        FROM rate y CROSS JOIN LATERAL (SELECT ms / y.span AS win) w WHERE y.name = ANY (t_name);
        IF cardinality(t_id) IS DISTINCT FROM cardinality(t_name) THEN
            RAISE EXCEPTION 'limits changed meanwhile' USING ERRCODE = '40001';
        END IF;
        SELECT array_agg(t_id[x.s] ORDER BY x.n), array_agg(t_win[x.s] ORDER BY x.n) INTO q_id, q_win FROM unnest(q_rate) WITH ORDINALITY AS x (s, n);
        IF true = ANY (q_wait) THEN
            SELECT array_agg(c.waiting ORDER BY t.n), array_agg(c.queued ORDER BY t.n) INTO t_waiting, t_queued
            FROM unnest(t_id) WITH ORDINALITY AS t (id, n)
            CROSS JOIN LATERAL (SELECT count(*) AS waiting, coalesce(sum(l.tokens), 0)::bigint AS queued
                                FROM (SELECT w.tokens FROM waiter w WHERE w.scope_id = -t.id LIMIT 100000) l) c;
        END IF;
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
        q_low := q_high + 1;
        q_high := coalesce(q_refs[i], 0);

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
                IF e_state[i] <> 'approved' THEN
                    SELECT a.rate_blocked, a.retry_at INTO v_blocked, v_retry FROM admission a
                    WHERE a.tenant = m_tenant[i] AND a.id = m_id[i] AND a.epoch = m_epoch[i];
                    g_blocked[i] := v_blocked; g_retry[i] := v_retry;
                END IF;
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
            since := at;
        END IF;

        v_state := 'approved'; v_reason := ''; amount := m_amount[i];
        IF cardinality(blocks) > 0 THEN
            blocks := '{}';
        END IF;
        IF m_refused[i] <> '' THEN
            v_state := 'refused'; v_reason := m_refused[i];
        ELSIF m_wait[i] THEN
            v_state := 'waiting'; v_reason := coalesce(m_why[i], 'not_before');
        ELSIF amount > 0 AND high >= low THEN
            LOOP
                FOR r IN low..high LOOP
                    s := r_scope[r];
                    CONTINUE WHEN b_settled[s] + b_reserved[s] + amount <= r_limit[r] AND (b_oldest[s] < since) IS NOT TRUE;
                    IF b_settled[s] + amount > r_limit[r] THEN
                        v_state := 'refused'; v_reason := r_reason[r]; blocks := '{}';
                        EXIT;
                    END IF;
                    v_state := 'waiting'; v_reason := 'waiting_money'; blocks := blocks || r_id[r];
                END LOOP;
                -- What can never fit any more is judged by its least.
                EXIT WHEN v_state <> 'refused' OR amount <= coalesce(m_amount[n + i], amount);
                v_state := 'approved'; v_reason := ''; amount := m_amount[n + i];
            END LOOP;
        END IF;
        IF v_state = 'approved' AND q_high >= q_low THEN
            tokens := m_tokens[i]; worst := -1; v_since := since;
            FOR q IN q_low..q_high LOOP
                s := q_rate[q]; span := t_span[s]; older := 0; ahead := 0;
                IF q_wait[q] AND m_hold[i] AND e_open[i] THEN
                    SELECT count(*), coalesce(sum(c.tokens), 0) INTO older, ahead
                    FROM (SELECT w.tokens FROM waiter w WHERE w.scope_id = -t_id[s] AND w.since < v_since LIMIT 100000) c;
                ELSIF q_wait[q] THEN
                    older := t_waiting[s]; ahead := t_queued[s];
                END IF;
                ahead := least(ahead, 100000 * q_tokens[q]); -- where the limit is far lower than it was
                short := -1;
                IF q_requests[q] > 0 AND t_requests[s] + (t_requests_before[s] * (span - t_gone[s]) + span - 1) / span + older + 1 > q_requests[q] THEN
                    short := rate_wait(t_requests[s], t_requests_before[s], t_gone[s], span, older + 1, q_requests[q]);
                END IF;
                IF q_tokens[q] > 0 AND tokens > 0
                   AND t_tokens[s] + (t_tokens_before[s] * (span - t_gone[s]) + span - 1) / span + ahead + tokens > q_tokens[q] THEN
                    short := greatest(short, rate_wait(t_tokens[s], t_tokens_before[s], t_gone[s], span, ahead + tokens, q_tokens[q]));
                END IF;
                CONTINUE WHEN short < 0;
                -- A limit that refuses goes before one that lets wait; of several that which has room last is named.
                short := short + CASE WHEN t_win[s] * span > ms THEN t_win[s] * span - ms ELSE 0 END; -- a clock that was set back
                IF NOT q_wait[q] AND (v_state <> 'refused' OR short > worst) THEN
                    v_state := 'refused'; v_reason := q_reason[q]; g_blocked[i] := t_name[s];
                ELSIF q_wait[q] AND v_state <> 'refused' AND (v_state = 'approved' OR short > worst) THEN
                    v_state := 'waiting'; v_reason := 'waiting_rate'; g_blocked[i] := t_name[s];
                END IF;
                IF q_wait[q] THEN
                    blocks := blocks || -t_id[s];
                END IF;
                worst := greatest(worst, short);
            END LOOP;
            IF worst >= 0 THEN
                g_retry[i] := timestamptz 'epoch' + (ms + greatest(worst, 1)) * interval '1 millisecond';
            END IF;
            IF v_state = 'refused' THEN
                blocks := '{}';
            END IF;
        END IF;
        IF v_state = 'approved' AND amount > 0 AND high >= low THEN
            FOR r IN low..high LOOP
                s := r_scope[r];
                b_reserved[s] := b_reserved[s] + amount;
            END LOOP;
            w_reserved[i] := amount;
            IF amount < m_amount[i] THEN
                v_reason := 'least';
            END IF;
        END IF;
        IF v_state = 'approved' AND q_high >= q_low THEN
            FOR q IN q_low..q_high LOOP
                s := q_rate[q];
                t_requests[s] := t_requests[s] + 1;
                t_tokens[s] := t_tokens[s] + tokens;
                t_dirty[s] := true;
            END LOOP;
            w_tokens[i] := tokens;
        END IF;

        IF cardinality(blocks) > 0 THEN
            w_since[i] := since;
            waits := waits + 1;
        END IF;
        IF m_hold[i] AND e_open[i] THEN
            IF v_state = 'waiting' AND e_reason[i] = v_reason
               AND NOT EXISTS (SELECT FROM waiter w WHERE w.tenant = m_tenant[i] AND w.id = m_id[i] AND w.epoch = m_epoch[i]
                               AND w.scope_id <> ALL (blocks))
               AND cardinality(blocks) = (SELECT count(*) FROM waiter w WHERE w.tenant = m_tenant[i] AND w.id = m_id[i] AND w.epoch = m_epoch[i]) THEN
                w_since[i] := NULL; -- it waits on, for the same reason: nothing is written
            ELSE
                w_kind[i] := 2;
                holds := holds + 1;
                DELETE FROM waiter w WHERE w.tenant = m_tenant[i] AND w.id = m_id[i] AND w.epoch = m_epoch[i] AND w.scope_id <> ALL (blocks);
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
        IF w_since[i] IS NOT NULL THEN
            FOREACH r IN ARRAY blocks LOOP
                x_member := x_member || i; x_scope := x_scope || r;
                IF r < 0 AND t_waiting IS NOT NULL AND w_kind[i] = 1 THEN
                    s := array_position(t_id, -r);
                    t_waiting[s] := t_waiting[s] + 1; t_queued[s] := t_queued[s] + m_tokens[i];
                END IF;
            END LOOP;
        END IF;
        g_outcome[i] := 0; g_state[i] := v_state; g_reason[i] := v_reason;
    END LOOP;

    IF wanted > 0 THEN
        INSERT INTO admission (ingress_seq, reserved, admitted_at, decided_at, epoch, p, tenant, id, class, state, reason,
                               ingress_stream, request_sha256, scopes, rates, rate_wins, rate_tokens, rate_blocked, retry_at)
        SELECT m.seq, coalesce(m.reserved, 0), at, at, m.epoch, m.p, m.tenant, m.id, m.class, m.state, m.reason, m.stream, m.sha,
               CASE WHEN m.reserved > 0 THEN r_id[coalesce(m_refs[m.n - 1], 0) + 1:m_refs[m.n]] END,
               CASE WHEN m.tokens IS NOT NULL THEN q_id[coalesce(q_refs[m.n - 1], 0) + 1:q_refs[m.n]] END,
               CASE WHEN m.tokens IS NOT NULL THEN q_win[coalesce(q_refs[m.n - 1], 0) + 1:q_refs[m.n]] END,
               m.tokens, m.blocked, m.retry
        FROM unnest(m_tenant, m_id, m_epoch, m_class, m_p, m_stream, m_seq, m_sha, g_state, g_reason, w_kind, w_reserved, w_tokens,
                    g_blocked, g_retry)
             WITH ORDINALITY AS m (tenant, id, epoch, class, p, stream, seq, sha, state, reason, kind, reserved, tokens, blocked, retry, n)
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
               scopes = CASE WHEN m.reserved > 0 THEN r_id[coalesce(m_refs[m.n - 1], 0) + 1:m_refs[m.n]] END,
               rates = CASE WHEN m.tokens IS NOT NULL THEN q_id[coalesce(q_refs[m.n - 1], 0) + 1:q_refs[m.n]] END,
               rate_wins = CASE WHEN m.tokens IS NOT NULL THEN q_win[coalesce(q_refs[m.n - 1], 0) + 1:q_refs[m.n]] END, rate_tokens = m.tokens, rate_blocked = m.blocked, retry_at = m.retry
        FROM unnest(m_tenant, m_id, m_epoch, g_state, g_reason, w_kind, w_reserved, w_tokens, g_blocked, g_retry)
             WITH ORDINALITY AS m (tenant, id, epoch, state, reason, kind, reserved, tokens, blocked, retry, n)
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
        INSERT INTO waiter (since, tokens, scope_id, epoch, tenant, id)
        SELECT w_since[x.i], CASE WHEN x.scope_id < 0 THEN m_tokens[x.i] ELSE 0 END, x.scope_id, m_epoch[x.i], m_tenant[x.i], m_id[x.i]
        FROM unnest(x_member, x_scope) AS x (i, scope_id)
        ON CONFLICT DO NOTHING;
    END IF;
    IF b_reserved IS DISTINCT FROM b_before THEN
        UPDATE scope y SET reserved = b.reserved
        FROM unnest(b_id, b_reserved, b_before) AS b (id, reserved, before)
        WHERE y.id = b.id AND b.reserved <> b.before;
    END IF;

    IF true = ANY (t_dirty) THEN
        UPDATE rate y SET win = t.win, requests = t.requests, tokens = t.tokens, requests_before = t.requests_before,
               tokens_before = t.tokens_before
        FROM unnest(t_id, t_win, t_requests, t_tokens, t_requests_before, t_tokens_before, t_dirty)
             AS t (id, win, requests, tokens, requests_before, tokens_before, dirty)
        WHERE y.id = t.id AND t.dirty;
    END IF;

    RETURN QUERY
    SELECT x.outcome, x.state, x.reason, x.p, coalesce(x.intent_seq, 0), x.decision, x.blocked, x.retry
    FROM unnest(g_outcome, g_state, g_reason, g_p, e_intent, g_decision, g_blocked, g_retry)
         WITH ORDINALITY AS x (outcome, state, reason, p, intent_seq, decision, blocked, retry, n)
    ORDER BY x.n;
END $$;
