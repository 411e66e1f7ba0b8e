SELECT position, id, stream, type, (extract(epoch FROM time) * 1000)::bigint, data::text, metadata::text
FROM events ORDER BY position
