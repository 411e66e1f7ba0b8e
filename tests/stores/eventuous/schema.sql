-- After Eventuous/eventuous: src/Postgres/src/Eventuous.Postgresql/Scripts/1_Schema.sql with its default schema. Left out:
-- checkpoints and the functions.
CREATE SCHEMA eventuous;

CREATE TABLE eventuous.streams (
    stream_name varchar(1000) NOT NULL,
    stream_id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    version integer NOT NULL DEFAULT (-1),
    CONSTRAINT uq_streams_name UNIQUE (stream_name),
    CONSTRAINT ck_version_gte_negative_one CHECK (version >= -1)
);

CREATE TABLE eventuous.messages (
    message_id uuid NOT NULL,
    message_type varchar NOT NULL,
    stream_id integer NOT NULL,
    stream_position integer NOT NULL,
    global_position bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    json_data jsonb NOT NULL,
    json_metadata jsonb NULL,
    created timestamp NOT NULL,
    CONSTRAINT fk_messages_stream FOREIGN KEY (stream_id) REFERENCES eventuous.streams (stream_id),
    CONSTRAINT uq_messages_stream_id_and_stream_position UNIQUE (stream_id, stream_position),
    CONSTRAINT uq_stream_id_and_message_id UNIQUE (stream_id, message_id),
    CONSTRAINT ck_stream_position_gte_zero CHECK (stream_position >= 0)
);
CREATE INDEX events_stream_idx ON eventuous.messages (stream_id);
