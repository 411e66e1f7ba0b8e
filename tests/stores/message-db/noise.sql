-- A hole.
BEGIN;
SELECT message_store.write_message(gen_random_uuid()::varchar, 'noise-1', 'Noise', '{}');
ROLLBACK;
