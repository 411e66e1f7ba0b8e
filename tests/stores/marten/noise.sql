-- An archived stream, a skipped event and a hole.
INSERT INTO mt_streams (id, version, is_archived) VALUES ('archived', 0, TRUE), ('skipped', 0, FALSE) ON CONFLICT DO NOTHING;
INSERT INTO mt_events (seq_id, id, stream_id, version, data, type, is_archived, is_skipped)
SELECT nextval('mt_events_sequence'), gen_random_uuid(), id, version + 1, '{}', 'Noise', is_archived, NOT is_archived
FROM mt_streams WHERE id IN ('archived', 'skipped');
UPDATE mt_streams SET version = version + 1 WHERE id IN ('archived', 'skipped');
SELECT nextval('mt_events_sequence');
