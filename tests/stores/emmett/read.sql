SELECT global_position, message_id, stream_id, message_type, (extract(epoch FROM created) * 1000)::bigint, message_data::text,
    message_metadata::text
FROM emt_messages WHERE partition = 'emt:default' AND NOT is_archived ORDER BY transaction_id, global_position
