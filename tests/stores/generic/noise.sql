-- A hole.
BEGIN;
INSERT INTO events (id, stream, type, data) VALUES ('rolled back', 'noise', 'Noise', '{}');
ROLLBACK;
