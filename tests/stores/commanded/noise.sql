-- A stream that is deleted for good: a hole in `$all`.
UPDATE streams SET stream_version = stream_version + 1 WHERE stream_id = 0;
-- Events linked into another stream: the same event in one more stream.
INSERT INTO streams (stream_uuid) VALUES ('linked') ON CONFLICT DO NOTHING;
WITH linked AS (
    INSERT INTO stream_events
    SELECT e.event_id, s.stream_id, s.stream_version + row_number() OVER (ORDER BY e.stream_version),
        e.original_stream_id, e.original_stream_version
    FROM streams s, stream_events e
    WHERE s.stream_uuid = 'linked' AND e.stream_id = 0 AND e.stream_version % 10 = 0
        AND NOT EXISTS (SELECT FROM stream_events l WHERE l.event_id = e.event_id AND l.stream_id = s.stream_id)
    RETURNING 1
)
UPDATE streams SET stream_version = stream_version + (SELECT count(*) FROM linked) WHERE stream_uuid = 'linked';
-- A stream that is marked as deleted: its events stay in `$all`.
UPDATE streams SET deleted_at = now() WHERE stream_id = 1;
