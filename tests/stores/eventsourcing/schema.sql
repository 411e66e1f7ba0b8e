-- After what eventsourcing 9.5.6 (PyPI) creates for an application named Orders. `state` is the JSON of its default
-- transcoder. Left out: the type and the function for inserts in the server, which are off unless
-- POSTGRES_ENABLE_DB_FUNCTIONS is set (with them writers do not lock the table).
CREATE TABLE orders_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX orders_events_notification_id_idx ON orders_events (notification_id ASC);
