-- What actions of agreements prove with, to layer 1, that they ask a request: 244 random bits in 32 bytes.

CREATE TABLE flowgate.seal (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    secret bytea NOT NULL CHECK (length(secret) = 32)
);
INSERT INTO flowgate.seal (secret)
    VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
COMMENT ON TABLE flowgate.seal IS 'one row: the secret with which actions prove that they ask a request; whoever reads it can ask under any agreement without a call being counted';
CREATE TRIGGER seal_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON flowgate.seal
    FOR EACH STATEMENT EXECUTE FUNCTION flowgate.refuse_change();
