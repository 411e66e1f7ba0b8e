INSERT INTO message_store.messages (id, stream_name, position, type, data, metadata, time)
SELECT uuid, stream, coalesce(last.position, -1) + row_number() OVER (PARTITION BY stream ORDER BY number),
    type, data::jsonb, metadata::jsonb, at AT TIME ZONE 'UTC'
FROM history
LEFT JOIN LATERAL (
    SELECT position FROM message_store.messages WHERE stream_name = stream ORDER BY position DESC LIMIT 1
) last ON true
ORDER BY number;
