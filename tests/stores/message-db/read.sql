SELECT global_position, id::text, stream_name, type, (extract(epoch FROM time) * 1000)::bigint, data::text, metadata::text
FROM message_store.messages ORDER BY global_position
