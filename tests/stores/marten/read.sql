SELECT seq_id, id::text, stream_id, type::text, (extract(epoch FROM timestamp) * 1000)::bigint, data::text, headers::text
FROM mt_events WHERE NOT is_archived AND NOT is_skipped ORDER BY seq_id
