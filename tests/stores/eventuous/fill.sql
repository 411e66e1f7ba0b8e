INSERT INTO eventuous.streams (stream_name) SELECT DISTINCT stream FROM history ON CONFLICT DO NOTHING;

INSERT INTO eventuous.messages (message_id, message_type, stream_id, stream_position, json_data, json_metadata, created)
SELECT uuid, type, stream_id, version + row_number() OVER (PARTITION BY stream ORDER BY number), data::jsonb, metadata::jsonb,
    at AT TIME ZONE 'UTC'
FROM history JOIN eventuous.streams ON stream_name = stream
ORDER BY number;

UPDATE eventuous.streams SET version = version + events
FROM (SELECT stream, count(*) AS events FROM history GROUP BY stream) filled
WHERE stream_name = stream;
