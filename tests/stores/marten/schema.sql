-- After JasperFx/marten: src/Marten/Events/Schema/{EventsTable,StreamsTable,EventProgressionTable,
-- EventProgressionSkippingTable}.cs and the DDL that it writes, with stream identity as string, headers, correlation and
-- causation metadata, and event skipping enabled.
CREATE SEQUENCE mt_events_sequence;

CREATE TABLE mt_streams (
    id varchar NOT NULL,
    type varchar NULL,
    version bigint NULL,
    timestamp timestamptz NOT NULL DEFAULT (now()),
    snapshot jsonb NULL,
    snapshot_version integer NULL,
    created timestamptz NOT NULL DEFAULT (now()),
    tenant_id varchar NULL DEFAULT '*DEFAULT*',
    is_archived bool NULL DEFAULT FALSE,
    CONSTRAINT pkey_mt_streams_id PRIMARY KEY (id)
);

CREATE TABLE mt_events (
    seq_id bigint NOT NULL,
    id uuid NOT NULL,
    stream_id varchar NULL,
    version bigint NOT NULL,
    data jsonb NOT NULL,
    type varchar(500) NOT NULL,
    timestamp timestamptz NOT NULL DEFAULT (now()),
    tenant_id varchar NULL DEFAULT '*DEFAULT*',
    mt_dotnet_type varchar NULL,
    correlation_id varchar NULL,
    causation_id varchar NULL,
    headers jsonb NULL,
    is_skipped bool NULL DEFAULT FALSE,
    is_archived bool NULL DEFAULT FALSE,
    CONSTRAINT pkey_mt_events_seq_id PRIMARY KEY (seq_id),
    CONSTRAINT fkey_mt_events_stream_id FOREIGN KEY (stream_id) REFERENCES mt_streams (id) ON DELETE CASCADE
);
ALTER SEQUENCE mt_events_sequence OWNED BY mt_events.seq_id;
CREATE UNIQUE INDEX pk_mt_events_stream_and_version ON mt_events (stream_id, version);

CREATE TABLE mt_event_progression (
    name varchar NOT NULL,
    last_seq_id bigint NULL,
    last_updated timestamptz NULL DEFAULT (transaction_timestamp()),
    CONSTRAINT pk_mt_event_progression PRIMARY KEY (name)
);

CREATE TABLE mt_high_water_skips (
    ending_sequence bigint PRIMARY KEY,
    starting_sequence bigint NOT NULL,
    timestamp timestamptz NOT NULL DEFAULT (now())
);
