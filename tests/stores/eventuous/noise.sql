-- Two holes, one of them filled by a tombstone as 9_TryInsertTombstone.sql does it.
INSERT INTO eventuous.streams (stream_name) VALUES ('__tombstones__') ON CONFLICT DO NOTHING;
SELECT nextval('eventuous.messages_global_position_seq'), nextval('eventuous.messages_global_position_seq');
WITH stream AS (
    UPDATE eventuous.streams SET version = version + 1 WHERE stream_name = '__tombstones__' RETURNING stream_id, version
)
INSERT INTO eventuous.messages
    (message_id, message_type, stream_id, stream_position, global_position, json_data, json_metadata, created)
OVERRIDING SYSTEM VALUE
SELECT gen_random_uuid(), '$tombstone', stream_id, version, currval('eventuous.messages_global_position_seq'), '{}', '{}',
    now() AT TIME ZONE 'UTC'
FROM stream;
