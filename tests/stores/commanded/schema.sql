-- After commanded/eventstore: lib/event_store/sql/init.ex (schema version 1.3.2) with its default column type, bytea.
-- Left out: subscriptions, snapshots, and the triggers that forbid updates and deletes.
CREATE TABLE streams (
    stream_id bigserial PRIMARY KEY NOT NULL,
    stream_uuid text NOT NULL,
    stream_version bigint DEFAULT 0 NOT NULL,
    stream_origin bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone
);
CREATE UNIQUE INDEX ix_streams_stream_uuid ON streams (stream_uuid);

CREATE TABLE events (
    event_id uuid PRIMARY KEY NOT NULL,
    event_type text NOT NULL,
    causation_id uuid NULL,
    correlation_id uuid NULL,
    data bytea NOT NULL,
    metadata bytea NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE stream_events (
    event_id uuid NOT NULL REFERENCES events (event_id),
    stream_id bigint NOT NULL REFERENCES streams (stream_id),
    stream_version bigint NOT NULL,
    original_stream_id bigint REFERENCES streams (stream_id),
    original_stream_version bigint,
    PRIMARY KEY (event_id, stream_id)
);
CREATE UNIQUE INDEX ix_stream_events ON stream_events (stream_id, stream_version);

INSERT INTO streams (stream_id, stream_uuid) VALUES (0, '$all');

-- Tells listeners of the channel `<schema>.events` of each append: stream UUID, stream id, first and last version.
CREATE FUNCTION notify_events() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    first bigint := 1;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        first := OLD.stream_version + 1;
    END IF;
    PERFORM pg_notify(TG_TABLE_SCHEMA || '.events', concat_ws(',', NEW.stream_uuid, NEW.stream_id, first, NEW.stream_version));
    RETURN NULL;
END $$;
CREATE TRIGGER event_notification AFTER INSERT OR UPDATE ON streams FOR EACH ROW EXECUTE FUNCTION notify_events();
