INSERT INTO mt_streams (id, type, version) SELECT DISTINCT stream, 'order', 0 FROM history ON CONFLICT DO NOTHING;

INSERT INTO mt_events (seq_id, id, stream_id, version, data, type, timestamp, mt_dotnet_type, correlation_id, headers)
SELECT nextval('mt_events_sequence'), event.* FROM (
    SELECT uuid, stream, version + row_number() OVER (PARTITION BY stream ORDER BY number), data::jsonb, history.type, at,
        'Shop.Orders.' || history.type || ', Shop', metadata::jsonb->>'correlationId', metadata::jsonb
    FROM history JOIN mt_streams ON mt_streams.id = stream
    ORDER BY number
) event;

UPDATE mt_streams SET version = version + events, timestamp = last
FROM (SELECT stream, count(*) AS events, max(at) AS last FROM history GROUP BY stream) filled
WHERE id = stream;
