-- Alerts of budgets: the record keeps one of each scope, mark and limit, however many processes tell it.

CREATE TABLE flowgate.budget_alert (
    at             timestamptz NOT NULL,
    mark           double precision NOT NULL,
    limit_microusd bigint NOT NULL,
    spent_microusd bigint NOT NULL,
    seq            bigint NOT NULL,
    stream         text COLLATE "C" NOT NULL,
    scope          text COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, mark, limit_microusd)
);
COMMENT ON TABLE flowgate.budget_alert IS 'marks that budgets have passed; mark is in percent of limit_microusd; stream and seq are those of the event';
CREATE INDEX budget_alert_window ON flowgate.budget_alert (right(scope, 14));

-- The windows of the calendar end with 14 bytes of their own: what is spent in one is found without those of the past.
CREATE INDEX scope_window ON flowgate.scope (right(name, 14), name);

-- record_alerts writes events of alerts, of those alone that nobody recorded before.
CREATE FUNCTION flowgate.record_alerts(
    e_stream text, e_seq bigint[], e_stored timestamptz[], e_at timestamptz[], e_epoch integer[], e_kind text[],
    e_tenant text[], e_id text[], e_worker text[], e_detail text[], e_body text[],
    a_scope text[], a_mark double precision[], a_limit bigint[], a_spent bigint[]
) RETURNS void LANGUAGE sql SET search_path = flowgate, pg_catalog, pg_temp AS $$
    WITH told AS (
        INSERT INTO budget_alert (at, mark, limit_microusd, spent_microusd, seq, stream, scope)
        SELECT DISTINCT ON (m.scope, m.mark, m.bound) coalesce(m.at, m.stored), m.mark, m.bound, m.spent, m.seq, e_stream, m.scope
        FROM unnest(e_seq, e_stored, e_at, a_scope, a_mark, a_limit, a_spent) AS m (seq, stored, at, scope, mark, bound, spent)
        ORDER BY m.scope, m.mark, m.bound, m.seq
        ON CONFLICT DO NOTHING RETURNING seq
    )
    INSERT INTO event (stream, seq, stored_at, at, epoch, kind, tenant, id, worker, detail, body)
    SELECT e_stream, m.seq, m.stored, m.at, m.epoch, m.kind, m.tenant, m.id, m.worker, m.detail, m.body::json
    FROM unnest(e_seq, e_stored, e_at, e_epoch, e_kind, e_tenant, e_id, e_worker, e_detail, e_body)
         AS m (seq, stored, at, epoch, kind, tenant, id, worker, detail, body)
    JOIN told USING (seq)
    ON CONFLICT DO NOTHING
$$;
