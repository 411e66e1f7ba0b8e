-- After message-db/message-db: database/tables/messages.sql, database/indexes/*.sql, database/functions/{category,
-- hash-64,acquire-lock,stream-version,write-message}.sql. Left out: the views and the functions that read.
CREATE SCHEMA message_store;

CREATE TABLE message_store.messages (
    global_position bigserial NOT NULL,
    position bigint NOT NULL,
    time timestamp without time zone DEFAULT (now() AT TIME ZONE 'utc') NOT NULL,
    stream_name text NOT NULL,
    type text NOT NULL,
    data jsonb,
    metadata jsonb,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (global_position)
);

CREATE FUNCTION message_store.category(stream_name varchar) RETURNS varchar
LANGUAGE sql IMMUTABLE AS $$ SELECT split_part(stream_name, '-', 1) $$;

CREATE UNIQUE INDEX messages_id ON message_store.messages (id);
CREATE UNIQUE INDEX messages_stream ON message_store.messages (stream_name, position);
CREATE INDEX messages_category ON message_store.messages (
    message_store.category(stream_name),
    global_position,
    message_store.category(metadata->>'correlationStreamName')
);

-- The first 64 bits of the MD5 of a category: what its writers lock.
CREATE FUNCTION message_store.hash_64(value varchar) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT left('x' || md5(value), 17)::bit(64)::bigint $$;

CREATE FUNCTION message_store.write_message(
    id varchar, stream_name varchar, type varchar, data jsonb, metadata jsonb DEFAULT NULL, expected_version bigint DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    current_version bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(message_store.hash_64(message_store.category(write_message.stream_name)));
    SELECT coalesce(max(m.position), -1) INTO current_version
    FROM message_store.messages m WHERE m.stream_name = write_message.stream_name;
    IF expected_version <> current_version THEN
        RAISE EXCEPTION 'Wrong expected version: % (Stream: %, Stream Version: %)',
            expected_version, write_message.stream_name, current_version;
    END IF;
    INSERT INTO message_store.messages (id, stream_name, position, type, data, metadata)
    VALUES (write_message.id::uuid, write_message.stream_name, current_version + 1, write_message.type,
        write_message.data, write_message.metadata);
    RETURN current_version + 1;
END $$;
