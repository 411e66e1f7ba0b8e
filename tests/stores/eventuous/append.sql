WITH stream AS (
    INSERT INTO eventuous.streams (stream_name, version) VALUES ($2, 0)
    ON CONFLICT (stream_name) DO UPDATE SET version = streams.version + 1
    RETURNING stream_id, version
)
INSERT INTO eventuous.messages (message_id, message_type, stream_id, stream_position, json_data, created)
SELECT $1::text::uuid, $3, stream_id, version, $4::text::jsonb, now() AT TIME ZONE 'UTC' FROM stream
