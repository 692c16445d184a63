-- Which requests belong together, by the correlation id that they name. The recorder writes a row with the first record of an epoch that
-- names one; requests without one cost nothing here.

CREATE TABLE flowgate.correlation (
    seq            bigint NOT NULL,
    stored_at      timestamptz NOT NULL,
    epoch          integer NOT NULL,
    tenant         text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C" NOT NULL,
    id             text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, correlation_id, id, epoch)
);
COMMENT ON TABLE flowgate.correlation IS 'epochs of requests by the correlation id that they name; seq is of the state in the WORK stream that first told';
