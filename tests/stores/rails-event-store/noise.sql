-- Every event linked into the stream of its type: it is in two streams now.
INSERT INTO event_store_events_in_streams (stream, event_id, created_at)
SELECT '$by_type_' || event_type, event_id, created_at FROM event_store_events ORDER BY id ON CONFLICT DO NOTHING;
-- A hole.
SELECT nextval('event_store_events_id_seq');
