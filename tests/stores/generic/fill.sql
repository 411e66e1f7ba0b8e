INSERT INTO events (id, stream, type, data, metadata, time)
SELECT id, stream, type, data::jsonb, metadata::jsonb, at FROM history ORDER BY number;
