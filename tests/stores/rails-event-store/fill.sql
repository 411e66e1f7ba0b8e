INSERT INTO event_store_events (event_id, event_type, metadata, data, created_at)
SELECT uuid, type, metadata::jsonb, data::jsonb, at AT TIME ZONE 'UTC' FROM history ORDER BY number;

INSERT INTO event_store_events_in_streams (stream, position, event_id, created_at)
SELECT stream, coalesce(last.position, -1) + row_number() OVER (PARTITION BY stream ORDER BY number), uuid, at AT TIME ZONE 'UTC'
FROM history
LEFT JOIN LATERAL (
    SELECT position FROM event_store_events_in_streams e WHERE e.stream = history.stream ORDER BY position DESC LIMIT 1
) last ON true
ORDER BY number;
