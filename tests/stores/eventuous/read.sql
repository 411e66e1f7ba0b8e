SELECT global_position, message_id::text, stream_name, message_type, (extract(epoch FROM created) * 1000)::bigint,
    json_data::text, json_metadata::text
FROM eventuous.messages JOIN eventuous.streams USING (stream_id)
WHERE message_type <> '$tombstone' ORDER BY global_position
