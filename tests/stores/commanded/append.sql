WITH stream AS (
    INSERT INTO streams (stream_uuid, stream_version) VALUES ($2, 1)
    ON CONFLICT (stream_uuid) DO UPDATE SET stream_version = streams.stream_version + 1
    RETURNING stream_id, stream_version
), event AS (
    INSERT INTO events (event_id, event_type, data) VALUES ($1::text::uuid, $3, convert_to($4, 'UTF8')) RETURNING event_id
), own AS (
    INSERT INTO stream_events SELECT event_id, stream_id, stream_version, stream_id, stream_version FROM event, stream
), all_events AS (
    UPDATE streams SET stream_version = stream_version + 1 WHERE stream_id = 0 RETURNING stream_version
)
INSERT INTO stream_events
SELECT event_id, 0, all_events.stream_version, stream.stream_id, stream.stream_version FROM event, stream, all_events
