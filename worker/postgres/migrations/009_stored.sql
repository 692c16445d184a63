-- The recorder's position tells when the message there was stored: a stream that lost its end and grew past the position
-- again has another message in that place.

ALTER TABLE flowgate.recorder_position ADD COLUMN stored_ns bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN flowgate.recorder_position.stored_ns IS 'when the message at seq was stored, in nanoseconds since 1970; 0: not known';

CREATE FUNCTION flowgate.record_begin(
    v_stream text, from_incarnation text, from_seq bigint, to_incarnation text, to_seq bigint, gap_to bigint, to_stored_ns bigint
) RETURNS void LANGUAGE plpgsql SET search_path = flowgate, pg_catalog, pg_temp AS $$
BEGIN
    UPDATE recorder_position q
    SET incarnation = to_incarnation, seq = to_seq, stored_ns = to_stored_ns, updated_at = clock_timestamp()
    WHERE q.stream = v_stream AND q.incarnation = from_incarnation AND q.seq = from_seq;
    IF NOT FOUND AND from_incarnation = '' AND from_seq = 0 THEN
        INSERT INTO recorder_position (stream, incarnation, seq, stored_ns, updated_at)
        VALUES (v_stream, to_incarnation, to_seq, to_stored_ns, clock_timestamp()) ON CONFLICT DO NOTHING;
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

-- A recorder of the version before does not tell the time.
CREATE OR REPLACE FUNCTION flowgate.record_begin(
    v_stream text, from_incarnation text, from_seq bigint, to_incarnation text, to_seq bigint, gap_to bigint
) RETURNS void LANGUAGE sql SET search_path = flowgate, pg_catalog, pg_temp AS
    'SELECT record_begin(v_stream, from_incarnation, from_seq, to_incarnation, to_seq, gap_to, 0::bigint)';
