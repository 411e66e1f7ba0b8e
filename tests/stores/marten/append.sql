WITH stream AS (
    INSERT INTO mt_streams (id, version) VALUES ($2, 1)
    ON CONFLICT (id) DO UPDATE SET version = mt_streams.version + 1
    RETURNING version
)
INSERT INTO mt_events (seq_id, id, stream_id, version, data, type)
SELECT nextval('mt_events_sequence'), $1::text::uuid, $2, version, $4::text::jsonb, $3 FROM stream
