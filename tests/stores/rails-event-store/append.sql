WITH event AS (
    INSERT INTO event_store_events (event_id, event_type, metadata, data, created_at)
    VALUES ($1::text::uuid, $3, '{}', $4::text::jsonb, now() AT TIME ZONE 'UTC')
    RETURNING event_id, created_at
)
INSERT INTO event_store_events_in_streams (stream, event_id, created_at) SELECT $2, event_id, created_at FROM event
