WITH stream AS (
    INSERT INTO emt_streams (stream_id, stream_position, stream_type, stream_metadata) VALUES ($2, 1, 'test', '{}')
    ON CONFLICT (stream_id, partition, is_archived) DO UPDATE SET stream_position = emt_streams.stream_position + 1
    RETURNING stream_position
)
INSERT INTO emt_messages (stream_position, transaction_id, stream_id, message_schema_version, message_id, message_type,
    message_data, message_metadata)
SELECT stream_position, pg_current_xact_id(), $2, '1', $1, $3, $4::text::jsonb, '{}' FROM stream
