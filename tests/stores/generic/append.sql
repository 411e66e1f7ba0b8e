INSERT INTO events (id, stream, type, data) VALUES ($1, $2, $3, $4::text::jsonb)
