INSERT INTO streams (stream_uuid) SELECT DISTINCT stream FROM history ON CONFLICT DO NOTHING;

INSERT INTO events (event_id, event_type, data, metadata, created_at)
SELECT uuid, type, convert_to(data, 'UTF8'), convert_to(metadata, 'UTF8'), at FROM history;

WITH numbered AS (
    SELECT uuid, stream_id, stream_version + row_number() OVER (PARTITION BY stream ORDER BY number) AS version,
        row_number() OVER (ORDER BY number) AS in_all
    FROM history JOIN streams ON stream_uuid = stream
), own AS (
    INSERT INTO stream_events SELECT uuid, stream_id, version, stream_id, version FROM numbered
)
INSERT INTO stream_events
SELECT uuid, 0, stream_version + in_all, numbered.stream_id, version
FROM numbered, streams WHERE streams.stream_id = 0;

UPDATE streams SET stream_version = stream_version + events
FROM (
    SELECT stream, count(*) AS events FROM history GROUP BY stream UNION ALL SELECT '$all', count(*) FROM history
) filled
WHERE stream_uuid = stream;
