INSERT INTO emt_streams (stream_id, stream_position, stream_type, stream_metadata)
SELECT DISTINCT stream, 0, 'order', '{}'::jsonb FROM history ON CONFLICT DO NOTHING;

INSERT INTO emt_messages (stream_position, transaction_id, created, stream_id, message_schema_version, message_id,
    message_type, message_data, message_metadata)
SELECT stream_position + row_number() OVER (PARTITION BY stream ORDER BY number), pg_current_xact_id(), at, stream, '1', id,
    type, data::jsonb, coalesce(metadata::jsonb, '{}')
FROM history JOIN emt_streams ON stream_id = stream AND NOT is_archived
ORDER BY number;

UPDATE emt_streams SET stream_position = stream_position + events
FROM (SELECT stream, count(*) AS events FROM history GROUP BY stream) filled
WHERE stream_id = stream AND NOT is_archived;
