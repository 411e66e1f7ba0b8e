-- An archived message, a message of another partition and a hole.
CREATE TABLE IF NOT EXISTS emt_messages_other PARTITION OF emt_messages FOR VALUES IN ('other');
INSERT INTO emt_messages (stream_position, transaction_id, is_archived, partition, stream_id, message_schema_version,
    message_id, message_type, message_data, message_metadata)
SELECT (SELECT count(*) + 1 FROM emt_messages WHERE stream_id = 'noise'), pg_current_xact_id(), partition <> 'other',
    partition, 'noise', '1', gen_random_uuid()::text, 'Noise', '{}', '{}'
FROM (VALUES ('emt:default'), ('other')) of_noise (partition);
SELECT nextval('emt_global_message_position');
